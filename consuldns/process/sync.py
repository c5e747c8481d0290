"""The sync worker as a process, and its one-off tasks: the parts of `kubernetes` on a real Consul.

    reflectors (one a kind) --> cluster --> reconciler --> registry (Consul)
    leadership (session and lock) -----------^

A worker that is told to end gives the lock back and removes nothing.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consuldns.config.schema import Settings
from consuldns.config.sync import SyncSettings
from consuldns.consul.client import Client as ConsulClient
from consuldns.consul.registry import Registry
from consuldns.errors import ConfigError, ConsuldnsError, ConsulError, KubernetesError
from consuldns.kubernetes import access, held, ownership
from consuldns.kubernetes.apply import Applier, Outcome, Rate
from consuldns.kubernetes.client import Client as KubernetesClient
from consuldns.kubernetes.cluster import Cluster
from consuldns.kubernetes.kubeconfig import from_kubeconfig
from consuldns.kubernetes.leader import Leadership, claim_node, recognised
from consuldns.kubernetes.ownership import NAMES, REVERSE, Identity
from consuldns.kubernetes.plan import Plan, Planner, Step
from consuldns.kubernetes.reconcile import Reconciler
from consuldns.kubernetes.safety import MassDeletion
from consuldns.kubernetes.types import ENDPOINT_SLICES, NAMESPACES, NODES, PODS, SERVICES
from consuldns.kubernetes.watch import AnyReflector, Reflector
from consuldns.registration import Lock, RemoveInstance, RemoveKey, RemoveNode

log = logging.getLogger(__name__)

RETRY = 2.0  # seconds between looks for a Consul and a Kubernetes API at the start
MAX_BODY = 256 << 20  # octets; 100,000 instances are 80 MB


def find_access(settings: SyncSettings) -> access.Access:
    """How to reach the Kubernetes API: as set, else as a pod, else as kubectl would."""
    if settings.kube_api:
        return access.plain_url(settings.kube_api)
    if settings.kubeconfig:
        paths = [Path(each) for each in settings.kubeconfig.split(os.pathsep) if each]
        return from_kubeconfig(paths, settings.context)
    pod = access.in_cluster(os.environ)
    if pod is not None:
        return pod
    users = Path("~/.kube/config").expanduser()
    if users.exists():
        return from_kubeconfig([users], settings.context)
    raise ConfigError(
        "no way to the Kubernetes API is known",
        where="sync",
        hint="--kube-api URL, --kubeconfig FILE, or run in a pod",
    )


@dataclass
class Worker:
    """One worker: both ends, and everything between them."""

    settings: Settings
    kubernetes: KubernetesClient
    registry: Registry
    identity: Identity
    cluster: Cluster
    reflectors: list[AnyReflector]
    leadership: Leadership
    reconciler: Reconciler

    def not_ready(self) -> list[str]:
        """What keeps the worker from being of use, one reason each. A standby is ready."""
        return [
            f"kubernetes: {reflector.kind} not listed yet"
            for reflector in self.reflectors
            if not reflector.store.is_listed
        ]

    async def listed(self) -> None:
        """List every kind once, without watching. Raises KubernetesError."""
        for reflector in self.reflectors:
            await reflector.list_once()


@contextlib.asynccontextmanager
async def opened(
    settings: Settings, *, adopt: bool = False, allow_mass_delete: bool = False
) -> AsyncIterator[Worker]:
    """A worker whose two ends have been found. Raises ConsulError, KubernetesError, ConfigError."""
    consul = ConsulClient(settings.consul, max_body=MAX_BODY)
    try:
        async with KubernetesClient(find_access(settings.sync)) as kubernetes:
            yield await _worker(settings, consul, kubernetes, adopt, allow_mass_delete)
    finally:
        await consul.aclose()


async def _worker(
    settings: Settings,
    consul: ConsulClient,
    kubernetes: KubernetesClient,
    adopt: bool,
    allow_mass_delete: bool,
) -> Worker:
    registry = Registry(consul)
    agent, datacenter = await registry.version(), await registry.datacenter()
    version = await kubernetes.version()
    uid = (await kubernetes.namespace("kube-system")).metadata.uid
    log.info(
        "Consul: agent=%s address=%s datacenter=%s", agent, settings.consul.address, datacenter
    )
    log.info(
        "Kubernetes: api=%s version=%s account=%s from=%s cluster=%s uid=%s",
        kubernetes.access.url,
        version,
        await kubernetes.access.account_name(),
        kubernetes.access.origin,
        settings.sync.cluster,
        uid,
    )
    domain = settings.dns.domain
    zone = settings.sync.zone or f"{datacenter}.{domain}"
    identity = Identity(settings.sync.cluster, uid, datacenter, domain, zone)
    return _assemble(settings, registry, kubernetes, identity, version, adopt, allow_mass_delete)


def _assemble(
    settings: Settings,
    registry: Registry,
    kubernetes: KubernetesClient,
    identity: Identity,
    version: str,
    adopt: bool,
    allow_mass_delete: bool,
) -> Worker:
    sync = settings.sync
    cluster = Cluster(sync)

    def wake() -> None:
        reconciler.wake()

    reflectors = _reflectors(kubernetes, cluster, sync, wake)
    leadership = Leadership(registry, identity, wake, adopt=adopt)
    reconciler = Reconciler(
        registry,
        leadership,
        cluster,
        reflectors,
        sync,
        MassDeletion(sync.mass_delete_hold.total_seconds(), allow_mass_delete),
        Applier(registry, Rate(sync.transactions_per_second)),
        version,
    )
    return Worker(
        settings, kubernetes, registry, identity, cluster, reflectors, leadership, reconciler
    )


def _reflectors(
    kubernetes: KubernetesClient,
    cluster: Cluster,
    settings: SyncSettings,
    wake: Callable[[], None],
) -> list[AnyReflector]:
    def then_wake(tell: Callable[[Any], None]) -> Callable[[Any], None]:
        def told(changes: Any) -> None:
            tell(changes)
            wake()

        return told

    selector = settings.label_selector
    reflectors: list[AnyReflector] = [
        Reflector(kubernetes, SERVICES, then_wake(cluster.services_changed), selector),
        Reflector(kubernetes, ENDPOINT_SLICES, then_wake(cluster.slices_changed)),
        Reflector(kubernetes, NODES, then_wake(cluster.nodes_changed)),
        Reflector(kubernetes, NAMESPACES, then_wake(cluster.namespaces_changed)),
    ]
    if settings.reverse_verify_pods:
        reflectors.append(Reflector(kubernetes, PODS, then_wake(cluster.pods_changed)))
    return reflectors


# --- run -----------------------------------------------------------------------------------------


async def run(settings: Settings, *, adopt: bool, allow_mass_delete: bool) -> None:
    """Sync until SIGTERM or SIGINT. Raises ForeignCluster, ConfigError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(_work(settings, adopt, allow_mass_delete))
            await stop.wait()
            log.info("stopping")
            work.cancel()
    except* ConsuldnsError as group:
        raise _first(group) from None


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """The first error of a group, however deep."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _work(settings: Settings, adopt: bool, allow_mass_delete: bool) -> None:
    complaint = ""
    while True:
        try:
            async with opened(settings, adopt=adopt, allow_mass_delete=allow_mass_delete) as worker:
                await _run_parts(worker)
        except (ConsulError, KubernetesError) as error:
            if str(error) != complaint:
                complaint = str(error)
                log.warning("cannot start, trying again: %s", error)
        await asyncio.sleep(RETRY)


async def _run_parts(worker: Worker) -> None:
    parts: list[Coroutine[Any, Any, Any]] = [each.run() for each in worker.reflectors]
    parts += [worker.leadership.run(), worker.reconciler.run()]
    async with asyncio.TaskGroup() as tasks:
        for part in parts:
            tasks.create_task(part)


# --- one-off tasks -------------------------------------------------------------------------------


@dataclass
class Difference:
    """What a plan would do; `kept_back` are removals that the guard holds."""

    plan: Plan
    kept_back: list[Step]


async def diff(settings: Settings) -> Difference:
    """What is different in Consul from what it should be. Writes nothing."""
    async with opened(settings) as worker:
        node = await worker.registry.node(worker.identity.node)
        worker.leadership.identity = recognised(node, worker.identity)
        await worker.listed()
        holding = await held.read(worker.registry, worker.leadership.identity)
        return await _difference(worker, holding)


async def _difference(worker: Worker, holding: held.Held) -> Difference:
    planner = Planner(worker.cluster, worker.settings.sync, worker.leadership.identity)
    plan = await worker.reconciler.plan_all(planner, holding)
    return Difference(plan, worker.reconciler.check(plan, holding))


async def once(
    settings: Settings, *, adopt: bool, allow_mass_delete: bool
) -> tuple[Difference, Outcome]:
    """Sync once. Raises ConsulError if another worker leads."""
    async with opened(settings, adopt=adopt, allow_mass_delete=allow_mass_delete) as worker:
        await worker.listed()
        async with _leading(worker.leadership) as lock:
            holding = await held.read(worker.registry, worker.leadership.identity)
            difference = await _difference(worker, holding)
            outcome = await worker.reconciler.applier.apply(difference.plan, holding, lock)
            return difference, outcome


@contextlib.asynccontextmanager
async def _leading(leadership: Leadership) -> AsyncIterator[Lock]:
    try:
        await leadership.once()
        if leadership.lock is None:
            raise ConsulError(
                f"another worker leads cluster {leadership.identity.cluster!r}: it does the work"
            )
        yield leadership.lock
    finally:
        await leadership.resign()


async def purge(settings: Settings) -> Outcome:
    """Remove all that one cluster has in Consul. Needs no Kubernetes API.

    Raises ConsulError if a worker leads (it would write everything again), or if there is nothing.
    """
    consul = ConsulClient(settings.consul, max_body=MAX_BODY)
    try:
        registry = Registry(consul)
        identity = await _recorded_identity(settings, registry)
        async with _leading(Leadership(registry, identity, lambda: None)) as lock:
            holding = await held.read(registry, identity)
            plan = _removal_of_all(holding, identity)
            rate = Rate(settings.sync.transactions_per_second)
            outcome = await Applier(registry, rate).apply(plan, holding, lock)
            if not outcome.failed:
                await registry.apply([RemoveNode(identity.node)], lock)
            return outcome
    finally:
        await consul.aclose()


def _removal_of_all(holding: held.Held, identity: Identity) -> Plan:
    instances = [
        Step(RemoveInstance(identity.node, id_, each.service, each.index), key)
        for key, there in holding.instances.items()
        for id_, each in there.items()
    ]
    keys = [Step(RemoveKey(path, each.index)) for path, each in holding.keys.items()]
    return Plan(removals=instances + keys)


async def _recorded_identity(settings: Settings, registry: Registry) -> Identity:
    """Who the cluster is, by what its node in the catalog says."""
    cluster = settings.sync.cluster
    unknown = Identity(cluster, "", await registry.datacenter(), settings.dns.domain, "")
    node = await registry.node(unknown.node)
    uid = node.meta.get(ownership.CLUSTER_UID, "") if node is not None else ""
    if not uid:
        raise ConsulError(f"there is nothing of a cluster {cluster!r} in Consul")
    known = Identity(cluster, uid, unknown.datacenter, unknown.domain, "")
    return await claim_node(registry, known, adopt=False)


@dataclass(frozen=True)
class Status:
    """What Consul has of one cluster. `leader` is empty if no worker runs."""

    cluster: str
    uid: str
    leader: str
    services: int
    instances: int
    descriptors: int
    reverse: int
    names: int


async def status(settings: Settings) -> Status:
    """What Consul has of one cluster."""
    consul = ConsulClient(settings.consul, max_body=MAX_BODY)
    try:
        registry = Registry(consul)
        identity = await _recorded_identity(settings, registry)
        holder, _ = await registry.key(identity.leader_key)
        holding = await held.read(registry, identity)
        descriptors = f"{identity.root}svc/"
        return Status(
            identity.cluster,
            identity.uid,
            holder.key.value.decode(errors="replace") if holder is not None else "",
            len(holding.instances),
            holding.count,
            sum(path.startswith(descriptors) for path in holding.keys),
            sum(path.startswith(REVERSE) for path in holding.keys),
            sum(path.startswith(NAMES) for path in holding.keys),
        )
    finally:
        await consul.aclose()
