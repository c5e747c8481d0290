"""List and watch over HTTP: what the API server says, as typed objects and typed errors.

A list is read in pages and is one consistent state; a watch is the lines that follow it. What to do
with either, and when to try again, is decided in `watch`. HTTP/1.1 on purpose: over HTTP/2 one
stuck connection would take every watch with it.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import httpx

from consuldns import untrusted
from consuldns.errors import ConfigError, KubernetesError
from consuldns.sync.kubernetes import errors
from consuldns.sync.kubernetes.access import Access
from consuldns.sync.kubernetes.objects import (
    Item,
    Kind,
    ListMetadata,
    Namespace,
    ObjectKey,
    Status,
    Versioned,
)
from consuldns.sync.kubernetes.unread import UnreadObjects, key_of
from consuldns.untrusted import Part, Unreadable, find

T = TypeVar("T")

PAGE = 500  # objects
CONNECT = 10.0  # seconds
READ = 60.0  # seconds until a list's next octets; an API server gives up after 60
LONGEST_WAIT = 300.0  # seconds that a server may make us wait
GRACE = 30.0  # seconds that a watch may be silent beyond the end that it was to have

# A peer that vanished without a word is noticed by the kernel within 30 s.
_KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", socket.TCP_KEEPINTVL), 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]


@dataclass(frozen=True)
class ListResult(Generic[Item]):
    """All objects of a kind, as of one resource version.

    `unread` are those that cannot be read, None for one whose name cannot.
    """

    objects: list[Item]
    version: str
    unread: frozenset[ObjectKey | None] = frozenset()

    def may_hold(self, key: ObjectKey) -> bool:
        """Whether the object may be one of those that cannot be read."""
        return key in self.unread or None in self.unread


@dataclass(frozen=True)
class WatchEvent(Generic[Item]):
    """An event of a watch: ADDED, MODIFIED or DELETED, with an object.

    Without one it is a BOOKMARK, nothing but a new version, or of our own: OPENED, the server has
    begun to answer; UNREAD, an object that cannot be read.
    """

    type: str
    version: str
    object: Item | None = None


class Client:
    """A client of one API server. Use as an asynchronous context manager.

    `access` is replaced by what its origin says when it is not taken any more.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        self.unread = UnreadObjects()
        self._client: httpx.AsyncClient | None = None
        self._made_for: object = None
        self._in_use: Counter[httpx.AsyncClient] = Counter()  # requests
        self._renewing = asyncio.Lock()
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.aclose()

    def read_again(self) -> None:
        """Read everything from its origin again, for the next request. Raises ConfigError."""
        self.access.credentials.forget()
        self.access = self.access.renewed()

    async def version(self) -> str:
        """The version of the API server, such as `v1.36.2`; `?` if we may not know it."""
        try:
            reply = _decode(await self._get("/version", {}), dict[str, object])
        except (errors.Forbidden, errors.UnknownResource):
            return "?"
        return str(reply.get("gitVersion", "?"))

    async def namespace(self, name: str) -> Namespace:
        """One namespace."""
        return _decode(await self._get(f"/api/v1/namespaces/{name}", {}), Namespace)

    async def list(
        self, kind: Kind[Item], label_selector: str = "", namespace: str = ""
    ) -> ListResult[Item]:
        """All objects of a kind, in a namespace or in all of them, in pages of 500.

        The version to watch from is that of the last page. Raises Gone if the history was lost
        between two pages: the list is to be begun again.
        """
        objects: list[Item] = []
        unread: set[ObjectKey | None] = set()
        parameters = {"limit": str(PAGE)}
        if label_selector:
            parameters["labelSelector"] = label_selector
        while True:
            page = _page(await self._get(kind.path(namespace), parameters))
            for item in page.items:
                try:
                    objects.append(untrusted.read_as(item, kind.type))
                except Unreadable as error:
                    unread.add(self._skip(kind, item, error))
            if not page.metadata.continue_:
                self.unread.were_read(kind.name, unread, namespace)
                return ListResult(objects, page.metadata.resource_version, frozenset(unread))
            parameters["continue"] = page.metadata.continue_

    def _skip(self, kind: Kind[Item], item: Part, error: Unreadable) -> ObjectKey | None:
        key = key_of(bytes(item))
        self.unread.skipped(kind.name, key, error)
        return key

    async def watch(
        self,
        kind: Kind[Item],
        version: str,
        *,
        seconds: int,
        silence: float,
        label_selector: str = "",
        namespace: str = "",
    ) -> AsyncGenerator[WatchEvent[Item], None]:
        """What happens to objects of a kind after a resource version.

        Ends when the server ends it, which it does after `seconds`; Unreachable after `silence`
        seconds without an octet. Raises Gone if the history since that version is lost. Events
        of types that this client does not know are left out.
        """
        parameters = {
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        if label_selector:
            parameters["labelSelector"] = label_selector
        async with self._request(kind.path(namespace), parameters, silence) as response:
            yield WatchEvent("OPENED", "")
            async for line in lines(response.aiter_bytes()):
                event = self._event(line, kind)
                if event is not None:
                    yield event

    def _event(self, line: bytes, kind: Kind[Item]) -> WatchEvent[Item] | None:
        type_, content = _split_event(line)
        if type_ == "ERROR":
            status = _status(content)
            raise _error(status.code, status.message, status.reason)
        version = _version(content)
        if type_ == "BOOKMARK":
            return WatchEvent(type_, version)
        if type_ not in ("ADDED", "MODIFIED", "DELETED"):
            return None
        try:
            return WatchEvent(type_, version, untrusted.read_as(content, kind.type))
        except Unreadable as error:
            self._skip(kind, content, error)
            if type_ == "DELETED":  # only a list tells now which
                raise errors.Gone(f"of {kind}, one that cannot be read was deleted") from error
            return WatchEvent("UNREAD", version)

    async def _get(self, path: str, parameters: dict[str, str]) -> bytes:
        async with self._request(path, parameters, READ) as response:
            return await response.aread()

    @contextlib.asynccontextmanager
    async def _request(
        self, path: str, parameters: dict[str, str], silence: float
    ) -> AsyncIterator[httpx.Response]:
        """A GET, its errors mapped; a 401 is tried once more with what the origin says then."""
        for attempt in (1, 2):
            access = self.access
            headers = await access.credentials.headers()
            try:
                async with (
                    self._connected(access) as client,
                    _sent(client, access, path, parameters, headers, silence) as response,
                ):
                    code = response.status_code
                    if code == 200:
                        yield response
                        return
                    problem = _problem(access, path, response, await response.aread())
            except httpx.HTTPError as error:
                await self._renew(access, headers if _is_tls(error) else None)
                said = str(error) or type(error).__name__
                raise errors.Unreachable(
                    f"the Kubernetes API at {access.url} cannot be reached: {said}. Does it run, "
                    f"and is this its address? It comes from {access.origin}"
                ) from error
            if code != 401 or attempt == 2:
                raise problem
            unread = await self._renew(access, headers)
            if unread is not None:
                raise errors.Unauthorized(f"{problem}; it cannot be read again: {unread}")

    async def _renew(self, used: Access, refused: Mapping[str, str] | None) -> ConfigError | None:
        """Read from the origin again what was used in vain; what is wrong with it, if anything.

        `refused`: the header fields that were not taken, None if they were not what is wrong. Of
        several requests that failed together, one renews.
        """
        async with self._renewing:
            if self.access is not used:
                return None
            try:
                self.access = await asyncio.to_thread(used.renewed)
                if self.access is not used or refused is None:
                    return None
                if refused == await used.credentials.headers():
                    used.credentials.forget()
            except ConfigError as error:
                return error
            return None

    @contextlib.asynccontextmanager
    async def _connected(self, access: Access) -> AsyncIterator[httpx.AsyncClient]:
        """The HTTP client; a new one if it must be connected otherwise than so far.

        The one before is closed when its last request has ended: what it watches goes on.
        """
        async with self._connecting:
            wanted = (
                access.url,
                access.authorities,
                access.verify,
                access.proxy,
                access.credentials.certificate(),
            )
            client = self._client
            if client is None or wanted != self._made_for:
                # Reading the system's authorities takes 20 ms: not on the loop's time.
                new = _http_client(access, await asyncio.to_thread(access.tls))
                self._client, self._made_for = new, wanted
                if client is not None and not self._in_use[client]:
                    await client.aclose()
                client = new
            self._in_use[client] += 1
        try:
            yield client
        finally:
            self._in_use[client] -= 1
            if not self._in_use[client]:
                del self._in_use[client]
                if client is not self._client:
                    await client.aclose()


@contextlib.asynccontextmanager
async def _sent(
    client: httpx.AsyncClient,
    access: Access,
    path: str,
    parameters: Mapping[str, str],
    headers: Mapping[str, str],
    silence: float,
) -> AsyncIterator[httpx.Response]:
    try:
        request = client.build_request(
            "GET",
            path,
            params=parameters,
            headers=headers,
            timeout=httpx.Timeout(CONNECT, read=silence),
            extensions={"sni_hostname": access.server_name} if access.server_name else {},
        )
    except UnicodeEncodeError as error:
        raise ConfigError("the credentials are not ASCII", where=access.origin) from error
    response = await client.send(request, stream=True)
    try:
        yield response
    finally:
        await response.aclose()


def _http_client(access: Access, tls: ssl.SSLContext) -> httpx.AsyncClient:
    headers = {
        "User-Agent": "consuldns-sync",
        "Accept": "application/json",
        "Accept-Encoding": "identity",  # a compressed watch holds events back
    }
    try:
        transport = httpx.AsyncHTTPTransport(
            verify=tls,
            proxy=httpx.Proxy(access.proxy) if access.proxy else None,
            limits=httpx.Limits(max_connections=None),  # a watch of each kind in each namespace
            socket_options=_KEEPALIVE,
        )
        return httpx.AsyncClient(base_url=access.url, transport=transport, headers=headers)
    except (httpx.InvalidURL, ValueError) as error:
        raise ConfigError(f"not a URL that can be used: {error}", where=access.origin) from error


def _is_tls(error: BaseException | None) -> bool:
    """Whether it was TLS that failed, such as by a certificate that has expired."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    r"""The lines of a stream of octets, split on `\n` only; what follows the last one is dropped.

    Text iterators also split at U+0085 and U+2028, which are legal inside of JSON strings. A line
    may be of any length (an object has up to 1.5 MB), and one that was cut short is no event.
    """
    parts: list[bytes] = []
    async for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            parts.append(line)
            complete = b"".join(parts)
            parts.clear()
            if complete.strip():
                yield complete
        if rest:
            parts.append(rest)


@dataclass(frozen=True)
class _Page:
    """One page of a list; the items are read by kind."""

    metadata: ListMetadata
    items: Sequence[Part]


def _decode(content: Part, kind: type[T]) -> T:
    with _understanding(kind.__name__):
        return untrusted.read_as(content, kind)


@contextlib.contextmanager
def _understanding(what: str) -> Iterator[None]:
    try:
        yield
    except Unreadable as error:
        raise errors.BadResponse(f"the Kubernetes API did not send a {what}: {error}") from error


def _page(content: bytes) -> _Page:
    """A page. Anything else, such as the JSON of a gateway, must not look like an empty list."""
    with _understanding("list"):
        parts = untrusted.split_object(content)
        metadata = untrusted.read_as(parts.get("metadata", b"{}"), ListMetadata)
        if not metadata.resource_version or "items" not in parts:
            raise Unreadable("it has no resourceVersion, or no items")
        return _Page(metadata, untrusted.split_list(parts["items"]))


def _split_event(line: bytes) -> tuple[str, Part]:
    """Type and object of a line of a watch."""
    with _understanding("watch event"):
        parts = untrusted.split_object(line)
        return untrusted.read_as(parts.get("type", b"null"), str), parts.get("object", b"{}")


def _version(content: Part) -> str:
    try:
        return untrusted.read_as(content, Versioned).metadata.resource_version
    except Unreadable:
        return find(bytes(content), "metadata", "resourceVersion")


def _status(content: Part) -> Status:
    try:
        return untrusted.read_as(content, Status)
    except Unreadable:
        return Status(message=bytes(content)[:200].decode(errors="replace"))


_REMEDIES = {
    401: "the credentials of {origin} are not accepted. Renew them there: they are read again",
    403: "the rights that the worker needs are listed in docs/kubernetes.md",
    404: "is this the URL of a Kubernetes API, or one that does not serve this? It comes from "
    "{origin}",
}


def _problem(access: Access, path: str, response: httpx.Response, body: bytes) -> KubernetesError:
    """The error that a response with another status than 200 is."""
    code = response.status_code
    status = _status(body)
    after = response.headers.get("retry-after", "")
    remedy = _REMEDIES.get(code, "").format(origin=access.origin)
    said = "; ".join(filter(None, (status.message, remedy)))
    wait = min(float(after), LONGEST_WAIT) if after.isascii() and after.isdecimal() else 0.0
    return _error(code, said, status.reason, wait, f"{access.url}{path}")


def _error(
    code: int, message: str, reason: str, retry_after: float = 0.0, where: str = "Kubernetes API"
) -> KubernetesError:
    """The error that a status means, whether it came as such or as an event."""
    text = f"{where}: {code} {reason}: {message}"
    if code == 410 or reason in ("Expired", "Gone"):
        return errors.Gone(text)
    if code == 504:
        return errors.StaleServer(text)
    if code in (429, 503):
        return errors.Throttled(text, retry_after)
    by_code = {401: errors.Unauthorized, 403: errors.Forbidden, 404: errors.UnknownResource}
    return by_code.get(code, errors.BadResponse)(text)
