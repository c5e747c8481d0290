"""What a query costs inside the handler: from the packet to the reply, sockets left out.

    python -m benchmarks.table [--rounds N]

Every figure is the smallest of several rounds: microseconds of CPU time, and the ratio to a bare
dictionary look-up of a packet, measured in the same run. The resolver and the views are real ones.
"""

import argparse
import gc
import time
from collections.abc import Callable
from random import Random

from consuldns.dns import resolver
from consuldns.dns.policy import Policy
from consuldns.server.handler import Handler
from consuldns.server.listen import Transport
from consuldns.wire import decode
from tests.support import kubernetes_data
from tests.support.catalog import Catalog
from tests.wire.packets import CLIENT, SRV, A, opt, option, query_packet

NESTED = [
    {
        "namespace": f"team{service % 20}",
        "name": f"api{service}",
        "cluster_ips": [f"10.254.{service // 250}.{service % 250 + 1}"],
        "ports": ["http:TCP:80"],
    }
    for service in range(300)
]
CATALOG = Catalog(
    register=[
        {
            "Node": f"n{instance}-{service}",
            "Address": f"10.{instance}.{service // 250}.{service % 250 + 1}",
            "Service": {"Service": f"web{service}", "Port": 80},
        }
        for service in range(300)
        for instance in range(5)
    ]
    + kubernetes_data.registrations(NESTED),
    kv=kubernetes_data.keys(NESTED, []),
)
COOKIE = opt(options=option(10, b"12345678"))
VIEWS = CATALOG.views()
POLICY = Policy()


def new_handler() -> Handler:
    """A handler that knows everything and has answered nothing."""
    return Handler(VIEWS, POLICY, need=print, randomness=Random(1), clock=time.monotonic)


def smallest(rounds: int, once: Callable[[], int]) -> float:
    """Microseconds of one query: `once` gives the nanoseconds of a round and is repeated."""
    return min(once() for _ in range(rounds)) / 1000


def hits(packet: bytes) -> Callable[[], int]:
    """A question that has been asked before, 1000 times."""
    handler = new_handler()
    for _ in range(20):
        handler.handle(packet, Transport.UDP, print, client=CLIENT)
    find = handler.find

    def once() -> int:
        started = time.thread_time_ns()
        for _ in range(1000):
            find(packet, False)
        return (time.thread_time_ns() - started) // 1000

    return once


def first_seen(packets: list[bytes]) -> Callable[[], int]:
    """Questions that have not been asked before, with their data in memory."""

    def once() -> int:
        handler = new_handler()
        started = time.thread_time_ns()
        for packet in packets:
            if handler.find(packet, False) is None:
                handler.handle(packet, Transport.UDP, print, client=CLIENT)
        return (time.thread_time_ns() - started) // len(packets)

    return once


def part(packets: list[bytes], work: Callable[[bytes], object]) -> Callable[[], int]:
    """One step of the slow way."""

    def once() -> int:
        started = time.thread_time_ns()
        for packet in packets:
            work(packet)
        return (time.thread_time_ns() - started) // len(packets)

    return once


def find(packet: bytes) -> object:
    """The answer to a packet, not yet encoded."""
    query = decode.read_query(packet)
    assert isinstance(query, decode.Query)
    return resolver.resolve(query.question, VIEWS, POLICY)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    gc.freeze()  # views live long: the collector need not look at them for each new answer
    known = {query_packet("web1.service.consul")[2:]: b""}
    services = [f"web{n}.service.consul" for n in range(300)]
    a, srv = ([query_packet(name, type_, edns=opt()) for name in services] for type_ in (A, SRV))
    nested = [query_packet(f"api{n}.team{n % 20}.svc.dc1.consul", edns=opt()) for n in range(300)]
    random_names = [query_packet(f"x{n:012x}.service.consul") for n in range(300)]
    of_service, of_svc = (
        [query_packet(f"x{n:012x}.team{n % 20}.{tree}.consul") for n in range(300)]
        for tree in ("service", "svc.dc1")
    )
    hit = {
        "bare dictionary look-up": part(a * 3, lambda packet: known.get(packet[2:])),
        "hit, A without EDNS": hits(query_packet("web1.service.consul")),
        "hit, A, any spelling, with a cookie": hits(
            query_packet("WEB1.service.consul", edns=COOKIE)
        ),
        "hit, SRV": hits(query_packet("web1.service.consul", SRV, edns=opt())),
        "hit, denial": hits(query_packet("nope.service.consul", edns=opt())),
    }
    seen_first = {
        "first seen, A of 5 instances": a,
        "first seen, SRV of 5 instances": srv,
        "first seen, A of a nested name": nested,
        "denial of a flat name": random_names,
        "denial of a nested name below service": of_service,
        "denial of a nested name below svc": of_svc,
    }
    bare = 0.0
    for name, once in hit.items():
        microseconds = smallest(rounds, once)
        bare = bare or microseconds
        print(f"{name:40} {microseconds:8.2f} us {microseconds / bare:8.1f}x")
    for name, packets in seen_first.items():
        whole, reading, finding = (
            smallest(rounds, once)
            for once in (first_seen(packets), part(packets, decode.read_query), part(packets, find))
        )
        steps = f"reading {reading:.1f}, resolver {finding - reading:.1f}"
        print(f"{name:40} {whole:8.2f} us {whole / bare:8.1f}x  of which {steps}")


if __name__ == "__main__":
    main()
