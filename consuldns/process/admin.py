"""The admin endpoint: how the server is, for probes and people.

`/health` says that control is alive, whatever Consul does (a restart would only lose the views);
`/ready` is 200 when every worker answers from complete views, else 503 with a reason a line;
`/metrics` is Prometheus' text format.
"""

from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from consuldns.process.metrics import FiguresCollector, FiguresSource


class Status(FiguresSource, Protocol):
    """What the endpoint tells of."""

    def not_ready(self) -> list[str]:
        """Reasons why the server is not ready."""


def application(status: Status) -> Starlette:
    """The routes."""
    registry = CollectorRegistry()
    registry.register(FiguresCollector(status))

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
