"""Resolvers of Debian ask us, with the configurations of docs/resolvers.md."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.meta.test_documents import Dev, fences
from tests.support.consul_agent import REPOSITORY, free_ports, wait_until

RECIPES = REPOSITORY / "docs/resolvers.md"


def unbound(folder: Path, port: int, shown: str) -> Sequence[str]:
    own = [
        "server:",
        f"    interface: 127.0.0.1@{port}",
        f'    directory: "{folder}"',
        '    pidfile: ""',
        '    username: ""',
        '    chroot: ""',
        "    use-syslog: no",
        "    num-threads: 1",
        "    private-address: 10.0.0.0/8",
    ]
    file = written(folder / "unbound.conf", "\n".join(own) + "\n" + shown)
    return ["/usr/sbin/unbound", "-d", "-c", file]


def dnsmasq(folder: Path, port: int, shown: str) -> Sequence[str]:
    own = f"port={port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nuser=\n"
    own += "pid-file=\nstop-dns-rebind\n"
    file = written(folder / "dnsmasq.conf", own + shown)
    return ["/usr/sbin/dnsmasq", "--keep-in-foreground", f"--conf-file={file}", "--log-facility=-"]


def named(folder: Path, port: int, shown: str) -> Sequence[str]:
    own = (
        f'directory "{folder}"; pid-file none; listen-on port {port} {{ 127.0.0.1; }}; '
        "listen-on-v6 { none; }; deny-answer-addresses { 10.0.0.0/8; } "
        'except-from { "consul"; };'
    )
    text = shown.replace("options {", f"controls {{ }};\noptions {{ {own}", 1)
    return ["/usr/sbin/named", "-f", "-n", "1", "-c", written(folder / "named.conf", text)]


def kresd(folder: Path, port: int, shown: str) -> Sequence[str]:
    own = f"net.listen('127.0.0.1', {port}, {{ kind = 'dns' }})\ncache.size = 10 * MB\n"
    file = written(folder / "kresd.conf", own + shown)
    return ["/usr/sbin/kresd", "--noninteractive", "-c", file, str(folder)]


def resolved(folder: Path, port: int, shown: str) -> Sequence[str]:
    """In a mount namespace, where it finds its own files, user and configuration."""
    written(folder / "consul.conf", shown)
    own = "[Resolve]\nLLMNR=no\nMulticastDNS=no\nDNSStubListener=no\n"
    written(folder / "test.conf", own + f"DNSStubListenerExtra=127.0.0.1:{port}\n")
    script = str(REPOSITORY / "tests/support/run_resolved.sh")
    return ["unshare", "--mount", script, str(folder)]


def written(file: Path, text: str) -> str:
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize(
    ("language", "prepare"),
    [
        ("unbound", unbound),
        ("dnsmasq", dnsmasq),
        ("ini", resolved),
        ("named", named),
        ("lua", kresd),
    ],
)
def test_resolver_asks_us(
    language: str, prepare: Callable[[Path, int, str], Sequence[str]], tmp_path: Path
) -> None:
    (shown,) = fences(RECIPES, language)
    (port,) = free_ports(1)
    with Dev() as server:
        shown = shown.replace("8653", server.ports["8600"])
        command = prepare(tmp_path, port, shown)
        log = (tmp_path / "log").open("wb")
        running = subprocess.Popen(command, stdout=log, stderr=log)
        log.close()
        try:
            assert_resolves_through(server, port, tmp_path / "log")
        finally:
            running.terminate()
            running.wait(timeout=20)


def assert_resolves_through(server: Dev, port: int, log: Path) -> None:
    """A name and an address, and what does not exist."""
    dig = f"dig @127.0.0.1 -p {port} +tries=1 +time=3"
    try:
        wait_until(
            lambda: server.run(f"{dig} monitoring-heapster.service.consul +short") == ADDRESS,
            "an answer",
            30,
        )
    except AssertionError as error:
        raise AssertionError(f"{log.read_text()}\n{server.log}") from error
    assert (
        server.run(f"{dig} -x 10.254.70.176 +short") == "monitoring-heapster.service.dc1.consul.\n"
    )
    assert "status: NXDOMAIN" in server.run(f"{dig} nothing.service.consul")
    assert "status: NXDOMAIN" in server.run(f"{dig} -x 10.254.70.177")


ADDRESS = "10.254.70.176\n"
