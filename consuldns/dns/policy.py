"""The settings that decide what is answered: one frozen value, read once for each question.

Made from the configuration by `config`; names and meanings are Consul's own where it has them.
"""

from dataclasses import dataclass, field

from consuldns.names import IN_ADDR_ARPA, IP6_ARPA, Labels


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


@dataclass(frozen=True, slots=True)
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
