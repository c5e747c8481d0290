"""`/v1/session`."""

from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consuldns.agent.http import shapes
from consuldns.agent.http.exchange import MAX_BODY, Exchange, limited_body, named, read_json, reply
from consuldns.agent.records import Refused, Session
from consuldns.agent.sessions import SESSIONS, SessionRequest

_wanted = msgspec.json.Decoder(SessionRequest)


class SessionEndpoints:
    """Sessions, which hold locks."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._sessions = exchange.state.sessions

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/v1/session/create", self.create, methods=["PUT"]),
            Route("/v1/session/destroy/{id:path}", self.destroy, methods=["PUT"]),
            Route("/v1/session/renew/{id:path}", self.renew, methods=["PUT"]),
            Route("/v1/session/info/{id:path}", self.info),
            Route("/v1/session/node/{name:path}", self.of_node),
            Route("/v1/session/list", self.list),
        ]

    async def create(self, request: Request) -> Response:
        """PUT: a new session; its id."""
        self._exchange.check_datacenter(request)
        body = await limited_body(request, MAX_BODY)
        wanted = read_json(body, _wanted, "Request decode failed") if body else SessionRequest()
        with self._exchange.state.change():
            session = self._sessions.create(wanted, self._exchange.state.node)
        return reply(request, {"ID": session.id})

    async def destroy(self, request: Request) -> Response:
        """PUT: end a session."""
        with self._exchange.state.change():
            self._sessions.destroy(_id(request))
        return reply(request, True)

    async def renew(self, request: Request) -> Response:
        """PUT: let the TTL of a session begin anew."""
        session = self._sessions.renew(_id(request))
        if session is None:
            raise Refused(f"Session id '{_id(request)}' not found", 404)
        return reply(request, [shapes.session(session)])

    async def info(self, request: Request) -> Response:
        """GET: a session, in a list that is empty if there is none."""
        id_ = _id(request)
        self._sessions.get(id_)  # refuses what is no UUID
        return await self._read(request, lambda session: session.id == id_)

    async def of_node(self, request: Request) -> Response:
        """GET: the sessions of a node."""
        node = named(request, "node name")
        return await self._read(request, lambda session: session.node.lower() == node)

    async def list(self, request: Request) -> Response:
        """GET: all sessions."""
        return await self._read(request, lambda session: True)

    async def _read(self, request: Request, wanted: Callable[[Session], bool]) -> Response:
        return await self._exchange.read(
            request,
            lambda: self._exchange.state.database.index_of(SESSIONS),
            lambda: [shapes.session(each) for each in self._sessions.all() if wanted(each)],
        )


def _id(request: Request) -> str:
    id_ = str(request.path_params["id"])
    if not id_:
        raise Refused("Missing session", 400)
    return id_
