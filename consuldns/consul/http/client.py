"""Requests to one Consul agent: the only module that speaks HTTP to it.

The path is sent exactly as encoded here, redirects are never followed, and replies are bounded in
size and in time. Connections are the pool's (`pool.py`).
"""

import asyncio
import ipaddress
import logging
import re
import ssl
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import msgspec

from consuldns.config.schema import ConsulSettings
from consuldns.consul.http import replies
from consuldns.consul.http.connection import Address, Response
from consuldns.consul.http.pool import ConnectionPool
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
from consuldns.untrusted import MAX_UINT64

_log = logging.getLogger(__name__)

MAX_BODY = 64 << 20  # bytes; 100,000 checks are 40 MB
DEADLINE_SECONDS = 10.0  # above the 7 s that Consul waits for a leader before its error

NO_QUERY: Mapping[str, str] = {}
QUERY_NOT_FOUND = "Query not found"


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful reply. `index` is X-Consul-Index, 0 if there was none.

    Of a query that is followed: `is_missing` if it was 404, which is how the KV store says that
    there is nothing (no body then); `has_moved` if the index differs from the one before.
    `last_contact`: seconds since the server that answered heard of the leader.
    """

    index: int
    body: bytes
    is_missing: bool = False
    has_moved: bool = True
    last_contact: float = 0.0


@dataclass(frozen=True, slots=True)
class ClientStatistics:
    """`requests`: finished ones by (endpoint, outcome); an outcome is `ok` or a class of errors."""

    requests: Mapping[tuple[str, str], int]
    connections_open: int
    connections_busy: int


@dataclass(frozen=True, slots=True)
class Staleness:
    """`allow_stale` and `max_stale` of Consul's dns_config; the latter in seconds."""

    allowed: bool = True
    most: float = float("inf")


class Client:
    """Reads from and writes to Consul. Every failure is a ConsulError.

    Raises ConfigError if the address or a certificate cannot be used.
    """

    def __init__(self, settings: ConsulSettings, *, max_body: int = MAX_BODY) -> None:
        address, self.host = _address(settings)
        self._pool = ConnectionPool(address, settings.connections)
        self._token = TokenSource(settings)
        auth = settings.http_auth.reveal()
        auth += "" if not auth or ":" in auth else ":"
        self._basic_auth = b"Basic " + b64encode(auth.encode()) if auth else b""
        tenancy = {"ns": settings.namespace, "partition": settings.partition}
        self._tenancy = {name: value for name, value in tenancy.items() if value}
        self._max_body = max_body
        self._requests: Counter[tuple[str, str]] = Counter()
        self.settings = settings
        self.staleness = Staleness()
        self.is_sorted = False  # instances that are read, the nearest to the agent first

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
        await self._pool.aclose()

    def read_credentials_again(self) -> bool:
        """Read the token's file and the certificates now; whether the token is another.

        Raises Denied or ConfigError if one cannot be used; then both are as they were.
        """
        address, _ = _address(self.settings)
        is_new = self._token.reread()
        if address.tls is not None:
            self._pool.reconnect(address)
        return is_new

    @property
    def is_encrypted(self) -> bool:
        """Whether Consul is asked over TLS."""
        return self._pool.address.tls is not None

    @property
    def has_token(self) -> bool:
        """Whether requests carry a token."""
        return bool(self._token.current())

    def statistics(self) -> ClientStatistics:
        """What was asked so far."""
        return ClientStatistics(
            requests=dict(self._requests),
            connections_open=self._pool.open,
            connections_busy=self._pool.busy,
        )

    async def _request(
        self,
        method: str,
        path: tuple[str, ...],
        query: Mapping[str, str],
        body: bytes,
        deadline: float,
    ) -> Reply:
        endpoint = _endpoint(path)
        target = encode_target(path, {**self._tenancy, **query})
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
        said, started = "gave up", time.monotonic()
        try:
            async with asyncio.timeout(deadline):
                response = await self._pool.exchange(
                    method.encode(), target, self._headers(method, body), body, self._max_body
                )
            said = f"{response.status}, {len(response.body)} bytes"
        except TimeoutError as error:
            raise Unreachable(
                f"no answer from {self.settings.address} within {deadline:g} s"
            ) from error
        except Unreachable as error:
            raise Unreachable(f"no answer from {self.settings.address}: {error}") from error
        finally:
            if _log.isEnabledFor(logging.DEBUG):
                spent = (time.monotonic() - started) * 1e3
                _log.debug("%s %s: %s, %.1f ms", method, target.decode(), said, spent)
        return _judge(method, response)

    def _headers(self, method: str, body: bytes) -> list[tuple[bytes, bytes]]:
        # identity: Consul is near, and packing costs it and us more CPU than the bytes are worth.
        headers = [
            (b"Host", self.host),
            (b"Accept-Encoding", b"identity"),
            (b"User-Agent", b"consuldns"),
        ]
        if body or method in ("PUT", "POST"):
            headers.append((b"Content-Length", b"%d" % len(body)))
        token = self._token.current()
        if token:
            headers.append((b"X-Consul-Token", token.encode()))
        if self._basic_auth:
            headers.append((b"Authorization", self._basic_auth))
        return headers


