"""UDP on a wildcard address: a reply leaves from the address that the query was sent to.

A socket bound to 0.0.0.0 or :: lets the kernel choose the source of a reply by its route, and on a
host with several addresses that is often another one than the client asked; resolvers throw such
replies away. The kernel tells the destination of each datagram beside it, and takes it back as the
source of the reply (ip(7), RFC 3542 section 6).
"""

import socket
import struct
from typing import Any

# Linux: Python has no names for these before 3.14.
_IP_PKTINFO = 8
_IPV6_RECVPKTINFO, _IPV6_PKTINFO = 49, 50
_IPV4_INFO = struct.Struct("=I4s4s")  # interface, our address, destination in the header
_IPV6_INFO = struct.Struct("=16sI")  # our address, interface
_ROOM = 64  # octets for what the kernel tells; an in6_pktinfo with its header takes 40

Ancillary = list[tuple[int, int, bytes]]


def is_wildcard(listener: socket.socket) -> bool:
    """Whether the socket takes what is sent to any address of this host."""
    return listener.getsockname()[0] in ("0.0.0.0", "::")


class WildcardSocket:
    """The part of a socket that a UDP server uses. A client is its address and our own."""

    def __init__(self, listener: socket.socket) -> None:
        self._socket = listener
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
            self._reply_from = _ipv6_source
        else:
            listener.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            self._reply_from = _ipv4_source

    def fileno(self) -> int:
        """The file descriptor."""
        return self._socket.fileno()

    def recvfrom(self, size: int) -> tuple[bytes, Any]:
        """A datagram, and whom to reply to: the socket address, then how to reply from ours."""
        packet, told, _, client = self._socket.recvmsg(size, _ROOM)
        return packet, (*client, self._reply_from(told))

    def sendto(self, reply: bytes, client: Any) -> int:
        """Send a reply to what `recvfrom` gave."""
        return self._socket.sendmsg([reply], client[-1], 0, client[:-1])


def _ipv4_source(told: Ancillary) -> Ancillary:
    for level, kind, data in told:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _, ours, _ = _IPV4_INFO.unpack(data[: _IPV4_INFO.size])
            # Interface 0: the route decides, as it does for every other packet from this address.
            return [(level, kind, _IPV4_INFO.pack(0, ours, bytes(4)))]
    return []


def _ipv6_source(told: Ancillary) -> Ancillary:
    for level, kind, data in told:
        if level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
            ours, interface = _IPV6_INFO.unpack(data[: _IPV6_INFO.size])
            is_link_local = ours[0] == 0xFE and ours[1] & 0xC0 == 0x80
            return [(level, kind, _IPV6_INFO.pack(ours, interface if is_link_local else 0))]
    return []
