"""The views that are read when asked for: instances of services, reverse zones, other datacenters.

Those that are asked for most have a blocking query each. The others that are asked for are read
again when a standing list says that something changed; `freshness` keeps the books on that.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from consuldns.consul.incidents import Incidents
from consuldns.consul.watch.address_index import AddressBook
from consuldns.consul.watch.published import Publication
from consuldns.consul.watch.reachability import Contact
from consuldns.consul.watch.reader import EMPTY, ViewReader
from consuldns.consul.watch.schedule import Area, Freshness
from consuldns.errors import BadResponse, ConsulError, NotFound, Unreachable
from consuldns.views import keys, model
from consuldns.views.keys import ViewKey
from consuldns.views.model import AnyView

TICK_SECONDS = 1.0
FORGET_EVERY_TICKS = 10
BACKLOG_SECONDS = 0.02
IDLE_SECONDS = 1.0
RETRY_SECONDS = (0.5, 1.0)  # uniform, after a reading that failed
# Between two readings for the index of addresses: while it is new or asked for, and else.
FILL_SECONDS = 0.005
IDLE_FILL_SECONDS = 0.05
FILL_ASKED_SECONDS = 60.0
PUBLISH_SECONDS = 0.25
UNFILLED = "the instances of some services cannot be read"

Key = TypeVar("Key", bound=ViewKey)


@dataclass(frozen=True, slots=True)
class Budget:
    """How the connections are shared out. Five standing lists, contact and addresses have seven."""

    followed: int
    readings: int

    @classmethod
    def of(cls, connections: int) -> "Budget":
        """A quarter of what is free is for single readings, at most six: one core does no more."""
        free = max(connections - 7, 1)
        readings = max(1, min(6, free // 4))
        return cls(followed=free - readings, readings=readings)


class NeededViews:
    """Reads views when they are needed, and keeps those right that are asked for."""

    def __init__(
        self, reader: ViewReader, publication: Publication, contact: Contact, connections: int
    ) -> None:
        self._reader = reader
        self._publication = publication
        self._contact = contact
        self._budget = Budget.of(connections)
        self._freshness = Freshness()
        self._book = AddressBook()
        self._unfilled: set[str] = set()  # services that the index may be wrong about
        self._incidents = Incidents()
        self._followers: dict[ViewKey, asyncio.Task[None]] = {}
        self._on_node: defaultdict[str, set[ViewKey]] = defaultdict(set)
        self._wake = asyncio.Event()
        self._wake_filler = asyncio.Event()
        self._swept = asyncio.Event()
        self._session_began = float("-inf")
        self._addresses_asked_at = float("-inf")
        self._addresses_published_at = float("-inf")

    @property
    def followed(self) -> int:
        """How many views have a blocking query of their own."""
        return len(self._followers)

    # What queries and the standing lists tell.

    def need(self, key: ViewKey) -> None:
        """A query waits for this view. Answered through the publication, at once if it is right."""
        self._publication.waiting.add(key)
        now = _now()
        if isinstance(key, keys.ServiceAddresses):
            self._addresses_asked_at = now
            if self._publication.get(key) is not None:
                self._publication.settle(key)
            return
        if self._freshness.is_right(key, now) and self._publication.get(key) is not None:
            self._publication.settle(key)
            return
        try:
            self._reader.source(key)
        except NotFound:
            self._deny(key)
        except ConsulError as error:
            self._publication.refuse(key, str(error))
        else:
            self._freshness.need(key, self._reader.area(key), now)
            self._wake.set()

    def asked(self, asked: Collection[ViewKey]) -> None:
        """Answers were given from these views."""
        now = _now()
        self._freshness.asked(asked, now)
        if keys.ServiceAddresses(self._reader.local) in asked:
            self._addresses_asked_at = now

    def moved(self, area: Area) -> None:
        """Any view of an area may have changed."""
        now = _now()
        if area is Area.SERVICES:
            self._book.moved(now)
            self._wake_filler.set()
        for key in self._freshness.moved(area, now):
            self._publication.mark_outdated(key)
        self._wake.set()

    def changed(self, changed: Iterable[ViewKey]) -> None:
        """These views have probably changed: they are read before others."""
        now = _now()
        for key in changed:
            if self._freshness.changed(key, now):
                self._publication.mark_outdated(key)
        self._wake.set()

    def on_node(self, node: str) -> Collection[ViewKey]:
        """The views that hold an instance on this node."""
        return tuple(self._on_node.get(node, ()))

    def list_services(self, services: model.Services) -> None:
        """The local services, after each change of the list."""
        self._book.list_services(services.names)
        self._unfilled &= {name.lower() for name in services.names}
        self._wake_filler.set()

    def vanished(self, key: ViewKey) -> None:
        """The lists say that there is no such thing any more.

        What is followed stays, as empty: it may well come back, and is followed then.
        """
        if key in self._followers:
            self._deny(key)
        else:
            self.forget(key)

    def forget(self, key: ViewKey) -> None:
        """The view is gone, or nobody asks for it."""
        self._freshness.forget(key)
        follower = self._followers.pop(key, None)
        if follower is not None:
            follower.cancel()
        self._index_nodes(key, None)
        self._publication.forget(key)
        if key in self._publication.waiting:
            self.need(key)

    # The tasks of a session, in which there is contact with Consul.

    async def run(self) -> None:
        """Read, follow and fill until cancelled. Time has passed: all is to be read again."""
        self._session_began = _now()
        self._swept.clear()
        for area in Area:
            self.moved(area)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._dispatch(tasks))
                tasks.create_task(self._keep_books(tasks))
                tasks.create_task(self._fill_addresses())
        finally:
            self._freshness.end_session(_now())
            self._followers.clear()

    async def wait_until_swept(self) -> None:
        """Wait until all views that are asked for are right."""
        await self._swept.wait()

    async def _dispatch(self, tasks: asyncio.TaskGroup) -> None:
        """Start the readings, most urgent first, a few at a time."""
        free = asyncio.Semaphore(self._budget.readings)
        while True:
            await free.acquire()
            key = await self._next_key()
            self._freshness.started(key)
            reading = tasks.create_task(self._do(key, self._read))
            reading.add_done_callback(lambda _: free.release())

    async def _next_key(self) -> ViewKey:
        while True:
            self._wake.clear()
            key = self._freshness.next_reading(_now())
            if key is not None:
                return key
            if self._freshness.is_behind:
                await _wait(self._wake, BACKLOG_SECONDS)
            else:
                self._swept.set()
                await _wait(self._wake, IDLE_SECONDS)

    async def _do(self, key: Key, work: Callable[[Key], Awaitable[None]]) -> None:
        """Do what there is to do for a view. What goes wrong concerns that view alone."""
        try:
            await work(key)
        except NotFound:
            self._deny(key)
        except ConsulError as error:
            self._failed(key, error)
        except Exception as error:
            self._incidents.unexpected(f"reading {key}", error)
            self._failed(key, BadResponse(f"an error of consuldns: {type(error).__name__}"))

    async def _read(self, key: ViewKey) -> None:
        began = _now()
        is_first = self._freshness.was_read_before(key, self._session_began)
        self._take_reading(key, await self._reader.read(key, is_first=is_first), began)

    async def _keep_books(self, tasks: asyncio.TaskGroup) -> None:
        """Each second: declare late views outdated, choose those to follow, forget the rest."""
        ticks = 0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = _now()
            for key in self._freshness.tick(now):
                self._publication.mark_outdated(key)
            self._choose_followed(tasks, now)
            ticks += 1
            self._publication.kept.log(now)
            if ticks % FORGET_EVERY_TICKS == 0:
                for service in self._unfilled:
                    self._book.retry(service)
                for key in self._freshness.forgettable(now):
                    self.forget(key)
            addresses = keys.ServiceAddresses(self._reader.local)
            if addresses in self._publication.waiting:
                self._publication.refuse(addresses, "addresses of services are still being read")
            self._wake.set()

    def _choose_followed(self, tasks: asyncio.TaskGroup, now: float) -> None:
        chosen = self._freshness.most_asked(self._budget.followed, now)
        for key in [key for key in self._followers if key not in chosen]:
            self._followers.pop(key).cancel()
        for key in chosen - self._followers.keys():
            self._followers[key] = tasks.create_task(self._do(key, self._follow))

    async def _follow(self, key: ViewKey) -> None:
        """Keep a view right with a blocking query, until it fails or is asked for no more."""
        began = _now()
        try:
            async with aclosing(self._reader.follow(key)) as replies:
                async for view in replies:
                    if view is None:
                        self._keep_empty(key)
                    else:
                        self._take(key, view, _now())
                        self._freshness.follow(key, began)
        finally:
            if self._followers.get(key) is asyncio.current_task():
                del self._followers[key]
            self._freshness.unfollow(key, _now())
            self._wake.set()

    def _keep_empty(self, key: ViewKey) -> None:
        """Keep a view whose reply is empty, unless the lists say that it is gone."""
        try:
            self._reader.source(key)
        except NotFound:
            self._deny(key)
        else:
            self._publication.keep(key, EMPTY)

    async def _fill_addresses(self) -> None:
        """Read all services, one after the other, for the index of addresses."""
        while True:
            self._wake_filler.clear()
            began = _now()
            service = self._book.next_service()
            if service is not None:
                await self._fill(keys.ServiceInstances(self._reader.local, service))
            publishable_in = self._publish_addresses()
            if service is None:
                await _wait(self._wake_filler, min(publishable_in, IDLE_SECONDS))
                continue
            is_asked = _now() < self._addresses_asked_at + FILL_ASKED_SECONDS
            is_urgent = is_asked or not self._book.is_complete
            pause = FILL_SECONDS if is_urgent else IDLE_FILL_SECONDS
            await asyncio.sleep(began + pause - _now())

    def _publish_addresses(self) -> float:
        """Publish the index if that is due; else in how many seconds it is, as far as is known."""
        key = keys.ServiceAddresses(self._reader.local)
        is_news = self._book.is_changed or self._publication.get(key) is None
        if not (is_news and self._book.is_complete):
            return float("inf")
        # The message holds the whole index: 100,000 addresses are 3 MB, so the more the rarer.
        pause = PUBLISH_SECONDS + len(self._book) / 5e4
        due_in = self._addresses_published_at + pause - _now()
        if due_in <= 0:
            kept = UNFILLED if self._unfilled else ""
            self._publication.replace(key, self._book.index(), kept=kept)
            self._addresses_published_at = _now()
            return float("inf")
        return due_in

    async def _fill(self, key: keys.ServiceInstances) -> None:
        self._book.skip(key.service, _now())
        if self._freshness.is_kept_right(key):
            return
        self._unfilled.add(key.service)
        await self._do(key, self._fill_from)
        if self._unfilled:
            self._publication.keep(keys.ServiceAddresses(self._reader.local), UNFILLED)

    async def _fill_from(self, key: keys.ServiceInstances) -> None:
        began = _now()
        try:
            view = await self._reader.read(key, is_first=False)
        except NotFound:
            self._filled(key.service)
            raise
        assert isinstance(view, model.Instances)
        self._book.take(key.service, view, began)
        self._filled(key.service)
        if key in self._freshness:
            self._take_reading(key, view, began)

    def _filled(self, service: str) -> None:
        self._unfilled.discard(service)
        if not self._unfilled:
            self._publication.confirm(keys.ServiceAddresses(self._reader.local))

    def _take_reading(self, key: ViewKey, view: AnyView, began: float) -> None:
        if self._freshness.is_superseded(key, began):
            self._publication.settle(key)
        else:
            self._take(key, view, began)
        if self._freshness.succeeded(key, began, _now()):
            self._publication.mark_outdated(key)

    def _take(self, key: ViewKey, view: AnyView, began: float) -> None:
        if isinstance(view, model.Instances):
            self._index_nodes(key, view)
            if isinstance(key, keys.ServiceInstances) and key.datacenter == self._reader.local:
                self._book.take(key.service, view, began)
                self._filled(key.service)
                self._wake_filler.set()
        self._publication.replace(key, view, kept=self._reader.partial(key))

    def _deny(self, key: ViewKey) -> None:
        """The lists say that there is no such thing: an empty view, without a request."""
        if key not in self._freshness and key not in self._publication.waiting:
            return  # forgotten while it was being read
        is_zone = isinstance(key, keys.ReverseZone)
        empty = model.ReverseEntries(0, ()) if is_zone else model.Instances(0, ())
        self._freshness.hold(key, self._reader.area(key), _now())
        self._index_nodes(key, None)
        self._publication.replace(key, empty)

    def _failed(self, key: ViewKey, error: ConsulError) -> None:
        now = _now()
        if self._freshness.is_right(key, now):
            return self._publication.settle(key)  # read by a query of its own meanwhile
        self._freshness.failed(key, now, now + random.uniform(*RETRY_SECONDS))
        if isinstance(error, Unreachable):
            self._contact.doubt()
        self._publication.keep(key, str(error))

    def _index_nodes(self, key: ViewKey, view: model.Instances | None) -> None:
        """Note on which nodes the service runs now, before the view is published."""
        old, new = _nodes_of(self._publication.get(key)), _nodes_of(view)
        for node in old - new:
            self._on_node[node].discard(key)
            if not self._on_node[node]:
                del self._on_node[node]
        for node in new - old:
            self._on_node[node].add(key)


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
