"""List and watch over HTTP: what the API server says, as typed objects and typed errors.

A list is read in pages and is one consistent state; a watch is the lines that follow it. What to do
with either, and when to try again, is decided in `reflector`.
"""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from consuldns import untrusted
from consuldns.sync.kubernetes import errors
from consuldns.sync.kubernetes.access import Access
from consuldns.sync.kubernetes.connection import APIConnection, error_of, read_status
from consuldns.sync.kubernetes.objects import (
    Item,
    ListMetadata,
    Namespace,
    ObjectKey,
    ResourceKind,
    Versioned,
)
from consuldns.sync.kubernetes.unread import UnreadObjects, key_of
from consuldns.untrusted import Part, Unreadable, find

T = TypeVar("T")

PAGE = 500  # objects
READ = 60.0  # seconds until a list's next bytes; an API server gives up after 60
GRACE = 30.0  # seconds that a watch may be silent beyond the end that it was to have


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


class KubernetesClient:
    """A client of one API server. Use as an asynchronous context manager."""

    def __init__(self, access: Access) -> None:
        self.unread = UnreadObjects()
        self._connection = APIConnection(access)

    async def __aenter__(self) -> "KubernetesClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.aclose()

    @property
    def access(self) -> Access:
        """How the server is reached now."""
        return self._connection.access

    def read_again(self) -> None:
        """Read everything from its origin again, for the next request. Raises ConfigError."""
        self._connection.read_again()

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
        self, kind: ResourceKind[Item], label_selector: str = "", namespace: str = ""
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

    def _skip(self, kind: ResourceKind[Item], item: Part, error: Unreadable) -> ObjectKey | None:
        key = key_of(bytes(item))
        self.unread.skipped(kind.name, key, error)
        return key

    async def watch(
        self,
        kind: ResourceKind[Item],
        version: str,
        *,
        seconds: int,
        silence: float,
        label_selector: str = "",
        namespace: str = "",
    ) -> AsyncGenerator[WatchEvent[Item], None]:
        """What happens to objects of a kind after a resource version.

        Ends when the server ends it, which it does after `seconds`; Unreachable after `silence`
        seconds without a byte. Raises Gone if the history since that version is lost. Events
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
        async with self._connection.request(kind.path(namespace), parameters, silence) as response:
            yield WatchEvent("OPENED", "")
            async for line in lines(response.aiter_bytes()):
                event = self._event(line, kind)
                if event is not None:
                    yield event

    def _event(self, line: bytes, kind: ResourceKind[Item]) -> WatchEvent[Item] | None:
        type_, content = _split_event(line)
        if type_ == "ERROR":
            status = read_status(content)
            raise error_of(status.code, status.message, status.reason)
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
                raise errors.Gone(f"of {kind}, one that cannot be decoded was deleted") from error
            return WatchEvent("UNREAD", version)

    async def _get(self, path: str, parameters: dict[str, str]) -> bytes:
        async with self._connection.request(path, parameters, READ) as response:
            return await response.aread()


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    r"""The lines of a stream of bytes, split on `\n` only; what follows the last one is dropped.

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
