"""The response cache: from the packet of a known question to its reply in about 1 us.

A question in any case, with any id and any EDNS options, shares one entry. An entry is found with
three dictionary look-ups: of the header's flags and counts, of the question, and of the OPT record
up to the length of its first option. Whatever is unusual is not found here, and takes the way
through `decode`, which ends at the same entry (`find_for`).

There are two parts, so that a flood of random names cannot drive out what exists: the positive one
holds answers, and the absence of common types at names that exist; the negative one the rest. Most
names that do not exist never get there: what is known of the names above denies them (`denials`).

An entry goes when one of its dependencies changes. One that depends on time instead has
`expires_at`: `expire`, called several times a second, removes it, so that a hit need not ask.
"""

from collections.abc import Iterator
from itertools import cycle, product
from random import Random
from struct import Struct

from msgspec.structs import replace

from consuldns.dns.answer import Answer, ExtendedError, Outcome
from consuldns.dns.policy import MessagePolicy
from consuldns.dns.question import Type
from consuldns.views.keys import ViewKey
from consuldns.wire.decode import HEADER_SIZE, OPT_FIXED_SIZE, Edns, Query, Rcode
from consuldns.wire.denials import Denials, Rendered
from consuldns.wire.encode import (
    NO_OPTIONS,
    PLAIN_MAX_SIZE,
    TCP_MAX_SIZE,
    CompiledAnswer,
    Rendering,
    assemble,
    edns_max_size,
    error_options,
    kind_of,
    opt_start,
)
from consuldns.wire.generations import Generations
from consuldns.wire.tally import Tally

MAX_ORDERS = 8  # renderings of one answer that are rotated
_MAX_ROTATION = 65_536  # bytes of them all
MAX_UDP_ANSWER_LIMIT = 8  # Consul's own
_NO_LIMIT = 1 << 30
_MANY = 1_000  # groups that may be more than fit into any message
_MAX_ENTRIES = 50_000  # in a generation
_MAX_NEGATIVE, _MAX_OPTS = 2_000, 1_000
_ENTRY_OVERHEAD = 1_000  # bytes of an entry beside its records (measured: 0.9 kB for one A record)

_OPTION_LENGTH = Struct("!H")
_OPT_KEY = OPT_FIXED_SIZE + 4  # as far as the length of the first option

_ADDRESS_TYPES = frozenset({Type.A, Type.AAAA, Type.ANY})

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


