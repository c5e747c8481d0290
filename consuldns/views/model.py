"""What the views hold.

All are immutable msgspec structures: decoded once from Consul's JSON in the control process
(`consul.translate`), sent to the workers as MessagePack, and read by the resolver. Look-up tables
are built on first use and live as long as the view. Text keeps Consul's spelling; tables are keyed
by folded octets, so that a label from a packet can be looked up as it is.
"""

from enum import IntEnum
from functools import cached_property
from ipaddress import IPv4Address

import msgspec

from consuldns import names
from consuldns.names import IN_ADDR_ARPA, IP6_ARPA, Labels


class View(msgspec.Struct, frozen=True, array_like=True, tag=True, dict=True):
    """One piece of Consul's state. `index` is its X-Consul-Index (0: it has none)."""

    index: int


class Value(msgspec.Struct, frozen=True, array_like=True):
    """A part of a view."""


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


class ServiceAddress(Value, frozen=True):
    """A tagged address of an instance."""

    address: str
    port: int


class Instance(Value, frozen=True):
    """An instance of a service, with its node. An empty address means the node's."""

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


class Datacenters(View, frozen=True):
    """The datacenters that Consul knows; `local` is the one of the agent that is asked."""

    local: str
    names: tuple[str, ...]

    @cached_property
    def by_name(self) -> dict[bytes, str]:
        """Consul's spelling by folded name."""
        return {name.lower().encode(): name for name in self.names}


class Services(View, frozen=True):
    """All services of a datacenter by name, and every tag that any of them has."""

    names: tuple[str, ...]
    tags: tuple[str, ...]

    @cached_property
    def by_name(self) -> dict[bytes, str]:
        """Consul's spelling by folded name."""
        return {name.lower().encode(): name for name in self.names}

    @cached_property
    def folded_tags(self) -> frozenset[bytes]:
        """All tags, folded."""
        return frozenset(tag.lower().encode() for tag in self.tags)


class Nodes(View, frozen=True):
    """All nodes of a datacenter, in Consul's order (by name)."""

    nodes: tuple[Node, ...]

    @cached_property
    def by_name(self) -> dict[bytes, Node]:
        """Nodes by folded name. A node's name may hold dots."""
        return {node.name.lower().encode(): node for node in reversed(self.nodes)}

    @cached_property
    def by_address(self) -> dict[bytes, Node]:
        """The first node (in Consul's order) of each packed address."""
        found: dict[bytes, Node] = {}
        for node in self.nodes:
            address = names.parse_address(node.address)
            if address is not None:
                found.setdefault(address.packed, node)
        return found


class Instances(View, frozen=True):
    """The instances of one service, whatever their health. Empty: the service is gone."""

    instances: tuple[Instance, ...]


class ReverseZones(View, frozen=True):
    """The folders of the KV tree's root that are named like reverse zones, as spelled there."""

    folders: tuple[str, ...]

    @cached_property
    def by_name(self) -> dict[Labels, tuple[str, ...]]:
        """Folders by folded name: `0.70.254.10.IN-ADDR.ARPA` under its six labels."""
        found: dict[Labels, tuple[str, ...]] = {}
        for folder in self.folders:
            name = reverse_folder_name(folder)
            if name is not None:
                found[name] = (*found.get(name, ()), folder)
        return found


def reverse_folder_name(folder: str) -> Labels | None:
    """The folded name of a KV folder that is named like a reverse zone, None for any other.

    Either case and a final dot are taken: the proof of concept wrote `0.70.254.10.IN-ADDR.ARPA`.
    """
    try:
        name = names.fold(names.parse_name(folder.rstrip("/")))
    except ValueError:
        return None
    is_reverse = names.is_below(name, IN_ADDR_ARPA) or names.is_below(name, IP6_ARPA)
    return name if is_reverse and len(name) > 2 else None


def reverse_folder_apex(name: Labels) -> Labels:
    """The zone that a folder stands for: the literal host label `0` of the layout is dropped.

    `0.70.254.10.in-addr.arpa` (a /24, as the proof of concept wrote it) is the zone
    `70.254.10.in-addr.arpa`; `0.<16 nibbles>.ip6.arpa` is the zone of that /64.
    """
    host_labels = 6 if names.is_below(name, IN_ADDR_ARPA) else 19
    return name[1:] if len(name) == host_labels and name[0] == b"0" else name


class ReverseEntry(Value, frozen=True):
    """A key of a reverse folder: the address (its last part), and the names that it points to."""

    address: str
    targets: tuple[str, ...]  # presentation form, without a final dot
    flags: int  # KV Flags: tells whose key it is (the sync worker marks its own)


class ReverseEntries(View, frozen=True):
    """The reverse names of one folder."""

    entries: tuple[ReverseEntry, ...]

    @cached_property
    def by_address(self) -> dict[bytes, tuple[str, ...]]:
        """Targets by packed address."""
        found: dict[bytes, tuple[str, ...]] = {}
        for entry in self.entries:
            address = names.parse_address(entry.address)
            if address is not None:
                found[address.packed] = (*found.get(address.packed, ()), *entry.targets)
        return found


class AddressIndex(View, frozen=True):
    """The first service instance at each address, for PTR: packed address to service name."""

    services: dict[bytes, str]

    @cached_property
    def networks(self) -> frozenset[bytes]:
        """Every /8, /16 and /24 that holds one of the IPv4 addresses, as 1 to 3 octets."""
        return network_prefixes(self.services)


def network_prefixes(addresses: "dict[bytes, str] | dict[bytes, Node]") -> frozenset[bytes]:
    """Octet prefixes of the packed IPv4 addresses: the empty non-terminals of in-addr.arpa."""
    size = len(IPv4Address(0).packed)
    return frozenset(a[:n] for a in addresses if len(a) == size for n in range(1, size))


AnyView = Datacenters | Services | Nodes | Instances | ReverseZones | ReverseEntries | AddressIndex
