"""The states of the views that are read on demand, and which to read next. No I/O, no clock.

Such a view belongs to an area: what shows that it may have changed. When the list of services
moves, any service may be meant, so all that are asked for are read again, oldest reading first;
those that nobody asks for are declared outdated once. Times are seconds of one monotonic clock.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import chain

from consuldns.consul.kinds import Area
from consuldns.views.keys import ViewKey

ASKED_SECONDS = 30.0  # a view that was not asked for in this time is not kept fresh
FORGET_SECONDS = 600.0  # instances of local services stay: they are read anyway, for the index
FORGET_GUESS_SECONDS = 30.0  # a name that no list holds, and nothing was found for
MAX_VIEWS = 20_000
MAX_WARM_VIEWS = 15_000  # what nobody has asked for leaves room for what somebody will
# Between two readings of a view that may have changed: at least this long, and so long that all who
# are asked for cost Consul no more than this many requests a second.
SWEEP_SECONDS = 0.05
SWEEP_REQUESTS_PER_SECOND = 1200
LATE_SECONDS = 4.0  # after which a view that nobody got round to reading must not be used
AGE_SECONDS = 3.0  # nothing shows changes in another datacenter: age does
SCORE_DECAY = 0.9  # a second; about the last ten seconds count


class State(Enum):
    """What is done for a view. It is in one state at any time.

        (new) -- need --> WANTED ------+ start_next
                                       v
        CURRENT -- changed --> HINTED --> READING -- succeeded --> CURRENT
           |                           ^     |
           |                           |     | failed, or moved meanwhile
           +-- moved --> DUE ----------+     |
                          ^------------------+

        CURRENT -- not asked for --> IDLE -- moved, changed --> OUTDATED -- asked --> DUE
        IDLE -- asked --> CURRENT
        HINTED, DUE -- not asked for --> OUTDATED
        HINTED, DUE, OUTDATED -- need --> WANTED
        any -- watch --> WATCHED -- unwatch --> DUE

    A view that is entered as OUTDATED is declared outdated to the workers.
    """

    WANTED = "a query waits for it: it is read before all others"
    HINTED = "it has probably changed: it is read next"
    DUE = "it may have changed: it is read in its turn"
    READING = "it is being read"
    CURRENT = "it is what Consul has, and asked for"
    WATCHED = "it is what Consul has: a blocking query of its own sees to that"
    IDLE = "it is what Consul has, and nobody asks for it"
    OUTDATED = "it may have changed, and nobody asks for it: workers are to ask before they use it"


RIGHT = frozenset((State.CURRENT, State.WATCHED, State.IDLE))
UNASKED = frozenset((State.IDLE, State.OUTDATED))
URGENT = (State.WANTED, State.HINTED)  # in this order, whatever their area


@dataclass(slots=True)
class TrackedView:
    """A view, and what is to be known to choose its next state."""

    key: ViewKey
    area: Area
    asked_at: float
    state: State = State.OUTDATED
    read_at: float = float("-inf")  # when its last successful reading began
    suspected_at: float = float("-inf")  # when something showed that this one may have changed
    retry_at: float = float("-inf")
    score: float = 0.0
    blocks: bool = True  # a blocking query can keep it right
    is_renewed: bool = True  # if not, it is read again only when a query needs it

    def is_asked(self, now: float) -> bool:
        """Whether it was asked for lately."""
        return self.asked_at >= now - ASKED_SECONDS

    @property
    def memory(self) -> float:
        """Seconds that it is held for after the last question."""
        if self.area is Area.SERVICES:
            return float("inf")
        return FORGET_SECONDS if self.is_renewed else FORGET_GUESS_SECONDS


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading that has begun. `is_first`: nothing was read of this view in this session yet."""

    key: ViewKey
    began: float
    is_first: bool


@dataclass(frozen=True, slots=True)
class Success:
    """What to do with a view that was read.

    `is_newest`: nothing newer has come meanwhile. `is_outdated`: nobody asks for it, and it may
    have changed again, so it is to be declared outdated once it is published.
    """

    is_newest: bool = True
    is_outdated: bool = False


Queue = OrderedDict[ViewKey, TrackedView]


class _Sweep:
    """The views of an area by state, in the order of their last readings."""

    def __init__(self) -> None:
        self.moved_at = float("-inf")
        self.behind_since: float | None = None
        self.queues: dict[State, Queue] = {state: Queue() for state in State}

    def pause(self) -> float:
        """Seconds between two readings of a view."""
        asked = sum(len(self.queues[each]) for each in (State.DUE, State.READING, State.CURRENT))
        return max(SWEEP_SECONDS, asked / SWEEP_REQUESTS_PER_SECOND)

    def next_due(self, now: float) -> TrackedView | None:
        """The view to read now in its turn, None if that has time."""
        pause = self.pause()
        for view in self.queues[State.DUE].values():
            if self.behind_since is None:
                self.behind_since = now
            if view.read_at > now - pause:
                return None
            if view.retry_at <= now:
                return view
        # What is left is being read, or waits for another try.
        if self.queues[State.CURRENT] or not (self.queues[State.DUE] or self.queues[State.READING]):
            self.behind_since = None
        return None


