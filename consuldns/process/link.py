"""The link between control and a worker: typed messages on a stream socket pair.

A frame is four bytes of length (big-endian) and one MessagePack message. Control sends each worker
its listeners, the policy and every view; a worker tells control which views it needs and which are
in use. See `views.updates` for the messages about views; those here are about the processes.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from consuldns.dns.policy import Policy
from consuldns.incidents import UnexpectedErrors
from consuldns.logs import Form, Level
from consuldns.server.listen import Certificate, Listener
from consuldns.server.query_log import QueryLogPolicy
from consuldns.views import updates

_log = logging.getLogger(__name__)

LENGTH = struct.Struct(">I")

# In the name of a counter of answers: zone, type, rcode, protocol.
ANSWERS, SEPARATOR = "answers\t", "\t"


class _Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A message about a process."""


class Start(_Message, frozen=True):
    """First message to a worker: where it is to listen, how it answers, and what it logs.

    `cookie_secret` is the same for all workers: any of them may get a client's next query.
    """

    listeners: tuple[Listener, ...]
    policy: Policy
    log_level: Level = "info"
    log_format: Form = "text"
    query_log: QueryLogPolicy = QueryLogPolicy()
    certificate: Certificate = Certificate()
    cookie_secret: bytes = b""


class SettingsChanged(_Message, frozen=True):
    """From now on, answer and log by these settings."""

    policy: Policy
    log_level: Level = "info"
    log_format: Form = "text"
    query_log: QueryLogPolicy = QueryLogPolicy()
    certificate: Certificate = Certificate()


class CaughtUp(_Message, frozen=True):
    """All that is known has been sent: begin to answer."""


class Ping(_Message, frozen=True):
    """Are you there? Answered by Pong."""


class Serving(_Message, frozen=True):
    """The worker answers queries from now on."""


class Pong(_Message, frozen=True):
    """I am here, and these are my counters, by name (they only grow)."""

    counters: dict[str, int]


ToWorker = updates.ToWorker | Start | SettingsChanged | CaughtUp | Ping
ToControl = updates.ToControl | Serving | Pong

Received = TypeVar("Received")


def _number(listener: object) -> int:
    """A socket travels as the number of its file descriptor, which the worker inherits."""
    if isinstance(listener, socket.socket):
        return listener.fileno()
    raise NotImplementedError


def _socket(kind: type, number: Any) -> socket.socket:
    if kind is not socket.socket:
        raise NotImplementedError
    return socket.socket(fileno=number)


_encoder = msgspec.msgpack.Encoder(enc_hook=_number)


def frame(message: ToWorker | ToControl) -> bytes:
    """The message as it travels."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body


def describe(message: object) -> str:
    """A message for a line of log: what it is, and which view it is about, if any."""
    key = getattr(message, "key", None)
    return type(message).__name__ + (f" {key!r:.200}" if key is not None else "")


class Link(asyncio.Protocol, Generic[Received]):
    """One end of a link. `receive` is called with each message, `closed` once at its end."""

    def __init__(
        self,
        decoder: msgspec.msgpack.Decoder[Received],
        receive: Callable[[Received], None],
        closed: Callable[[], None],
    ) -> None:
        self._decoder = decoder
        self._receive = receive
        self._closed = closed
        self._buffer = bytearray()
        self._errors = UnexpectedErrors(_log)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for `send`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand on every whole message."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= LENGTH.size:
            (length,) = LENGTH.unpack_from(buffer, start)
            end = start + LENGTH.size + length
            if len(buffer) < end:
                break
            self._take(start + LENGTH.size, end)
            start = end
        del buffer[:start]

    def _take(self, start: int, end: int) -> None:
        """One message. One that cannot be used is skipped: what is known stays, the next may do."""
        try:
            with memoryview(self._buffer) as view:
                message = self._decoder.decode(view[start:end])
            self._receive(message)
        except Exception as error:
            self._errors.report("a message between our processes is skipped", error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other process is gone."""
        self._transport = None
        self._closed()

    def send(self, framed: bytes) -> None:
        """Send what `frame` made; nothing happens if the other end is gone."""
        # One that is closing would log each further message.
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(framed)

    def close(self) -> None:
        """Send what is buffered, then end the link."""
        if self._transport is not None:
            self._transport.close()


def worker_decoder() -> msgspec.msgpack.Decoder[ToWorker]:
    """Reads what control sends."""
    return msgspec.msgpack.Decoder(ToWorker, dec_hook=_socket)


def control_decoder() -> msgspec.msgpack.Decoder[ToControl]:
    """Reads what a worker sends."""
    return msgspec.msgpack.Decoder(ToControl)
