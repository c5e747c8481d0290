"""Asks Consul once for what a question needs: the watcher, for as long as it takes."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

from consuldns.consul.http.client import Client
from consuldns.consul.watch.watcher import Watcher
from consuldns.errors import Unreachable
from consuldns.views import updates
from consuldns.views.store import MissingView, Views, ViewStore

T = TypeVar("T")

SECONDS = 10.0  # for all views together
RETRY_SECONDS = 0.2  # after a view could not be had: the index of addresses takes a while


async def answer_once(client: Client, ask: Callable[[Views], T]) -> T:
    """What `ask` makes of Consul's views; the ones that it misses (MissingView) are read for it.

    Raises Unreachable, with the reason, if a view is not available in time.
    """
    views = _Views()
    watcher = Watcher(client, views.take)
    running = asyncio.create_task(watcher.run())
    try:
        async with asyncio.timeout(SECONDS):
            return await _answer(watcher, views, ask)
    except TimeoutError:
        reason = views.reason or f"timed out waiting for Consul ({SECONDS:g} s)"
        raise Unreachable(f"Consul at {client.settings.address}: {reason}") from None
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def _answer(watcher: Watcher, views: "_Views", ask: Callable[[Views], T]) -> T:
    while not watcher.is_ready:
        await views.wait()
    while True:
        try:
            return ask(views.store)
        except MissingView as missing:
            views.unavailable = False
            watcher.need(missing.key)
            while missing.key not in views.store and not views.unavailable:
                await views.wait()
            if views.unavailable:
                await asyncio.sleep(RETRY_SECONDS)


class _Views:
    """What the watcher publishes. `reason`: why a view could not be had, if that was the last."""

    def __init__(self) -> None:
        self.store = ViewStore()
        self.reason = ""
        self.unavailable = False
        self._news = asyncio.Event()

    def take(self, update: updates.ToWorker) -> None:
        """A message from the watcher."""
        match update:
            case updates.Replaced(key, view):
                self.store.replace(key, view)
            case updates.ZoneChanged(key, change):
                self.store.change_zone(key, change)
            case updates.Unavailable(_, reason):
                self.reason, self.unavailable = reason, True
        self._news.set()

    async def wait(self) -> None:
        """Wait for the next message."""
        self._news.clear()
        await self._news.wait()
