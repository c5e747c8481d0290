"""`docs/reference/metrics.md`, made of the metrics themselves.

python -m tests.meta.metrics_reference > docs/reference/metrics.md
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import SimpleNamespace

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric

from consuldns.process.metrics import FiguresCollector
from consuldns.process.sync_child import SyncFigures
from consuldns.sync.metrics import SyncCollector
from tests.process.test_metrics import figures

HEAD = """\
# Metrics

Every metric of `/metrics`, as Prometheus has it. This file is generated. No label has a value
that a client can choose; [Operations](../operations.md#metrics) says what the labels
of replies mean.
"""


def of_server() -> Iterable[Metric]:
    sync = SyncFigures(is_up=True, restarts=0, last_status=0, report=None)
    return FiguresCollector(lambda: replace(figures(), sync=sync)).collect()


def of_sync() -> Iterable[Metric]:
    return SyncCollector(SimpleNamespace(worker=None)).collect()


def of_process() -> Iterable[Metric]:
    return ProcessCollector(registry=CollectorRegistry()).collect()


def rows(metrics: Iterable[Metric]) -> Iterator[str]:
    yield "| metric | type | labels | meaning |"
    yield "| --- | --- | --- | --- |"
    for metric in sorted(metrics, key=lambda each: each.name):
        name = metric.name + ("_total" if metric.type == "counter" else "")
        labels = ", ".join(f"`{each}`" for each in _labels(metric))
        yield f"| `{name}` | {metric.type} | {labels} | {metric.documentation} |"


def _labels(metric: Metric) -> tuple[str, ...]:
    declared = getattr(metric, "_labelnames", ())
    return tuple(declared)


def document() -> str:
    parts = [
        ("The server", "", of_server()),
        (
            "The sync worker",
            "Of `consuldns sync run`, and of a server with `[sync] enabled`.\n\n",
            of_sync(),
        ),
        ("The control process", "Of the process that serves `/metrics`.\n\n", of_process()),
    ]
    text = HEAD
    for title, words, metrics in parts:
        text += f"\n## {title}\n\n{words}" + "\n".join(rows(metrics)) + "\n"
    return text


if __name__ == "__main__":
    print(document(), end="")
