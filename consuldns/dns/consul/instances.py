"""Makes records of the instances that a name stands for: addresses, SRV, an alias.

The alias is that of a service outside of Consul, whose address is a hostname.
"""

from collections.abc import Sequence

from consuldns import names
from consuldns.dns import consul_rules, records
from consuldns.dns.answer import Record, RecordGroup, address_type
from consuldns.dns.finder import Finding, Request, found
from consuldns.dns.question import Type
from consuldns.names import Labels
from consuldns.views.model import Instance


def answer(
    instances: Sequence[Instance],
    datacenter: str,
    ttl: int,
    request: Request,
    *,
    by_address: bool = False,
) -> Finding:
    """What a name that stands for instances has; `ttl` in seconds.

    `by_address`: names of nodes do not lead to them, so the target of SRV is an address as a name.
    """
    if request.type == Type.SRV:
        return locations(instances, datacenter, ttl, request, by_address=by_address)
    return _addresses(instances, ttl, request)


def _addresses(instances: Sequence[Instance], ttl: int, request: Request) -> Finding:
    """A record for each distinct address of the family that is asked (ANY: one an instance).

    Hostnames become aliases only if no instance has an address of either family: a name with an
    alias has nothing else (RFC 1034 section 3.6.2). An alias answers every type.
    """
    addresses: dict[bytes, RecordGroup] = {}
    aliases: dict[Labels, RecordGroup] = {}
    has_address = False
    name, type_ = request.name, request.type
    for instance in instances:
        endpoint = consul_rules.instance_endpoint(instance, Type.ANY, name)
        if isinstance(endpoint, tuple):
            alias = records.alias(name, ttl, endpoint)
            aliases.setdefault(names.fold(endpoint), RecordGroup((alias,)))
            continue
        if endpoint is None:
            continue
        has_address = True
        if type_ != Type.ANY and type_ != address_type(endpoint):
            endpoint = consul_rules.instance_endpoint(instance, type_, name)
            if not isinstance(endpoint, bytes) or type_ != address_type(endpoint):
                continue
        record = records.address(name, ttl, endpoint)
        weight = consul_rules.weight(instance)
        same = addresses.get(endpoint)
        if same is not None:
            weight += same.weight
        addresses[endpoint] = RecordGroup((record,), weight=weight)
    if has_address:
        return found(list(addresses.values()))
    return found(list(aliases.values()), exclusive=True)


def locations(
    instances: Sequence[Instance],
    datacenter: str,
    ttl: int,
    request: Request,
    *,
    by_address: bool = False,
) -> Finding:
    """An SRV for each distinct node, address and port, with the addresses of its target."""
    seen: set[tuple[str, str, int]] = set()
    distinct: dict[tuple[int, int, Labels], RecordGroup] = {}
    for instance in instances:
        key = (
            instance.node.name,
            consul_rules.service_address(instance, Type.SRV),
            instance.port,
        )
        target = target_of(instance, datacenter, ttl, request, by_address=by_address)
        if key in seen or target is None or not 0 <= instance.port <= records.MAX_U16:
            continue
        seen.add(key)
        name, additional = target
        weight = consul_rules.weight(instance)
        record = records.service(request.name, ttl, weight, instance.port, name)
        meta = () if by_address else _node_meta(instance, datacenter, ttl, request)
        same = (weight, instance.port, names.fold(name))
        # Two nodes with one service address: Consul sends the record twice (RFC 2181 section 5),
        # and the metadata of both.
        if same in distinct:
            meta = (*distinct[same].optional_additional, *meta)
        distinct[same] = RecordGroup((record,), additional, meta)
    return found(list(distinct.values()))


def target_of(
    instance: Instance,
    datacenter: str,
    ttl: int,
    request: Request,
    *,
    by_address: bool = False,
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
    is_at_node = own is None and consul_rules.is_at_node(instance.node, endpoint)
    if not by_address and (is_own_name or is_at_node):
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
