"""`/v1/query`."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consuldns.agent.http import shapes
from consuldns.agent.http.exchange import MAX_BODY, Exchange, limited_body, read_json, reply
from consuldns.agent.queries import NOT_FOUND, QUERIES, Query
from consuldns.agent.records import Refused

_wanted = msgspec.json.Decoder(Query)


class QueryEndpoints:
    """Prepared queries."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._queries = exchange.state.queries

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/v1/query", self.list, methods=["GET"]),
            Route("/v1/query", self.create, methods=["POST"]),
            Route("/v1/query/{name:path}/execute", self.execute, methods=["GET"]),
            Route("/v1/query/{name:path}/explain", self.explain, methods=["GET"]),
            Route("/v1/query/{id:path}", self.get, methods=["GET"]),
            Route("/v1/query/{id:path}", self.update, methods=["PUT"]),
            Route("/v1/query/{id:path}", self.delete, methods=["DELETE"]),
        ]

    async def list(self, request: Request) -> Response:
        """GET: all definitions."""
        return await self._read(request, lambda: self._queries.all())

    async def get(self, request: Request) -> Response:
        """GET: a definition by id."""
        query = self._queries.get(str(request.path_params["id"]))
        if query is None:
            raise Refused(NOT_FOUND, 404)
        return await self._read(request, lambda: [query])

    async def _read(self, request: Request, body: object) -> Response:
        index = self._exchange.state.database.index_of
        assert callable(body)
        return await self._exchange.read(request, lambda: index(QUERIES), body)

    async def create(self, request: Request) -> Response:
        """POST: a new definition; its id."""
        wanted = await self._body(request)
        with self._exchange.state.change():
            query = self._queries.create(wanted)
        return reply(request, {"ID": query.id})

    async def update(self, request: Request) -> Response:
        """PUT: replace a definition."""
        wanted = await self._body(request)
        with self._exchange.state.change():
            self._queries.update(str(request.path_params["id"]), wanted)
        return Response()

    async def delete(self, request: Request) -> Response:
        """DELETE: a definition."""
        with self._exchange.state.change():
            self._queries.delete(str(request.path_params["id"]))
        return Response()

    async def _body(self, request: Request) -> Query:
        self._exchange.check_datacenter(request)
        return read_json(await limited_body(request, MAX_BODY), _wanted, "Request decode failed")

    async def execute(self, request: Request) -> Response:
        """GET: the instances that a query finds."""
        query = self._resolved(request)
        limit = request.query_params.get("limit", "")
        found = self._queries.execute(query)
        found = found[: int(limit)] if limit.isdecimal() and int(limit) else found
        body = {
            "Service": query.service.service,
            "Nodes": [shapes.health_entry(each) for each in found],
            "DNS": query.dns,
            "Datacenter": self._exchange.state.datacenter,
            "Failovers": 0,
        }
        return await self._result(request, body)

    async def explain(self, request: Request) -> Response:
        """GET: the definition that a name leads to, rendered."""
        return await self._result(request, {"Query": self._resolved(request)})

    async def _result(self, request: Request, body: dict[str, object]) -> Response:
        about = {"Index": 0, "LastContact": 0, "KnownLeader": True, "ConsistencyLevel": "leader"}
        return await self._exchange.read(request, lambda: 1, lambda: body | about)

    def _resolved(self, request: Request) -> Query:
        self._exchange.check_datacenter(request)
        query = self._queries.resolve(str(request.path_params["name"]))
        if query is None:
            raise Refused(NOT_FOUND, 404)
        return query
