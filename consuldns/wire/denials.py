"""Denials by closest encloser: one entry for every name that does not exist below a name that does.

A flood of random names is what attackers send, and no two of them are the same. So the cache does
not hold the names: it holds the name above them with the labels that exist below it (RFC 4592
section 3.3.1, RFC 8020), and compares. The replies differ in their question, and in where the SOA
points into it, which the length of the question's name says: so there is a rendering for each
length (and each type, for the counters) that was asked for.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from consuldns.dns.answer import Answer, ClosestEncloser, LabelSet, Outcome
from consuldns.dns.policy import MessagePolicy
from consuldns.dns.question import Class, Question, Type
from consuldns.dns.resolver import NOT_ASKABLE, TRANSFERS
from consuldns.names import MAX_LABEL, MAX_NAME, Labels, to_wire
from consuldns.views.keys import ViewKey
from consuldns.wire.encode import (
    COOKIE_OPTION_SIZE,
    PLAIN_MAX_SIZE,
    RCODES,
    RESERVED,
    CompiledAnswer,
    Headers,
)
from consuldns.wire.tally import Counter, Tally

_MAX_DENIALS = 1_000
_MAX_RENDERINGS = 20_000  # of all denials: a few MB
_SUFFIX_SIZE = 5  # of a question's key: the root, type and class
_LONGEST = MAX_NAME - 1  # octets of a name without the root
_CLASS_IN = Class.IN.value.to_bytes(2)
# Questions for these get an error, whatever the name.
_NEVER_DENIED = frozenset(int(each).to_bytes(2) for each in NOT_ASKABLE | TRANSFERS)

# Headers, records and own options of a reply (see `CompiledAnswer`), and where it is counted.
Rendered = tuple[Headers, bytes, bytes, Counter]


class _Denial:
    """What is known of the names below one name, and the replies that deny them, by length."""

    __slots__ = ("_answer", "_labels", "_marker", "_messages", "_name", "is_used", "renderings")

    def __init__(self, answer: Answer, encloser: ClosestEncloser, messages: MessagePolicy) -> None:
        self._answer = replace(answer, closest_encloser=None)
        self._messages = messages
        self._name = encloser.name
        self._labels: list[LabelSet] = [each for each in encloser.labels if each]
        self._marker = _wire((encloser.unless,)) if encloser.unless else b""
        self.renderings: dict[tuple[int, bytes], Rendered] = {}
        self.is_used = True

    @property
    def dependencies(self) -> frozenset[ViewKey]:
        """The views that it came from."""
        return self._answer.dependencies

    def compile(self, length: int) -> CompiledAnswer:
        """The reply to a question whose name has so many octets, without the root.

        No record points to a name that is denied: other labels stand for those of the question.
        """
        left = length - len(_wire(self._name))
        labels = []
        while left > 0:
            size = left - 1 if left <= MAX_LABEL + 1 else min(MAX_LABEL, left - 3)
            labels.append(b"\xff" * size)
            left -= size + 1
        question = Question((*labels, *self._name), Type.A)
        return CompiledAnswer(self._answer, question, self._messages)

    def render(self, length: int, suffix: bytes, tally: Tally) -> Rendered:
        """The same as bytes, for a type and class; kept."""
        found = self.renderings.get((length, suffix))
        if found is None:
            compiled = self.compile(length)
            counter = tally.counter(
                self._answer.zone, int.from_bytes(suffix[:2]), RCODES[Outcome.NXDOMAIN]
            )
            found = (*compiled.render((), PLAIN_MAX_SIZE), compiled.options, counter)
            self.renderings[length, suffix] = found
        return found

    def denies(self, label: bytes, key: bytes) -> bool:
        """Whether nothing is at or below the label; `key` is that of the question."""
        for each in self._labels:
            if label in each:
                return False
        return not self._marker or self._marker not in key


class Denials:
    """Denials by the name that is above them, in wire format without the root."""

    def __init__(self, messages: MessagePolicy, tally: Tally) -> None:
        self._messages = messages
        self._tally = tally
        self._by_name: dict[bytes, _Denial] = {}
        self._by_dependency: dict[ViewKey, set[bytes]] = {}
        self._rendered = 0  # how often, since all renderings were forgotten

    def __len__(self) -> int:
        return len(self._by_name)

    def find(self, key: bytes) -> Rendered | None:
        """The reply to a question, if its name is denied and a name of that length has been asked.

        The hot path. `key` is what the cache has: the folded name as in the packet, which may be
        anything, then type and class. What was never rendered is not found.
        """
        by_name, end = self._by_name, len(key) - _SUFFIX_SIZE
        if end <= 0:
            return None
        start, length = 0, key[0]
        while length <= MAX_LABEL:
            above = start + length + 1
            if above >= end:
                return None
            denial = by_name.get(key[above:end])
            if denial is not None:
                rendered = denial.renderings.get((end, key[-4:]))
                if rendered is None or not denial.denies(key[start + 1 : above], key):
                    return None
                denial.is_used = True
                return rendered
            start, length = above, key[above]
        return None

    def render_for(self, key: bytes) -> Rendered | None:
        """The same for a name of any length that a valid query has, rendered if need be."""
        end = len(key) - _SUFFIX_SIZE
        if not 0 < end <= _LONGEST or key[-2:] != _CLASS_IN or key[-4:-2] in _NEVER_DENIED:
            return None
        start = 0
        while (above := start + key[start] + 1) < end:
            denial = self._by_name.get(key[above:end])
            if denial is not None:
                if not denial.denies(key[start + 1 : above], key):
                    return None
                return self._render(denial, end, key[-4:])
            start = above
        return None

    def _render(self, denial: _Denial, length: int, suffix: bytes) -> Rendered:
        denial.is_used = True
        self._rendered += 1
        if self._rendered > _MAX_RENDERINGS:
            for each in self._by_name.values():
                each.renderings.clear()
            self._rendered = 1
        return denial.render(length, suffix, self._tally)

    def add(self, answer: Answer) -> None:
        """Deny by an answer with a closest encloser, if every such reply fits into 512 octets."""
        encloser = answer.closest_encloser
        if encloser is None or len(self._by_name) >= _MAX_DENIALS:
            return
        denial = _Denial(answer, encloser, self._messages)
        if denial.compile(_LONGEST).size > PLAIN_MAX_SIZE - RESERVED - COOKIE_OPTION_SIZE:
            return
        name = _wire(encloser.name)
        self._remove(name)  # what the older one depended on
        self._by_name[name] = denial
        for dependency in denial.dependencies:
            self._by_dependency.setdefault(dependency, set()).add(name)

    def drop(self, dependency: ViewKey) -> None:
        """Forget the denials that came from a view."""
        for name in self._by_dependency.pop(dependency, ()):
            self._remove(name)

    def rotate(self) -> Iterable[ViewKey]:
        """Forget the denials that were not in use since the last time; the views of the others."""
        for name, denial in tuple(self._by_name.items()):
            if not denial.is_used:
                self._remove(name)
            denial.is_used = False
        return tuple(self._by_dependency)

    def _remove(self, name: bytes) -> None:
        denial = self._by_name.pop(name, None)
        if denial is None:
            return
        for dependency in denial.dependencies:
            names = self._by_dependency.get(dependency)
            if names is not None:
                names.discard(name)
                if not names:
                    del self._by_dependency[dependency]


def _wire(name: Labels) -> bytes:
    """A name in wire format, without the root."""
    return to_wire(name)[:-1]
