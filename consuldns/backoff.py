"""Pauses after failures: they double, with jitter, so that many clients do not come at once."""

import asyncio
import random


def jittered(seconds: float, jitter: float = 0.5) -> float:
    """At most so many seconds; `jitter` is the part of them that is random."""
    return seconds * (1 - jitter * random.random())


class Backoff:
    """Pauses of `first` seconds, then up to twice the last, at most `last` seconds.

    `jitter` is the part of a pause that is random: 0.5 spreads pauses evenly over the upper half of
    the nominal one; 1.0 is what AWS calls full jitter, where a pause may be nearly nothing.
    """

    def __init__(self, first: float, last: float, jitter: float = 0.5) -> None:
        self._first, self._last, self._jitter = first, max(first, last), jitter
        self._nominal = first

    def reset(self) -> None:
        """Begin small again, after a success."""
        self._nominal = self._first

    def next(self) -> float:
        """The seconds to wait now; the next time it is up to twice as long."""
        nominal = self._nominal
        self._nominal = min(2 * nominal, self._last)
        return jittered(nominal, self._jitter)

    async def pause(self) -> None:
        """Wait."""
        await asyncio.sleep(self.next())
