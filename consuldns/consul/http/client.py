"""Requests to one Consul agent: the only module that speaks HTTP to it.

Each request has a connection of its own while it runs, at most `connections` at a time. The path is
sent exactly as encoded here (httpx folds `..` in a URL, and a service may be named so), redirects
are never followed, and replies are bounded in size and in time.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import quote

import httpx
import msgspec

from consuldns.config.schema import ConsulSettings
from consuldns.consul.http.connection import Connection
from consuldns.consul.http.token import TokenSource
from consuldns.errors import (
    BadResponse,
    ConfigError,
    ConsulError,
    Denied,
    NoPathToDatacenter,
    NotFound,
    TooManyRequests,
    TransactionRefused,
    Unreachable,
)
from consuldns.untrusted import MAX_UINT64, Unreadable, read_as

MAX_BODY = 64 << 20  # octets; 100,000 checks are 40 MB
DEADLINE_SECONDS = 10.0  # above the 7 s that Consul waits for a leader before its error

NO_QUERY: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful reply. `index` is X-Consul-Index, 0 if there was none.

    Of a query that is followed: `is_missing` if it was 404, which is how the KV store says that
    there is nothing (no body then); `has_moved` if the index differs from the one before.
    """

    index: int
    body: bytes
    is_missing: bool = False
    has_moved: bool = True


@dataclass(frozen=True, slots=True)
class ClientStatistics:
    """`requests`: finished ones by (endpoint, outcome); an outcome is `ok` or a class of errors."""

    requests: Mapping[tuple[str, str], int]
    connections_open: int
    connections_busy: int


class Client:
    """Reads from and writes to Consul. Every failure is a ConsulError.

    Raises ConfigError if the address or a certificate cannot be used.
    """

    def __init__(self, settings: ConsulSettings, *, max_body: int = MAX_BODY) -> None:
        self._url = _base_url(settings.address)
        self._tls = _tls_context(settings) if self._url.scheme == "https" else None
        self._server_name = settings.tls_server_name
        self._token = TokenSource(settings)
        self._max_body = max_body
        self._free = asyncio.Semaphore(settings.connections)
        self._idle: list[Connection] = []
        self._is_closed = False
        self._busy = 0
        self._requests: Counter[tuple[str, str]] = Counter()
        self.settings = settings

    async def get(
        self,
        *path: str,
        query: Mapping[str, str] = NO_QUERY,
        deadline: float = DEADLINE_SECONDS,
    ) -> Reply:
        """Read. `path` in segments, as in ("v1", "catalog", "services"); `deadline` in seconds.

        A reply that Consul gave while it knew no leader raises Unreachable: without one nothing can
        have changed, but a server that has just been restarted may not have read its log yet.
        """
        return await self._request("GET", path, query, b"", deadline)

    async def put(
        self,
        *path: str,
        body: bytes = b"",
        query: Mapping[str, str] = NO_QUERY,
        deadline: float = DEADLINE_SECONDS,
    ) -> Reply:
        """Write. Whether a `cas` or `acquire` won is in the reply's body, `true` or `false`."""
        return await self._request("PUT", path, query, body, deadline)

    async def post(
        self,
        *path: str,
        body: bytes = b"",
        query: Mapping[str, str] = NO_QUERY,
        deadline: float = DEADLINE_SECONDS,
    ) -> Reply:
        """Ask a question that needs a body."""
        return await self._request("POST", path, query, body, deadline)

    async def delete(
        self,
        *path: str,
        query: Mapping[str, str] = NO_QUERY,
        deadline: float = DEADLINE_SECONDS,
    ) -> Reply:
        """Delete."""
        return await self._request("DELETE", path, query, b"", deadline)

    async def transaction(self, operations: Sequence[object]) -> Reply:
        """Apply all operations of /v1/txn, or none (TransactionRefused).

        At most 64 of them before Consul 1.14, and 512 KiB; Consul answers 413 beyond.
        """
        return await self.put("v1", "txn", body=msgspec.json.encode(operations))

    async def aclose(self) -> None:
        """Close the connections that no request is using, and the others after their request."""
        self._is_closed = True
        while self._idle:
            await self._idle.pop().aclose()

    def read_token_again(self) -> bool:
        """Read the token's file now; whether the token is another. Raises Denied."""
        return self._token.reread()

    @property
    def has_token(self) -> bool:
        """Whether requests carry a token."""
        return bool(self._token.current())

    def statistics(self) -> ClientStatistics:
        """What was asked so far."""
        return ClientStatistics(
            requests=dict(self._requests),
            connections_open=len(self._idle) + self._busy,
            connections_busy=self._busy,
        )

    async def _request(
        self,
        method: str,
        path: tuple[str, ...],
        query: Mapping[str, str],
        body: bytes,
        deadline: float,
    ) -> Reply:
        endpoint = "/".join(path[1:2] if path[1] == "kv" else path[1:3])
        target = encode_target(path, query)
        outcome = "cancelled"
        try:
            try:
                reply = await self._exchange(method, target, body, deadline)
            except Denied:
                if not self._token.reread():
                    raise
                reply = await self._exchange(method, target, body, deadline)
            outcome = "ok"
            return reply
        except ConsulError as error:
            outcome = type(error).__name__
            raise
        finally:
            self._requests[endpoint, outcome] += 1

    async def _exchange(self, method: str, target: bytes, body: bytes, deadline: float) -> Reply:
        try:
            async with asyncio.timeout(deadline), self._connection() as connection:
                request = self._prepare(method, target, body)
                response = await connection.handle_async_request(request)
                return _judge(method, response, await self._read_body(response))
        except TimeoutError as error:
            raise Unreachable(
                f"no answer from {self.settings.address} within {deadline:g} s"
            ) from error
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise Unreachable(f"no answer from {self.settings.address}: {reason}") from error

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """A connection for one request. One that failed is closed."""
        async with self._free:
            connection = (
                self._idle.pop() if self._idle else Connection(self._tls, self._server_name)
            )
            self._busy += 1
            try:
                yield connection
            except BaseException:
                await connection.aclose()
                raise
            finally:
                self._busy -= 1
            if self._is_closed:
                await connection.aclose()
            else:
                self._idle.append(connection)

    def _prepare(self, method: str, target: bytes, body: bytes) -> httpx.Request:
        # identity: Consul is near, and packing costs it and us more CPU than the octets are worth.
        headers = {"Accept-Encoding": "identity", "User-Agent": "consuldns"}
        token = self._token.current()
        if token:
            headers["X-Consul-Token"] = token
        return httpx.Request(
            method, self._url, headers=headers, content=body, extensions={"target": target}
        )

    async def _read_body(self, response: httpx.Response) -> bytes:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise BadResponse(
                f"{self.settings.address} packed a reply although it was asked not to"
            )
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._max_body:
                raise BadResponse(
                    f"a reply of {self.settings.address} is over {self._max_body} octets"
                )
        return bytes(body)


