"""Answers from the records that people keep in the KV tree: the algorithm of RFC 1034 4.3.2.

the way down from the apex --> a delegation? a referral
the name itself            --> its records, or an alias, or NODATA
its closest encloser       --> a wildcard name below that (RFC 4592), or NXDOMAIN
"""

from collections.abc import Iterator
from itertools import islice

from msgspec.structs import replace

from consuldns import names
from consuldns.dns import zones
from consuldns.dns.answer import (
    Address,
    Data,
    Outcome,
    RawData,
    Record,
    RecordGroup,
    ServiceTarget,
    Target,
    Text,
)
from consuldns.dns.consul import services
from consuldns.dns.finder import (
    EMPTY_NON_TERMINAL,
    NODATA,
    Find,
    Finding,
    Reason,
    Request,
    Why,
    found,
)
from consuldns.dns.grammar.meanings import RecordName, ServiceName
from consuldns.dns.question import Type
from consuldns.names import Labels
from consuldns.views.zone_records import ServiceAlias, ZoneName, ZoneRecords

MAX_ALIASES = 8  # within a zone, one after the other
# What a name leads to may lead to as much again, so few are followed, and not far.
MAX_EXCHANGES = 16  # MX records whose targets have their addresses added
MAX_HOST_NAMES = 16  # instances of a service that have a host name in place of an address
_GLUE = (Type.A, Type.AAAA)
LED_TO = frozenset((*_GLUE, Type.CNAME))
MAX_ORDERS = 16  # of the addresses behind an alias
WILDCARD = b"*"


def find(meaning: RecordName, request: Request, find_name: Find) -> Finding:
    """What the zone's records say about a name, and about what its alias in the zone leads to."""
    finding = _find(meaning.labels, request, find_name)
    target = _alias_in_zone(finding, request)
    if target is None:
        return finding
    followed = request.ask(target, request.zone, request.type)
    if followed.name in followed.came_from or len(followed.came_from) > MAX_ALIASES:
        return replace(finding, is_followed=True)
    end = find_name(followed)
    # The last name decides (RFC 6604), but for AA, which is of the first.
    led_on = replace(
        end,
        why=end.why or (Why(Reason.NO_TARGET, (names.format_name(target),)),),
        closest_encloser=None,
        is_referral=False,
        is_followed=True,
    )
    return behind(finding.groups[0].records, led_on)


def behind(aliases: tuple[Record, ...], end: Finding) -> Finding:
    """What aliases lead to, with the aliases before it, which always come first.

    The order of the rest changes from one reply to the next all the same: each order is a group of
    its own, of which one is sent.
    """
    if end.exclusive:
        groups = tuple(_in_one(aliases, (each,)) for each in end.groups)
    elif end.is_ordered or len(end.groups) < 2:
        groups = (_in_one(aliases, end.groups),)
    else:
        starts = range(min(len(end.groups), MAX_ORDERS))
        orders = ((*end.groups[start:], *end.groups[:start]) for start in starts)
        groups = tuple(_in_one(aliases, order) for order in orders)
    return replace(end, groups=groups, exclusive=len(groups) > 1)


def _in_one(aliases: tuple[Record, ...], groups: tuple[RecordGroup, ...]) -> RecordGroup:
    return RecordGroup(
        (*aliases, *(record for each in groups for record in each.records)),
        tuple(record for each in groups for record in each.additional),
    )


def _alias_in_zone(finding: Finding, request: Request) -> Labels | None:
    """Where a name leads, if that is in the same zone."""
    if finding.outcome is not Outcome.ANSWER or request.type in (Type.CNAME, Type.ANY):
        return None
    for group in finding.groups:
        data = group.records[0].data if group.records else None
        if group.records and group.records[0].type == Type.CNAME and isinstance(data, Target):
            target = names.fold(data.name)
            is_ours = zones.zone_of(target, request.views, request.policy) == request.zone
            return data.name if is_ours else None
    return None


