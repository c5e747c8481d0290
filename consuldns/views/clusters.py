"""The view of the Kubernetes clusters: their services, as described in Consul's KV tree."""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Self

from msgspec.structs import replace

from consuldns import descriptor, names
from consuldns.names import Labels
from consuldns.views.base import ListView, Value
from consuldns.views.networks import Networks


class Port(Value, frozen=True):
    """A port of a Kubernetes service. `protocol` is TCP, UDP or SCTP; a port may have no name."""

    name: str
    protocol: str
    number: int


class EndpointGroup(Value, frozen=True):
    """Ready endpoints with the same ports, each as address and label.

    The label is empty if it is the address with dashes.
    """

    ports: tuple[Port, ...]
    endpoints: tuple[tuple[str, str], ...]


EndpointTable = dict[bytes, list[tuple[str, tuple[Port, ...]]]]
"""Endpoints by folded label: address and ports of each."""


class Service(Value, frozen=True):
    """A service of a Kubernetes cluster, from its descriptor (see `consuldns.descriptor`).

    `flat` is its name in the catalog (empty: it has none), `mode` what its instances there are,
    `reverse` the name that its cluster IPs point to if no key says so. `endpoints` are the ready
    ones, if they are described; None if the catalog has them, or nobody.
    """

    cluster: str
    namespace: str
    name: str
    flat: str
    mode: str
    is_headless: bool
    cluster_ips: tuple[str, ...]
    ports: tuple[Port, ...]
    external_name: str
    reverse: str = descriptor.FLAT
    endpoints: tuple[EndpointGroup, ...] | None = None

    @property
    def path(self) -> str:
        """Cluster, namespace and name: what no two services have in common."""
        return f"{self.cluster}/{self.namespace}/{self.name}"


class Cluster(Value, frozen=True):
    """A Kubernetes cluster. `namespaces` has those without services, too.

    `domain` is the one that the cluster's own DNS has its names under (`cluster.local`).
    `is_complete`: its record is there, which the sync worker writes when all the rest is.
    """

    name: str
    namespaces: tuple[str, ...]
    services: tuple[Service, ...]
    is_complete: bool
    domain: str = descriptor.CLUSTER_DOMAIN

    @property
    def path(self) -> str:
        """What `Clusters` lists the cluster's record as."""
        return f"{self.name}/"

    def merged_with(self, old: "Cluster") -> "Cluster":
        """The cluster with the services, namespaces and endpoints that it lacks of an older one."""
        services = {(each.namespace, each.name): each for each in old.services}
        for each in self.services:
            known = services.get((each.namespace, each.name))
            if known is not None and each.endpoints is None:
                each = replace(each, endpoints=known.endpoints)
            services[each.namespace, each.name] = each
        return Cluster(
            self.name,
            tuple(sorted({*old.namespaces, *self.namespaces})),
            tuple(services.values()),
            self.is_complete or old.is_complete,
            self.domain if self.is_complete else old.domain,
        )

    def restricted_to(self, names: AbstractSet[str]) -> "Cluster | None":
        """What of the cluster is among these names of `Clusters.names_listed`, None if nothing."""
        services = tuple(each for each in self.services if each.path in names)
        if self.path in names:
            return replace(self, services=services)
        return Cluster(self.name, (), services, is_complete=False) if services else None


Namespaces = dict[bytes, dict[bytes, Service]]
"""Services by folded name, by folded name of their namespace."""


