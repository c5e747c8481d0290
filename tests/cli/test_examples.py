"""Every example of a help text works as it stands for somebody who has just run `consuldns dev`."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from consuldns.cli import main
from tests.cli.test_commands import commands
from tests.meta.test_documents import Dev, _replaced
from tests.support.consul_agent import free_ports
from tests.support.consuldns_process import ConsuldnsProcess


def examples() -> Iterator[tuple[tuple[str, ...], str]]:
    """All but those of `sync`, which need a cluster."""
    for words, command in commands().items():
        text = " ".join((command.help or "").split())
        if words[:1] != ("sync",) and not isinstance(command, click.Group):
            found = re.search(r"Example[^:]*: (.*)", text)
            assert found, words
            yield words, found[1]
    assert main.epilog
    yield (), main.epilog.partition(", then: ")[2]


WWW = "consuldns/zones/example.internal/www"
EXAMPLES = [pytest.param(each, example, id=" ".join(each)) for each, example in examples()]


@pytest.fixture(scope="module")
def dev() -> Iterator[Dev]:
    with Dev() as server:
        server.ports |= {"8653": str(free_ports(1)[0]), "9154": str(free_ports(1)[0])}
        yield server


@pytest.mark.parametrize(("words", "example"), EXAMPLES)
def test_it_works(words: tuple[str, ...], example: str, dev: Dev, tmp_path: Path) -> None:
    if words == ("dev",):
        return  # the fixture has run it, with other ports
    command = _replaced(example, dev.ports)
    (tmp_path / "consul.d").mkdir()
    command = command.replace("/etc/consul.d", "consul.d")
    if words[0:1] == ("zone",):
        (tmp_path / "example.internal.zone").write_text("$TTL 60\nwww A 192.0.2.1\n")
        dev.run("curl -X PUT -d 'A = \"192.0.2.1\"' http://127.0.0.1:8500/v1/kv/" + WWW)
    if words in (("query",), ("zone", "diff")):
        command += f" --server 127.0.0.1:{dev.ports['8600']}"  # the default, while no test runs
    if words == ("serve",):
        with ConsuldnsProcess(command.split()[1:]) as server:
            server.wait_for_line("ready")
        return
    result = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command.replace('less', 'cat')}"],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
        env=dev.environment,
    )
    assert result.returncode == 0, result.stderr
    if words in ((), ("query",)):
        assert "ANSWER: 1" in result.stdout
    if words == ("config", "check"):
        assert result.stdout == "the configuration is valid\n"
