"""Clients by their networks, packed or as text."""

from ipaddress import ip_address

import pytest

from consuldns.dns.policy import ForwardPolicy
from consuldns.server.clients import Clients
from consuldns.sockets import HostPort


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("10.1.2.3", True),
        ("10.2.0.1", False),
        ("127.0.0.1", False),
        ("fd00::1", True),
        ("::1", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:10.2.0.1", False),
    ],
)
def test_networks(address: str, is_allowed: bool) -> None:
    clients = Clients(["10.1.0.0/16", "fd00::/8"])
    for _ in range(2):
        assert clients.may_recurse(address) is is_allowed
        assert clients.may_recurse(ip_address(address).packed) is is_allowed
    assert not Clients([]).may_recurse(address)


def test_a_scope_is_left_out() -> None:
    assert Clients(["fe80::/10"]).may_recurse("fe80::1%eth0")


def test_what_is_known_is_bounded() -> None:
    clients = Clients(["10.0.0.0/8"])
    for number in range(25_000):
        assert clients.may_recurse(b"\x0a" + number.to_bytes(3))
    assert len(clients._networks._known) <= 10_000


def test_without_upstream_servers_all_clients_are_the_same() -> None:
    assert Clients.of(ForwardPolicy()) is None
    assert Clients.of(ForwardPolicy({(): (HostPort("10.0.0.1", 53),)})) is not None
