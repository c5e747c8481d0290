"""Which zone a name lies in, and what every zone has: SOA, NS, and `ns.D` itself."""

from dataclasses import dataclass
from functools import lru_cache

from consuldns import names
from consuldns.dns import records, select
from consuldns.dns.answer import Contribution, Outcome, Record, StartOfAuthority
from consuldns.dns.policy import Policy, StartOfAuthorityTimes
from consuldns.dns.question import Type
from consuldns.dns.request import NODATA, Finding, Request, found
from consuldns.names import Labels
from consuldns.views.model import Instance, ReverseZones
from consuldns.views.store import Reading

MAX_NAME_SERVERS = 3
SERVERS = b"consul"  # the service that the servers of Consul register themselves under
HOSTNAME = b"abcdefghijklmnopqrstuvwxyz0123456789-"


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone that we answer for. `ns` and `hostmaster` are names below `domain`."""

    apex: Labels
    domain: Labels

    @property
    def is_reverse(self) -> bool:
        """Whether this is a reverse zone, not one of Consul's domains."""
        return self.apex != self.domain


def reverse_zone_of(name: Labels, folders: ReverseZones, policy: Policy) -> Zone | None:
    """The reverse zone that a folded name is in or at, the longest that matches."""
    matches = (policy.reverse_apexes.longest_of(name), folders.apexes.longest_of(name))
    apex = max((each for each in matches if each is not None), key=len, default=None)
    return None if apex is None else Zone(apex, policy.domain)


def start_of_authority(zone: Zone, reading: Reading, policy: Policy) -> Record:
    """The SOA record; its TTL is the minimum, so that it suits negative answers (RFC 2308, 3).

    The serial is the higher one of the indexes of the lists of services and nodes of our
    datacenter (for a reverse zone: of nodes and KV folders). They are always in memory, the same
    in every replica, and rise with every name that comes or goes; health alone does not move them.
    """
    datacenter = reading.datacenters().local
    other = reading.reverse_zones() if zone.is_reverse else reading.services(datacenter)
    serial = max(other.index, reading.nodes(datacenter).index) & 0xFFFFFFFF
    return _start_of_authority(zone.apex, zone.domain, serial, policy.soa)


@lru_cache(maxsize=1024)
def _start_of_authority(
    apex: Labels, domain: Labels, serial: int, times: StartOfAuthorityTimes
) -> Record:
    # Every negative answer has one: kept, because it costs a third of a denial to build.
    data = StartOfAuthority(
        (b"ns", *domain),
        (b"hostmaster", *domain),
        serial,
        times.refresh,
        times.retry,
        times.expire,
        times.min_ttl,
    )
    return Record(apex, Type.SOA, times.min_ttl, data)


def find_apex(zone: Zone, request: Request) -> Finding:
    """SOA and NS of a zone; nothing else is at an apex of ours."""
    if request.type not in (Type.SOA, Type.NS, Type.ANY):
        return NODATA
    servers = _name_servers(zone, request)
    if request.type == Type.NS:
        return found(servers)
    own = start_of_authority(zone, request.reading, request.policy)
    if request.type == Type.ANY:
        return found([Contribution((own,)), *servers])
    glue = tuple(record for server in servers for record in server.additional)
    authority = tuple(record for server in servers for record in server.records)
    return Finding(Outcome.ANSWER, (Contribution((own,), glue),), authority)


def find_name_server(request: Request) -> Finding:
    """The addresses of `ns.D`: our own, as they are set."""
    wanted = [
        record
        for record in _own_addresses(request.name, request.policy)
        if request.type in (record.type, Type.ANY)
    ]
    return found([Contribution((record,)) for record in wanted])


def _own_addresses(owner: Labels, policy: Policy) -> tuple[Record, ...]:
    addresses = policy.name_server_addresses
    return tuple(records.address(owner, policy.node_ttl, packed) for packed in addresses)


def _name_servers(zone: Zone, request: Request) -> list[Contribution]:
    """Consul's servers, as Consul says, for its own domains; `ns.D` for the others, or if none."""
    ttl = request.policy.node_ttl
    servers = [] if zone.is_reverse else _consul_servers(zone, request)
    if servers:
        return servers
    name = (b"ns", *zone.domain)
    glue = _own_addresses(name, request.policy)
    return [Contribution((records.name_server(zone.apex, ttl, name),), glue)]


def _consul_servers(zone: Zone, request: Request) -> list[Contribution]:
    reading, policy = request.reading, request.policy
    datacenter = reading.datacenters().local
    service = reading.listed_service(datacenter, SERVERS)
    if service is None:
        return []
    instances = select.healthy(
        reading.instances(datacenter, service), only_passing=policy.only_passing
    )
    servers: dict[Labels, Contribution] = {}
    for instance in instances:
        name = _server_name(instance, datacenter, zone.domain)
        if name is not None and len(servers) < MAX_NAME_SERVERS:
            record = records.name_server(zone.apex, policy.node_ttl, name)
            servers.setdefault(name, Contribution((record,), _glue(instance, name, policy)))
    return list(servers.values())


def _server_name(instance: Instance, datacenter: str, domain: Labels) -> Labels | None:
    """`<server>.node.<dc>.D` in lower case, None for a node whose name is no hostname."""
    node = names.fold_text(instance.node.name)
    if node.translate(None, HOSTNAME):
        return None
    return records.node_name(node.decode(), datacenter, domain)


def _glue(instance: Instance, name: Labels, policy: Policy) -> tuple[Record, ...]:
    endpoint = select.endpoint(select.node_address(instance.node, Type.ANY))
    if not isinstance(endpoint, bytes):
        return ()
    return (records.address(name, policy.node_ttl, endpoint),)
