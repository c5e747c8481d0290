"""DNS cookies: what shows that a client's address is its own (RFC 7873, RFC 9018 section 4).

A query may have a cookie of the client's (eight octets of its choice). The reply repeats it with
one of ours, which says when it was made, and proves with a keyed hash for which address. A client
that sends both back has received a reply before, so it is where it says it is: limits against
forged addresses are not for it. A cookie that is not valid does no harm: the reply has another one.
"""

from collections.abc import Callable
from hashlib import blake2b
from struct import Struct

from consuldns.server.clients import unmapped
from consuldns.wire.decode import COOKIE, HEADER_SIZE, OPT_FIXED_SIZE, Query, read_query
from consuldns.wire.encode import COOKIE_OPTION_SIZE, PLAIN_SIZE, option, with_options

SECRET_SIZE = 16  # octets
RENEW_SECONDS, VALID_SECONDS, AHEAD_SECONDS = 1800, 3600, 300  # RFC 9018 section 4.3

_CLIENT, _HASH = 8, 8  # octets
_BOTH = COOKIE_OPTION_SIZE - 4
_START = Struct("!BxxxI")  # version, reserved, seconds
_OPTION_START = Struct("!HHH")  # length of all options, code, length
_OPT = b"\0\0\x29"  # root, type
# The ends of packets with no other option, from the length of all options to that of the cookie.
_CLIENT_ALONE = _OPTION_START.pack(4 + _CLIENT, COOKIE, _CLIENT)
_WITH_OURS = _OPTION_START.pack(4 + _BOTH, COOKIE, _BOTH)
_ANY = COOKIE.to_bytes(2) + b"\0"  # what the option begins with, whatever its length

# How long, and how many of the cookies that were sent are remembered: a hash costs 1 us.
_MEMORY_SECONDS = 60.0
_MAX_REPLIES = 10_000

Find = Callable[[bytes, bool], bytes | None]


class Cookies:
    """The cookies of all workers, which share the secret. `clock` gives seconds since 1970.

    `max_udp_size` is that of replies to clients that accept as much, in octets.
    """

    def __init__(self, secret: bytes, max_udp_size: int, clock: Callable[[], float]) -> None:
        self._hash = blake2b(key=secret, digest_size=_HASH)
        self._max_udp_size = max_udp_size
        self._clock = clock
        self._replies: dict[bytes, bytes] = {}  # what to send back, by what was sent from where
        self._replies_end = 0.0

    def find(self, find: Find, packet: bytes, over_tcp: bool, address: bytes) -> bytes | None:
        """The reply to a packet that is known but for its cookie: see `ResponseCache.find`."""
        size = _size_of_only(packet)
        if not size:
            return None
        reply = find(packet[: -size - _OPTION_START.size] + b"\0\0", over_tcp)
        if reply is None:
            return None
        if not over_tcp:
            accepted = max(PLAIN_SIZE, int.from_bytes(packet[-size - 12 : -size - 10]))
            if len(reply) + COOKIE_OPTION_SIZE > min(accepted, self._max_udp_size):
                return None  # another one must be made
        return with_options(reply, self.option(packet[-size:], address))

    def add(self, query: Query, reply: bytes, address: bytes) -> bytes:
        """The reply to a query, with a cookie if the query has one."""
        if query.edns is None or not query.edns.cookie:
            return reply
        return with_options(reply, self.option(query.edns.cookie, address))

    def option(self, sent: bytes, address: bytes) -> bytes:
        """The option of a reply to a query with this cookie."""
        return option(COOKIE, self._reply_to(sent, address))

    def are_valid(self, packet: bytes, address: bytes) -> bool:
        """Whether a query proves that its client is at this address."""
        size = _size_of_only(packet)
        sent = packet[-size:] if size else _cookie_in(packet)
        return self._age(sent, address) is not None

    def _reply_to(self, sent: bytes, address: bytes) -> bytes:
        """The cookie to send back. Forwarders use the same one for all their queries."""
        now = self._clock()
        if now >= self._replies_end or len(self._replies) >= _MAX_REPLIES:
            self._replies.clear()
            self._replies_end = now + _MEMORY_SECONDS
        known = self._replies.get(sent + address)
        if known is None:
            known = self._replies[sent + address] = self._renewed(sent, address)
        return known

    def _renewed(self, sent: bytes, address: bytes) -> bytes:
        age = self._age(sent, address)
        if age is not None and age < RENEW_SECONDS:
            return sent
        return self._made(sent[:_CLIENT], _START.pack(1, int(self._clock()) & 0xFFFFFFFF), address)

    def _made(self, client: bytes, start: bytes, address: bytes) -> bytes:
        keyed = self._hash.copy()
        keyed.update(client + start + unmapped(address))
        return client + start + keyed.digest()

    def _age(self, sent: bytes, address: bytes) -> int | None:
        """Seconds since we made a cookie, None if it is not ours, too old, or of another client."""
        if len(sent) != _BOTH:
            return None
        start = sent[_CLIENT:-_HASH]
        version, made = _START.unpack(start)
        age: int = (int(self._clock()) - made + AHEAD_SECONDS & 0xFFFFFFFF) - AHEAD_SECONDS
        if (
            version != 1
            or age > VALID_SECONDS
            or self._made(sent[:_CLIENT], start, address) != sent
        ):
            return None
        return age


def _size_of_only(packet: bytes) -> int:
    """Octets of the cookie at the end of a packet that has no other option, 0 if there is none."""
    if packet[-_CLIENT - 6 : -_CLIENT] == _CLIENT_ALONE:
        size = _CLIENT
    elif packet[-_BOTH - 6 : -_BOTH] == _WITH_OURS:
        size = _BOTH
    else:
        return 0
    opt = len(packet) - size - _OPTION_START.size + 2 - OPT_FIXED_SIZE
    return size if opt > HEADER_SIZE and packet.startswith(_OPT, opt) else 0


def _cookie_in(packet: bytes) -> bytes:
    """The cookie of a query, empty if it has none."""
    if packet.find(_ANY, HEADER_SIZE) < 0:
        return b""
    query = read_query(packet)
    found = query.edns if isinstance(query, Query) else None
    return found.cookie if found is not None else b""
