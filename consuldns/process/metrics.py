"""What the counters of the processes mean, for Prometheus.

The hot path counts with plain integers; names, labels and help texts are given here, at each
scrape. No label ever takes a value that a client chose.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from consuldns import __version__
from consuldns.consul.watch.watcher import WatcherStatistics
from consuldns.process import link
from consuldns.process.sync_child import SyncFigures
from consuldns.server import durations
from consuldns.server.listen import Transport

# Counters of a worker (`server.handler.Counters`): metric and what it counts.
WORKER_COUNTERS: Mapping[str, tuple[str, str]] = {
    "misses": ("cache_misses", "Queries that were not in the response cache."),
    "dropped": ("dns_dropped", "Messages that are not queries and got no reply."),
    "rejected": ("dns_rejected", "Malformed or unsupported queries, which got an error response."),
    "pending": ("dns_pending", "Queries that had to wait for data from Consul."),
    "timed_out": ("dns_timed_out", "Pending queries that timed out."),
    "overload": ("dns_overload", "Queries refused because too many were pending."),
    "failures": ("panics", "Unexpected errors; each is a bug."),
    "send_errors": ("dns_send_errors", "Responses that the kernel refused to send."),
    "rate_limited": (
        "dns_rate_limited",
        "Responses over UDP that were dropped or truncated by `dns.rate_limit`.",
    ),
    "networks_held": (
        "dns_networks_held",
        "How often most queries of one network were dropped because they left no room for others.",
    ),
    "forwarded": ("forward_queries", "Questions that were sent to upstream servers."),
    "forward_retries": ("forward_retries", "Further upstream servers that were asked."),
    "forward_failures": ("forward_failures", "Questions that no upstream server answered."),
    "forward_overload": ("forward_overload", "Questions not forwarded, too many being under way."),
    "tcp_connections": ("tcp_connections", "TCP connections accepted."),
    "tcp_refused": ("tcp_refused", "TCP connections closed because there were too many."),
}
MAX_REASON = 200  # characters of a label
QUERIES = "queries_"  # and the transport's name
ENTRIES = "entries_"  # and the part of the response cache


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known at the time of a scrape."""

    workers: Mapping[str, int]
    worker_restarts: int
    watcher: WatcherStatistics
    is_ready: bool
    sync: SyncFigures | None = None


class FiguresCollector(Collector):
    """Makes metrics of the figures at each scrape; `figures` gives those of the moment."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        """All metrics."""
        figures = self._figures()
        yield from _of_workers(figures)
        yield from _of_watcher(figures.watcher)
        if figures.sync is not None:
            yield from _of_sync(figures.sync)
        yield _gauge("ready", "Whether every worker answers from complete data.", figures.is_ready)
        build = GaugeMetricFamily(
            "consuldns_build_info", "The version, as a label.", labels=["version"]
        )
        build.add_metric([__version__], 1)
        yield build


def _of_workers(figures: Figures) -> Iterator[Metric]:
    requests = CounterMetricFamily("consuldns_dns_requests", "Messages received.", labels=["proto"])
    for transport in Transport:
        count = figures.workers.get(f"{QUERIES}{transport.value}", 0)
        requests.add_metric([transport.value], count)
    yield requests
    yield from _of_answers(figures.workers)
    for counter, (name, text) in WORKER_COUNTERS.items():
        yield _counter(name, text, figures.workers.get(counter, 0))
    yield _counter(
        "worker_restarts", "Worker processes that were replaced.", figures.worker_restarts
    )


def _of_answers(workers: Mapping[str, int]) -> Iterator[Metric]:
    """Labels are CoreDNS's where it has them."""
    responses = CounterMetricFamily(
        "consuldns_dns_responses",
        "Replies sent; zone dropped: none of our zones, type other: one without a name here.",
        labels=["zone", "type", "rcode", "proto"],
    )
    entries = GaugeMetricFamily(
        "consuldns_cache_entries", "Entries of the response caches of all workers.", labels=["type"]
    )
    for counter, count in workers.items():
        if counter.startswith(link.ANSWERS):
            responses.add_metric(counter.removeprefix(link.ANSWERS).split(link.SEPARATOR), count)
        elif counter.startswith(ENTRIES):
            entries.add_metric([counter.removeprefix(ENTRIES)], count)
    yield responses
    yield entries
    yield _histogram(
        "dns_request_duration_seconds",
        "Time from reading a query to sending its reply; of a batch, until all of it was sent.",
        [durations.FIRST_NANOSECONDS * 2**n / 1e9 for n in range(durations.BUCKETS)],
        [workers.get(f"duration_{n}", 0) for n in range(durations.BUCKETS + 1)],
        workers.get("duration_nanoseconds", 0) / 1e9,
    )
    yield _histogram(
        "dns_response_size_bytes",
        "Sizes of replies; of a batch of hits, the last one's.",
        list(durations.SIZES),
        [workers.get(f"size_{n}", 0) for n in range(len(durations.SIZES) + 1)],
        workers.get("size_octets", 0),
    )


