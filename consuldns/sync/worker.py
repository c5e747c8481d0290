"""One sync worker: the parts that follow a cluster and write to Consul, put together.

    reflectors (one a kind) --> cache --> selection --> reconciler --> catalog (Consul)
    leader election (session and lock) -------------------^

A worker that is stopped releases the lock and removes nothing.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from consuldns.config.schema import Settings
from consuldns.config.sync import SyncSettings
from consuldns.consul.catalog import Catalog
from consuldns.consul.http.client import Client as ConsulClient
from consuldns.sync.cache import ClusterCache
from consuldns.sync.kubernetes import cluster_uid
from consuldns.sync.kubernetes.client import KubernetesClient
from consuldns.sync.kubernetes.kubeconfig import find_access
from consuldns.sync.kubernetes.objects import (
    ENDPOINT_SLICES,
    INGRESSES,
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    ResourceKind,
)
from consuldns.sync.kubernetes.reflector import AnyReflector, Reflector
from consuldns.sync.kubernetes.troubles import Troubles
from consuldns.sync.leader_election import LeaderElection
from consuldns.sync.ownership import Identity, node_of
from consuldns.sync.reconciler import Reconciler, Wakeup
from consuldns.sync.selection import Selection
from consuldns.sync.statistics import Statistics

_log = logging.getLogger(__name__)

MAX_BODY = 256 << 20  # bytes; 100,000 instances are 80 MB


class SyncWorker:
    """One worker, at both of its ends; nothing has been listed yet.

    `version` is that of the API server. `adopt`: take over what a former cluster of the name has.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        kubernetes: KubernetesClient,
        identity: Identity,
        version: str,
        *,
        is_proven: bool = False,
        adopt: bool = False,
        allow_mass_delete: bool = False,
    ) -> None:
        self.settings, self.catalog, self.kubernetes = settings, catalog, kubernetes
        self.identity = identity
        self.troubles = Troubles()
        self._uid = identity.uid if is_proven else ""
        wakeup = Wakeup()
        self.cache = ClusterCache(wakeup.set)
        self.selection = Selection(self.cache, settings.sync)
        self.reflectors = list(self._reflectors(settings.sync))
        self.election = LeaderElection(
            catalog, identity, wakeup.set, adopt=adopt, troubles=self.troubles
        )
        self.reconciler = Reconciler(
            settings.sync,
            catalog,
            self.election,
            self.selection,
            self.reflectors,
            version=version,
            troubles=self.troubles,
            wakeup=wakeup,
            allow_mass_delete=allow_mass_delete,
        )

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(
        cls, settings: Settings, *, adopt: bool = False, allow_mass_delete: bool = False
    ) -> AsyncIterator["SyncWorker"]:
        """A worker at a Consul and a Kubernetes API that have answered.

        Raises ConsulError, KubernetesError, ConfigError.
        """
        consul = ConsulClient(settings.consul, max_body=MAX_BODY)
        try:
            async with KubernetesClient(find_access(settings.sync)) as kubernetes:
                catalog = Catalog(consul)
                identity, is_proven, version = await _identify(settings, catalog, kubernetes)
                yield cls(
                    settings,
                    catalog,
                    kubernetes,
                    identity,
                    version,
                    is_proven=is_proven,
                    adopt=adopt,
                    allow_mass_delete=allow_mass_delete,
                )
        finally:
            await consul.aclose()

    def _reflectors(self, sync: SyncSettings) -> Iterator[AnyReflector]:
        cache = self.cache
        for namespace in listed_namespaces(sync):
            yield self._reflector(SERVICES, cache.services_changed, namespace, sync.label_selector)
            yield self._reflector(ENDPOINT_SLICES, cache.slices_changed, namespace)
            if sync.reverse_verify_pods:
                yield self._reflector(PODS, cache.pods_changed, namespace)
            if sync.ingress != "off":
                yield self._reflector(INGRESSES, cache.ingresses_changed, namespace)
        yield self._reflector(NODES, cache.nodes_changed)
        yield self._reflector(NAMESPACES, cache.namespaces_changed)

    def _reflector(
        self,
        kind: ResourceKind[Any],
        on_change: Callable[[Any], None],
        namespace: str = "",
        label_selector: str = "",
    ) -> Any:
        return Reflector(
            self.kubernetes,
            kind,
            on_change,
            label_selector,
            cluster_uid=self._uid,
            namespace=namespace,
            troubles=self.troubles,
        )

    async def run(self) -> None:
        """Follow the cluster and write until cancelled. Raises ForeignCluster."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.election.run())
            tasks.create_task(self.reconciler.run())
            # A leader believes only lists that are younger than its lock: lists come second.
            await self.election.tried.wait()
            for reflector in self.reflectors:
                tasks.create_task(reflector.run())

    async def list_once(self) -> None:
        """List every kind once, without watching, but for those that are withheld.

        Raises KubernetesError, also if no services can be listed at all.
        """
        for reflector in self.reflectors:
            await reflector.list_once()
        if not self.reconciler.known().any_services:
            raise self.troubles.current[self._of_services[0].subject].error
        self.troubles.say(at_once=True)

    def read_credentials_again(self) -> None:
        """Read Consul's token and the Kubernetes credentials again for the next request.

        Raises ConfigError, ConsulError.
        """
        self.kubernetes.read_again()
        self.catalog.read_credentials_again()

    def not_ready(self) -> list[str]:
        """What keeps the worker from being of use, one reason each. A standby is ready.

        A kind that is withheld is done without, but not if no services can be followed.
        """
        reasons = [
            f"kubernetes: {reflector.subject} not listed yet"
            for reflector in self.reflectors
            if not reflector.store.is_listed and not reflector.withheld
        ]
        services = self._of_services
        if services and all(each.stale_since is not None for each in services):
            first = self.troubles.current[services[0].subject]
            reasons.append(f"kubernetes: services cannot be watched: {first.error}")
        return reasons

    @property
    def _of_services(self) -> list[AnyReflector]:
        return [each for each in self.reflectors if each.kind == SERVICES]

    @property
    def statistics(self) -> Statistics:
        """What was done."""
        return self.reconciler.statistics

    @property
    def is_leader(self) -> bool:
        """Whether this worker is the leader."""
        return self.election.lock is not None


async def _identify(
    settings: Settings, catalog: Catalog, kubernetes: KubernetesClient
) -> tuple[Identity, bool, str]:
    """Which cluster this is, whether its UID was read there, and the API server's version."""
    agent, datacenter = await catalog.version(), await catalog.datacenter()
    version = await kubernetes.version()
    cluster, domain = settings.sync.cluster, settings.dns.domain
    node = await catalog.node(node_of(cluster))
    uid, is_proven = await cluster_uid.find(kubernetes, node)
    _log.info(
        "Consul: agent=%s address=%s datacenter=%s", agent, settings.consul.address, datacenter
    )
    _log.info(
        "Kubernetes: api=%s version=%s account=%s from=%s cluster=%s uid=%s",
        kubernetes.access.url,
        version,
        await kubernetes.access.account_name(),
        kubernetes.access.origin,
        cluster,
        uid,
    )
    zone = settings.sync.zone or f"{datacenter}.{domain}"
    mark = cluster_uid.api_mark(kubernetes.access)
    return Identity(cluster, uid, datacenter, domain, zone, api=mark), is_proven, version


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
