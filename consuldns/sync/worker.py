"""The sync worker as a process, and its one-off tasks: the parts of `kubernetes` on a real Consul.

    reflectors (one a kind) --> cluster --> reconciler --> registry (Consul)
    election (session and lock) -----------^

A worker that is told to end gives the lock back and removes nothing.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any

from consuldns import signals
from consuldns.config.schema import Settings
from consuldns.config.sync import SyncSettings
from consuldns.consul.catalog import Registry as ConsulRegistry
from consuldns.consul.http.client import Client as ConsulClient
from consuldns.errors import ConfigError, ConsuldnsError, ConsulError, KubernetesError
from consuldns.sync.apply import Applier, Rate
from consuldns.sync.cache import Cluster
from consuldns.sync.kubernetes import access, cluster_uid
from consuldns.sync.kubernetes.client import Client as KubernetesClient
from consuldns.sync.kubernetes.kubeconfig import from_kubeconfig
from consuldns.sync.kubernetes.objects import (
    ENDPOINT_SLICES,
    INGRESSES,
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    Kind,
)
from consuldns.sync.kubernetes.reflector import AnyReflector, Reflector
from consuldns.sync.kubernetes.troubles import REMINDERS, Troubles
from consuldns.sync.leader_election import LeaderElection
from consuldns.sync.metrics import SyncCollector
from consuldns.sync.ownership import Identity
from consuldns.sync.planning.mass_deletion import MassDeletion
from consuldns.sync.reconciler import Reconciler
from consuldns.sync.registry import Registry
from consuldns.sync.statistics import Statistics
from consuldns.web import admin, serving

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
    election: LeaderElection
    reconciler: Reconciler
    troubles: Troubles

    def not_ready(self) -> list[str]:
        """What keeps the worker from being of use, one reason each. A standby is ready.

        A kind that is withheld is done without, but not if no services can be followed.
        """
        reasons = [
            f"kubernetes: {reflector.subject} not listed yet"
            for reflector in self.reflectors
            if not reflector.store.is_listed and not reflector.withheld
        ]
        services = self._services
        if services and all(each.stale_since is not None for each in services):
            first = self.troubles.current[services[0].subject]
            reasons.append(f"kubernetes: services cannot be followed: {first.error}")
        return reasons

    @property
    def _services(self) -> list[AnyReflector]:
        return [each for each in self.reflectors if each.kind == SERVICES]

    @property
    def statistics(self) -> Statistics:
        """What was done."""
        return self.reconciler.statistics

    @property
    def is_leader(self) -> bool:
        """Whether this worker writes."""
        return self.election.lock is not None

    async def listed(self) -> None:
        """List every kind once, without watching, but for those that are withheld.

        Raises KubernetesError, also if no services can be listed at all.
        """
        for reflector in self.reflectors:
            await reflector.list_once()
        if not self.reconciler.known().any_services:
            raise self.troubles.current[self._services[0].subject].error
        self.troubles.say(at_once=True)


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
    registry: Registry = ConsulRegistry(consul)
    agent, datacenter = await registry.version(), await registry.datacenter()
    version = await kubernetes.version()
    node = await registry.node(f"k8s-{settings.sync.cluster}")
    uid, is_proven = await cluster_uid.find(kubernetes, node)
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
    mark = cluster_uid.api_mark(kubernetes.access)
    identity = Identity(settings.sync.cluster, uid, datacenter, domain, zone, api=mark)
    worker = assemble(settings, registry, kubernetes, identity, version, adopt, allow_mass_delete)
    if is_proven:
        for reflector in worker.reflectors:
            reflector.cluster_uid = uid
    return worker


def assemble(
    settings: Settings,
    registry: Registry,
    kubernetes: KubernetesClient,
    identity: Identity,
    version: str,
    adopt: bool,
    allow_mass_delete: bool,
) -> Worker:
    """A worker of these parts, which has not listed anything yet."""
    sync = settings.sync
    cluster, troubles = Cluster(sync), Troubles()

    def wake() -> None:
        reconciler.wake()

    reflectors = _reflectors(kubernetes, cluster, sync, wake)
    for reflector in reflectors:
        reflector.troubles = troubles
    election = LeaderElection(registry, identity, wake, adopt=adopt, troubles=troubles)
    reconciler = Reconciler(
        registry,
        election,
        cluster,
        reflectors,
        sync,
        MassDeletion(sync.mass_delete_hold.total_seconds(), allow_mass_delete),
        Applier(registry, Rate(sync.transactions_per_second)),
        version,
        troubles,
    )
    return Worker(
        settings,
        kubernetes,
        registry,
        identity,
        cluster,
        reflectors,
        election,
        reconciler,
        troubles,
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

    def reflector(
        kind: Kind[Any], tell: Callable[[Any], None], namespace: str = "", selector: str = ""
    ) -> Any:
        return Reflector(kubernetes, kind, then_wake(tell), selector, namespace=namespace)

    reflectors: list[AnyReflector] = []
    for namespace in listed_namespaces(settings):
        selector = settings.label_selector
        reflectors += [
            reflector(SERVICES, cluster.services_changed, namespace, selector),
            reflector(ENDPOINT_SLICES, cluster.slices_changed, namespace),
        ]
        if settings.reverse_verify_pods:
            reflectors.append(reflector(PODS, cluster.pods_changed, namespace))
        if settings.ingress != "off":
            reflectors.append(reflector(INGRESSES, cluster.ingresses_changed, namespace))
    reflectors += [
        reflector(NODES, cluster.nodes_changed),
        reflector(NAMESPACES, cluster.namespaces_changed),
    ]
    return reflectors


def listed_namespaces(settings: SyncSettings) -> list[str]:
    """The namespaces that are listed one by one, so that a Role in each is enough.

    A single empty one stands for all at once.
    """
    if "*" in settings.allow_namespaces:
        return [""]
    denied = settings.deny_namespaces
    return [
        each
        for each in dict.fromkeys(settings.allow_namespaces)
        if each not in denied and "*" not in denied
    ]


# --- run -----------------------------------------------------------------------------------------


async def run(settings: Settings, *, adopt: bool, allow_mass_delete: bool) -> None:
    """Sync until SIGTERM or SIGINT. Raises ForeignCluster, ConfigError, StartupError."""
    stop, started = asyncio.Event(), Started()
    signals.handle(handlers(stop, started))
    await until(stop, settings, started, adopt=adopt, allow_mass_delete=allow_mass_delete)


def handlers(stop: asyncio.Event, started: "Started") -> Mapping[Signals, Callable[[], object]]:
    """What signals mean to a sync worker."""
    return {
        Signals.SIGTERM: stop.set,
        Signals.SIGINT: stop.set,
        Signals.SIGHUP: started.read_credentials_again,
        Signals.SIGUSR1: started.log_figures,
    }


async def until(
    stop: asyncio.Event,
    settings: Settings,
    started: "Started",
    *,
    adopt: bool,
    allow_mass_delete: bool,
) -> None:
    """Sync until `stop`; `started` tells how it goes. Raises as `run` does."""
    address = settings.sync.admin_addr
    try:
        async with contextlib.AsyncExitStack() as stack:
            if address is not None:
                what = "the sync worker's admin endpoint"
                listener = serving.bind(
                    (address.host, address.port), what=what, option="--admin-addr"
                )
                application = admin.application(started, SyncCollector(started))
                await stack.enter_async_context(
                    serving.serving(application, listener, connections=admin.CONNECTIONS)
                )
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            work = tasks.create_task(_work(settings, adopt, allow_mass_delete, started))
            await stop.wait()
            log.info("stopping")
            work.cancel()
    except* ConsuldnsError as group:
        raise first_of(group) from None


@dataclass
class Started:
    """The worker, as soon as there is one: what the admin endpoint tells of."""

    worker: Worker | None = None

    def not_ready(self) -> list[str]:
        """What keeps the worker from being of use."""
        if self.worker is None:
            return ["consul or kubernetes: not found yet"]
        return self.worker.not_ready()

    @property
    def statistics(self) -> Statistics:
        """What was done."""
        return self.worker.statistics if self.worker is not None else Statistics()

    @property
    def reflectors(self) -> Sequence[AnyReflector]:
        """The copies of the cluster's objects."""
        return self.worker.reflectors if self.worker is not None else ()

    @property
    def is_leader(self) -> bool:
        """Whether this worker writes."""
        return self.worker is not None and self.worker.is_leader

    def notes(self) -> list[str]:
        """What else there is to say, without being a reason not to be ready."""
        return ["leader" if self.is_leader else "standby"] if self.worker is not None else []

    def read_credentials_again(self) -> None:
        """Read Consul's token and the Kubernetes credentials again for the next request."""
        if self.worker is None:
            log.info("SIGHUP: credentials are read at each attempt to start")
            return
        try:
            self.worker.kubernetes.read_again()
            self.worker.registry.read_token_again()
        except (ConfigError, ConsulError) as error:
            log.warning("SIGHUP: %s", error)
        else:
            log.info("SIGHUP: the credentials for Consul and Kubernetes have been read again")

    def log_figures(self) -> None:
        """Log what was done so far."""
        done, reasons = self.statistics, "; ".join(self.not_ready())
        log.info(
            "SIGUSR1: sync worker: %s%s",
            "leader" if self.is_leader else "no leader",
            f", not ready: {reasons}" if reasons else ", ready",
        )
        log.info(
            "SIGUSR1: sync worker: services=%d instances=%d transactions=%d reads=%d"
            " held_removals=%d failed_services=%d",
            done.services,
            done.instances,
            done.transactions,
            done.reads,
            done.held_removals,
            done.failed_services,
        )


def first_of(group: BaseExceptionGroup[Any]) -> BaseException:
    """The first error of a group, however deep."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _work(settings: Settings, adopt: bool, allow_mass_delete: bool, started: Started) -> None:
    complaint, said_at = "", 0.0
    while True:
        try:
            async with opened(settings, adopt=adopt, allow_mass_delete=allow_mass_delete) as worker:
                started.worker = worker
                await _run_parts(worker)
        except (ConsulError, KubernetesError) as error:
            if str(error) != complaint or time.monotonic() - said_at >= REMINDERS[0]:
                complaint, said_at = str(error), time.monotonic()
                log.warning("cannot start, trying again: %s", error)
        await asyncio.sleep(RETRY)


async def _run_parts(worker: Worker) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.election.run())
        tasks.create_task(worker.reconciler.run())
        # A leader believes only lists that are younger than its lock: lists come second.
        await worker.election.tried.wait()
        for reflector in worker.reflectors:
            tasks.create_task(reflector.run())
