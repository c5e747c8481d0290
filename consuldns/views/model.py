"""What the views hold.

All are immutable msgspec structures: decoded once from Consul's JSON in the control process
(`consul.decoders`), sent to the workers as MessagePack, and read by the resolver. Look-up tables
are built on first use and live as long as the view. Text keeps Consul's spelling; tables are keyed
by folded bytes, so that a label from a packet can be looked up as it is.
"""

from bisect import bisect_left
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Self

import msgspec
from msgspec.structs import replace

from consuldns import descriptor, names
from consuldns.views.base import ListView, Value, View
from consuldns.views.clusters import Clusters
from consuldns.views.endings import Endings
from consuldns.views.networks import Networks
from consuldns.views.reverse_names import AddressIndex, ReverseEntries, ReverseZones
from consuldns.views.zone_records import ZoneNames, ZoneRecords


class Health(IntEnum):
    """The checks of an instance, those of its node included, in one word.

    Consul drops an instance with any critical check; `only_passing` keeps PASSING alone; the SRV
    weight is Weights.Passing, Weights.Warning for WARNING, and 1 for UNKNOWN (a check with a status
    that Consul does not define). An instance without checks is PASSING.
    """

    PASSING = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


class Node(Value, frozen=True):
    """A node of the catalog. `tagged_addresses` by tag: lan, lan_ipv4, lan_ipv6, wan, ..."""

    name: str
    id: str
    address: str
    datacenter: str
    tagged_addresses: dict[str, str]
    meta: dict[str, str]

    @property
    def is_marked(self) -> bool:
        """Whether it is the node of a Kubernetes cluster, whose address stands for nothing."""
        return descriptor.is_marked({}, self.meta)


class ServiceAddress(Value, frozen=True):
    """A tagged address of an instance."""

    address: str
    port: int


class Instance(Value, frozen=True):
    """An instance of a service, with its node. An empty address means the node's.

    `failing` names checks that do not pass, "node/check: status" each, for people to read. `ports`
    are named ones (from Consul 1.22 on).
    """

    node: Node
    id: str
    service: str
    address: str
    port: int
    tags: tuple[str, ...]
    meta: dict[str, str]
    tagged_addresses: dict[str, ServiceAddress]
    weight_passing: int
    weight_warning: int
    health: Health
    failing: tuple[str, ...] = ()
    ports: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def is_marked(self) -> bool:
        """Whether the sync worker wrote it for a Kubernetes cluster."""
        return descriptor.is_marked(self.meta, self.node.meta)


class Datacenters(View, frozen=True):
    """The datacenters that Consul knows; `local` is the one of the agent that is asked."""

    local: str
    names: tuple[str, ...]

    @cached_property
    def by_name(self) -> dict[bytes, str]:
        """Consul's spelling by folded name."""
        return {names.fold_text(name): name for name in self.names}


class Services(ListView, frozen=True):
    """All services of a datacenter by name, and every tag that any of them has."""

    noun = "services"
    names: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def names_listed(self) -> frozenset[str]:
        """The names of the services, as Consul spells them."""
        return frozenset(self.names)

    def merged_with(self, old: Self) -> Self:
        """The names and tags of both."""
        found, tags = {*old.names, *self.names}, {*old.tags, *self.tags}
        return replace(self, names=tuple(sorted(found)), tags=tuple(sorted(tags)))

    def restricted_to(self, names: AbstractSet[str]) -> Self:
        """Some services; with all tags, since it is not known whose each is."""
        return replace(self, names=tuple(name for name in self.names if name in names))

    @cached_property
    def by_name(self) -> dict[bytes, str]:
        """Consul's spelling by folded name."""
        return {names.fold_text(name): name for name in self.names}

    @cached_property
    def name_suffixes(self) -> Endings:
        """What follows a dot in a service's name, folded: `b.c` of `a.b.c`."""
        return Endings(b".", self.by_name)

    @cached_property
    def after_dashes(self) -> Endings:
        """What follows a dash in a service's name, folded: `b-c` and `c` of `a-b-c`."""
        return Endings(b"-", self.by_name)

    @cached_property
    def folded_tags(self) -> frozenset[bytes]:
        """All tags, folded."""
        return frozenset(names.fold_text(tag) for tag in self.tags)

    @cached_property
    def tag_suffixes(self) -> Endings:
        """What follows a dot in a tag, folded: `2` of `v1.2`."""
        return Endings(b".", self.folded_tags)


