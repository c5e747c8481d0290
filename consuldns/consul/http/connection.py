"""One connection to Consul: HTTP/1.1 on an asyncio stream, one exchange at a time.

The framing is h11's (RFC 9112). httpx's own transport costs 0.7 to 1.3 ms of CPU a request, and
after a change hundreds of services are read again, one small request each; h11 on a stream costs
about 0.1 ms (`python -m benchmarks.requests`). No pipelining, no upgrade, no proxy, no redirect;
trailers and 1xx responses are skipped.
"""

import asyncio
import select
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import SupportsIndex

import h11

from consuldns.errors import BadResponse, Unreachable

CONNECT_SECONDS = 3.0
SILENCE_SECONDS = 5.0  # within a response, which Consul sends in one go
MAX_HEAD = 1 << 16  # bytes of a status line with its headers, of trailers, of a chunk's size
PIECE = 1 << 18  # bytes that are taken from the stream at once
# A firewall or a NAT gateway that forgot a connection says nothing to either side, and a blocking
# query waits for 10 s and more: the kernel notices within 5 + 3 * 2 s.
KEEPALIVE = {
    "TCP_KEEPIDLE": 5,  # seconds of silence until the first probe
    "TCP_KEEPINTVL": 2,  # seconds between probes
    "TCP_KEEPCNT": 3,  # probes without an answer until the connection counts as broken
}

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Address:
    """Where Consul listens. `tls`: None for plain HTTP; `server_name`: checked in place of host.

    `path` is that of a socket of this machine, in place of host and port.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response. Names of headers are in lower case; repeated ones are joined by `, `."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


class _Reader(asyncio.StreamReader):
    """Counts the bytes that have come and were not taken."""

    def __init__(self) -> None:
        super().__init__(limit=PIECE)
        self.waiting = 0

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        """What the transport calls with each piece."""
        octets = bytes(data)
        self.waiting += len(octets)
        super().feed_data(octets)

    async def read(self, n: int = -1) -> bytes:
        """At most `n` bytes, b"" at the end."""
        data = await super().read(n)
        self.waiting -= len(data)
        return data


class Connection:
    """Connects when needed; closes after anything unusual, so that the next exchange is clean."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._stream: tuple[_Reader, asyncio.StreamWriter] | None = None
        self._http = h11.Connection(h11.CLIENT)

    @property
    def is_open(self) -> bool:
        """Whether it can be used again as it is."""
        return self._stream is not None

    async def exchange(
        self, method: bytes, target: bytes, headers: Headers, body: bytes, max_body: int
    ) -> Response:
        """Send a request, `target` as it is, and read the whole response.

        Raises Unreachable if there is no connection, if it breaks, stalls within a response, or
        speaks something other than HTTP; BadResponse for a body of more than `max_body` bytes. If
        it is cancelled, the connection is closed.
        """
        try:
            reader, writer = await self._open()
            writer.write(self._request(method, target, headers, body))
            response = await self._receive(reader, max_body)
            self._finish()
            return response
        except OSError as error:
            self.close()
            raise Unreachable(f"connection lost: {error}") from error
        except h11.RemoteProtocolError as error:
            self.close()
            raise Unreachable(f"this is not an HTTP response: {error}") from error
        except h11.LocalProtocolError:  # its text holds the header, which may be the token
            self.close()
            raise Unreachable("a header of the request holds what HTTP does not allow") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close at once, whatever was being sent."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream[1].transport.abort()

    async def _open(self) -> tuple[_Reader, asyncio.StreamWriter]:
        if self._stream is not None and _is_quiet(*self._stream):
            return self._stream
        self.close()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                self._stream = await _connect(self.address)
        except TimeoutError as error:
            raise Unreachable(f"no connection within {CONNECT_SECONDS:g} s") from error
        except OSError as error:
            raise Unreachable(f"no connection: {error}") from error
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        return self._stream

    def _request(self, method: bytes, target: bytes, headers: Headers, body: bytes) -> bytes:
        events: list[h11.Event] = [
            h11.Request(method=method, target=target, headers=list(headers)),
            h11.EndOfMessage(),
        ]
        if body:
            events.insert(1, h11.Data(data=body))
        return b"".join(self._http.send(event) or b"" for event in events)

    async def _receive(self, reader: _Reader, max_body: int) -> Response:
        head: h11.Response | None = None
        body = bytearray()
        patience: float | None = None  # for the first byte: the caller's deadline, or a long poll
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await _read(reader, patience))
                patience = SILENCE_SECONDS
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > max_body:
                    raise BadResponse(f"the body is over {max_body} bytes")
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None  # h11 gives the events of a response in their order
                return Response(head.status_code, _by_name(head.headers), bytes(body))

    def _finish(self) -> None:
        """Make ready for the next exchange, or close."""
        http = self._http
        surplus, _ = http.trailing_data
        if http.our_state is h11.DONE and http.their_state is h11.DONE and not surplus:
            http.start_next_cycle()
        else:
            self.close()


async def _connect(address: Address) -> tuple[_Reader, asyncio.StreamWriter]:
    loop, reader = asyncio.get_running_loop(), _Reader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport: asyncio.Transport
    if address.path:
        transport, _ = await loop.create_unix_connection(lambda: protocol, address.path)
    else:
        transport, _ = await loop.create_connection(
            lambda: protocol,
            address.host,
            address.port,
            ssl=address.tls,
            server_hostname=(address.server_name or address.host) if address.tls else None,
        )
        connected = transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            option = getattr(socket, name, None)  # not every system has all of them
            if option is not None:
                connected.setsockopt(socket.IPPROTO_TCP, option, value)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def _is_quiet(reader: _Reader, writer: asyncio.StreamWriter) -> bool:
    """Whether nothing has come since the last response: neither its end, nor what nobody asked for.

    The latter would be taken for the response to the next request, and each one from then on for
    that to the request before. It may still be in the kernel, so the socket is looked at, too.
    """
    if reader.waiting or reader.at_eof():
        return False
    poll = select.poll()
    poll.register(writer.get_extra_info("socket"), select.POLLIN)
    return not poll.poll(0)


async def _read(reader: _Reader, seconds: float | None) -> bytes:
    """The next bytes, b"" at the end. Raises OSError if none come within that time."""
    try:
        async with asyncio.timeout(seconds) as limit:
            return await reader.read(PIECE)
    except TimeoutError as error:
        if not limit.expired():
            raise  # the kernel's: the other side has acknowledged nothing for too long
        raise OSError(f"no data for {seconds:g} s") from error


def _by_name(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found[name] = found[name] + b", " + value if name in found else value
    return found
