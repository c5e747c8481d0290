"""Datagrams by the batch: the same replies as one by one, whatever comes in which order."""

import asyncio
import ctypes
import errno
import logging
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consuldns.dns.policy import MessagePolicy, Policy
from consuldns.dns.question import Type
from consuldns.server import batch
from consuldns.server.batch import MAX_QUERY, ROOM, SIZE, Batch
from consuldns.server.listen import Transport
from consuldns.server.udp import UdpServer
from tests.server.listening import listening_socket
from tests.server.one_worker import CATALOG, Worker
from tests.support.catalog import Catalog
from tests.wire.packets import QR, opt, query_packet

PACKETS = [
    query_packet(),
    query_packet(edns=opt()),
    query_packet("WEB.service.consul"),
    query_packet("nope.service.consul"),
    query_packet("large.service.consul", Type.SRV, edns=opt(size=4096)),
    query_packet("large.service.consul", Type.SRV),
    query_packet(flags=QR),
    b"",
    b"x" * 5,
    b"y" * 5000,
]
LARGE = Catalog(
    register=[
        *CATALOG.register,
        *(
            {
                "Node": f"n{n}",
                "Address": f"10.2.0.{n}",
                "Service": {"ID": f"large-{n}", "Service": "large", "Port": 1000 + n},
            }
            for n in range(40)
        ),
    ]
)
CLIENTS = 3
Calls = Callable[[], tuple[Any, Any]]


def answered(
    order: list[tuple[int, int]], address: str, *, by_batch: bool
) -> list[list[tuple[bytes, int]]]:
    """Of each client, the ids and lengths of its replies; all queries wait before one is read."""
    worker = Worker(LARGE.views(), policy=Policy(messages=MessagePolicy(max_udp_size=4096)))
    loop = asyncio.new_event_loop()
    with ExitStack() as stack:
        stack.callback(loop.close)
        listener = stack.enter_context(listening_socket(Transport.UDP, address))
        server = UdpServer(listener, worker.handler, loop, by_batch=by_batch)
        where = listener.getsockname()
        if where[0] in ("0.0.0.0", "::"):
            where = ("127.0.0.1" if where[0] == "0.0.0.0" else "::1", *where[1:])
        clients: list[socket.socket] = []
        for _ in range(CLIENTS):
            client = stack.enter_context(socket.socket(listener.family, socket.SOCK_DGRAM))
            client.setblocking(False)
            client.connect(where)
            clients.append(client)
        for number, (sender, packet) in enumerate(order):
            clients[sender].send(number.to_bytes(2) + PACKETS[packet][2:])
        for _ in range(len(order) // SIZE + 1):
            server.drain()
        return [received(each) for each in clients]


def received(client: socket.socket) -> list[tuple[bytes, int]]:
    found: list[tuple[bytes, int]] = []
    while True:
        try:
            reply = client.recv(65535)
        except BlockingIOError:
            return found
        found.append((reply[:2], len(reply)))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, CLIENTS - 1), st.integers(0, len(PACKETS) - 1)), max_size=100
    ),
    st.sampled_from(["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"]),
)
def test_replies_are_those_of_single_calls(order: list[tuple[int, int]], address: str) -> None:
    assert answered(order, address, by_batch=True) == answered(order, address, by_batch=False)


def test_large_replies_go_by_themselves() -> None:
    (replies, _, _) = answered([(0, 4), (0, 4), (0, 0)], "127.0.0.1:0", by_batch=True)
    assert [length > ROOM for _, length in replies] == [True, True, False]


def test_clients_are_those_that_recvfrom_gives() -> None:
    for address in ("127.0.0.1:0", "[::1]:0"):
        with listening_socket(Transport.UDP, address) as listener:
            listener.setblocking(False)
            found = Batch(listener)
            with socket.socket(listener.family, socket.SOCK_DGRAM) as client:
                client.connect(listener.getsockname())
                for _ in range(2):
                    client.send(b"hello")
                _, expected = listener.recvfrom(MAX_QUERY)
                assert found.receive() == 1
                assert found.client(0) == expected
                assert found.memory[: found.lengths[0]] == b"hello"
                assert found.receive() == 0


def refusing(codes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel refuses the first reply of a call, for each of these reasons once."""
    receive, send = batch._calls()

    def refuse(fileno: int, where: int, count: int, flags: int) -> int:
        if codes:
            ctypes.set_errno(codes.pop(0))
            return -1
        return int(send(fileno, where, count, flags))

    monkeypatch.setattr(batch, "_calls", lambda: (receive, refuse))


async def test_a_reply_that_cannot_be_sent_is_the_only_one_that_is_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusing([errno.EINTR, errno.ENOBUFS, errno.ENETUNREACH], monkeypatch)
    worker = Worker()
    worker.reply(query_packet())
    with (
        listening_socket(Transport.UDP, "127.0.0.1:0") as listener,
        socket.socket(listener.family, socket.SOCK_DGRAM) as client,
        caplog.at_level(logging.INFO),
    ):
        server = UdpServer(listener, worker.handler, asyncio.get_running_loop())
        client.setblocking(False)
        client.connect(listener.getsockname())
        for number in range(8):
            client.send(number.to_bytes(2) + query_packet()[2:])
        server.drain()
        ids = [int.from_bytes(id_) for id_, _ in received(client)]
        assert len(ids) == 6
        assert ids == sorted(ids)
    assert worker.handler.counters.send_errors == 2
    assert len(caplog.records) == 1


async def test_without_the_calls_it_goes_on_with_single_ones(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A filter of system calls shows at the first call only."""

    def refuse(*_arguments: object) -> int:
        ctypes.set_errno(errno.ENOSYS)
        return -1

    monkeypatch.setattr(batch, "_calls", lambda: (refuse, refuse))
    worker = Worker()
    with (
        listening_socket(Transport.UDP, "127.0.0.1:0") as listener,
        socket.socket(listener.family, socket.SOCK_DGRAM) as client,
    ):
        server = UdpServer(listener, worker.handler, asyncio.get_running_loop())
        client.setblocking(False)
        client.connect(listener.getsockname())
        client.send(query_packet())
        server.drain()
        assert received(client) == []
        server.drain()
        assert len(received(client)) == 1
    assert len(caplog.records) == 1
