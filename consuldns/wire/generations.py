"""What the response cache keeps, and for how long: two generations.

A hit in the previous generation moves the entry to the fresh one, so the fresh one holds what was
in use since the last `rotate`, and what is not in use is gone after two.
"""

from collections.abc import Iterable
from heapq import heappop, heappush
from random import Random
from typing import Generic, Protocol, TypeVar

from consuldns.views.keys import ViewKey

_MAX_MEMORY = 32_000_000  # bytes in a generation, by estimate


class Entry(Protocol):
    """What is kept for a question. `memory` in bytes, by estimate.

    It goes when one of its `dependencies` changes, or when its time is up: `is_kept` tells others
    who hold it.
    """

    dependencies: frozenset[ViewKey]
    expires_at: float | None
    is_kept: bool
    memory: int

    def renew(self, randomness: Random) -> None:
        """It was in use, and is kept for longer."""


E = TypeVar("E", bound=Entry)


class _Generation(Generic[E]):
    """Entries by question, and the questions by each view that their answers came from."""

    __slots__ = ("by_dependency", "entries", "expiring", "memory")

    def __init__(self) -> None:
        self.entries: dict[bytes, E] = {}
        self.by_dependency: dict[ViewKey, list[bytes]] = {}
        self.expiring: list[tuple[float, bytes]] = []  # a heap; it goes with the generation
        self.memory = 0

    def add(self, key: bytes, entry: E) -> None:
        before = self.entries.get(key)
        if before is not None and before is not entry:
            self._remove(key, before)
        self.entries[key] = entry
        self.memory += entry.memory
        for dependency in entry.dependencies:
            self.by_dependency.setdefault(dependency, []).append(key)
        if entry.expires_at is not None:
            heappush(self.expiring, (entry.expires_at, key))

    def drop(self, dependency: ViewKey) -> None:
        for key in self.by_dependency.pop(dependency, ()):
            entry = self.entries.get(key)
            # The question may have another answer by now, which came from other views.
            if entry is not None and dependency in entry.dependencies:
                self._remove(key, entry)

    def expire(self, now: float) -> None:
        while self.expiring and self.expiring[0][0] <= now:
            _, key = heappop(self.expiring)
            entry = self.entries.get(key)
            # The question may have another answer by now, which lives longer.
            if entry is not None and entry.expires_at is not None and entry.expires_at <= now:
                self._remove(key, entry)

    def _remove(self, key: bytes, entry: E) -> None:
        del self.entries[key]
        entry.is_kept = False
        self.memory -= entry.memory


class Generations(Generic[E]):
    """The fresh and the previous generation of entries."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self.fresh: _Generation[E] = _Generation()
        self.previous: _Generation[E] = _Generation()

    def __len__(self) -> int:
        return len(self.fresh.entries) + len(self.previous.entries)

    def add(self, key: bytes, entry: E) -> bool:
        """Keep the entry; False if the generation is full."""
        if len(self.fresh.entries) >= self._max_entries or self.fresh.memory >= _MAX_MEMORY:
            return False
        self.fresh.add(key, entry)
        return True

    def revive(self, key: bytes, randomness: Random) -> E | None:
        """The entry if the previous generation has it; it is in the fresh one from now on."""
        entry = self.previous.entries.get(key)
        if entry is not None and self.add(key, entry):
            del self.previous.entries[key]
            entry.renew(randomness)
        return entry

    def rotate(self) -> Iterable[ViewKey]:
        """Begin a generation; the views that answers were given from in the one that ends."""
        self.previous, self.fresh = self.fresh, _Generation()
        return self.previous.by_dependency.keys()

    def drop(self, dependency: ViewKey) -> None:
        """Drop every entry that came from the view."""
        self.fresh.drop(dependency)
        self.previous.drop(dependency)

    def expire(self, now: float) -> None:
        """Drop every entry whose time is up."""
        self.fresh.expire(now)
        self.previous.expire(now)
