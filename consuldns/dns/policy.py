"""The settings that decide what is answered: one frozen value, read once for each question.

Made from the configuration by `config`; names and meanings are Consul's own where it has them.
"""

from dataclasses import dataclass, field
from functools import cached_property

from consuldns import names
from consuldns.names import IN_ADDR_ARPA, IP6_ARPA, Labels, Suffixes


def _private_reverse_zones() -> tuple[Labels, ...]:
    """Reverse zones of the private ranges: RFC 1918, RFC 6598, RFC 4193 (see RFC 6303)."""
    ten: tuple[Labels, ...] = ((b"10", *IN_ADDR_ARPA), (b"168", b"192", *IN_ADDR_ARPA))
    rfc1918 = tuple((b"%d" % octet, b"172", *IN_ADDR_ARPA) for octet in range(16, 32))
    rfc6598 = tuple((b"%d" % octet, b"100", *IN_ADDR_ARPA) for octet in range(64, 128))
    rfc4193: tuple[Labels, ...] = ((b"c", b"f", *IP6_ARPA), (b"d", b"f", *IP6_ARPA))
    return (*ten, *rfc1918, *rfc6598, *rfc4193)


PRIVATE_REVERSE_ZONES = _private_reverse_zones()


@dataclass(frozen=True, slots=True)
class StartOfAuthorityTimes:
    """`soa` of Consul's dns_config, in seconds."""

    refresh: int = 3600
    retry: int = 600
    expire: int = 86400
    min_ttl: int = 0


@dataclass(frozen=True)
class Policy:
    """What the resolver obeys. TTLs in seconds.

    `service_ttl` is keyed as in Consul: a name, a prefix that ends in `*`, or `*`; an exact name
    beats the longest prefix, which beats `*`; 0 if none matches.
    `name_server_addresses` (packed) are the addresses of `ns.<domain>`.
    """

    domain: Labels = (b"consul",)
    alt_domain: Labels | None = None
    node_ttl: int = 0
    service_ttl: dict[str, int] = field(default_factory=dict)
    only_passing: bool = False
    enable_additional_node_meta_txt: bool = True
    soa: StartOfAuthorityTimes = StartOfAuthorityTimes()
    reverse_zones: tuple[Labels, ...] = PRIVATE_REVERSE_ZONES
    name_server_addresses: tuple[bytes, ...] = ()

    def ttl_of_service(self, service: bytes) -> int:
        """Seconds for the records of a service (folded name)."""
        exact, prefixes = self._service_ttls
        if service in exact:
            return exact[service]
        return next((ttl for prefix, ttl in prefixes if service.startswith(prefix)), 0)

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
        return Suffixes(each for each in (self.domain, self.alt_domain) if each is not None)

    @cached_property
    def reverse_apexes(self) -> Suffixes:
        """`reverse_zones`, to be matched."""
        return Suffixes(self.reverse_zones)

    @cached_property
    def above_zones(self) -> frozenset[Labels]:
        """Every name above one of our zones: it exists, because the zone exists below it."""
        domains = (each for each in (self.domain, self.alt_domain) if each is not None)
        return names.ancestors((*domains, *self.reverse_zones))
