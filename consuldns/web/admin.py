"""The admin endpoint of a process: its state, for probes and operators.

`/health` says that the process is alive, whatever Consul does (a restart would only lose what it
knows); `/ready` is 200 when nothing is missing, else 503 with a reason a line; notes follow in
either case, which change nothing in that; `/metrics` is Prometheus' text format; `/explain` says
how a name is answered (`?name=web.service.consul&type=SRV`), from the data that the server has.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from consuldns.errors import ConsulError

CONNECTIONS = 100  # at once; probes and scrapers need a handful


class Status(Protocol):
    """What the endpoint reports."""

    def not_ready(self) -> list[str]:
        """Reasons why the server is not ready."""

    def notes(self) -> list[str]:
        """What else there is to say, without being a reason."""


Explain = Callable[[str, str], Awaitable[str]]
"""How a name and a type are answered, as lines. Raises ValueError, or ConsulError."""


def application(
    status: Status,
    collector: Collector,
    further_metrics: Callable[[], str] = str,
    explain: Explain | None = None,
) -> Starlette:
    """The routes; `collector` makes the metrics at each scrape, to which further ones are added."""
    registry = CollectorRegistry()
    registry.register(collector)

    async def health(_request: Request) -> Response:
        return PlainTextResponse("OK\n")

    async def ready(_request: Request) -> Response:
        reasons = status.not_ready()
        lines = [*(reasons or ["OK"]), *status.notes()]
        text = "".join(f"{each}\n" for each in lines)
        return PlainTextResponse(text, status_code=503 if reasons else 200)

    async def metrics(_request: Request) -> Response:
        text = generate_latest(registry) + further_metrics().encode()
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def explained(request: Request) -> Response:
        assert explain is not None
        name = request.query_params.get("name", "")
        try:
            text = await explain(name, request.query_params.get("type", "A"))
        except ValueError as error:
            return PlainTextResponse(f"{error}\n", status_code=400)
        except ConsulError as error:
            return PlainTextResponse(f"{error}\n", status_code=503)
        return PlainTextResponse(text)

    routes = [
        Route("/health", health),
        Route("/ready", ready),
        Route("/metrics", metrics),
    ]
    if explain is not None:
        routes.append(Route("/explain", explained))
    return Starlette(routes=routes)
