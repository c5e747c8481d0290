"""Room for others while one network floods a socket: real sockets of the loopback interface."""

import asyncio
import logging
import socket
from collections import Counter

import pytest

from consuldns.server import overload
from consuldns.server.batch import SIZE
from consuldns.server.listen import Transport
from consuldns.server.overload import KEPT, Overload, most_frequent
from consuldns.server.udp import UdpServer
from tests.server.listening import listening_socket
from tests.server.one_worker import Worker
from tests.wire.packets import query_packet

FLOOD, OTHER = "127.0.1.9", "127.0.2.9"


def client(address: str, server: socket.socket) -> socket.socket:
    found = socket.socket(server.family, socket.SOCK_DGRAM)
    found.bind((address, 0))
    found.connect(server.getsockname()[:2])
    found.setblocking(False)
    return found


def received(listener: socket.socket) -> Counter[str]:
    """How many packets of each client wait."""
    counts: Counter[str] = Counter()
    while True:
        try:
            counts[listener.recvfrom(512)[1][0]] += 1
        except BlockingIOError:
            return counts


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"10.0.0.1": 60, "10.0.1.1": 40}, "10.0.0.1"),
        ({"10.0.0.1": 40, "10.0.0.2": 40, "10.0.1.1": 20}, "10.0.0"),
        ({"10.0.0.1": 50, "10.0.1.1": 50}, None),
        ({"10.0.0.1": 34, "10.0.1.1": 33, "10.0.2.1": 33}, None),
    ],
)
def test_who_sends_most(counts: dict[str, int], expected: str | None) -> None:
    sample = Counter({bytes(map(int, each.split("."))): count for each, count in counts.items()})
    found = most_frequent(sample, socket.AF_INET, 0.5)
    assert found == (None if expected is None else bytes(map(int, expected.split("."))))


@pytest.mark.parametrize("held", [b"\x7f\0\1\x09", b"\x7f\0\1"], ids=["client", "network"])
async def test_kernel_drops_most_of_a_held_network(held: bytes) -> None:
    with listening_socket(Transport.UDP, "127.0.0.1:0") as listener:
        listener.setblocking(False)
        watch = Overload(listener, asyncio.get_running_loop(), lambda: None)
        watch._hold(held, 0.9)
        counts: Counter[str] = Counter()
        with client(FLOOD, listener) as flood, client(OTHER, listener) as other:
            for _ in range(100):
                for _ in range(KEPT):
                    flood.send(b"x")
                other.send(b"x")
                counts += received(listener)
            assert counts[OTHER] == 100
            assert 40 <= counts[FLOOD] <= 200, "100 are expected"
            watch.stop()
            flood.send(b"x")
            assert received(listener) == {FLOOD: 1}


async def test_a_held_network_of_ipv6() -> None:
    with listening_socket(Transport.UDP, "[::1]:0") as listener:
        listener.setblocking(False)
        watch = Overload(listener, asyncio.get_running_loop(), lambda: None)
        with client("::1", listener) as flood:
            for held, least, most in (
                (bytes(8), 1, 60),
                (bytes(7), 1, 60),
                (b"\xfd" * 8, 200, 200),
            ):
                watch._hold(held, 0.9)
                for _ in range(200):
                    flood.send(b"x")
                assert least <= received(listener)["::1"] <= most
                watch.stop()


@pytest.mark.parametrize("others", [False, True])
async def test_a_flood_is_held_back_if_there_are_others(
    others: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(overload, "WINDOW", 2)
    monkeypatch.setattr(overload, "SAMPLE", 2)
    worker = Worker()
    packet = query_packet()
    with listening_socket(Transport.UDP, "127.0.0.1:0") as listener:
        server = UdpServer(listener, worker.handler, asyncio.get_running_loop())
        with client(FLOOD, listener) as flood, client(OTHER, listener) as other:
            for _ in range(8):
                for number in range(2_000):
                    flood.send(packet)
                    if others and number % 20 == 0:
                        other.send(packet)
                server.drain()
            assert worker.handler.counters.networks_held == int(others)
            server.stop()
    assert ("127.0.1.9/32: 15 of 16" in caplog.text) is others


async def test_without_lost_packets_nobody_is_held_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(overload, "WINDOW", 2)
    worker = Worker()
    with listening_socket(Transport.UDP, "127.0.0.1:0") as listener:
        server = UdpServer(listener, worker.handler, asyncio.get_running_loop())
        with client(FLOOD, listener) as flood:
            for _ in range(20):
                for _ in range(SIZE):
                    flood.send(query_packet())
                server.drain()
        server.stop()
    assert worker.handler.counters.networks_held == 0
    assert not caplog.text
