"""Answers service names: addresses, SRV, and the alias of a service outside of Consul.

A service none of whose instances is left after the filter does not exist (Consul's rule, which
clients rely on): NXDOMAIN, not NODATA.
"""

from functools import lru_cache

from msgspec.structs import replace

from consuldns import names
from consuldns.dns import consul_rules, records
from consuldns.dns.answer import Outcome, Record, RecordGroup, address_type
from consuldns.dns.finding import (
    EMPTY_NON_TERMINAL,
    Finding,
    Reason,
    Why,
    found,
    missing,
    missing_below,
)
from consuldns.dns.grammar import (
    ANY_TAG,
    DottedServiceName,
    DottedTagNonTerminal,
    ServiceName,
    SeveralTags,
    TagNonTerminal,
)
from consuldns.dns.question import Type
from consuldns.dns.request import Request
from consuldns.names import Labels
from consuldns.views.model import Instance

NO_TAG_BELOW = missing(Reason.NO_TAG_BELOW)
_NO_SERVICE, _NO_DOTTED_SERVICE = Reason.NO_SERVICE, Reason.NO_DOTTED_SERVICE


def find(name: ServiceName, request: Request) -> Finding:
    """The instances of a service, with the tag if one is given."""
    tags = () if name.tag is None else (name.tag,)
    chosen = _with_tags(name.service, tags, name.datacenter, request)
    if isinstance(chosen, Finding):
        return chosen
    instances, datacenter, why = chosen
    if not name.srv_only:
        finding = _answer(name.service, instances, datacenter, request)
    elif request.type in (Type.SRV, Type.ANY):
        finding = _locations(name.service, instances, datacenter, request)
    else:
        return EMPTY_NON_TERMINAL
    return replace(finding, why=why) if why else finding


def find_with_all_tags(name: SeveralTags, request: Request) -> Finding:
    """The instances of a service that have every one of the tags."""
    chosen = _with_tags(name.service, name.tags, name.datacenter, request)
    if isinstance(chosen, Finding):
        return chosen
    instances, datacenter, why = chosen
    finding = _answer(name.service, instances, datacenter, request)
    return replace(finding, why=why) if why else finding


Chosen = tuple[tuple[Instance, ...], str, tuple[Why, ...]]
"""Instances, at least one; their datacenter; which others were left out, if any."""


def _with_tags(
    service: bytes, tags: Labels, label: bytes | None, request: Request
) -> Chosen | Finding:
    """The healthy instances that have all the tags, or why there is none."""
    datacenter = request.datacenter(label)
    if datacenter is None:
        return request.no_datacenter(label)
    views = request.views
    listed = views.listed_service(datacenter, service)
    if listed is None:
        return _no_service(service, label, datacenter, request)
    for tag in tags:
        if not views.is_listed_tag(datacenter, tag):
            return missing(Reason.NO_TAG, label=tag, among=views.services(datacenter).folded_tags)
    every = views.instances(datacenter, listed)
    healthy = chosen = request.healthy(every)
    for tag in tags:
        chosen = tuple([each for each in chosen if consul_rules.has_tag(each, tag)])
    if not healthy:
        return missing(Reason.NOT_HEALTHY, every.instances)
    if not chosen:
        return missing(Reason.NO_INSTANCE_WITH_TAGS, healthy, tags)
    if len(healthy) < len(every.instances):
        return chosen, datacenter, (Why(Reason.SOME_UNHEALTHY, (every.instances, healthy)),)
    return chosen, datacenter, ()


def _no_service(service: bytes, label: bytes | None, datacenter: str, request: Request) -> Finding:
    by_name = request.views.services(datacenter).by_name
    levels = request.levels(label)
    # Of `_web._tcp.service` the service is not what stands left of the keyword.
    is_plain = len(request.name) > levels and request.name[-1 - levels] == service
    if not is_plain or service.startswith(b"_"):
        return missing(_NO_SERVICE, label=service, among=by_name)
    return missing_below(levels, by_name, _NO_SERVICE, service, by_name)


def find_non_terminal(name: DottedTagNonTerminal, request: Request) -> Finding:
    """Whether an instance has a tag that ends in a dot and the given suffix."""
    datacenter = request.datacenter(name.datacenter)
    if datacenter is None:
        return request.no_datacenter(name.datacenter)
    services = request.views.services(datacenter)
    if name.suffix not in services.tag_suffixes:
        if name.service in services.by_name or name.service.startswith(b"_"):
            return NO_TAG_BELOW
        return _no_tag_below(request.levels(name.datacenter))
    instances = request.instances(datacenter, name.service)
    exists = any(consul_rules.has_tag_below(each, name.suffix) for each in instances)
    return EMPTY_NON_TERMINAL if exists else NO_TAG_BELOW


@lru_cache(maxsize=128)
def _no_tag_below(existing: int) -> Finding:
    """There is no such service either; which there are tells the finding of `find`."""
    return replace(NO_TAG_BELOW, existing=existing)


def find_tag_non_terminal(name: TagNonTerminal, request: Request) -> Finding:
    """Whether there may be a service with the tag."""
    datacenter = request.datacenter(name.datacenter)
    if datacenter is None:
        return request.no_datacenter(name.datacenter)
    if name.tag in ANY_TAG or request.views.is_listed_tag(datacenter, name.tag):
        return EMPTY_NON_TERMINAL
    tags = request.views.services(datacenter).folded_tags
    return missing(Reason.NO_TAG, label=name.tag, among=tags)


def find_dotted(name: DottedServiceName, request: Request) -> Finding:
    """A service that has dots in its name, the longest name first."""
    datacenter = request.datacenter(name.datacenter)
    parts = name.parts
    if datacenter is None:
        return request.no_datacenter(name.datacenter)
    services = request.views.services(datacenter)
    suffixes = services.name_suffixes
    if parts[-1] not in suffixes:
        levels = request.levels(name.datacenter)
        text = b".".join(parts)
        return missing_below(levels, suffixes, _NO_DOTTED_SERVICE, text, services.by_name)
    for start in range(len(parts) - 1):
        service, tag = b".".join(parts[start:]), b".".join(parts[:start])
        finding = find(ServiceName(service, tag or None, name.datacenter), request)
        if finding.outcome is Outcome.NXDOMAIN and tag:
            finding = find_non_terminal(
                DottedTagNonTerminal(service, tag, name.datacenter), request
            )
        if finding.outcome is not Outcome.NXDOMAIN:
            return finding
    if b".".join(parts) in suffixes:
        return EMPTY_NON_TERMINAL
    return missing(Reason.NO_DOTTED_SERVICE, label=b".".join(parts), among=services.by_name)


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
