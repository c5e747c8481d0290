"""Room for everybody else, when one network sends more queries than can be answered.

Packets wait in one queue for each socket. A client that sends far more than all others fills it,
and packets of the others are lost. So while packets are lost, the network that most of them come
from is found, and the kernel is told to drop most of its packets before they are queued (by a
filter of the socket, socket(7)). That costs a fraction of reading them. The filter is removed
after a while.
"""

import asyncio
import ctypes
import logging
import socket
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network

from consuldns.server.batch import SIZE, Batch
from consuldns.server.clients import NETWORK_OCTETS

WINDOW = 32  # full batches in a row after which it is checked whether packets were lost
LOST = 0.2  # of what came in a window: more is an overload
SAMPLE = 64  # batches whose clients are counted then
SHARE = 0.5  # of the sample: who has more is held back
HOLD_SECONDS = 10.0
KEPT = 16  # of a held network's packets, one in so many is let through

# Octets of an address, of those the octets that tell clients apart (a host of IPv6 has a /64), and
# where the sender's address is in the network header.
_ADDRESSES: dict[int, tuple[int, int, int]] = {
    socket.AF_INET: (4, 4, 12),
    socket.AF_INET6: (16, 8, 8),
}
_SO_ATTACH_FILTER, _SO_DETACH_FILTER, _SO_MEMINFO = 26, 27, 55  # Python has no names for these
_MEMINFO = struct.Struct("=9I")  # the last one is the number of packets that were dropped
# Instructions of socket filters (linux/filter.h): code, jump if true, jump if not, value.
_INSTRUCTION = struct.Struct("=HBBI")
_LOAD, _AND, _IS_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_NETWORK_HEADER, _RANDOM = 0xFFF00000, 0xFFFFF000 + 56

_log = logging.getLogger(__name__)


class Overload:
    """Watches one socket. `held` is called for each network that is held back."""

    def __init__(
        self, listener: socket.socket, loop: asyncio.AbstractEventLoop, held: Callable[[], None]
    ) -> None:
        self._socket = listener
        self._loop = loop
        self._held = held
        self._sample: Counter[bytes] = Counter()
        self._sampled = self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None
        self._full = 0  # batches in a row

    def start(self) -> None:
        """Forget what an earlier worker told the kernel about the socket."""
        self._detach()

    def note(self, batch: Batch, count: int) -> None:
        """A batch has come. After a full one, more may be waiting than can be answered."""
        if count < SIZE:
            self._full = 0
            return
        self._full += 1
        if self._sampled:
            self._count(batch)
        elif self._full == 1:
            self._dropped = self._drops()
        elif self._full >= WINDOW and self._timer is None:
            self._full = 0
            if self._drops() - self._dropped > WINDOW * SIZE * LOST:
                self._count(batch)

    def _count(self, batch: Batch) -> None:
        _, octets, _ = _ADDRESSES[self._socket.family]
        self._sample.update([batch.address(n)[:octets] for n in range(SIZE)])
        self._sampled += 1
        if self._sampled < SAMPLE:
            return
        sample, self._sample, self._sampled = self._sample, Counter(), 0
        network = most_frequent(sample, self._socket.family, SHARE)
        if network is not None:
            share = sum(count for each, count in sample.items() if each.startswith(network))
            if share < sample.total():  # else there is nobody to make room for
                self._hold(network, share / sample.total())

    def _hold(self, network: bytes, share: float) -> None:
        """Have the kernel drop most of a network's packets, for a while."""
        code = program(network, self._socket.family)
        memory = ctypes.create_string_buffer(code, len(code))
        head = struct.pack("@HP", len(code) // _INSTRUCTION.size, ctypes.addressof(memory))
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, head)
        except OSError as error:
            _log.debug("no filter for a socket: %s", error)
            return
        self._held()
        self._timer = self._loop.call_later(HOLD_SECONDS, self._detach)
        _log.warning(
            "more queries come than can be answered, %d %% of them from %s: %d of %d of those are "
            "dropped for %d s, so that others are answered",
            *(100 * share, _text(network), KEPT - 1, KEPT, HOLD_SECONDS),
        )

    def _detach(self) -> None:
        self._timer, self._full = None, 0
        with suppress(OSError):  # there was none
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._detach()

    def _drops(self) -> int:
        try:
            found = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
            dropped: int = _MEMINFO.unpack(found)[-1]
        except (OSError, struct.error):
            return 0
        return dropped


def most_frequent(sample: Counter[bytes], family: int, share: float) -> bytes | None:
    """The client that more than this share came from, else the network, None if there is none.

    Networks are /24 and /56; clients of IPv6 are /64.
    """
    clients = sample.total()
    network: Counter[bytes] = Counter()
    octets = NETWORK_OCTETS[_ADDRESSES[family][0]]
    for client, count in sample.items():
        network[client[:octets]] += count
    for counts in (sample, network):
        ((most, count),) = counts.most_common(1)
        if count > clients * share:
            return most
    return None


def program(network: bytes, family: int) -> bytes:
    """A filter that lets one in `KEPT` packets of a network through, and all others."""
    words = [network[at : at + 4] for at in range(0, len(network), 4)]
    steps: list[tuple[int, int, int, int]] = []
    _, _, source = _ADDRESSES[family]
    behind = 3 * len(words) + 3
    for number, word in enumerate(words):
        mask = int.from_bytes((b"\xff" * len(word)).ljust(4, b"\0"))
        steps += [
            (_LOAD, 0, 0, _NETWORK_HEADER + source + 4 * number),
            (_AND, 0, 0, mask),
            (_IS_EQUAL, 0, behind - 3 * number - 3, int.from_bytes(word.ljust(4, b"\0"))),
        ]
    steps += [
        (_LOAD, 0, 0, _RANDOM),
        (_AND, 0, 0, KEPT - 1),
        (_IS_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, 0xFFFFFFFF),
        (_RETURN, 0, 0, 0),
    ]
    return b"".join(_INSTRUCTION.pack(*each) for each in steps)


def _text(network: bytes) -> str:
    bits = 8 * len(network)
    if len(network) in (3, 4):
        return str(IPv4Network((network.ljust(4, b"\0"), bits)))
    return str(IPv6Network((network.ljust(16, b"\0"), bits)))
