"""Records in the KV tree: from a change to its answer, and memory, by the size of the zone.

python -m benchmarks.zones [--names N] [--changes N]
"""

import argparse
import base64
import statistics
import time

from benchmarks.compare import cpu_seconds
from benchmarks.warm import OPERATIONS, megabytes
from tests.support.ask import answers, ask, wait_for_answer
from tests.support.consul_agent import ConsulAgent
from tests.support.consuldns_process import Serve, children_of

ROOT = "consuldns/zones"
PAUSE_SECONDS = 1.0  # between changes: what follows at once is taken together


def zone_of(number: int, zones: int) -> str:
    """The zone that a name is in."""
    return f"z{number % zones}.example.internal"


def load(consul: ConsulAgent, names: int, zones: int) -> None:
    """Names with an address each, in several zones."""
    operations = [
        {
            "KV": {
                "Verb": "set",
                "Key": f"{ROOT}/{zone_of(n, zones)}/host-{n}",
                "Value": base64.b64encode(
                    f'ttl = 30\nA = "10.{n >> 16}.{n >> 8 & 255}.{n & 255}"\n'.encode()
                ).decode(),
            }
        }
        for n in range(names)
    ]
    for start in range(0, len(operations), OPERATIONS):
        consul.put("/v1/txn", operations[start : start + OPERATIONS])


def change(consul: ConsulAgent, port: int, number: int, zone: str) -> float:
    """Seconds from the end of a write to the first answer that has it."""
    name, wanted = f"host-{number}.{zone}", f"192.0.2.{number % 250 + 1}"
    consul.put(f"/v1/kv/{ROOT}/{zone}/host-{number}", f'A = "{wanted}"')
    began = time.monotonic()
    while answers(ask(port, name, timeout=10)) != {wanted}:
        if time.monotonic() - began > 60:
            raise SystemExit(f"{name} is not answered with {wanted}")
    return time.monotonic() - began


def memory(serve: Serve) -> float:
    """Megabytes of all processes of the server."""
    return megabytes([serve.pid, *children_of(serve.pid)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", type=int, default=10_000)
    parser.add_argument("--zones", type=int, default=1)
    parser.add_argument("--changes", type=int, default=20)
    given = parser.parse_args()
    with ConsulAgent() as consul, Serve(consul.url, workers=1) as serve:
        wait_for_answer(serve.port, "consul.service.consul", "A", "127.0.0.1")
        without = memory(serve)
        load(consul, given.names, given.zones)
        began = time.monotonic()
        last = given.names - 1
        for n in range(last, last - given.zones, -1):
            name = f"host-{n}.{zone_of(n, given.zones)}"
            wait_for_answer(serve.port, name, "A", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
        taken = time.monotonic() - began
        print(f"{given.names} names in {given.zones} zones, all read after {taken:.2f} s")
        used = cpu_seconds(serve.pid)
        spent = []
        for number in range(given.changes):
            time.sleep(PAUSE_SECONDS)
            for n in range(last, last - given.zones, -1):
                ask(serve.port, f"host-{n}.{zone_of(n, given.zones)}", timeout=10)
            spent.append(change(consul, serve.port, number * 3, zone_of(number * 3, given.zones)))
        time.sleep(PAUSE_SECONDS)
        used = (cpu_seconds(serve.pid) - used) / given.changes
        print(
            f"change to answer: median {statistics.median(spent) * 1e3:.0f} ms, "
            f"most {max(spent) * 1e3:.0f} ms, {used * 1e3:.0f} ms CPU of the server"
        )
        print(f"memory: {memory(serve) - without:.0f} MB more than without")


if __name__ == "__main__":
    main()
