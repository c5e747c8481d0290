"""What the status page shows, put together from the figures of the processes."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from consuldns import __version__
from consuldns.consul.http.unread import UnreadRecord
from consuldns.consul.watch.published import StaleView
from consuldns.process import link
from consuldns.process.history import SAMPLE_SECONDS, SAMPLES, History, Sample
from consuldns.process.metrics import ENTRIES, QUERIES, Figures
from consuldns.web.status_page import Page, Table
from consuldns.web.status_page.plots import Line, Plot

MOST_STALE = 50  # rows

_MINUTES = SAMPLE_SECONDS * SAMPLES / 60
_ONE = frozenset({1})


def page(
    figures: Figures,
    history: History,
    *,
    address: str,
    reasons: Sequence[str],
    notes: Sequence[str],
    views: Counter[str],
    stale: Sequence[StaleView],
) -> Page:
    """The page at this moment. `views`: how many of each kind are held, by their name."""
    return Page(
        version=__version__,
        address=address,
        reasons=reasons,
        notes=notes,
        plots=tuple(_plots(history)),
        tables=(
            _replies(figures),
            _cache(figures),
            _consul(figures),
            _views(views),
            _stale(stale, figures.watcher.views_kept),
            _unreadable(figures.watcher.records_unreadable),
            _workers(figures),
            _forwarded(figures),
            *_sync(figures),
        ),
    )


def _plots(history: History) -> Iterator[Plot]:
    samples = tuple(history.samples)

    def line(name: str, value: Callable[[Sample], float], unit: str) -> Line:
        values = [value(each) for each in samples]
        return Line(name, values, f"{_short(values[-1])} {unit}" if values else "no figure yet")

    def plot(title: str, unit: str, *lines: Line) -> Plot:
        most = max((value for each in lines for value in each.values), default=0.0)
        return Plot(
            f"{title}, {_MINUTES:g} minutes", lines, most, f"{_short(most)} {unit}", SAMPLES
        )

    yield plot(
        "Queries",
        "/s",
        line("all", lambda each: each.queries, "/s"),
        line("not in the cache", lambda each: each.misses, "/s"),
    )
    yield plot(
        "Time to answer, at most",
        "ms",
        line("half of them", lambda each: each.median * 1000, "ms"),
        line("99 %", lambda each: each.p99 * 1000, "ms"),
    )


def _replies(figures: Figures) -> Table:
    rcodes: Counter[str] = Counter()
    for counter, count in figures.workers.items():
        if counter.startswith(link.ANSWERS):
            rcodes[counter.removeprefix(link.ANSWERS).split(link.SEPARATOR)[2]] += count
    total = sum(rcodes.values())
    rows = [(name, f"{n:,}", f"{100 * n / total:.1f} %") for name, n in rcodes.most_common()]
    columns = ("rcode", "replies", "share")
    return Table("Replies", columns, rows, frozenset({1, 2}), "None since the start.")


def _cache(figures: Figures) -> Table:
    counters = figures.workers
    queries = sum(n for name, n in counters.items() if name.startswith(QUERIES))
    hits = max(0, queries - counters.get("misses", 0))
    rows = [("hits", f"{hits:,}"), ("misses", f"{counters.get('misses', 0):,}")]
    for name, count in counters.items():
        if name.startswith(ENTRIES):
            rows.append((f"entries: {name.removeprefix(ENTRIES)}", f"{count:,}"))
    return Table("Response cache", (), rows, _ONE)


def _consul(figures: Figures) -> Table:
    watcher = figures.watcher
    ago = watcher.last_contact_seconds
    failed = sum(n for (_, outcome), n in watcher.requests.items() if outcome != "ok")
    rows = [
        ("reachable", "yes" if watcher.is_in_contact else "no"),
        ("last answer", "never" if ago is None else f"{ago:.1f} s ago"),
        ("connections", f"{watcher.connections_open} ({watcher.connections_busy} in use)"),
        ("requests", f"{sum(watcher.requests.values()):,}"),
        ("of these failed", f"{failed:,}"),
        ("records that cannot be read", f"{watcher.records_skipped:,}"),
        ("losses held, to be confirmed", f"{watcher.lists_held:,}"),
        ("losses accepted", f"{watcher.losses_accepted:,}"),
    ]
    return Table("Consul", (), rows, _ONE)


def _views(views: Counter[str]) -> Table:
    rows = [(_words(name), f"{count:,}") for name, count in views.most_common()]
    return Table("Views of Consul's data", ("kind", "held"), rows, _ONE, "None yet.")


def _stale(stale: Sequence[StaleView], total: int) -> Table:
    rows = [(each.label, f"{each.seconds:.0f} s", each.reason) for each in stale]
    if total > len(rows):
        rows.append((f"and {total - len(rows):,} more", "", ""))
    columns = ("view", "since", "why")
    return Table("Stale views", columns, rows, _ONE, "None: all data is as Consul has it.")


def _unreadable(records: Sequence[tuple[str, UnreadRecord]]) -> Table:
    rows = [(where, each.name, each.reason) for where, each in records]
    columns = ("of", "record", "why")
    return Table("Records that cannot be read", columns, rows, _ONE, "None.")


def _workers(figures: Figures) -> Table:
    counters = figures.workers
    rows = [
        ("replaced", f"{figures.worker_restarts:,}"),
        ("waiting for data, so far", f"{counters.get('pending', 0):,}"),
        ("of these timed out", f"{counters.get('timed_out', 0):,}"),
        ("refused by overload", f"{counters.get('overload', 0):,}"),
        ("malformed or unsupported", f"{counters.get('rejected', 0):,}"),
        ("unexpected errors", f"{counters.get('failures', 0):,}"),
    ]
    return Table("Workers", (), rows, _ONE)


def _forwarded(figures: Figures) -> Table:
    counters = figures.workers
    rows = [
        ("questions forwarded", f"{counters.get('forwarded', 0):,}"),
        ("asked again elsewhere", f"{counters.get('forward_retries', 0):,}"),
        ("without an answer", f"{counters.get('forward_failures', 0):,}"),
        ("refused by overload", f"{counters.get('forward_overload', 0):,}"),
    ]
    return Table("Forwarding", (), rows, _ONE)


def _sync(figures: Figures) -> Iterator[Table]:
    sync = figures.sync
    if sync is None:
        return
    report = sync.report
    rows: list[tuple[str, str]] = [("restarts", f"{sync.restarts:,}")]
    rows += report.figures if report is not None else ()
    yield Table("Sync worker", (), rows, _ONE)
    changes = report.changes if report is not None else ()
    yield Table("Last changes by the sync worker", ("when", "what"), changes, nothing="None yet.")


def _short(value: float) -> str:
    """Three digits are enough."""
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.3g}"


def _words(name: str) -> str:
    """`ServiceInstances` as "service instances"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
