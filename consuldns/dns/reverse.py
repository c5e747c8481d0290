"""Answers reverse names: `d.c.b.a.in-addr.arpa` and 32 nibbles under `ip6.arpa`.

An address is looked up in the KV tree first (an operator or the sync worker said so), then among
the Kubernetes services, the nodes, and the services. All are in memory, but for folders of the KV
tree: one is read only if the list of folders has it, so that a random address never costs Consul a
request.

Nodes and instances that the sync worker wrote for a cluster are not looked at: who may write
EndpointSlices in one namespace could otherwise name any address. The worker decides which of them
has a reverse name, and says so by a key (or, for cluster IPs, in the service's descriptor).
"""

from collections.abc import Iterator

from consuldns import descriptor, names
from consuldns.dns import records, zones
from consuldns.dns.answer import Address, Outcome, RecordGroup, address_type
from consuldns.dns.finder import (
    EMPTY_NON_TERMINAL,
    Find,
    Finding,
    Reason,
    Request,
    Why,
    found,
    missing,
    missing_below,
)
from consuldns.dns.grammar.meanings import (
    AddressKey,
    AddressOfKubernetes,
    AddressOfNode,
    AddressOfService,
    NetworkNonTerminal,
)
from consuldns.dns.kubernetes import tree
from consuldns.dns.question import Type
from consuldns.names import Labels
from consuldns.views.networks import Networks
from consuldns.views.store import ViewReader

PTR_TTL = 0  # Consul's, hard-coded there
NO_ADDRESS = missing(Reason.NO_ADDRESS)
NO_NETWORK = missing(Reason.NO_NETWORK)


def find_key(name: AddressKey, request: Request) -> Finding:
    """The names that the KV tree gives an address."""
    targets: dict[Labels, Labels] = {}
    for folder in request.views.reverse_zones().folders_around(request.name):
        for text in request.views.reverse_entries(folder).by_address.get(name.packed, ()):
            try:
                target = names.parse_name(text)
            except ValueError:
                continue  # the KV tree is written by hand
            if target:
                targets.setdefault(names.fold(target), target)
    return _pointers(list(targets.values()), request) if targets else NO_ADDRESS


def find_kubernetes(name: AddressOfKubernetes, request: Request, find: Find) -> Finding:
    """The first name of the Kubernetes service at an address that leads to the address."""
    datacenter = request.views.datacenters().local
    clusters = request.views.clusters(datacenter)
    service = clusters.by_address.get(name.packed)
    if service is None:
        without = clusters.without_reverse_name.get(name.packed)
        if without is None:
            return NO_ADDRESS
        return missing(Reason.NO_REVERSE_NAME, f"{without.namespace}/{without.name}")
    for target in tree.names_of(service, datacenter, request):
        if _leads_to(name.packed, target, request, find):
            return _pointers([target], request)
    return missing(Reason.NO_NAME_LEADS_BACK, f"{service.namespace}/{service.name}")


def _leads_to(packed: bytes, target: Labels, request: Request, find: Find) -> bool:
    """Whether the name has the address: whatever it means, and whichever alias is picked."""
    name = names.fold(target)
    zone = zones.zone_of(name, request.views, request.policy)
    if zone is None:
        return False
    finding = find(Request(name, address_type(packed), zone, request.views, request.policy))
    has_it = [
        any(record.data == Address(packed) for record in each.records) for each in finding.groups
    ]
    return any(has_it) and (all(has_it) or not finding.exclusive)


def find_node(name: AddressOfNode, request: Request) -> Finding:
    """The node at an address."""
    datacenter = request.views.datacenters().local
    nodes = request.views.nodes(datacenter)
    node = nodes.by_address.get(name.packed)
    if node is None:
        marked = nodes.marked_by_address.get(name.packed)
        if marked is None:
            return NO_ADDRESS
        return missing(Reason.NODE_OF_CLUSTER, marked.meta[descriptor.NODE_CLUSTER])
    every: list[str] = [node.name]
    if request.policy.all_reverse_names:
        every = [each.name for each in nodes.all_by_address[name.packed]]
    found_names = [records.node_name(each, datacenter, request.policy.domain) for each in every]
    targets = [each for each in found_names if each is not None]
    if request.policy.all_reverse_names:
        targets += _services_at(name.packed, datacenter, request)
    return _pointers(targets, request) if targets else NO_ADDRESS


