"""Answers a question from the views.

    Question --grammar.readings--> lookups --services, nodes, zones, reverse--> Finding --> Answer

`resolve` never waits: if a view is missing it says which, and is asked again when it has come. What
can be denied from the lists that are always in memory is denied without asking for anything.
"""

from dataclasses import replace

from consuldns import names
from consuldns.dns import grammar, nodes, reverse, services, zones
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
from consuldns.dns.policy import Policy
from consuldns.dns.question import Class, Question, Type
from consuldns.dns.request import NODATA, NXDOMAIN, Finding, Request
from consuldns.dns.zones import Zone
from consuldns.names import IN_ADDR_ARPA, IP6_ARPA, Labels
from consuldns.views.store import MissingView, Reading, Views

# Types that are no data: 0, OPT, NXNAME (RFC 9824), TKEY, TSIG. Asking for one is an error.
NOT_ASKABLE = frozenset((0, Type.OPT, 128, 249, 250))
TRANSFERS = frozenset((Type.AXFR, Type.IXFR))
MAX_ALIASES = 3  # that are followed one after the other, as Consul does
FOLLOWED = frozenset((Type.A, Type.AAAA, Type.CNAME))

MALFORMED = Answer(Outcome.FORMERR, authoritative=False)
NOT_OURS = Answer(
    Outcome.REFUSED, authoritative=False, extended_error=ExtendedError.NOT_AUTHORITATIVE
)
NOT_SUPPORTED = Answer(
    Outcome.REFUSED, authoritative=False, extended_error=ExtendedError.NOT_SUPPORTED
)


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
    domain = policy.domains.longest_of(name)
    if domain is not None:
        zone = Zone(domain, domain)
        finding = _find(Request(name, question.type, domain, reading, policy))
        return _complete(finding, zone, reading, policy)
    if names.is_below(name, IN_ADDR_ARPA) or names.is_below(name, IP6_ARPA):
        found = reverse.find(Request(name, question.type, policy.domain, reading, policy))
        if found is not None:
            zone, finding = found
            return _complete(finding, zone, reading, policy)
        return replace(NOT_OURS, sources=frozenset(reading.sources))
    return NOT_OURS


def _complete(finding: Finding, zone: Zone, reading: Reading, policy: Policy) -> Answer:
    """The answer of a finding: a negative one with the SOA of its zone (RFC 2308 section 5)."""
    authority = finding.authority
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
    """The best of what the readings of a name in our domain find."""
    best = NXDOMAIN
    for lookup in grammar.readings(request.labels):
        finding = _look_up(lookup, request)
        if finding.outcome is Outcome.ANSWER:
            return _follow_aliases(finding, lookup, request)
        if best is NXDOMAIN:
            best = finding
    if best is NXDOMAIN and request.name in request.policy.above_zones:
        return NODATA
    return best


def _look_up(lookup: Lookup, request: Request) -> Finding:
    match lookup:
        case grammar.ServiceName():
            return services.find(lookup, request)
        case grammar.NodeName():
            return nodes.find(lookup, request)
        case grammar.AddressName():
            return nodes.find_address(lookup, request)
        case grammar.Apex():
            return zones.find_apex(Zone(request.domain, request.domain), request)
        case grammar.NameServer():
            return zones.find_name_server(request)
        case grammar.DatacenterBranch(label):
            return NXDOMAIN if request.datacenter(label) is None else NODATA
        case grammar.DottedTagBranch():
            return services.find_branch(lookup, request)
        case grammar.TagBranch():
            return services.find_tag_branch(lookup, request)


def _follow_aliases(finding: Finding, lookup: Lookup, request: Request) -> Finding:
    """The finding with what its aliases and SRV targets lead to, where that is in our domains.

    A target elsewhere is left to the client. Services give their TTL to what they lead to.
    """
    keeps_ttl = isinstance(lookup, grammar.NodeName)
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
    domain = request.policy.domains.longest_of(names.fold(target))
    if domain is None or type_ == Type.CNAME:
        return ()
    next_request = request.ask(target, domain, type_)
    came_from = next_request.came_from
    if next_request.name in came_from or len(came_from) > MAX_ALIASES:
        return ()
    finding = _find(next_request)
    chosen = finding.contributions[:1] if finding.pick_one else finding.contributions
    return tuple(record for each in chosen for record in each.records if record.type in FOLLOWED)
