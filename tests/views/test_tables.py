"""The look-up tables of the views."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns import names
from consuldns.names import Suffixes, parse_name
from consuldns.views import model, reverse_names
from consuldns.views.endings import Endings
from consuldns.views.networks import Networks

# Addresses close to each other, so that networks hold several.
ipv4 = st.integers(0, 2**12).map(lambda low: IPv4Address(0x0A000000 + low * 7))
ipv6 = st.integers(0, 2**12).map(lambda low: IPv6Address((0xFD << 120) + low * 7))


def node(name: str, id_: str = "", address: str = "10.0.0.1") -> model.Node:
    return model.Node(name, id_, address, "dc1", {}, {})


@given(st.lists(st.one_of(ipv4, ipv6)), st.one_of(ipv4, ipv6), st.integers(1, 31))
def test_networks_hold_what_a_scan_finds(
    addresses: list[IPv4Address | IPv6Address], around: IPv4Address | IPv6Address, digits: int
) -> None:
    prefix = around.packed.hex()[:digits]
    length = min(4 * digits, around.max_prefixlen)
    network = ip_network((around, length), strict=False)
    expected = any(each in network for each in addresses)
    assert Networks(a.packed for a in addresses).hold(len(around.packed), prefix) == expected


@given(st.one_of(ipv4, ipv6), st.integers(0, 32))
def test_network_of_the_end_of_a_reverse_name(address: IPv4Address | IPv6Address, cut: int) -> None:
    name = names.reverse_name(address)
    labels = min(cut, len(name) - 2)
    network = names.network_of(name[labels:])
    assert network is not None
    size, prefix = network
    assert size == len(address.packed)
    assert address.packed.hex().startswith(prefix)
    digits = 2 if size == 4 else 1
    assert len(prefix) == digits * (len(name) - 2 - labels)


@pytest.mark.parametrize(
    "name", ["x.10.in-addr.arpa", "01.10.in-addr.arpa", "256.in-addr.arpa", "10.ip6.arpa", "consul"]
)
def test_no_network(name: str) -> None:
    assert names.network_of(parse_name(name)) is None


def test_suffixes() -> None:
    inner, outer = parse_name("a.b.c"), parse_name("c")
    suffixes = Suffixes([inner, outer])
    assert suffixes.of(parse_name("x.a.b.c")) == [inner, outer]
    assert suffixes.longest_of(inner) == inner
    assert suffixes.longest_of(parse_name("b.c")) == outer
    assert suffixes.longest_of(parse_name("x.d")) is None


def test_the_one_node_of_an_id() -> None:
    one, two = node("one", "abcd-0000"), node("two", "ABFF-0000")
    nodes = model.Nodes(1, (one, two, node("none")))
    assert nodes.with_id_prefix("abc") == one
    assert nodes.with_id_prefix("abff0000") == two
    assert nodes.with_id_prefix("ab") is None
    assert nodes.with_id_prefix("00") is None


def test_what_follows_the_dots() -> None:
    nodes = model.Nodes(1, (node("Foo.Bar.Baz"), node("x"))).name_suffixes
    assert [
        name for name in (b"foo.bar.baz", b"bar.baz", b"baz", b"az", b"x") if name in nodes
    ] == [
        b"bar.baz",
        b"baz",
    ]
    tags = model.Services(1, (), ("v1.2", "x")).tag_suffixes
    assert b"2" in tags
    assert b"x" not in tags


@given(st.lists(st.text("a.b", max_size=8).map(str.encode), max_size=5))
def test_endings_are_all_that_follows_a_separator(texts: list[bytes]) -> None:
    wanted = {
        text[at + 1 :] for text in texts for at in range(len(text)) if text[at : at + 1] == b"."
    }
    endings = Endings(b".", texts)
    others = {text[at:] for text in texts for at in range(len(text))} | {b"", b"a", b"."}
    assert {text for text in wanted | others if text in endings} == wanted


def test_a_tag_of_a_million_dots_takes_no_more_than_itself() -> None:
    tags = model.Services(1, (), ("a." * 500_000,)).tag_suffixes
    assert b"a." * 100 in tags
    assert b"b" not in tags


def test_folders_around_a_reverse_name() -> None:
    ours, whole, wide = "0.70.254.10.IN-ADDR.ARPA", "70.254.10.in-addr.arpa.", "10.in-addr.arpa"
    six = "0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.IP6.ARPA"
    zones = reverse_names.ReverseZones(1, (wide, whole, ours, six, "docs"))
    around = zones.folders_around(names.reverse_name(ip_address("10.254.70.176")))
    assert around == (ours, whole, wide)
    assert zones.folders_around(parse_name("254.10.in-addr.arpa")) == (wide,)
    assert zones.folders_around(names.reverse_name(ip_address("2001:db8::1"))) == (six,)
    assert zones.folders_around(names.reverse_name(ip_address("192.0.2.1"))) == ()


def test_an_ipv4_address_in_ipv6_form_is_an_ipv4_address() -> None:
    assert names.parse_address("::ffff:10.7.7.7") == IPv4Address("10.7.7.7")
