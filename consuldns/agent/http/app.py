"""The application: all routes, unclean paths, refusals."""

import posixpath

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from consuldns.agent.http.agent import AgentEndpoints, ServerEndpoints
from consuldns.agent.http.catalog import CatalogEndpoints, HealthEndpoints
from consuldns.agent.http.exchange import Exchange, ReadRefused, index_headers
from consuldns.agent.http.kv import KVEndpoints
from consuldns.agent.http.queries import QueryEndpoints
from consuldns.agent.http.sessions import SessionEndpoints
from consuldns.agent.records import Refused
from consuldns.agent.state import State
from consuldns.agent.watching import Watching


def application(state: State, watching: Watching) -> Starlette:
    """The HTTP API over this state."""
    exchange = Exchange(state, watching)
    endpoints = (
        CatalogEndpoints(exchange),
        HealthEndpoints(exchange),
        KVEndpoints(exchange),
        SessionEndpoints(exchange),
        QueryEndpoints(exchange),
        AgentEndpoints(exchange),
        ServerEndpoints(exchange),
    )
    app = Starlette(
        routes=[route for each in endpoints for route in each.routes()],
        middleware=[Middleware(CleanPaths)],
        exception_handlers={Refused: _refused, HTTPException: _not_routed},
    )
    app.router.redirect_slashes = False
    return app


class CleanPaths:
    """Redirects a path with `//`, `.` or `..` to the clean one, as Consul's server does.

    The path is looked at after decoding, so `%2e%2e%2f` is `../` here as well. A client that puts
    names into paths without checking them finds out here as it would there.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Redirect, or go on."""
        clean = _clean(scope["path"])
        if clean == scope["path"]:
            await self._app(scope, receive, send)
        else:
            url = Request(scope).url.replace(scheme="", netloc="", path=clean)
            await RedirectResponse(str(url), 301)(scope, receive, send)


def _clean(path: str) -> str:
    if path == "/v1/kv":
        return "/v1/kv/"
    clean = posixpath.normpath("/" + path.lstrip("/"))
    return clean + "/" if path.endswith("/") and clean != "/" else clean


async def _refused(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    headers = index_headers(1, known_leader=False) if isinstance(refused, ReadRefused) else {}
    return Response(refused.text, refused.status, headers, media_type="text/plain")


async def _not_routed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = f"method {request.method} not allowed" if error.status_code == 405 else ""
    return Response(text, error.status_code, media_type="text/plain")
