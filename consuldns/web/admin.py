"""The admin endpoint of a process: its state, for probes and operators.

`/health` says that the process is alive, whatever Consul does (a restart would only lose what it
knows); `/ready` is 200 when nothing is missing, else 503 with a reason a line; notes follow in
either case, which change nothing in that; `/metrics` is Prometheus' text format; `/explain` says
how a name is answered (`?name=web.service.consul&type=SRV`), from the data that the server has; `/`
is the status page. The sync worker's own endpoint has neither of the last two.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from consuldns.errors import ConsulError
from consuldns.web import status_page
from consuldns.web.status_page import Explained, Page

CONNECTIONS = 100  # at once; probes and scrapers need a handful


class Status(Protocol):
    """What the endpoint reports."""

    def not_ready(self) -> list[str]:
        """Reasons why the server is not ready."""

    def notes(self) -> list[str]:
        """What else there is to say, without being a reason."""


class Server(Status, Protocol):
    """What the endpoint of a server reports besides."""

    def page(self) -> Page:
        """The figures for the status page."""

    async def explain(self, name: str, type_: str) -> str:
        """How a name and a type are answered, as lines. Raises ValueError, or ConsulError."""


def application(
    status: Status,
    collector: Collector,
    further_metrics: Callable[[], str] = str,
    further_routes: Sequence[Route] = (),
) -> Starlette:
    """The routes; `collector` makes the metrics at each scrape, to which further ones are added."""
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)

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

    routes = [
        Route("/health", health),
        Route("/ready", ready),
        Route("/metrics", metrics),
    ]
    return Starlette(routes=[*routes, *further_routes])


def server_routes(server: Server) -> list[Route]:
    """What only a server has: `/explain`, and the status page."""

    async def explained(request: Request) -> Response:
        name, type_ = _asked(request)
        status, text = await _explain(server, name, type_)
        return PlainTextResponse(text, status)

    async def page(request: Request) -> Response:
        name, type_ = _asked(request)
        text = (await _explain(server, name, type_))[1] if name else ""
        html = status_page.render(server.page(), Explained(name, type_, text))
        return HTMLResponse(html, headers=status_page.HEADERS)

    async def style(_request: Request) -> Response:
        return Response(status_page.STYLE, media_type="text/css", headers=status_page.HEADERS)

    async def script(_request: Request) -> Response:
        return Response(
            status_page.SCRIPT, media_type="text/javascript", headers=status_page.HEADERS
        )

    return [
        Route("/explain", explained),
        Route("/", page),
        Route("/status.css", style),
        Route("/status.js", script),
    ]


def _asked(request: Request) -> tuple[str, str]:
    parameters = request.query_params
    return parameters.get("name", "").strip(), parameters.get("type", "A")


async def _explain(server: Server, name: str, type_: str) -> tuple[int, str]:
    """The status of HTTP, and the text."""
    try:
        return 200, await server.explain(name, type_)
    except ValueError as error:
        return 400, f"{error}\n"
    except ConsulError as error:
        return 503, f"{error}\n"
