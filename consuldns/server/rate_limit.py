"""Limits the replies over UDP to each network of clients, against reflection attacks.

Attackers send queries in the name of their victim, whom the replies then flood. So no reply is more
than ten times as long as its query: an empty one with TC is sent in its place. And a network gets
no more than so many replies with the same content in a second; beyond that, half of the replies
are empty ones with TC, and the others are dropped. (Response rate limiting, as in BIND, Knot and
NSD.) A client that did ask tries again over TCP, which nobody can use in the name of another.
Clients whose cookie is valid have shown who they are, and have no limit.
"""

from collections.abc import Callable
from typing import Self

from consuldns.dns.policy import RateLimitPolicy
from consuldns.server.clients import NETWORK_OCTETS, Networks, packed, unmapped
from consuldns.server.cookies import Cookies
from consuldns.wire.decode import HEADER_SIZE, Query, read_query, skip_name
from consuldns.wire.encode import truncated

AMPLIFICATION = 10  # the length of the longest reply, in lengths of its query
RUN = 32  # beyond the limit, 32 replies are dropped, the next 32 are truncated, and so on
_MAX_COUNTS = 20_000  # contents that are counted by themselves; all others are one
_WINDOW_SECONDS = 1.0
_NO_RECORDS = b"\0\0"
_TYPE_AND_CLASS_SIZE = 4
_LOOPBACK = (packed("127.0.0.1"), packed("::1"))


class RateLimiter:
    """Counts the replies of one worker. `clock` gives seconds that never go back.

    Nothing is counted before more queries have come in a second, from whomever, than one network
    may have replies: a quiet server pays one comparison for a batch.
    """

    def __init__(
        self, policy: RateLimitPolicy, cookies: Cookies, clock: Callable[[], float]
    ) -> None:
        self._cookies = cookies
        self._limit = policy.responses_per_second
        self._exempt = Networks(policy.exempt)
        self._clock = clock
        self._counts: dict[tuple[bytes, bytes], int] = {}  # by network and content
        self._window_ends = 0.0
        self._received = 0
        self.exempts_loopback = all(each in self._exempt for each in _LOOPBACK)

    @classmethod
    def of(
        cls, policy: RateLimitPolicy, cookies: Cookies, clock: Callable[[], float]
    ) -> Self | None:
        """None if there is no limit."""
        return cls(policy, cookies, clock) if policy.responses_per_second else None

    def note(self, count: int) -> None:
        """Count queries that have come."""
        now = self._clock()
        if now >= self._window_ends:
            self._window_ends = now + _WINDOW_SECONDS
            self._received = 0
            self._counts.clear()
        self._received += count

    @property
    def is_busy(self) -> bool:
        """Whether anybody may get too many replies, so that each needs `limit`."""
        return self._received > self._limit

    def limit(self, address: bytes, query: bytes, reply: bytes) -> bytes | None:
        """What to send to a packed address: the reply, an empty one with TC, or nothing."""
        is_amplified = len(reply) > AMPLIFICATION * len(query)
        if not (is_amplified or self.is_busy) or address in self._exempt:
            return reply
        if self._cookies.are_valid(query, address):
            return reply
        found = self._truncated(query, reply, address) if is_amplified else reply
        if not self.is_busy:
            return found
        own = unmapped(address)
        key = own[: NETWORK_OCTETS[len(own)]], _content(reply)
        if len(self._counts) >= _MAX_COUNTS and key not in self._counts:
            key = b"", b""
        count = self._counts[key] = self._counts.get(key, 0) + 1
        if count <= self._limit:
            return found
        is_dropped = (count - self._limit - 1) & RUN == 0
        return None if is_dropped else self._truncated(query, reply, address)

    def _truncated(self, packet: bytes, reply: bytes, address: bytes) -> bytes | None:
        """An empty reply with TC in place of this one; None if the packet has no question."""
        query = read_query(packet)
        if not isinstance(query, Query):
            return None
        return self._cookies.add(query, truncated(query, reply), address)


def _content(reply: bytes) -> bytes:
    """What is limited: an answer by its question, denials and errors by their rcode alone."""
    if reply[3] & 0xF or reply[6:8] == _NO_RECORDS:
        return reply[3:4]
    end = skip_name(reply, HEADER_SIZE) + _TYPE_AND_CLASS_SIZE
    return reply[HEADER_SIZE:end].lower()
