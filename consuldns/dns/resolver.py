"""Answers a question from the views.

    Question --zones--> Request --grammar--> interpretations --finders--> Finding --> Answer

`resolve` never waits: if a view is missing it says which, and is asked again when it has come. What
can be denied from the lists that are always in memory is denied without asking for anything.

A name in our zones may be interpreted in several ways. `find` tries them, best first, and follows
the aliases that it meets.
"""

from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace

from consuldns import names
from consuldns.dns import reverse, zone_records, zones
from consuldns.dns.answer import (
    Answer,
    ClosestEncloser,
    ExtendedError,
    Outcome,
    Record,
    RecordGroup,
    ServiceTarget,
    Target,
)
from consuldns.dns.consul import connect, nodes, prepared_queries, services, tenants
from consuldns.dns.finder import NODATA, Finding, Request
from consuldns.dns.forwarded import (
    Forwarded,
    MissingReply,
    Needs,
    Recursion,
    UpstreamFailure,
)
from consuldns.dns.grammar import meanings, parse
from consuldns.dns.grammar.kubernetes import of_kubernetes
from consuldns.dns.grammar.meanings import Interpretation
from consuldns.dns.kubernetes import tree
from consuldns.dns.policy import Policy, Zone
from consuldns.dns.question import Class, Question, Type
from consuldns.names import Labels
from consuldns.views.store import MissingView, ViewReader, Views

# Types that are no data: 0, OPT, NXNAME (RFC 9824), TKEY, TSIG. Asking for one is an error.
NOT_ASKABLE = frozenset((0, Type.OPT, 128, 249, 250))
_NXNAME = 128
TRANSFERS = frozenset((Type.AXFR, Type.IXFR))

_IN = int(Class.IN)
_SERVFAIL = Outcome.SERVFAIL

MALFORMED = Answer(Outcome.FORMERR, authoritative=False)
MARKER_ASKED = Answer(
    Outcome.FORMERR, authoritative=False, extended_error=ExtendedError.INVALID_QUERY_TYPE
)
NOT_OURS = Answer(
    Outcome.REFUSED, authoritative=False, extended_error=ExtendedError.NOT_AUTHORITATIVE
)
NO_REPLY = Answer(Outcome.SERVFAIL, authoritative=False, extended_error=ExtendedError.NETWORK_ERROR)
NOT_SUPPORTED = Answer(
    Outcome.REFUSED, authoritative=False, extended_error=ExtendedError.NOT_SUPPORTED
)
NOT_SYNCED = Answer(
    Outcome.SERVFAIL,
    authoritative=False,
    extended_error=ExtendedError.NOT_READY,
    error_text="the zone's Kubernetes cluster is not synced",
)

MAX_ALIASES = 3  # that are followed one after the other, as Consul does
MAX_FOLLOWED = 16  # records at a name of the KV tree whose targets have their addresses added
KEEPS_TTL = (
    *(meanings.NodeName, meanings.KubernetesName, meanings.ClusterName),
    meanings.RecordName,
)
AT_APEX = (meanings.Apex, meanings.ClusterName)  # what finds nothing but SOA and NS there
FOLLOWED = frozenset((Type.A, Type.AAAA, Type.CNAME))
LEADS_ON = frozenset((Type.CNAME, Type.SRV, Type.NS))
NXDOMAIN = Finding(Outcome.NXDOMAIN)
_NXDOMAIN, _ANSWER = Outcome.NXDOMAIN, Outcome.ANSWER


def resolve(
    question: Question, views: Views, policy: Policy, forwarded: Forwarded | None = None
) -> Answer | Needs:
    """The answer to a question, or what it needs first. Total: raises for no name and type.

    `forwarded` are the replies of upstream servers; None: the client does not want recursion.
    """
    if question.type in NOT_ASKABLE:
        return MARKER_ASKED if question.type == _NXNAME else MALFORMED
    if question.class_ != _IN or question.type in TRANSFERS:
        return zones.about_this_server(question, policy) or NOT_SUPPORTED
    reader, recursion = ViewReader(views), Recursion(forwarded)
    try:
        answer = _answer(question, reader, policy, recursion)
    except MissingView as missing:
        return Needs(missing.key)
    except MissingReply as missing_reply:
        return Needs(missing_reply.question)
    except UpstreamFailure as failure:
        answer = replace(NO_REPLY, error_text=str(failure))
    if policy.forward.upstreams:
        is_recursive, available = recursion.was_wanted, policy.forward.is_recursive
        return replace(answer, is_recursive=is_recursive, recursion_available=available)
    return answer


def _answer(question: Question, views: ViewReader, policy: Policy, recursion: Recursion) -> Answer:
    zone = zones.zone_of(question.name, views, policy)
    if zone is None or _is_delegated(question.name, zone, policy):
        return _forward(question, views, policy, recursion)
    request = Request(question.name, question.type, zone, views, policy, recursion=recursion)
    finding = find(request)
    if finding.outcome is Outcome.NXDOMAIN and (
        zone.is_found_by_address or (policy.forward.is_recursive and not zone.apex)
    ):
        return _forward(question, views, policy, recursion)
    return _complete(finding, zone, views, policy)


