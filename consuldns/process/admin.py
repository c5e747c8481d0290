"""The admin endpoint of a process: how it is, for probes and people.

`/health` says that the process is alive, whatever Consul does (a restart would only lose what it
knows); `/ready` is 200 when nothing is missing, else 503 with a reason a line; `/metrics` is
Prometheus' text format.
"""

from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route


class Status(Protocol):
    """What the endpoint tells of."""

    def not_ready(self) -> list[str]:
        """Reasons why the server is not ready."""


def application(status: Status, collector: Collector) -> Starlette:
    """The routes; `collector` makes the metrics at each scrape."""
    registry = CollectorRegistry()
    registry.register(collector)

    async def health(_request: Request) -> Response:
        return PlainTextResponse("OK\n")

    async def ready(_request: Request) -> Response:
        reasons = status.not_ready()
        if reasons:
            return PlainTextResponse("".join(f"{each}\n" for each in reasons), status_code=503)
        return PlainTextResponse("OK\n")

    async def metrics(_request: Request) -> Response:
        return PlainTextResponse(generate_latest(registry), media_type="text/plain; version=0.0.4")

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/ready", ready),
            Route("/metrics", metrics),
        ]
    )
