"""Answers names with explicit labels for where: peers, namespaces, partitions, sameness groups.

Consul's servers know of these, and no list here does but that of the peers: so the names are looked
up one by one (ADR 22). The targets of SRV are addresses as names, which mean the same everywhere.
"""

from msgspec.structs import replace

from consuldns.dns import consul_rules
from consuldns.dns.answer import RecordGroup, address_type
from consuldns.dns.consul import nodes
from consuldns.dns.consul.instances import answer
from consuldns.dns.finder import (
    EMPTY_NON_TERMINAL,
    Finding,
    Reason,
    Request,
    Why,
    found,
    missing,
)
from consuldns.dns.grammar.locality import NO_TENANCY
from consuldns.dns.grammar.meanings import (
    LocalityNonTerminal,
    PartitionNodeName,
    PeerNodeName,
    PortName,
    Tenancy,
    TenantServiceName,
    VirtualName,
)
from consuldns.dns.question import Type
from consuldns.dns.records import address
from consuldns.names import parse_address, text_of
from consuldns.views import keys
from consuldns.views.keys import is_guessable
from consuldns.views.model import Instances

VIRTUAL = "consul-virtual"  # the tagged address that Consul itself gives proxies


def find_service(name: TenantServiceName, request: Request) -> Finding:
    """The healthy instances of a service, with the tag if one is given."""
    datacenter = request.datacenter(name.datacenter)
    if datacenter is None:
        return request.no_datacenter(name.datacenter)
    every = _instances(name.service, datacenter, name.tenancy, request)
    if every is None or not every.instances:
        return missing(Reason.NO_SERVICE, label=name.service)
    healthy = chosen = request.healthy(every)
    if name.tag is not None:
        tag = name.tag
        chosen = tuple(each for each in healthy if consul_rules.has_tag(each, tag))
    if not healthy:
        return missing(Reason.NOT_HEALTHY, every.instances)
    if not chosen:
        return missing(Reason.NO_INSTANCE_WITH_TAGS, healthy, (name.tag,))
    ttl = request.policy.ttl_of_service(name.service)
    finding = answer(chosen, datacenter, ttl, request, by_address=True)
    if len(healthy) < len(every.instances):
        return replace(finding, why=(Why(Reason.SOME_UNHEALTHY, (every.instances, healthy)),))
    return finding


def find_node(name: PeerNodeName, request: Request) -> Finding:
    """A node of a peer."""
    local = request.views.datacenters().local
    peers = request.views.read(keys.PeerList(local)).by_name
    peer = peers.get(name.peer)
    if peer is None:
        return missing(Reason.NO_PEER, label=name.peer, among=peers)
    view = request.views.read(keys.PeerNodes(local, peer))
    return nodes.find_among(view.table, name.node, request)


def find_node_in_partition(name: PartitionNodeName, request: Request) -> Finding:
    """A node of another partition, by its whole name."""
    datacenter = request.datacenter(name.datacenter)
    if datacenter is None:
        return request.no_datacenter(name.datacenter)
    node, partition = text_of(name.node), text_of(name.partition)
    if not node or not partition or not is_guessable(node) or not is_guessable(partition):
        return missing(Reason.NO_NODE, label=name.node)
    view = request.views.read(keys.PartitionNode(datacenter, node, partition))
    return nodes.find_among(view.table, name.node, request)


def find_virtual(name: VirtualName, request: Request) -> Finding:
    """The virtual address of a service, which its proxies tell."""
    datacenter = request.datacenter(name.datacenter)
    if datacenter is None:
        return request.no_datacenter(name.datacenter)
    if name.tenancy == NO_TENANCY:
        listed = request.views.listed_service(datacenter, name.service)
        if listed is None:
            return missing(Reason.NO_SERVICE, label=name.service)
        every = request.views.connect_instances(datacenter, listed)
    else:
        own = _instances(name.service, datacenter, name.tenancy, request, kind="connect")
        if own is None or not own.instances:
            return missing(Reason.NO_SERVICE, label=name.service)
        every = own
    wanted = (VIRTUAL, f"{VIRTUAL}:{name.service.decode(errors='replace')}")
    ttl, groups = request.policy.node_ttl, {}
    for instance in every.instances:
        for tag in wanted:
            tagged = instance.tagged_addresses.get(tag)
            packed = parse_address(tagged.address) if tagged is not None else None
            if packed is not None and request.type in (Type.ANY, address_type(packed.packed)):
                groups[packed] = RecordGroup((address(request.name, ttl, packed.packed),))
    return found(list(groups.values()))


def find_port(name: PortName, request: Request) -> Finding:
    """The healthy instances of a service that have a port of that name."""
    datacenter = request.datacenter(name.datacenter)
    if datacenter is None:
        return request.no_datacenter(name.datacenter)
    every, port = request.all_instances(datacenter, name.service), text_of(name.port)
    if every is None:
        return missing(Reason.NO_SERVICE, label=name.service)
    chosen = [
        replace(each, port=number)
        for each in request.healthy(request.reachable(every, datacenter))
        for own, number in each.ports.items()
        if own.lower() == port
    ]
    if not chosen:
        return missing(Reason.NO_NAMED_PORT, label=name.port)
    return answer(chosen, datacenter, request.policy.ttl_of_service(name.service), request)


def find_non_terminal(name: LocalityNonTerminal, request: Request) -> Finding:
    """Whether there is such a peer or datacenter; of the rest, Consul alone knows."""
    if name.value and name.kind == b"dc" and request.datacenter(name.value) is None:
        return request.no_datacenter(name.value)
    if name.kind == b"peer":
        peers = request.views.read(keys.PeerList(request.views.datacenters().local)).by_name
        if not (name.value in peers if name.value else peers):
            return missing(Reason.NO_PEER, label=name.value, among=peers)
    return EMPTY_NON_TERMINAL


def _instances(
    service: bytes, datacenter: str, tenancy: Tenancy, request: Request, *, kind: str = "service"
) -> Instances | None:
    """What Consul has there, None if it cannot have anything."""
    name, where = text_of(service), _where(tenancy, request)
    if name is None or where is None or not is_guessable(name):
        return None
    return request.views.read(keys.TenantInstances(datacenter, name, kind, **where))


def _where(tenancy: Tenancy, request: Request) -> dict[str, str] | None:
    """The tenancy as text, in Consul's spelling; None if there is no such place."""
    views, where = request.views, {}
    for field in ("namespace", "partition", "group"):
        label: bytes = getattr(tenancy, field)
        text = text_of(label)
        if text is None or (text and not is_guessable(text)):
            return None
        where[field] = text
    peers = views.read(keys.PeerList(views.datacenters().local)).by_name
    peer = peers.get(tenancy.peer) if tenancy.peer else ""
    return None if peer is None else where | {"peer": peer}