def _services_at(packed: bytes, datacenter: str, request: Request) -> list[Labels]:
    """The names of the services at an address: the first one, or all that are set to be given."""
    index = request.views.service_addresses(datacenter)
    first = index.services.get(packed)
    every = [] if first is None else [first]
    if request.policy.all_reverse_names:
        every += index.others.get(packed, ())
    domain = request.policy.domain
    found_names = [records.service_name(each, datacenter, domain) for each in every]
    return [each for each in found_names if each is not None]


def find_service(name: AddressOfService, request: Request) -> Finding:
    """The service that has an instance at an address."""
    datacenter = request.views.datacenters().local
    index = request.views.service_addresses(datacenter)
    if name.packed not in index.services:
        of_clusters = index.of_clusters.get(name.packed, ())
        if not of_clusters:
            return NO_ADDRESS
        return missing(Reason.INSTANCES_OF_CLUSTERS, tuple(of_clusters))
    targets = _services_at(name.packed, datacenter, request)
    return _pointers(targets, request) if targets else NO_ADDRESS


def _pointers(targets: list[Labels], request: Request) -> Finding:
    """PTR records for a name in a reverse tree, which may be the apex of its zone as well."""
    why = (Why(Reason.POINTS_TO, tuple(targets)),)
    groups = [RecordGroup((records.pointer(request.name, PTR_TTL, each),)) for each in targets]
    if request.type == Type.PTR:
        return found(groups, why=why)
    if request.name != request.zone.apex:
        return (
            found(groups, why=why) if request.type == Type.ANY else Finding(Outcome.NODATA, why=why)
        )
    at_apex = zones.find_at_apex(request.zone, request)
    return found([*at_apex.groups, *groups]) if request.type == Type.ANY else at_apex


def find_network(name: NetworkNonTerminal, request: Request) -> Finding:
    """Whether a name stands for a network that holds an address which we know."""
    if zones.is_above_zone(request):
        return EMPTY_NON_TERMINAL
    folders = request.views.reverse_zones().folders_around(request.name)
    for each in _networks(folders, request.views):
        if each.hold(*name.network):
            return EMPTY_NON_TERMINAL
    return NO_NETWORK


def _networks(folders: tuple[str, ...], views: ViewReader) -> Iterator[Networks]:
    """The networks that hold an address which we know, by some folders of the KV tree."""
    datacenter = views.datacenters().local
    for folder in folders:
        yield views.reverse_entries(folder).networks
    yield views.clusters(datacenter).networks
    yield views.nodes(datacenter).networks
    yield views.service_addresses(datacenter).networks


def deny(request: Request) -> Finding:
    """How much of a missing name in a reverse zone exists."""
    if request.zone.is_found_by_address:
        return NO_ADDRESS
    name = request.name
    for existing in range(len(request.zone.apex), len(name)):
        labels = _NetworkLabels(name[-existing:], request.views)
        if name[-existing - 1] not in labels:
            return missing_below(existing, labels, Reason.NO_ADDRESS, b"", ())
    return NO_ADDRESS


class _NetworkLabels:
    """The labels directly below a network's name that may exist.

    Folders of the KV tree that are not around the network are read for questions about them alone.
    """

    def __init__(self, above: Labels, views: ViewReader) -> None:
        self._above = above
        self._zones = views.reverse_zones()
        self._around = self._zones.folders_around(above)
        self._networks = tuple(_networks(self._around, views))

    def __contains__(self, label: bytes, /) -> bool:
        name = (label, *self._above)
        network = names.network_of(name)
        if network is None:
            return False
        if name in self._zones.enclosing or self._zones.folders_around(name) != self._around:
            return True
        return any([each.hold(*network) for each in self._networks])
