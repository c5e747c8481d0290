"""DNS over TLS (RFC 7858): the same answers, limits of its own, a certificate that changes."""

import os
import re
import signal
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dns.edns
import dns.message
import dns.query
import pytest

from tests.consul.test_tls import NAME, make_certificate
from tests.end_to_end.conftest import register
from tests.support.ask import answers, rcode, wait_for_answer
from tests.support.consul_agent import ConsulAgent, free_ports, wait_until
from tests.support.consuldns_process import Serve
from tests.wire.packets import opt, option, query_packet

WEB = "web.service.consul"


class TLSServer:
    """A server with DNS over TLS, and its certificate."""

    def __init__(self, consul: ConsulAgent, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self.certificate = make_certificate(folder / "server.pem")
        config = (
            f'[tls]\nlisten = ["127.0.0.1:{self.port}"]\ncertificate = "{self.certificate}"\n'
            f'key = "{self.certificate.with_suffix(".key")}"\n'
        )
        self.serve = Serve(consul.url, workers=2, config=config)

    def context(self) -> ssl.SSLContext:
        """What trusts the certificate as it is now."""
        context = ssl.create_default_context(cafile=self.certificate)
        context.set_alpn_protocols(["dot"])
        return context

    def connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        return self.context().wrap_socket(plain, server_hostname=NAME)


def exchange(connection: ssl.SSLSocket, packet: bytes) -> bytes:
    """A query and its reply."""
    connection.sendall(struct.pack("!H", len(packet)) + packet)
    (length,) = struct.unpack("!H", receive(connection, 2))
    return receive(connection, length)


def receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, "the server has closed the connection"
        data += piece
    return data


@pytest.fixture(scope="module")
def tls(consul: ConsulAgent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TLSServer]:
    server = TLSServer(consul, tmp_path_factory.mktemp("tls"))
    with server.serve:
        register(consul, "web", "10.0.0.1")
        wait_for_answer(server.serve.port, WEB, "A", "10.0.0.1")
        yield server


def test_kdig_verifies_the_certificate_and_gets_the_answer(tls: TLSServer) -> None:
    command = ["kdig", "@127.0.0.1", "-p", str(tls.port), "+tls", f"+tls-ca={tls.certificate}"]
    for name, is_trusted in ((NAME, True), ("another.example", False)):
        checked = [*command, f"+tls-hostname={name}", "+padding", WEB]
        printed = subprocess.run(checked, capture_output=True, text=True).stdout
        assert ("10.0.0.1" in printed) is is_trusted
        assert ("TLS session (TLS1.3)" in printed) is is_trusted


def test_10_000_queries_on_100_connections(tls: TLSServer) -> None:
    """Over and over in turn, so that all connections are open at the same time."""
    before = tls.serve.metric("consuldns_dns_requests_total")
    packet = query_packet(WEB, edns=opt())

    def ask_on(connections: list[ssl.SSLSocket]) -> int:
        right = 0
        for _ in range(100):
            for connection in connections:
                right += b"\x0a\0\0\1" in exchange(connection, packet)
        return right

    connections = [tls.connect() for _ in range(100)]
    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(ask_on, [connections[n::4] for n in range(4)])) == 10_000
    assert {each.selected_alpn_protocol() for each in connections} == {"dot"}
    for each in connections:
        each.close()
    wait_until(
        lambda: tls.serve.metric("consuldns_dns_requests_total") >= before + 10_000, "the counter"
    )
    assert re.search(r'requests_total\{[^}]*"tls"[^}]*\} [1-9]', tls.serve.admin("/metrics").text)


def test_large_answers_come_whole(tls: TLSServer, consul: ConsulAgent) -> None:
    for number in range(100):
        service = {"ID": "many", "Service": "many", "Address": f"10.1.0.{number}"}
        payload = {"Node": f"many-{number}", "Address": "192.0.2.10", "Service": service}
        consul.put("/v1/catalog/register", payload)

    def count() -> int:
        with tls.connect() as connection:
            reply = exchange(connection, query_packet("many.service.consul", edns=opt()))
        return len(answers(dns.message.from_wire(reply)))

    wait_until(lambda: count() == 100, "all instances in one reply")


