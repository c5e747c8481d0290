"""How long answers took and how large they were, in buckets for a histogram.

Measuring each hit would cost more than a tenth of it: the hits of a batch all count with the time
from reading it to sending the last of them, and with the size of the last. Answers that were not in
the cache are measured one by one.
"""

from collections.abc import Iterator

# The upper end of the first bucket; each other one is twice the one before.
FIRST_NANOSECONDS = 16_000
BUCKETS = 20  # the last one ends at 8.4 s
SIZES = (64, 128, 256, 512, 1024, 1232, 2048, 4096, 8192, 16384, 32768, 65535)  # octets

_PREFIX, _SIZE_PREFIX = "duration_", "size_"


class Durations:
    """The buckets of one worker; the last of each kind holds what is beyond all."""

    __slots__ = ("_counts", "_nanoseconds", "_octets", "_sizes")

    def __init__(self) -> None:
        self._counts = [0] * (BUCKETS + 1)
        self._sizes = [0] * (len(SIZES) + 1)
        self._nanoseconds = self._octets = 0

    def observe(self, nanoseconds: int, octets: int, count: int = 1) -> None:
        """`count` answers took so long, and were so large."""
        bucket = (((nanoseconds or 1) - 1) // FIRST_NANOSECONDS).bit_length()
        self._counts[bucket if bucket < BUCKETS else BUCKETS] += count
        self._nanoseconds += nanoseconds * count
        self._octets += octets * count
        for number, size in enumerate(SIZES):
            if octets <= size:
                self._sizes[number] += count
                return
        self._sizes[-1] += count

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Each number by its name in `link.Pong`."""
        yield from ((f"{_PREFIX}{n}", count) for n, count in enumerate(self._counts) if count)
        yield from ((f"{_SIZE_PREFIX}{n}", count) for n, count in enumerate(self._sizes) if count)
        yield f"{_PREFIX}nanoseconds", self._nanoseconds
        yield f"{_SIZE_PREFIX}octets", self._octets
