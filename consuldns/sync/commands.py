"""The one-off tasks of the sync worker: say what is different, sync once, purge, tell the state."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

from consuldns import descriptor, reverse_layout
from consuldns.config.schema import Settings
from consuldns.consul.catalog import Catalog
from consuldns.consul.http.client import Client as ConsulClient
from consuldns.consul.operations import Lock, RemoveInstance, RemoveKey, RemoveNode
from consuldns.descriptor import DescriptorKey, NameKey
from consuldns.errors import ConsuldnsError, ConsulError
from consuldns.sync import ownership
from consuldns.sync.apply import Applier, ApplyResult, Rate
from consuldns.sync.existing import contents
from consuldns.sync.leader_election import (
    LeaderElection,
    WorkerName,
    recognised,
    recorded_uid,
    worker_of,
)
from consuldns.sync.ownership import Identity
from consuldns.sync.planning.plan import Plan, Planner, Step, removal_of_all
from consuldns.sync.supervisor import first_of
from consuldns.sync.worker import MAX_BODY, SyncWorker


@dataclass
class Difference:
    """What a plan would do to what is there; `kept_back` are removals that the guard holds."""

    plan: Plan
    existing: contents.Existing
    kept_back: list[Step]


async def diff(settings: Settings, *, adopt: bool) -> Difference:
    """What is different in Consul from what it should be. Writes nothing.

    With `adopt`: if what a former cluster of the name has there were taken over.
    """
    async with SyncWorker.connected(settings) as worker:
        election = worker.election
        election.identity = await recognised(worker.catalog, worker.identity, adopt=adopt)
        await worker.list_once()
        existing = await contents.read(worker.catalog, worker.election.identity)
        return await _difference(worker, existing)


async def _difference(worker: SyncWorker, existing: contents.Existing) -> Difference:
    planner = Planner(worker.selection, worker.settings.sync, worker.election.identity)
    plan = await worker.reconciler.plan_all(planner, existing)
    return Difference(plan, existing, worker.reconciler.check(plan, existing))


async def once(
    settings: Settings, *, adopt: bool, allow_mass_delete: bool
) -> tuple[Difference, ApplyResult]:
    """Sync once. Raises ConsulError if another worker leads."""
    async with (
        SyncWorker.connected(settings, adopt=adopt, allow_mass_delete=allow_mass_delete) as worker,
        _leading(worker.election) as lock,
    ):
        await worker.list_once()  # after the lock, as another may have led until now
        existing = await contents.read(worker.catalog, worker.election.identity)
        difference = await _difference(worker, existing)
        result = await worker.reconciler.applier.apply(difference.plan, existing, lock)
        return difference, result


@contextlib.asynccontextmanager
async def _leading(election: LeaderElection) -> AsyncIterator[Lock]:
    """Lead while the context lasts. Raises ConsulError if somebody else does."""
    try:
        await election.once()
        if election.lock is None:
            raise ConsulError(
                f"another worker is the leader of cluster {election.identity.cluster!r}: it "
                "does the work"
            )
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(election.keep())
            yield election.lock
            keeping.cancel()
    except* ConsuldnsError as group:
        raise first_of(group) from None
    finally:
        await election.resign()


@dataclass(frozen=True)
class Purged:
    """What was removed; `left` counts instances of others that are on the node, which stays."""

    cluster: str
    instances: int
    keys: int
    left: int
    failed: tuple[str, ...]


async def purge(settings: Settings) -> Purged:
    """Remove all that one cluster has in Consul under its name. Needs no Kubernetes API.

    Raises ConsulError if a worker leads (it would write everything again), or if there is nothing.
    """
    consul = ConsulClient(settings.consul, max_body=MAX_BODY)
    try:
        catalog = Catalog(consul)
        identity = await _recorded_identity(settings, catalog)
        async with _leading(LeaderElection(catalog, identity, lambda: None)) as lock:
            existing = await contents.read(catalog, identity)
            plan = removal_of_all(existing, identity.node)
            rate = Rate(settings.sync.transactions_per_second)
            result = await Applier(catalog, rate).apply(plan, existing, lock)
            if not result.failed and not existing.foreign_instances:
                await catalog.apply([RemoveNode(identity.node)], lock)
            return Purged(
                identity.cluster,
                result.done[RemoveInstance.__name__],
                result.done[RemoveKey.__name__],
                existing.foreign_instances,
                tuple(result.failed.values()),
            )
    finally:
        await consul.aclose()


async def _recorded_identity(settings: Settings, catalog: Catalog) -> Identity:
    """Who the cluster is, by what its node in the catalog says; without one, by its record."""
    cluster = settings.sync.cluster
    unknown = Identity(cluster, "", await catalog.datacenter(), settings.dns.domain, "")
    node = await catalog.node(unknown.node)
    uid = node.meta.get(ownership.CLUSTER_UID, "") if node is not None else ""
    uid = uid or await recorded_uid(catalog, unknown)
    if not uid:
        raise ConsulError(f"there are no entries of a cluster {cluster!r} in Consul")
    known = Identity(cluster, uid, unknown.datacenter, unknown.domain, "")
    return await recognised(catalog, known, adopt=False)


@dataclass(frozen=True)
class SyncStatus:
    """What Consul has of one cluster. `leader` is the worker that writes, if one runs.

    `former` are the UIDs of clusters whose entries were taken over; `reverse` and `names` count
    reverse keys and claims to flat names.
    """

    cluster: str
    uid: str
    former: tuple[str, ...]
    datacenter: str
    leader: WorkerName | None
    services: int
    instances: int
    descriptors: int
    reverse: int
    names: int

    def rows(self) -> list[tuple[str, object]]:
        """For people: what each figure is called, and the figure."""
        return [
            ("cluster", self.cluster),
            ("UID", self.uid),
            ("former UIDs", ", ".join(self.former)),
            ("datacenter", self.datacenter),
            ("leader", self.leader or "no worker runs"),
            ("services", self.services),
            ("instances", self.instances),
            ("descriptors", self.descriptors),
            ("reverse keys", self.reverse),
            ("claimed names", self.names),
        ]


async def status(settings: Settings) -> SyncStatus:
    """What Consul has of one cluster."""
    consul = ConsulClient(settings.consul, max_body=MAX_BODY)
    try:
        catalog = Catalog(consul)
        identity = await _recorded_identity(settings, catalog)
        holder, _ = await catalog.key(identity.leader_key)
        existing = await contents.read(catalog, identity)
        kinds = Counter(type(descriptor.parse_path(path)) for path in existing.keys)
        return SyncStatus(
            identity.cluster,
            identity.uid,
            identity.former,
            identity.datacenter,
            worker_of(holder) if holder is not None else None,
            len(existing.instances),
            existing.count,
            kinds[DescriptorKey],
            sum(map(reverse_layout.is_key, existing.keys)),
            kinds[NameKey],
        )
    finally:
        await consul.aclose()
