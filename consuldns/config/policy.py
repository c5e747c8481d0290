"""Converts settings to the policy of the resolver."""

from consuldns import __version__
from consuldns.config.schema import Settings
from consuldns.config.values import reverse_zone_names
from consuldns.dns.policy import (
    ForwardPolicy,
    KubernetesPolicy,
    MessagePolicy,
    Policy,
    RateLimitPolicy,
    StartOfAuthorityTimes,
)
from consuldns.names import fold, parse_address, parse_name

PLAIN_SIZE = 512  # octets that every client accepts over UDP (RFC 1035 section 2.3.4)
LARGEST_DATAGRAM = 65_507  # octets over UDP and IPv4


def policy(settings: Settings) -> Policy:
    """The settings that the resolver uses: names as labels, times in whole seconds.

    A TTL of less than a second is 0, as in Consul.
    """
    dns = settings.dns
    return Policy(
        domain=fold(parse_name(dns.domain)),
        alt_domains=tuple(fold(parse_name(domain)) for domain in dns.alt_domain),
        node_ttl=int(dns.node_ttl.total_seconds()),
        service_ttl={name: int(ttl.total_seconds()) for name, ttl in dns.service_ttl.items()},
        only_passing=dns.only_passing,
        enable_additional_node_meta_txt=dns.enable_additional_node_meta_txt,
        soa=StartOfAuthorityTimes(
            refresh=dns.soa.refresh,
            retry=dns.soa.retry,
            expire=dns.soa.expire,
            min_ttl=dns.soa.min_ttl,
        ),
        reverse_zones=tuple(
            name for zone in dns.reverse_zones for name in reverse_zone_names(zone)
        ),
        name_servers=tuple(fold(parse_name(name)) for name in dns.name_servers),
        name_server_addresses=_name_server_addresses(settings),
        translate_wan_addrs=dns.translate_wan_addrs,
        answer_order=dns.answer_order,
        all_reverse_names=dns.all_reverse_names,
        forward=_forward(settings),
        messages=_messages(settings),
        rate_limit=RateLimitPolicy(dns.rate_limit, dns.rate_limit_exempt),
        kubernetes=KubernetesPolicy(
            ttl=int(dns.kubernetes.ttl.total_seconds()),
            pods=dns.kubernetes.pods,
            ignore_empty=dns.kubernetes.ignore_empty,
            zones={fold(parse_name(zone)): cluster for zone, cluster in zones(settings).items()},
            consul_k8s_prefixes=dns.kubernetes.consul_k8s_prefixes,
        ),
    )


def _forward(settings: Settings) -> ForwardPolicy:
    dns = settings.dns
    upstreams = {fold(parse_name(zone)): servers for zone, servers in dns.forward.items()}
    if dns.recursors:
        upstreams[()] = dns.recursors
    timeout = dns.recursor_timeout.total_seconds()
    return ForwardPolicy(upstreams, timeout, dns.recursor_strategy, dns.allow_recursion)


def _messages(settings: Settings) -> MessagePolicy:
    dns = settings.dns
    most = dns.max_udp_size
    if not most:
        hosts = [parse_address(each.host) for each in settings.listen]
        is_local = all(host is not None and host.is_loopback for host in hosts)
        most = LARGEST_DATAGRAM if is_local else MessagePolicy().max_udp_size
    return MessagePolicy(
        max_udp_size=max(most, PLAIN_SIZE),
        enable_truncate=dns.enable_truncate,
        disable_compression=dns.disable_compression,
        udp_answer_limit=dns.udp_answer_limit,
        a_record_limit=dns.a_record_limit,
        identity=dns.identity.encode(),
        version=f"consuldns {__version__}".encode() if dns.show_version else b"",
    )


def zones(settings: Settings) -> dict[str, str]:
    """The cluster of each Kubernetes zone, including the zone of our own sync worker."""
    own = {settings.sync.zone: settings.sync.cluster} if settings.sync.zone else {}
    return {**settings.dns.kubernetes.zones, **own}


def _name_server_addresses(settings: Settings) -> tuple[bytes, ...]:
    texts = settings.dns.name_server_addresses or [each.host for each in settings.listen]
    addresses = [address for text in texts if (address := parse_address(text)) is not None]
    # 0.0.0.0 and :: are valid addresses to listen on, but not to send a packet to.
    concrete = (address.packed for address in addresses if not address.is_unspecified)
    return tuple(dict.fromkeys(concrete))
