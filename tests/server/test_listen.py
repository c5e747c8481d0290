"""Sockets, and what is said when they are unavailable."""

import socket
import sys

import pytest

from consuldns.errors import StartupError
from consuldns.server.listen import Transport, listen
from consuldns.sockets import HostPort
from tests.server.listening import listening, sockets


def test_a_udp_socket_for_each_worker_and_a_tcp_socket_for_all() -> None:
    with listening(["127.0.0.1:0", "[::1]:0"], 3) as listeners:
        tcp = sockets(listeners[0], Transport.TCP)
        assert len(tcp) == 2
        assert all(sockets(worker, Transport.TCP) == tcp for worker in listeners)
        udp = [sockets(worker, Transport.UDP) for worker in listeners]
        assert [len(worker) for worker in udp] == [2, 2, 2]
        assert len({each for worker in udp for each in worker}) == 6
        for index, each in enumerate(tcp):
            port = each.getsockname()[1]
            assert {worker[index].getsockname()[1] for worker in udp} == {port}
        assert tcp[1].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        assert all(not each.getblocking() for each in tcp)
        assert {str(each.address) for each in listeners[0]} == {"127.0.0.1:0", "[::1]:0"}


def test_where_the_kernel_does_not_spread_datagrams_all_workers_share_one_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with listening(["127.0.0.1:0"], 3) as listeners:
        (udp,) = {own for worker in listeners for own in sockets(worker, Transport.UDP)}
        assert udp.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0


def test_both_families_on_one_port() -> None:
    with listening(["0.0.0.0:0"]) as first:
        port = first[0][0].socket.getsockname()[1]
        with listening([f"[::]:{port}"]):
            pass


def test_a_second_server_is_told_so() -> None:
    with listening(["127.0.0.1:0"]) as first:
        port = first[0][0].socket.getsockname()[1]
        with pytest.raises(StartupError, match=rf"127\.0\.0\.1:{port} \(TCP\).*another program"):
            listen([HostPort("127.0.0.1", 0), HostPort("127.0.0.1", port)], 1)


def test_a_udp_port_that_is_taken() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.77", 0))  # an address that nothing else here has TCP ports of
        port = other.getsockname()[1]
        with pytest.raises(StartupError, match=rf"{port} \(UDP\).*--listen"):
            listen([HostPort("127.0.0.77", port)], 1)


def test_an_address_of_another_host() -> None:
    with pytest.raises(StartupError, match="does not have the address"):
        listen([HostPort("192.0.2.1", 0)], 1)
