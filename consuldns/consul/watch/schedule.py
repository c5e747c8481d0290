"""Which views may have changed, which are asked for, and which to read next. No I/O, no clock.

Views that are read when needed belong to an area: what tells that they may have changed. When the
list of services moves, any service of the area may be meant, so all that are asked for are read
again, oldest reading first; those that nobody asks for are declared outdated once. Times are
seconds of one monotonic clock. A view is right if its last reading began after the last hint of a
change.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from consuldns.views.keys import ViewKey

ASKED_SECONDS = 30.0  # a view not asked for in so long is not kept fresh
FORGET_SECONDS = 600.0
MAX_VIEWS = 20_000
# Between two readings of a view that may have changed: at least so long, and so long that all who
# are asked for cost Consul no more than so many requests a second.
SWEEP_SECONDS = 0.05
SWEEP_REQUESTS_PER_SECOND = 1200
LATE_SECONDS = 4.0  # after which a view that nobody got round to reading must not be used
REMOTE_SECONDS = 3.0  # nothing tells of changes in another datacenter: age does
SCORE_DECAY = 0.9  # a second; about the last ten seconds count


class Area(Enum):
    """What tells that a view may have changed."""

    SERVICES = "the list of services"
    KEYS = "the KV tree"
    REMOTE = "its age"


@dataclass(slots=True)
class Entry:
    """What is known of a view's freshness."""

    area: Area
    read_at: float = float("-inf")  # when its last successful reading began
    suspected_at: float = float("-inf")
    asked_at: float = float("-inf")
    retry_at: float = float("-inf")
    score: float = 0.0
    is_followed: bool = False  # a blocking query of its own keeps it right
    is_reading: bool = False


@dataclass(slots=True)
class _Sweep:
    """The views of an area that are asked for, oldest reading first."""

    moved_at: float = float("-inf")
    behind_since: float | None = None
    asked: OrderedDict[ViewKey, None] = field(default_factory=OrderedDict)
    unasked: set[ViewKey] = field(default_factory=set)  # held, and not declared outdated


