"""Keeps the views of all workers right: the whole of this package behind a few methods.

The watcher runs a series of sessions. A session begins when Consul answers, reads everything again,
and watches it until Consul becomes unreachable; then all that was under way is cancelled, and the
views are kept as they are until the next.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from consuldns.consul import kinds
from consuldns.consul.http import blocking
from consuldns.consul.http.client import Client
from consuldns.consul.http.datacenter import local_datacenter
from consuldns.consul.http.unread import UnreadRecord, UnreadRecords
from consuldns.consul.kinds import Area, Kept
from consuldns.consul.watch.address_indexer import AddressIndexer
from consuldns.consul.watch.lists import WatchedLists, needed_to_deny
from consuldns.consul.watch.loss_guard import LossGuard
from consuldns.consul.watch.on_demand import OnDemandViews
from consuldns.consul.watch.published import Published, StaleView
from consuldns.consul.watch.reachability import Reachability
from consuldns.consul.watch.reader import ViewReader
from consuldns.errors import ConsulError, Unreachable
from consuldns.incidents import Incidents, UnexpectedErrors
from consuldns.views import keys, updates
from consuldns.views.keys import ViewKey
from consuldns.views.store import MissingView, Views

T = TypeVar("T")

_log = logging.getLogger(__name__)

ANSWER_SECONDS, ANSWER_PAUSE_SECONDS = 3.0, 0.05

NO_CONTACT = "Consul is unreachable"
SWEEP_AFTER_CONTACT_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class WatcherStatistics:
    """A snapshot. `requests` by (endpoint, outcome); `last_contact_seconds` ago, None if never.

    `views_kept` are those that could not be renewed, `stale_seconds` for how long the first of them
    has been waiting for that, `lists_held` among them those that have lost
    more than is believed yet. `records_unreadable` are the first of those that cannot be read now,
    each with the name of its view.
    """

    requests: Mapping[tuple[str, str], int]
    connections_open: int
    connections_busy: int
    views: int
    views_followed: int
    views_kept: int
    stale_seconds: float
    lists_held: int
    losses_accepted: int
    records_skipped: int
    records_unreadable: Sequence[tuple[str, UnreadRecord]]
    guesses_refused: int
    is_in_contact: bool
    last_contact_seconds: float | None


class Watcher:
    """Publishes what Consul holds, and what a worker needs of it.

    `publish` is called with each message; it goes to all workers alike, and must not block.
    """

    def __init__(self, client: Client, publish: Callable[[updates.ToWorker], None]) -> None:
        self._client = client
        self._incidents = Incidents(_log)
        self._errors = UnexpectedErrors(_log)
        self._published = Published(self._contained(publish))
        self._reachability = Reachability(client)
        self._records = UnreadRecords()
        self._guard = LossGuard(client, self._published)
        self._reader = ViewReader(client, self._published, self._guard, self._records)
        self._indexer = AddressIndexer(self._published)
        self._on_demand = OnDemandViews(
            self._reader,
            self._published,
            self._reachability,
            self._indexer,
            self._guard,
            client.settings.connections,
        )
        self._lists: WatchedLists | None = None
        self._is_in_session = False
        self._restored: frozenset[ViewKey] = frozenset()
        self._can_deny = False  # from what was restored

    def _contained(
        self, publish: Callable[[updates.ToWorker], None]
    ) -> Callable[[updates.ToWorker], None]:
        def contained(update: updates.ToWorker) -> None:
            with self._errors.contained(f"publishing {type(update).__name__}"):
                publish(update)

        return contained

    def read_again(self) -> None:
        """Settings have changed that requests depend on: what is asked for is read again."""
        if self._is_in_session:
            self._on_demand.moved(Area.SERVICES)

    async def run(self) -> None:
        """Watch until cancelled. An error of ours ends the session, and another begins."""
        backoff = blocking.backoff()
        task = asyncio.current_task()
        assert task is not None
        # A group of tasks that ends because of an error swallows a cancellation, and counts its own
        # as ours (3.11): so a session is a task of its own.
        while not task.cancelling():
            try:
                await self._reachability.wait_until_reached()
                lists = await self._local_lists()
                self._incidents.ended("local datacenter")
                await asyncio.create_task(self._session(lists))
                backoff.reset()
                continue
            except ConsulError as error:
                self._incidents.began("local datacenter", error)
            except Exception as error:
                self._errors.report("watching Consul", error)
            await backoff.pause()
        raise asyncio.CancelledError

    async def _local_lists(self) -> WatchedLists:
        """The lists of the local datacenter, whose name is found out once."""
        if self._lists is None:
            local = await local_datacenter(self._client)
            self._reader.local = self._indexer.local = local
            self._lists = WatchedLists(
                self._client,
                self._published,
                self._on_demand,
                self._indexer,
                self._reachability,
                self._guard,
                self._records,
                local,
            )
        return self._lists

    async def _session(self, lists: WatchedLists) -> None:
        """Follow everything until contact is lost."""
        self._is_in_session = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._end_when_lost())
                tasks.create_task(self._on_demand.run())
                tasks.create_task(lists.run())
                tasks.create_task(self._announce_contact(lists))
        except* Unreachable:
            self._published.set_contact(reachable=False)
            await self._client.aclose()
        finally:
            self._is_in_session = False
            self._published.refuse_all(NO_CONTACT)

    async def _end_when_lost(self) -> None:
        raise await self._reachability.wait_until_lost()

    async def _announce_contact(self, lists: WatchedLists) -> None:
        """Tell that answers are fresh: when the lists are read, and what is being asked for."""
        await lists.wait_until_read()
        try:
            async with asyncio.timeout(SWEEP_AFTER_CONTACT_SECONDS):
                await self._on_demand.wait_until_swept()
        except TimeoutError:
            _log.info("overload: some views are still waiting to be read again")
        self._forget_restored()
        self._published.set_contact(reachable=True)

    @property
    def was_in_contact(self) -> bool:
        """Whether Consul has ever answered."""
        return self._reachability.seconds_since_last() is not None

    @property
    def is_in_contact(self) -> bool:
        """Whether Consul is reachable, and everything has been read since it is."""
        return self._published.in_contact

    @property
    def changes(self) -> int:
        """How often a view has changed so far."""
        return self._published.changes

    def views(self) -> list[updates.Replaced]:
        """Every view that is held."""
        return self._published.views()

    def restore(self, views: Sequence[updates.Replaced], reason: str) -> None:
        """Serve views of an earlier time as stale ones, until Consul is reachable."""
        for each in views:
            self._published.replace(each.key, each.view, kept=reason)
        datacenters = self._published.get(keys.DatacenterList())
        if datacenters is None:
            return
        lists = needed_to_deny(datacenters.local)
        self._restored = frozenset(each.key for each in views)
        self._can_deny = lists <= self._restored

    def _forget_restored(self) -> None:
        """What is read on demand is read from Consul again when somebody asks for it."""
        local = self._reader.local
        for key in self._restored:
            trust = self._published.trust(key)
            is_old = trust is not None and trust.is_stale
            if is_old and kinds.kept(key, local) is Kept.ON_DEMAND:
                self._published.forget(key)
        self._restored = frozenset()

    def need(self, key: ViewKey) -> None:
        """A worker waits for this view: Replaced, Current or Unavailable is published soon."""
        with self._errors.contained("requesting a view"):
            if self._lists is None or not self._is_in_session:
                self._published.refuse(key, NO_CONTACT)
                return
            match kinds.kept(key, self._reader.local):
                case Kept.ON_DEMAND:
                    self._on_demand.need(key)
                case Kept.IN_BACKGROUND:
                    self._indexer.need(key)
                case Kept.ALWAYS | Kept.POLLED | Kept.IF_ALLOWED:
                    self._lists.need(key)

    def asked(self, asked: Collection[ViewKey]) -> None:
        """Answers were given from these views during the last second or two."""
        with self._errors.contained("recording which views are in use"):
            self._on_demand.asked(asked)
            self._indexer.asked(asked)

    async def answer(self, ask: Callable[[Views], T]) -> T:
        """What `ask` makes of the views that are held; those that it misses are read for it.

        Raises Unreachable, with the reason, if a view is not available in time.
        """
        wanted: set[ViewKey] = set()
        for _ in range(int(ANSWER_SECONDS / ANSWER_PAUSE_SECONDS)):
            try:
                return ask(self._published)
            except MissingView as missing:
                if missing.key not in wanted:
                    wanted.add(missing.key)
                    self.need(missing.key)
                await asyncio.sleep(ANSWER_PAUSE_SECONDS)
        names = ", ".join(key.label for key in wanted)
        raise Unreachable(f"timed out waiting for Consul: {names}")

    def known(self) -> Iterable[updates.ToWorker]:
        """The messages that bring a fresh worker up to date."""
        return self._published.known()

    @property
    def is_ready(self) -> bool:
        """Whether every list is there: before that, no name can be denied."""
        return self._can_deny or (self._lists is not None and self._lists.are_read)

    def kinds(self) -> Counter[str]:
        """How many views of each kind are held."""
        return self._published.kinds()

    def stale(self, most: int) -> list[StaleView]:
        """The views that could not be renewed, those that wait longest first."""
        return self._published.stale(most)

    def statistics(self) -> WatcherStatistics:
        """What was done so far, and what is held."""
        client = self._client.statistics()
        return WatcherStatistics(
            requests=client.requests,
            connections_open=client.connections_open,
            connections_busy=client.connections_busy,
            views=len(self._published),
            views_followed=self._on_demand.watched,
            views_kept=self._published.stale_count(),
            stale_seconds=max((each.seconds for each in self._published.stale(1)), default=0.0),
            lists_held=self._guard.held,
            losses_accepted=self._guard.losses_accepted,
            records_skipped=self._records.count,
            records_unreadable=self._records.current(),
            guesses_refused=self._on_demand.guesses_refused,
            is_in_contact=self._published.in_contact,
            last_contact_seconds=self._reachability.seconds_since_last(),
        )
