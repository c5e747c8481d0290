"""Kinds of values: what is read, what is refused with which words, and the way back to text."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.config import values
from consuldns.config.schema import Settings
from consuldns.config.values import Kind, Secret, format_value
from consuldns.dns.policy import PRIVATE_REVERSE_ZONES
from consuldns.durations import shortest
from consuldns.names import format_name
from consuldns.sockets import HostPort

milliseconds = st.integers(0, (2**31 - 1) * 1000)


@given(milliseconds)
def test_a_duration_reads_back_as_it_was_written(number: int) -> None:
    duration = timedelta(milliseconds=number)
    assert values.read_duration(shortest(duration)) == duration


@pytest.mark.parametrize(
    ("raw", "milliseconds"),
    [
        ("10s", 10_000),
        ("1h30m", 5_400_000),
        ("500ms", 500),
        ("1.5s", 1500),
        ("0s", 0),
        (0, 0),
        (15, 15_000),
        ("15", 15_000),
        ("2147483647s", 2_147_483_647_000),
    ],
)
def test_durations_are_read_as_consul_does(raw: object, milliseconds: int) -> None:
    assert values.read_duration(raw) == timedelta(milliseconds=milliseconds)


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        pytest.param(values.BOOLEAN, True, True, id="boolean"),
        pytest.param(values.BOOLEAN, "F", False, id="boolean-as-go"),
        pytest.param(values.whole_number(0, 9), "7", 7, id="number-as-text"),
        pytest.param(values.HOST_PORT, "[::1]:53", HostPort("::1", 53), id="ipv6"),
        pytest.param(values.HOST_PORT, "0.0.0.0:53", HostPort("0.0.0.0", 53), id="ipv4"),
        pytest.param(values.URL, "consul.local:8501", "http://consul.local:8501", id="no-scheme"),
        pytest.param(values.URL, "https://[::1]:8501/", "https://[::1]:8501", id="final-slash"),
        pytest.param(values.DOMAIN, "Consul.Example.", "consul.example", id="domain"),
        pytest.param(values.OPTIONAL_DOMAIN, "", "", id="no-domain"),
        pytest.param(values.DATACENTER, "DC1", "dc1", id="datacenter"),
        pytest.param(values.SECRET, " t \n", Secret("t"), id="secret"),
        pytest.param(values.list_of(values.TEXT), "a, b,", ("a", "b"), id="list-as-text"),
        pytest.param(
            values.table_of(values.DURATION),
            "web=5s, *=1m",
            {"web": timedelta(seconds=5), "*": timedelta(minutes=1)},
            id="table-as-text",
        ),
    ],
)
def test_values_are_read(kind: Kind[Any], raw: object, value: object) -> None:
    assert kind.read(raw) == value


DURATION_EXPECTED = 'must be a duration such as "10s", "5m" or "1h30m", not '
HOST_PORT_EXPECTED = "must be an IP address and a port such as 127.0.0.1:8600, not "
NETWORK_EXPECTED = "must be a network such as 10.0.0.0/8, not "
URL_EXPECTED = "must be a URL such as http://127.0.0.1:8500, not "


@pytest.mark.parametrize(
    ("kind", "raw", "message"),
    [
        (values.DURATION, "ten", DURATION_EXPECTED + "'ten'"),
        (values.DURATION, "-5s", DURATION_EXPECTED + "'-5s'"),
        (values.DURATION, 1.5, DURATION_EXPECTED + "1.5"),
        (values.DURATION, True, DURATION_EXPECTED + "True"),
        (values.DURATION, "", DURATION_EXPECTED + "''"),
        (values.DURATION, "5 s", DURATION_EXPECTED + "'5 s'"),
        (values.DURATION, "0.1ms", "must be whole milliseconds, not '0.1ms'"),
        (values.DURATION, "600000h", "must be at most 2147483647s, not '600000h'"),
        (values.BOOLEAN, "maybe", "must be true or false, not 'maybe'"),
        (values.BOOLEAN, 2, "must be true or false, not 2"),
        (values.whole_number(0, 9), 10, "must be a whole number from 0 to 9, not 10"),
        (values.whole_number(0, 9), True, "must be a whole number from 0 to 9, not True"),
        (values.whole_number(0, 9), "x", "must be a whole number from 0 to 9, not 'x'"),
        (values.TEXT, 5, "must be a string in quotes, not 5"),
        (values.HOST_PORT, "localhost:53", HOST_PORT_EXPECTED + "'localhost:53'"),
        (values.HOST_PORT, ":53", HOST_PORT_EXPECTED + "':53'"),
        (values.HOST_PORT, "::1:53", HOST_PORT_EXPECTED + "'::1:53'"),
        (values.HOST_PORT, "[127.0.0.1]:53", HOST_PORT_EXPECTED + "'[127.0.0.1]:53'"),
        (values.HOST_PORT, "8600", HOST_PORT_EXPECTED + "'8600'"),
        (values.HOST_PORT, "127.0.0.1:0", "must end in a port from 1 to 65535, not '127.0.0.1:0'"),
        (values.HOST_PORT, "[::1]:x", "must end in a port from 1 to 65535, not '[::1]:x'"),
        (values.URL, "ftp://a", URL_EXPECTED + "'ftp://a'"),
        (values.URL, "http://:8500", URL_EXPECTED + "'http://:8500'"),
        (values.URL, "http://a:99999", URL_EXPECTED + "'http://a:99999'"),
        (values.URL, "http://a:1/v1", "must be scheme, host and port only"),
        (
            values.URL,
            "unix://run/consul.sock",
            "must have the whole path of a socket, as unix:///run/x, not 'unix://run/consul.sock'",
        ),
        (values.DOMAIN, ".", "must be a DNS name such as consul, not '.'"),
        (values.DOMAIN, "a..b", "must be a DNS name such as consul, not 'a..b'"),
        (values.DATACENTER, "a/b", "must be a name of letters, digits, - and _, not 'a/b'"),
        (values.ADDRESS, "ns1", "must be an IP address, not 'ns1'"),
        (values.REVERSE_ZONE, "a.", NETWORK_EXPECTED + "'a.' (neither network nor reverse name)"),
        (
            values.REVERSE_ZONE,
            "10.0.0.1/8",
            NETWORK_EXPECTED + "'10.0.0.1/8' (10.0.0.1/8 has host bits set)",
        ),
        (values.list_of(values.TEXT), 5, 'must be a list such as ["..."], not 5'),
        (values.list_of(values.TEXT, at_least_one=True), [], "must have at least one entry"),
        (values.table_of(values.TEXT), 5, "must be a table, not 5"),
        (
            values.table_of(values.TEXT),
            "web",
            "must be name=value pairs separated by commas, not 'web'",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(kind: Kind[Any], raw: object, message: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 (the whole text is compared)
        kind.read(raw)
    assert str(refusal.value) == message


@given(st.text())
def test_no_text_makes_a_kind_fail_otherwise(text: str) -> None:
    kinds = [values.DURATION, values.HOST_PORT, values.URL, values.DOMAIN, values.REVERSE_ZONE]
    for kind in kinds:
        try:
            kind.read(text)  # type: ignore[attr-defined]
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("zone", "names"),
    [
        ("10.0.0.0/8", ["10.in-addr.arpa."]),
        ("192.168.0.0/15", ["168.192.in-addr.arpa.", "169.192.in-addr.arpa."]),
        ("fc00::/7", ["c.f.ip6.arpa.", "d.f.ip6.arpa."]),
        ("70.254.10.IN-ADDR.ARPA", ["70.254.10.in-addr.arpa."]),
        ("0.0.0.0/0", ["in-addr.arpa."]),
        ("10.1.2.3/32", ["3.2.1.10.in-addr.arpa."]),
    ],
)
def test_networks_are_reverse_zones(zone: str, names: list[str]) -> None:
    assert [format_name(name) for name in values.reverse_zone_names(zone)] == names


def test_the_default_reverse_zones_are_the_private_ones() -> None:
    default = Settings().dns.reverse_zones
    names = {name for zone in default for name in values.reverse_zone_names(zone)}
    assert names == set(PRIVATE_REVERSE_ZONES)


def test_a_secret_is_never_printed() -> None:
    secret = Secret("hunter2")
    assert f"{secret} {secret!r} {secret!s} {[secret]} {format_value(secret)}".count("***") == 5
    assert "hunter2" not in f"{secret} {secret!r} {[secret]} {format_value(secret)}"
    assert secret.reveal() == "hunter2"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (5, "5"),
        ('a "b" \\', '"a \\"b\\" \\\\"'),
        (timedelta(minutes=90), '"1h30m"'),
        ((HostPort("::1", 53),), '["[::1]:53"]'),
        ({"web": timedelta(seconds=1)}, '{ "web" = "1s" }'),
        ({}, "{}"),
        (Secret(), '""'),
    ],
)
def test_values_are_written_as_toml(value: object, text: str) -> None:
    assert format_value(value) == text
