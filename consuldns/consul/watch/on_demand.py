"""The views that are read on demand: instances of services, reverse zones, other datacenters.

Those that are asked for most have a blocking query each. The others that are asked for are read
again when a list shows that something changed; `schedule` says which, and when.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from consuldns.backoff import jittered
from consuldns.consul import kinds
from consuldns.consul.kinds import Area, kind_of
from consuldns.consul.watch.address_indexer import AddressIndexer
from consuldns.consul.watch.guesses import TOO_MANY, Guesses
from consuldns.consul.watch.loss_guard import LossGuard
from consuldns.consul.watch.published import Published
from consuldns.consul.watch.reachability import Reachability
from consuldns.consul.watch.reader import EMPTY, ReadView, ViewReader
from consuldns.consul.watch.schedule import Reading, Schedule
from consuldns.errors import BadResponse, ConsulError, NotFound, Unreachable
from consuldns.incidents import UnexpectedErrors
from consuldns.views import keys, model
from consuldns.views.keys import ViewKey
from consuldns.views.model import AnyView

_log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
FORGET_EVERY_TICKS = 10
BACKLOG_SECONDS = 0.02
IDLE_SECONDS = 1.0
# Beyond this many instances, about 150 MB in each process, only what is asked for is held.
MAX_WARM_INSTANCES = 150_000
RETRY_SECONDS = 1.0  # at most half of it less by chance; after a reading that failed


@dataclass(frozen=True, slots=True)
class Budget:
    """How connections are shared out. Six lists, reachability and addresses have eight."""

    watched: int
    readings: int

    @classmethod
    def of(cls, connections: int) -> "Budget":
        """A quarter of what is free is for single readings, at most six: one core does no more."""
        free = max(connections - 8, 1)
        readings = max(1, min(6, free // 4))
        return cls(watched=free - readings, readings=readings)


class OnDemandViews:
    """Reads views when they are needed, and keeps those right that are asked for."""

    def __init__(
        self,
        reader: ViewReader,
        published: Published,
        reachability: Reachability,
        indexer: AddressIndexer,
        guard: LossGuard,
        connections: int,
    ) -> None:
        self._reader = reader
        self._published = published
        self._reachability = reachability
        self._indexer = indexer
        self._guard = guard
        self._budget = Budget.of(connections)
        self._schedule = Schedule()
        self._guesses = Guesses()
        self._errors = UnexpectedErrors(_log)
        self._watchers: dict[ViewKey, asyncio.Task[None]] = {}
        self._on_node: defaultdict[str, set[ViewKey]] = defaultdict(set)
        self._instances = 0  # in all views together, or a little more: counted each second
        self._wake = asyncio.Event()
        self._swept = asyncio.Event()

    @property
    def watched(self) -> int:
        """How many views have a blocking query of their own."""
        return len(self._watchers)

    @property
    def guesses_refused(self) -> int:
        """How many names were not looked up, since too many are that no list holds."""
        return self._guesses.refused

    # What queries and the lists say.

    def need(self, key: ViewKey) -> None:
        """A query waits for this view. Answered through `published`, at once if it is right."""
        self._published.need(key)
        now = _now()
        if self._schedule.is_right(key) and self._published.get(key) is not None:
            self._schedule.asked((key,), now)
            self._published.settle(key)
            return
        try:
            source = self._reader.source(key)
            may_read = not self._is_guess(key) or self._guesses.take(now)
        except NotFound:
            self._deny(key)
        except ConsulError as error:
            self._published.refuse(key, str(error))
        else:
            if not may_read:
                self._published.refuse(key, TOO_MANY)
                return
            area, blocks = kinds.area(key, self._reader.local), source.request.blocks
            self._schedule.need(key, area, now, blocks=blocks)
            self._wake.set()

    def _is_guess(self, key: ViewKey) -> bool:
        """Whether neither a list nor an earlier reading shows that there is such a thing."""
        if not self._reader.is_guess(key):
            return False
        held = self._published.get(key)
        return not (isinstance(held, model.Instances) and held.instances)

    def asked(self, asked: Collection[ViewKey]) -> None:
        """Answers were given from these views."""
        self._schedule.asked(asked, _now())

    def moved(self, area: Area) -> None:
        """Any view of an area may have changed."""
        now = _now()
        if area is Area.SERVICES:
            self._indexer.moved(now)
        self._published.mark_outdated(self._schedule.moved(area, now))
        self._wake.set()

    def changed(self, changed: Iterable[ViewKey]) -> None:
        """These views have probably changed: they are read before others."""
        now = _now()
        outdated = [key for key in changed if self._schedule.changed(key, now)]
        self._published.mark_outdated(outdated)
        self._indexer.changed(outdated)
        self._wake.set()

    def queries_moved(self) -> None:
        """Definitions of prepared queries have changed: so may the results of those that exist."""
        self.changed(
            key
            for key in self._schedule
            if isinstance(key, keys.PreparedQueryResult) and not self._is_guess(key)
        )

    def on_node(self, node: str) -> Collection[ViewKey]:
        """The views that hold an instance on this node."""
        return tuple(self._on_node.get(node, ()))

    def vanished(self, key: ViewKey) -> None:
        """The lists say that there is no such thing any more.

        What is watched stays, as empty: it may well come back, and is watched then.
        """
        if key in self._watchers:
            self._deny(key)
        else:
            self.forget(key)

    def forget(self, key: ViewKey) -> None:
        """The view is gone, or nobody asks for it."""
        self._schedule.forget(key)
        self._guard.forget(key)
        self._reader.forget(key)
        watcher = self._watchers.pop(key, None)
        if watcher is not None:
            watcher.cancel()
        self._index_nodes(key, None)
        self._published.forget(key)
        if self._published.is_needed(key):
            self.need(key)

    # The tasks of a session, in which Consul is reachable.

    async def run(self) -> None:
        """Read and watch until cancelled. Time has passed: all is to be read again."""
        self._swept.clear()
        now = _now()
        self._indexer.moved(now)
        self._published.mark_outdated(self._schedule.begin_session(now))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._dispatch(tasks))
                tasks.create_task(self._keep_books(tasks))
                tasks.create_task(
                    self._indexer.run(self._schedule.is_kept_right, self._read_for_index)
                )
        finally:
            self._schedule.end_session(_now())
            self._watchers.clear()

    async def wait_until_swept(self) -> None:
        """Wait until all views that are asked for are right."""
        await self._swept.wait()

    async def _dispatch(self, tasks: asyncio.TaskGroup) -> None:
        """Start the readings, most urgent first, a few at a time."""
        free = asyncio.Semaphore(self._budget.readings)
        while True:
            await free.acquire()
            reading = await self._next_reading()
            task = tasks.create_task(self._do(reading.key, partial(self._read, reading)))
            task.add_done_callback(lambda _: free.release())

    async def _next_reading(self) -> Reading:
        while True:
            self._wake.clear()
            reading = self._schedule.start_next(_now())
            if reading is not None:
                return reading
            if self._schedule.is_behind:
                await _wait(self._wake, BACKLOG_SECONDS)
            else:
                self._swept.set()
                await _wait(self._wake, IDLE_SECONDS)

    async def _do(self, key: ViewKey, work: Callable[[], Awaitable[None]]) -> None:
        """Do what there is to do for a view. What goes wrong concerns that view alone."""
        try:
            await work()
        except NotFound:
            self._deny(key)
        except ConsulError as error:
            if self._schedule.is_right(key):
                self._published.settle(key)  # read by a query of its own meanwhile
            else:
                self._failed(key, error)
        except Exception as error:
            self._errors.report(f"reading {key}", error)
            self._failed(key, BadResponse(f"unexpected error: {type(error).__name__}"))

    async def _read(self, reading: Reading) -> None:
        found = await self._reader.read(reading.key, is_first=reading.is_first)
        self._take_reading(reading.key, found, reading.began)

    async def _read_for_index(self, key: ViewKey) -> None:
        """Read a view that nobody has asked for; it is held for a first query, if there is room."""
        await self._do(key, partial(self._read_once, key))

    async def _read_once(self, key: ViewKey) -> None:
        began = _now()
        found = await self._reader.read(key, is_first=False)
        if self._instances < MAX_WARM_INSTANCES:
            self._schedule.keep(key, kinds.area(key, self._reader.local))
        if key in self._schedule:
            self._take_reading(key, found, began)
        elif isinstance(found[0], model.Instances):
            self._indexer.take(key, found[0], began)

    async def _keep_books(self, tasks: asyncio.TaskGroup) -> None:
        """Each second: declare late views outdated, choose those to watch, forget the rest."""
        ticks = 0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = _now()
            self._published.mark_outdated(self._schedule.tick(now))
            self._choose_watched(tasks, now)
            self._instances = sum(_count(self._published.get(key)) for key in self._schedule)
            ticks += 1
            self._published.log_stale(now)
            if ticks % FORGET_EVERY_TICKS == 0:
                for key in self._schedule.forgettable(now):
                    self.forget(key)
            self._indexer.tick(now)
            self._wake.set()

    def _choose_watched(self, tasks: asyncio.TaskGroup, now: float) -> None:
        chosen = self._schedule.most_asked(self._budget.watched, now)
        for key in [key for key in self._watchers if key not in chosen]:
            self._watchers.pop(key).cancel()
        for key in chosen - self._watchers.keys():
            self._watchers[key] = tasks.create_task(self._do(key, partial(self._watch, key)))

    async def _watch(self, key: ViewKey) -> None:
        """Keep a view right with a blocking query, until it fails or is asked for no more."""
        began = _now()
        try:
            async with aclosing(self._reader.watch(key)) as replies:
                async for found in replies:
                    if found is None:
                        self._keep_empty(key)
                    else:
                        self._take(key, found, _now())
                        self._schedule.watch(key, began)
        finally:
            if self._watchers.get(key) is asyncio.current_task():
                del self._watchers[key]
            self._schedule.unwatch(key, _now())
            self._wake.set()

    def _keep_empty(self, key: ViewKey) -> None:
        """Keep a view whose reply is empty, unless the lists say that it is gone."""
        try:
            self._reader.source(key)
        except NotFound:
            self._deny(key)
        else:
            self._published.keep(key, EMPTY)

    def _take_reading(self, key: ViewKey, found: ReadView, began: float) -> None:
        success = self._schedule.succeeded(key, began, _now())
        if success.is_newest:
            self._take(key, found, began)
        else:
            self._published.settle(key)
        if success.is_outdated:
            self._published.mark_outdated((key,))
            self._indexer.changed((key,))

    def _take(self, key: ViewKey, found: ReadView, began: float) -> None:
        view, kept = found
        if isinstance(view, model.Instances):
            self._index_nodes(key, view)
            self._indexer.take(key, view, began)
        self._published.replace(key, view, kept=kept)
        self._schedule.set_renewed(key, not self._is_guess(key))

    def _deny(self, key: ViewKey) -> None:
        """The lists say that there is no such thing: an empty view, without a request."""
        if key not in self._schedule and not self._published.is_needed(key):
            return  # forgotten while it was being read
        nothing = kind_of(key).nothing
        assert nothing is not None, f"{key.label}: a list does not depend on others"
        self._schedule.hold(key, kinds.area(key, self._reader.local), _now())
        self._index_nodes(key, None)
        self._published.replace(key, nothing)

    def _failed(self, key: ViewKey, error: ConsulError) -> None:
        now = _now()
        self._schedule.failed(key, now, now + jittered(RETRY_SECONDS))
        if isinstance(error, Unreachable):
            self._reachability.suspect()
        self._published.keep(key, str(error))

    def _index_nodes(self, key: ViewKey, view: model.Instances | None) -> None:
        """Note on which nodes the service runs now, before the view is published."""
        self._instances += _count(view)
        old, new = _nodes_of(self._published.get(key)), _nodes_of(view)
        for node in old - new:
            self._on_node[node].discard(key)
            if not self._on_node[node]:
                del self._on_node[node]
        for node in new - old:
            self._on_node[node].add(key)


def _count(view: AnyView | None) -> int:
    return len(view.instances) if isinstance(view, model.Instances) else 0


def _nodes_of(view: AnyView | None) -> set[str]:
    return (
        {each.node.name for each in view.instances} if isinstance(view, model.Instances) else set()
    )


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
