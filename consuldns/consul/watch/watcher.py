"""Keeps the views of all workers right: the whole of this package behind a few methods.

Life is a row of sessions. A session begins when Consul answers, reads everything again, and follows
it until contact is lost; then all that was under way is cancelled, and the views are kept as they
are until the next.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from consuldns.consul.http.blocking import Backoff
from consuldns.consul.http.client import Client
from consuldns.consul.http.datacenter import local_datacenter
from consuldns.consul.http.unread import UnreadRecords
from consuldns.consul.incidents import Incidents
from consuldns.consul.watch.lists import StandingLists
from consuldns.consul.watch.on_demand import NeededViews
from consuldns.consul.watch.published import Publication
from consuldns.consul.watch.reachability import Contact
from consuldns.consul.watch.reader import ViewReader
from consuldns.errors import ConsulError, Unreachable
from consuldns.views import updates
from consuldns.views.keys import ViewKey

log = logging.getLogger("consuldns.consul")

NO_CONTACT = "no contact with Consul"
SWEEP_AFTER_CONTACT_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class WatcherStatistics:
    """A snapshot. `requests` by (endpoint, outcome); `last_contact_seconds` ago, None if never.

    `views_kept` are those that could not be renewed, `lists_held` among them those that have lost
    more than is believed yet.
    """

    requests: Mapping[tuple[str, str], int]
    connections_open: int
    connections_busy: int
    views: int
    views_followed: int
    views_kept: int
    lists_held: int
    losses_accepted: int
    records_skipped: int
    is_in_contact: bool
    last_contact_seconds: float | None


class Watcher:
    """Publishes what Consul holds, and what a worker needs of it.

    `publish` is called with each message; it goes to all workers alike, and must not block.
    """

    def __init__(self, client: Client, publish: Callable[[updates.ToWorker], None]) -> None:
        self._client = client
        self._incidents = Incidents()
        self._publication = Publication(self._contained(publish))
        self._contact = Contact(client)
        self._records = UnreadRecords()
        self._reader = ViewReader(client, self._publication, self._records)
        self._needed = NeededViews(
            self._reader, self._publication, self._contact, client.settings.connections
        )
        self._standing: StandingLists | None = None
        self._is_in_session = False

    def _contained(
        self, publish: Callable[[updates.ToWorker], None]
    ) -> Callable[[updates.ToWorker], None]:
        def contained(update: updates.ToWorker) -> None:
            with self._incidents.contained(f"publishing {type(update).__name__}"):
                publish(update)

        return contained

    async def run(self) -> None:
        """Watch until cancelled. An error of ours ends the session, and another begins."""
        backoff = Backoff()
        task = asyncio.current_task()
        assert task is not None
        # A group of tasks that ends because of an error swallows a cancellation, and counts its own
        # as ours (3.11): so a session is a task of its own.
        while not task.cancelling():
            try:
                await self._contact.wait_until_reached()
                standing = await self._standing_lists()
                self._incidents.ended("local datacenter")
                await asyncio.create_task(self._session(standing))
                backoff.reset()
                continue
            except ConsulError as error:
                self._incidents.began("local datacenter", error)
            except Exception as error:
                self._incidents.unexpected("watching Consul", error)
            await backoff.pause()
        raise asyncio.CancelledError

    async def _standing_lists(self) -> StandingLists:
        """The lists of the local datacenter, whose name is found out once."""
        if self._standing is None:
            local = await local_datacenter(self._client)
            self._reader.local = local
            self._standing = StandingLists(
                self._client,
                self._publication,
                self._needed,
                self._contact,
                self._records,
                local,
            )
        return self._standing

    async def _session(self, standing: StandingLists) -> None:
        """Follow everything until contact is lost."""
        self._is_in_session = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._end_when_lost())
                tasks.create_task(self._needed.run())
                tasks.create_task(standing.run())
                tasks.create_task(self._announce_contact(standing))
        except* Unreachable:
            self._publication.set_contact(reachable=False)
            await self._client.aclose()
        finally:
            self._is_in_session = False
            self._publication.refuse_all(NO_CONTACT)

    async def _end_when_lost(self) -> None:
        raise await self._contact.wait_until_lost()

    async def _announce_contact(self, standing: StandingLists) -> None:
        """Tell that answers are fresh: when the lists are read, and what is being asked for."""
        await standing.wait_until_read()
        try:
            async with asyncio.timeout(SWEEP_AFTER_CONTACT_SECONDS):
                await self._needed.wait_until_swept()
        except TimeoutError:
            log.info("many views are asked for: some are still being read again")
        self._publication.set_contact(reachable=True)

    def need(self, key: ViewKey) -> None:
        """A worker waits for this view: Replaced, Current or Unavailable is published soon."""
        with self._incidents.contained("asking for a view"):
            if self._standing is None or not self._is_in_session:
                self._publication.refuse(key, NO_CONTACT)
            elif key not in self._standing.keys:
                self._needed.need(key)
            else:
                self._publication.waiting.add(key)
                if self._publication.get(key) is not None:
                    self._publication.settle(key)

    def asked(self, asked: Collection[ViewKey]) -> None:
        """Answers were given from these views during the last second or two."""
        with self._incidents.contained("noting what is asked for"):
            self._needed.asked(asked)

    def known(self) -> Iterable[updates.ToWorker]:
        """The messages that bring a fresh worker up to date."""
        return self._publication.known()

    @property
    def is_ready(self) -> bool:
        """Whether every list is there: before that, no name can be denied."""
        standing = self._standing
        return standing is not None and all(map(self._publication.get, standing.keys))

    def statistics(self) -> WatcherStatistics:
        """What was done so far, and what is held."""
        client = self._client.statistics()
        acceptance = self._standing.acceptance if self._standing else None
        return WatcherStatistics(
            requests=client.requests,
            connections_open=client.connections_open,
            connections_busy=client.connections_busy,
            views=len(self._publication),
            views_followed=self._needed.followed,
            views_kept=len(self._publication.kept),
            lists_held=len(acceptance.held) if acceptance else 0,
            losses_accepted=acceptance.losses_accepted if acceptance else 0,
            records_skipped=self._records.count,
            is_in_contact=self._publication.in_contact,
            last_contact_seconds=self._contact.seconds_since_last(),
        )
