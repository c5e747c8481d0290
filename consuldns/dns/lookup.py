"""Finds what a name in our zones has: tries its readings, and follows the aliases that it meets.

labels --grammar.readings--> lookups --services, nodes, kubernetes, ...--> Finding
"""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from consuldns import names
from consuldns.dns import grammar, zones
from consuldns.dns.answer import Outcome, Record, RecordGroup, ServiceTarget, Target
from consuldns.dns.consul import nodes, services
from consuldns.dns.grammar import Lookup
from consuldns.dns.kubernetes import tree
from consuldns.dns.policy import Zone
from consuldns.dns.question import Type
from consuldns.dns.request import NODATA, NXDOMAIN, Finding, Request
from consuldns.names import Labels

MAX_ALIASES = 3  # that are followed one after the other, as Consul does
KEEPS_TTL = (grammar.NodeName, grammar.KubernetesName, grammar.ClusterName)
FOLLOWED = frozenset((Type.A, Type.AAAA, Type.CNAME))

# Which module answers which kind of name.
FINDERS: dict[type[Lookup], Callable[[Any, Request], Finding]] = {
    grammar.Apex: zones.find_apex,
    grammar.NameServer: zones.find_name_server,
    grammar.DatacenterNonTerminal: zones.find_datacenter_non_terminal,
    grammar.ServiceName: services.find,
    grammar.TagNonTerminal: services.find_tag_non_terminal,
    grammar.DottedTagNonTerminal: services.find_non_terminal,
    grammar.DottedServiceName: services.find_dotted,
    grammar.SeveralTags: services.find_with_all_tags,
    grammar.NodeName: nodes.find,
    grammar.AddressName: nodes.find_address,
    grammar.KubernetesName: tree.find,
    grammar.ClusterName: tree.find_in_zone,
}


def find(request: Request) -> Finding:
    """What the first reading of a name in one of our zones finds that finds something."""
    best = NXDOMAIN
    for lookup in readings(request.name, request.zone):
        finding = look_up(lookup, request)
        if finding.outcome is Outcome.NXDOMAIN:
            continue
        if finding.outcome is Outcome.ANSWER:
            return _follow_aliases(finding, lookup, request)
        if not finding.is_empty_non_terminal:
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
    followed = tuple(_follow(each, request, keeps_ttl) for each in finding.groups)
    return replace(finding, groups=followed)


def _follow(group: RecordGroup, request: Request, keeps_ttl: bool) -> RecordGroup:
    first = group.records[0]
    match first.data:
        case Target(target) if first.type == Type.CNAME:
            reached = _reach(target, request.type, request)
        case ServiceTarget(name=target) if not group.additional:
            reached = _reach(target, Type.ANY, request)
        case _:
            return group
    if not keeps_ttl:
        reached = tuple(replace(record, ttl=first.ttl) for record in reached)
    if first.type == Type.SRV:
        return replace(group, additional=reached)
    return replace(group, records=(first, *reached, *group.records[1:]))


def _reach(target: Labels, type_: int, request: Request) -> tuple[Record, ...]:
    """Addresses and further aliases of a name of our own, none if it is a loop or elsewhere."""
    zone = zones.zone_of(names.fold(target), request.policy)
    if zone is None or type_ == Type.CNAME:
        return ()
    next_request = request.ask(target, zone, type_)
    came_from = next_request.came_from
    if next_request.name in came_from or len(came_from) > MAX_ALIASES:
        return ()
    finding = find(next_request)
    chosen = finding.groups[:1] if finding.exclusive else finding.groups
    return tuple(record for each in chosen for record in each.records if record.type in FOLLOWED)
