"""The cluster as far as it is known: objects by service, and which services have changed.

Level-triggered: an event marks the services that it touches, and whatever is true when they are
looked at counts. So events may come twice, late, or in any order.
"""

from collections.abc import Callable, Collection, Sequence

from consuldns.sync.kubernetes.objects import (
    EndpointSlice,
    Ingress,
    Namespace,
    Node,
    Pod,
    Service,
    ServiceKey,
)
from consuldns.sync.kubernetes.reflector import Change


class ClusterCache:
    """What the cluster has, and which services have changed.

    `dirty` are services to look at again, `dirty_addresses` addresses whose reverse name may have
    to change though no service did. `on_change` is called after each batch of changes, and after
    each list.
    """

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self._on_change = on_change
        self.services: dict[ServiceKey, Service] = {}
        self.nodes: dict[str, Node] = {}
        self.namespaces: set[str] = set()
        self.pods: dict[str, set[str]] = {}  # their namespaces, by address
        self.dirty: set[ServiceKey] = set()
        self.dirty_addresses: set[str] = set()
        self._exposures: dict[ServiceKey, dict[str, Ingress]] = {}
        self._slices: dict[ServiceKey, dict[str, EndpointSlice]] = {}
        self._node_addresses: set[str] | None = None

    def slices(self, service: ServiceKey) -> Collection[EndpointSlice]:
        """The slices of a service."""
        return self._slices.get(service, {}).values()

    def exposures(self, service: ServiceKey) -> Collection[Ingress]:
        """The Ingresses that lead to a service."""
        return self._exposures.get(service, {}).values()

    @property
    def node_addresses(self) -> set[str]:
        """Every address of every node."""
        if self._node_addresses is None:
            self._node_addresses = {
                each.address for node in self.nodes.values() for each in node.status.addresses or ()
            }
        return self._node_addresses

    def services_changed(self, changes: Sequence[Change[Service]]) -> None:
        """Services came, changed or went."""
        for before, after in changes:
            if before is not None:
                self.services.pop(before.key, None)
                self.dirty.add(before.key)
            if after is not None:
                self.services[after.key] = after
                self.dirty.add(after.key)
        self._on_change()

    def slices_changed(self, changes: Sequence[Change[EndpointSlice]]) -> None:
        """Slices came, changed or went. A slice may move to another service, by its label."""
        for before, after in changes:
            for each in (before, after):
                if each is not None and each.service is not None:
                    self.dirty.add(each.service)
                    self._slices.get(each.service, {}).pop(each.metadata.name, None)
                    if not self._slices.get(each.service, True):
                        del self._slices[each.service]
            if after is not None and after.service is not None:
                self._slices.setdefault(after.service, {})[after.metadata.name] = after
        self._on_change()

    def nodes_changed(self, changes: Sequence[Change[Node]]) -> None:
        """Nodes came, changed or went: NodePort services live on them."""
        for before, after in changes:
            for each in (before, after):
                if each is not None:
                    self.nodes.pop(each.metadata.name, None)
                    self.dirty_addresses |= {a.address for a in each.status.addresses or ()}
            if after is not None:
                self.nodes[after.metadata.name] = after
        self._node_addresses = None
        self.dirty |= {
            key for key, service in self.services.items() if service.spec.type == "NodePort"
        }
        self._on_change()

    def namespaces_changed(self, changes: Sequence[Change[Namespace]]) -> None:
        """Namespaces came or went."""
        for before, after in changes:
            if before is not None:
                self.namespaces.discard(before.metadata.name)
            if after is not None:
                self.namespaces.add(after.metadata.name)
        self._on_change()

    def pods_changed(self, changes: Sequence[Change[Pod]]) -> None:
        """Pods came, changed or went. Those on the host's network own no address."""
        for before, after in changes:
            for each, add in ((before, False), (after, True)):
                if each is None or each.spec.host_network:
                    continue
                for address in each.status.pod_ips or ():
                    self.dirty_addresses.add(address.ip)
                    owners = self.pods.setdefault(address.ip, set())
                    if add and each.status.phase not in ("Succeeded", "Failed"):
                        owners.add(each.metadata.namespace)
                    else:
                        owners.discard(each.metadata.namespace)
                    if not owners:
                        del self.pods[address.ip]
        self._on_change()

    def ingresses_changed(self, changes: Sequence[Change[Ingress]]) -> None:
        """Ingresses came, changed or went, and with them what services they expose."""
        for before, after in changes:
            if before is not None:
                for key in before.services:
                    self.dirty.add(key)
                    self._exposures.get(key, {}).pop(before.metadata.name, None)
                    if not self._exposures.get(key, True):
                        del self._exposures[key]
            if after is not None:
                for key in after.services:
                    self.dirty.add(key)
                    self._exposures.setdefault(key, {})[after.metadata.name] = after
        self._on_change()

    @property
    def is_dirty(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self.dirty or self.dirty_addresses)

    def take_dirty(self) -> tuple[set[ServiceKey], set[str]]:
        """The services and addresses that are to be looked at, and forget them."""
        taken = self.dirty, self.dirty_addresses
        self.dirty, self.dirty_addresses = set(), set()
        return taken
