"""consuldns, Consul's own DNS, NSD and unbound with the same data, asked in turn by dnsperf.

Servers run on one core, dnsperf on another. Absolute figures depend on the machine and its
neighbours: what counts are the ratios of one round, of which the median is printed.

    python -m benchmarks.compare [--rounds N] [--seconds N] [--base TREE] [--json FILE]

With `--base`, the program of another checkout takes part.
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.support.ask import ask, rcode
from tests.support.consul_agent import ConsulAgent, free_ports, wait_until
from tests.support.consuldns_process import Serve
from tests.support.daemon import running

SERVICES = 100
SERVER_CORE, CLIENT_CORE = 0, 1
CLOCK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """One that takes part; its processes are `pid` and the children of it."""

    name: str
    port: int
    pid: int


@dataclass(frozen=True)
class Figure:
    """Of one workload: queries a second, microseconds of CPU a query over all processes."""

    rate: float
    cpu: float


def fill(consul: ConsulAgent) -> None:
    """Register the services."""
    for number in range(SERVICES):
        for instance in range(3):
            consul.put(
                "/v1/catalog/register",
                {
                    "Node": f"node-{instance}",
                    "Address": f"10.0.0.{instance + 1}",
                    "Service": {
                        "ID": f"bench-{number}-{instance}",
                        "Service": f"bench-{number}",
                        "Address": f"10.1.{number % 256}.{instance + 1}",
                        "Port": 8000 + instance,
                    },
                },
            )


def workloads(folder: Path) -> Iterator[tuple[str, Path]]:
    services = [f"bench-{n}.service.consul" for n in range(SERVICES)]
    reverse = [f"{i + 1}.{n}.1.10.in-addr.arpa" for n in range(SERVICES) for i in range(3)]
    chance = random.Random(1)
    unknown = [f"{chance.getrandbits(60):x}.service.consul" for _ in range(200_000)]
    a = [f"{name} A" for name in services]
    srv = [f"{name} SRV" for name in services]
    ptr = [f"{name} PTR" for name in reverse]
    mix = [*a, *a, *srv, *ptr, *(f"{name} A" for name in unknown[:100])]
    chance.shuffle(mix)
    for name, lines in (
        ("A", a),
        ("SRV", srv),
        ("PTR", ptr),
        ("random names", [f"{name} A" for name in unknown]),
        ("mix", mix),
    ):
        file = folder / name.replace(" ", "-")
        file.write_text("\n".join(lines) + "\n")
        yield name, file


def zones() -> dict[str, list[str]]:
    """The same records for servers that have them in files."""
    soa = "3600 IN SOA ns.consul. hostmaster.consul. 1 3600 600 86400 0"
    forward = [f"consul. {soa}", "consul. 3600 IN NS ns.consul.", "ns.consul. 0 IN A 127.0.0.1"]
    forward += [f"node-{i}.node.dc1.consul. 0 IN A 10.0.0.{i + 1}" for i in range(3)]
    backward = [f"10.in-addr.arpa. {soa}", "10.in-addr.arpa. 3600 IN NS ns.consul."]
    for n in range(SERVICES):
        name = f"bench-{n}.service.consul."
        for i in range(3):
            target = f"0a01{n:02x}{i + 1:02x}.addr.dc1.consul."
            forward.append(f"{name} 0 IN A 10.1.{n}.{i + 1}")
            forward.append(f"{name} 0 IN SRV 1 1 {8000 + i} {target}")
            forward.append(f"{target} 0 IN A 10.1.{n}.{i + 1}")
            backward.append(f"{i + 1}.{n}.1.10.in-addr.arpa. 0 IN PTR {name}")
    return {"consul": forward, "10.in-addr.arpa": backward}


def nsd(folder: Path, port: int) -> list[str]:
    lines = [
        *("server:", "server-count: 1", f"ip-address: 127.0.0.1@{port}", 'username: ""'),
        *(f'zonesdir: "{folder}"', 'chroot: ""', 'pidfile: ""', 'database: ""', "verbosity: 0"),
        *(f'xfrdfile: "{folder}/xfrd"', f'zonelistfile: "{folder}/list"', "rrl-ratelimit: 0"),
        *("remote-control:", "control-enable: no"),
    ]
    for zone, records in zones().items():
        (folder / f"{zone}.zone").write_text("\n".join(records) + "\n")
        lines += ["zone:", f'name: "{zone}"', f'zonefile: "{zone}.zone"']
    file = folder / "nsd.conf"
    file.write_text("\n".join(lines) + "\n")
    return ["/usr/sbin/nsd", "-d", "-c", str(file)]


def unbound(folder: Path, port: int) -> list[str]:
    lines = [
        *("server:", 'chroot: ""', 'username: ""', f'directory: "{folder}"', 'pidfile: ""'),
        *("use-syslog: no", f"port: {port}", "interface: 127.0.0.1", "do-ip6: no"),
        *('module-config: "iterator"', "num-threads: 1"),
        'local-zone: "consul." static',
        'local-zone: "10.in-addr.arpa." static',
    ]
    lines += [f"local-data: '{record}'" for records in zones().values() for record in records]
    file = folder / "unbound.conf"
    file.write_text("\n".join(lines) + "\n")
    return ["/usr/sbin/unbound", "-d", "-c", str(file)]


def family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from family(int(child))


def cpu_seconds(pid: int) -> float:
    ticks = 0
    for each in family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / CLOCK


def measure(server: Server, queries: Path, seconds: float) -> Figure:
    command = ["taskset", "-c", str(CLIENT_CORE), "dnsperf", "-s", "127.0.0.1"]
    command += ["-p", str(server.port), "-d", str(queries), "-l", str(seconds)]
    before = cpu_seconds(server.pid)
    output = subprocess.run(
        [*command, "-c", "8", "-q", "200", "-e"], capture_output=True, text=True, check=True
    ).stdout
    spent = cpu_seconds(server.pid) - before
    rate = re.search(r"Queries per second:\s+([\d.]+)", output)
    done = re.search(r"Queries completed:\s+(\d+)", output)
    if rate is None or done is None:
        raise SystemExit(f"dnsperf says:\n{output}")
    return Figure(float(rate[1]), 1e6 * spent / int(done[1]))


def ready(port: int) -> None:
    wait_until(lambda: rcode(ask(port, "bench-1.service.consul", "SRV")) == "NOERROR", "answers")
    wait_until(lambda: rcode(ask(port, "1.1.1.10.in-addr.arpa", "PTR")) == "NOERROR", "PTR")


def start(stack: ExitStack, folder: Path, base: str | None) -> list[Server]:
    """All servers, with the same data."""
    consul = stack.enter_context(ConsulAgent())
    fill(consul)
    programs = {"consuldns": "."} | ({"base": base} if base else {})
    found = []
    for name, tree in programs.items():
        run = f'cd {Path(tree).resolve()} && PYTHONPATH=. exec {sys.executable} -m consuldns "$@"'
        serve = stack.enter_context(Serve(consul.url, program=("sh", "-c", run, "sh")))
        found.append(Server(name, serve.port, serve.pid))
    found.append(Server("Consul", consul.dns_port, consul.pid))
    for make in (nsd, unbound):
        own = folder / make.__name__
        own.mkdir()
        (port,) = free_ports(1)
        command = make(own, port)
        process = stack.enter_context(running(command, port, "bench-1.service.consul."))
        found.append(Server(make.__name__, port, process.pid))
    for each in found:
        ready(each.port)
    return found


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--base")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    os.sched_setaffinity(0, {SERVER_CORE})
    results: dict[str, dict[str, list[Figure]]] = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        servers = start(stack, folder, given.base)
        for workload, queries in workloads(folder):
            figures: dict[str, list[Figure]] = {each.name: [] for each in servers}
            for number in range(given.rounds + 1):
                for server in servers:
                    figure = measure(server, queries, given.seconds)
                    if number:  # the first round warms up
                        figures[server.name].append(figure)
            results[workload] = figures
            show(workload, figures)
    if given.json is not None:
        given.json.write_text(json.dumps(results, default=vars, indent=1))


def show(workload: str, figures: dict[str, list[Figure]]) -> None:
    """Medians, and the medians of the ratios of ours to each."""
    print(f"{workload}:")
    ours = figures["consuldns"]
    for name, found in figures.items():
        rates = statistics.median(a.rate / b.rate for a, b in zip(ours, found, strict=True))
        costs = statistics.median(a.cpu / b.cpu for a, b in zip(ours, found, strict=True))
        rate = statistics.median(each.rate for each in found)
        cpu = statistics.median(each.cpu for each in found)
        print(
            f"  {name:<10} {rate:>9,.0f}/s {cpu:>6.1f} us CPU"
            f"   consuldns: {rates:.2f} times the rate, {costs:.2f} times the CPU",
            flush=True,
        )


if __name__ == "__main__":
    main()