def test_errors_and_options(tls: TLSServer) -> None:
    with tls.connect() as connection:
        reply = dns.message.from_wire(exchange(connection, query_packet("nope.consul")))
        assert rcode(reply) == "NXDOMAIN"
        asking = query_packet(WEB, edns=opt(options=option(10, b"c" * 8) + option(11)))
        codes = [each.otype for each in dns.message.from_wire(exchange(connection, asking)).options]
        assert codes == [10, 11]


@pytest.mark.parametrize("name", [WEB, "nope.service.consul"])
def test_replies_are_padded_if_the_query_is(tls: TLSServer, name: str) -> None:
    """RFC 8467 section 4.1: to a multiple of 468 octets."""
    with tls.connect() as connection:
        for options in (option(12, bytes(40)), option(10, b"c" * 8) + option(12)):
            for _ in range(3):
                reply = exchange(connection, query_packet(name, edns=opt(options=options)))
                assert len(reply) == 468
                assert dns.message.from_wire(reply).options[-1].otype == 12
        assert len(exchange(connection, query_packet(name, edns=opt()))) < 468


def test_what_is_not_a_query_ends_the_connection(tls: TLSServer) -> None:
    with tls.connect() as connection:
        connection.sendall(b"\0\1x")
        assert connection.recv(100) == b""
    with socket.create_connection(("127.0.0.1", tls.port), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises((ConnectionError, AssertionError)):
            receive(plain, 1 << 20)
    with tls.connect() as connection:
        assert b"\x0a\0\0\1" in exchange(connection, query_packet(WEB))


def test_clients_that_never_finish_the_handshake_keep_nobody_out(tls: TLSServer) -> None:
    idle = [socket.create_connection(("127.0.0.1", tls.port), timeout=10) for _ in range(150)]
    with tls.connect() as connection:
        assert b"\x0a\0\0\1" in exchange(connection, query_packet(WEB))
    for each in idle:
        assert each.recv(1) == b"", "closed after the time for a handshake"
        each.close()


def test_a_new_certificate_is_used_without_losing_a_connection(tls: TLSServer) -> None:
    open_before = tls.connect()
    assert b"\x0a\0\0\1" in exchange(open_before, query_packet(WEB))
    make_certificate(tls.certificate)
    with pytest.raises(ssl.SSLCertVerificationError):
        tls.connect()
    os.kill(tls.serve.pid, signal.SIGHUP)
    tls.serve.wait_for_line("certificate of DNS over TLS has been read again")
    wait_until(lambda: is_trusted(tls), "the new certificate")
    assert b"\x0a\0\0\1" in exchange(open_before, query_packet(WEB))
    open_before.close()


def is_trusted(tls: TLSServer) -> bool:
    """By both workers: one of them takes a connection."""
    try:
        for _ in range(8):
            tls.connect().close()
    except ssl.SSLCertVerificationError:
        return False
    return True


def test_a_certificate_that_cannot_be_used_changes_nothing(tls: TLSServer) -> None:
    good = tls.certificate.read_bytes()
    tls.certificate.write_text("not a certificate")
    os.kill(tls.serve.pid, signal.SIGHUP)
    tls.serve.wait_for_line("everything stays as it was: tls.certificate")
    tls.certificate.write_bytes(good)
    with tls.connect() as connection:
        assert b"\x0a\0\0\1" in exchange(connection, query_packet(WEB))


def test_a_start_without_a_usable_certificate_fails(consul: ConsulAgent, tmp_path: Path) -> None:
    file = tmp_path / "none.pem"
    file.write_text("nothing")
    address = f"127.0.0.1:{free_ports(1)[0]}"
    config = f'[tls]\nlisten = ["{address}"]\ncertificate = "{file}"\nkey = "{file}"\n'
    serve = Serve(consul.url, config=config)
    serve.start()
    wait_until(lambda: serve.status is not None, "the end")
    assert serve.stop() == 4
    assert "tls.certificate" in serve.log


def test_dnspython_agrees(tls: TLSServer) -> None:
    query = dns.message.make_query(WEB, "A")
    reply = dns.query.tls(
        query, "127.0.0.1", port=tls.port, ssl_context=tls.context(), server_hostname=NAME
    )
    assert answers(reply) == {"10.0.0.1"}