def _histogram(
    name: str, text: str, ends: Sequence[float], counts: Sequence[int], total: float
) -> Metric:
    """`ends` are those of the buckets; the last count is of what is beyond them."""
    buckets = []
    below = 0
    for end, count in zip([*map(str, ends), "+Inf"], counts, strict=True):
        below += count
        buckets.append((end, float(below)))
    histogram = HistogramMetricFamily(f"consuldns_{name}", text)
    histogram.add_metric([], buckets, total)
    return histogram


def _of_watcher(watcher: WatcherStatistics) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "consuldns_consul_requests",
        "Requests to Consul that have ended, by endpoint and outcome.",
        labels=["endpoint", "outcome"],
    )
    for (endpoint, outcome), count in watcher.requests.items():
        requests.add_metric([endpoint, outcome], count)
    yield requests
    yield _gauge("consul_connections", "Connections to Consul.", watcher.connections_open)
    yield _gauge("consul_reachable", "Whether Consul is reachable.", watcher.is_in_contact)
    yield _gauge("views", "Views of Consul's state in memory.", watcher.views)
    yield _gauge("views_watched", "Views with a blocking query.", watcher.views_followed)
    yield _gauge(
        "views_kept",
        "Views that could not be renewed, and are served stale.",
        watcher.views_kept,
    )
    yield _gauge(
        "views_stale_seconds",
        "For how long the view that is stale longest could not be renewed; 0 if there is none.",
        watcher.stale_seconds,
    )
    yield _gauge(
        "views_held",
        "Lists that have lost so much at once that the loss is to be confirmed first.",
        watcher.lists_held,
    )
    yield _counter(
        "consul_losses_accepted",
        "Losses in lists that were held first, and then confirmed.",
        watcher.losses_accepted,
    )
    yield _counter(
        "consul_records_skipped",
        "Records from Consul that could not be decoded, counted at every read.",
        watcher.records_skipped,
    )
    unreadable = GaugeMetricFamily(
        "consuldns_consul_records_unreadable",
        "Records from Consul that cannot be decoded now (1 for each of the first 50), and why.",
        labels=["view", "record", "reason"],
    )
    for view, record in watcher.records_unreadable:
        unreadable.add_metric([view, record.name, record.reason[:MAX_REASON]], 1)
    yield unreadable
    yield _counter(
        "consul_guesses_refused",
        "Names that no list holds, and that were not looked up since there were too many.",
        watcher.guesses_refused,
    )
    if watcher.last_contact_seconds is not None:
        yield _gauge(
            "consul_last_contact_seconds",
            "Time since Consul last answered.",
            watcher.last_contact_seconds,
        )


def _counter(name: str, text: str, count: int) -> Metric:
    counter = CounterMetricFamily(f"consuldns_{name}", text)
    counter.add_metric([], count)
    return counter


def _of_sync(sync: SyncFigures) -> Iterator[Metric]:
    """What control itself knows of the sync worker, whose own metrics are appended."""
    is_ready = sync.report is not None and not sync.report.not_ready
    yield _gauge("sync_worker_up", "Whether the sync worker runs.", sync.is_up)
    yield _gauge("sync_worker_ready", "Whether the sync worker is watching its cluster.", is_ready)
    yield _counter(
        "sync_worker_restarts", "Sync workers that ended or could not be started.", sync.restarts
    )
    if sync.last_status is not None:
        yield _gauge(
            "sync_worker_last_exit_status",
            "Exit status of the last sync worker, or minus the number of the signal that ended it.",
            sync.last_status,
        )


def _gauge(name: str, text: str, value: float) -> Metric:
    gauge = GaugeMetricFamily(f"consuldns_{name}", text)
    gauge.add_metric([], float(value))
    return gauge
