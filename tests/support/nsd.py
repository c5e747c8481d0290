"""NSD with zone files of the tests' own: what an authoritative server says about a zone."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.consul_agent import free_ports
from tests.support.daemon import running

NSD = "/usr/sbin/nsd"


@contextmanager
def nsd(zones: Mapping[str, str]) -> Iterator[int]:
    """The port of an NSD that serves these zone files, by the names of their zones."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (port,) = free_ports(1)
        lines = [
            "server:",
            f"  ip-address: 127.0.0.1@{port}",
            f'  zonesdir: "{directory}"',
            f'  pidfile: "{directory}/nsd.pid"',
            f'  xfrdfile: "{directory}/xfrd.state"',
            f'  xfrdir: "{directory}"',
            '  database: ""',
            '  username: ""',
            '  chroot: ""',
            "  rrl-ratelimit: 0",
            "remote-control:",
            "  control-enable: no",
        ]
        for number, (zone, text) in enumerate(zones.items()):
            (directory / f"{number}.zone").write_text(text)
            lines += ["zone:", f"  name: {zone}", f"  zonefile: {number}.zone"]
        config = directory / "nsd.conf"
        config.write_text("\n".join(lines) + "\n")
        command = [NSD, "-d", "-c", str(config)]
        with running(command, port, next(iter(zones)), "SOA"):
            yield port
