"""Every command's help and messages, and that asking for help costs nothing."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import consuldns
from consuldns import errors
from consuldns.cli import COMMANDS, main
from consuldns.config.schema import declared


def commands(
    command: click.Command = main, name: tuple[str, ...] = ()
) -> dict[tuple[str, ...], click.Command]:
    """Every command by the words that call it, those of groups too."""
    found = {name: command}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for word in command.list_commands(context):
            below = command.get_command(context, word)
            assert below is not None
            found |= commands(below, (*name, word))
    return found


EVERY = [pytest.param(words, each, id=" ".join(words)) for words, each in commands().items()]


@pytest.mark.parametrize(("words", "command"), EVERY)
def test_help_mentions_every_flag_and_gives_an_example(
    words: tuple[str, ...], command: click.Command
) -> None:
    result = CliRunner().invoke(main, [*words, "--help"], prog_name="consuldns")
    assert result.exit_code == 0
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert all(flag in result.output for flag in parameter.opts), parameter.opts
            assert parameter.help, parameter.opts
    if not isinstance(command, click.Group):
        assert f"consuldns {' '.join(words)}" in result.output.partition("Example")[2]


def test_the_list_of_commands_says_what_their_own_help_says() -> None:
    for name, about in COMMANDS.items():
        command = commands()[(name,)]
        assert (command.help or "").startswith(about), name


def test_help_and_completion_load_neither_clients_nor_servers() -> None:
    """In a process of its own: this one has loaded everything."""
    code = (
        "import sys, consuldns.cli as c; "
        "[c.main.get_command(None, name) for name in c.COMMANDS]; "
        "print(sorted({'httpx', 'uvicorn', 'starlette', 'dnslib'} & set(sys.modules)))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout == "[]\n"


def test_the_list_of_commands_needs_click_alone() -> None:
    code = (
        "import sys; from click.testing import CliRunner; before = set(sys.modules); "
        "import consuldns.cli as c; CliRunner().invoke(c.main, ['--help']); "
        "print(sorted(m for m in set(sys.modules) - before if m.startswith('consuldns.')))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout == "['consuldns.cli', 'consuldns.errors']\n"


def test_version() -> None:
    result = CliRunner().invoke(main, ["--version"], prog_name="consuldns")
    assert result.output == f"consuldns {consuldns.__version__}\n"


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["srve"], prog_name="consuldns")
    assert result.exit_code == 2
    assert "No such command 'srve'." in result.stderr


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ConfigError("x"), 4),
        (errors.StartupError("x"), 3),
        (errors.Unreachable("x"), 1),
    ],
)
def test_exit_status(error: errors.ConsuldnsError, status: int) -> None:
    assert errors.exit_status(error) == status


@pytest.mark.parametrize(
    ("shell", "sign"),
    [
        ("bash", "complete -o nosort -F"),
        ("zsh", "#compdef consuldns"),
        ("fish", "complete --no-files --command consuldns"),
    ],
)
def test_completion(shell: str, sign: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell], prog_name="consuldns")
    assert result.exit_code == 0
    assert sign in result.output
    assert "_CONSULDNS_COMPLETE" in result.output


# --- config --------------------------------------------------------------------------------------


def test_config_check_accepts(tmp_path: Path) -> None:
    file = tmp_path / "consuldns.toml"
    file.write_text("workers = 1\n")
    result = CliRunner().invoke(main, ["config", "check", "--config", str(file)])
    assert (result.exit_code, result.output) == (0, "the configuration is valid\n")


def test_config_check_refuses_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "consuldns.toml"
    file.write_text("[dns]\ndomian = 'consul'\n")
    result = CliRunner().invoke(main, ["config", "check", "--config", str(file)])
    problem = "unknown setting dns.domian (did you mean dns.domain?)"
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == f"Error: {file}:2: {problem}\n"


def test_config_check_takes_the_file_as_an_argument(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("workers = -1\n")
    result = CliRunner().invoke(main, ["config", "check", str(file)])
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.startswith(f"Error: {file}:1: workers must be")
    both = CliRunner().invoke(main, ["config", "check", str(file), "--config", str(file)])
    assert both.exit_code == 2
    missing = CliRunner().invoke(main, ["config", "check", str(tmp_path / "none.toml")])
    assert missing.exit_code == 4
    assert f"{tmp_path}/none.toml: cannot be read: No such file" in missing.stderr


def test_config_check_of_what_is_nested_without_end(tmp_path: Path) -> None:
    file = tmp_path / "deep.toml"
    file.write_text(f"a = {'[' * 5000}{']' * 5000}\n")
    result = CliRunner().invoke(main, ["config", "check", str(file)])
    assert result.exit_code == 4
    assert result.stderr.startswith(f"Error: {file}: is not valid TOML: ")


KUBECONFIG = """
current-context: blue
contexts:
- {name: blue, context: {cluster: blue, user: me}}
- {name: lost, context: {cluster: none, user: me}}
- {name: half, context: {cluster: blue, user: half}}
clusters:
- {name: blue, cluster: {server: "https://192.0.2.1:6443"}}
users:
- {name: me, user: {token: secret}}
- {name: half, user: {client-certificate-data: eA==}}
"""


@pytest.mark.parametrize(
    ("kubeconfig", "sync", "problem"),
    [
        (KUBECONFIG, "", ""),
        (KUBECONFIG, 'context = "blue"', ""),
        (KUBECONFIG, 'context = "lost"', "context 'lost' has no cluster with a server"),
        (KUBECONFIG, 'context = "red"', "there is no context 'red'"),
        (KUBECONFIG, 'context = "half"', "context 'half': user 'half' has a client certificate"),
        ("a: [", "", "not a kubeconfig"),
        ("clusters: 7", "", "not a kubeconfig"),
        ("[" * 5000, "", ""),
        (None, "", "there is no such kubeconfig file"),
    ],
)
@pytest.mark.parametrize("enabled", ["", "enabled = true"])
def test_config_check_reads_the_kubeconfig(
    tmp_path: Path, kubeconfig: str | None, sync: str, problem: str, enabled: str
) -> None:
    path = tmp_path / "kubeconfig"
    if kubeconfig is not None:
        path.write_text(kubeconfig)
    file = tmp_path / "my.toml"
    file.write_text(f'[sync]\nkubeconfig = "{path}"\n{sync}\n{enabled}\n')
    result = CliRunner().invoke(main, ["config", "check", str(file)])
    if kubeconfig == KUBECONFIG and not problem:
        origin = f"context 'blue' of {path}"
        assert result.output == (
            f"Kubernetes API: https://192.0.2.1:6443, from {origin}\nthe configuration is valid\n"
        )
    else:
        assert result.exit_code == 4
        assert result.stderr.startswith(f"Error: {path}: ")
        assert problem in result.stderr
        assert "Traceback" not in result.stderr


def test_config_check_leaves_kubectls_own_configuration_alone(tmp_path: Path) -> None:
    environment = {"KUBECONFIG": str(tmp_path / "none")}
    result = CliRunner().invoke(main, ["config", "check"], env=environment)
    assert (result.exit_code, result.output) == (0, "the configuration is valid\n")
    enabled = environment | {"CONSULDNS_SYNC_ENABLED": "true"}
    assert CliRunner().invoke(main, ["config", "check"], env=enabled).exit_code == 4


def test_the_file_in_etc_is_read_if_it_exists(tmp_path: Path) -> None:
    (tmp_path / "consuldns.toml").write_text("workers = 7\n")  # see conftest
    result = CliRunner().invoke(main, ["config", "show", "--origin"])
    assert f"workers = 7  # {tmp_path}/consuldns.toml:1\n" in result.output


def test_config_check_warns_of_misspelt_variables() -> None:
    environment = {"CONSULDNS_CONSUL_TOKEM": "x"}
    result = CliRunner().invoke(main, ["config", "check"], env=environment)
    assert result.exit_code == 0
    assert result.stderr == (
        "Warning: environment CONSULDNS_CONSUL_TOKEM is not a known setting "
        "(did you mean CONSULDNS_CONSUL_TOKEN?)\n"
    )


def test_files_with_secrets_that_everybody_can_read_are_named(tmp_path: Path) -> None:
    token, settings = tmp_path / "token", tmp_path / "settings.toml"
    token.write_text("hunter2\n")
    settings.write_text(f'[consul]\ntoken_file = "{token}"\n')
    check = ["config", "check", str(settings)]
    for mode, in_pod, is_named in (
        (0o644, False, True),
        (0o640, False, False),
        (0o644, True, False),
    ):
        token.chmod(mode)
        environment = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"} if in_pod else {}
        result = CliRunner().invoke(main, check, env=environment)
        assert result.exit_code == 0
        expected = (
            f"Warning: consul.token_file, {token}, can be read by every user of this host: "
            f"chmod o-rwx {token}\n"
        )
        assert result.stderr == (expected if is_named else "")


def test_settings_that_everybody_can_read_are_named_if_a_secret_is_in_them(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    for content, environment, is_named in (
        ('[consul]\ntoken = "hunter2"\n', {}, True),
        ("[dns]\nonly_passing = true\n", {"CONSUL_HTTP_TOKEN": "hunter2"}, False),
    ):
        settings.write_text(content)
        settings.chmod(0o644)
        result = CliRunner().invoke(main, ["config", "check", str(settings)], env=environment)
        assert result.exit_code == 0, result.output
        assert (f"chmod o-rwx {settings}" in result.stderr) is is_named


def test_config_show_names_origins() -> None:
    result = CliRunner().invoke(
        main, ["config", "show", "--origin"], env={"CONSUL_HTTP_TOKEN": "hunter2"}
    )
    assert result.exit_code == 0
    assert "# token is set, and left out here  # environment CONSUL_HTTP_TOKEN\n" in result.output
    assert 'domain = "consul"  # default\n' in result.output


def test_config_show_is_plain_without() -> None:
    result = CliRunner().invoke(main, ["config", "show"])
    assert "# default" not in result.output
    assert all(f"\n{each.key} = " in f"\n{result.output}" for each in declared().values())


def test_config_reference_has_every_setting() -> None:
    result = CliRunner().invoke(main, ["config", "reference"])
    assert all(each.variable in result.output for each in declared().values())


def test_workers_are_started_by_a_command_that_is_not_listed() -> None:
    result = CliRunner().invoke(main, ["worker", "tea", "--link", "3"], prog_name="consuldns")
    assert result.exit_code == 2
    assert "'tea' is not one of 'dns', 'sync'" in result.output
    assert "worker " not in CliRunner().invoke(main, ["--help"]).output.partition("Commands")[2]
