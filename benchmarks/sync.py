"""The Kubernetes sync worker: a large cluster's first sync, and how long a change takes to be DNS.

    python -m benchmarks.sync [--services N] [--endpoints N] [--changes N]

First a cluster of many services in mode `endpoints`: instances a second, memory, writes while
nothing changes, transactions for one changed endpoint, memory after a restart. Then a small one
with `consuldns serve` behind it: services come and go and change their endpoints, one after the
other; time runs from the event of the API to the first right answer, for the names of each change.
"""

import argparse
import random
import signal
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import dns.exception

from tests.kubernetes.api_server import Object
from tests.kubernetes.catalog import raft_index, services
from tests.kubernetes.clusters import ScriptedCluster, scripted
from tests.kubernetes.objects import endpoint, service, slice_
from tests.support.ask import answers, ask, rcode
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import ConsuldnsProcess, Serve

NAMESPACES = 50
QUIET_SECONDS = 10.0


def worker(consul: ConsulAgent, kubernetes: ScriptedCluster, mode: str) -> ConsuldnsProcess:
    command = ["sync", "run", "--consul-addr", consul.url, *kubernetes.arguments]
    return ConsuldnsProcess(command, environment={"CONSULDNS_SYNC_MODE": mode})


def memory(pid: int) -> dict[str, int]:
    """Resident memory of a process now and at most, in MB."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    found = {line[0]: int(line[1]) // 1024 for line in lines if line[0] in ("VmRSS:", "VmHWM:")}
    return {"now": found["VmRSS:"], "most": found["VmHWM:"]}


def large_cluster(count: int, endpoints: int) -> Iterator[tuple[str, Object]]:
    """Services, each with a slice of endpoints whose addresses are all different."""
    for number in range(count):
        namespace = f"ns-{number % NAMESPACES}"
        ip = str(IPv4Address("10.96.0.0") + number + 1)
        yield "services", service(f"svc-{number}", ip, namespace=namespace)
        yield "endpointslices", slice_of(number, endpoints, range(endpoints))


def slice_of(number: int, endpoints: int, pods: range) -> Object:
    first = IPv4Address("10.128.0.0") + number * 2 * endpoints
    namespace = f"ns-{number % NAMESPACES}"
    each = [
        endpoint(
            str(first + pod),
            pod=f"svc-{number}-7d9f8b6c5d-{pod:05d}",
            node=f"node-{pod}",
            namespace=namespace,
        )
        for pod in pods
    ]
    return slice_(f"svc-{number}", *each, name=f"svc-{number}-abcde", namespace=namespace)


def first_sync(count: int, endpoints: int) -> None:
    with ConsulAgent() as consul, scripted() as kubernetes:
        for resource, object_ in large_cluster(count, endpoints):
            kubernetes.put(resource, object_)
        instances = count * endpoints
        with worker(consul, kubernetes, "endpoints") as running:
            running.wait_for_line("read from Consul: instances=0", 60)
            started = time.monotonic()
            wait_until(lambda: len(services(consul)) == count, "every service", 600)
            last = f"svc-{count - 1}"
            running.wait_for_line("services more", 60)
            took = time.monotonic() - started
            print(f"first sync: {instances} instances of {count} services in {took:.1f} s")
            print(f"  {instances / took:.0f} instances a second; memory {memory(running.pid)} MB")
            before = raft_index(consul)
            time.sleep(QUIET_SECONDS)
            print(f"  quiet for {QUIET_SECONDS:g} s: {raft_index(consul) - before} raft entries")
            before = raft_index(consul)
            started = time.monotonic()
            kubernetes.put(
                "endpointslices", slice_of(count - 1, endpoints, range(1, endpoints + 1))
            )
            new = str(IPv4Address("10.128.0.0") + (count - 1) * 2 * endpoints + endpoints)
            wait_until(lambda: new in addresses(consul, last), "the new endpoint", 30)
            took = time.monotonic() - started
            print(
                f"  one changed endpoint: {raft_index(consul) - before} raft entries, "
                f"in the catalog after {took * 1000:.0f} ms"
            )
            running.stop(signal.SIGKILL)
        with worker(consul, kubernetes, "endpoints") as again:
            started = time.monotonic()
            again.wait_for_line(f"read from Consul: instances={instances}", 120)
            took = time.monotonic() - started
            before = raft_index(consul)
            time.sleep(QUIET_SECONDS)
            print(f"restart: everything read after {took:.1f} s, memory {memory(again.pid)} MB")
            print(f"  {raft_index(consul) - before} raft entries")


def addresses(consul: ConsulAgent, name: str) -> set[str]:
    entries = consul.client.get(f"/v1/catalog/service/{name}").json()
    return {entry["ServiceAddress"] for entry in entries}


def latency(changes: int) -> None:
    chance = random.Random(1)
    taken: dict[str, list[float]] = {}
    with (
        ConsulAgent() as consul,
        scripted() as kubernetes,
        worker(consul, kubernetes, "endpoints"),
        Serve(consul.url) as serve,
    ):
        for number in range(changes):
            name = f"svc-{number % 50}"
            ip = f"10.{200 + number % 50}.{number // 250}.{number % 250 + 1}"
            started = time.monotonic()
            expected = change(kubernetes, name, ip, chance)
            for kind, seconds in until_seen(serve.port, expected, started):
                taken.setdefault(kind, []).append(seconds)
    print(f"API event to DNS, {changes} changes one after the other, in ms:")
    print(f"  {'':34} {'count':>6} {'p50':>6} {'p99':>6} {'most':>6}")
    for kind, times in sorted(taken.items()):
        times.sort()
        shown = [1000 * times[int(share * (len(times) - 1))] for share in (0.5, 0.99, 1.0)]
        print(f"  {kind:34} {len(times):6}" + "".join(f"{each:7.0f}" for each in shown))


Expected = dict[str, tuple[str, str, str]]
"""What is measured, with a name, a type, and what is to be seen there: data, or an rcode."""


def change(kubernetes: ScriptedCluster, name: str, ip: str, chance: random.Random) -> Expected:
    """Make the service if it is not there, else move its endpoint or remove it."""
    old = kubernetes.server.objects["endpointslices"].get(("default", f"{name}-1"))
    if old is None:
        kubernetes.put("services", service(name, "None"))
    elif chance.random() < 0.5:
        kubernetes.delete("services", name)
        kubernetes.delete("endpointslices", f"{name}-1")
        gone = old["endpoints"][0]["addresses"][0]
        return expected_of("deleted", name, gone, "NXDOMAIN", "NXDOMAIN")
    kubernetes.put("endpointslices", slice_(name, endpoint(ip, pod=f"{name}-0")))
    kind = "new" if old is None else "moved"
    return expected_of(kind, name, ip, ip, f"{name}.service.dc1.consul.")


def expected_of(kind: str, name: str, ip: str, address: str, target: str) -> Expected:
    nested = f"{name}.default.svc.dc1.consul."
    dashed = ip.replace(".", "-")
    pointer = ".".join(reversed(ip.split("."))) + ".in-addr.arpa."
    return {
        f"{kind}: flat name": (f"{name}.service.consul.", "A", address),
        f"{kind}: nested name": (nested, "A", address),
        f"{kind}: name of its endpoint": (f"{dashed}.{nested}", "A", address),
        f"{kind}: reverse name": (pointer, "PTR", target),
    }


def until_seen(port: int, expected: Expected, started: float) -> Iterator[tuple[str, float]]:
    """Ask for everything in turn; what was seen, and after how many seconds."""
    while expected:
        for kind, (name, type_, wanted) in list(expected.items()):
            if wanted in answered(port, name, type_):
                del expected[kind]
                yield kind, time.monotonic() - started
        time.sleep(0.002)
        if time.monotonic() - started > 20:
            raise AssertionError(f"not seen within 20 s: {expected}")


def answered(port: int, name: str, type_: str) -> set[str]:
    """The data of the answer, else the rcode."""
    try:
        reply = ask(port, name, type_, timeout=1.0)
    except dns.exception.Timeout:
        return {"timeout"}
    return answers(reply) or {rcode(reply)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--services", type=int, default=5000)
    parser.add_argument("--endpoints", type=int, default=10)
    parser.add_argument("--changes", type=int, default=1000)
    chosen = parser.parse_args()
    if chosen.services:
        first_sync(chosen.services, chosen.endpoints)
    if chosen.changes:
        latency(chosen.changes)


if __name__ == "__main__":
    main()
