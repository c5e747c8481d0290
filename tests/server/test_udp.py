"""UDP over real sockets of the loopback interface."""

import asyncio
import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from consuldns.dns.policy import Policy, RateLimitPolicy
from consuldns.server.listen import Transport
from consuldns.server.udp import UdpServer
from consuldns.views import keys, updates
from tests.server.listening import listening_socket
from tests.server.one_worker import CATALOG, Worker
from tests.wire import packets
from tests.wire.packets import opt, parse, query_packet, records

WEB = keys.ServiceInstances("dc1", "web")


BOTH_WAYS = pytest.mark.parametrize("by_batch", [True, False], ids=["batch", "single"])


@contextmanager
def serving(
    worker: Worker, address: str = "127.0.0.1:0", *, by_batch: bool = True
) -> Iterator[socket.socket]:
    """A client's socket, connected to a server of this worker on the running loop."""
    with listening_socket(Transport.UDP, address) as listener:
        loop = asyncio.get_running_loop()
        server = UdpServer(listener, worker.handler, loop, by_batch=by_batch)
        server.start()
        client = socket.socket(listener.family, socket.SOCK_DGRAM)
        client.setblocking(False)
        client.connect(listener.getsockname())
        try:
            yield client
        finally:
            client.close()
            server.stop()


async def receive(client: socket.socket) -> bytes:
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 65535), 5)


@BOTH_WAYS
@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0"])
async def test_answers(address: str, by_batch: bool) -> None:
    worker = Worker()
    with serving(worker, address, by_batch=by_batch) as client:
        for edns in (b"", opt(), opt(), opt()):
            client.send(query_packet(edns=edns))
            assert len(records(parse(await receive(client)).answer)) == 3
    assert worker.handler.counters.queries["udp"] == 4


@BOTH_WAYS
@pytest.mark.parametrize(
    ("wildcard", "asked"), [("0.0.0.0:0", "127.0.0.2"), ("[::]:0", "::1")], ids=["v4", "v6"]
)
async def test_a_wildcard_address_replies_from_the_one_that_was_asked(
    wildcard: str, asked: str, by_batch: bool
) -> None:
    worker = Worker()
    with listening_socket(Transport.UDP, wildcard) as listener:
        loop = asyncio.get_running_loop()
        server = UdpServer(listener, worker.handler, loop, by_batch=by_batch)
        server.start()
        with socket.socket(listener.family, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.bind((asked.replace(".2", ".1"), 0))
            client.connect((asked, listener.getsockname()[1]))  # takes nothing from other addresses
            for _ in range(3):  # the first one is not in the cache
                client.send(query_packet())
                assert len(records(parse(await receive(client)).answer)) == 3
        server.stop()


@BOTH_WAYS
async def test_more_than_a_batch(by_batch: bool) -> None:
    worker = Worker()
    with serving(worker, by_batch=by_batch) as client:
        for number in range(200):
            client.send(number.to_bytes(2) + query_packet()[2:])
        replies = [await receive(client) for _ in range(200)]
    assert [int.from_bytes(reply[:2]) for reply in replies] == list(range(200))


@BOTH_WAYS
async def test_what_is_dropped_does_not_stop_it(by_batch: bool) -> None:
    worker = Worker()
    with serving(worker, by_batch=by_batch) as client:
        for packet in (b"", b"x", query_packet(flags=packets.QR), b"x" * 60_000, query_packet()):
            client.send(packet)
        rcodes = [parse(await receive(client)).rcode().name for _ in range(2)]
    assert rcodes == ["NOTIMP", "NOERROR"]  # "xxxx..." has opcode 15
    assert worker.handler.counters.dropped == 3


@BOTH_WAYS
async def test_pending_queries_are_answered_later(by_batch: bool) -> None:
    worker = Worker(CATALOG.views())
    worker.store.forget(WEB)
    with serving(worker, by_batch=by_batch) as client:
        client.send(query_packet())
        client.send(query_packet("nope.service.consul"))
        assert parse(await receive(client)).rcode().name == "NXDOMAIN"
        worker.handler.receive(updates.Replaced(WEB, CATALOG.views().read(WEB)))
        assert len(records(parse(await receive(client)).answer)) == 3


class BrokenSocket:
    """A socket whose kernel refuses to send, and to receive now and then."""

    def getsockname(self) -> tuple[str, int]:
        return ("192.0.2.53", 53)

    def __init__(self, errors: list[OSError]) -> None:
        self.errors = errors
        self.sent: list[bytes] = []
        self.incoming: list[bytes | OSError] = []

    def setblocking(self, flag: bool) -> None:
        pass

    def fileno(self) -> int:
        return 0

    def recvfrom(self, size: int) -> tuple[bytes, tuple[str, int]]:
        if not self.incoming:
            raise BlockingIOError
        packet = self.incoming.pop(0)
        if isinstance(packet, OSError):
            raise packet
        return packet[:size], ("192.0.2.1", 5353)

    def sendto(self, reply: bytes, client: object) -> int:
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append(reply)
        return len(reply)


async def test_send_errors_lose_that_reply_only(caplog: pytest.LogCaptureFixture) -> None:
    codes = [
        errno.ENOBUFS,
        errno.EAGAIN,
        errno.EMSGSIZE,
        errno.EPERM,
        errno.ENETUNREACH,
        errno.ECONNREFUSED,
    ]
    broken: Any = BrokenSocket([OSError(code, "no") for code in codes])
    worker = Worker()
    server = UdpServer(broken, worker.handler, asyncio.get_running_loop(), by_batch=False)
    broken.incoming = [query_packet()] * 8
    with caplog.at_level(logging.INFO):
        server.drain()
    assert len(broken.sent) == 2
    assert worker.handler.counters.send_errors == 6
    assert len(caplog.records) == 1


async def test_a_receive_error_ends_the_turn_only(caplog: pytest.LogCaptureFixture) -> None:
    broken: Any = BrokenSocket([])
    worker = Worker()
    server = UdpServer(broken, worker.handler, asyncio.get_running_loop(), by_batch=False)
    broken.incoming = [OSError(errno.ECONNREFUSED, "no"), query_packet()]
    server.drain()
    assert broken.sent == []
    server.drain()
    assert len(broken.sent) == 1


async def test_ports_that_are_no_clients() -> None:
    class Reflector(BrokenSocket):
        def recvfrom(self, size: int) -> tuple[bytes, tuple[str, int]]:
            return super().recvfrom(size)[0], ("192.0.2.1", 19)

    broken: Any = Reflector([])
    worker = Worker()
    broken.incoming = [query_packet()]
    UdpServer(broken, worker.handler, asyncio.get_running_loop(), by_batch=False).drain()
    assert broken.sent == []
    assert worker.handler.counters.dropped == 1


@BOTH_WAYS
async def test_a_network_that_gets_too_many_replies_is_sent_to_tcp(by_batch: bool) -> None:
    policy = Policy(rate_limit=RateLimitPolicy(10, exempt=()))
    worker = Worker(policy=policy)
    with serving(worker, by_batch=by_batch) as client:
        for _ in range(200):
            client.send(query_packet())
        last = query_packet("no.service.consul.")
        client.send(last)
        replies = []
        while parse(reply := await receive(client)).question != parse(last).question:
            replies.append(reply)
    truncated = [reply for reply in replies if parse(reply).flags & 0x0200]
    assert worker.handler.counters.rate_limited == 200 - len(replies) + len(truncated)
    assert 10 <= len(replies) - len(truncated) <= 90
    assert len(truncated) >= 64
