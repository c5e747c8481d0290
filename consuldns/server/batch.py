"""Datagrams by the batch: `recvmmsg` and `sendmmsg` of Linux, which Python has no names for.

A system call costs more than the look-up of an answer; one for 64 datagrams costs little more than
one for a single datagram. Their headers, addresses, packets and replies have fixed places in one
piece of memory. Per datagram there is one slice for the packet, one for the reply and one number
for its length: no ctypes object, which would cost as much as the call that it saves (measured).
"""

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys
from typing import Any

from consuldns.server.wildcard import Ancillary, WildcardSocket

SIZE = 64  # datagrams in a batch
MAX_QUERY = 4096  # octets; what is longer is cut, and is not a query
ROOM = 2048  # octets for a reply; larger ones go by themselves

# Both only where pointers have 64 bits (struct mmsghdr of glibc and musl, struct iovec).
_HEADER = struct.Struct("@PI4xPNPNi4xI4x")
_VECTOR = struct.Struct("@PN")
_ADDRESS = 32  # octets for a sockaddr_in (16) or sockaddr_in6 (28)
_CONTROL = 64  # octets for what the kernel gives beside a datagram
_NAME_LENGTHS = {socket.AF_INET: 16, socket.AF_INET6: 28}
_CONTROL_LENGTHS = {socket.AF_INET: 32, socket.AF_INET6: 40}  # of one in_pktinfo, in6_pktinfo
_CONTROL_HEADER = struct.Struct("@Nii")  # struct cmsghdr

