"""Answers reverse names: `d.c.b.a.in-addr.arpa` and 32 nibbles under `ip6.arpa`.

An address is looked up in the KV tree first (an operator or the sync worker said so), then among
the Kubernetes services, the nodes, and the services. All are in memory, but for folders of the KV
tree: one is read only if the list of folders has it, so that a random address never costs Consul a
request.
"""

from collections.abc import Callable

from consuldns import names
from consuldns.dns import kubernetes, records, zones
from consuldns.dns.answer import Contribution
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
    pointers = [Contribution((records.pointer(name, PTR_TTL, target),)) for target in targets]
    if name == zone.apex:
        return zone, _at_apex(zone, pointers, request)
    if targets:
        return zone, found(pointers) if request.type in (Type.PTR, Type.ANY) else NODATA
    if name in folders.enclosing or name in request.policy.above_zones:
        return zone, NODATA
    exists = address is None and _is_above_an_address(folders, request)
    return zone, NODATA if exists else NXDOMAIN


def _at_apex(zone: Zone, pointers: list[Contribution], request: Request) -> Finding:
    if request.type == Type.PTR:
        return found(pointers)
    finding = zones.find_at_apex(zone, request)
    if request.type == Type.ANY:
        return found([*finding.contributions, *pointers])
    return finding


def _targets(packed: bytes, request: Request) -> list[Labels]:
    """The names of an address, from the first that knows it."""
    for find_targets in SOURCES.values():
        targets = find_targets(packed, request)
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
    return _one(kubernetes.name_of(service, packed, datacenter, request))


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


# Who may know an address, the first to be believed first.
SOURCES: dict[str, Callable[[bytes, Request], list[Labels]]] = {
    "a key of the KV tree": _of_kv_tree,
    "a Kubernetes service": _of_clusters,
    "a node": _of_nodes,
    "an instance of a service": _of_services,
}


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
