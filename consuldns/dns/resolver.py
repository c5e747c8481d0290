"""Answers a question from the views.

    Question --lookup.find or reverse.find--> Finding --> Answer

`resolve` never waits: if a view is missing it says which, and is asked again when it has come. What
can be denied from the lists that are always in memory is denied without asking for anything.
"""

from msgspec.structs import replace

from consuldns import names
from consuldns.dns import lookup, reverse, zones
from consuldns.dns.answer import Answer, ExtendedError, Needs, Outcome
from consuldns.dns.policy import Policy, Zone
from consuldns.dns.question import Class, Question, Type
from consuldns.dns.request import Finding, Request
from consuldns.names import IN_ADDR_ARPA, IP6_ARPA
from consuldns.views.store import MissingView, Reading, Views

# Types that are no data: 0, OPT, NXNAME (RFC 9824), TKEY, TSIG. Asking for one is an error.
NOT_ASKABLE = frozenset((0, Type.OPT, 128, 249, 250))
TRANSFERS = frozenset((Type.AXFR, Type.IXFR))

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
        finding = lookup.find(Request(name, question.type, zone, reading, policy))
        return _complete(finding, zone, reading, policy)
    if names.is_below(name, IN_ADDR_ARPA) or names.is_below(name, IP6_ARPA):
        anywhere = policy.zones[policy.domain]
        found = reverse.find(Request(name, question.type, anywhere, reading, policy))
        if found is not None:
            zone, finding = found
            return _complete(finding, zone, reading, policy)
        return replace(NOT_OURS, dependencies=frozenset(reading.sources))
    return NOT_OURS


def _complete(finding: Finding, zone: Zone, reading: Reading, policy: Policy) -> Answer:
    """The answer of a finding: a negative one with the SOA of its zone (RFC 2308 section 5)."""
    authority = finding.authority
    if finding.outcome is Outcome.SERVFAIL:
        return replace(NOT_SYNCED, dependencies=frozenset(reading.sources))
    if finding.outcome is not Outcome.ANSWER:
        authority = (zones.start_of_authority(zone, reading, policy),)
    return Answer(
        finding.outcome,
        finding.groups,
        authority,
        frozenset(reading.sources),
        exclusive=finding.exclusive,
    )
