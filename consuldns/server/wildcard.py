"""UDP on a wildcard address: a reply leaves from the address that the query was sent to.

A socket bound to 0.0.0.0 or :: lets the kernel choose the source of a reply by its route, and on a
host with several addresses that is often another one than the client asked; resolvers throw such
replies away. The kernel gives the destination of each datagram beside it, and takes it back as the
source of the reply (ip(7), RFC 3542 section 6). Where it cannot, the route decides after all.
"""

import logging
import socket
import struct
import sys
from typing import Any

# Python has no name for the first before 3.14; the others are not on every system (RFC 3542).
_IP_PKTINFO: int | None = getattr(
    socket, "IP_PKTINFO", {"linux": 8, "darwin": 26}.get(sys.platform)
)
_IPV6_RECVPKTINFO: int | None = getattr(socket, "IPV6_RECVPKTINFO", None)
_IPV6_PKTINFO: int | None = getattr(socket, "IPV6_PKTINFO", None)
_IPV4_INFO = struct.Struct("=I4s4s")  # interface, our address, destination in the header
_IPV6_INFO = struct.Struct("=16sI")  # our address, interface
_MAX_ANCILLARY = 64  # bytes beside a datagram; an in6_pktinfo with its header takes 40

Ancillary = list[tuple[int, int, bytes]]

_log = logging.getLogger(__name__)


def replying_as_asked(listener: socket.socket) -> "socket.socket | WildcardSocket":
    """The socket, or in its place one whose replies leave from the address that was asked."""
    address = listener.getsockname()[0]
    if address not in ("0.0.0.0", "::"):
        return listener
    try:
        return WildcardSocket(listener)
    except OSError as error:
        _log.warning(
            "replies from %s may leave from another address than the client asked (%s): "
            "list the addresses of this host in 'listen' if clients time out",
            address,
            error.strerror or error,
        )
        return listener


class WildcardSocket:
    """The part of a socket that a UDP server uses. A client is its address and our own.

    Raises OSError where the kernel does not give the destination of a datagram.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._socket = listener
        self.family = listener.family
        if listener.family == socket.AF_INET6:
            _request(listener, socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO)
            self.reply_from = _ipv6_source
        else:
            _request(listener, socket.IPPROTO_IP, _IP_PKTINFO)
            self.reply_from = _ipv4_source

    def fileno(self) -> int:
        """The file descriptor."""
        return self._socket.fileno()

    def recvfrom(self, size: int) -> tuple[bytes, Any]:
        """A datagram, and whom to reply to: the socket address, then how to reply from ours."""
        packet, ancillary, _, client = self._socket.recvmsg(size, _MAX_ANCILLARY)
        return packet, (*client, self.reply_from(ancillary))

    def sendto(self, reply: bytes, client: Any) -> int:
        """Send a reply to what `recvfrom` gave."""
        return self._socket.sendmsg([reply], client[-1], 0, client[:-1])


def _request(listener: socket.socket, level: int, option: int | None) -> None:
    if option is None:
        raise OSError("this system has no option for it")
    listener.setsockopt(level, option, 1)


def _ipv4_source(ancillary: Ancillary) -> Ancillary:
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _, ours, _ = _IPV4_INFO.unpack(data[: _IPV4_INFO.size])
            # Interface 0: the route decides, as it does for every other packet from this address.
            return [(level, kind, _IPV4_INFO.pack(0, ours, bytes(4)))]
    return []


def _ipv6_source(ancillary: Ancillary) -> Ancillary:
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
            ours, interface = _IPV6_INFO.unpack(data[: _IPV6_INFO.size])
            is_link_local = ours[0] == 0xFE and ours[1] & 0xC0 == 0x80
            return [(level, kind, _IPV6_INFO.pack(ours, interface if is_link_local else 0))]
    return []
