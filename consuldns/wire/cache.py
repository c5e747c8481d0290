"""The response cache: from the packet of a known question to its reply in about 1 us.

A question in any case, with any id and any EDNS option, shares one entry. An entry is found with
three dictionary look-ups: of the header's flags and counts, of the question, and of the OPT record
up to the length of its first option. Whatever is unusual is not found here, and takes the way
through `decode`, which ends at the same entry (`find_for`). Most packets are the same as one before
but for their id: for these, whole replies are ready after a single look-up (`_Ready`).

There are two parts, so that a flood of random names cannot drive out what exists: the positive one
holds answers, and the absence of common types at names that exist; the negative one, which is much
smaller, the rest, and answers that are computed from names that clients make up. Most
names that do not exist never get there: what is known of the names above denies them (`denials`).

An entry goes when one of its dependencies changes. One that depends on time instead has
`expires_at`: `expire`, called several times a second, removes it, so that a hit need not ask.
"""

from collections.abc import Iterator
from itertools import product
from random import Random
from struct import Struct

from consuldns.dns.answer import Answer, ExtendedError, Outcome
from consuldns.dns.policy import MessagePolicy
from consuldns.dns.question import Type
from consuldns.views.keys import ViewKey
from consuldns.wire.decode import HEADER_SIZE, OPT_FIXED_SIZE, PADDING, Edns, Query, Rcode
from consuldns.wire.denials import Denials
from consuldns.wire.encode import (
    NO_OPTIONS,
    PLAIN_MAX_SIZE,
    TCP_MAX_SIZE,
    assemble,
    edns_max_size,
    error_options,
    kind_of,
    opt_start,
    size_of_options,
)
from consuldns.wire.entry import Entry, Rotation
from consuldns.wire.generations import Generations
from consuldns.wire.tally import Tally

_MAX_ENTRIES = 50_000  # in a generation
_MAX_NEGATIVE, _MAX_OPTS = 2_000, 1_000
_MAX_READY, _MAX_READY_SIZE = 10_000, 16_000_000  # packets; octets of the replies to them

PADDED = frozenset((PADDING,))
_OPTION_LENGTH = Struct("!H")
_OPT_KEY = OPT_FIXED_SIZE + 4  # as far as the length of the first option

# Types that clients query all the time: their absence is worth as much as their presence.
_COMMON_TYPES = frozenset({Type.A, Type.AAAA, Type.SRV, Type.TXT, Type.PTR, 65})  # 65: HTTPS


def _usual_headers() -> dict[bytes, int]:
    """Flags and counts of usual queries, and the kind of each.

    That is opcode 0, one question and at most one OPT, with any flags: servers ignore all but RD.
    """
    usual = {}
    for high, low, opt in product(range(8), range(0, 256, 16), (0, 1)):
        header = bytes((high, low, 0, 1, 0, 0, 0, 0, 0, opt))
        usual[header] = kind_of(recursion_desired=bool(high & 1), edns=bool(opt))
    return usual


_USUAL_HEADERS = _usual_headers()
_NXDOMAIN = Rcode.NXDOMAIN.value
_WITH_EDNS = 2  # the kinds from here on


class _Opt:
    """What is needed of a known OPT record: its length, the reply's maximum size and OPT."""

    __slots__ = ("length", "max_size", "reply")

    def __init__(self, edns: Edns, length: int, most: int) -> None:
        self.length = length
        self.max_size = edns_max_size(edns.size, most)
        self.reply = opt_start(dnssec_ok=edns.dnssec_ok)


class _Ready:
    """Whole replies but for their id, to packets that are the same octet by octet.

    They hold as long as the entry is kept. Nothing here says whether it is in use: all are
    forgotten at each `rotate`.
    """

    __slots__ = ("counter", "entry", "replies", "turns")

    def __init__(
        self, entry: Entry, rotation: Rotation, kind: int, question: bytes, tail: bytes
    ) -> None:
        self.entry = entry
        self.counter = entry.counter
        self.turns = rotation.turns  # shared: which instance comes first depends on no packet
        self.replies = [
            headers[kind] + question + body + tail for headers, body in rotation.renderings
        ]


