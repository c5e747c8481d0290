"""Which zone a name lies in, and what every zone has: SOA, NS, and `ns.D` itself.

And what this server says about itself, in class CH.
"""

from dataclasses import replace
from functools import lru_cache

from consuldns import names
from consuldns.dns import records
from consuldns.dns.answer import Answer, Outcome, Record, RecordGroup, StartOfAuthority
from consuldns.dns.finder import EMPTY_NON_TERMINAL, NODATA, Finding, Request, found
from consuldns.dns.grammar.kubernetes import KUBERNETES_KINDS
from consuldns.dns.grammar.meanings import Apex, DatacenterNonTerminal, NameServer
from consuldns.dns.policy import Policy, Zone
from consuldns.dns.question import Class, Question, Type
from consuldns.names import Labels
from consuldns.views.store import ViewReader
from consuldns.views.zone_records import RecordSet

_NXDOMAIN = Outcome.NXDOMAIN
IDENTITY_NAMES = frozenset(((b"id", b"server"), (b"hostname", b"bind")))
VERSION_NAMES = frozenset(((b"version", b"server"), (b"version", b"bind")))


def zone_of(name: Labels, views: ViewReader, policy: Policy) -> Zone | None:
    """The zone that a folded name is in or at, the longest that matches; None if none does.

    Those that are set, those of the KV tree, and for reverse names the reverse ones: a zone of the
    root comes last.
    """
    apex = policy.apexes.longest_of(name)
    zone = None if apex is None else policy.zones[apex]
    if not apex:
        zone = _reverse_zone_of(name, views, policy) or zone
    own = views.zones()
    if not own.zones:
        return zone
    in_tree = own.apexes.longest_of(name)
    if in_tree is None or (
        zone is not None and len(zone.apex) > len(in_tree) and not zone.is_found_by_address
    ):
        return zone
    return _with_records(in_tree, own.by_apex[in_tree], zone, policy)


def _with_records(apex: Labels, folder: str, zone: Zone | None, policy: Policy) -> Zone:
    """A zone of the KV tree; if it is one of ours already, both in one."""
    if zone is not None and zone.apex == apex:
        return replace(zone, records=folder)
    domain = zone.domain if zone is not None else policy.domain
    return Zone(apex, domain, records=folder)


def _reverse_zone_of(name: Labels, views: ViewReader, policy: Policy) -> Zone | None:
    """The zone that a folded name in a reverse tree is in or at, the longest that matches.

    Outside of our zones a whole address may be a zone of its own: if we know it.
    """
    if not names.is_reverse(name):
        return None
    matches = (
        policy.reverse_apexes.longest_of(name),
        views.reverse_zones().apexes.longest_of(name),
    )
    apex = max((each for each in matches if each is not None), key=len, default=None)
    if apex is not None:
        return _reverse_zone(apex, policy.domain)
    if names.address_of(name) is not None:
        return Zone(name, policy.domain, is_found_by_address=True)
    return None


@lru_cache(maxsize=1024)
def _reverse_zone(apex: Labels, domain: Labels) -> Zone:
    return Zone(apex, domain)


def is_above_zone(request: Request) -> bool:
    """Whether the name exists because one of our zones does, somewhere below it."""
    if is_enclosing(request.name, request):
        return True
    return request.zone.is_reverse and request.name in request.views.reverse_zones().enclosing


def is_enclosing(name: Labels, request: Request) -> bool:
    """Whether a zone that is set, or one of the KV tree, is below the name."""
    own = request.views.zones()
    return name in request.policy.above_zones or (bool(own.zones) and name in own.enclosing)


def start_of_authority(zone: Zone, views: ViewReader, policy: Policy) -> Record:
    """The SOA record; its TTL is the minimum, so that it suits negative answers (RFC 2308, 3).

    The serial is the highest of the indexes of the lists of services, nodes and Kubernetes clusters
    of our datacenter (for a reverse zone: KV folders, not services). They are always in memory, the
    same in every replica, and rise with every name that comes or goes; health alone does not move
    them.
    """
    times = policy.kubernetes.soa if zone.cluster else policy.soa
    return _start_of_authority(
        zone.apex,
        _names_of_servers(zone, views, policy)[0],
        zone.rname,
        _serial(zone, views) & 0xFFFFFFFF,
        times.refresh,
        times.retry,
        times.expire,
        times.min_ttl,
    )


def _serial(zone: Zone, views: ViewReader) -> int:
    own = views.zone_records(zone.records).index if zone.records else 0
    if own and not zone.has_consul_names:
        return own
    datacenter = views.datacenters().local
    other = views.reverse_zones() if zone.is_reverse else views.services(datacenter)
    return max(own, other.index, views.nodes(datacenter).index, views.clusters(datacenter).index)


