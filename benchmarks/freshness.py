"""How long a change in Consul takes to be in the answers, through the whole real server.

Three classes of services, as the design names them: one asked for most (it has a blocking query of
its own), 500 being asked for, and others that nobody has asked for. Changes are new addresses, new
and removed instances, and check states, at random. Time runs from the moment that Consul's reply to
the change has come to the first right answer; the connections to Consul are counted meanwhile.

    python -m benchmarks.freshness [--changes N] [--asked N] [--rate CHANGES_A_SECOND]
"""

import argparse
import random
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.consul_agent import ConsulAgent
from tests.support.consuldns_process import Serve

ASK_EACH_SECONDS = 1.0  # every service of the class is asked for this often
LOST_AFTER_SECONDS = 10.0


@dataclass(slots=True)
class Service:
    """A service with at most one instance: its address, or none if it is gone or critical."""

    name: str
    number: int
    address: str | None = None
    generation: int = 0


class Asker:
    """Asks for A records over one UDP socket; replies are matched by id."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)

    def ask(self, service: Service) -> None:
        """Send a question; the id is the service's number."""
        name = service.name.encode()
        question = bytes([len(name)]) + name + b"\7service\6consul\0\0\1\0\1"
        header = service.number.to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0\0"
        self._socket.send(header + question)

    def replies(self, seconds: float) -> Iterator[tuple[int, str | None]]:
        """Number and address (None: there is none) of replies that come within the time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], left)[0]:
                return
            try:
                reply = self._socket.recv(512)
            except BlockingIOError:
                continue
            number = int.from_bytes(reply[:2], "big")
            if reply[3] & 15 == 2:
                continue  # SERVFAIL is no answer
            has_answer = reply[6:8] != b"\0\0"
            yield number, socket.inet_ntoa(reply[-4:]) if has_answer else None


def change(consul: ConsulAgent, service: Service, chance: random.Random) -> None:
    """Change one service in one of the ways that clients see."""
    service.generation += 1
    kind = chance.choice(["address", "address", "critical", "remove"])
    node = f"node-{service.number}"
    if kind == "remove" and service.address is not None:
        consul.put("/v1/catalog/deregister", {"Node": node, "ServiceID": service.name})
        service.address = None
        return
    address = f"10.{service.generation >> 8 & 255}.{service.generation & 255}.7"
    status = "critical" if kind == "critical" and service.address is not None else "passing"
    consul.put(
        "/v1/catalog/register",
        {
            "Node": node,
            "Address": "192.0.2.1",
            "Service": {"ID": service.name, "Service": service.name, "Address": address},
            "Check": {"CheckID": f"c-{service.name}", "ServiceID": service.name, "Status": status},
        },
    )
    service.address = address if status == "passing" else None


def measure(  # noqa: C901 - one loop over changing, asking and reading replies
    consul: ConsulAgent,
    asker: Asker,
    services: list[Service],
    changes: int,
    rate: float,
    chance: random.Random,
    *,
    keep_asking: bool,
) -> list[float]:
    """Seconds from each change to the first right answer."""
    by_number = {service.number: service for service in services}
    waiting: dict[int, float] = {}  # service's number -> when it was changed
    taken: list[float] = []
    untouched = list(services)
    next_change = asked_at = time.monotonic()
    ask_position = 0.0
    while changes or waiting:
        now = time.monotonic()
        if changes and now >= next_change:
            next_change = now + 1 / rate
            free = [each for each in untouched if each.number not in waiting]
            if free:
                service = chance.choice(free)
                if not keep_asking:
                    untouched.remove(service)  # once asked for, it is no longer "another"
                change(consul, service, chance)
                waiting[service.number] = time.monotonic()
                changes -= 1
        if keep_asking:
            ask_position += (now - asked_at) * len(services) / ASK_EACH_SECONDS
            asked_at = now
            while ask_position >= 1:
                ask_position -= 1
                services.append(services.pop(0))
                asker.ask(services[-1])
        for number in list(waiting):
            asker.ask(by_number[number])
        for number, address in asker.replies(0.002):
            if number in waiting and address == by_number[number].address:
                taken.append(time.monotonic() - waiting.pop(number))
        for number, since in list(waiting.items()):
            if time.monotonic() - since > LOST_AFTER_SECONDS:
                print(f"  {by_number[number]} not seen after {LOST_AFTER_SECONDS} s")
                taken.append(float("inf"))
                del waiting[number]
    return taken


def connections_to(port: int) -> int:
    """Established connections to a port of this machine, seen from the client's side."""
    wanted = f":{port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return sum(1 for each in fields if each[2].endswith(wanted) and each[3] == "01")


def percentile(values: list[float], share: float) -> float:
    """The value that the share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    """Run the three classes and print their percentiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=300)
    parser.add_argument("--asked", type=int, default=500)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    with ConsulAgent() as consul:
        own = 1  # the connection by which the benchmark itself changes things
        services = [Service(f"fresh-{n}", n) for n in range(given.asked + 1 + given.changes)]
        for service in services:
            change(consul, service, random.Random(0))
        with Serve(consul.url, workers=1) as serve:
            asker = Asker(serve.port)
            classes = [
                ("its own blocking query", services[:1], True, 0.25),
                (f"{given.asked} being asked for", services[1 : given.asked + 1], True, 1.0),
                ("any other", services[given.asked + 1 :], False, 5.0),
            ]
            for label, members, keep_asking, limit in classes:
                for _ in range(200):  # make it known what is being asked for
                    for service in members if keep_asking else []:
                        asker.ask(service)
                    list(asker.replies(0.02))
                taken = measure(
                    consul,
                    asker,
                    list(members),
                    given.changes,
                    given.rate,
                    chance,
                    keep_asking=keep_asking,
                )
                p50, p99 = percentile(taken, 0.5), percentile(taken, 0.99)
                print(
                    f"{label:24} {len(taken):4} changes  p50 {p50 * 1000:6.0f} ms  "
                    f"p99 {p99 * 1000:6.0f} ms  max {max(taken) * 1000:6.0f} ms  "
                    f"(wanted: p99 {limit * 1000:.0f} ms)  "
                    f"connections {connections_to(consul.http_port) - own}"
                )


if __name__ == "__main__":
    main()
