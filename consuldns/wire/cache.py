"""The table of compiled answers: from the packet of a known question to its reply in about 1 us.

Every spelling of a question, with any id and any EDNS options, shares one entry. An entry is found
with three dictionary look-ups: of the header's flags and counts, of the question, and of the OPT
record up to the length of its first option. Whatever is unusual is not found here, and takes the
way through `decode`, which ends at the same entry (`find_for`).

Entries live in two generations. A hit in the previous one moves the entry to the fresh one, so the
fresh one holds what was asked for since the last `rotate`, and what nobody asks for is gone after
two. Denials have a table of their own: a flood of random names cannot drive out what exists.
"""

from collections.abc import Iterable
from itertools import cycle, product
from random import Random
from struct import Struct

from msgspec.structs import replace

from consuldns.dns.answer import Answer, ExtendedError, Outcome
from consuldns.dns.question import Type
from consuldns.views.keys import ViewKey
from consuldns.wire.decode import HEADER_SIZE, OPT_FIXED_SIZE, Edns, Query, Rcode
from consuldns.wire.encode import (
    NO_OPTIONS,
    PLAIN_ROOM,
    TCP_ROOM,
    Arrangement,
    CompiledAnswer,
    assemble,
    edns_room,
    error_options,
    kind_of,
    opt_start,
)

MAX_ORDERS = 8  # arrangements of one answer that are rotated
_MAX_ROTATION = 65_536  # octets of them all
_MANY = 1_000  # groups that may be more than fit into any message
_MAX_ENTRIES = 50_000  # in a generation
_MAX_OCTETS = 32_000_000  # in a generation, by estimate
_MAX_DENIALS = 2_000
_MAX_OPTS = 1_000
_ENTRY_OVERHEAD = 1_000  # octets of an entry beside its records (measured: 0.9 kB for one A record)

_OPTION_LENGTH = Struct("!H")
_OPT_KEY = OPT_FIXED_SIZE + 4  # as far as the length of the first option