class Freshness:
    """The bookkeeping of the views that are read when needed."""

    def __init__(self) -> None:
        self._entries: dict[ViewKey, Entry] = {}
        self._sweeps = {area: _Sweep() for area in Area}
        self._needed: dict[ViewKey, None] = {}  # in the order of asking
        self._hinted: dict[ViewKey, None] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: ViewKey) -> bool:
        return key in self._entries

    def is_right(self, key: ViewKey, now: float) -> bool:
        """Whether the view is known to be what Consul has."""
        entry = self._entries.get(key)
        return entry is not None and not self._is_suspect(entry, now)

    def _is_suspect(self, entry: Entry, now: float) -> bool:
        if entry.is_followed:
            return False
        return entry.read_at <= max(entry.suspected_at, self._sweeps[entry.area].moved_at)

    def need(self, key: ViewKey, area: Area, now: float) -> None:
        """A query waits for the view: it is read before all others."""
        entry = self._entries.setdefault(key, Entry(area))
        self._touch(key, entry, now)
        self._needed[key] = None

    def asked(self, keys: Iterable[ViewKey], now: float) -> None:
        """Answers were given from these views."""
        for key in keys:
            entry = self._entries.get(key)
            if entry is not None:
                self._touch(key, entry, now)

    def _touch(self, key: ViewKey, entry: Entry, now: float) -> None:
        entry.asked_at = now
        entry.score += 1.0
        sweep = self._sweeps[entry.area]
        sweep.unasked.discard(key)
        if key not in sweep.asked and not entry.is_followed:
            sweep.asked[key] = None
            # Those that may have changed come before those that are right: see next_reading.
            sweep.asked.move_to_end(key, last=not self._is_suspect(entry, now))

    def moved(self, area: Area, now: float) -> list[ViewKey]:
        """Any view of the area may have changed. Gives those to declare outdated."""
        sweep = self._sweeps[area]
        sweep.moved_at = now
        outdated, sweep.unasked = list(sweep.unasked), set()
        return outdated

    def changed(self, key: ViewKey, now: float) -> bool:
        """This view has probably changed; whether it is to be declared outdated."""
        entry = self._entries.get(key)
        if entry is None or entry.is_followed:
            return False
        entry.suspected_at = now
        sweep = self._sweeps[entry.area]
        if key in sweep.asked:
            self._hinted[key] = None
            return False
        sweep.unasked.discard(key)
        return True

    def next_reading(self, now: float) -> ViewKey | None:
        """The view to read now, None if there is nothing to do yet."""
        for queue in (self._needed, self._hinted):
            while queue:
                key = next(iter(queue))
                del queue[key]
                entry = self._entries.get(key)
                if entry is not None and not entry.is_reading and self._is_suspect(entry, now):
                    return key
        for sweep in self._sweeps.values():
            key_of_sweep = self._next_of(sweep, now)
            if key_of_sweep is not None:
                return key_of_sweep
        return None

    def _next_of(self, sweep: _Sweep, now: float) -> ViewKey | None:
        pause = max(SWEEP_SECONDS, len(sweep.asked) / SWEEP_REQUESTS_PER_SECOND)
        for key in sweep.asked:
            entry = self._entries[key]
            if not self._is_suspect(entry, now):
                break
            if sweep.behind_since is None:
                sweep.behind_since = now
            if entry.read_at > now - pause:
                return None
            if not entry.is_reading and entry.retry_at <= now:
                return key
        else:
            if sweep.asked:
                return None  # all are being read, or wait for another try
        sweep.behind_since = None
        return None

    @property
    def is_behind(self) -> bool:
        """Whether there are views to read again, now or in a moment."""
        return any(sweep.behind_since is not None for sweep in self._sweeps.values())

    def was_read_before(self, key: ViewKey, moment: float) -> bool:
        """Whether the view was last read before then, or never."""
        entry = self._entries.get(key)
        return entry is None or entry.read_at < moment

    def is_kept_right(self, key: ViewKey) -> bool:
        """Whether the view is read again by itself when it may have changed."""
        entry = self._entries.get(key)
        return entry is not None and (entry.is_followed or key in self._sweeps[entry.area].asked)

    def is_superseded(self, key: ViewKey, began: float) -> bool:
        """Whether something newer than a reading that began then has come meanwhile."""
        entry = self._entries.get(key)
        return entry is not None and (entry.is_followed or entry.read_at > began)

    def hold(self, key: ViewKey, area: Area, now: float) -> None:
        """Keep books on a view that needed no reading."""
        entry = self._entries.setdefault(key, Entry(area))
        self._touch(key, entry, now)
        self.succeeded(key, now, now)

    def end_session(self, now: float) -> None:
        """Contact is lost: whatever was going on has ended."""
        for key, entry in self._entries.items():
            entry.is_reading = False
            self.unfollow(key, now)

    def started(self, key: ViewKey) -> None:
        """A reading of the view has begun."""
        entry = self._entries[key]
        entry.is_reading = True
        sweep = self._sweeps[entry.area]
        if key in sweep.asked:
            sweep.asked.move_to_end(key)

    def succeeded(self, key: ViewKey, began: float, now: float) -> bool:
        """The reading that began then gave the view; whether to declare it outdated at once."""
        entry = self._entries.get(key)
        if entry is None:
            return False
        entry.is_reading = False
        entry.read_at = max(entry.read_at, began)
        sweep = self._sweeps[entry.area]
        is_suspect = self._is_suspect(entry, now)
        if key in sweep.asked:
            sweep.asked.move_to_end(key)
            if entry.suspected_at >= began:
                self._hinted[key] = None
            return False
        if not is_suspect and not entry.is_followed:
            sweep.unasked.add(key)
        return is_suspect

    def failed(self, key: ViewKey, now: float, retry_at: float) -> None:
        """The reading has failed: the view is suspect, and not swept before then."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.is_reading = False
            entry.suspected_at = now
            entry.retry_at = retry_at
            sweep = self._sweeps[entry.area]
            if key in sweep.asked:
                sweep.asked.move_to_end(key, last=False)

    def follow(self, key: ViewKey, began: float) -> None:
        """A blocking query keeps the view right from now on."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.read_at = max(entry.read_at, began)
            entry.is_followed = True
            self._sweeps[entry.area].asked.pop(key, None)
            self._sweeps[entry.area].unasked.discard(key)

    def unfollow(self, key: ViewKey, now: float) -> None:
        """The blocking query has ended: what came since is unknown."""
        entry = self._entries.get(key)
        if entry is not None and entry.is_followed:
            entry.is_followed = False
            entry.suspected_at = entry.read_at = now
            asked = self._sweeps[entry.area].asked
            asked[key] = None
            asked.move_to_end(key, last=False)

    def tick(self, now: float) -> list[ViewKey]:
        """To be called each second. Gives the views to declare outdated.

        Those are views that are asked for no more, and those that the sweep comes too late for.
        """
        for entry in self._entries.values():
            entry.score *= SCORE_DECAY
        self._sweeps[Area.REMOTE].moved_at = now - REMOTE_SECONDS
        return [key for sweep in self._sweeps.values() for key in self._leave(sweep, now)]

    def _leave(self, sweep: _Sweep, now: float) -> Iterator[ViewKey]:
        for key in tuple(sweep.unasked):
            if self._is_suspect(self._entries[key], now):
                sweep.unasked.discard(key)
                yield key
        is_late = sweep.behind_since is not None and sweep.behind_since < now - LATE_SECONDS
        for key in tuple(sweep.asked):
            entry = self._entries[key]
            if entry.asked_at < now - ASKED_SECONDS:
                del sweep.asked[key]
                if self._is_suspect(entry, now):
                    yield key
                else:
                    sweep.unasked.add(key)
            elif is_late and self._is_suspect(entry, now) and entry.read_at < now - LATE_SECONDS:
                yield key

    def most_asked(self, count: int, now: float) -> set[ViewKey]:
        """The views that deserve a blocking query each, those that have one being preferred."""
        candidates = (
            (entry.score * (2.0 if entry.is_followed else 1.0), key)
            for key, entry in self._entries.items()
            if entry.asked_at >= now - ASKED_SECONDS and entry.retry_at <= now
        )
        best = heapq.nlargest(count, candidates, key=lambda each: each[0])
        return {key for _, key in best}

    def forgettable(self, now: float) -> list[ViewKey]:
        """Views that nobody has asked for in a long time, or that are too many."""
        idle = sorted(
            (entry.asked_at, number, key)
            for number, (key, entry) in enumerate(self._entries.items())
            if not entry.is_followed and not entry.is_reading
        )
        excess = len(self._entries) - MAX_VIEWS
        return [
            key
            for place, (asked_at, _, key) in enumerate(idle)
            if place < excess or asked_at < now - FORGET_SECONDS
        ]

    def forget(self, key: ViewKey) -> None:
        """Drop the view from the books."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._sweeps[entry.area].asked.pop(key, None)
            self._sweeps[entry.area].unasked.discard(key)
