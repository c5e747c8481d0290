"""What the sync worker has done and seen, for Prometheus."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Protocol

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from consuldns.sync.kubernetes.reflector import AnyReflector
from consuldns.sync.statistics import LATENCY_BUCKETS, Statistics
from consuldns.sync.worker import SyncWorker


class Supervised(Protocol):
    """What has a worker, once its two ends answer."""

    @property
    def worker(self) -> SyncWorker | None:
        """The worker."""


class SyncCollector(Collector):
    """Makes metrics of the worker's figures."""

    def __init__(self, supervised: Supervised) -> None:
        self._supervised = supervised

    def collect(self) -> Iterable[Metric]:
        """All metrics."""
        worker = self._supervised.worker
        is_leader = worker is not None and worker.is_leader
        yield _gauge("leader", "Whether this worker is the leader.", is_leader)
        yield from _of_reflectors(worker.reflectors if worker is not None else ())
        yield from _of_statistics(worker.statistics if worker is not None else Statistics())


def _of_reflectors(reflectors: Iterable[AnyReflector]) -> Iterator[Metric]:
    synced = _labelled_gauge("synced", "Whether all objects of a kind have been listed.")
    objects = _labelled_gauge("objects", "Objects of a kind in memory.")
    stale = _labelled_gauge(
        "stale_seconds", "For how long a kind could not be watched; 0 if it is being watched."
    )
    restarts = CounterMetricFamily(
        "consuldns_sync_watch_restarts",
        "Lists and watches that were restarted, by reason.",
        labels=["resource", "reason"],
    )
    skipped = CounterMetricFamily(
        "consuldns_sync_objects_skipped",
        "Objects that could not be decoded, counted each time they are received.",
        labels=["resource"],
    )
    withheld = _labelled_gauge("withheld", "Whether a kind may not be listed, or is not served.")
    now = time.monotonic()
    by_kind: dict[str, list[AnyReflector]] = {}  # one for each namespace, or one for all
    for reflector in reflectors:
        by_kind.setdefault(str(reflector.kind), []).append(reflector)
    for kind, each in by_kind.items():
        synced.add_metric([kind], float(all(r.store.is_listed for r in each)))
        objects.add_metric([kind], sum(len(r.store.objects) for r in each))
        stale.add_metric([kind], now - min((r.stale_since or now) for r in each))
        withheld.add_metric([kind], float(any(r.withheld for r in each)))
        skipped.add_metric([kind], each[0].client.unread.count[kind])  # one client for all
        counts: Counter[str] = Counter()
        for r in each:
            counts.update(r.restarts)
        for reason, count in counts.items():
            restarts.add_metric([kind, reason], count)
    yield from (synced, objects, stale, withheld, restarts, skipped)


def _of_statistics(statistics: Statistics) -> Iterator[Metric]:
    operations = CounterMetricFamily(
        "consuldns_sync_operations",
        "Operations on Consul, by kind and result; `service` and `failed`: refused services.",
        labels=["op", "result"],
    )
    for (kind, result), count in statistics.operations.items():
        operations.add_metric([kind, result], count)
    yield operations
    for name, text, count in (
        ("transactions", "Transactions sent to Consul.", statistics.transactions),
        ("reads", "Full reads of our entries in Consul.", statistics.reads),
        (
            "foreign_changes",
            "Times that our entries may have been changed by somebody else.",
            statistics.repairs,
        ),
    ):
        counter = CounterMetricFamily(f"consuldns_sync_{name}", text)
        counter.add_metric([], count)
        yield counter
    for name, text, value in (
        ("services", "Services with instances in the catalog.", statistics.services),
        ("instances", "Instances in the catalog.", statistics.instances),
        ("conflicts", "Keys of others at paths that we would write.", statistics.conflicts),
        (
            "foreign_instances",
            "Instances of others on the cluster's node.",
            statistics.foreign_instances,
        ),
        (
            "held_removals",
            "Removals that are held by the guard against mass deletion.",
            statistics.held_removals,
        ),
        ("failed_services", "Services that Consul refused.", statistics.failed_services),
        (
            "services_with_problems",
            "Services with something that cannot take effect: an annotation, an address, a port. "
            "Settings of the worker that cannot are one service more.",
            statistics.services_with_problems,
        ),
        ("last_sync_timestamp_seconds", "When a plan was last completed.", statistics.last_sync),
    ):
        yield _gauge(name, text, value)
    yield _latency(statistics)


def _latency(statistics: Statistics) -> Metric:
    latency = HistogramMetricFamily(
        "consuldns_sync_latency_seconds",
        "Time from a change in the cluster until it is written to Consul.",
    )
    total, buckets = 0, []
    for bound, count in zip(
        [*map(str, LATENCY_BUCKETS), "+Inf"], statistics.latencies, strict=True
    ):
        total += count
        buckets.append((bound, float(total)))
    latency.add_metric([], buckets, statistics.latency_sum)
    return latency


def _labelled_gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"consuldns_sync_{name}", text, labels=["resource"])


def _gauge(name: str, text: str, value: float) -> Metric:
    gauge = GaugeMetricFamily(f"consuldns_sync_{name}", text)
    gauge.add_metric([], float(value))
    return gauge
