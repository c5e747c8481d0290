"""What the worker has done and seen, as plain numbers; `metrics` exposes them."""

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime

LATENCY_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds


@dataclass
class Statistics:
    """Counters and gauges of one worker. Times are of the wall clock, in seconds.

    `latencies` counts changes of the cluster by how long it took until they were in Consul: a
    count for each bucket of LATENCY_BUCKETS, and one beyond. `changes`: the last ones, each
    with its time as text.
    """

    operations: Counter[tuple[str, str]] = field(default_factory=Counter)
    transactions: int = 0
    last_sync: float = 0.0
    reads: int = 0
    repairs: int = 0
    services: int = 0
    instances: int = 0
    conflicts: int = 0
    foreign_instances: int = 0
    held_removals: int = 0
    failed_services: int = 0
    services_with_problems: int = 0
    latencies: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS) + 1))
    latency_sum: float = 0.0
    changes: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=20))

    def observe_latency(self, seconds: float) -> None:
        """Count one change."""
        bucket = sum(seconds > bound for bound in LATENCY_BUCKETS)
        self.latencies[bucket] += 1
        self.latency_sum += seconds

    def note_change(self, text: str) -> None:
        """Remember what was done to a service just now."""
        now = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
        self.changes.appendleft((now, text))