class Schedule:
    """The states of all views that are read on demand."""

    def __init__(self) -> None:
        self._views: dict[ViewKey, TrackedView] = {}
        self._sweeps = {area: _Sweep() for area in Area}
        self._urgent: dict[State, Queue] = {state: Queue() for state in URGENT}
        self._session_began = float("-inf")

    def __len__(self) -> int:
        return len(self._views)

    def __iter__(self) -> Iterator[ViewKey]:
        return iter(self._views)

    def __contains__(self, key: ViewKey) -> bool:
        return key in self._views

    def _queue(self, view: TrackedView) -> Queue:
        """The views of the same state, of which it is one."""
        if view.state in self._urgent:
            return self._urgent[view.state]
        return self._sweeps[view.area].queues[view.state]

    def _enter(self, view: TrackedView, state: State, *, first: bool = False) -> None:
        """The only way into a state: the queues are an index of it."""
        self._queue(view).pop(view.key, None)
        view.state = state
        queue = self._queue(view)
        queue[view.key] = view
        if first:
            queue.move_to_end(view.key, last=False)

    def state(self, key: ViewKey) -> State | None:
        """The state of a view, None if there is none."""
        view = self._views.get(key)
        return None if view is None else view.state

    def is_right(self, key: ViewKey) -> bool:
        """Whether the view is known to be what Consul has."""
        return self.state(key) in RIGHT

    def is_kept_right(self, key: ViewKey) -> bool:
        """Whether the view is read again by itself when it may have changed."""
        view = self._views.get(key)
        return view is not None and view.state not in UNASKED

    # What queries want.

    def need(self, key: ViewKey, area: Area, now: float, *, blocks: bool = True) -> None:
        """A query waits for the view: it is read before all others. `blocks`: see TrackedView."""
        view = self._asked(key, area, now)
        view.blocks = blocks
        if view.state not in (State.WANTED, State.READING, State.WATCHED):
            self._enter(view, State.WANTED)

    def hold(self, key: ViewKey, area: Area, now: float) -> None:
        """A query wants a view that needs no reading."""
        self._asked(key, area, now)
        self.succeeded(key, now, now)

    def keep(self, key: ViewKey, area: Area) -> None:
        """The view is read for another reason: it is held for the first query, if there is room."""
        if key not in self._views and len(self._views) < MAX_WARM_VIEWS:
            self._views[key] = TrackedView(key, area, asked_at=float("-inf"))

    def _asked(self, key: ViewKey, area: Area, now: float) -> TrackedView:
        if (view := self._views.get(key)) is None:
            view = self._views[key] = TrackedView(key, area, now)
        self.asked((key,), now)
        return view

    def asked(self, keys: Iterable[ViewKey], now: float) -> None:
        """Answers were given from these views."""
        for key in keys:
            if (view := self._views.get(key)) is None:
                continue
            view.asked_at = now
            view.score += 1.0
            if view.state is State.IDLE:
                self._enter(view, State.CURRENT)
            elif view.state is State.OUTDATED and view.is_renewed:
                self._enter(view, State.DUE, first=True)

    # What the lists show. All give the views to declare outdated.

    def moved(self, area: Area, now: float) -> list[ViewKey]:
        """Any view of the area may have changed."""
        sweep = self._sweeps[area]
        sweep.moved_at = now
        return self._suspect(area, (*self._in(area, State.CURRENT), *self._in(area, State.IDLE)))

    def _in(self, area: Area, state: State) -> Iterable[TrackedView]:
        return self._sweeps[area].queues[state].values()

    def _suspect(self, area: Area, views: Iterable[TrackedView]) -> list[ViewKey]:
        """These views, which were right, may have changed."""
        outdated = []
        for view in views:
            if view.state is State.IDLE or not view.is_renewed:
                self._enter(view, State.OUTDATED)
                outdated.append(view.key)
            else:
                self._enter(view, State.DUE)
        return outdated

    def changed(self, key: ViewKey, now: float) -> bool:
        """This view has probably changed; whether it is to be declared outdated."""
        view = self._views.get(key)
        if view is None or view.state is State.WATCHED:
            return False
        view.suspected_at = now
        if view.state in (State.CURRENT, State.DUE):
            self._enter(view, State.HINTED)
        elif view.state is State.IDLE:
            self._enter(view, State.OUTDATED)
        return view.state is State.OUTDATED

    def tick(self, now: float) -> list[ViewKey]:
        """To be called each second.

        Those to declare outdated may have changed, and are asked for no more, or too late to read.
        """
        outdated = []
        aged = now - AGE_SECONDS
        self._sweeps[Area.AGE].moved_at = aged
        right = (*self._in(Area.AGE, State.CURRENT), *self._in(Area.AGE, State.IDLE))
        outdated += self._suspect(Area.AGE, [view for view in right if view.read_at <= aged])
        for view in self._views.values():
            view.score *= SCORE_DECAY
            if not view.is_asked(now):
                if view.state is State.CURRENT:
                    self._enter(view, State.IDLE)
                elif view.state in (State.DUE, State.HINTED):
                    self._enter(view, State.OUTDATED)
                    outdated.append(view.key)
        return [*outdated, *self._late(now)]

    def _late(self, now: float) -> Iterator[ViewKey]:
        late = now - LATE_SECONDS
        for sweep in self._sweeps.values():
            if sweep.behind_since is not None and sweep.behind_since < late:
                for state in (State.DUE, State.READING):
                    for key, view in sweep.queues[state].items():
                        if view.read_at < late:
                            yield key

    # Readings.

    def start_next(self, now: float) -> Reading | None:
        """Begin to read the view whose turn it is; None if there is nothing to do yet."""
        urgent = (view for state in URGENT for view in self._urgent[state].values())
        due = (each.next_due(now) for each in self._sweeps.values())
        view = next(filter(None, chain(urgent, due)), None)
        if view is None:
            return None
        self._enter(view, State.READING)
        return Reading(view.key, now, is_first=view.read_at < self._session_began)

    @property
    def is_behind(self) -> bool:
        """Whether there are views to read again, now or in a moment."""
        return any(sweep.behind_since is not None for sweep in self._sweeps.values())

    def succeeded(self, key: ViewKey, began: float, now: float) -> Success:
        """The reading that began then gave the view."""
        view = self._views.get(key)
        if view is None:
            return Success()
        is_newest = view.state is not State.WATCHED and view.read_at <= began
        view.read_at = max(view.read_at, began)
        if view.state is State.WATCHED:
            return Success(is_newest)
        moved_at, is_asked = self._sweeps[view.area].moved_at, view.is_asked(now)
        if view.read_at > max(view.suspected_at, moved_at):
            self._enter(view, State.CURRENT if is_asked else State.IDLE)
        elif is_asked:
            self._enter(view, State.HINTED if view.suspected_at >= began else State.DUE)
        else:
            self._enter(view, State.OUTDATED)
        return Success(is_newest, view.state is State.OUTDATED)

    def set_renewed(self, key: ViewKey, is_renewed: bool) -> None:
        """Whether the view is read again by itself, or only when a query needs it."""
        if (view := self._views.get(key)) is not None:
            view.is_renewed = is_renewed

    def failed(self, key: ViewKey, now: float, retry_at: float) -> None:
        """The reading has failed: the view is suspect, and not read in its turn before then."""
        view = self._views.get(key)
        if view is None:
            return
        view.suspected_at = now
        view.retry_at = retry_at
        if view.state not in URGENT:
            self._enter(view, State.DUE if view.is_asked(now) else State.OUTDATED, first=True)

    def begin_session(self, now: float) -> list[ViewKey]:
        """Consul is reachable again: anything may have changed. Gives those to declare outdated."""
        self._session_began = now
        return [key for area in Area for key in self.moved(area, now)]

    def end_session(self, now: float) -> None:
        """Consul is lost: whatever was going on has ended."""
        for view in self._views.values():
            self.unwatch(view.key, now)
            if view.state is State.READING:
                self._enter(view, State.DUE, first=True)

    # Blocking queries.

    def most_asked(self, count: int, now: float) -> set[ViewKey]:
        """The views that deserve a blocking query each, those that have one being preferred."""
        candidates = (
            (view.score * (2.0 if view.state is State.WATCHED else 1.0), key)
            for key, view in self._views.items()
            if view.is_asked(now) and view.retry_at <= now and view.is_renewed and view.blocks
        )
        best = heapq.nlargest(count, candidates, key=lambda each: each[0])
        return {key for _, key in best}

    def watch(self, key: ViewKey, began: float) -> None:
        """A blocking query keeps the view right from now on."""
        if (view := self._views.get(key)) is not None:
            view.read_at = max(view.read_at, began)
            self._enter(view, State.WATCHED)

    def unwatch(self, key: ViewKey, now: float) -> None:
        """The blocking query has ended: what came since is unknown."""
        view = self._views.get(key)
        if view is not None and view.state is State.WATCHED:
            view.suspected_at = view.read_at = now
            self._enter(view, State.DUE, first=True)

    # The end.

    def forgettable(self, now: float) -> list[ViewKey]:
        """Views that nobody has asked for in a long time, or that are too many."""
        idle = sorted(
            (view.asked_at, number, key)
            for number, (key, view) in enumerate(self._views.items())
            if view.state not in (State.WATCHED, State.READING)
        )
        excess = len(self._views) - MAX_VIEWS
        return [
            key
            for place, (asked_at, _, key) in enumerate(idle)
            if place < excess or asked_at < now - self._views[key].memory
        ]

    def forget(self, key: ViewKey) -> None:
        """Drop the view from the books."""
        if (view := self._views.pop(key, None)) is not None:
            self._queue(view).pop(key)
