"""The settings that decide what is answered: one frozen value, read once for each question.

Made from the configuration by `config`; names and meanings are Consul's own where it has them.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from consuldns import names
from consuldns.names import IN_ADDR_ARPA, IP6_ARPA, Labels, Suffixes, format_name
from consuldns.sockets import HostPort

PodNames = Literal["disabled", "insecure", "verified"]
"""What names of pods there are, `10-1-2-3.<namespace>.pod.<zone>`."""


def _private_reverse_zones() -> tuple[Labels, ...]:
    """Reverse zones of the private ranges: RFC 1918, RFC 6598, RFC 4193 (see RFC 6303)."""
    ten: tuple[Labels, ...] = ((b"10", *IN_ADDR_ARPA), (b"168", b"192", *IN_ADDR_ARPA))
    rfc1918 = tuple((b"%d" % octet, b"172", *IN_ADDR_ARPA) for octet in range(16, 32))
    rfc6598 = tuple((b"%d" % octet, b"100", *IN_ADDR_ARPA) for octet in range(64, 128))
    rfc4193: tuple[Labels, ...] = ((b"c", b"f", *IP6_ARPA), (b"d", b"f", *IP6_ARPA))
    return (*ten, *rfc1918, *rfc6598, *rfc4193)


REVERSE_TREES = frozenset((IN_ADDR_ARPA, IP6_ARPA))
PRIVATE_REVERSE_ZONES = _private_reverse_zones()


@dataclass(frozen=True, slots=True)
class StartOfAuthorityTimes:
    """`soa` of Consul's dns_config, in seconds."""

    refresh: int = 3600
    retry: int = 600
    expire: int = 86400
    min_ttl: int = 0


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone that we answer for.

    `domain` is that of Consul's domains which names in its answers are made under. `cluster` is the
    Kubernetes cluster whose names the zone holds, empty for Consul's domains and reverse zones.
    `records` is the zone of the KV tree whose records this one has, empty if there is none.
    `is_found_by_address`: a whole address outside of our zones, a zone of its own if we know it.
    """

    apex: Labels
    domain: Labels
    cluster: str = ""
    is_found_by_address: bool = False
    records: str = ""

    @property
    def is_reverse(self) -> bool:
        """Whether this is a reverse zone."""
        return self.apex[-2:] in REVERSE_TREES and self.apex != self.domain and not self.cluster

    @property
    def has_consul_names(self) -> bool:
        """Whether names in it may be names of Consul or Kubernetes, which go first."""
        return bool(self.cluster) or self.is_reverse or names.is_below(self.apex, self.domain)

    @property
    def name_server(self) -> Labels:
        """Our own name: `ns.D`, and where Kubernetes clients expect it `ns.dns.Z`."""
        return (b"ns", b"dns", *self.apex) if self.cluster else (b"ns", *self.domain)

    @property
    def rname(self) -> Labels:
        """The address of the one to ask, as a name (RFC 1035 section 8)."""
        return (b"hostmaster", *(self.apex if self.cluster else self.domain))


MAX_IDENTITY = 64  # octets


@dataclass(frozen=True, slots=True)
class MessagePolicy:
    """How answers become messages; names are Consul's where it has them. Sizes in octets.

    `max_udp_size` is that of replies to clients that accept as much. `enable_truncate`: the flag TC
    says that a reply over UDP is not complete. Limits are numbers of records, 0 is none:
    `udp_answer_limit` for clients without EDNS, `a_record_limit` of addresses, over TCP as well.
    `identity` (at most `MAX_IDENTITY`) and `version` are for those who ask; empty: not told.
    """

    max_udp_size: int = 1232  # fits every path without fragments (DNS flag day 2020)
    enable_truncate: bool = True
    disable_compression: bool = False
    udp_answer_limit: int = 0
    a_record_limit: int = 0
    identity: bytes = b""
    version: bytes = b""


AnswerOrder = Literal["random", "weighted", "nearest"]
"""In which order the instances of a service are given."""

Strategy = Literal["sequential", "random"]
"""In which order upstream servers are asked."""


# RFC 1122, 4291, 1918, 6598, 3927 and 4193.
PRIVATE_NETWORKS = (
    *("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    *("100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10"),
)


@dataclass(frozen=True)
class ForwardPolicy:
    """The upstream servers of zones, the longest zone that a name is in being asked.

    The root stands for all other names. `timeout` in seconds, for one server. `clients` are the
    networks of those who are answered so.
    """

    upstreams: dict[Labels, tuple[HostPort, ...]] = field(default_factory=dict)
    timeout: float = 2.0
    strategy: Strategy = "sequential"
    clients: tuple[str, ...] = PRIVATE_NETWORKS

    @cached_property
    def zones(self) -> Suffixes:
        """The zones, to be matched."""
        return Suffixes(self.upstreams)

    @property
    def is_recursive(self) -> bool:
        """Whether every name is answered: what the flag RA says."""
        return () in self.upstreams


@dataclass(frozen=True)
class RateLimitPolicy:
    """How many replies with the same content a network of clients gets over UDP; 0 is no limit.

    `exempt` are networks without a limit.
    """

    responses_per_second: int = 200
    exempt: tuple[str, ...] = PRIVATE_NETWORKS


@dataclass(frozen=True)
class KubernetesPolicy:
    """How the names of Kubernetes services are answered. `ttl` in seconds.

    `zones` are served beside `<dc>.<domain>`: the cluster of each. `pods` says what
    `<address>.<namespace>.pod.<zone>` is: `disabled` (nothing), `insecure` (the address that the
    label spells), `verified` (that, if it is the address of an endpoint of the namespace).
    `ignore_empty`: a service without a ready endpoint does not exist. `consul_k8s_prefixes` are
    before the names of services that consul-k8s has synced.
    """

    ttl: int = 5
    pods: PodNames = "disabled"
    ignore_empty: bool = False
    zones: dict[Labels, str] = field(default_factory=dict)
    consul_k8s_prefixes: tuple[str, ...] = ("",)

    @property
    def soa(self) -> StartOfAuthorityTimes:
        """Those of a cluster's own zone: CoreDNS's, which let a denial live as long as a record."""
        return StartOfAuthorityTimes(refresh=7200, retry=1800, expire=86400, min_ttl=self.ttl)


@dataclass(frozen=True)
class Policy:
    """What the resolver obeys. TTLs in seconds.

    `service_ttl` is keyed as in Consul: a name, a prefix that ends in `*`, or `*`; an exact name
    beats the longest prefix, which beats `*`; 0 if none matches.
    `name_servers` are the names in NS records, the first one in SOA as well; without them each zone
    has its own. `name_server_addresses` (packed) are the addresses of `ns.<domain>`.
    """

    domain: Labels = (b"consul",)
    alt_domains: tuple[Labels, ...] = ()
    node_ttl: int = 0
    service_ttl: dict[str, int] = field(default_factory=dict)
    only_passing: bool = False
    enable_additional_node_meta_txt: bool = True
    translate_wan_addrs: bool = False
    answer_order: AnswerOrder = "random"
    all_reverse_names: bool = False
    soa: StartOfAuthorityTimes = StartOfAuthorityTimes()
    reverse_zones: tuple[Labels, ...] = PRIVATE_REVERSE_ZONES
    name_servers: tuple[Labels, ...] = ()
    name_server_addresses: tuple[bytes, ...] = ()
    kubernetes: KubernetesPolicy = KubernetesPolicy()
    forward: ForwardPolicy = ForwardPolicy()
    messages: MessagePolicy = MessagePolicy()
    rate_limit: RateLimitPolicy = RateLimitPolicy()

    def ttl_of_service(self, service: bytes) -> int:
        """Seconds for the records of a service (folded name)."""
        exact, prefixes = self._service_ttls
        if service in exact:
            return exact[service]
        return next((ttl for prefix, ttl in prefixes if service.startswith(prefix)), 0)

    def name_servers_of(self, zone: Zone) -> tuple[Labels, ...]:
        """The names of the name servers of a zone; at least one."""
        return self.name_servers or (zone.name_server,)

    @cached_property
    def _service_ttls(self) -> tuple[dict[bytes, int], list[tuple[bytes, int]]]:
        """`service_ttl` by folded name, and by folded prefix, the longest first."""
        folded = {names.fold_text(name): ttl for name, ttl in self.service_ttl.items()}
        exact = {name: ttl for name, ttl in folded.items() if not name.endswith(b"*")}
        prefixes = [(name[:-1], ttl) for name, ttl in folded.items() if name.endswith(b"*")]
        return exact, sorted(prefixes, key=lambda pair: len(pair[0]), reverse=True)

    @cached_property
    def domains(self) -> Suffixes:
        """The domains of Consul's names; one may lie in the other."""
        return Suffixes((self.domain, *self.alt_domains))

    @cached_property
    def zones(self) -> dict[Labels, Zone]:
        """All zones but the reverse ones, by apex."""
        found = {apex: Zone(apex, apex) for apex in (self.domain, *self.alt_domains)}
        for apex, cluster in self.kubernetes.zones.items():
            domain = self.domains.longest_of(apex) or self.domain
            found.setdefault(apex, Zone(apex, domain, cluster))
        return found

    def label_of(self, zone: Zone) -> str:
        """The zone in metrics; reverse zones that the KV tree has, by the thousand, are one."""
        return self._labels.get(zone.apex) or format_name(zone.apex[-2:])

    @cached_property
    def _labels(self) -> dict[Labels, str]:
        return {apex: format_name(apex) for apex in (*self.zones, *self.reverse_zones)}

    @cached_property
    def apexes(self) -> Suffixes:
        """The apexes of `zones`, to be matched."""
        return Suffixes(self.zones)

    @cached_property
    def reverse_apexes(self) -> Suffixes:
        """`reverse_zones`, to be matched."""
        return Suffixes(self.reverse_zones)

    @cached_property
    def above_zones(self) -> frozenset[Labels]:
        """Every name above a zone of ours, or a forwarded one: it exists, because that does."""
        own = (self.domain, *self.alt_domains, *self.reverse_zones, *self.kubernetes.zones)
        return names.ancestors((*own, *self.forward.upstreams))