def _find(labels: Labels, request: Request, find_name: Find) -> Finding:
    """What is at a name."""
    view = request.views.zone_records(request.zone.records)
    cut = _cut_above(labels, request.type, view)
    if cut is not None:
        return _referral(cut, request, view)
    if not labels:
        return _at_apex(request, view, find_name)
    if view.exists(labels):
        there = view.by_name.get(labels)
        return EMPTY_NON_TERMINAL if there is None else _at(there, request, find_name)
    encloser = _closest_encloser(labels, view)
    wildcard = view.by_name.get((WILDCARD, *encloser))
    if wildcard is not None:
        return _at(wildcard, request, find_name)
    below = view.labels_below.get(encloser, set())
    if WILDCARD in below:
        return NODATA  # an empty non-terminal `*.encloser` matches all the same
    label = labels[len(labels) - len(encloser) - 1]
    why = Why(Reason.NO_RECORDS, (request.zone.records,), label, below)
    existing = len(encloser) + len(request.zone.apex)
    return Finding(Outcome.NXDOMAIN, why=(why,), existing=existing, labels_below=below)


def _closest_encloser(labels: Labels, view: ZoneRecords) -> Labels:
    """The longest name above a missing one that exists (RFC 4592 section 3.3.1)."""
    start = 1
    while not view.exists(labels[start:]):
        start += 1
    return labels[start:]


def _cut_above(labels: Labels, type_: int, view: ZoneRecords) -> Labels | None:
    """The delegated name that a name is at or below, the one nearest to the apex.

    What is asked of the parent is answered by it: DS (RFC 4035 section 3.1.4.1).
    """
    for start in range(len(labels) - 1, -1, -1):
        there = view.by_name.get(labels[start:])
        if there is not None and there.set_of(Type.NS) is not None:
            return None if start == 0 and type_ == Type.DS else labels[start:]
    return None


def _referral(cut: Labels, request: Request, view: ZoneRecords) -> Finding:
    """The name servers of a delegated name, with the addresses that the zone has of them."""
    there = view.by_name[cut]
    servers = there.set_of(Type.NS)
    assert servers is not None
    owner = (*there.labels, *request.zone.apex)
    authority = [Record(owner, Type.NS, servers.ttl, _data(Type.NS, d)) for d in servers.data]
    apex = request.zone.apex
    glue: list[Record] = []
    for each in authority:
        assert isinstance(each.data, Target)
        target = names.fold(each.data.name)
        if names.is_below(target, apex):
            there = view.by_name.get(target[: len(target) - len(apex)], ZoneName(()))
            glue += (r for type_ in _GLUE for r in _records(there, type_, each.data.name))
    return Finding(
        Outcome.ANSWER,
        (RecordGroup((), tuple(glue)),) if glue else (),
        tuple(authority),
        is_referral=True,
    )


def _at_apex(request: Request, view: ZoneRecords, find_name: Find) -> Finding:
    """SOA and NS, which every zone has, beside the zone's other records."""
    given = zones.find_at_apex(request.zone, request)
    if request.type in (Type.SOA, Type.NS):
        return given
    there = view.by_name.get((), ZoneName(()))
    others = tuple(each for each in there.records if each.type != Type.NS)
    own = _at(replace(there, records=others), request, find_name)
    return own if request.type != Type.ANY else replace(given, groups=given.groups + own.groups)


def _at(there: ZoneName, request: Request, find_name: Find) -> Finding:
    """What is at a name, which may be a wildcard name: the owner is the name that was asked for."""
    if there.set_of(Type.CNAME) is not None and request.type not in (Type.CNAME, Type.ANY):
        return found([RecordGroup(_records(there, Type.CNAME, request.name))])
    wanted = [request.type]
    if request.type == Type.ANY:
        # Of a target, nothing but addresses is wanted.
        wanted = [each.type for each in there.records]
        wanted = [each for each in wanted if not request.came_from or each in LED_TO]
    groups = [group for type_ in wanted for group in _groups(there, type_, request, find_name)]
    if there.alias is None or (groups and request.type != Type.ANY):
        return found(groups)
    aliased = _instances(there, there.alias, request, find_name)
    return replace(aliased, groups=(*groups, *aliased.groups)) if aliased.groups else found(groups)


