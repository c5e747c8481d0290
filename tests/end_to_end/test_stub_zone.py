"""A resolver that asks who serves our zone, and believes it (RFC 8109): unbound, stub-prime."""

from pathlib import Path

from tests.end_to_end.conftest import register
from tests.support.ask import answers, ask, rcode, wait_for_answer
from tests.support.consul_agent import ConsulAgent, free_ports, wait_until
from tests.support.consuldns_process import Serve
from tests.support.daemon import running

OWN = "127.11.12.13"  # port 53 of it: NS records have no port
CONFIG = f'[dns]\nname_server_addresses = ["{OWN}"]\n'


def test_unbound_primes_its_stub_zone(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with (
        ConsulAgent() as consul,
        Serve(consul.url, config=CONFIG, arguments=["--listen", f"{OWN}:53"]) as serve,
    ):
        register(consul, "web", "10.0.0.1")
        wait_for_answer(serve.port, "web.service.consul", "A", "10.0.0.1")
        assert answers(ask(serve.port, "consul", "NS")) == {"ns.consul."}
        lines = [
            *("server:", 'chroot: ""', 'username: ""', f'directory: "{tmp_path}"', 'pidfile: ""'),
            *("use-syslog: no", f"port: {port}", "interface: 127.0.0.1", "do-ip6: no"),
            *('module-config: "iterator"', "num-threads: 1", "do-not-query-localhost: no"),
            *('local-zone: "consul." nodefault', 'domain-insecure: "consul."'),
            *("stub-zone:", 'name: "consul."', f"stub-addr: 127.0.0.1@{serve.port}"),
            "stub-prime: yes",
        ]
        file = tmp_path / "unbound.conf"
        file.write_text("\n".join(lines) + "\n")
        with running(["/usr/sbin/unbound", "-d", "-c", str(file)], port, "web.service.consul."):
            wait_until(
                lambda: answers(ask(port, "web.service.consul", "A")) == {"10.0.0.1"}, "primed"
            )
            assert rcode(ask(port, "nothing.service.consul", "A")) == "NXDOMAIN"
