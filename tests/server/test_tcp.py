"""RFC 7766 over real connections: framing, pipelining, half-close, and clients that mean harm."""

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from struct import pack
from typing import Any

import pytest

from consuldns.server.listen import Transport
from consuldns.server.tcp import TcpLimits, TcpServer
from consuldns.views import keys, updates
from tests.server.listening import listening_socket
from tests.server.one_worker import CATALOG, Worker
from tests.wire import packets
from tests.wire.packets import opt, parse, query_packet, records

WEB = keys.ServiceInstances("dc1", "web")
DENIED = query_packet("nope.service.consul")


def framed(*messages: bytes) -> bytes:
    return b"".join(pack("!H", len(message)) + message for message in messages)


def numbered(number: int, packet: bytes | None = None) -> bytes:
    return number.to_bytes(2) + (packet or query_packet())[2:]


@dataclass
class Client:
    """A connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, octets: bytes) -> None:
        self.writer.write(octets)

    def reset(self) -> None:
        """End the connection with RST."""
        end = self.writer.get_extra_info("socket")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
        self.writer.transport.abort()

    async def reply(self) -> bytes:
        """The next message."""
        async with asyncio.timeout(10):
            length = await self.reader.readexactly(2)
            return await self.reader.readexactly(int.from_bytes(length))

    async def replies(self) -> list[bytes]:
        """All messages until the server closes."""
        found = []
        async with asyncio.timeout(10):
            rest = await self.reader.read()
        while rest:
            size = int.from_bytes(rest[:2])
            assert len(rest) >= size + 2
            found.append(rest[2 : size + 2])
            rest = rest[size + 2 :]
        return found


@dataclass
class Serving:
    """A server on the running loop."""

    worker: Worker
    server: TcpServer
    listener: socket.socket
    clients: list[Client] = field(default_factory=list)

    async def connect(self, source: str = "127.0.0.1") -> Client:
        place = self.listener.getsockname()[:2]
        client = Client(*await asyncio.open_connection(*place, local_addr=(source, 0)))
        self.clients.append(client)
        return client

    async def until_connections(self, count: int) -> None:
        """Wait until the server has so many."""
        async with asyncio.timeout(10):
            while len(self.server.connections) != count:
                await asyncio.sleep(0.002)


@asynccontextmanager
async def serving(worker: Worker | None = None, **limits: float) -> AsyncIterator[Serving]:
    """A server with these limits. All its connections have to be gone at the end."""
    worker = worker or Worker()
    given: Any = {"sweep": 0.01, **limits}
    server = TcpServer(worker.handler, TcpLimits(**given))
    with listening_socket(Transport.TCP) as listener:
        task = asyncio.create_task(server.serve([listener]))
        place = Serving(worker, server, listener)
        try:
            yield place
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for client in place.clients:
                client.writer.close()
                await asyncio.gather(client.writer.wait_closed(), return_exceptions=True)
    await place.until_connections(0)
    assert server.of_client == {}


class TestMessages:
    async def test_one(self) -> None:
        async with serving() as place:
            client = await place.connect()
            for edns in (b"", opt()):
                client.send(framed(query_packet("WEB.service.consul", edns=edns)))
                message = parse(await client.reply())
                assert len(records(message.answer)) == 3
                assert (message.edns == 0) is bool(edns)
            assert place.worker.handler.counters.queries["tcp"] == 2

    async def test_thousands_in_one_segment(self) -> None:
        async with serving() as place:
            client = await place.connect()
            client.send(framed(*(numbered(n, DENIED if n % 3 else None) for n in range(2000))))
            replies = [await client.reply() for _ in range(2000)]
            assert {int.from_bytes(reply[:2]) for reply in replies} == set(range(2000))

    async def test_octet_by_octet(self) -> None:
        async with serving() as place:
            client = await place.connect()
            for octet in framed(numbered(1), numbered(2)):
                client.send(bytes((octet,)))
                await client.writer.drain()
                await asyncio.sleep(0)
            assert [int.from_bytes((await client.reply())[:2]) for _ in range(2)] == [1, 2]

    async def test_one_and_a_half(self) -> None:
        async with serving() as place:
            client = await place.connect()
            octets = framed(numbered(1), numbered(2))
            client.send(octets[:-10])
            assert (await client.reply())[:2] == b"\0\1"
            client.send(octets[-10:])
            assert (await client.reply())[:2] == b"\0\2"

    async def test_half_closed_connections_get_every_reply(self) -> None:
        async with serving() as place:
            client = await place.connect()
            client.send(framed(*(numbered(n) for n in range(1000))))
            client.writer.write_eof()
            assert len(await client.replies()) == 1000

    async def test_half_closed_within_a_message(self) -> None:
        async with serving() as place:
            client = await place.connect()
            client.send(framed(numbered(1)) + b"\0\x20half")
            client.writer.write_eof()
            assert len(await client.replies()) == 1

    async def test_a_large_reply(self) -> None:
        async with serving() as place:
            client = await place.connect()
            client.send(framed(query_packet("many.service.consul", packets.SRV)))
            assert len(records(parse(await client.reply()).answer)) == 100

    async def test_rejections_keep_the_connection(self) -> None:
        async with serving() as place:
            client = await place.connect()
            client.send(framed(packets.header(questions=2), query_packet("consul", packets.AXFR)))
            client.send(framed(query_packet()))
            rcodes = [parse(await client.reply()).rcode().name for _ in range(3)]
            assert rcodes == ["FORMERR", "REFUSED", "NOERROR"]


class TestParking:
    async def test_others_overtake(self) -> None:
        worker = Worker(CATALOG.views())
        worker.store.forget(WEB)
        async with serving(worker) as place:
            client = await place.connect()
            client.send(framed(numbered(1), *(numbered(n, DENIED) for n in range(2, 11))))
            first = [int.from_bytes((await client.reply())[:2]) for _ in range(9)]
            assert first == list(range(2, 11))
            worker.handler.receive(updates.Replaced(WEB, CATALOG.views().read(WEB)))
            assert (await client.reply())[:2] == b"\0\1"

    async def test_half_closed_connections_stay_for_pending_queries(self) -> None:
        worker = Worker(CATALOG.views())
        worker.store.forget(WEB)
        async with serving(worker) as place:
            client = await place.connect()
            client.send(framed(numbered(1), numbered(2, DENIED)))
            client.writer.write_eof()
            assert (await client.reply())[:2] == b"\0\2"
            worker.handler.receive(updates.Replaced(WEB, CATALOG.views().read(WEB)))
            assert [reply[:2] for reply in await client.replies()] == [b"\0\1"]

    async def test_the_client_is_gone_when_the_view_comes(self) -> None:
        worker = Worker(CATALOG.views())
        worker.store.forget(WEB)
        async with serving(worker) as place:
            client = await place.connect()
            client.send(framed(numbered(1), numbered(2, DENIED)))
            await client.reply()
            client.reset()
            await place.until_connections(0)
            worker.handler.receive(updates.Replaced(WEB, CATALOG.views().read(WEB)))
            assert worker.handler.pending_count == 0


class TestInvalid:
    @pytest.mark.parametrize(
        "octets",
        [
            pytest.param(b"\0\0", id="length 0"),
            pytest.param(b"\0\0" * 5000, id="length 0 many times"),
            pytest.param(framed(b"12345"), id="5 octets"),
            pytest.param(framed(query_packet(flags=packets.QR)), id="a reply"),
        ],
    )
    async def test_earlier_replies_are_delivered(self, octets: bytes) -> None:
        async with serving(linger=30) as place:
            client = await place.connect()
            client.send(framed(*(numbered(n) for n in range(300))) + octets + b"x" * 10_000)
            client.writer.write_eof()
            assert len(await client.replies()) == 300

    async def test_our_side_is_closed_first(self) -> None:
        async with serving(linger=30) as place:
            client = await place.connect()
            client.send(framed(numbered(1)) + b"\0\0")
            assert len(await client.replies()) == 1
            await place.until_connections(1)
            client.send(b"x" * 200_000)  # more than is thrown away
            await place.until_connections(0)

    async def test_a_client_that_does_not_close_in_turn(self) -> None:
        async with serving(linger=0.05) as place:
            client = await place.connect()
            client.send(b"\0\0")
            assert await client.replies() == []
            await place.until_connections(0)

    async def test_too_large(self) -> None:
        async with serving() as place:
            client = await place.connect()
            client.send(framed(numbered(1), numbered(2) + bytes(60_000)))
            one, two = await client.replies()
            assert parse(one).rcode().name == "NOERROR"
            assert (two[:2], parse(two).rcode().name) == (b"\0\2", "FORMERR")

    async def test_the_largest_that_is_read(self) -> None:
        async with serving() as place:
            client = await place.connect()
            query = query_packet()
            client.send(framed(query + bytes(4096 - len(query))))
            assert parse(await client.reply()).rcode().name == "NOERROR"


class TestLimits:
    async def test_idle(self) -> None:
        async with serving(idle=0.05) as place:
            silent, asking = await place.connect(), await place.connect()
            asking.send(framed(numbered(1)))
            assert await silent.replies() == []
            assert len(await asking.replies()) == 1

    @pytest.mark.parametrize("octets", [b"\0", b"\0\x20", framed(query_packet())[:-1]])
    async def test_stalled_within_a_message(self, octets: bytes) -> None:
        async with serving(idle=60, stall=0.05) as place:
            client = await place.connect()
            client.send(octets)
            assert await client.replies() == []

    async def test_a_client_that_does_not_read(self) -> None:
        async with serving(idle=0.3) as place:
            client = await place.connect()
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            packet = query_packet("many.service.consul", packets.SRV)
            client.send(framed(*(numbered(n, packet) for n in range(20_000))))
            await place.until_connections(1)
            await place.until_connections(0)
            # 6 kB each: what the sockets hold and our buffer, not the 120 MB of all replies.
            assert place.worker.handler.counters.queries["tcp"] < 5_000

    async def test_a_slow_reader_gets_everything(self) -> None:
        async with serving() as place:
            client = await place.connect()
            packet = query_packet("many.service.consul", packets.SRV)
            client.send(framed(*(numbered(n, packet) for n in range(1_000))))
            client.writer.write_eof()
            assert len(await client.replies()) == 1_000

    async def test_connections_of_one_client(self) -> None:
        async with serving(connections_of_client=2) as place:
            first, second = await place.connect(), await place.connect()
            await place.until_connections(2)
            refused = await place.connect()
            assert await refused.replies() == []
            other = await place.connect("127.0.0.2")
            for client in (first, second, other):
                client.send(framed(numbered(1)))
                assert await client.reply()
            assert place.worker.handler.counters.tcp_refused == 1

    async def test_the_idlest_connection_makes_room(self) -> None:
        async with serving(connections=3) as place:
            clients = [await place.connect(f"127.0.0.{n}") for n in range(2, 5)]
            for client in reversed(clients):
                client.send(framed(numbered(1)))
                await client.reply()
            newest = await place.connect("127.0.0.9")
            newest.send(framed(numbered(1)))
            assert await newest.reply()
            assert await clients[2].replies() == []
            for client in clients[:2]:
                client.send(framed(numbered(1)))
                assert await client.reply()

    async def test_no_file_descriptors(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        accept, failures = socket.socket.accept, 0

        def exhausted(listener: socket.socket) -> tuple[socket.socket, Any]:
            nonlocal failures
            if failures < 50:
                failures += 1
                raise OSError(errno.EMFILE, "too many open files")
            return accept(listener)

        monkeypatch.setattr(socket.socket, "accept", exhausted)
        with caplog.at_level(logging.INFO):
            async with serving(resource_pause=0.001) as place:
                client = await place.connect()
                client.send(framed(numbered(1)))
                assert await client.reply()
        assert failures == 50
        assert len(caplog.records) == 1


async def test_at_the_end_those_who_have_connected_get_their_replies() -> None:
    worker = Worker()
    server = TcpServer(worker.handler, TcpLimits(drain=10))
    with listening_socket(Transport.TCP) as listener:
        place = Serving(worker, server, listener)
        task = asyncio.create_task(server.serve([listener]))
        fresh, asked = await place.connect(), await place.connect()
        asked.send(framed(numbered(1)))
        assert await asked.reply()
        await place.until_connections(2)
        task.cancel()
        assert await asked.replies() == [], "it is closed at once"
        fresh.send(framed(numbered(2)))
        assert len(await fresh.replies()) == 1
        await asyncio.gather(task, return_exceptions=True)
        for client in place.clients:
            client.writer.close()


async def test_several_workers_share_a_listener() -> None:
    workers = [Worker(), Worker()]
    servers = [TcpServer(worker.handler) for worker in workers]
    with listening_socket(Transport.TCP) as listener:
        tasks = [asyncio.create_task(server.serve([listener])) for server in servers]
        try:
            for _ in range(20):
                client = Client(*await asyncio.open_connection(*listener.getsockname()))
                client.send(framed(numbered(1)))
                assert await client.reply()
                client.writer.close()
                await client.writer.wait_closed()
            assert sum(worker.handler.counters.queries["tcp"] for worker in workers) == 20
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