@lru_cache(maxsize=1024)
def _start_of_authority(
    apex: Labels,
    mname: Labels,
    rname: Labels,
    serial: int,
    refresh: int,
    retry: int,
    expire: int,
    min_ttl: int,
) -> Record:
    # Every negative answer has one: kept, because it costs a third of a denial to build. By plain
    # values, because the hash of a dataclass costs as much again.
    data = StartOfAuthority(mname, rname, serial, refresh, retry, expire, min_ttl)
    return Record(apex, Type.SOA, min_ttl, data)


def find_apex(name: Apex, request: Request) -> Finding:
    """SOA and NS of the zone that was asked; nothing else is at the apex of one of our zones."""
    return find_at_apex(request.zone, request)


def find_at_apex(zone: Zone, request: Request) -> Finding:
    """SOA and NS of a zone."""
    if request.type not in (Type.SOA, Type.NS, Type.ANY):
        return NODATA
    servers = _name_servers(zone, request)
    if request.type == Type.NS:
        return found(servers)
    own = start_of_authority(zone, request.views, request.policy)
    if request.type == Type.ANY:
        return found([RecordGroup((own,)), *servers])
    glue = tuple(record for server in servers for record in server.additional)
    authority = tuple(record for server in servers for record in server.records)
    return Finding(Outcome.ANSWER, (RecordGroup((own,), glue),), authority)


def find_datacenter_non_terminal(name: DatacenterNonTerminal, request: Request) -> Finding:
    """Whether there is such a datacenter, with names below it."""
    if request.datacenter(name.datacenter) is None:
        return request.no_datacenter(name.datacenter)
    return EMPTY_NON_TERMINAL


def deny(request: Request) -> Finding:
    """That a name in Consul's domain means nothing, whatever is left of its last two labels."""
    existing = len(request.domain)
    datacenters = request.views.datacenters().by_name
    if request.name[-existing - 1] in datacenters:
        return Finding(_NXDOMAIN, existing=existing + 1, labels_below=KUBERNETES_KINDS)
    return Finding(_NXDOMAIN, existing=existing, labels_below=datacenters)


def find_name_server(name: NameServer, request: Request) -> Finding:
    """The addresses of `ns.D`."""
    return find_own_addresses(request, request.policy.node_ttl)


def find_own_addresses(request: Request, ttl: int) -> Finding:
    """The addresses of a zone's name server: our own, as they are set."""
    wanted = [
        record
        for record in _own_addresses(request.name, ttl, request.policy)
        if request.type in (record.type, Type.ANY)
    ]
    return found([RecordGroup((record,)) for record in wanted])


def _own_addresses(owner: Labels, ttl: int, policy: Policy) -> tuple[Record, ...]:
    return tuple(records.address(owner, ttl, packed) for packed in policy.name_server_addresses)


def _name_servers(zone: Zone, request: Request) -> list[RecordGroup]:
    """The name servers of a zone: its own, those that are set, or `ns.D` with its addresses.

    Never Consul's own servers, which Consul names: a resolver that learns the zone's servers from
    us (RFC 8109 priming of a stub zone, a delegation) would send its queries to their port 53.
    """
    policy = request.policy
    own = _own_servers(zone, request.views)
    ttl = policy.kubernetes.ttl if zone.cluster else policy.node_ttl
    groups = []
    for name in _names_of_servers(zone, request.views, policy):
        is_ours = own is None and name == zone.name_server
        glue = _own_addresses(name, ttl, policy) if is_ours else ()
        server = records.name_server(zone.apex, ttl if own is None else own.ttl, name)
        groups.append(RecordGroup((server,), glue))
    return groups


def _names_of_servers(zone: Zone, views: ViewReader, policy: Policy) -> tuple[Labels, ...]:
    own = _own_servers(zone, views) if zone.records else None
    if own is None:
        return policy.name_servers_of(zone)
    return tuple(names.from_wire(data)[0] for data in own.data)


def _own_servers(zone: Zone, views: ViewReader) -> RecordSet | None:
    """The NS records that a zone of the KV tree has for itself."""
    if not zone.records:
        return None
    there = views.zone_records(zone.records).by_name.get(())
    return None if there is None else there.set_of(Type.NS)


def about_this_server(question: Question, policy: Policy) -> Answer | None:
    """What is told in class CH (RFC 4892), None if nothing is."""
    text = b""
    if question.class_ == Class.CH and question.name in IDENTITY_NAMES:
        text = policy.messages.identity
    elif question.class_ == Class.CH and question.name in VERSION_NAMES:
        text = policy.messages.version
    if not text or question.type in (Type.AXFR, Type.IXFR):
        return None
    if question.type not in (Type.TXT, Type.ANY):
        return Answer(Outcome.NODATA)
    return Answer(Outcome.ANSWER, (RecordGroup((records.text(question.name, 0, text),)),))
