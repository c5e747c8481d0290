"""Rates and durations of the last minutes, for the plots of the status page."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from consuldns.server import durations

SAMPLE_SECONDS = 5.0
SAMPLES = 120  # ten minutes


@dataclass(frozen=True, slots=True)
class Sample:
    """What happened between two looks at the counters. Durations in seconds, 0 without a query."""

    queries: float  # a second
    misses: float  # a second
    median: float
    p99: float


class History:
    """Samples, the oldest first."""

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque(maxlen=SAMPLES)
        self._before: tuple[float, Mapping[str, int]] | None = None

    def add(self, now: float, counters: Mapping[str, int]) -> None:
        """Take the counters of all workers (`link.Pong`), at a time in seconds."""
        before, self._before = self._before, (now, counters)
        if before is None or now <= before[0]:
            return
        seconds = now - before[0]

        def count(name: str) -> int:
            return max(0, counters.get(name, 0) - before[1].get(name, 0))

        answered = [count(f"duration_{n}") for n in range(durations.BUCKETS + 1)]
        queries = sum(count(name) for name in counters if name.startswith("queries_"))
        self.samples.append(
            Sample(
                queries / seconds,
                count("misses") / seconds,
                quantile(answered, 0.5),
                quantile(answered, 0.99),
            )
        )


def quantile(counts: Sequence[int], share: float) -> float:
    """The duration in seconds that so large a share of the answers did not exceed, at most.

    The upper end of its bucket: buckets are a factor of two apart.
    """
    total, below = sum(counts), 0
    for number, count in enumerate(counts):
        below += count
        if total and below >= share * total:
            return durations.FIRST_NANOSECONDS * 2.0**number / 1e9
    return 0.0
