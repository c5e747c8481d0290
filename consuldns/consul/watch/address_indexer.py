"""Fills the index of addresses, which PTR answers come from: reads all services, one by one."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable

from consuldns.consul.watch.address_index import AddressBook
from consuldns.consul.watch.published import Published
from consuldns.views import keys, model
from consuldns.views.keys import ViewKey

# From the start of one reading to the next: while the index is new, while it is asked for, and
# otherwise. One at a time costs Consul, and us, no more than a core.
NEW_FILL_SECONDS = 0.0
ASKED_FILL_SECONDS = 0.005
IDLE_FILL_SECONDS = 0.05
ASKED_SECONDS = 60.0
IDLE_SECONDS = 1.0
RETRY_SECONDS = 10.0  # after a service that could not be read
PUBLISH_SECONDS = 0.25
UNFILLED = "instances of some services cannot be read"
UNFINISHED = "addresses of services are still being read"

Read = Callable[[keys.ServiceInstances], Awaitable[None]]
"""Reads the instances of a service, and gives them to `AddressIndexer.take` if it succeeds."""


class AddressIndexer:
    """Publishes the index of the local datacenter, `local`. It is complete, or not published."""

    def __init__(self, published: Published) -> None:
        self._published = published
        self._book = AddressBook()
        self._unfilled: set[str] = set()  # services that the index may be wrong about
        self._wake = asyncio.Event()
        self._asked_at = self._published_at = self._retried_at = float("-inf")
        self.local = ""

    @property
    def key(self) -> keys.ServiceAddresses:
        """The key of the index."""
        return keys.ServiceAddresses(self.local)

    def need(self, key: ViewKey) -> None:
        """A query waits for the index: answered at once if it is there, else within a second."""
        self._asked_at = _now()
        self._published.need(key)
        if self._published.get(key) is not None:
            self._published.settle(key)

    def asked(self, asked: Collection[ViewKey]) -> None:
        """Answers were given from these views."""
        if self.key in asked:
            self._asked_at = _now()

    def moved(self, now: float) -> None:
        """Any service may have changed."""
        self._book.moved(now)
        self._wake.set()

    def changed(self, changed: Iterable[ViewKey]) -> None:
        """These views have probably changed, and nobody else reads them."""
        for key in changed:
            if isinstance(key, keys.ServiceInstances) and key.is_in(self.local):
                self._book.retry(key.service)
        self._wake.set()

    def list_services(self, services: model.Services) -> None:
        """The local services, after each change of the list."""
        self._book.list_services(services.names)
        self._settle(self._unfilled - {name.lower() for name in services.names})
        self._wake.set()

    def take(self, key: ViewKey, view: model.Instances, began: float) -> None:
        """The instances of a service, from any reader; `began` is when the reading started."""
        if isinstance(key, keys.ServiceInstances) and key.is_in(self.local):
            self._book.take(key.service, view, began)
            self._settle({key.service})
            self._wake.set()

    def _settle(self, services: Collection[str]) -> None:
        """The index is right about these services."""
        if self._unfilled:
            self._unfilled.difference_update(services)
            if not self._unfilled:
                self._published.confirm(self.key)

    def tick(self, now: float) -> None:
        """To be called each second: answers those who wait, and tries again what failed."""
        if self._published.is_needed(self.key):
            self._published.refuse(self.key, UNFINISHED)
        if now >= self._retried_at + RETRY_SECONDS:
            self._retried_at = now
            for service in self._unfilled:
                self._book.retry(service)

    async def run(self, is_kept_right: Callable[[ViewKey], bool], read: Read) -> None:
        """Read what may have changed, and is not read by others anyway, until cancelled."""
        while True:
            self._wake.clear()
            began = _now()
            service = self._book.next_service()
            if service is not None:
                self._book.skip(service, began)
                await self._fill(keys.ServiceInstances(self.local, service), is_kept_right, read)
            publishable_in = self._publish()
            if service is None:
                await self._wait(min(publishable_in, IDLE_SECONDS))
                continue
            await asyncio.sleep(began + self._pause(began) - _now())

    def _pause(self, now: float) -> float:
        if not self._book.is_complete:
            return NEW_FILL_SECONDS
        return ASKED_FILL_SECONDS if now < self._asked_at + ASKED_SECONDS else IDLE_FILL_SECONDS

    async def _fill(
        self,
        key: keys.ServiceInstances,
        is_kept_right: Callable[[ViewKey], bool],
        read: Read,
    ) -> None:
        if is_kept_right(key):
            return
        self._unfilled.add(key.service)
        await read(key)
        if self._unfilled:
            self._published.keep(self.key, UNFILLED)

    def _publish(self) -> float:
        """Publish the index if that is due; else in how many seconds it is, as far as is known."""
        is_news = self._book.is_changed or self._published.get(self.key) is None
        if not (is_news and self._book.is_complete):
            return float("inf")
        # The message holds the whole index: 100,000 addresses are 3 MB, so the more the rarer.
        pause = PUBLISH_SECONDS + len(self._book) / 5e4
        due_in = self._published_at + pause - _now()
        if due_in > 0:
            return due_in
        kept = UNFILLED if self._unfilled else ""
        self._published.replace(self.key, self._book.index(), kept=kept)
        self._published_at = _now()
        return float("inf")

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass


def _now() -> float:
    return asyncio.get_running_loop().time()
