"""What the resolver gets of the settings."""

from datetime import timedelta

from consuldns import __version__
from consuldns.config.dns import DNSSettings, KubernetesSettings, StartOfAuthoritySettings
from consuldns.config.policy import policy
from consuldns.config.schema import Settings
from consuldns.config.sync import SyncSettings
from consuldns.dns.policy import (
    ForwardPolicy,
    KubernetesPolicy,
    MessagePolicy,
    Policy,
    RateLimitPolicy,
    StartOfAuthorityTimes,
)
from consuldns.names import IN_ADDR_ARPA, Labels
from consuldns.sockets import HostPort


def test_defaults_are_those_of_the_policy_itself() -> None:
    made = policy(Settings(listen=(HostPort("192.0.2.1", 53),)))
    plain = Policy(name_server_addresses=(b"\xc0\0\2\1",))
    assert set(made.reverse_zones) == set(plain.reverse_zones)
    assert made == Policy(
        name_server_addresses=plain.name_server_addresses, reverse_zones=made.reverse_zones
    )


def test_everything_set_arrives() -> None:
    dns = DNSSettings(
        domain="Consul.Example",
        alt_domain=("alt", "other.test"),
        node_ttl=timedelta(milliseconds=1999),
        service_ttl={"web*": timedelta(minutes=1)},
        only_passing=True,
        enable_additional_node_meta_txt=False,
        soa=StartOfAuthoritySettings(refresh=1, retry=2, expire=3, min_ttl=4),
        reverse_zones=("10.0.0.0/8",),
        name_server_addresses=("192.0.2.1", "::1"),
        max_udp_size=100,
        udp_answer_limit=3,
        identity="ns1",
        show_version=True,
        recursors=(HostPort("10.0.0.2", 53),),
        allow_recursion=("10.1.0.0/16",),
        rate_limit=9,
        rate_limit_exempt=("10.2.0.0/16",),
        forward={"corp.Example": (HostPort("10.0.0.3", 53),)},
    )
    assert policy(Settings(dns=dns)) == Policy(
        domain=(b"consul", b"example"),
        alt_domains=((b"alt",), (b"other", b"test")),
        node_ttl=1,
        service_ttl={"web*": 60},
        only_passing=True,
        enable_additional_node_meta_txt=False,
        soa=StartOfAuthorityTimes(refresh=1, retry=2, expire=3, min_ttl=4),
        reverse_zones=((b"10", *IN_ADDR_ARPA),),
        name_server_addresses=(b"\xc0\0\2\1", bytes(15) + b"\1"),
        messages=MessagePolicy(
            max_udp_size=512,
            udp_answer_limit=3,
            identity=b"ns1",
            version=f"consuldns {__version__}".encode(),
        ),
        rate_limit=RateLimitPolicy(9, ("10.2.0.0/16",)),
        forward=ForwardPolicy(
            {(b"corp", b"example"): (HostPort("10.0.0.3", 53),), (): (HostPort("10.0.0.2", 53),)},
            clients=("10.1.0.0/16",),
        ),
    )


def test_clients_on_this_machine_get_replies_as_large_as_they_accept() -> None:
    """Nothing is fragmented on the loopback interface."""
    for hosts, size in (
        (("127.0.0.1", "::1"), 65_507),
        (("127.0.0.1", "192.0.2.1"), 1232),
        (("0.0.0.0",), 1232),
    ):
        settings = Settings(listen=tuple(HostPort(host, 53) for host in hosts))
        assert policy(settings).messages.max_udp_size == size


def test_name_servers_are_the_concrete_addresses_of_listen() -> None:
    listen = ("0.0.0.0", "::", "192.0.2.1", "192.0.2.1")
    settings = Settings(listen=tuple(HostPort(host, 53) for host in listen))
    assert policy(settings).name_server_addresses == (b"\xc0\0\2\1",)


def test_zones_of_clusters() -> None:
    kubernetes = KubernetesSettings(zones={"cluster.local": "east"}, ttl=timedelta(seconds=9))
    settings = Settings(
        dns=DNSSettings(kubernetes=kubernetes), sync=SyncSettings(zone="k8s.consul", cluster="west")
    )
    zones: dict[Labels, str] = {(b"cluster", b"local"): "east", (b"k8s", b"consul"): "west"}
    assert policy(settings).kubernetes == KubernetesPolicy(ttl=9, zones=zones)
