"""The admin endpoint: how the server is, for probes and people.

`/health` says that control is alive, whatever Consul does (a restart would only lose the views);
`/ready` is 200 when every worker answers from complete views, else 503 with a reason a line;
`/metrics` is Prometheus' text format.
"""

from collections.abc import Iterable
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route


class Status(Protocol):
    """What the endpoint tells of."""

    def not_ready(self) -> list[str]:
        """Reasons why the server is not ready."""

    def counters(self) -> dict[str, int]:
        """Counters by name; they only grow."""


class _Counters(Collector):
    """The plain counters of the processes, as Prometheus wants them, at each scrape."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        """One metric for each counter."""
        for name, count in sorted(self._status.counters().items()):
            metric = CounterMetricFamily(f"consuldns_{name}", name.replace("_", " "))
            metric.add_metric([], count)
            yield metric


def application(status: Status) -> Starlette:
    """The routes."""
    registry = CollectorRegistry()
    registry.register(_Counters(status))

    def health(_request: Request) -> Response:
        return PlainTextResponse("OK\n")

    def ready(_request: Request) -> Response:
        reasons = status.not_ready()
        if reasons:
            return PlainTextResponse("".join(f"{each}\n" for each in reasons), status_code=503)
        return PlainTextResponse("OK\n")

    def metrics(_request: Request) -> Response:
        return PlainTextResponse(generate_latest(registry), media_type="text/plain; version=0.0.4")

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/ready", ready),
            Route("/metrics", metrics),
        ]
    )
