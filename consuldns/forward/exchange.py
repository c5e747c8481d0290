"""One question to one upstream server: over UDP, and over TCP if the reply is truncated.

Each query has a socket of its own with a random port, and a random id (RFC 5452): a forger has
to guess both. The socket is connected, so the kernel drops what comes from
elsewhere; what comes from there but does not belong to the query is ignored.
"""

import asyncio
import secrets
import socket
from collections import deque
from struct import Struct

from consuldns.dns.forwarded import ForwardedQuestion
from consuldns.errors import WireError
from consuldns.sockets import HostPort
from consuldns.wire.upstream import UpstreamReply, encode_query, read_reply

FIRST_PORT = 1024
MAX_TRIES = 20  # of random ports, until the kernel is left to choose
MAX_IGNORED = 32  # datagrams that do not belong to the query; a server that sends more is attacked
_LENGTH = Struct("!H")


class SourcePorts:
    """Random source ports, none of which is taken again soon."""

    def __init__(self) -> None:
        self._recent: deque[int] = deque(maxlen=4096)

    def socket(self, family: socket.AddressFamily) -> socket.socket:
        """A UDP socket that is bound to a random port. Raises OSError."""
        found = socket.socket(family, socket.SOCK_DGRAM)
        found.setblocking(False)
        anywhere = "::" if family == socket.AF_INET6 else "0.0.0.0"
        for _ in range(MAX_TRIES):
            port = FIRST_PORT + secrets.randbelow(65536 - FIRST_PORT)
            if port in self._recent:
                continue
            try:
                found.bind((anywhere, port))
            except OSError:
                continue  # in use, or not for us
            self._recent.append(port)
            break
        return found


async def exchange(
    server: HostPort, question: ForwardedQuestion, ports: SourcePorts
) -> UpstreamReply:
    """The reply of a server. Raises OSError or WireError; time limits are the caller's."""
    id_ = secrets.randbelow(1 << 16)
    reply = await _over_udp(server, question, id_, ports)
    return await _over_tcp(server, question, id_) if reply.is_truncated else reply


class _Datagrams(asyncio.DatagramProtocol):
    """Waits for the first datagram that is a reply to the query."""

    def __init__(self, question: ForwardedQuestion, id_: int) -> None:
        self._question, self._id = question, id_
        self._ignored = 0
        self.reply: asyncio.Future[UpstreamReply] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Take it, or ignore it."""
        if self.reply.done():
            return
        try:
            self.reply.set_result(read_reply(data, self._id, self._question))
        except WireError as error:
            self._ignored += 1
            if self._ignored >= MAX_IGNORED:
                self.reply.set_exception(error)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there."""
        if not self.reply.done():
            self.reply.set_exception(exc)


async def _over_udp(
    server: HostPort, question: ForwardedQuestion, id_: int, ports: SourcePorts
) -> UpstreamReply:
    loop = asyncio.get_running_loop()
    sock = ports.socket(server.family)
    try:
        sock.connect((server.host, server.port))
        transport, datagrams = await loop.create_datagram_endpoint(
            lambda: _Datagrams(question, id_), sock=sock
        )
    except BaseException:
        sock.close()
        raise
    try:
        transport.sendto(encode_query(id_, question))
        return await datagrams.reply
    finally:
        transport.close()


async def _over_tcp(server: HostPort, question: ForwardedQuestion, id_: int) -> UpstreamReply:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        query = encode_query(id_, question)
        writer.write(_LENGTH.pack(len(query)) + query)
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        reply = read_reply(await reader.readexactly(length), id_, question)
    except asyncio.IncompleteReadError as error:
        raise WireError("the connection was closed within the reply") from error
    finally:
        writer.close()
    if reply.is_truncated:
        raise WireError("truncated over TCP")
    return reply