def encode_target(path: Sequence[str], query: Mapping[str, str]) -> bytes:
    """The request target. Each segment is encoded whole, so that none can become two.

    Raises BadResponse for a name that Consul's HTTP server would fold into another path (`..`, as a
    segment or between slashes): it cannot be asked for.
    """
    for segment in path:
        if any(part in (".", "..") for part in segment.split("/")):
            raise BadResponse(f"Consul cannot be asked for {segment!r}: it would fold that path")
    try:
        target = "/" + "/".join(quote(segment, safe="") for segment in path)
        if query:
            pairs = (
                f"{name}={quote(value, safe='')}" if value else name
                for name, value in query.items()
            )
            target += "?" + "&".join(pairs)
    except UnicodeEncodeError as error:
        raise BadResponse(f"Consul cannot be asked for {path[-1]!r}: not a Unicode text") from error
    return target.encode()


def _judge(method: str, response: httpx.Response, body: bytes) -> Reply:
    """The reply, or the error that its status and headers mean."""
    status, index = response.status_code, _index(response)
    text = body[:200].decode(errors="replace").strip()
    if status == 403:
        raise Denied(f"Consul denied the request ({text}): check the token and its policies")
    if response.headers.get("X-Consul-KnownLeader") == "false":
        raise Unreachable("Consul has no leader")
    if status == 404:
        if method == "GET" and not index:  # Consul's own has one (measured on 1.8.7)
            raise BadResponse(
                "404 without an index, which Consul's own has: is there a gateway in between, or a "
                f"path in the address? It says {text!r}"
            )
        raise NotFound(f"Consul has no such thing: {text or response.status_code}", index)
    if status == 409:
        raise TransactionRefused(_reasons(body))
    if status == 429:
        raise TooManyRequests(f"Consul refused for too many requests: {text}")
    if status == 500 and "No path to datacenter" in text:
        raise NoPathToDatacenter("Consul knows no path to that datacenter")
    if status != 200:
        raise BadResponse(f"Consul answered {status}: {text!r}")
    return Reply(index, body)


def _index(response: httpx.Response) -> int:
    text: str = response.headers.get("X-Consul-Index", "0")
    is_number = text.isascii() and text.isdigit() and len(text) <= 20
    if not is_number or int(text) > MAX_UINT64:
        raise BadResponse(f"X-Consul-Index is not a number of 64 bits: {text[:40]!r}")
    return int(text)


class _TransactionError(msgspec.Struct):
    operation: int = msgspec.field(name="OpIndex")
    what: str = msgspec.field(name="What")


class _TransactionErrors(msgspec.Struct):
    errors: list[_TransactionError] | None = msgspec.field(name="Errors", default=None)


def _reasons(body: bytes) -> tuple[tuple[int, str], ...]:
    try:
        errors = read_as(body, _TransactionErrors).errors or []
    except Unreadable as error:
        raise BadResponse(f"Consul answered 409 without reasons: {body[:100]!r}") from error
    return tuple((error.operation, error.what) for error in errors)


def _base_url(address: str) -> httpx.URL:
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise ConfigError(f"not a URL: {address!r}", where="consul.address") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError(
            f"not a URL of HTTP: {address!r}", where="consul.address", hint="http://127.0.0.1:8500"
        )
    return url


def _tls_context(settings: ConsulSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        if not settings.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if settings.client_certificate:
            context.load_cert_chain(settings.client_certificate, settings.client_key or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"a certificate cannot be used: {error}",
            where="consul",
            hint="ca_file, client_certificate and client_key are PEM files",
        ) from error
    return context
