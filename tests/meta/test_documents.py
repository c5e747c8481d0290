"""The documents are true: links and paths exist, settings load, commands print what is shown."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from consuldns.config import consul_keys
from consuldns.config.load import load
from consuldns.config.schema import declared
from tests.support.consul_agent import REPOSITORY, free_ports, wait_until
from tests.support.consuldns_process import ConsuldnsProcess

DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
PROGRAMS = Path(sys.executable).parent  # where `consuldns` is installed
ENVIRONMENT = {"PATH": f"{PROGRAMS}:/usr/bin:/bin:/usr/sbin", "PYTHONPATH": str(REPOSITORY)}


def name(document: Path) -> str:
    return str(document.relative_to(REPOSITORY))


def fences(document: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.M | re.S)


# --- links and settings --------------------------------------------------------------------------


def anchors(document: Path) -> list[str]:
    """The fragments by which a document's headings are linked to, as on GitHub."""
    prose = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.M | re.S)
    return [
        re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", prose, re.M)
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_to_files_and_headings(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" not in target:
            file, _, fragment = target.partition("#")
            linked = document.parent / file if file else document
            assert linked.exists(), target
            assert not fragment or fragment in anchors(linked), target


def test_the_site_has_every_document_for_users() -> None:
    text = (REPOSITORY / "packaging/zensical.toml").read_text()
    pages = set(re.findall(r'"([\w/-]+\.md)"', text))
    documents = {str(each.relative_to(REPOSITORY / "docs")) for each in DOCUMENTS if is_page(each)}
    assert pages == documents


def is_page(document: Path) -> bool:
    return document.is_relative_to(REPOSITORY / "docs") and document.parent.name != "adr"


def test_every_document_can_be_reached_from_the_readme() -> None:
    found, left = set[Path](), [REPOSITORY / "README.md"]
    while left:
        document = left.pop()
        if document in found:
            continue
        found.add(document)
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text()):
            linked = (document.parent / target).resolve()
            left += linked.glob("*.md") if linked.is_dir() else [linked]
        left = [each for each in left if each.suffix == ".md"]
    assert set(DOCUMENTS) <= found


GUIDES = [REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "docs/architecture.md"]


@pytest.mark.parametrize("document", GUIDES, ids=name)
def test_paths_in_the_guides_exist(document: Path) -> None:
    """`dns/grammar.py` is below `consuldns/` or in the repository."""
    paths = re.findall(r"`((?:[\w.-]+/)+(?:[\w.-]+\.\w+)?|\w+\.py)`", document.read_text())
    missing = [
        path
        for path in paths
        if not (REPOSITORY / path).exists() and not any(REPOSITORY.glob(f"consuldns/**/{path}"))
    ]
    assert len(paths) > 15
    assert missing == []


def test_the_architecture_has_every_package() -> None:
    text = (REPOSITORY / "docs/architecture.md").read_text()
    layers = "".join(re.findall(r"^\| \d+ .*$", text, re.M))
    parts = {
        path.stem for path in (REPOSITORY / "consuldns").glob("[!_]*") if path.suffix != ".typed"
    }
    assert {part for part in parts if f"`{part}`" not in layers} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_settings_can_be_loaded(document: Path, tmp_path: Path) -> None:
    for number, text in enumerate(fences(document, "toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(text)
        load(file=file, environment={})


# --- commands ------------------------------------------------------------------------------------


class Dev(ConsuldnsProcess):
    """`consuldns dev` on free ports, which stand for the ports that the documents name."""

    def __init__(self) -> None:
        http, dns, admin = map(str, free_ports(3))
        self.ports = {"8500": http, "8600": dns, "9153": admin}
        # The default of the commands that ask Consul, which the documents leave out.
        self.environment = ENVIRONMENT | {"CONSUL_HTTP_ADDR": f"127.0.0.1:{http}"}
        super().__init__(
            ["dev", "--http-addr", f"127.0.0.1:{http}", "--listen", f"127.0.0.1:{dns}"],
            environment={"CONSULDNS_ADMIN_ADDR": f"127.0.0.1:{admin}"},
        )

    def __enter__(self) -> Self:
        self.start()
        self.wait_for_line("ready")
        return self

    def run(self, command: str) -> str:
        """What a command prints, with the documents' ports again in place of the real ones."""
        result = subprocess.run(
            ["bash", "-c", _replaced(command, self.ports)],
            capture_output=True,
            text=True,
            timeout=30,
            cwd=REPOSITORY,
            env=self.environment,
        )
        return _replaced(result.stdout + result.stderr, {b: a for a, b in self.ports.items()})


def _replaced(text: str, ports: dict[str, str]) -> str:
    return re.sub(rf"\b(?:{'|'.join(ports)})\b", lambda match: ports[match[0]], text)


def commands(fence: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a fence, and the lines that are shown as its output."""
    for part in re.split(r"^\$ ", fence, flags=re.M)[1:]:
        command, *output = part.splitlines()
        yield command, output


def is_printed(shown: list[str], printed: str) -> bool:
    """Whether these lines were printed and no others; `...` stands for any.

    Spaces and tabs are equal in any number.
    """
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else re.escape(_normal(line)) for line in shown
    )
    return re.fullmatch(pattern, _normal(printed)) is not None


def _normal(text: str) -> str:
    return "".join(" ".join(line.split()) + "\n" for line in text.splitlines())


@pytest.mark.parametrize(
    "document", [each for each in DOCUMENTS if fences(each, "console")], ids=name
)
def test_commands_print_what_is_shown(document: Path) -> None:
    with Dev() as server:
        for fence in fences(document, "console"):
            for command, shown in commands(fence):
                assert_prints(server, command, shown)


def assert_prints(server: Dev, command: str, shown: list[str]) -> None:
    """Again and again if need be: a change takes some milliseconds from Consul to the DNS."""
    printed: list[str] = []

    def is_as_shown() -> bool:
        printed.append(server.run(command))
        return is_printed(shown, printed[-1])

    try:
        wait_until(is_as_shown, command)
    except AssertionError as error:
        raise AssertionError(f"$ {command}\n{printed[-1]}") from error


@pytest.mark.parametrize(
    ("shown", "printed", "result"),
    [
        (["a  b"], "a\tb\n", True),
        (["...", "b", "..."], "a\nb\nc\n", True),
        (["a", "c"], "a\nb\nc\n", False),
        (["..."], "", True),
        ([], "a\n", False),
    ],
)
def test_comparison_of_output(shown: list[str], printed: str, result: bool) -> None:
    assert is_printed(shown, printed) is result


# --- Consul's settings ---------------------------------------------------------------------------


def test_every_setting_of_consuls_dns_is_in_the_table() -> None:
    text = (REPOSITORY / "docs/moving-from-consul-dns.md").read_text()
    rows = dict(re.findall(r"^\| (`.*`) \| (.*) \|$", text, re.M))
    listed = {key for cell in rows for key in re.findall("`([^`]+)`", cell)}
    taken = {f"dns_config.{key}" for key in consul_keys.TAKEN} | {*consul_keys.TAKEN_FROM_TOP}
    sections = {"dns_config", "ports", "addresses", "acl"}
    assert listed == taken | (consul_keys.EXPLAINED.keys() - sections)
    for cell, here in rows.items():
        for path in re.findall(r"`(dns\.[\w.]+|consul\.\w+|listen)`", here):
            assert path in declared() or f"{path}.refresh" in declared(), cell
