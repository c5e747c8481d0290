"""What the Dockerfile names exists. (Building it takes an engine, which few test machines have.)"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from click.testing import CliRunner

from consuldns.cli import main
from consuldns.config.load import load

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def test_files_that_are_copied_exist() -> None:
    copied = [line.split()[:-1] for line in instructions("COPY") if not line.startswith("--from")]
    files = [file for files in copied for file in files]
    assert files
    assert all((REPOSITORY / file).exists() for file in files)


def test_what_the_build_needs_is_copied() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    needed = {
        "pyproject.toml",
        project["project"]["readme"],
        *project["project"]["license-files"],
        *project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"],
    }
    assert needed <= {word for line in instructions("COPY") for word in line.split()}


def test_the_command_that_is_run_exists() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    (program,) = json.loads(instructions("ENTRYPOINT")[0])
    arguments = json.loads(instructions("CMD")[0])
    assert program in project["project"]["scripts"]
    assert CliRunner().invoke(main, [*arguments, "--help"]).exit_code == 0


def test_the_ports_of_the_command_are_exposed() -> None:
    settings = load(file=REPOSITORY / "packaging/container.toml", environment={}).settings
    (listen,) = {address.port for address in settings.listen}
    assert {address.host for address in settings.listen} == {"0.0.0.0", "::"}
    assert instructions("EXPOSE") == [f"{listen}/udp {listen}/tcp {settings.admin_addr.port}/tcp"]


def test_the_environment_goes_before_the_settings_of_the_image() -> None:
    assert json.loads(instructions("CMD")[0]) == ["serve"]
    settings = load(
        file=REPOSITORY / "packaging/container.toml",
        environment={"CONSULDNS_LISTEN": "127.0.0.1:53", "CONSUL_HTTP_ADDR": "consul:8500"},
    ).settings
    assert [str(each) for each in settings.listen] == ["127.0.0.1:53"]
    assert settings.consul.address == "http://consul:8500"


def test_dependencies_are_those_of_the_lock() -> None:
    runs = " ".join(instructions("RUN"))
    assert "--require-hashes --requirement requirements/run.txt" in runs
    assert "--no-deps ." in runs


def test_the_health_check_is_of_the_admin_port() -> None:
    (command,) = re.findall(r"^    CMD (.*)$", DOCKERFILE, re.MULTILINE)
    program, option, code = json.loads(command)
    assert (program, option) == ("python3", "-c")
    compile(code, "health check", "exec")
    settings = load(file=REPOSITORY / "packaging/container.toml", environment={}).settings
    assert f":{settings.admin_addr.port}/health" in code


def test_the_user_is_a_number_and_not_root() -> None:
    (user,) = instructions("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_the_image_has_a_python_that_the_project_takes() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    least = tuple(map(int, project["project"]["requires-python"].removeprefix(">=").split(".")))
    versions = re.findall(r"^FROM python:(\d+)\.(\d+)-slim", DOCKERFILE, re.MULTILINE)
    assert len(versions) == 2
    assert all(tuple(map(int, version)) >= least for version in versions)


def test_hadolint_has_no_complaint() -> None:
    program = Path(sys.executable).parent / "hadolint"
    found = subprocess.run(
        [program, str(REPOSITORY / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (0, "")
