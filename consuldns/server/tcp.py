"""DNS over TCP (RFC 7766), plain or with TLS (RFC 7858).

Messages have their length in front; many are on a connection, in any order.
"""

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from struct import Struct
from time import perf_counter_ns
from typing import Any

from consuldns.incidents import FloodLog
from consuldns.server.clients import packed
from consuldns.server.handler import Handler, SendReply, Unanswered
from consuldns.server.listen import TCP_IDLE_SECONDS, Encryption, Transport
from consuldns.server.query_log import Exchange
from consuldns.wire.decode import HEADER_SIZE, PADDING, Rcode, Rejection, read_query
from consuldns.wire.encode import encode_rejection

_LENGTH = Struct("!H")
_MAX_QUERY = 4096  # bytes; a real one has some hundred at most
_TURN = 256  # messages of one connection until the others get their turn
_WRITE_BUFFER = 128 * 1024  # bytes that a client may leave unread before we stop reading from it
_MAX_DISCARDED = 128 * 1024  # bytes that may follow what is not a query
_PADDING = PADDING.to_bytes(2)  # in a query that may have to be answered with padding
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """How much clients may take of one worker. Times in seconds.

    `handshakes` of TLS are those that are under way, with all clients together.

    `idle`: without a complete message, and without reading replies. `stall`: in the middle of a
    message. `linger`: from the end of our replies to the end of the connection. `sweep`: between
    two looks for connections whose time is up. `resource_pause`: until the next attempt to accept
    when there are no file descriptors or no memory. `drain`: for clients that have connected to ask
    and get their replies, when the worker ends.
    """

    connections: int = 1_000
    connections_of_client: int = 200
    handshakes: int = 200
    idle: float = TCP_IDLE_SECONDS
    stall: float = 5.0
    linger: float = 2.0
    sweep: float = 0.5
    resource_pause: float = 1.0
    drain: float = 0.5


