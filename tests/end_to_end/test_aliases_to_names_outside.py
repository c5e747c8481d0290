"""Resolvers in front of an alias to a name outside: as the recipes of docs/kubernetes.md say."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import pytest

from tests.support.ask import answers, ask
from tests.support.consul_agent import ConsulAgent, free_ports, wait_until
from tests.support.consuldns_process import Serve

ALIAS = "lb.service.consul."
OUTSIDE = "edge.service.outside."


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Serve, Serve]]:
    """Ours, and one that has the names outside."""
    with ConsulAgent() as consul:
        for service, address in (("lb", "edge.service.outside"), ("edge", "203.0.113.7")):
            registered = {"Service": service, "Address": address, "Port": 443}
            payload = {"Node": "n", "Address": "10.0.0.1", "Service": registered}
            consul.put("/v1/catalog/register", payload)
        other = Serve(consul.url, config='[dns]\ndomain = "outside"')
        with Serve(consul.url) as ours, other as outside:
            yield ours, outside


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command)

    def is_ready() -> bool:
        try:
            return answers(ask(port, OUTSIDE, timeout=1)) == {"203.0.113.7"}
        except dns.exception.DNSException:
            return False

    try:
        wait_until(is_ready, f"an answer by {command[0]}")
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_ours_is_the_alias_alone(servers: tuple[Serve, Serve]) -> None:
    assert answers(ask(servers[0].port, ALIAS)) == {"edge.service.outside."}


def test_unbound_looks_the_target_up(servers: tuple[Serve, Serve], tmp_path: Path) -> None:
    (port,) = free_ports(1)
    lines = [
        *("server:", 'chroot: ""', 'username: ""', f'directory: "{tmp_path}"', 'pidfile: ""'),
        *("use-syslog: no", f"port: {port}", "interface: 127.0.0.1", "do-ip6: no"),
        *("do-not-query-localhost: no", 'module-config: "iterator"', "num-threads: 1"),
    ]
    for zone, server in zip(("consul", "outside"), servers, strict=True):
        lines += ["stub-zone:", f'name: "{zone}"', f"stub-addr: 127.0.0.1@{server.port}"]
    file = tmp_path / "unbound.conf"
    file.write_text("\n".join(lines))
    with running(["/usr/sbin/unbound", "-d", "-c", str(file)], port):
        assert answers(ask(port, ALIAS)) == {"edge.service.outside.", "203.0.113.7"}


def test_dnsmasq_passes_the_alias_on_as_it_is(servers: tuple[Serve, Serve], tmp_path: Path) -> None:
    (port,) = free_ports(1)
    zones = [
        f"server=/{zone}/127.0.0.1#{server.port}"
        for zone, server in zip(("consul", "outside"), servers, strict=True)
    ]
    lines = [f"port={port}", "listen-address=127.0.0.1", "bind-interfaces", "no-resolv", "no-hosts"]
    file = tmp_path / "dnsmasq.conf"
    file.write_text("\n".join([*lines, "user=", "pid-file=", *zones]) + "\n")
    command = ["/usr/sbin/dnsmasq", "--keep-in-foreground", f"--conf-file={file}"]
    with running([*command, "--log-facility=-"], port):
        assert answers(ask(port, ALIAS)) == {"edge.service.outside."}
