"""A compiled answer in the response cache, and its renderings, which are sent in turns."""

from itertools import cycle
from random import Random

from msgspec.structs import replace

from consuldns.dns.answer import Answer
from consuldns.dns.policy import MessagePolicy
from consuldns.dns.question import Type
from consuldns.wire.decode import Query
from consuldns.wire.encode import (
    PLAIN_MAX_SIZE,
    TCP_MAX_SIZE,
    CompiledAnswer,
    Rendering,
    edns_max_size,
)
from consuldns.wire.tally import Tally

MAX_ORDERS = 8  # renderings of one answer that are rotated
_MAX_ROTATION = 65_536  # bytes of them all
MAX_UDP_ANSWER_LIMIT = 8  # Consul's own
_NO_LIMIT = 1 << 30
_MANY = 1_000  # groups that may be more than fit into any message
_ENTRY_OVERHEAD = 1_000  # bytes of an entry beside its records (measured: 0.9 kB for one A record)

_ADDRESS_TYPES = frozenset({Type.A, Type.AAAA, Type.ANY})


class Rotation:
    """All renderings of an answer for a size; `turns` gives the next one's number, for ever."""

    __slots__ = ("renderings", "turns")

    def __init__(self, renderings: list[Rendering]) -> None:
        self.renderings = renderings
        self.turns = cycle(range(len(renderings)))

    def next(self) -> Rendering:
        """The one whose turn it is."""
        return self.renderings[next(self.turns)]


class Entry:
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
        "is_kept",
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
        self.is_kept = True
        self.rotations: dict[int, Rotation] = {}
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
            return rotation.next()
        started = self._started.pop(shared, None) or []
        order = self._next_order(len(started), randomness)
        is_part = most == self._plain_limit < len(order[: self._limit])
        rendering = self.compiled.render(order[:most], limit, is_part=is_part)
        started.append(rendering)
        if len(started) >= min(self._turns, _MAX_ROTATION // max(1, len(rendering[1]))):
            self.rotations[max_size] = self.rotations[shared] = Rotation(started)
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