def _is_delegated(name: Labels, zone: Zone, policy: Policy) -> bool:
    """Whether upstream servers are set for a zone within ours that the name is in."""
    forward = policy.forward.zones.longest_of(name) if policy.forward.upstreams else None
    return forward is not None and len(forward) > len(zone.apex) and not zone.is_found_by_address


def _forward(question: Question, views: ViewReader, policy: Policy, recursion: Recursion) -> Answer:
    """What an upstream server says about a name that is not ours."""
    refused = replace(NOT_OURS, dependencies=frozenset(views.dependencies))
    if policy.forward.zones.longest_of(question.name) is None:
        return refused
    reply = recursion.read(question.name, question.type)
    if reply is None:
        return refused
    if reply.failure:
        raise UpstreamFailure(reply.failure)
    return Answer(
        reply.outcome,
        tuple(RecordGroup((record,)) for record in reply.records),
        reply.authority,
        frozenset(views.dependencies),
        shuffled=False,
        authoritative=False,
        zone=".",
    )


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
        shuffled=not finding.is_ordered,
        authoritative=not finding.is_referral,
        by_weight=finding.by_weight,
        closest_encloser=finding.closest_encloser,
        is_computed=finding.is_computed,
        zone=policy.label_of(zone),
    )


def find(request: Request) -> Finding:
    """What the first interpretation finds that finds something, with what its aliases lead to."""
    best = None
    denials: list[Finding] = []
    for meaning in interpretations(request.name, request.zone):
        finding = look_up(meaning, request)
        outcome = finding.outcome
        if finding.is_referral or finding.is_followed:
            return finding
        if outcome is _NXDOMAIN:
            denials.append(finding)
        elif outcome is _ANSWER:
            return _follow_aliases(finding, meaning, request)
        elif finding.is_empty_non_terminal:
            best = finding
        else:
            return finding
    if best is not None:
        return best
    if zones.is_above_zone(request):
        return NODATA
    return _denial(denials, request)


def _denial(denials: list[Finding], request: Request) -> Finding:
    """NXDOMAIN, with the closest encloser if every interpretation knows one of its own."""
    zone = request.zone
    of_consul = len(denials) - bool(zone.records)
    if zone.is_reverse:
        denials = [reverse.deny(request), *denials[of_consul:]]
    elif not of_consul and zone.has_consul_names:
        denials.append(zones.deny(request))
    existing = 0
    for each in denials:
        if not each.existing:
            return NXDOMAIN
        if each.existing > existing:
            existing = each.existing
    name = request.name[-existing:]
    if zones.is_enclosing(name, request):
        return NXDOMAIN
    labels = [each.labels_below for each in denials if each.existing == existing]
    if not zone.is_reverse:
        labels += parse.ALWAYS_BELOW
    label = request.name[-existing - 1]
    if any([label in each for each in labels]):
        return NXDOMAIN
    encloser = ClosestEncloser(name, tuple(labels), parse.anywhere_below(name, request.domain))
    return Finding(_NXDOMAIN, closest_encloser=encloser)


def interpretations(name: Labels, zone: Zone) -> list[Interpretation]:
    """What a folded name in a zone can mean, best first.

    A zone of a Kubernetes cluster, or of the KV tree, may lie in Consul's domain: even there
    Consul's names go first.
    """
    found = _of_consul(name, zone)
    if not zone.records:
        return found
    if name == zone.apex:
        found = [each for each in found if not isinstance(each, AT_APEX)]
    return [*found, meanings.RecordName(name[: len(name) - len(zone.apex)])]


def _of_consul(name: Labels, zone: Zone) -> list[Interpretation]:
    """What the name can mean in Consul and in Kubernetes."""
    if zone.is_reverse:
        is_apex = name == zone.apex and not zone.is_found_by_address
        return parse.of_reverse(name, is_apex=is_apex)
    found: list[Interpretation] = []
    if names.is_below(zone.apex, zone.domain):
        found = parse.interpretations(name[: len(name) - len(zone.domain)])
    if not zone.cluster:
        return found
    path = name[: len(name) - len(zone.apex)]
    return [*found, meanings.ClusterName(of_kubernetes(path))]


def look_up(meaning: Interpretation, request: Request) -> Finding:
    """What one interpretation of a name finds."""
    return FINDERS[type(meaning)](meaning, request)


def _follow_aliases(finding: Finding, meaning: Interpretation, request: Request) -> Finding:
    """The finding with what aliases and targets of SRV and NS lead to, if it is in our domains.

    A target elsewhere is left to the client. Services give their TTL to what they lead to.
    """
    for each in finding.groups:
        if each.records[0].type in LEADS_ON:
            break
    else:
        return finding
    keeps_ttl = isinstance(meaning, KEEPS_TTL)
    is_of_tree = isinstance(meaning, meanings.RecordName)
    few = finding.groups[:MAX_FOLLOWED] if is_of_tree else finding.groups
    followed = tuple([_follow(each, request, keeps_ttl) for each in few])
    finding = replace(finding, groups=followed + finding.groups[len(few) :])
    return _spread(finding, request) if is_of_tree else finding