class TcpServer:
    """Answers the queries that come to listening sockets, which other workers may share.

    With `encryption`, over TLS.
    """

    def __init__(
        self,
        handler: Handler,
        limits: TcpLimits | None = None,
        encryption: Encryption | None = None,
    ) -> None:
        self.handler = handler
        self.encryption = encryption
        self.transport = Transport.TCP if encryption is None else Transport.TLS
        self.limits = limits or TcpLimits()
        self.clock = asyncio.get_running_loop().time
        # In the order of their deadlines' last change: the first is idle for longest.
        self.connections: dict[_Connection, None] = {}
        self.of_client: Counter[str] = Counter()
        self._flood_log = FloodLog(_log, self.clock)
        self._admitted: set[asyncio.Task[None]] = set()
        self._handshakes: Counter[str] = Counter()  # that are under way, by client

    async def serve(self, listeners: Sequence[socket.socket]) -> None:
        """Accept and answer until cancelled; then finish what has begun, and close connections."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for listener in listeners:
                    tasks.create_task(self._accept_forever(listener))
                tasks.create_task(self._sweep_forever())
        finally:
            await self._drain()
            for connection in list(self.connections):
                connection.end()

    async def _drain(self) -> None:
        """Let those who have just connected ask, and those who have asked get their replies."""
        deadline = self.clock() + self.limits.drain
        while self._admitted or self.connections:
            for connection in [each for each in self.connections if each.is_done]:
                connection.end()
            if self.clock() >= deadline:
                return
            await asyncio.sleep(self.limits.drain / 50)

    async def _accept_forever(self, listener: socket.socket) -> None:
        """Accept connections; if this is cancelled none is lost (`sock_accept` may lose one)."""
        listener.setblocking(False)
        while True:
            try:
                accepted, address = listener.accept()
            except BlockingIOError:
                await _readable(listener)
                continue
            except OSError as error:
                self._flood_log.warning("accept", "cannot accept over TCP: %s", error)
                if error.errno in _OUT_OF_RESOURCES:
                    await asyncio.sleep(self.limits.resource_pause)
                continue
            task = asyncio.create_task(self._admit(accepted, address[0]))
            self._admitted.add(task)
            task.add_done_callback(self._admitted.discard)
            if self.encryption is None:
                await asyncio.shield(task)

    async def _admit(self, accepted: socket.socket, client: str) -> None:
        """Begin a connection; over the limits, reject the client or evict the idlest connection."""
        counters = self.handler.counters
        of_client = self.of_client[client] + self._handshakes[client]
        handshakes = self._handshakes.total()
        if of_client >= self.limits.connections_of_client or handshakes >= self.limits.handshakes:
            counters.tcp_refused += 1
            accepted.close()
            return
        if len(self.connections) + handshakes >= self.limits.connections:
            counters.tcp_refused += 1
            next(iter(self.connections)).abort()
        counters.tcp_connections += 1
        self._handshakes[client] += 1
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._connect(accepted, client)
        except OSError:  # the client has gone already, or speaks something other than TLS
            accepted.close()
        finally:
            self._handshakes[client] -= 1
            if not self._handshakes[client]:
                del self._handshakes[client]

    async def _connect(self, accepted: socket.socket, client: str) -> None:
        loop = asyncio.get_running_loop()
        if self.encryption is None:
            await loop.connect_accepted_socket(lambda: _Connection(self, client), accepted)
        elif self.encryption.context is None:
            accepted.close()
        else:
            await loop.connect_accepted_socket(
                lambda: _Connection(self, client),
                accepted,
                ssl=self.encryption.context,
                ssl_handshake_timeout=self.limits.stall,
                ssl_shutdown_timeout=self.limits.linger,
            )

    async def _sweep_forever(self) -> None:
        """End the connections whose time is up."""
        while True:
            await asyncio.sleep(self.limits.sweep)
            now = self.clock()
            for connection in [each for each in self.connections if each.deadline <= now]:
                connection.end()


class _Connection(asyncio.Protocol):
    """One connection. Its replies are written as soon as they are known, in any order.

    What the client has to do next has a `deadline`: send a whole message, read replies, or close.
    """

    def __init__(self, server: TcpServer, client: str) -> None:
        self._server = server
        self._handler = server.handler
        self._limits = server.limits
        self._kind = server.transport
        self._client = client
        self._transport: asyncio.Transport
        self._peer: Any
        self._address = packed(client)
        self._received = b""  # from the first byte of a message that has not been answered
        self._more = False  # there may be whole messages in it
        self._pending = 0  # replies that will come later
        self._blocked = False  # the client does not read its replies
        self._half_closed = False  # the client will send nothing more
        self._answered = False  # at least one message
        self._invalid = False  # what the client sent is not a query: the rest is discarded
        self._discarded = 0
        self.deadline = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._peer = transport.get_extra_info("peername") or (self._client, 0)
        transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        self._server.of_client[self._client] += 1
        self._set_deadline(self._limits.idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, from either side."""
        self._server.connections.pop(self, None)
        self._server.of_client[self._client] -= 1
        if not self._server.of_client[self._client]:
            del self._server.of_client[self._client]

    def data_received(self, data: bytes) -> None:
        """Bytes have come: part of a message, or thousands of messages."""
        if self._invalid:
            self._discarded += len(data)
            if self._discarded > _MAX_DISCARDED:
                self.abort()
            return
        if not self._received:
            self._set_deadline(self._limits.stall)
        self._received += data
        self._work()

    def eof_received(self) -> bool:
        """The client will send nothing more; it still gets every reply.

        Not over TLS, which asyncio ends on both sides at once.
        """
        self._half_closed = True
        self._work()
        # The transport stays open until `_finish` closes it.
        return self._transport.can_write_eof()

    def pause_writing(self) -> None:
        """The client leaves its replies unread: it gets no more of them until it reads."""
        self._blocked = True
        self._transport.pause_reading()
        self._set_deadline(self._limits.idle)

    def resume_writing(self) -> None:
        """The client has read what was waiting for it."""
        self._blocked = False
        self._set_deadline(self._limits.idle)
        self._work()

    @property
    def is_done(self) -> bool:
        """Whether all that the client has asked has been answered and sent."""
        unsent = self._transport.get_write_buffer_size()
        return self._answered and not (self._received or self._pending or unsent)

    def end(self) -> None:
        """Close the connection because its time is up."""
        if self._transport.get_write_buffer_size():
            self.abort()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()

    def _set_deadline(self, seconds: float) -> None:
        self.deadline = self._server.clock() + seconds
        self._server.connections.pop(self, None)
        self._server.connections[self] = None

    def _work(self) -> None:
        """Answer the messages that have come, at most `_TURN` of them, then let others work."""
        if self._blocked or self._transport.is_closing():
            return
        replies: list[bytes] = []
        size = done = at = 0
        while done < _TURN and size < _WRITE_BUFFER and not self._invalid:
            found = _message_at(self._received, at)
            if found is None:
                break
            done += 1
            at += _LENGTH.size + found[0]
            reply = self._answer(*found)
            if reply is not None:
                replies += (_LENGTH.pack(len(reply)), reply)
                size += len(reply)
        self._received = b"" if self._invalid else self._received[at:]
        self._more = _message_at(self._received, 0) is not None
        if done:
            self._answered = True
            self._set_deadline(self._limits.stall if self._received else self._limits.idle)
        if replies:
            self._transport.write(b"".join(replies))  # may call `pause_writing`
        if self._more and not self._blocked:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._work)
        elif not self._blocked:
            self._transport.resume_reading()
        self._finish()

    def _answer(self, length: int, message: bytes) -> bytes | None:
        """The reply to a message, None if there is none or it comes later."""
        self._handler.counters.queries[self._kind.value] += 1
        if length > _MAX_QUERY:
            self._invalid = True
            query = read_query(message)
            return None if query is None else encode_rejection(message, Rejection(Rcode.FORMERR))
        began, log = perf_counter_ns(), self._handler.query_log
        clients = self._handler.clients
        may_recurse = clients is None or clients.may_recurse(self._peer[0])
        may_find = may_recurse and not (self._kind is Transport.TLS and _PADDING in message)
        reply = self._handler.find_from(message, True, self._address) if may_find else None
        if reply is not None:
            spent = perf_counter_ns() - began
            self._handler.durations.observe(spent, len(reply))
            if log is not None:
                log.note(Exchange(message, reply, self._peer, self._kind, spent))
            return reply
        later: SendReply = self._reply_later
        if log is not None:
            later = partial(self._log_and_reply_later, message, began)
        outcome = self._handler.handle(
            message, self._kind, later, client=self._address, may_recurse=may_recurse
        )
        if isinstance(outcome, bytes):
            if log is not None:
                log.note(
                    Exchange(message, outcome, self._peer, self._kind, perf_counter_ns() - began)
                )
            return outcome
        if outcome is Unanswered.PENDING:
            self._pending += 1
        else:
            self._invalid = True
        return None

    def _log_and_reply_later(self, message: bytes, began: int, reply: bytes) -> None:
        log = self._handler.query_log
        if log is not None:
            log.note(Exchange(message, reply, self._peer, self._kind, perf_counter_ns() - began))
        self._reply_later(reply)

    def _reply_later(self, reply: bytes) -> None:
        """Send the reply to a pending query."""
        self._pending -= 1
        if not self._transport.is_closing():
            self._transport.write(_LENGTH.pack(len(reply)) + reply)
            self._finish()

    def _finish(self) -> None:
        """Close the connection if all that can be answered has been.

        After an invalid message only our side is closed at first, and what still comes is
        discarded: closing a socket with unread bytes resets the connection, and the client would
        lose the replies that are on their way.
        """
        if self._pending or self._more or self._blocked:
            return
        if self._half_closed:
            self._transport.close()
        elif self._invalid and not self._transport.is_closing():
            self._set_deadline(self._limits.linger)
            if not self._transport.can_write_eof():
                self._transport.close()
                return
            try:
                self._transport.write_eof()
            except OSError:  # reset by the client
                self.abort()


async def _readable(listener: socket.socket) -> None:
    """Wait until there is a connection to accept."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(listener, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(listener)


def _message_at(received: bytes, at: int) -> tuple[int, bytes] | None:
    """Length and bytes of the message that begins here, None if it has not come as a whole.

    Of one that is too large only the header is waited for and given.
    """
    start = at + _LENGTH.size
    if len(received) < start:
        return None
    (length,) = _LENGTH.unpack_from(received, at)
    end = start + (length if length <= _MAX_QUERY else HEADER_SIZE)
    return None if len(received) < end else (length, received[start:end])