class _Entry:
    """A compiled answer and its renderings.

    `rotations` has, for each maximum size that was needed, all renderings of the answer, to be sent
    in turns. Until all are made, one for each query, the size is missing there. `memory` is an
    estimate in bytes.
    """

    __slots__ = (
        "_largest_udp",
        "_limit",
        "_order",
        "_plain_limit",
        "_started",
        "_turns",
        "compiled",
        "counter",
        "dependencies",
        "expires_at",
        "memory",
        "rotations",
    )

    def __init__(
        self,
        query: Query,
        answer: Answer,
        randomness: Random,
        messages: MessagePolicy,
        tally: Tally,
    ) -> None:
        if answer.shuffled and len(answer.groups) > _MANY:
            # Not all may fit into a message: let chance choose.
            chosen = randomness.sample(answer.groups, len(answer.groups))
            answer = replace(answer, groups=tuple(chosen))
        self.compiled = CompiledAnswer(answer, query.question, messages)
        self.counter = tally.counter(answer.zone, query.question.type, self.compiled.rcode)
        is_limited = query.question.type in _ADDRESS_TYPES and not answer.is_recursive
        self._limit = (messages.a_record_limit if is_limited else 0) or _NO_LIMIT
        self._plain_limit = min(messages.udp_answer_limit, MAX_UDP_ANSWER_LIMIT) or _NO_LIMIT
        self.dependencies = answer.dependencies
        self.expires_at: float | None = None
        self.rotations: dict[int, cycle[Rendering]] = {}
        self._started: dict[int, list[Rendering]] = {}
        count = self.compiled.count
        self._order = list(range(count))
        self._turns = 1
        if count > 1 and (answer.exclusive or answer.shuffled):
            self._turns = MAX_ORDERS if self.compiled.weights else min(MAX_ORDERS, count)
            randomness.shuffle(self._order)
        # ANY is what attackers use to make small questions into large replies (RFC 8482).
        self._largest_udp = edns_max_size(0) if query.question.type == Type.ANY else TCP_MAX_SIZE
        renderings = min(self._turns * self.compiled.size, _MAX_ROTATION)
        self.memory = _ENTRY_OVERHEAD + self.compiled.size + renderings

    def render(self, max_size: int, randomness: Random) -> Rendering:
        """The next rendering for a maximum size; completes `rotations` after a few calls."""
        limit = max_size if max_size == TCP_MAX_SIZE else min(max_size, self._largest_udp)
        shared = 0 if self.compiled.size <= limit else limit  # 0: any size that holds everything
        most = self._limit
        if max_size == PLAIN_MAX_SIZE and self._plain_limit < min(self.compiled.count, most):
            shared, most = PLAIN_MAX_SIZE, self._plain_limit
        if (rotation := self.rotations.get(shared)) is not None:
            self.rotations[max_size] = rotation
            return next(rotation)
        started = self._started.pop(shared, None) or []
        order = self._next_order(len(started), randomness)
        is_part = most == self._plain_limit < len(order[: self._limit])
        rendering = self.compiled.render(order[:most], limit, is_part=is_part)
        started.append(rendering)
        if len(started) >= min(self._turns, _MAX_ROTATION // max(1, len(rendering[1]))):
            self.rotations[max_size] = self.rotations[shared] = cycle(started)
        else:
            self._started[shared] = started
        return rendering

    def _next_order(self, turn: int, randomness: Random) -> list[int]:
        """Record groups in a random order; another one comes first at each turn."""
        if self.compiled.exclusive:
            return self._order[turn : turn + 1]
        if self.compiled.weights:
            return _by_weight(self.compiled.weights, randomness)
        if turn == 0:
            return self._order
        first = self._order[turn]
        order = self._order.copy()
        order.remove(first)
        randomness.shuffle(order)
        return [first, *order]

    def renew(self, randomness: Random) -> None:
        """Forget the renderings if they cannot all have been made: others get their turn."""
        if 1 < self._turns < len(self._order) or self.compiled.weights:
            self.rotations.clear()
            self._started.clear()
            randomness.shuffle(self._order)


def _by_weight(weights: list[int], randomness: Random) -> list[int]:
    """A random order in which each comes first in proportion to its weight, and so on.

    (Efraimidis and Spirakis, "Weighted random sampling with a reservoir".) Weights of 0 go last.
    """
    keys = [randomness.random() ** (1 / weight) if weight else 0.0 for weight in weights]
    return sorted(range(len(weights)), key=keys.__getitem__, reverse=True)


class _Opt:
    """What is needed of a known OPT record: its length, the reply's maximum size and OPT."""

    __slots__ = ("length", "max_size", "reply")

    def __init__(self, edns: Edns, most: int) -> None:
        self.length = len(edns.wire)
        self.max_size = edns_max_size(edns.size, most)
        self.reply = opt_start(dnssec_ok=edns.dnssec_ok)


class ResponseCache:
    """See the module. `tally` counts what it sends."""

    def __init__(
        self, randomness: Random, tally: Tally, messages: MessagePolicy | None = None
    ) -> None:
        self._randomness = randomness
        self._tally = tally
        self._opts: dict[bytes, _Opt] = {}
        self._options = (NO_OPTIONS, NO_OPTIONS)
        self.set_messages(messages or MessagePolicy())

    def set_messages(self, messages: MessagePolicy) -> None:
        """Make messages so from now on: forget every answer."""
        self._messages = messages
        self._opts.clear()
        self._positive = Generations[_Entry](_MAX_ENTRIES)
        self._negative = Generations[_Entry](_MAX_NEGATIVE)
        self._denials = Denials(messages, self._tally)

    def find(self, packet: bytes, over_tcp: bool) -> bytes | None:
        """The reply to a packet, None if it is not known here. The hot path: nothing can fail."""
        kind = _USUAL_HEADERS.get(packet[2:HEADER_SIZE])
        if kind is None:
            return None
        # A label may hold a zero byte; names with such labels are never in the cache.
        root = packet.find(b"\0", HEADER_SIZE)
        end = root + 5
        key = packet[HEADER_SIZE:root].lower() + packet[root:end]
        entry = self._positive.fresh.entries.get(key)
        if entry is None:
            denial = self._denials.find(key)
            if denial is not None:
                return self._deny(packet, kind, end, denial, over_tcp)
            entry = self._older(key)
            if entry is None:
                return None
        max_size, opt = PLAIN_MAX_SIZE, None
        if kind >= _WITH_EDNS:
            opt = self._opts.get(packet[end : end + _OPT_KEY])
            if opt is None:
                return None
            max_size = opt.max_size
        if len(packet) - end != (opt.length if opt else 0):
            return None
        rotation = entry.rotations.get(TCP_MAX_SIZE if over_tcp else max_size)
        if rotation is None:
            return None
        compiled = entry.compiled
        entry.counter[over_tcp] += 1
        headers, body = next(rotation)
        start = (packet[:2], headers[kind], packet[HEADER_SIZE:end], body)
        if opt is None:
            return b"".join(start)
        options = compiled.options or self._options[compiled.rcode == _NXDOMAIN]
        return b"".join((*start, opt.reply, options))

    def _deny(
        self, packet: bytes, kind: int, end: int, denial: Rendered, over_tcp: bool
    ) -> bytes | None:
        """The reply to a packet whose question ends at an offset, for a name that is denied."""
        headers, body, own_options, counter = denial
        start = (packet[:2], headers[kind], packet[HEADER_SIZE:end], body)
        if kind < _WITH_EDNS:
            if len(packet) != end:
                return None
            counter[over_tcp] += 1
            return b"".join(start)
        opt = self._opts.get(packet[end : end + _OPT_KEY])
        if opt is None or len(packet) - end != opt.length:
            return None
        counter[over_tcp] += 1
        return b"".join((*start, opt.reply, own_options or self._options[True]))

    def find_for(self, query: Query, over_tcp: bool) -> bytes | None:
        """The reply to a query, None if it is not known here; makes it known to `find`."""
        entry = self._positive.fresh.entries.get(query.key)
        denial = None if entry else self._denials.render_for(query.key)
        if denial is None:
            entry = entry or self._older(query.key)
            if entry is None:
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
        entry = _Entry(query, answer, self._randomness, self._messages, self._tally)
        entry.expires_at = expires_at
        if b"\0" not in query.key[:-5]:
            exists = answer.outcome is Outcome.ANSWER or (
                answer.outcome is Outcome.NODATA and query.question.type in _COMMON_TYPES
            )
            (self._positive if exists else self._negative).add(query.key, entry)
        return self._reply(entry, query, over_tcp=over_tcp)

    def reply(self, query: Query, answer: Answer, *, over_tcp: bool) -> bytes:
        """The reply to this query alone."""
        entry = _Entry(query, answer, self._randomness, self._messages, self._tally)
        return self._reply(entry, query, over_tcp=over_tcp)

    def drop(self, dependency: ViewKey) -> None:
        """Forget exactly the answers that came from a view."""
        self._positive.drop(dependency)
        self._negative.drop(dependency)
        self._denials.drop(dependency)

    def sizes(self) -> Iterator[tuple[str, int]]:
        """How many entries there are: of answers, of denials of a name, of all names below one."""
        yield "success", len(self._positive)
        yield "denial", len(self._negative)
        yield "closest_encloser", len(self._denials)

    def expire(self, now: float) -> None:
        """Forget the answers whose time is up."""
        self._positive.expire(now)
        self._negative.expire(now)

    def rotate(self) -> tuple[ViewKey, ...]:
        """Begin a generation. Returns the views that answers were given from since the last time.

        To be called every few seconds: what was not in use between two calls is forgotten.
        """
        used = (self._positive.rotate(), self._negative.rotate(), self._denials.rotate())
        return tuple({key for each in used for key in each})

    def mark_stale(self, stale: bool) -> None:
        """Whether replies with OPT say that they are from old data (RFC 8914 4.4 and 4.20)."""
        self._options = (NO_OPTIONS, NO_OPTIONS)
        if stale:
            self._options = (
                error_options(ExtendedError.STALE_ANSWER),
                error_options(ExtendedError.STALE_NXDOMAIN_ANSWER),
            )

    def _older(self, key: bytes) -> _Entry | None:
        """An entry of the negative part, or of the previous generation."""
        return (
            self._negative.fresh.entries.get(key)
            or self._positive.revive(key, self._randomness)
            or self._negative.revive(key, self._randomness)
        )

    def _reply(self, entry: _Entry, query: Query, *, over_tcp: bool) -> bytes:
        max_size = PLAIN_MAX_SIZE
        if query.edns is not None:
            max_size = edns_max_size(query.edns.size, self._messages.max_udp_size)
        rendering = entry.render(TCP_MAX_SIZE if over_tcp else max_size, self._randomness)
        compiled = entry.compiled
        entry.counter[over_tcp] += 1
        options = compiled.options or self._options[compiled.rcode == _NXDOMAIN]
        return assemble(query, rendering, options)

    def _learn(self, edns: Edns) -> None:
        """Let `find` know an OPT record: one without options, or with a single one.

        The content of the option does not matter (all are ignored), so that all cookies share one
        entry. With several options the length of the first does not tell that the rest is well
        formed.
        """
        wire = edns.wire
        if wire[:_OPT_KEY] in self._opts:
            return
        if len(wire) > OPT_FIXED_SIZE:
            (length,) = _OPTION_LENGTH.unpack_from(wire, OPT_FIXED_SIZE + 2)
            if _OPT_KEY + length != len(wire):
                return
        if len(self._opts) >= _MAX_OPTS:
            self._opts.clear()
        self._opts[wire[:_OPT_KEY]] = _Opt(edns, self._messages.max_udp_size)
