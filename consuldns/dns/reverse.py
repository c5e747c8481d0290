"""Answers reverse names: `d.c.b.a.in-addr.arpa` and 32 nibbles under `ip6.arpa`.

An address is looked up in the KV tree first (an operator or the sync worker said so), then among
the Kubernetes services, the nodes, and the services. All are in memory, but for folders of the KV
tree: one is read only if the list of folders has it, so that a random address never costs Consul a
request.
"""

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
    targets = [] if address is None else _targets(address.packed, folders, request)
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


def _targets(packed: bytes, folders: ReverseZones, request: Request) -> list[Labels]:
    """The names of an address, from the first that knows it."""
    targets = _targets_in_kv(packed, folders, request)
    if targets:
        return targets
    reading, domain = request.reading, request.policy.domain
    datacenter = reading.datacenters().local
    target = None
    cluster_service = reading.clusters(datacenter).by_address.get(packed)
    if cluster_service is not None:
        target = kubernetes.name_of(cluster_service, packed, datacenter, request)
    node = reading.nodes(datacenter).by_address.get(packed) if target is None else None
    if node is not None:
        target = records.node_name(node.name, datacenter, domain)
    if target is None:
        service = reading.service_addresses(datacenter).services.get(packed)
        if service is not None:
            target = records.service_name(service, datacenter, domain)
    return [] if target is None else [target]


def _targets_in_kv(packed: bytes, folders: ReverseZones, request: Request) -> list[Labels]:
    targets: dict[Labels, Labels] = {}
    for folder in folders.folders_around(request.name):
        for text in request.reading.reverse_entries(folder).by_address.get(packed, ()):
            try:
                target = names.parse_name(text)
            except ValueError:
                continue  # the KV tree is written by hand
            if target:
                targets.setdefault(names.fold(target), target)
    return list(targets.values())


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
