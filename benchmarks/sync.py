"""The Kubernetes sync worker: a large cluster's first sync, and how long a change takes to be DNS.

    python -m benchmarks.sync [--services N] [--endpoints N] [--changes N]

First a cluster of many services in mode `endpoints`: instances a second, memory, writes while
nothing changes, transactions for one changed endpoint, memory after a restart. Then a small one
with `consuldns serve` behind it: services come and go and change their endpoints, one after the
other; time runs from the event of the API to the first right answer.
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
from tests.support.ask import answers, ask
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
    taken: list[float] = []
    with (
        ConsulAgent() as consul,
        scripted() as kubernetes,
        worker(consul, kubernetes, "endpoints"),
        Serve(consul.url) as serve,
    ):
        for number in range(changes):
            name = f"svc-{number % 200}"
            ip = f"10.{200 + number % 50}.{number // 250}.{number % 250 + 1}"
            expected = change(kubernetes, name, ip, chance)
            started = time.monotonic()
            while answered(serve.port, f"{name}.service.consul") != expected:
                time.sleep(0.002)
                if time.monotonic() - started > 20:
                    raise AssertionError(f"{name} is not {expected} within 20 s")
            taken.append(time.monotonic() - started)
    taken.sort()
    print(f"API event to DNS, {changes} changes one after the other:")
    for share in (0.5, 0.9, 0.99, 1.0):
        print(f"  {share:>5.0%}  {taken[int(share * (len(taken) - 1))] * 1000:.0f} ms")


def change(kubernetes: ScriptedCluster, name: str, ip: str, chance: random.Random) -> set[str]:
    """Make the service if it is not there, else move its endpoint or remove it."""
    there = ("default", name) in kubernetes.server.objects["services"]
    if there and chance.random() < 0.3:
        kubernetes.delete("services", name)
        kubernetes.delete("endpointslices", f"{name}-1")
        return set()
    if not there:
        kubernetes.put("services", service(name, "None"))
    kubernetes.put("endpointslices", slice_(name, endpoint(ip, pod=f"{name}-0")))
    return {ip}


def answered(port: int, name: str) -> set[str]:
    try:
        return answers(ask(port, name, timeout=1.0))
    except dns.exception.Timeout:
        return {"timeout"}


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
