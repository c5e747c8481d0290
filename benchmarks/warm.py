"""A large catalog: how long until it is all in memory, and what first questions cost then.

Loads a real Consul with services on nodes, starts a server, and measures the time to the first
right answer and until everything is read, the memory of all processes, a first pass over all
services (CPU of the server a query, requests to Consul meanwhile), and throughput over all of them
against 100 of them.

    python -m benchmarks.warm [--services N] [--instances N] [--nodes N]
"""

import argparse
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare import cpu_seconds, family
from tests.support.consul_agent import ConsulAgent
from tests.support.consuldns_process import Serve, children_of

IN_FLIGHT = 50
OPERATIONS = 64  # of one transaction: Consul's limit


def load(consul: ConsulAgent, services: int, instances: int, nodes: int) -> None:
    """Register nodes, and instances of services spread over them."""
    node = [
        {"Node": {"Verb": "set", "Node": {"Node": f"node-{n}", "Address": _address(172, n)}}}
        for n in range(nodes)
    ]
    instance = [
        {
            "Service": {
                "Verb": "set",
                "Node": f"node-{n % nodes}",
                "Service": {
                    "ID": f"s{n % services}-{n // services}",
                    "Service": f"s{n % services}",
                    "Address": _address(10, n),
                    "Port": 8000,
                    "Tags": ["v1"],
                },
            }
        }
        for n in range(instances)
    ]
    for operations in (node, instance):
        for start in range(0, len(operations), OPERATIONS):
            consul.put("/v1/txn", operations[start : start + OPERATIONS])


def _address(first: int, number: int) -> str:
    return f"{first}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def ask(port: int, names: Sequence[bytes], count: int) -> tuple[float, int]:
    """Ask for A records round-robin, 50 at a time; seconds taken, and how many were answered."""
    with socket.socket(type=socket.SOCK_DGRAM) as asker:
        asker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        asker.connect(("127.0.0.1", port))
        asker.settimeout(5)
        began = time.monotonic()
        sent = answered = 0
        while answered < count:
            while sent < count and sent - answered < IN_FLIGHT:
                name = names[sent % len(names)]
                asker.send(
                    (sent & 0xFFFF).to_bytes(2, "big")
                    + b"\1\0\0\1\0\0\0\0\0\0"
                    + bytes([len(name)])
                    + name
                    + b"\7service\6consul\0\0\1\0\1"
                )
                sent += 1
            reply = asker.recv(4096)
            if reply[3] & 15 or reply[6:8] == b"\0\0":
                raise SystemExit(f"not answered: {reply!r}")
            answered += 1
        return time.monotonic() - began, answered


def megabytes(pids: Sequence[int]) -> float:
    """Memory of the processes (proportional set size: what they share counts once)."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--instances", type=int, default=100_000)
    parser.add_argument("--nodes", type=int, default=2_000)
    given = parser.parse_args()
    names = [f"s{n}".encode() for n in range(given.services)]
    with ConsulAgent() as consul:
        load(consul, given.services, given.instances, given.nodes)
        began = time.monotonic()
        with Serve(consul.url, workers=1) as serve:
            ask(serve.port, names[:1], 1)
            print(f"first right answer after {time.monotonic() - began:.2f} s")
            while serve.metric("consuldns_views") < given.services:
                time.sleep(0.1)
            everything = time.monotonic() - began
            pids = list(family(serve.pid))
            print(
                f"everything read after {everything:.1f} s, CPU {cpu_seconds(serve.pid):.1f} s; "
                f"{megabytes(pids):.0f} MB in {len(pids)} processes"
            )
            time.sleep(2)
            for label, asked, rounds in (
                ("first pass over all", names, 1),
                ("second pass", names, 1),
                ("ten more", names, 10),
                ("100 of them", names[:100], 200),
            ):
                requests = serve.metric("consuldns_consul_requests_total")
                used = cpu_seconds(serve.pid)
                seconds, count = ask(serve.port, asked, rounds * len(asked))
                used = cpu_seconds(serve.pid) - used
                requests = serve.metric("consuldns_consul_requests_total") - requests
                print(
                    f"{label:20} {count / seconds:8.0f} queries/s "
                    f"{used / count * 1e6:6.0f} us CPU a query, {requests:.0f} requests to Consul"
                )
            print(f"{megabytes(pids):.0f} MB at the end")
            before = time.monotonic()
            os.kill(children_of(serve.pid)[0], 9)
            ask(serve.port, names[:1], 1)
            print(f"a killed worker's successor answers after {time.monotonic() - before:.2f} s")


if __name__ == "__main__":
    main()
