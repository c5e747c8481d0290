"""`/v1/kv` and `/v1/txn`."""

from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consuldns.agent import txn
from consuldns.agent.http import shapes
from consuldns.agent.http.exchange import Exchange, limited_body, read_json, reply, unsigned
from consuldns.agent.kv import MAX_VALUE
from consuldns.agent.records import Entry, Refused

Operations = msgspec.json.Decoder(list[txn.Operation])


class KVEndpoints:
    """The KV store, key by key and in transactions."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._kv = exchange.state.kv

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/v1/kv/{key:path}", self.get),
            Route("/v1/kv/{key:path}", self.put, methods=["PUT"]),
            Route("/v1/kv/{key:path}", self.delete, methods=["DELETE"]),
            Route("/v1/txn", self.transaction, methods=["PUT"]),
        ]

    async def get(self, request: Request) -> Response:
        """GET: a key, or with `?recurse` or `?keys` what begins so; 404 if there is nothing."""
        key: str = request.path_params["key"]
        query = request.query_params
        if "keys" in query:
            separator = query.get("separator", "")
            return await self._exchange.read(
                request,
                lambda: self._kv.index_under(key),
                lambda: self._kv.keys(key, separator) or None,
                none_is_404=True,
            )
        if "recurse" in query:
            return await self._exchange.read(
                request,
                lambda: self._kv.index_under(key),
                lambda: [shapes.entry(each) for each in self._kv.under(key)] or None,
                none_is_404=True,
            )
        _require(key)
        if "raw" in query:
            return await self._raw(request, key)
        return await self._exchange.read(
            request,
            lambda: self._kv.index_of(key),
            lambda: [shapes.entry(each)] if (each := self._kv.get(key)) else None,
            none_is_404=True,
        )

    async def _raw(self, request: Request, key: str) -> Response:
        headers = await self._exchange.wait(request, lambda: self._kv.index_of(key))
        entry = self._kv.get(key)
        if entry is None:
            return Response(status_code=404, headers=headers)
        # A browser must not take somebody's value for a page of this agent.
        headers |= {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
        headers["Content-Type"] = "text/plain"
        return Response(entry.value or b"", headers=headers)

    async def put(self, request: Request) -> Response:
        """PUT: write a value; `?cas=`, `?acquire=`, `?release=`, `?flags=`. Says whether it did."""
        self._exchange.check_datacenter(request)
        key, query = request.path_params["key"], request.query_params
        _require(key)
        _refuse_conflicts(request, ("cas", "acquire", "release"))
        flags = unsigned(query["flags"]) if "flags" in query else 0
        index = unsigned(query["cas"]) if "cas" in query else 0
        session = query.get("acquire") or query.get("release") or ""
        value = await limited_body(request, MAX_VALUE, "kv_max_value_size")
        entry = Entry(key=key, flags=flags, value=value, session=session, modify_index=index)
        with self._exchange.state.change():
            if "acquire" in query:
                written = self._lock(entry)
            elif "release" in query:
                written = self._kv.unlock(entry)
            elif "cas" in query:
                written = self._kv.cas(entry)
            else:
                written = self._kv.set(entry)
        return reply(request, written is not None)

    def _lock(self, entry: Entry) -> Entry | None:
        if entry.session and self._kv.is_delayed(entry.key):
            return None
        self._exchange.state.sessions.require(entry.session)
        return self._kv.lock(entry)

    async def delete(self, request: Request) -> Response:
        """DELETE: a key, or with `?recurse` all that begin so; `?cas=`. Says whether it did."""
        self._exchange.check_datacenter(request)
        key, query = request.path_params["key"], request.query_params
        _refuse_conflicts(request, ("recurse", "cas"))
        index = unsigned(query["cas"]) if "cas" in query else None
        if "recurse" not in query:
            _require(key)
        done = True
        with self._exchange.state.change():
            if "recurse" in query:
                self._kv.delete_tree(key)
            elif index is None:
                self._kv.delete(key)
            else:
                # Index 0 says "if it does not exist", so that it deletes nothing.
                done = index > 0 and self._kv.delete_cas(key, index)
        return reply(request, done)

    async def transaction(self, request: Request) -> Response:
        """PUT: operations; 409 with all the errors if one of them cannot be done."""
        self._exchange.check_datacenter(request)
        body = await limited_body(request, txn.MAX_BODY, "txn_max_req_len")
        operations = read_json(body, Operations, "Failed to parse body")
        count = len(operations)
        if count > txn.MAX_OPERATIONS:
            bounds = f"({count} > {txn.MAX_OPERATIONS})"
            raise Refused(f"Transaction contains too many operations {bounds}", 413)
        results: list[shapes.JSON] | None = None
        errors: list[shapes.JSON] | None = None
        try:
            done = txn.run(self._exchange.state, operations)
            results = [shapes.transaction_result(each) for each in done]
        except txn.TransactionFailed as failed:
            errors = [{"OpIndex": index, "What": what} for index, what in failed.errors]
        content: shapes.JSON = {"Results": results, "Errors": errors}
        headers = {}
        if not any(operation.writes for operation in operations):
            # Consul answers reads like any read, but without an index to wait for.
            headers = {"X-Consul-KnownLeader": "true", "X-Consul-LastContact": "0"}
            content |= {"Index": 0, "LastContact": 0, "KnownLeader": True, "ConsistencyLevel": ""}
        return reply(request, content, status=200 if errors is None else 409, headers=headers)


def _require(key: str) -> None:
    if not key:
        raise Refused("Missing key name", 400)


def _refuse_conflicts(request: Request, flags: tuple[str, ...]) -> None:
    if sum(flag in request.query_params for flag in flags) > 1:
        query = urlencode(sorted(request.query_params.multi_items()))
        raise Refused(f"Conflicting flags: {query}", 400)
