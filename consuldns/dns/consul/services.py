"""Answers service names: addresses, SRV, and the alias of a service outside of Consul.

A service none of whose instances is left after the filter does not exist (Consul's rule, which
clients rely on): NXDOMAIN, not NODATA.
"""

from consuldns import names
from consuldns.dns import consul_rules, records
from consuldns.dns.answer import Record, RecordGroup, address_type
from consuldns.dns.grammar import (
    ANY_TAG,
    DottedServiceName,
    DottedTagNonTerminal,
    ServiceName,
    SeveralTags,
    TagNonTerminal,
)
from consuldns.dns.question import Type
from consuldns.dns.request import EMPTY_NON_TERMINAL, NXDOMAIN, Finding, Request, found
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
    instances = request.instances(datacenter, lookup.service)
    if tag is not None:
        instances = tuple(each for each in instances if consul_rules.has_tag(each, tag))
    if not instances:
        return NXDOMAIN
    if not lookup.srv_only:
        return _answer(lookup.service, instances, datacenter, request)
    if request.type not in (Type.SRV, Type.ANY):
        return EMPTY_NON_TERMINAL
    return _locations(lookup.service, instances, datacenter, request)


def find_non_terminal(lookup: DottedTagNonTerminal, request: Request) -> Finding:
    """Whether an instance has a tag that ends in a dot and the given suffix."""
    datacenter = request.datacenter(lookup.datacenter)
    if datacenter is None or lookup.suffix not in request.reading.services(datacenter).tag_suffixes:
        return NXDOMAIN
    instances = request.instances(datacenter, lookup.service)
    exists = any(consul_rules.has_tag_below(each, lookup.suffix) for each in instances)
    return EMPTY_NON_TERMINAL if exists else NXDOMAIN


def find_tag_non_terminal(lookup: TagNonTerminal, request: Request) -> Finding:
    """Whether there may be a service with the tag."""
    datacenter = request.datacenter(lookup.datacenter)
    if datacenter is None:
        return NXDOMAIN
    exists = lookup.tag in ANY_TAG or request.reading.is_listed_tag(datacenter, lookup.tag)
    return EMPTY_NON_TERMINAL if exists else NXDOMAIN


def find_dotted(lookup: DottedServiceName, request: Request) -> Finding:
    """A service that has dots in its name, the longest name first."""
    datacenter = request.datacenter(lookup.datacenter)
    parts = lookup.parts
    if datacenter is None:
        return NXDOMAIN
    suffixes = request.reading.services(datacenter).name_suffixes
    if parts[-1] not in suffixes:
        return NXDOMAIN
    for start in range(len(parts) - 1):
        service, tag = b".".join(parts[start:]), b".".join(parts[:start])
        finding = find(ServiceName(service, tag or None, lookup.datacenter), request)
        if finding is NXDOMAIN and tag:
            finding = find_non_terminal(
                DottedTagNonTerminal(service, tag, lookup.datacenter), request
            )
        if finding is not NXDOMAIN:
            return finding
    return EMPTY_NON_TERMINAL if b".".join(parts) in suffixes else NXDOMAIN


def find_with_all_tags(lookup: SeveralTags, request: Request) -> Finding:
    """The instances of a service that have every one of the tags."""
    datacenter = request.datacenter(lookup.datacenter)
    if datacenter is None:
        return NXDOMAIN
    if not all(request.reading.is_listed_tag(datacenter, tag) for tag in lookup.tags):
        return NXDOMAIN
    instances = tuple(
        each
        for each in request.instances(datacenter, lookup.service)
        if all(consul_rules.has_tag(each, tag) for tag in lookup.tags)
    )
    return _answer(lookup.service, instances, datacenter, request) if instances else NXDOMAIN


def _answer(
    service: bytes, instances: tuple[Instance, ...], datacenter: str, request: Request
) -> Finding:
    if request.type == Type.SRV:
        return _locations(service, instances, datacenter, request)
    return _addresses(service, instances, request)


def _addresses(service: bytes, instances: tuple[Instance, ...], request: Request) -> Finding:
    """A record for each distinct address of the family that is asked (ANY: one an instance).

    Hostnames become aliases only if no instance has an address of either family: a name with an
    alias has nothing else (RFC 1034 section 3.6.2). An alias answers every type.
    """
    ttl = request.policy.ttl_of_service(service)
    addresses: dict[bytes, RecordGroup] = {}
    aliases: dict[Labels, RecordGroup] = {}
    has_address = False
    for instance in instances:
        endpoint = consul_rules.instance_endpoint(instance, Type.ANY, request.name)
        if isinstance(endpoint, tuple):
            alias = records.alias(request.name, ttl, endpoint)
            aliases.setdefault(names.fold(endpoint), RecordGroup((alias,)))
            continue
        if endpoint is None:
            continue
        has_address = True
        if request.type not in (Type.ANY, address_type(endpoint)):
            endpoint = consul_rules.instance_endpoint(instance, request.type, request.name)
        if isinstance(endpoint, bytes) and request.type in (Type.ANY, address_type(endpoint)):
            record = records.address(request.name, ttl, endpoint)
            addresses.setdefault(endpoint, RecordGroup((record,)))
    if has_address:
        return found(list(addresses.values()))
    return found(list(aliases.values()), exclusive=True)


def _locations(
    service: bytes, instances: tuple[Instance, ...], datacenter: str, request: Request
) -> Finding:
    """An SRV for each distinct node, address and port, with the addresses of its target."""
    ttl = request.policy.ttl_of_service(service)
    seen: set[tuple[str, str, int]] = set()
    distinct: dict[tuple[int, int, Labels], RecordGroup] = {}
    for instance in instances:
        key = (
            instance.node.name,
            consul_rules.service_address(instance, Type.SRV),
            instance.port,
        )
        target = _target(instance, datacenter, ttl, request)
        if key in seen or target is None or not 0 <= instance.port <= records.MAX_U16:
            continue
        seen.add(key)
        name, additional = target
        weight = consul_rules.weight(instance)
        record = records.service(request.name, ttl, weight, instance.port, name)
        meta = _node_meta(instance, datacenter, ttl, request)
        same = (weight, instance.port, names.fold(name))
        # Two nodes with one service address: Consul sends the record twice (RFC 2181 section 5),
        # and the metadata of both.
        if same in distinct:
            meta = (*distinct[same].optional_additional, *meta)
        distinct[same] = RecordGroup((record,), additional, meta)
    return found(list(distinct.values()))


def _target(
    instance: Instance, datacenter: str, ttl: int, request: Request
) -> tuple[Labels, tuple[Record, ...]] | None:
    """What SRV points at, and the address record of it; None if the instance is nowhere.

    The node's name if the node's own address counts, a hostname as it is, otherwise the address
    itself as a name.
    """
    endpoint = consul_rules.instance_endpoint(instance, Type.SRV, request.name)
    if endpoint is None:
        return None
    if isinstance(endpoint, tuple):
        return endpoint, ()
    name = None
    own = consul_rules.endpoint(consul_rules.service_address(instance, Type.SRV))
    is_own_name = isinstance(own, tuple)
    if is_own_name or (own is None and endpoint == consul_rules.endpoint(instance.node.address)):
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