def _endpoint(path: tuple[str, ...]) -> str:
    """The part of a path that is not a name: what requests are counted by."""
    if path[1] == "query":
        return "query/execute" if path[-1] == "execute" else "query"
    return path[1] if path[1] == "kv" else "/".join(path[1:3])


def encode_target(path: Sequence[str], query: Mapping[str, str]) -> bytes:
    """The request target. Each segment is encoded whole, so that none can become two.

    Raises BadResponse for a name that Consul's HTTP server would fold into another path (`..`, as a
    segment or between slashes): it cannot be asked for.
    """
    for segment in path:
        if any(part in (".", "..") for part in segment.split("/")):
            raise BadResponse(
                f"cannot request {segment!r} from Consul: it would normalise that path"
            )
    try:
        target = "/" + "/".join(quote(segment, safe="") for segment in path)
        if query:
            pairs = (
                f"{name}={quote(value, safe='')}" if value else name
                for name, value in query.items()
            )
            target += "?" + "&".join(pairs)
    except UnicodeEncodeError as error:
        raise BadResponse(f"cannot request {path[-1]!r} from Consul: not valid Unicode") from error
    return target.encode()


def _judge(method: str, response: Response) -> Reply:
    """The reply, or the error that its status and headers mean."""
    status, body, index = response.status, response.body, _index(response)
    if response.headers.get(b"content-encoding", b"identity") != b"identity":
        raise BadResponse("Consul sent a compressed response, which was not accepted")
    text = body[:200].decode(errors="replace").strip()
    if status == 403:
        raise Denied(f"Consul denied the request ({text}): check the token and its policies")
    if _is_leaderless(response, text):
        raise Unreachable("Consul has no leader")
    if status == 404:
        # Consul's own has an index (measured on 1.8.7), but of prepared queries.
        if method == "GET" and not index and text != QUERY_NOT_FOUND:
            raise BadResponse(
                "404 without an index, which Consul's own has: is there a gateway in between, or a "
                f"path in the address? It says {text!r}",
                status,
            )
        raise NotFound(f"not found in Consul: {text or status}", index)
    if status == 409:
        raise TransactionRefused(replies.transaction_errors(body))
    if status == 429:
        raise TooManyRequests(
            f"Consul refused the request, too many requests or connections: {text}"
        )
    if status == 500 and "No path to datacenter" in text:
        raise NoPathToDatacenter("Consul has no path to that datacenter")
    if status != 200:
        raise BadResponse(f"Consul answered {status}: {text!r}", status)
    return Reply(index, body, last_contact=_last_contact(response))


def _is_leaderless(response: Response, text: str) -> bool:
    """Whether nobody knows if this is still so.

    Newer versions (1.16 does) send this header with every error, and with everything that an agent
    has from its streams (blocking queries about services, from 1.10 on): there it says nothing.
    """
    if response.status not in (200, 404) or text == QUERY_NOT_FOUND:
        return False
    if response.headers.get(b"x-consul-query-backend") == b"streaming":
        return False
    return response.headers.get(b"x-consul-knownleader") == b"false"


def _last_contact(response: Response) -> float:
    """Seconds; 0 from a leader, and without the header (streaming has none, from 1.10 on)."""
    text = response.headers.get(b"x-consul-lastcontact", b"0")
    return int(text) / 1000 if text.isdigit() and len(text) < 20 else 0.0


def _index(response: Response) -> int:
    text = response.headers.get(b"x-consul-index", b"0")
    is_number = text.isdigit() and len(text) <= 20
    if not is_number or int(text) > MAX_UINT64:
        shown = text[:40].decode("latin-1")
        raise BadResponse(f"X-Consul-Index is not a number of 64 bits: {shown!r}")
    return int(text)


_HOST_NAME = re.compile(r"[A-Za-z0-9_.-]{1,253}")


def _address(settings: ConsulSettings) -> tuple[Address, bytes]:
    """Where to connect to, and the Host header."""
    if settings.address.startswith("unix://"):
        return Address("localhost", 0, path=settings.address.removeprefix("unix://")), b"localhost"
    try:
        url = urlsplit(settings.address)
        host, port = url.hostname or "", url.port
        if url.scheme not in ("http", "https") or not host:
            raise ValueError("it does not begin with http:// or https:// and a host")
        if not host.isascii():
            host = host.encode("idna").decode()
        if not _HOST_NAME.fullmatch(host):
            ipaddress.ip_address(host)
    except ValueError as error:
        raise ConfigError(
            f"not an HTTP URL: {settings.address!r}: {error}",
            where="consul.address",
            hint="http://127.0.0.1:8500",
        ) from error
    tls = _tls_context(settings) if url.scheme == "https" else None
    default = 443 if tls else 80
    shown = f"[{host}]" if ":" in host else host
    header = shown if port in (None, default) else f"{shown}:{port}"
    return Address(host, port or default, tls, settings.tls_server_name), header.encode()


def _tls_context(settings: ConsulSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(
            cafile=settings.ca_file or None, capath=settings.ca_path or None
        )
        if not settings.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if settings.client_certificate:
            context.load_cert_chain(settings.client_certificate, settings.client_key or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"a certificate cannot be used: {error}",
            where="consul",
            hint="ca_file, client_certificate and client_key are PEM files; ca_path has such files",
        ) from error
    return context