class ResponseCache:
    """See the module. `tally` counts what it sends."""

    def __init__(
        self, randomness: Random, tally: Tally, messages: MessagePolicy | None = None
    ) -> None:
        self._randomness = randomness
        self._tally = tally
        self._opts: dict[bytes, _Opt] = {}
        self._options = (NO_OPTIONS, NO_OPTIONS)
        self._ready: dict[bytes, _Ready] = {}
        self._ready_size = 0  # octets
        self.set_messages(messages or MessagePolicy())

    def set_messages(self, messages: MessagePolicy) -> None:
        """Make messages so from now on: forget every answer."""
        self._messages = messages
        self._opts.clear()
        self._forget_ready()
        self._positive = Generations[Entry](_MAX_ENTRIES)
        self._negative = Generations[Entry](_MAX_NEGATIVE)
        self._denials = Denials(messages, self._tally)

    def find(self, packet: bytes, over_tcp: bool) -> bytes | None:  # noqa: C901 - the hot path
        """The reply to a packet, None if it is not known here. Nothing in it can fail."""
        if not over_tcp:
            ready = self._ready.get(packet[2:])
            if ready is not None and ready.entry.is_kept:
                ready.counter[0] += 1
                return packet[:2] + ready.replies[next(ready.turns)]
        kind = _USUAL_HEADERS.get(packet[2:HEADER_SIZE])
        if kind is None:
            return None
        # A label may hold a zero byte; names with such labels are never in the cache.
        root = packet.find(b"\0", HEADER_SIZE)
        end = root + 5
        name = packet[HEADER_SIZE:root]
        folded = name.lower()
        key = folded + packet[root:end]
        entry, denial, rotation = self._positive.fresh.entries.get(key), None, None
        if entry is None:
            denial = self._denials.find(key)
            if denial is None:
                entry = self._older(key)
                if entry is None:
                    return None
        max_size, opt, length = PLAIN_MAX_SIZE, None, 0
        if kind >= _WITH_EDNS:
            opt = self._opts.get(packet[end : end + _OPT_KEY])
            if opt is None:
                return None
            max_size, length = opt.max_size, opt.length
        if len(packet) - end != length:
            return None
        if entry is None:
            assert denial is not None
            headers, body, options, counter = denial
            options = options or self._options[True]
        else:
            rotation = entry.rotations.get(TCP_MAX_SIZE if over_tcp else max_size)
            if rotation is None:
                return None
            headers, body = rotation.renderings[next(rotation.turns)]
            options = entry.compiled.options or self._options[entry.compiled.rcode == _NXDOMAIN]
            counter = entry.counter
        counter[over_tcp] += 1
        tail = b"" if opt is None else opt.reply + options
        question = packet[HEADER_SIZE:end]
        if rotation and folded == name and length <= OPT_FIXED_SIZE and not over_tcp:
            assert entry is not None
            self._make_ready(packet[2:], entry, rotation, kind, question, tail)
        return b"".join((packet[:2], headers[kind], question, body, tail))

    def _make_ready(
        self,
        rest: bytes,
        entry: Entry,
        rotation: Rotation,
        kind: int,
        question: bytes,
        tail: bytes,
    ) -> None:
        """Put whole replies together for a packet, which is the same from its third octet on."""
        size = sum(len(body) for _, body in rotation.renderings)
        if len(self._ready) >= _MAX_READY or self._ready_size + size > _MAX_READY_SIZE:
            return
        self._ready_size += size
        self._ready[rest] = _Ready(entry, rotation, kind, question, tail)

    def _forget_ready(self) -> None:
        self._ready.clear()
        self._ready_size = 0

    def find_for(self, query: Query, over_tcp: bool, *, may_recurse: bool = True) -> bytes | None:
        """The reply to a query, None if it is not known here; makes it known to `find`.

        Without `may_recurse`, what upstream servers said is not known.
        """
        entry = self._positive.fresh.entries.get(query.key)
        denial = None if entry else self._denials.render_for(query.key)
        if denial is None:
            entry = entry or self._older(query.key)
            if entry is None:
                return None
        if entry is not None and entry.expires_at is not None and not may_recurse:
            return None
        if query.edns is not None:
            self._learn(query.edns)
        if entry is not None:
            return self._reply(entry, query, over_tcp=over_tcp)
        assert denial is not None
        headers, body, own_options, counter = denial
        counter[over_tcp] += 1
        return assemble(query, (headers, body), own_options or self._options[True])

    def add(
        self, query: Query, answer: Answer, *, over_tcp: bool, expires_at: float | None = None
    ) -> bytes:
        """Compile an answer, keep it if it will do for later queries, and give the reply.

        `expires_at` is for an answer that no view invalidates, in seconds of the clock of `expire`.
        """
        if answer.outcome is Outcome.SERVFAIL:
            return self.reply(query, answer, over_tcp=over_tcp)
        if answer.closest_encloser is not None and expires_at is None:
            self._denials.add(answer)
            denied = self.find_for(query, over_tcp)
            if denied is not None:
                return denied
        entry = Entry(query, answer, self._randomness, self._messages, self._tally)
        entry.expires_at = expires_at
        if b"\0" not in query.key[:-5]:
            exists = answer.outcome is Outcome.ANSWER or (
                answer.outcome is Outcome.NODATA and query.question.type in _COMMON_TYPES
            )
            is_worth_it = exists and not answer.is_computed
            (self._positive if is_worth_it else self._negative).add(query.key, entry)
        return self._reply(entry, query, over_tcp=over_tcp)

    def reply(self, query: Query, answer: Answer, *, over_tcp: bool) -> bytes:
        """The reply to this query alone."""
        entry = Entry(query, answer, self._randomness, self._messages, self._tally)
        return self._reply(entry, query, over_tcp=over_tcp)

    def drop(self, dependency: ViewKey) -> None:
        """Forget exactly the answers that came from a view."""
        self._positive.drop(dependency)
        self._negative.drop(dependency)
        self._denials.drop(dependency)

    def sizes(self) -> Iterator[tuple[str, int]]:
        """How many there are: answers, denials of a name, of all below one, ready replies."""
        yield "success", len(self._positive)
        yield "denial", len(self._negative)
        yield "closest_encloser", len(self._denials)
        yield "ready", len(self._ready)

    def expire(self, now: float) -> None:
        """Forget the answers whose time is up."""
        self._positive.expire(now)
        self._negative.expire(now)

    def rotate(self) -> tuple[ViewKey, ...]:
        """Begin a generation. Returns the views that answers were given from since the last time.

        To be called every few seconds: what was not in use between two calls is forgotten.
        """
        self._forget_ready()
        used = (self._positive.rotate(), self._negative.rotate(), self._denials.rotate())
        return tuple({key for each in used for key in each})

    def mark_stale(self, stale: bool) -> None:
        """Whether replies with OPT say that they are from old data (RFC 8914 4.4 and 4.20)."""
        self._options = (NO_OPTIONS, NO_OPTIONS)
        self._forget_ready()
        if stale:
            self._options = (
                error_options(ExtendedError.STALE_ANSWER),
                error_options(ExtendedError.STALE_NXDOMAIN_ANSWER),
            )

    def _older(self, key: bytes) -> Entry | None:
        """An entry of the negative part, or of the previous generation."""
        return (
            self._negative.fresh.entries.get(key)
            or self._positive.revive(key, self._randomness)
            or self._negative.revive(key, self._randomness)
        )

    def _reply(self, entry: Entry, query: Query, *, over_tcp: bool) -> bytes:
        max_size = PLAIN_MAX_SIZE
        if query.edns is not None:
            max_size = edns_max_size(query.edns.size, self._messages.max_udp_size)
            # Small answers share their renderings with queries without options.
            options_size = size_of_options(query.edns, self._messages.identity)
            if entry.compiled.size > max_size - options_size:
                max_size -= options_size
        rendering = entry.render(TCP_MAX_SIZE if over_tcp else max_size, self._randomness)
        compiled = entry.compiled
        entry.counter[over_tcp] += 1
        options = compiled.options or self._options[compiled.rcode == _NXDOMAIN]
        return assemble(query, rendering, options)

    def _learn(self, edns: Edns) -> None:
        """Let `find` know an OPT record: one without options, or with a single ignored one.

        The content of the option does not matter: cookies are taken off before (`server.cookies`),
        and a query that asks for an option in its reply always goes through `decode`, but for
        padding, which only TLS has an answer to (`server.tcp`). With several options the length of
        the first does not tell that the rest is well formed.
        """
        wire = edns.wire
        if edns.asks_for - PADDED:
            return
        if edns.cookie:
            wire = wire[: OPT_FIXED_SIZE - len(NO_OPTIONS)] + NO_OPTIONS
        if wire[:_OPT_KEY] in self._opts:
            return
        if len(wire) > OPT_FIXED_SIZE:
            (length,) = _OPTION_LENGTH.unpack_from(wire, OPT_FIXED_SIZE + 2)
            if _OPT_KEY + length != len(wire):
                return
        if len(self._opts) >= _MAX_OPTS:
            self._opts.clear()
        self._opts[wire[:_OPT_KEY]] = _Opt(edns, len(wire), self._messages.max_udp_size)
