"""Answers a question from the views.

    Question --grammar.readings--> lookups --services, nodes, kubernetes, ...--> Finding --> Answer

`resolve` never waits: if a view is missing it says which, and is asked again when it has come. What
can be denied from the lists that are always in memory is denied without asking for anything.
"""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from consuldns import names
from consuldns.dns import grammar, kubernetes, nodes, reverse, services, zones
from consuldns.dns.answer import (
    Answer,
    Contribution,
    ExtendedError,
    Needs,
    Outcome,
    Record,
    ServiceTarget,
    Target,
)
from consuldns.dns.grammar import Lookup
from consuldns.dns.policy import Policy, Zone
from consuldns.dns.question import Class, Question, Type
from consuldns.dns.request import NODATA, NXDOMAIN, Finding, Request
from consuldns.names import IN_ADDR_ARPA, IP6_ARPA, Labels
from consuldns.views.store import MissingView, Reading, Views

# Types that are no data: 0, OPT, NXNAME (RFC 9824), TKEY, TSIG. Asking for one is an error.
NOT_ASKABLE = frozenset((0, Type.OPT, 128, 249, 250))
TRANSFERS = frozenset((Type.AXFR, Type.IXFR))
MAX_ALIASES = 3  # that are followed one after the other, as Consul does
KEEPS_TTL = (grammar.NodeName, grammar.KubernetesName, grammar.ClusterName)
FOLLOWED = frozenset((Type.A, Type.AAAA, Type.CNAME))

MALFORMED = Answer(Outcome.FORMERR, authoritative=False)
NOT_OURS = Answer(
    Outcome.REFUSED, authoritative=False, extended_error=ExtendedError.NOT_AUTHORITATIVE
)
NOT_SUPPORTED = Answer(
    Outcome.REFUSED, authoritative=False, extended_error=ExtendedError.NOT_SUPPORTED
)
NOT_SYNCED = Answer(
    Outcome.SERVFAIL,
    authoritative=False,
    extended_error=ExtendedError.NOT_READY,
    error_text="the zone's Kubernetes cluster is not synced",
)

# Which module answers which kind of name.
FINDERS: dict[type[Lookup], Callable[[Any, Request], Finding]] = {
    grammar.Apex: zones.find_apex,
    grammar.NameServer: zones.find_name_server,
    grammar.DatacenterBranch: zones.find_datacenter_branch,
    grammar.ServiceName: services.find,
    grammar.TagBranch: services.find_tag_branch,
    grammar.DottedTagBranch: services.find_branch,
    grammar.DottedServiceName: services.find_dotted,
    grammar.SeveralTags: services.find_with_all_tags,
    grammar.NodeName: nodes.find,
    grammar.AddressName: nodes.find_address,
    grammar.KubernetesName: kubernetes.find,
    grammar.ClusterName: kubernetes.find_in_zone,
}


def resolve(question: Question, views: Views, policy: Policy) -> Answer | Needs:
    """The answer to a question, or the view that it needs. Total: raises for no name and type."""
    if question.type in NOT_ASKABLE:
        return MALFORMED
    if question.class_ != Class.IN or question.type in TRANSFERS:
        return NOT_SUPPORTED
    reading = Reading(views)
    try:
        return _answer(question, reading, policy)
    except MissingView as missing:
        return Needs(missing.key, frozenset(reading.sources))


def _answer(question: Question, reading: Reading, policy: Policy) -> Answer:
    name = question.name
    zone = zones.zone_of(name, policy)
    if zone is not None:
        finding = _find(Request(name, question.type, zone, reading, policy))
        return _complete(finding, zone, reading, policy)
    if names.is_below(name, IN_ADDR_ARPA) or names.is_below(name, IP6_ARPA):
        anywhere = policy.zones[policy.domain]
        found = reverse.find(Request(name, question.type, anywhere, reading, policy))
        if found is not None:
            zone, finding = found
            return _complete(finding, zone, reading, policy)
        return replace(NOT_OURS, sources=frozenset(reading.sources))
    return NOT_OURS


def _complete(finding: Finding, zone: Zone, reading: Reading, policy: Policy) -> Answer:
    """The answer of a finding: a negative one with the SOA of its zone (RFC 2308 section 5)."""
    authority = finding.authority
    if finding.outcome is Outcome.SERVFAIL:
        return replace(NOT_SYNCED, sources=frozenset(reading.sources))
    if finding.outcome is not Outcome.ANSWER:
        authority = (zones.start_of_authority(zone, reading, policy),)
    return Answer(
        finding.outcome,
        finding.contributions,
        authority,
        frozenset(reading.sources),
        pick_one=finding.pick_one,
    )


def _find(request: Request) -> Finding:
    """What the first reading finds that finds something."""
    best = NXDOMAIN
    for lookup in readings(request.name, request.zone):
        finding = look_up(lookup, request)
        if finding.outcome is Outcome.NXDOMAIN:
            continue
        if finding.outcome is Outcome.ANSWER:
            return _follow_aliases(finding, lookup, request)
        if not finding.is_branch:
            return finding
        best = finding
    if best is NXDOMAIN and request.name in request.policy.above_zones:
        return NODATA
    return best


def readings(name: Labels, zone: Zone) -> list[Lookup]:
    """What a folded name in a zone can mean, best first.

    A zone of a Kubernetes cluster may lie in Consul's domain: even there Consul's names go first.
    """
    if not zone.cluster:
        return grammar.readings(name[: len(name) - len(zone.apex)])
    found: list[Lookup] = []
    if names.is_below(zone.apex, zone.domain):
        found = grammar.readings(name[: len(name) - len(zone.domain)])
    return [*found, grammar.ClusterName(name[: len(name) - len(zone.apex)])]


def look_up(lookup: Lookup, request: Request) -> Finding:
    """What one reading of a name finds."""
    return FINDERS[type(lookup)](lookup, request)


def _follow_aliases(finding: Finding, lookup: Lookup, request: Request) -> Finding:
    """The finding with what its aliases and SRV targets lead to, where that is in our domains.

    A target elsewhere is left to the client. Services give their TTL to what they lead to.
    """
    keeps_ttl = isinstance(lookup, KEEPS_TTL)
    followed = tuple(_follow(each, request, keeps_ttl) for each in finding.contributions)
    return replace(finding, contributions=followed)


def _follow(contribution: Contribution, request: Request, keeps_ttl: bool) -> Contribution:
    first = contribution.records[0]
    match first.data:
        case Target(target) if first.type == Type.CNAME:
            reached = _reach(target, request.type, request)
        case ServiceTarget(name=target) if not contribution.additional:
            reached = _reach(target, Type.ANY, request)
        case _:
            return contribution
    if not keeps_ttl:
        reached = tuple(replace(record, ttl=first.ttl) for record in reached)
    if first.type == Type.SRV:
        return replace(contribution, additional=reached)
    return replace(contribution, records=(first, *reached, *contribution.records[1:]))


def _reach(target: Labels, type_: int, request: Request) -> tuple[Record, ...]:
    """Addresses and further aliases of a name of our own, none if it is a loop or elsewhere."""
    zone = zones.zone_of(names.fold(target), request.policy)
    if zone is None or type_ == Type.CNAME:
        return ()
    next_request = request.ask(target, zone, type_)
    came_from = next_request.came_from
    if next_request.name in came_from or len(came_from) > MAX_ALIASES:
        return ()
    finding = _find(next_request)
    chosen = finding.contributions[:1] if finding.pick_one else finding.contributions
    return tuple(record for each in chosen for record in each.records if record.type in FOLLOWED)
