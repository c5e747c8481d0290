"""Answers service names: addresses, SRV, and the alias of a service outside of Consul.

A service none of whose instances is left after the filter does not exist (Consul's rule, which
clients rely on): NXDOMAIN, not NODATA.
"""

from consuldns import names
from consuldns.dns import records, select
from consuldns.dns.answer import Contribution, Record, address_type
from consuldns.dns.grammar import ANY_TAG, DottedTagBranch, ServiceName, TagBranch
from consuldns.dns.question import Type
from consuldns.dns.request import NODATA, NXDOMAIN, Finding, Request, found
from consuldns.names import Labels
from consuldns.views.model import Instance


def find(lookup: ServiceName, request: Request) -> Finding:
    """The instances of a service, with the tag if one is given."""
    datacenter = request.datacenter(lookup.datacenter)
    if datacenter is None:
        return NXDOMAIN
    tag = lookup.tag
    if tag is not None and not request.reading.is_listed_tag(datacenter, tag):
        return NXDOMAIN
    instances = _instances(lookup.service, datacenter, request)
    if tag is not None:
        instances = tuple(each for each in instances if select.has_tag(each, tag))
    if not instances:
        return NXDOMAIN
    ttl = request.policy.ttl_of_service(lookup.service)
    if request.type == Type.SRV or (lookup.srv_only and request.type == Type.ANY):
        return _locations(instances, datacenter, ttl, request)
    return NODATA if lookup.srv_only else _addresses(instances, ttl, request)


def find_branch(lookup: DottedTagBranch, request: Request) -> Finding:
    """Whether an instance has a tag that ends in a dot and the given suffix."""
    datacenter = request.datacenter(lookup.datacenter)
    if datacenter is None or lookup.suffix not in request.reading.services(datacenter).tag_suffixes:
        return NXDOMAIN
    instances = _instances(lookup.service, datacenter, request)
    exists = any(select.has_tag_below(each, lookup.suffix) for each in instances)
    return NODATA if exists else NXDOMAIN


def find_tag_branch(lookup: TagBranch, request: Request) -> Finding:
    """Whether there may be a service with the tag."""
    datacenter = request.datacenter(lookup.datacenter)
    if datacenter is None:
        return NXDOMAIN
    exists = lookup.tag in ANY_TAG or request.reading.is_listed_tag(datacenter, lookup.tag)
    return NODATA if exists else NXDOMAIN


def _instances(service: bytes, datacenter: str, request: Request) -> tuple[Instance, ...]:
    """The healthy instances; none, without asking for the view, if no service has the name."""
    name = request.reading.listed_service(datacenter, service)
    if name is None:
        return ()
    view = request.reading.instances(datacenter, name)
    return select.healthy(view, only_passing=request.policy.only_passing)


def _addresses(instances: tuple[Instance, ...], ttl: int, request: Request) -> Finding:
    """A record for each distinct address of the family that is asked (ANY: one an instance).

    Hostnames become aliases only if no instance has an address of either family: a name with an
    alias has nothing else (RFC 1034 section 3.6.2). An alias answers every type.
    """
    addresses: dict[bytes, Contribution] = {}
    aliases: dict[Labels, Contribution] = {}
    has_address = False
    for instance in instances:
        endpoint = select.instance_endpoint(instance, Type.ANY, request.name)
        if isinstance(endpoint, tuple):
            alias = records.alias(request.name, ttl, endpoint)
            aliases.setdefault(names.fold(endpoint), Contribution((alias,)))
            continue
        if endpoint is None:
            continue
        has_address = True
        if request.type not in (Type.ANY, address_type(endpoint)):
            endpoint = select.instance_endpoint(instance, request.type, request.name)
        if isinstance(endpoint, bytes) and request.type in (Type.ANY, address_type(endpoint)):
            record = records.address(request.name, ttl, endpoint)
            addresses.setdefault(endpoint, Contribution((record,)))
    if has_address:
        return found(list(addresses.values()))
    return found(list(aliases.values()), pick_one=True)


def _locations(
    instances: tuple[Instance, ...], datacenter: str, ttl: int, request: Request
) -> Finding:
    """An SRV for each distinct node, address and port, with the addresses of its target."""
    seen: set[tuple[str, str, int]] = set()
    distinct: dict[tuple[int, int, Labels], Contribution] = {}
    for instance in instances:
        key = (
            instance.node.name,
            select.service_address(instance, Type.SRV),
            instance.port,
        )
        target = _target(instance, datacenter, ttl, request)
        if key in seen or target is None or not 0 <= instance.port <= records.MAX_U16:
            continue
        seen.add(key)
        name, additional = target
        weight = select.weight(instance)
        record = records.service(request.name, ttl, weight, instance.port, name)
        meta = _node_meta(instance, datacenter, ttl, request)
        same = (weight, instance.port, names.fold(name))
        # Two nodes with one service address: Consul sends the record twice (RFC 2181 section 5),
        # and the metadata of both.
        if same in distinct:
            meta = (*distinct[same].extra, *meta)
        distinct[same] = Contribution((record,), additional, meta)
    return found(list(distinct.values()))


def _target(
    instance: Instance, datacenter: str, ttl: int, request: Request
) -> tuple[Labels, tuple[Record, ...]] | None:
    """What SRV points at, and the address record of it; None if the instance is nowhere.

    The node's name if the node's own address counts, a hostname as it is, otherwise the address
    itself as a name.
    """
    endpoint = select.instance_endpoint(instance, Type.SRV, request.name)
    if endpoint is None:
        return None
    if isinstance(endpoint, tuple):
        return endpoint, ()
    name = None
    own = select.endpoint(select.service_address(instance, Type.SRV))
    is_own_name = isinstance(own, tuple)
    if is_own_name or (own is None and endpoint == select.endpoint(instance.node.address)):
        name = records.node_name(instance.node.name, datacenter, request.domain)
    if name is None:
        name = records.address_name(endpoint, datacenter, request.domain)
    return name, (records.address(name, ttl, endpoint),)


def _node_meta(
    instance: Instance, datacenter: str, ttl: int, request: Request
) -> tuple[Record, ...]:
    """The node's metadata, as Consul adds it beside SRV."""
    if not instance.node.meta or not request.policy.enable_additional_node_meta_txt:
        return ()
    owner = records.node_name(instance.node.name, datacenter, request.domain)
    return () if owner is None else records.node_meta(owner, ttl, instance.node.meta)