def _groups(
    there: ZoneName, type_: int, request: Request, find_name: Find
) -> Iterator[RecordGroup]:
    """Each record by itself, so that their order is shuffled, and a message can be filled."""
    for number, record in enumerate(_records(there, type_, request.name)):
        additional: tuple[Record, ...] = ()
        if type_ == Type.MX and number < MAX_EXCHANGES:
            additional = tuple(_addresses_of_exchange(record, request, find_name))
        yield RecordGroup((record,), additional)


def _addresses_of_exchange(record: Record, request: Request, find_name: Find) -> Iterator[Record]:
    """The addresses of an MX's target, if it is in our zones; the resolver adds those of SRV."""
    assert isinstance(record.data, RawData)
    target, _ = names.from_wire(record.data.content, 2)
    zone = zones.zone_of(names.fold(target), request.views, request.policy)
    if zone is None:
        return
    for type_ in _GLUE:
        finding = find_name(request.ask(target, zone, type_))
        for each in (record for group in finding.groups for record in group.records):
            if each.type == type_ and names.fold(each.owner) == names.fold(target):
                yield each


def _instances(there: ZoneName, alias: ServiceAlias, request: Request, find_name: Find) -> Finding:
    """What the service has, under the name that was asked for."""
    meaning = ServiceName(
        names.fold_text(alias.service),
        names.fold_text(alias.tag) if alias.tag else None,
        names.fold_text(alias.datacenter) if alias.datacenter else None,
    )
    finding = services.find(meaning, request)
    if finding.outcome is not Outcome.ANSWER:
        return Finding(Outcome.NODATA, why=finding.why)
    groups = finding.groups
    if there.records or not there.labels:
        few = islice((each for each in groups if _is_alias(each)), MAX_HOST_NAMES)
        addresses = [each for group in few for each in _addresses(group, request, find_name)]
        groups = (*(each for each in groups if not _is_alias(each)), *addresses)
    if alias.ttl is not None:
        groups = tuple(_with_ttl(group, alias.ttl) for group in groups)
    return replace(finding, outcome=Outcome.ANSWER if groups else Outcome.NODATA, groups=groups)


def _is_alias(group: RecordGroup) -> bool:
    return group.records[0].type == Type.CNAME


def _addresses(group: RecordGroup, request: Request, find_name: Find) -> Iterator[RecordGroup]:
    """The addresses that an instance's host name leads to, where no CNAME may be (RFC 1034 3.6.2).

    Only in our own zones: names elsewhere are left to the client, and here it has none. Not of
    names that are themselves asked for because of an alias and an instance.
    """
    data = group.records[0].data
    assert isinstance(data, Target)
    zone = zones.zone_of(names.fold(data.name), request.views, request.policy)
    if zone is None or request.type not in _GLUE or len(request.came_from) > 1:
        return
    reached = find_name(request.ask(data.name, zone, request.type))
    for each in (record for every in reached.groups for record in every.records):
        if each.type == request.type:
            yield RecordGroup((replace(each, owner=request.name),))


def _with_ttl(group: RecordGroup, ttl: int) -> RecordGroup:
    return RecordGroup(
        tuple(replace(each, ttl=ttl) for each in group.records),
        tuple(replace(each, ttl=ttl) for each in group.additional),
        weight=group.weight,
    )


def _records(there: ZoneName, type_: int, owner: Labels) -> tuple[Record, ...]:
    """The records of a type, under a name."""
    found_set = there.set_of(type_)
    if found_set is None:
        return ()
    ttl = found_set.ttl
    return tuple(Record(owner, type_, ttl, _data(type_, data)) for data in found_set.data)


def _data(type_: int, data: bytes) -> Data:
    """As the resolver knows it: what aliases and targets lead to is answered along."""
    match type_:
        case Type.A | Type.AAAA:
            return Address(data)
        case Type.CNAME | Type.NS | Type.PTR:
            return Target(names.from_wire(data)[0])
        case Type.TXT:
            return Text(tuple(_strings(data)))
        case Type.SRV:
            priority, weight, port = (int.from_bytes(data[at : at + 2]) for at in (0, 2, 4))
            return ServiceTarget(priority, weight, port, names.from_wire(data, 6)[0])
    return RawData(data)


def _strings(data: bytes) -> Iterator[bytes]:
    """Character strings (RFC 1035 section 3.3)."""
    at = 0
    while at < len(data):
        yield data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]