class Nodes(ListView, frozen=True):
    """All nodes of a datacenter, in Consul's order (by name)."""

    noun = "nodes"
    nodes: tuple[Node, ...]

    @property
    def names_listed(self) -> frozenset[str]:
        """`<name>.node`: a node that is called like Consul's own service is no canary."""
        return frozenset(f"{node.name}.node" for node in self.nodes)

    def merged_with(self, old: Self) -> Self:
        """The nodes of both, those that both have as they are in this one."""
        by_name = {node.name: node for node in (*old.nodes, *self.nodes)}
        ordered = sorted(by_name.values(), key=lambda node: node.name.lower())
        return replace(self, nodes=tuple(ordered))

    def restricted_to(self, names: AbstractSet[str]) -> Self:
        """Some nodes."""
        return replace(self, nodes=tuple(n for n in self.nodes if f"{n.name}.node" in names))

    @cached_property
    def by_name(self) -> dict[bytes, Node]:
        """Nodes by folded name. A node's name may hold dots."""
        return {names.fold_text(node.name): node for node in reversed(self.nodes)}

    @cached_property
    def name_suffixes(self) -> Endings:
        """What follows a dot in a node's name, folded: `dotted` of `foo.dotted`."""
        return Endings(b".", self.by_name)

    @cached_property
    def of_consul_k8s(self) -> bool:
        """Whether there is a node that consul-k8s keeps its services on."""
        return any(
            node.meta.get(descriptor.SOURCE) == descriptor.KUBERNETES
            and descriptor.NODE_CLUSTER not in node.meta
            for node in self.nodes
        )

    @cached_property
    def _by_id(self) -> list[tuple[str, Node]]:
        """Nodes that have an id, sorted by its hexadecimal digits."""
        digits = ((node.id.replace("-", "").lower(), node) for node in self.nodes if node.id)
        return sorted(digits, key=lambda pair: pair[0])

    def with_id_prefix(self, digits: str) -> Node | None:
        """The one node whose id begins with these hexadecimal digits (lower case, no dashes)."""
        position = bisect_left(self._by_id, digits, key=lambda pair: pair[0])
        found = [
            node for key, node in self._by_id[position : position + 2] if key.startswith(digits)
        ]
        return found[0] if len(found) == 1 else None

    @cached_property
    def by_address(self) -> dict[bytes, Node]:
        """The first node (in Consul's order) of each packed address, for PTR.

        Nodes of Kubernetes clusters are left out: their address stands for nothing.
        """
        return _by_address(node for node in self.nodes if not node.is_marked)

    @cached_property
    def all_by_address(self) -> dict[bytes, tuple[Node, ...]]:
        """All nodes of each packed address, as `by_address`."""
        found: dict[bytes, tuple[Node, ...]] = {}
        for node in self.nodes:
            address = names.registered_address(node.address)
            if address is not None and not node.is_marked:
                found[address.packed] = (*found.get(address.packed, ()), node)
        return found

    @cached_property
    def marked_by_address(self) -> dict[bytes, Node]:
        """Those that were left out."""
        return _by_address(node for node in self.nodes if node.is_marked)

    @cached_property
    def networks(self) -> Networks:
        """The networks that hold a node's address."""
        return Networks(self.by_address)


def _by_address(nodes: Iterable[Node]) -> dict[bytes, Node]:
    found: dict[bytes, Node] = {}
    for node in nodes:
        address = names.registered_address(node.address)
        if address is not None:
            found.setdefault(address.packed, node)
    return found


class Instances(View, frozen=True):
    """The instances of one service, whatever their health. Empty: the service is gone."""

    instances: tuple[Instance, ...]

    @cached_property
    def usable(self) -> tuple[Instance, ...]:
        """Those without a critical check, which Consul answers with."""
        return tuple(each for each in self.instances if each.health is not Health.CRITICAL)

    @cached_property
    def passing(self) -> tuple[Instance, ...]:
        """Those whose checks all pass, which Consul answers with under `only_passing`."""
        return tuple(each for each in self.instances if each.health is Health.PASSING)


class QueryResult(Instances, frozen=True):
    """What a prepared query found: instances in the server's order, already filtered by health.

    `service` and `datacenter` are where they are: after a failover, not those that were asked.
    `ttl` in seconds, None if the query sets none. `exists`: there is such a query.
    """

    exists: bool = True
    service: str = ""
    datacenter: str = ""
    ttl: int | None = None


class PreparedQueries(View, frozen=True):
    """The prepared queries that are known by name (and id); a token may hide some, or all."""

    names: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()

    @cached_property
    def known(self) -> frozenset[bytes]:
        """Names and ids, folded."""
        return frozenset(names.fold_text(each) for each in (*self.names, *self.ids))

    @cached_property
    def name_suffixes(self) -> Endings:
        """What follows a dot in the name of a query, folded: `b` of `a.b`."""
        return Endings(b".", self.known)


class PeerNodes(View, frozen=True):
    """Nodes of a peer, or of a partition: no list that anything else depends on."""

    nodes: tuple[Node, ...]

    @cached_property
    def table(self) -> Nodes:
        """The same, to be looked up."""
        return Nodes(self.index, self.nodes)


class Peers(View, frozen=True):
    """The clusters that this one is peered with."""

    names: tuple[str, ...] = ()

    @cached_property
    def by_name(self) -> dict[bytes, str]:
        """Consul's spelling by folded name."""
        return {names.fold_text(name): name for name in self.names}


if TYPE_CHECKING:
    AnyView = View
else:  # what msgspec decodes: it tells them apart by their tags
    AnyView = (
        Datacenters
        | Services
        | Nodes
        | Instances
        | QueryResult
        | PreparedQueries
        | Peers
        | PeerNodes
        | ReverseZones
        | ReverseEntries
        | ZoneNames
        | ZoneRecords
        | AddressIndex
        | Clusters
    )
