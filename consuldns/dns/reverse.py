"""Answers reverse names: `d.c.b.a.in-addr.arpa` and 32 nibbles under `ip6.arpa`.

An address is looked up in the KV tree first (an operator or the sync worker said so), then among
the Kubernetes services, the nodes, and the services. All are in memory, but for folders of the KV
tree: one is read only if the list of folders has it, so that a random address never costs Consul a
request.

Nodes and instances that the sync worker wrote for a cluster are not looked at: whoever may write
EndpointSlices in one namespace could otherwise name any address. The worker decides which of them
has a reverse name, and says so by a key (or, for cluster IPs, in the service's descriptor).
"""

from collections.abc import Callable
from dataclasses import dataclass

from consuldns import descriptor, names
from consuldns.dns import lookup, records, zones
from consuldns.dns.answer import Address, RecordGroup, address_type
from consuldns.dns.kubernetes import tree
from consuldns.dns.policy import Zone
from consuldns.dns.question import Type
from consuldns.dns.request import NODATA, NXDOMAIN, Finding, Request, found
from consuldns.names import Labels
from consuldns.views.model import ReverseZones

PTR_TTL = 0  # Consul's, hard-coded there


def find(request: Request) -> tuple[Zone, Finding] | None:
    """What a name in a reverse tree has, and its zone; None if it is in none of our zones.

    An address outside of our zones that we know nevertheless is a zone of its own.
    """
    name = request.name
    folders = request.reading.reverse_zones()
    zone = zones.reverse_zone_of(name, folders, request.policy)
    address = names.address_of(name)
    targets = [] if address is None else _targets(address.packed, request)
    if zone is None:
        if not targets:
            return None
        zone = Zone(name, request.policy.domain)
    pointers = [RecordGroup((records.pointer(name, PTR_TTL, target),)) for target in targets]
    if name == zone.apex:
        return zone, _at_apex(zone, pointers, request)
    if targets:
        return zone, found(pointers) if request.type in (Type.PTR, Type.ANY) else NODATA
    if name in folders.enclosing or name in request.policy.above_zones:
        return zone, NODATA
    exists = address is None and _is_above_an_address(folders, request)
    return zone, NODATA if exists else NXDOMAIN


def _at_apex(zone: Zone, pointers: list[RecordGroup], request: Request) -> Finding:
    if request.type == Type.PTR:
        return found(pointers)
    finding = zones.find_at_apex(zone, request)
    if request.type == Type.ANY:
        return found([*finding.groups, *pointers])
    return finding


def _targets(packed: bytes, request: Request) -> list[Labels]:
    """The names of an address, from the first that knows it."""
    for source in SOURCES:
        targets = source.find(packed, request)
        if targets:
            return targets
    return []


def _of_kv_tree(packed: bytes, request: Request) -> list[Labels]:
    targets: dict[Labels, Labels] = {}
    for folder in request.reading.reverse_zones().folders_around(request.name):
        for text in request.reading.reverse_entries(folder).by_address.get(packed, ()):
            try:
                target = names.parse_name(text)
            except ValueError:
                continue  # the KV tree is written by hand
            if target:
                targets.setdefault(names.fold(target), target)
    return list(targets.values())


def _of_clusters(packed: bytes, request: Request) -> list[Labels]:
    datacenter = request.reading.datacenters().local
    service = request.reading.clusters(datacenter).by_address.get(packed)
    if service is None:
        return []
    candidates = tree.names_of(service, datacenter, request)
    return [name for name in candidates if _leads_to(packed, name, request)][:1]


def _leads_to(packed: bytes, target: Labels, request: Request) -> bool:
    """Whether the name has the address: whatever it is read as, and whichever alias is picked."""
    name = names.fold(target)
    zone = zones.zone_of(name, request.policy)
    if zone is None:
        return False
    type_ = address_type(packed)
    finding = lookup.find(Request(name, type_, zone, request.reading, request.policy))
    has_it = [
        any(record.data == Address(packed) for record in each.records) for each in finding.groups
    ]
    return any(has_it) and (all(has_it) or not finding.exclusive)


def _of_nodes(packed: bytes, request: Request) -> list[Labels]:
    datacenter = request.reading.datacenters().local
    node = request.reading.nodes(datacenter).by_address.get(packed)
    if node is None:
        return []
    return _one(records.node_name(node.name, datacenter, request.policy.domain))


def _of_services(packed: bytes, request: Request) -> list[Labels]:
    datacenter = request.reading.datacenters().local
    service = request.reading.service_addresses(datacenter).services.get(packed)
    if service is None:
        return []
    return _one(records.service_name(service, datacenter, request.policy.domain))


def _one(target: Labels | None) -> list[Labels]:
    return [] if target is None else [target]


def _no_key(packed: bytes, request: Request) -> str:
    return "none has the address"


def _no_service_of_a_cluster(packed: bytes, request: Request) -> str:
    clusters = request.reading.clusters(request.reading.datacenters().local)
    at_address = [each for address, each in clusters.cluster_addresses() if address == packed]
    wanting = clusters.by_address.get(packed)
    if wanting is not None:
        name = f"{wanting.namespace}/{wanting.name}"
        return f"{name} has the address, but none of its names leads to it"
    if at_address:
        name = f"{at_address[0].namespace}/{at_address[0].name}"
        return f"{name} has the address, but is not to have a reverse name without a key"
    return "none has the address"


def _no_node(packed: bytes, request: Request) -> str:
    for node in request.reading.nodes(request.reading.datacenters().local).nodes:
        address = names.parse_address(node.address)
        if node.is_marked and address is not None and address.packed == packed:
            cluster = node.meta[descriptor.NODE_CLUSTER]
            return f"only the node of cluster {cluster!r}, whose address stands for nothing"
    return "none has the address"


def _no_service(packed: bytes, request: Request) -> str:
    index = request.reading.service_addresses(request.reading.datacenters().local)
    services = index.of_clusters.get(packed, ())
    if services and packed not in index.services:
        every = ", ".join(map(repr, services))
        return f"only instances of Kubernetes clusters ({every}), which need a key"
    return "none has the address"


@dataclass(frozen=True, slots=True)
class Source:
    """Who may know an address (packed): the names it gives, and in words why it gives none."""

    name: str
    find: Callable[[bytes, Request], list[Labels]]
    why_none: Callable[[bytes, Request], str]


# The first to be believed first.
SOURCES = (
    Source("a key of the KV tree", _of_kv_tree, _no_key),
    Source("a Kubernetes service", _of_clusters, _no_service_of_a_cluster),
    Source("a node", _of_nodes, _no_node),
    Source("an instance of a service", _of_services, _no_service),
)


def _is_above_an_address(folders: ReverseZones, request: Request) -> bool:
    """Whether a name stands for a network that holds an address which we know."""
    network = names.network_of(request.name)
    if network is None:
        return False
    reading = request.reading
    datacenter = reading.datacenters().local
    return (
        any(
            reading.reverse_entries(folder).networks.hold(*network)
            for folder in folders.folders_around(request.name)
        )
        or reading.clusters(datacenter).networks.hold(*network)
        or reading.nodes(datacenter).networks.hold(*network)
        or reading.service_addresses(datacenter).networks.hold(*network)
    )
