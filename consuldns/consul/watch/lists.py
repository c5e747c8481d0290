"""The lists that are always watched: services, nodes, checks, KV folders, clusters, datacenters.

They say what exists, so that a name which does not is denied without a request, and they show which
of the views that are read on demand may have changed.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable, Collection, Iterator
from contextlib import aclosing
from functools import partial
from typing import cast

from msgspec.structs import replace

from consuldns.consul import kinds
from consuldns.consul.http import acl, blocking, replies, unread
from consuldns.consul.http.client import Client, Reply
from consuldns.consul.http.unread import UnreadRecords
from consuldns.consul.kinds import KINDS, Area, Kept, Place, Source, kind_of
from consuldns.consul.watch.address_indexer import AddressIndexer
from consuldns.consul.watch.loss_guard import LossGuard
from consuldns.consul.watch.on_demand import OnDemandViews
from consuldns.consul.watch.published import Published
from consuldns.consul.watch.reachability import Reachability
from consuldns.errors import ConsulError, Denied, Unreachable
from consuldns.incidents import Incidents, UnexpectedErrors
from consuldns.views import keys, model
from consuldns.views.base import ListView
from consuldns.views.keys import Key, ViewKey
from consuldns.views.model import AnyView

_log = logging.getLogger(__name__)

DATACENTERS_SECONDS = (15.0, 20.0)  # uniform
CHECKS_SHARE = 3.0  # pauses this many times as long as the server takes to filter all checks
CHECKS_TRIALS = 3
HOLD_SECONDS = 1.0  # between two looks at a list of which a loss is doubted
CHECKS = "the health checks"


Watch = AsyncGenerator[None, None]


class WatchedLists:
    """Watches the lists of the local datacenter, and publishes them."""

    def __init__(
        self,
        client: Client,
        published: Published,
        on_demand: OnDemandViews,
        indexer: AddressIndexer,
        reachability: Reachability,
        guard: LossGuard,
        records: UnreadRecords,
        local: str,
    ) -> None:
        self._client = client
        self._published = published
        self._on_demand = on_demand
        self._indexer = indexer
        self._reachability = reachability
        self._guard = guard
        self._records = records
        self._incidents = Incidents(_log)
        self._errors = UnexpectedErrors(_log)
        self._local = local
        self._unread: set[ViewKey] = set()
        self._all_read = asyncio.Event()
        self._tags: dict[str, frozenset[str]] = {}
        self._failing: set[replies.CheckState] = set()
        self._datacenters: frozenset[str] = frozenset()
        self._lists = tuple(_lists_of(local))
        self.keys = needed_to_deny(local)

    async def run(self) -> None:
        """Watch all lists until cancelled."""
        self._unread = set(self.keys)
        self._all_read.clear()
        async with asyncio.TaskGroup() as tasks:
            for key in self._lists:
                tasks.create_task(self._persist(key.label, key, partial(self._watch, key)))
            polled = keys.DatacenterList()
            tasks.create_task(self._persist(polled.label, polled, self._poll_datacenters))
            tasks.create_task(self._persist(CHECKS, None, self._watch_checks))
            for each in _optional_of(self._local):
                tasks.create_task(self._follow_optional(each))

    async def wait_until_read(self) -> None:
        """Wait until each list has been read since `run`."""
        await self._all_read.wait()

    def need(self, key: ViewKey) -> None:
        """A query waits for a list: answered at once if it is there, else when it is read."""
        self._published.need(key)
        if self._published.get(key) is not None:
            self._published.settle(key)

    @property
    def are_read(self) -> bool:
        """Whether every list is there: before that, no name can be denied."""
        return all(map(self._published.get, self.keys))

    async def _persist(self, name: str, key: ViewKey | None, watch: Callable[[], Watch]) -> None:
        """Start watching again after each failure; one line of log for a row of failures."""
        backoff = blocking.backoff()
        while True:
            try:
                async with aclosing(watch()) as steps:
                    async for _ in steps:
                        self._incidents.ended(name)
                        backoff.reset()
            except Unreachable as error:
                self._reachability.suspect()
                self._failed(key, str(error), is_logged=False)
            except ConsulError as error:
                self._incidents.began(name, error)
                self._failed(key, str(error))
            except Exception as error:
                self._errors.report(name, error)
                self._failed(key, f"unexpected error: {type(error).__name__}")
            await backoff.pause()

    def _failed(self, key: ViewKey | None, reason: str, *, is_logged: bool = True) -> None:
        """While a list cannot be read, nothing shows which views have changed: any may have."""
        if key is None:
            self._on_demand.moved(Area.SERVICES)
        else:
            self._published.keep(key, reason, is_logged=is_logged)
            self._invalidate(key)
        for each in filter(self._published.is_needed, self.keys):
            self._published.refuse(each, reason)

    def _invalidate(self, key: ViewKey) -> None:
        invalidated = kind_of(key).invalidates
        if invalidated is not None:
            self._on_demand.moved(invalidated)

    async def _watch(self, key: Key[ListView]) -> Watch:
        source = kinds.source(key, Place(self._local))
        try:
            async for reply in blocking.follow(self._client, source.request):
                # If nodes have moved, those that differ show whose instances may have changed.
                if not (isinstance(key, keys.NodeList) and reply.has_moved):
                    self._invalidate(key)
                if isinstance(key, keys.ServiceList):
                    self._on_demand.changed(self._services_with_other_tags(reply))
                before = self._published.get(key)
                await self._accept(source, reply)
                for node in _changed_nodes(before, self._published.get(key)):
                    self._on_demand.changed(self._on_demand.on_node(node))
                yield
        except Denied as error:
            raise await self._leave_out(source, error) from error

    def _services_with_other_tags(self, reply: Reply) -> list[ViewKey]:
        tags, _ = replies.decode_service_tags(reply.body)
        before, self._tags = self._tags, tags
        return [
            keys.ServiceInstances(self._local, name.lower())
            for name, now in tags.items()
            if before.get(name, now) != now
        ]

    async def _accept(self, source: Source[ListView], reply: Reply) -> None:
        """Publish a list; while a loss in it is doubted, with what vanished, and look again."""
        key = source.key
        self._guard.forget(key)
        new, kept = self._decode(source, reply)
        old = self._published.get(key)
        while old is not None and (
            doubt := await self._guard.doubt(key, old, new, reply, self._local)
        ):
            self._incidents.began(new.noun, doubt)
            self._publish(key, new.merged_with(old), doubt)
            await asyncio.sleep(HOLD_SECONDS)
            reply = await blocking.read(self._client, source.request, "consistent")
            if reply.index != new.index:
                self._invalidate(key)
            new, kept = self._decode(source, reply)
        self._incidents.ended(new.noun)
        self._publish(key, new, kept)

    def _decode(self, source: Source[ListView], reply: Reply) -> tuple[ListView, str]:
        view, bad = source.view_of(reply)
        self._records.note(source.key.label, bad)
        return self._guard.completed(source.key, view, bad)

    def _publish(self, key: Key[ListView], new: ListView, kept: str = "") -> None:
        """Publish a list, and say which of the views on demand are gone with what it lacks."""
        old, members = self._published.get(key), kind_of(key).members
        self._published.replace(key, new, kept=kept)
        self._mark_read(key)
        if isinstance(new, model.Services):
            self._indexer.list_services(new)
        if old is not None and members is not None:
            for name in old.names_listed - new.names_listed:
                self._on_demand.vanished(members(self._local, name))

    async def _leave_out(self, source: Source[ListView], error: Denied) -> Denied:
        """Keys that the token may not list are not served: as if there were none (ADR 9).

        What is known of them is kept: then a right was lost. Returns what to say.
        """
        nothing, old = kind_of(source.key).nothing, self._published.get(source.key)
        if nothing is None:
            return error
        prefix = "/".join(source.request.path[2:])
        right = f'the token may not list the keys: key_prefix "{prefix}" {{ policy = "list" }}'
        if old is not None and old.names_listed:
            return Denied(f"kept unchanged, because {right}")
        if not await acl.is_token_known(self._client, self._local):
            return error
        self._publish(source.key, nothing)
        return Denied(f"not served, because {right}")

    async def _watch_checks(self) -> Watch:
        """What the statuses say is read with the instances; this shows whose have changed."""
        request = kinds.failing_checks(self._local)
        spacing = await self._spacing_of_checks(request)
        async for reply in blocking.follow(self._client, request, spacing=spacing):
            records, bad = replies.decode_records(reply.body, replies.CHECK_STATES)
            self._records.note(CHECKS, [unread.check_record(each) for each in bad])
            if bad:
                self._on_demand.moved(Area.SERVICES)  # what they say is unknown
            before, self._failing = self._failing, set(records)
            for check in before ^ self._failing:
                self._on_demand.changed(self._affected(check))
            yield

    async def _spacing_of_checks(self, request: blocking.Request) -> float:
        """Seconds between two queries, by how long the server takes for all checks at best."""
        seconds = []
        for _ in range(CHECKS_TRIALS):
            began = _now()
            await blocking.read(self._client, request, "stale")
            seconds.append(_now() - began)
        spacing = max(CHECKS_SHARE * min(seconds), blocking.MIN_SPACING_SECONDS)
        return min(spacing, blocking.MAX_SPACING_SECONDS)

    def _affected(self, check: replies.CheckState) -> Collection[ViewKey]:
        if check.service_name:
            return (keys.ServiceInstances(self._local, check.service_name.lower()),)
        return self._on_demand.on_node(check.node)

    async def _poll_datacenters(self) -> Watch:
        key = keys.DatacenterList()
        source = kinds.source(key, Place(self._local))
        while True:
            view, _ = source.view_of(await blocking.read(self._client, source.request, ""))
            # One that is missing once is kept: a server that has just started knows itself only.
            names = {self._local, *view.names, *self._datacenters}
            self._datacenters = frozenset(view.names)
            view = replace(view, index=0, local=self._local, names=tuple(sorted(names)))
            self._published.replace(key, view)
            self._mark_read(key)
            yield
            await asyncio.sleep(random.uniform(*DATACENTERS_SECONDS))

    async def _follow_optional(self, key: Key[AnyView]) -> None:
        """Definitions of prepared queries, and peers: many tokens may not read them.

        Nothing else depends on them: without the former, every name of a query is a guess.
        """
        backoff, kind = blocking.backoff(), kind_of(key)
        source = kinds.source(key, Place(self._local))
        while True:
            try:
                async for reply in self._replies(source.request):
                    view, bad = source.view_of(reply)
                    self._records.note(key.label, bad)
                    if self._published.replace(key, view):
                        self._on_demand.queries_moved()
                    backoff.reset()
            except ConsulError as error:
                _log.debug("cannot read %s: %s", key.label, error)
            except Exception as error:
                self._errors.report(key.label, error)
            if self._published.get(key) is None and kind.nothing is not None:
                self._published.replace(key, kind.nothing)
            if source.request.blocks:
                await backoff.pause()
            else:
                await asyncio.sleep(random.uniform(*DATACENTERS_SECONDS))

    async def _replies(self, request: blocking.Request) -> AsyncGenerator[Reply, None]:
        """Replies as they change, or every now and then if the request cannot block."""
        if request.blocks:
            async for reply in blocking.follow(self._client, request):
                yield reply
        while not request.blocks:
            yield await blocking.read(self._client, request, "")
            await asyncio.sleep(random.uniform(*DATACENTERS_SECONDS))

    def _mark_read(self, key: ViewKey) -> None:
        self._unread.discard(key)
        if not self._unread:
            self._all_read.set()


def needed_to_deny(local: str) -> frozenset[ViewKey]:
    """The lists without which no name can be denied."""
    return frozenset((*_lists_of(local), keys.DatacenterList()))


def _lists_of(local: str) -> Iterator[Key[ListView]]:
    """Those that are watched, of the agent's own datacenter."""
    return (cast(Key[ListView], key) for key in _kept(Kept.ALWAYS, local))


def _optional_of(local: str) -> Iterator[Key[AnyView]]:
    """Those that are followed as far as the token may read them."""
    return _kept(Kept.IF_ALLOWED, local)


def _kept(kept: Kept, local: str) -> Iterator[Key[AnyView]]:
    for key_type, kind in KINDS.items():
        if kind.kept is kept:
            yield key_type(*(local for _ in key_type.__struct_fields__))


def _changed_nodes(before: AnyView | None, after: AnyView | None) -> set[str]:
    """The names of nodes that came, went, or differ."""
    old = {node.name: node for node in before.nodes} if isinstance(before, model.Nodes) else {}
    new = {node.name: node for node in after.nodes} if isinstance(after, model.Nodes) else {}
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def _now() -> float:
    return asyncio.get_running_loop().time()
