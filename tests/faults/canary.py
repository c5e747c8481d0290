"""A client that asks at a steady rate, and accounts for every query."""

import random
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import dns.message

from tests.support.ask import answers, rcode

PATIENCE_SECONDS = 5.0  # a stub resolver tries again then
TCP_SHARE = 0.05

Expected = Mapping[str, frozenset[str]]
"""The addresses of each name; none: it does not exist."""


@dataclass
class Report:
    """What became of the queries. `latencies` in seconds, of those that were answered."""

    sent: int = 0
    right: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    """By transport."""
    failed: Counter[str] = field(default_factory=Counter)
    """Answers that are no more than an error, by rcode: SERVFAIL, REFUSED."""
    wrong: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """Milliseconds within which so many were answered."""
        found = sorted(self.latencies)
        return 1e3 * found[min(len(found) - 1, int(share * len(found)))] if found else 0.0

    def __str__(self) -> str:
        failed = ", ".join(f"{count} {code}" for code, count in self.failed.items()) or "0 errors"
        return (
            f"{self.sent} sent, {self.lost.total()} lost, {len(self.wrong)} wrong, {failed}; "
            f"p50 {self.quantile(0.5):.1f} ms, p99 {self.quantile(0.99):.1f} ms, "
            f"at most {self.quantile(1):.0f} ms"
        )


class Canary:
    """Asks for the names in turn, `rate` queries a second, some of them over TCP."""

    def __init__(self, port: int, expected: Expected, rate: int = 200) -> None:
        self._port = port
        self._expected = expected
        self._rate = rate
        self._end = threading.Event()
        self.report = Report()
        self._lock = threading.RLock()
        self._sent = threading.Condition(self._lock)
        self._threads = [
            threading.Thread(target=self._ask_over_udp),
            threading.Thread(target=self._ask_over_tcp),
        ]

    @classmethod
    @contextmanager
    def asking(cls, port: int, expected: Expected) -> Iterator["Canary"]:
        """One that asks until the end; its report is whole then."""
        canary = cls(port, expected)
        for each in canary._threads:
            each.start()
        try:
            yield canary
        finally:
            canary._end.set()
            for each in canary._threads:
                each.join()

    def ask_for(self, seconds: float) -> None:
        """Wait until as many queries have been sent as are asked in that time."""
        with self._sent:
            wanted = self.report.sent + int(self._rate * seconds)
            assert self._sent.wait_for(lambda: self.report.sent >= wanted, 10 * seconds + 10)

    def _packets(self) -> list[tuple[str, bytes]]:
        return [
            (name, dns.message.make_query(name, "A", use_edns=0).to_wire())
            for name in self._expected
        ]

    def _ask_over_udp(self) -> None:
        packets, waiting = self._packets(), dict[int, tuple[str, float]]()
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", self._port))
            client.setblocking(False)
            began, number = time.monotonic(), 0
            while not self._end.is_set() or waiting:
                now = time.monotonic()
                due = began + number * (1 / self._rate)
                if not self._end.is_set() and now >= due:
                    name, packet = packets[number % len(packets)]
                    waiting[number & 0xFFFF] = (name, now)
                    self._send(client, (number & 0xFFFF).to_bytes(2) + packet[2:])
                    number += 1
                    continue
                rest = PATIENCE_SECONDS if self._end.is_set() else due - now
                select.select([client], [], [], min(max(rest, 0), 0.05))
                self._receive(client, waiting)
                self._give_up(waiting)

    def _send(self, client: socket.socket, packet: bytes) -> None:
        self._count_sent()
        with suppress(OSError):  # of an earlier packet (ICMP): this one is lost, and counted so
            client.send(packet)

    def _count_sent(self) -> None:
        with self._sent:
            self.report.sent += 1
            self._sent.notify_all()

    def _receive(self, client: socket.socket, waiting: dict[int, tuple[str, float]]) -> None:
        while True:
            try:
                reply = client.recv(65535)
            except OSError:
                return
            found = waiting.pop(int.from_bytes(reply[:2]), None)
            if found is not None:
                self._judge(found[0], reply, time.monotonic() - found[1])

    def _give_up(self, waiting: dict[int, tuple[str, float]]) -> None:
        late = time.monotonic() - PATIENCE_SECONDS
        for id_ in [id_ for id_, (_, sent) in waiting.items() if sent < late]:
            del waiting[id_]
            with self._lock:
                self.report.lost["udp"] += 1

    def _ask_over_tcp(self) -> None:
        packets, pause = self._packets(), 1 / (self._rate * TCP_SHARE)
        while not self._end.wait(pause):
            name, packet = random.choice(packets)
            self._count_sent()
            began = time.monotonic()
            try:
                reply = _exchange(self._port, packet)
            except OSError:
                with self._lock:
                    self.report.lost["tcp"] += 1
                continue
            self._judge(name, reply, time.monotonic() - began)

    def _judge(self, name: str, reply: bytes, seconds: float) -> None:
        message = dns.message.from_wire(reply)
        code, expected = rcode(message), self._expected[name]
        is_right = code == "NOERROR" and answers(message) == expected
        if not expected:
            is_right = code == "NXDOMAIN"
        with self._lock:
            self.report.latencies.append(seconds)
            if is_right:
                self.report.right += 1
            elif code in ("SERVFAIL", "REFUSED"):
                self.report.failed[code] += 1
            else:
                self.report.wrong.append(f"{name}: {code} {sorted(answers(message))}")


def _exchange(port: int, packet: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as client:
        client.sendall(len(packet).to_bytes(2) + packet)
        stream = client.makefile("rb")
        length = stream.read(2)
        reply = stream.read(int.from_bytes(length))
        if len(length) < 2 or len(reply) < int.from_bytes(length):
            raise ConnectionError("the connection ended before the reply")
        return reply