# Every n-th number of a type: the length of the datagram, and of what is beside it, in a header of
# 64 octets; the port in an address; the length in a vector.
_LENGTHS, _CONTROLS = slice(14, None, 16), slice(5, None, 8)
_PORTS, _SIZES = slice(1, None, _ADDRESS // 2), slice(1, None, 2)

# The calls are refused: by a filter (seccomp), or by a kernel that only pretends to be Linux.
REFUSED = frozenset({errno.ENOSYS, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP})


class Unsupported(Exception):
    """There are no such calls here."""


class Batch:
    """The datagrams that came to a socket at once, and the replies to them.

    The n-th datagram has its packet at `n * MAX_QUERY` in `memory`, as long as `lengths[n]`; the
    client's port is `ports[n]`, in network order. Its reply goes to `replies + n * ROOM`, the
    reply's length to `sizes[n]`. Raises Unsupported.
    """

    def __init__(self, listener: socket.socket | WildcardSocket) -> None:
        self._receive, self._send = _calls()
        self._listener = listener
        self._fileno = listener.fileno()
        self._is_wildcard = isinstance(listener, WildcardSocket)
        self._family = listener.family
        self.replies = SIZE * MAX_QUERY
        self._addresses = self.replies + SIZE * ROOM
        self._controls = self._addresses + SIZE * _ADDRESS
        vectors = self._controls + SIZE * _CONTROL
        headers = vectors + 2 * SIZE * _VECTOR.size
        end = headers + 2 * SIZE * _HEADER.size
        self.memory = mmap.mmap(-1, end)
        view = memoryview(self.memory)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self._received, self._sent = start + headers, start + headers + SIZE * _HEADER.size
        for n in range(SIZE):
            self._lay_out(start, vectors, headers, n, n * MAX_QUERY, MAX_QUERY)
            self._lay_out(start, vectors, headers, SIZE + n, self.replies + n * ROOM, 0)
        middle = headers + SIZE * _HEADER.size
        self.lengths = view[headers:middle].cast("I")[_LENGTHS]
        self.ports = view[self._addresses : self._controls].cast("H")[_PORTS]
        self.sizes = view[vectors + SIZE * _VECTOR.size : headers].cast("P")[_SIZES]
        self._received_controls = view[headers:middle].cast("P")[_CONTROLS]
        self._sent_controls = view[middle:end].cast("P")[_CONTROLS]
        self._control_numbers = view[self._controls : vectors].cast("I")

    def _lay_out(
        self, start: int, vectors: int, headers: int, place: int, data: int, length: int
    ) -> None:
        """Headers from SIZE on are of replies; both have the client's address in one place."""
        n = place % SIZE
        vector = vectors + place * _VECTOR.size
        _VECTOR.pack_into(self.memory, vector, start + data, length)
        _HEADER.pack_into(
            self.memory,
            headers + place * _HEADER.size,
            *(start + self._addresses + n * _ADDRESS, _NAME_LENGTHS[self._family]),
            *(start + vector, 1),
            *(start + self._controls + n * _CONTROL if self._is_wildcard else 0, 0),
            *(0, 0),
        )

    def receive(self) -> int:
        """How many datagrams have come, at most SIZE; 0 if there is none. Raises OSError."""
        if self._is_wildcard:
            for n in range(SIZE):
                self._received_controls[n] = _CONTROL
        count: int = self._receive(self._fileno, self._received, SIZE, socket.MSG_DONTWAIT, None)
        if count < 0:
            code = ctypes.get_errno()
            if code in (errno.EAGAIN, errno.EINTR):
                return 0
            raise OSError(code, os.strerror(code))
        if self._is_wildcard:
            self._prepare_sources(count)
        return count

    def _prepare_sources(self, count: int) -> None:
        """Have each reply leave from the address that was asked, by the route (`wildcard`)."""
        length = _CONTROL_LENGTHS[self._family]
        for n in range(count):
            is_known = self._received_controls[n] == length
            self._sent_controls[n] = length if is_known else 0
            control = n * _CONTROL
            ours = self._controls + control + _CONTROL_HEADER.size
            if self._family == socket.AF_INET:
                self._control_numbers[control // 4 + 4] = 0  # the interface
            elif not _is_link_local(self._slice(ours, 2)):
                self._control_numbers[control // 4 + 8] = 0

    def send(self, first: int, end: int) -> OSError | None:
        """Send replies; the last error if one cannot be sent, see `unsent`."""
        self.unsent = 0
        problem = None
        while first < end:
            where = self._sent + first * _HEADER.size
            count: int = self._send(self._fileno, where, end - first, socket.MSG_DONTWAIT)
            if count < 0:
                code = ctypes.get_errno()
                if code == errno.EINTR:
                    continue
                problem = OSError(code, os.strerror(code))
                self.unsent += 1
                count = 1  # this one is lost, the next ones may do
            first += count
        return problem

    def address(self, n: int) -> bytes:
        """The packed address of a client."""
        at = self._addresses + n * _ADDRESS
        return self._slice(at + 4, 4) if self._family == socket.AF_INET else self._slice(at + 8, 16)

    def client(self, n: int) -> Any:
        """The client of a datagram, as `recvfrom` of the listener gives it."""
        at = self._addresses + n * _ADDRESS
        port = int.from_bytes(self.memory[at + 2 : at + 4])
        if self._family == socket.AF_INET:
            client: tuple[Any, ...] = (
                socket.inet_ntop(socket.AF_INET, self._slice(at + 4, 4)),
                port,
            )
        else:
            host = socket.inet_ntop(socket.AF_INET6, self._slice(at + 8, 16))
            flow = int.from_bytes(self._slice(at + 4, 4))
            client = (host, port, flow, int.from_bytes(self._slice(at + 24, 4), sys.byteorder))
        if isinstance(self._listener, WildcardSocket):
            return (*client, self._listener.reply_from(self._ancillary(n)))
        return client

    def _ancillary(self, n: int) -> Ancillary:
        if not self._sent_controls[n]:
            return []
        at = self._controls + n * _CONTROL
        length, level, kind = _CONTROL_HEADER.unpack_from(self.memory, at)
        data = self._slice(at + _CONTROL_HEADER.size, length - _CONTROL_HEADER.size)
        return [(level, kind, data)]

    def _slice(self, at: int, length: int) -> bytes:
        return self.memory[at : at + length]


def _is_link_local(start: bytes) -> bool:
    return start[0] == 0xFE and start[1] & 0xC0 == 0x80


def _calls() -> tuple[Any, Any]:
    """The two functions of the C library."""
    if sys.platform != "linux" or struct.calcsize("P") != 8 or _HEADER.size != 64:
        raise Unsupported
    try:
        library = ctypes.CDLL(None, use_errno=True)
        receive, send = library.recvmmsg, library.sendmmsg
    except (OSError, AttributeError):
        raise Unsupported from None
    number, pointer = ctypes.c_int, ctypes.c_void_p
    receive.argtypes = [number, pointer, ctypes.c_uint, number, pointer]
    send.argtypes = [number, pointer, ctypes.c_uint, number]
    receive.restype = send.restype = number
    return receive, send