# Types that clients ask for in earnest: their absence is worth remembering like their presence.
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
    """A compiled answer and its arrangements.

    `rotations` has, for each room that was needed, all arrangements of the answer, to be sent in
    turns. Until all are made, one for each query, the room is missing there. `octets` is an
    estimate of the memory that all this takes.
    """

    __slots__ = (
        "_largest_udp",
        "_order",
        "_started",
        "_turns",
        "compiled",
        "octets",
        "rotations",
        "sources",
    )

    def __init__(self, query: Query, answer: Answer, randomness: Random) -> None:
        if answer.shuffled and len(answer.groups) > _MANY:
            # Not all may fit into a message: let chance choose.
            chosen = randomness.sample(answer.groups, len(answer.groups))
            answer = replace(answer, groups=tuple(chosen))
        self.compiled = CompiledAnswer(answer, query.question)
        self.sources = answer.dependencies
        self.rotations: dict[int, cycle[Arrangement]] = {}
        self._started: dict[int, list[Arrangement]] = {}
        count = self.compiled.count
        self._order = list(range(count))
        self._turns = 1
        if count > 1 and (answer.exclusive or answer.shuffled):
            self._turns = min(MAX_ORDERS, count)
            randomness.shuffle(self._order)
        # ANY is what attackers use to make small questions into large replies (RFC 8482).
        self._largest_udp = edns_room(0) if query.question.type == Type.ANY else TCP_ROOM
        arrangements = min(self._turns * self.compiled.size, _MAX_ROTATION)
        self.octets = _ENTRY_OVERHEAD + self.compiled.size + arrangements

    def arrange(self, room: int, randomness: Random) -> Arrangement:
        """The next arrangement for a room; completes `rotations` after a few calls."""
        limit = room if room == TCP_ROOM else min(room, self._largest_udp)
        shared = 0 if self.compiled.size <= limit else limit  # 0: any room that holds everything
        rotation = self.rotations.get(shared)
        if rotation is not None:
            self.rotations[room] = rotation
            return next(rotation)
        started = self._started.pop(shared, None) or []
        arrangement = self.compiled.arrange(self._next_order(len(started), randomness), limit)
        started.append(arrangement)
        if len(started) >= min(self._turns, _MAX_ROTATION // max(1, len(arrangement[1]))):
            self.rotations[room] = self.rotations[shared] = cycle(started)
        else:
            self._started[shared] = started
        return arrangement

    def _next_order(self, turn: int, randomness: Random) -> list[int]:
        """Contributions in a random order; another one comes first at each turn."""
        if self.compiled.exclusive:
            return self._order[turn : turn + 1]
        if turn == 0:
            return self._order
        first = self._order[turn]
        order = self._order.copy()
        order.remove(first)
        randomness.shuffle(order)
        return [first, *order]

    def renew(self, randomness: Random) -> None:
        """Forget the arrangements if they cannot all have been made: others get their turn."""
        if 1 < self._turns < len(self._order):
            self.rotations.clear()
            self._started.clear()
            randomness.shuffle(self._order)


class _Generation:
    """Entries by question, and the questions by each view that their answers came from."""

    __slots__ = ("by_source", "entries", "octets")

    def __init__(self) -> None:
        self.entries: dict[bytes, _Entry] = {}
        self.by_source: dict[ViewKey, list[bytes]] = {}
        self.octets = 0

    def add(self, key: bytes, entry: _Entry) -> None:
        self.entries[key] = entry
        self.octets += entry.octets
        for source in entry.sources:
            self.by_source.setdefault(source, []).append(key)

    def drop(self, source: ViewKey) -> None:
        for key in self.by_source.pop(source, ()):
            entry = self.entries.get(key)
            # The question may have another answer by now, which came from other views.
            if entry is not None and source in entry.sources:
                del self.entries[key]
                self.octets -= entry.octets


class _Generations:
    """The fresh and the previous generation of entries."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self.fresh = _Generation()
        self.previous = _Generation()

    def add(self, key: bytes, entry: _Entry) -> bool:
        """Keep the entry; False if the generation is full."""
        if len(self.fresh.entries) >= self._max_entries or self.fresh.octets >= _MAX_OCTETS:
            return False
        self.fresh.add(key, entry)
        return True

    def revive(self, key: bytes, randomness: Random) -> _Entry | None:
        """The entry if the previous generation has it; it is in the fresh one from now on."""
        entry = self.previous.entries.get(key)
        if entry is not None and self.add(key, entry):
            del self.previous.entries[key]
            entry.renew(randomness)
        return entry

    def rotate(self) -> Iterable[ViewKey]:
        """Begin a generation; the views that answers were given from in the one that ends."""
        self.previous, self.fresh = self.fresh, _Generation()
        return self.previous.by_source.keys()

    def drop(self, source: ViewKey) -> None:
        """Drop every entry that came from the view."""
        self.fresh.drop(source)
        self.previous.drop(source)


class _Opt:
    """What is needed of an OPT record that was seen: its length, the room, the reply's start."""

    __slots__ = ("length", "reply", "room")

    def __init__(self, edns: Edns) -> None:
        self.length = len(edns.octets)
        self.room = edns_room(edns.size)
        self.reply = opt_start(dnssec_ok=edns.dnssec_ok)


class Answers:
    """The table. `replies` counts what it sends, by rcode."""

    def __init__(self, randomness: Random, replies: list[int]) -> None:
        self._randomness = randomness
        self._replies = replies
        self._opts: dict[bytes, _Opt] = {}
        self._options = (NO_OPTIONS, NO_OPTIONS)
        self.clear()

    def clear(self) -> None:
        """Forget every answer."""
        self._existing = _Generations(_MAX_ENTRIES)
        self._denials = _Generations(_MAX_DENIALS)

    def find(self, packet: bytes, over_tcp: bool) -> bytes | None:
        """The reply to a packet, None if it is not known here. The hot path: nothing can fail."""
        kind = _USUAL_HEADERS.get(packet[2:HEADER_SIZE])
        if kind is None:
            return None
        # A label may hold a zero octet; names with such labels are never in the table.
        root = packet.find(b"\0", HEADER_SIZE)
        end = root + 5
        key = packet[HEADER_SIZE:root].lower() + packet[root:end]
        entry = self._existing.fresh.entries.get(key) or self._older(key)
        if entry is None:
            return None
        room, opt = PLAIN_ROOM, None
        if kind >= _WITH_EDNS:
            opt = self._opts.get(packet[end : end + _OPT_KEY])
            if opt is None:
                return None
            room = opt.room
        if len(packet) - end != (opt.length if opt else 0):
            return None
        rotation = entry.rotations.get(TCP_ROOM if over_tcp else room)
        if rotation is None:
            return None
        compiled = entry.compiled
        self._replies[compiled.rcode] += 1
        heads, body = next(rotation)
        start = (packet[:2], heads[kind], packet[HEADER_SIZE:end], body)
        if opt is None:
            return b"".join(start)
        options = compiled.options or self._options[compiled.rcode == _NXDOMAIN]
        return b"".join((*start, opt.reply, options))

    def find_for(self, query: Query, over_tcp: bool) -> bytes | None:
        """The reply to a query, None if it is not known here; makes it known to `find`."""
        entry = self._existing.fresh.entries.get(query.key) or self._older(query.key)
        if entry is None:
            return None
        if query.edns is not None:
            self._learn(query.edns)
        return self._reply(entry, query, over_tcp=over_tcp)

    def add(self, query: Query, answer: Answer, *, over_tcp: bool) -> bytes:
        """Compile an answer, keep it if it will do for later queries, and give the reply."""
        entry = _Entry(query, answer, self._randomness)
        if answer.outcome is not Outcome.SERVFAIL and b"\0" not in query.key[:-5]:
            exists = answer.outcome is Outcome.ANSWER or (
                answer.outcome is Outcome.NODATA and query.question.type in _COMMON_TYPES
            )
            (self._existing if exists else self._denials).add(query.key, entry)
        return self._reply(entry, query, over_tcp=over_tcp)

    def drop(self, source: ViewKey) -> None:
        """Forget exactly the answers that came from a view."""
        self._existing.drop(source)
        self._denials.drop(source)

    def rotate(self) -> tuple[ViewKey, ...]:
        """Begin a generation. Returns the views that answers were given from since the last time.

        To be called every few seconds: what was not asked for between two calls is forgotten.
        """
        return tuple({*self._existing.rotate(), *self._denials.rotate()})

    def mark_stale(self, stale: bool) -> None:
        """Whether replies with OPT say that they are from old data (RFC 8914 4.4 and 4.20)."""
        self._options = (NO_OPTIONS, NO_OPTIONS)
        if stale:
            self._options = (
                error_options(ExtendedError.STALE_ANSWER),
                error_options(ExtendedError.STALE_NXDOMAIN_ANSWER),
            )

    def __len__(self) -> int:
        """Questions in the fresh generations."""
        return len(self._existing.fresh.entries) + len(self._denials.fresh.entries)

    def _older(self, key: bytes) -> _Entry | None:
        """An entry that is a denial, or of the previous generation."""
        return (
            self._denials.fresh.entries.get(key)
            or self._existing.revive(key, self._randomness)
            or self._denials.revive(key, self._randomness)
        )

    def _reply(self, entry: _Entry, query: Query, *, over_tcp: bool) -> bytes:
        room = PLAIN_ROOM if query.edns is None else edns_room(query.edns.size)
        arrangement = entry.arrange(TCP_ROOM if over_tcp else room, self._randomness)
        compiled = entry.compiled
        self._replies[compiled.rcode] += 1
        options = compiled.options or self._options[compiled.rcode == _NXDOMAIN]
        return assemble(query, arrangement, options)

    def _learn(self, edns: Edns) -> None:
        """Let `find` know an OPT record: one without options, or with a single one.

        The content of the option does not matter (all are ignored), so that all cookies share one
        entry. With several options the length of the first does not tell that the rest is well
        formed.
        """
        octets = edns.octets
        if octets[:_OPT_KEY] in self._opts:
            return
        if len(octets) > OPT_FIXED_SIZE:
            (length,) = _OPTION_LENGTH.unpack_from(octets, OPT_FIXED_SIZE + 2)
            if _OPT_KEY + length != len(octets):
                return
        if len(self._opts) >= _MAX_OPTS:
            self._opts.clear()
        self._opts[octets[:_OPT_KEY]] = _Opt(edns)
