"""The lists that are always followed: services, nodes, checks, KV folders, clusters, datacenters.

They say what exists, so that a name which does not is denied without a request, and they tell
`needed` which of its views may have changed.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing

from consuldns import descriptor
from consuldns.consul import kinds
from consuldns.consul.http import acl, blocking, replies, unread
from consuldns.consul.http.client import Client, Reply
from consuldns.consul.http.unread import UnreadRecords
from consuldns.consul.incidents import Incidents
from consuldns.consul.watch import loss_guard
from consuldns.consul.watch.acceptance import Acceptance, as_list
from consuldns.consul.watch.loss_guard import List
from consuldns.consul.watch.on_demand import NeededViews
from consuldns.consul.watch.published import Publication
from consuldns.consul.watch.reachability import Contact
from consuldns.consul.watch.schedule import Area
from consuldns.errors import BadResponse, ConsulError, Denied, Unreachable
from consuldns.views import keys, model
from consuldns.views.clusters import Clusters
from consuldns.views.keys import ViewKey
from consuldns.views.model import AnyView

DATACENTERS_SECONDS = (15.0, 20.0)  # uniform; this list cannot block, and hardly ever changes
CHECKS_SHARE = 3.0  # pauses this many times as long as the server takes to filter all checks
CHECKS_TRIALS = 3


Follow = Callable[[], AsyncGenerator[None, None]]


class StandingLists:
    """Follows the lists of the local datacenter, and publishes them."""

    def __init__(
        self,
        client: Client,
        publication: Publication,
        needed: NeededViews,
        contact: Contact,
        records: UnreadRecords,
        local: str,
    ) -> None:
        self._client = client
        self._publication = publication
        self._needed = needed
        self._contact = contact
        self._records = records
        self._incidents = Incidents()
        self._local = local
        self.acceptance = Acceptance(
            client, publication, needed, records, local, published=self._mark_read
        )
        self._unread: set[ViewKey] = set()
        self._all_read = asyncio.Event()
        self._tags: dict[str, frozenset[str]] = {}
        self._failing: set[replies.CheckState] = set()
        self._datacenters: frozenset[str] = frozenset()
        self.keys: frozenset[ViewKey] = frozenset(
            (
                keys.DatacenterList(),
                keys.ServiceList(local),
                keys.NodeList(local),
                keys.ReverseZoneList(),
                keys.ClusterList(local),
            )
        )

    async def run(self) -> None:
        """Follow all lists until cancelled."""
        self._unread = set(self.keys)
        self._all_read.clear()
        async with asyncio.TaskGroup() as tasks:
            for name, key, area, follow in (
                ("services", keys.ServiceList(self._local), Area.SERVICES, self._follow_services),
                ("nodes", keys.NodeList(self._local), Area.SERVICES, self._follow_nodes),
                ("health checks", None, Area.SERVICES, self._follow_checks),
                ("reverse zones", keys.ReverseZoneList(), Area.KEYS, self._follow_reverse_zones),
                ("clusters", keys.ClusterList(self._local), None, self._follow_clusters),
                ("datacenters", keys.DatacenterList(), None, self._poll_datacenters),
            ):
                tasks.create_task(self._persist(f"list of {name}", key, area, follow))

    async def wait_until_read(self) -> None:
        """Wait until each list has been read since `run`."""
        await self._all_read.wait()

    async def _persist(
        self, name: str, key: ViewKey | None, area: Area | None, follow: Follow
    ) -> None:
        """Start following again after each failure; one line of log for a row of failures.

        While it fails, nothing tells which views of the area have changed: any may have.
        """
        backoff = blocking.Backoff()
        while True:
            try:
                async with aclosing(follow()) as steps:
                    async for _ in steps:
                        self._incidents.ended(name)
                        backoff.reset()
            except Unreachable as error:
                self._contact.doubt()
                self._failed(key, area, str(error), is_logged=False)
            except ConsulError as error:
                self._incidents.began(name, error)
                self._failed(key, area, str(error))
            except Exception as error:
                self._incidents.unexpected(name, error)
                self._failed(key, area, f"an error of consuldns: {type(error).__name__}")
            await backoff.pause()

    def _failed(
        self, key: ViewKey | None, area: Area | None, reason: str, *, is_logged: bool = True
    ) -> None:
        if key is not None:
            self._publication.keep(key, reason, is_logged=is_logged)
        if area is not None:
            self._needed.moved(area)
        for each in self.keys & self._publication.waiting:
            self._publication.refuse(each, reason)

    async def _follow_services(self) -> AsyncGenerator[None, None]:
        source, key = kinds.service_list(self._local), keys.ServiceList(self._local)
        async for reply in blocking.follow(self._client, source.request):
            changed = self._services_with_other_tags(reply)
            if reply.has_moved or changed:
                self._needed.moved(Area.SERVICES)
            self._needed.changed(changed)
            await self.acceptance.accept(key, source, reply)
            yield

    def _services_with_other_tags(self, reply: Reply) -> list[ViewKey]:
        tags, _ = replies.decode_service_tags(reply.body)
        before, self._tags = self._tags, tags
        return [
            keys.ServiceInstances(self._local, name.lower())
            for name, now in tags.items()
            if before.get(name, now) != now
        ]

    async def _follow_nodes(self) -> AsyncGenerator[None, None]:
        source, key = kinds.node_list(self._local), keys.NodeList(self._local)
        async for reply in blocking.follow(self._client, source.request):
            before = self._publication.get(key)
            await self.acceptance.accept(key, source, reply)
            if not reply.has_moved:
                self._needed.moved(Area.SERVICES)  # rights: what is on the nodes is seen, or hidden
            for name in _changed_nodes(before, self._publication.get(key)):
                self._needed.changed(self._needed.on_node(name))
            yield

    async def _follow_reverse_zones(self) -> AsyncGenerator[None, None]:
        source, key = kinds.reverse_zone_list(self._local), keys.ReverseZoneList()
        try:
            async for reply in blocking.follow(self._client, source.request):
                self._needed.moved(Area.KEYS)
                await self.acceptance.accept(key, source, reply)
                yield
        except Denied as error:
            raise await self._leave_out(key, model.ReverseZones(0, ()), "", error) from error

    async def _follow_clusters(self) -> AsyncGenerator[None, None]:
        source, key = kinds.cluster_list(self._local), keys.ClusterList(self._local)
        try:
            async for reply in blocking.follow(self._client, source.request):
                await self.acceptance.accept(key, source, reply)
                yield
        except Denied as error:
            raise await self._leave_out(key, Clusters(0, ()), descriptor.ROOT, error) from error

    async def _leave_out(self, key: ViewKey, nothing: List, prefix: str, error: Denied) -> Denied:
        """Keys that the token may not list are not served: as if there were none (ADR 9).

        What is known of them is kept: then a right was lost. Returns what to say.
        """
        right = f'the token may not list the keys: key_prefix "{prefix}" {{ policy = "list" }}'
        old = self._publication.get(key)
        if old is not None and loss_guard.names(as_list(old)):
            return Denied(f"kept as it was, since {right}")
        if not await acl.is_token_known(self._client, self._local):
            return error
        self.acceptance.publish(key, nothing)
        return Denied(f"not served, since {right}")

    async def _follow_checks(self) -> AsyncGenerator[None, None]:
        """What the statuses say is read with the instances; this tells whose have changed."""
        request = kinds.failing_checks(self._local)
        spacing = await self._spacing_of_checks(request)
        async for reply in blocking.follow(self._client, request, spacing=spacing):
            records, bad = replies.decode_records(reply.body, replies.CHECK_STATES)
            self._records.note("health checks", [unread.check_record(each) for each in bad])
            if bad:
                self._needed.moved(Area.SERVICES)  # what they say is unknown
            before, self._failing = self._failing, set(records)
            for check in before ^ self._failing:
                self._needed.changed(self._affected(check))
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
        return self._needed.on_node(check.node)

    async def _poll_datacenters(self) -> AsyncGenerator[None, None]:
        while True:
            reply = await self._client.get("v1", "catalog", "datacenters")
            found = frozenset(replies.decode_list(reply.body, str))
            if not found:
                raise BadResponse("a list of no datacenters: Consul knows its own")
            # One that is missing once is kept: a server that has just started knows itself only.
            names = {self._local, *found, *self._datacenters}
            self._datacenters = found
            view = model.Datacenters(index=0, local=self._local, names=tuple(sorted(names)))
            self._publication.replace(keys.DatacenterList(), view)
            self._mark_read(keys.DatacenterList())
            yield
            await asyncio.sleep(random.uniform(*DATACENTERS_SECONDS))

    def _mark_read(self, key: ViewKey) -> None:
        self._unread.discard(key)
        if not self._unread:
            self._all_read.set()


def _changed_nodes(before: AnyView | None, after: AnyView | None) -> set[str]:
    """The names of nodes that came, went, or differ."""
    old = {node.name: node for node in before.nodes} if isinstance(before, model.Nodes) else {}
    new = {node.name: node for node in after.nodes} if isinstance(after, model.Nodes) else {}
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def _now() -> float:
    return asyncio.get_running_loop().time()
