"""Limits the replies over UDP to each network of clients, against reflection attacks.

Attackers send queries in the name of their victim, whom the replies then flood. So a network gets
no more than so many replies with the same content in a second; beyond that, half of the replies
are empty ones with TC, and the others are dropped. A client that did ask tries again over TCP,
which nobody can use in the name of another. (Response rate limiting, as in BIND, Knot and NSD.)
"""

from collections.abc import Callable
from socket import AF_INET, AF_INET6, inet_pton
from typing import Protocol

from consuldns.dns.policy import RateLimitPolicy
from consuldns.server.clients import Networks, unmapped
from consuldns.wire.decode import HEADER_SIZE
from consuldns.wire.encode import truncated

RUN = 32  # of the replies beyond the limit, so many are dropped, then so many sent with TC
_PREFIXES = {4: 3, 16: 7}  # octets of a network of clients: /24 and /56
_MAX_KNOWN = 10_000  # addresses
_MAX_COUNTS = 20_000  # kinds of replies in a second
_NO_RECORDS = b"\0\0"
_LOOPBACK = (b"\x7f\0\0\1", b"\0" * 15 + b"\1")
_RESOLUTION_SECONDS = 1.0


class Limited(Protocol):
    """Where replies are counted that were not sent as they are."""

    rate_limited: int


class RateLimiter:
    """Counts the replies of one worker. `clock` gives seconds that never go back.

    Nothing is counted before as many replies are sent in a second, to whomever, as one network may
    have: a quiet server pays one comparison for a batch.
    """

    def __init__(
        self, policy: RateLimitPolicy, clock: Callable[[], float], counts: Limited
    ) -> None:
        self._limit = policy.responses_per_second
        self._exempt = Networks(policy.exempt)
        self._clock = clock
        self._limited = counts
        self._networks: dict[bytes, bytes | None] = {}  # of an address; None: exempt
        self._counts: dict[tuple[bytes | None, bytes], int] = {}
        self._window_ends = 0.0
        self._total = 0
        self.exempts_loopback = all(each in self._exempt for each in _LOOPBACK)

    def is_busy(self, count: int) -> bool:
        """Whether so many more replies may be too many for somebody, so that `limit` is needed."""
        now = self._clock()
        if now >= self._window_ends:
            self._window_ends = now + _RESOLUTION_SECONDS
            self._total = 0
            self._counts.clear()
        self._total += count
        return self._total > self._limit

    def limit(self, address: bytes, query: bytes, reply: bytes) -> bytes | None:
        """What to send in place of a reply, None for nothing. The address is packed."""
        try:
            network = self._networks[address]
        except KeyError:
            network = self._learn(address)
        if network is None:
            return reply
        end = _question_end(reply)
        is_answer = not reply[3] & 0xF and reply[6:8] != _NO_RECORDS
        key = (network, reply[HEADER_SIZE:end].lower() if is_answer else reply[3:4])
        if len(self._counts) >= _MAX_COUNTS and key not in self._counts:
            key = (network, b"")
        count = self._counts[key] = self._counts.get(key, 0) + 1
        if count <= self._limit:
            return reply
        self._limited.rate_limited += 1
        is_dropped = (count - self._limit - 1) & RUN == 0 or end == HEADER_SIZE
        return None if is_dropped else truncated(query, reply, end)

    def _learn(self, address: bytes) -> bytes | None:
        """The network that counts for an address."""
        if len(self._networks) >= _MAX_KNOWN:
            self._networks.clear()
        own = unmapped(address)
        network = None if own in self._exempt else own[: _PREFIXES[len(own)]]
        self._networks[address] = network
        return network


def _question_end(reply: bytes) -> int:
    """The offset behind the question, that of the header's end if there is none."""
    if reply[4:6] == _NO_RECORDS:
        return HEADER_SIZE
    offset = HEADER_SIZE
    while length := reply[offset]:
        offset += length + 1
    return offset + 5


def packed(host: str) -> bytes:
    """The address of a client, as sockets give it: an IPv6 address may have a scope."""
    return inet_pton(AF_INET6 if ":" in host else AF_INET, host.partition("%")[0])
