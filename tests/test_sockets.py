"""Addresses to listen on, and what is said when one is unavailable."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.errors import StartupError
from consuldns.names import parse_address, parse_port
from consuldns.sockets import HostPort, listen_tcp, parse_host_port

PORTS = st.integers(1, 65535)


@given(st.ip_addresses().map(str), PORTS)
def test_what_is_written_is_read_again(host: str, port: int) -> None:
    address = HostPort(str(parse_address(host)), port)  # an IPv4-mapped one is IPv4
    assert parse_host_port(str(address)) == address


@given(st.text(alphabet="0123456789:.[]ax² \n", max_size=25))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        address = parse_host_port(text)
    except ValueError:
        return
    assert 1 <= address.port <= 65535
    assert parse_host_port(str(address)) == address


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "+1", " 1", "1_0", "²", "٣", "65536", "000080", "x"]
)
def test_what_is_not_a_port(text: str) -> None:
    with pytest.raises(ValueError, match="must be a number from 1 to 65535"):
        parse_port(text)


@given(PORTS)
def test_ports(port: int) -> None:
    assert parse_port(str(port)) == parse_port(f"{port:05}") == port


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_socket_that_listens(host: str) -> None:
    with listen_tcp(HostPort(host, 0), option="--test") as listener:
        assert not listener.getblocking()
        assert listener.proto == socket.IPPROTO_TCP
        with socket.create_connection((host, listener.getsockname()[1])):
            pass


def test_a_port_that_is_taken() -> None:
    with listen_tcp(HostPort("::1", 0), option="--a") as listener:
        port = listener.getsockname()[1]
        with pytest.raises(StartupError) as refused:
            listen_tcp(HostPort("::1", port), option="--admin-addr", what="the admin endpoint")
    another = port + 1 if port < 65535 else 8000 + port % 1024
    assert str(refused.value) == (
        f"the admin endpoint cannot listen on [::1]:{port} (TCP): another program listens there "
        "('ss -lntup' names it); stop it, or choose another address with --admin-addr, for example "
        f"[::1]:{another}"
    )


def test_an_address_of_another_host() -> None:
    with pytest.raises(StartupError, match=r"192\.0\.2\.1:80 \(TCP\): this host does not have"):
        listen_tcp(HostPort("192.0.2.1", 80), option="--listen")
