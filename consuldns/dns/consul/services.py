"""Answers service names: which instances they stand for.

A service none of whose instances is left after the filter does not exist (Consul's rule, which
clients rely on): NXDOMAIN, not NODATA.
"""

from functools import lru_cache

from msgspec.structs import replace

from consuldns.dns import consul_rules
from consuldns.dns.answer import LabelSet, Outcome
from consuldns.dns.consul import registration
from consuldns.dns.consul.instances import answer, locations
from consuldns.dns.finder import (
    EMPTY_NON_TERMINAL,
    Finding,
    Reason,
    Request,
    Why,
    missing,
    missing_below,
)
from consuldns.dns.grammar.meanings import (
    ANY_TAG,
    DottedServiceName,
    DottedTagNonTerminal,
    ProtocolName,
    ServiceName,
    SeveralTags,
    TagNonTerminal,
)
from consuldns.dns.question import Type
from consuldns.names import Labels
from consuldns.views.model import Instance, Services

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
        finding = _records(instances, datacenter, name.service, request)
    elif request.type in (Type.SRV, Type.ANY):
        ttl = _ttl(instances, name.service, request)
        finding = locations(instances, datacenter, ttl, request)
    else:
        return EMPTY_NON_TERMINAL
    return replace(finding, why=why) if why else finding


def _ttl(instances: tuple[Instance, ...], service: bytes, request: Request) -> int:
    return registration.ttl(instances, request.policy.ttl_of_service(service))


def _records(
    instances: tuple[Instance, ...], datacenter: str, service: bytes, request: Request
) -> Finding:
    """What a service has, in the order that is set; what its metadata say if it has nothing."""
    ttl, order = _ttl(instances, service, request), request.policy.answer_order
    finding = answer(instances, datacenter, ttl, request)
    if not finding.groups and request.type == Type.TXT:
        return registration.texts(instances, ttl, request)
    if not finding.groups and request.type in (Type.SVCB, Type.HTTPS):
        return registration.bindings(instances, datacenter, ttl, request)
    if order == "random":
        return finding
    is_address = request.type in (Type.A, Type.AAAA, Type.ANY)
    return replace(
        finding, is_ordered=order == "nearest", by_weight=order == "weighted" and is_address
    )


def find_with_all_tags(name: SeveralTags, request: Request) -> Finding:
    """The instances of a service that have every one of the tags."""
    chosen = _with_tags(name.service, name.tags, name.datacenter, request)
    if isinstance(chosen, Finding):
        return chosen
    instances, datacenter, why = chosen
    finding = _records(instances, datacenter, name.service, request)
    return replace(finding, why=why) if why else finding


def find_protocol(name: ProtocolName, request: Request) -> Finding:
    """SRV of a service by a name as in RFC 2782, whatever is said of the protocol."""
    finding = find(ServiceName(name.service, None, name.datacenter, srv_only=True), request)
    if finding.outcome is Outcome.NXDOMAIN or name.is_whole:
        return finding
    return EMPTY_NON_TERMINAL


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
            return _no_tag(tag, label, datacenter, request, is_one_of=len(tags) > 1)
    every = request.reachable(views.instances(datacenter, listed), datacenter)
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


def _no_tag(
    tag: bytes, label: bytes | None, datacenter: str, request: Request, *, is_one_of: bool = False
) -> Finding:
    """No service has the tag, which is one of several, or all that is left of the service."""
    services = request.views.services(datacenter)
    existing = request.levels(label) + 1
    labels: LabelSet = services.folded_tags
    below = b""
    for each in reversed(request.name[:-existing]):
        if not is_one_of:
            labels = _TagLabels(services, below)
        if each not in labels:
            return missing_below(existing, labels, Reason.NO_TAG, tag, services.folded_tags)
        below, existing = b"." + each + below, existing + 1
    return missing(Reason.NO_TAG, label=tag, among=services.folded_tags)


class _TagLabels:
    """The labels directly below `<suffix>.<service>.service`: of tags with dots, or of all tags."""

    def __init__(self, services: Services, suffix: bytes) -> None:
        self._services = services
        self._suffix = suffix  # begins with a dot, or is empty

    def __contains__(self, label: bytes, /) -> bool:
        tag, services = label + self._suffix, self._services
        return tag in services.folded_tags or tag in services.tag_suffixes


def find_non_terminal(name: DottedTagNonTerminal, request: Request) -> Finding:
    """Whether an instance has a tag that ends in a dot and the given suffix."""
    datacenter = request.datacenter(name.datacenter)
    if datacenter is None:
        return request.no_datacenter(name.datacenter)
    services = request.views.services(datacenter)
    if name.suffix not in services.tag_suffixes:
        if name.service.startswith(b"_"):
            return NO_TAG_BELOW
        if name.service in services.by_name:
            return replace(
                _no_tag(name.suffix, name.datacenter, datacenter, request),
                why=NO_TAG_BELOW.why,
            )
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