class Clusters(ListView, frozen=True):
    """All Kubernetes clusters with their services, in the order of their names."""

    noun = "Kubernetes clusters and services"
    may_be_empty = True
    clusters: tuple[Cluster, ...]

    @property
    def names_listed(self) -> frozenset[str]:
        """Clusters, services, and whose endpoints are described.

        Each cluster is a name as well: the last of its services may go at once.
        """
        found = {cluster.path for cluster in self.clusters}
        for each in (service for cluster in self.clusters for service in cluster.services):
            found.add(each.path)
            if each.endpoints is not None:
                found.add(f"{each.path}/endpoints")
        return frozenset(found)

    def merged_with(self, old: Self) -> Self:
        """The clusters of both, each with the services of both."""
        found = {cluster.name: cluster for cluster in old.clusters}
        for cluster in self.clusters:
            nothing = Cluster(cluster.name, (), (), is_complete=False)
            found[cluster.name] = cluster.merged_with(found.get(cluster.name, nothing))
        return replace(self, clusters=tuple(found[name] for name in sorted(found)))

    def restricted_to(self, names: AbstractSet[str]) -> Self:
        """Some clusters and services."""
        parts = (cluster.restricted_to(names) for cluster in self.clusters)
        return replace(self, clusters=tuple(part for part in parts if part is not None))

    @cached_property
    def all_namespaces(self) -> Namespaces:
        """Those of all clusters in one; a service that two have is that of the first."""
        merged: Namespaces = {}
        for cluster in self.clusters:
            for namespace, services in self.namespaces_of[cluster.name].items():
                merged[namespace] = services | merged.get(namespace, {})
        return merged

    @cached_property
    def namespaces_of(self) -> dict[str, Namespaces]:
        """Those of each cluster."""
        return {cluster.name: _namespaces(cluster) for cluster in self.clusters}

    @cached_property
    def complete(self) -> frozenset[str]:
        """The names of the clusters whose first sync is over."""
        return frozenset(cluster.name for cluster in self.clusters if cluster.is_complete)

    @cached_property
    def domains(self) -> dict[str, Labels]:
        """The folded domain of each cluster's own DNS; Kubernetes' default if its is not valid."""
        return {cluster.name: _domain(cluster.domain) for cluster in self.clusters}

    @cached_property
    def by_address(self) -> dict[bytes, Service]:
        """The first service at each cluster address (packed) that wants a reverse name."""
        found: dict[bytes, Service] = {}
        for packed, service in self.cluster_addresses():
            if service.reverse in (descriptor.FLAT, descriptor.NESTED):
                found.setdefault(packed, service)
        return found

    @cached_property
    def without_reverse_name(self) -> dict[bytes, Service]:
        """The first service at each of the other cluster addresses: it wants no reverse name."""
        found: dict[bytes, Service] = {}
        for packed, service in self.cluster_addresses():
            if packed not in self.by_address:
                found.setdefault(packed, service)
        return found

    def cluster_addresses(self) -> Iterator[tuple[bytes, Service]]:
        """Every cluster address (packed) with its service."""
        for cluster in self.clusters:
            for service in cluster.services:
                if service.is_headless or service.external_name:
                    continue
                for address in map(names.parse_address, service.cluster_ips):
                    if address is not None:
                        yield address.packed, service

    def endpoints_of(self, service: Service) -> EndpointTable | None:
        """The described endpoints of a service; None if they are not described."""
        if service.endpoints is None:
            return None
        key = (service.cluster, service.namespace, service.name)
        if key not in self._endpoints:
            self._endpoints[key] = _by_label(service.endpoints)
        return self._endpoints[key]

    @cached_property
    def _endpoints(self) -> dict[tuple[str, str, str], EndpointTable]:
        """The tables of the services that were asked for: few are, of many."""
        return {}

    @cached_property
    def networks(self) -> Networks:
        """The networks that hold a cluster address which has a reverse name."""
        return Networks(self.by_address)


def _domain(text: str) -> Labels:
    try:
        return names.fold(names.parse_name(text)) or _domain(descriptor.CLUSTER_DOMAIN)
    except ValueError:
        return _domain(descriptor.CLUSTER_DOMAIN)


def _by_label(groups: Iterable[EndpointGroup]) -> EndpointTable:
    found: EndpointTable = {}
    for group in groups:
        for address, label in group.endpoints:
            folded = names.fold_text(label) or names.dashed(address)
            found.setdefault(folded, []).append((address, group.ports))
    return found


def _namespaces(cluster: Cluster) -> Namespaces:
    found: Namespaces = {names.fold_text(namespace): {} for namespace in cluster.namespaces}
    for service in cluster.services:
        services = found.setdefault(names.fold_text(service.namespace), {})
        services[names.fold_text(service.name)] = service
    return found
