"""The mistakes of a first configuration that docs/troubleshooting.md lists, with their messages."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from consuldns.cli import main
from tests.support.consul_agent import REPOSITORY

ROWS = re.findall(
    r"^\| (`.*`) \| `(FILE:.*)` \|$", (REPOSITORY / "docs/troubleshooting.md").read_text(), re.M
)


def complaints(file: Path) -> list[str]:
    found = CliRunner().invoke(main, ["config", "check", str(file)], env={})
    assert found.exit_code == 4
    return [line.replace(str(file), "FILE") for line in found.stderr.splitlines()]


@pytest.mark.parametrize(("lines", "message"), ROWS)
def test_message(lines: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "consuldns.toml"
    file.write_text("".join(f"{line}\n" for line in re.findall("`([^`]+)`", lines)))
    assert complaints(file) == [f"Error: {message}"]


def test_there_are_enough() -> None:
    assert len(ROWS) >= 20


def test_every_mistake_is_named(tmp_path: Path) -> None:
    file = tmp_path / "consuldns.toml"
    file.write_text(
        'listen = ["x"]\nworkers = -1\n[dns]\nfoo = 1\ndomain = "a"\nalt_domain = ["a"]\n'
    )
    assert complaints(file) == [
        "Error: FILE:4: unknown setting dns.foo (see 'consuldns config reference')",
        "Error: FILE:1: listen must be an IP address and a port such as 127.0.0.1:8600, not 'x'",
        "Error: FILE:2: workers must be a whole number from 0 to 256, not -1",
        "Error: FILE:6: dns.alt_domain is the same as dns.domain (remove it)",
    ]
