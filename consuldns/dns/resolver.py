"""Answers a question from the views.

    Question --lookup.find--> Finding --> Answer

`resolve` never waits: if a view is missing it says which, and is asked again when it has come. What
can be denied from the lists that are always in memory is denied without asking for anything.
"""

from msgspec.structs import replace

from consuldns.dns import lookup, zones
from consuldns.dns.answer import Answer, ExtendedError, Needs, Outcome
from consuldns.dns.finding import Finding
from consuldns.dns.policy import Policy, Zone
from consuldns.dns.question import Class, Question, Type
from consuldns.dns.request import Request
from consuldns.names import Labels
from consuldns.views.store import MissingView, ViewReader, Views

# Types that are no data: 0, OPT, NXNAME (RFC 9824), TKEY, TSIG. Asking for one is an error.
NOT_ASKABLE = frozenset((0, Type.OPT, 128, 249, 250))
TRANSFERS = frozenset((Type.AXFR, Type.IXFR))

_IN = int(Class.IN)
_SERVFAIL, _ANSWER = Outcome.SERVFAIL, Outcome.ANSWER

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


def resolve(question: Question, views: Views, policy: Policy) -> Answer | Needs:
    """The answer to a question, or the view that it needs. Total: raises for no name and type."""
    if question.type in NOT_ASKABLE:
        return MALFORMED
    if question.class_ != _IN or question.type in TRANSFERS:
        return NOT_SUPPORTED
    reader = ViewReader(views)
    try:
        return _answer(question, reader, policy)
    except MissingView as missing:
        return Needs(missing.key, frozenset(reader.dependencies))


def _answer(question: Question, views: ViewReader, policy: Policy) -> Answer:
    zone = zone_of(question.name, views, policy)
    if zone is None:
        return replace(NOT_OURS, dependencies=frozenset(views.dependencies))
    finding = lookup.find(Request(question.name, question.type, zone, views, policy))
    if zone.is_found_by_address and finding.outcome is Outcome.NXDOMAIN:
        return replace(NOT_OURS, dependencies=frozenset(views.dependencies))
    return _complete(finding, zone, views, policy)


def zone_of(name: Labels, views: ViewReader, policy: Policy) -> Zone | None:
    """The zone that a folded name is in, None if we serve no such zone."""
    return zones.zone_of(name, policy) or zones.reverse_zone_of(name, views, policy)


def _complete(finding: Finding, zone: Zone, views: ViewReader, policy: Policy) -> Answer:
    """The answer of a finding: a negative one with the SOA of its zone (RFC 2308 section 5)."""
    authority = finding.authority
    if finding.outcome is _SERVFAIL:
        return replace(NOT_SYNCED, dependencies=frozenset(views.dependencies))
    if finding.outcome is not _ANSWER:
        authority = (zones.start_of_authority(zone, views, policy),)
    return Answer(
        finding.outcome,
        finding.groups,
        authority,
        frozenset(views.dependencies),
        exclusive=finding.exclusive,
        closest_encloser=finding.closest_encloser,
    )
