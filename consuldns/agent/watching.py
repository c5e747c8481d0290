"""Blocking queries: who waits for a change, and who is woken."""

import asyncio
import random
from collections.abc import Callable

DEFAULT_WAIT, MAX_WAIT = 300.0, 600.0
"""Seconds that a blocking query lasts (Consul's `wait`)."""
JITTER = 16
"""Consul adds up to wait/16, so that those who began together do not return together."""


class Watching:
    """Wakes all that wait whenever anything has changed; each looks whether that concerns it.

    Looking is reading one number, and looking and lying down again happen without a pause between
    them, so no change can be missed.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._closed = False

    def wake(self) -> None:
        """Something has changed."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def close(self) -> None:
        """All that wait return at once, and nobody waits any more."""
        self._closed = True
        self.wake()

    async def wait_beyond(self, minimum: int, index: Callable[[], int], wait: float) -> None:
        """Return when `index()` is more than `minimum`, or after `wait` seconds and some more."""
        seconds = wait + random.uniform(0, wait / JITTER)
        try:
            async with asyncio.timeout(seconds):
                while index() <= minimum and not self._closed:
                    await self._changed.wait()
        except TimeoutError:
            return

    async def next_change(self) -> None:
        """Return after the next change."""
        await self._changed.wait()