def _spread(finding: Finding, request: Request) -> Finding:
    """The finding, with an alias to a service giving its instances in changing order."""
    every = finding.groups[0].records
    aliases = tuple([each for each in every if each.type == Type.CNAME])
    if len(finding.groups) > 1 or not aliases or request.policy.answer_order != "random":
        return finding
    rest = tuple([RecordGroup((each,)) for each in every if each.type != Type.CNAME])
    return zone_records.behind(aliases, replace(finding, groups=rest))


def _follow(group: RecordGroup, request: Request, keeps_ttl: bool) -> RecordGroup:
    """A group with what it leads to. TTLs from elsewhere are never made longer."""
    first = group.records[0]
    match first.data:
        case Target(target) if first.type == Type.CNAME:
            reached = _reach(target, request.type, request)
        case ServiceTarget(name=target) | Target(target) if not (
            group.additional or first.type == Type.PTR
        ):
            try:
                reached = _reach(target, Type.ANY, request)
            except UpstreamFailure:
                reached = ()  # addresses of targets are an extra
        case _:
            return group
    if not keeps_ttl:
        is_outside = request.recursion is not None and request.recursion.was_wanted
        reached = tuple(
            replace(each, ttl=min(first.ttl, each.ttl) if is_outside else first.ttl)
            for each in reached
        )
    if first.type != Type.CNAME:
        return replace(group, additional=reached)
    return replace(group, records=(first, *reached, *group.records[1:]))


def _reach(target: Labels, type_: int, request: Request) -> tuple[Record, ...]:
    """Addresses and further aliases of a name, none if it is a loop, or out of our reach."""
    if type_ == Type.CNAME:
        return ()
    zone = zones.zone_of(names.fold(target), request.views, request.policy)
    if zone is None or _is_delegated(names.fold(target), zone, request.policy):
        return tuple(_reach_outside(names.fold(target), type_, request))
    next_request = request.ask(target, zone, type_)
    came_from = next_request.came_from
    if next_request.name in came_from or len(came_from) > MAX_ALIASES:
        return ()
    finding = find(next_request)
    chosen = finding.groups[:1] if finding.exclusive else finding.groups
    return tuple(record for each in chosen for record in each.records if record.type in FOLLOWED)


def _reach_outside(target: Labels, type_: int, request: Request) -> Iterator[Record]:
    """What upstream servers say about a name. Raises UpstreamFailure."""
    recursion = request.recursion
    if recursion is None or request.policy.forward.zones.longest_of(target) is None:
        return
    sent: set[Record] = set()
    for each in (Type.A, Type.AAAA) if type_ == Type.ANY else (type_,):
        reply = recursion.read(target, each)
        if reply is None:
            return
        if reply.failure:
            raise UpstreamFailure(reply.failure)
        for record in reply.records:
            if record not in sent:
                sent.add(record)
                yield record


def _find_kubernetes_address(meaning: meanings.AddressOfKubernetes, request: Request) -> Finding:
    """A reverse name has to lead back to the address: `find` says whether it does."""
    return reverse.find_kubernetes(meaning, request, find)


def _find_record_name(meaning: meanings.RecordName, request: Request) -> Finding:
    """Aliases within a zone decide whether a name exists: what they lead to is found as well."""
    return zone_records.find(meaning, request, find)


# Which module answers which kind of name.
FINDERS: dict[type[Interpretation], Callable[[Any, Request], Finding]] = {
    meanings.Apex: zones.find_apex,
    meanings.NameServer: zones.find_name_server,
    meanings.DatacenterNonTerminal: zones.find_datacenter_non_terminal,
    meanings.ServiceName: services.find,
    meanings.TagNonTerminal: services.find_tag_non_terminal,
    meanings.DottedTagNonTerminal: services.find_non_terminal,
    meanings.DottedServiceName: services.find_dotted,
    meanings.SeveralTags: services.find_with_all_tags,
    meanings.TenantServiceName: tenants.find_service,
    meanings.PeerNodeName: tenants.find_node,
    meanings.PartitionNodeName: tenants.find_node_in_partition,
    meanings.VirtualName: tenants.find_virtual,
    meanings.ProtocolName: services.find_protocol,
    meanings.PortName: tenants.find_port,
    meanings.LocalityNonTerminal: tenants.find_non_terminal,
    meanings.ConnectName: connect.find_connect,
    meanings.IngressName: connect.find_ingress,
    meanings.QueryName: prepared_queries.find,
    meanings.NodeName: nodes.find,
    meanings.AddressName: nodes.find_address,
    meanings.KubernetesName: tree.find,
    meanings.ClusterName: tree.find_in_zone,
    meanings.RecordName: _find_record_name,
    meanings.AddressKey: reverse.find_key,
    meanings.AddressOfKubernetes: _find_kubernetes_address,
    meanings.AddressOfNode: reverse.find_node,
    meanings.AddressOfService: reverse.find_service,
    meanings.NetworkNonTerminal: reverse.find_network,
}
