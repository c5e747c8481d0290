"""Keeping a copy of every object of a kind: list, then watch, and list again when history is lost.

The rules are those of the API's own clients: a list *replaces* the copy, so that what vanished
while nobody looked is noticed; a watch goes on after the last version seen, bookmarks included; a
clean end is followed by another watch, 410 by another list. Nothing that goes wrong ever empties
the copy: no error means "there is nothing".
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Never

from consuldns.backoff import Backoff, jittered
from consuldns.errors import ConsuldnsError
from consuldns.sync.kubernetes import errors
from consuldns.sync.kubernetes.client import GRACE, KubernetesClient, ListResult, WatchEvent
from consuldns.sync.kubernetes.objects import (
    EndpointSlice,
    Ingress,
    Item,
    Namespace,
    Node,
    ObjectKey,
    Pod,
    ResourceKind,
    Service,
)
from consuldns.sync.kubernetes.troubles import Troubles

SYSTEM_NAMESPACE = "kube-system"  # its UID is as good as the cluster's

MOST_DELETED = 100_000  # objects that are known to be deleted, the latest
DENIALS = 2  # without a success in between, until a kind is taken for withheld

Change = tuple[Item | None, Item | None]
"""An object before and after; None: it did not exist, or exists no more."""


@dataclass(frozen=True)
class RetryPolicy:
    """How patient we are with an API server, in seconds.

    Waits double from `shortest` to `longest`, each with up to as much again by chance, and start
    over after `healthy` seconds without trouble. A refused connection costs the server nothing: the
    wait after one ends at `reconnect`, and it does not lengthen later ones, since a server that has
    just started refuses a few requests. So what happens when it is back is synced within 5 s.
    """

    shortest: float = 0.8
    longest: float = 30.0
    reconnect: float = 2.0
    healthy: float = 120.0
    watch_seconds: tuple[int, int] = (300, 600)  # by chance, so that not all watches end at once
    grace: float = GRACE
    withheld: float = 20.0  # until a kind that may not be listed is asked for again
    bookmark_silence: float = 150.0  # a watch that had a bookmark has another one every minute
    short: float = 1.0  # a watch that lived less, without an event, counts as trouble
    short_watches: int = 5  # in a row, and the server may have lost the history without saying so


class Store(Generic[Item]):
    """The copy of all objects of a kind.

    `deleted` are objects that a DELETED event reported as gone, until they are there again or
    somebody takes them out: for those there is proof, not for what is merely missing in a list.
    """

    def __init__(self, kind: ResourceKind[Item]) -> None:
        self.kind = kind
        self.objects: dict[ObjectKey, Item] = {}
        self.deleted: dict[ObjectKey, Item] = {}
        self.lists = 0  # complete ones so far

    @property
    def is_listed(self) -> bool:
        """Whether the copy has been complete once. Until then a missing object means nothing."""
        return self.lists > 0

    def replace(self, listed: ListResult[Item]) -> list[Change[Item]]:
        """Take a complete list in place of what was known; what differs."""
        new = {_key(each): each for each in listed.objects}
        old, self.objects = self.objects, new
        for key in self.deleted.keys() & new.keys():
            del self.deleted[key]
        new |= {k: each for k, each in old.items() if k not in new and listed.may_hold(k)}
        self.lists += 1
        gone: list[Change[Item]] = [(each, None) for key, each in old.items() if key not in new]
        return gone + [(old.get(k), each) for k, each in new.items() if old.get(k) != each]

    def apply(self, event: WatchEvent[Item]) -> Change[Item] | None:
        """Take an event; None if nothing that matters differs. Events may come twice."""
        if event.object is None:
            return None
        key = _key(event.object)
        before = self.objects.get(key)
        if event.type == "DELETED":
            self._note_deleted(key, before or event.object)
            return (self.objects.pop(key), None) if before is not None else None
        self.deleted.pop(key, None)
        if before == event.object:
            return None
        self.objects[key] = event.object
        return before, event.object

    def _note_deleted(self, key: ObjectKey, each: Item) -> None:
        self.deleted.pop(key, None)
        self.deleted[key] = each
        if len(self.deleted) > MOST_DELETED:
            del self.deleted[next(iter(self.deleted))]


def _key(each: Item) -> ObjectKey:
    return each.metadata.namespace, each.metadata.name


@dataclass
class Reflector(Generic[Item]):
    """Keeps the store of one kind true, in one namespace or in all; tells of each change, in order.

    `on_change` is called for each event that matters, and after each list, even an unchanged one.
    A list is believed only while the API server answers for the cluster with `cluster_uid` (empty:
    for any): behind a URL there may be another one tomorrow, which has none of our services.

    `restarts` counts why lists and watches were begun again. `withheld` is set while the API server
    says that we may not list the kind, or that it does not have it: then others go on without.
    """

    client: KubernetesClient
    kind: ResourceKind[Item]
    on_change: Callable[[list[Change[Item]]], None]
    label_selector: str = ""
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    cluster_uid: str = ""
    namespace: str = ""
    troubles: Troubles = field(default_factory=Troubles)
    restarts: dict[str, int] = field(default_factory=dict)
    stale_since: float | None = None  # monotonic time of the first failure that still lasts

    def __post_init__(self) -> None:
        self.store = Store(self.kind)
        self.listed_at = float("-inf")  # monotonic; when the latest complete list was asked for
        self._version = ""  # where the watch goes on; empty if a list must come first
        self._list_requested = False
        # Up to as much again by chance: half of twice the time.
        times = 2 * self.retry_policy.shortest, 2 * self.retry_policy.longest
        self._failing, self._gone_again = Backoff(*times), Backoff(*times)
        self._gone = 0  # in a row
        self._failed_at = float("-inf")
        self._short_watches = 0
        self._denials = 0  # in a row
        self._watching: asyncio.Timeout | None = None

    @property
    def subject(self) -> str:
        """What is followed, for people: `services`, or `services in shop`."""
        return f"{self.kind} in {self.namespace}" if self.namespace else str(self.kind)

    @property
    def withheld(self) -> bool:
        """Whether the API server does not give us the kind.

        One that has just started knows no rights yet, so the second denial counts, not the first.
        """
        return self._denials >= DENIALS

    def request_list(self) -> None:
        """List again now, whatever the watch says; one that is on its way will do."""
        self._list_requested = True
        watching, self._watching = self._watching, None  # one that is ending cannot be ended again
        if watching is not None:
            watching.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> Never:
        """List and watch for ever; whatever goes wrong is logged, waited for, and tried again."""
        while True:
            wait = await self._turn()
            if wait > 0:
                await asyncio.sleep(wait)

    async def _turn(self) -> float:
        """One list if it is due, and one watch. Returns how long to wait before the next."""
        try:
            if self._list_requested or not self._version:
                await self._list()
            return await self._watch()
        except (errors.Forbidden, errors.UnknownResource) as error:
            return self._is_withheld(error)
        except errors.Gone as error:
            # The usual end of a watch that fell behind. The list that mends it need not wait, but
            # for those after it, as long as no watch goes well.
            self._version = ""
            self._gone += 1
            self._note("gone", error)
            return self._gone_again.next() if self._gone > 1 else 0.0
        except errors.Throttled as error:
            return max(self._failure("throttled", error), error.retry_after)
        except errors.Unreachable as error:
            self._note("unreachable", error)
            return jittered(self.retry_policy.reconnect)
        except ConsuldnsError as error:
            # Another status, as such or as an event: what the server holds of this version is
            # doubtful, so list again, but not at once.
            self._version = ""
            return self._failure(type(error).__name__.lower(), error)

    async def list_once(self) -> None:
        """List, and leave it at that. Raises KubernetesError, but not if the kind is withheld."""
        try:
            await self._list()
        except (errors.Forbidden, errors.UnknownResource) as error:
            self._denials = DENIALS  # nobody will ask a second time
            self._note("withheld", error)

    async def _list(self) -> None:
        asked_at = time.monotonic()
        try:
            listed = await self.client.list(self.kind, self.label_selector, self.namespace)
        except (errors.Forbidden, errors.UnknownResource):
            self._denials += 1
            raise
        if self.cluster_uid:
            await self._check_cluster()
        changes = self.store.replace(listed)
        self._version, self.listed_at = listed.version, asked_at
        self._list_requested = False
        self._denials = 0
        self.on_change(changes)

    async def _check_cluster(self) -> None:
        """Make sure, as far as we may, that the cluster is the same. Raises WrongCluster."""
        try:
            uid = (await self.client.namespace(SYSTEM_NAMESPACE)).metadata.uid
        except errors.Forbidden:
            return  # a right that was taken away: it tells nothing about the cluster
        if uid != self.cluster_uid:
            raise errors.WrongCluster(
                f"{self.client.access.url} answers for another cluster: the UID of its namespace "
                f"{SYSTEM_NAMESPACE} is {uid}, and was {self.cluster_uid}. If it replaces the old "
                f"one, start the worker again with --adopt, which takes over what the old one has "
                f"in Consul; if both are to be there, give this one a --cluster name of its own; "
                f"else mend the address, which comes from {self.client.access.origin}"
            )

    async def _watch(self) -> float:
        """Follow the changes until the server or `request_list` ends it."""
        started, events = time.monotonic(), 0
        seconds = random.randint(*self.retry_policy.watch_seconds)
        bookmarks = asyncio.timeout(None)
        watch = self.client.watch(
            self.kind,
            self._version,
            seconds=seconds,
            silence=seconds + self.retry_policy.grace,
            label_selector=self.label_selector,
            namespace=self.namespace,
        )
        try:
            async with asyncio.timeout(None) as self._watching, bookmarks:
                async for event in watch:
                    events += event.type != "OPENED"
                    self._apply(event)
                    self._expect_bookmarks(bookmarks, event)
        except TimeoutError as error:
            if bookmarks.expired():
                problem = f"no bookmark for {self.retry_policy.bookmark_silence:g} s"
                raise errors.Unreachable(f"{self.client.access.url}: {problem}") from error
            self._version = ""
            return 0.0  # request_list
        finally:
            self._watching = None
            if time.monotonic() - started >= self.retry_policy.short:
                self._no_longer_gone()
            await watch.aclose()
        if events or time.monotonic() - started >= self.retry_policy.short:
            self._short_watches = 0
            self._restarted("ended")
            return 0.0
        self._short_watches += 1
        if self._short_watches >= self.retry_policy.short_watches:
            # Some servers end watches of a lost version without a word (GKE, fabric8 #7896).
            self._short_watches, self._version = 0, ""
        return self._failure("short", errors.Unreachable("the watch ended at once"))

    def _expect_bookmarks(self, bookmarks: asyncio.Timeout, event: WatchEvent[Item]) -> None:
        """Expect another sign of life after a bookmark.

        One is sent every minute from the first on, but the first comes only when there is a newer
        version than the watch began with: a watch of a kind that does not change has none.
        """
        if event.type == "BOOKMARK" or bookmarks.when() is not None:
            now = asyncio.get_running_loop().time()
            bookmarks.reschedule(now + self.retry_policy.bookmark_silence)

    def _apply(self, event: WatchEvent[Item]) -> None:
        self._recovered()
        if event.version:
            self._version = event.version
        change = self.store.apply(event)
        if change is not None:
            self.on_change([change])

    def _restarted(self, reason: str) -> None:
        self.restarts[reason] = self.restarts.get(reason, 0) + 1

    def _failure(self, reason: str, error: ConsuldnsError) -> float:
        """Note a failure; how long to wait."""
        self._note(reason, error)
        now = time.monotonic()
        if now - self._failed_at > self.retry_policy.healthy:
            self._failing.reset()
        self._no_longer_gone()
        self._failed_at = now
        return self._failing.next()

    def _is_withheld(self, error: ConsuldnsError) -> float:
        """Note that we may not list or watch the kind; how long to wait before the next list."""
        self._version = ""
        wait = self._failure(type(error).__name__.lower(), error)
        if self._denials == DENIALS:
            self.on_change([])  # nobody need wait for this kind
        return min(wait, jittered(2 * self.retry_policy.withheld))

    def _note(self, reason: str, error: ConsuldnsError) -> None:
        self._restarted(reason)
        if self.stale_since is None:
            self.stale_since = time.monotonic()
        self.troubles.failed(self.subject, error)

    def _no_longer_gone(self) -> None:
        self._gone = 0
        self._gone_again.reset()

    def _recovered(self) -> None:
        self.stale_since = None
        self.troubles.recovered(self.subject)


AnyReflector = (
    Reflector[Service]
    | Reflector[EndpointSlice]
    | Reflector[Node]
    | Reflector[Namespace]
    | Reflector[Pod]
    | Reflector[Ingress]
)
