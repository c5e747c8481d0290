"""`consuldns query` against a DNS server of the test's own, made with dnspython."""

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from click.testing import CliRunner, Result

from consuldns.cli import main
from consuldns.cli.query import NoReply, exchange
from tests.support.consul_agent import free_ports

Reply = Callable[[dns.message.Message, bool], list[bytes]]


class DNSServer:
    """UDP and TCP; `reply` gives the packets for a query, and is told if it came over TCP."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        (port,) = free_ports(1)
        self.address = ("127.0.0.1", port)
        self._udp, self._tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for each in (self._udp, self._tcp):
            each.bind(self.address)
        self._tcp.listen()

    def over_udp(self) -> None:
        """Answer until an empty packet comes."""
        while (received := self._udp.recvfrom(4096))[0]:
            for each in self._reply(dns.message.from_wire(received[0]), False):
                self._udp.sendto(each, received[1])

    def over_tcp(self) -> None:
        """Answer one question a connection, until a connection brings none."""
        while True:
            connection, _ = self._tcp.accept()
            with connection, connection.makefile("rb") as stream:
                if not (prefix := stream.read(2)):
                    return
                packet = stream.read(struct.unpack("!H", prefix)[0])
                for each in self._reply(dns.message.from_wire(packet), True):
                    connection.sendall(struct.pack("!H", len(each)) + each)

    def stop(self) -> None:
        """End both loops."""
        self._udp.sendto(b"", self.address)
        socket.create_connection(self.address).close()

    def close(self) -> None:
        """Close the sockets."""
        self._udp.close()
        self._tcp.close()


@contextlib.contextmanager
def answering(reply: Reply) -> Iterator[tuple[str, int]]:
    server = DNSServer(reply)
    threads = [threading.Thread(target=each) for each in (server.over_udp, server.over_tcp)]
    for thread in threads:
        thread.start()
    try:
        yield server.address
    finally:
        server.stop()
        for thread in threads:
            thread.join()
        server.close()


def query(server: tuple[str, int], *arguments: str) -> Result:
    address = f"{server[0]}:{server[1]}"
    return CliRunner().invoke(main, ["query", *arguments, "--server", address])


def zone(text: str = "", rcode: dns.rcode.Rcode = dns.rcode.NOERROR) -> Reply:
    """Answers every question with these records."""

    def reply(question: dns.message.Message, over_tcp: bool) -> list[bytes]:
        message = dns.message.make_response(question, our_payload=1232)
        message.flags |= dns.flags.AA
        message.set_rcode(rcode)
        for line in text.splitlines():
            owner, ttl, class_, type_, data = line.split(maxsplit=4)
            message.answer.append(dns.rrset.from_text(owner, int(ttl), class_, type_, data))
        return [message.to_wire()]

    return reply


def test_an_answer_is_shown_as_dig_does() -> None:
    with answering(zone("web.service.consul. 5 IN A 10.0.0.7")) as server:
        result = query(server, "web.service.consul")
    assert result.exit_code == 0
    output = re.sub(r"id: \d+|\d+\.\d ms", "...", result.output)
    assert (
        output
        == f"""\
;; ->>HEADER<<- opcode: QUERY, status: NOERROR, ...
;; flags: qr aa rd; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1

;; OPT PSEUDOSECTION:
; EDNS: version: 0, udp: 1232
;; QUESTION SECTION:
;web.service.consul. IN A

;; ANSWER SECTION:
web.service.consul. 5 IN A 10.0.0.7

;; Query time: ...
;; SERVER: 127.0.0.1:{server[1]} (udp)
;; MSG SIZE rcvd: 63
"""
    )


def test_every_section_and_extended_error_is_shown() -> None:
    def reply(question: dns.message.Message, over_tcp: bool) -> list[bytes]:
        message = dns.message.make_response(question, our_payload=1232)
        message.use_edns(
            0,
            0,
            1232,
            options=[dns.edns.EDEOption(dns.edns.EDECode.STALE_ANSWER, "Consul is away")],
        )
        message.answer.append(dns.rrset.from_text("a.", 0, "IN", "SRV", "1 1 80 b."))
        message.authority.append(dns.rrset.from_text(".", 0, "IN", "NS", "ns."))
        message.additional.append(dns.rrset.from_text("b.", 0, "IN", "AAAA", "::1"))
        return [message.to_wire()]

    with answering(reply) as server:
        lines = query(server, "a", "SRV").output.splitlines()
    assert "; EDE: 3 (Stale Answer): (Consul is away)" in lines
    for section, record in {
        "ANSWER": "a. 0 IN SRV 1 1 80 b.",
        "AUTHORITY": ". 0 IN NS ns.",
        "ADDITIONAL": "b. 0 IN AAAA ::1",
    }.items():
        assert lines[lines.index(f";; {section} SECTION:") + 1] == record


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        pytest.param(zone("a. 0 IN A 10.0.0.1"), 0, id="answer"),
        pytest.param(zone(), 10, id="nodata"),
        pytest.param(zone(rcode=dns.rcode.NXDOMAIN), 11, id="nxdomain"),
        pytest.param(zone(rcode=dns.rcode.SERVFAIL), 12, id="servfail"),
        pytest.param(zone(rcode=dns.rcode.REFUSED), 13, id="refused"),
        pytest.param(zone(rcode=dns.rcode.NOTIMP), 13, id="other"),
    ],
)
def test_the_exit_status_tells_the_outcome(reply: Reply, status: int) -> None:
    with answering(reply) as server:
        assert query(server, "a").exit_code == status


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["web.service.consul"], "web.service.consul. IN A"),
        (["web.service.consul", "SRV"], "web.service.consul. IN SRV"),
        (["web.service.consul", "any"], "web.service.consul. IN ANY"),
        (["web.service.consul", "TYPE65"], "web.service.consul. IN HTTPS"),
        (["-x", "10.254.70.176"], "176.70.254.10.in-addr.arpa. IN PTR"),
        (["10.254.70.176"], "176.70.254.10.in-addr.arpa. IN PTR"),
        (["::1"], "1." + "0." * 31 + "ip6.arpa. IN PTR"),
        (["10.254.70.176", "A"], "10.254.70.176. IN A"),
        ([r"a\.b.service.consul"], r"a\.b.service.consul. IN A"),
    ],
)
def test_what_is_asked(arguments: list[str], asked: str) -> None:
    questions = []

    def reply(question: dns.message.Message, over_tcp: bool) -> list[bytes]:
        questions.append(question)
        return zone()(question, over_tcp)

    with answering(reply) as server:
        query(server, *arguments)
    (question,) = questions
    assert question.question[0].to_text() == asked
    assert question.payload == 1232
    assert question.flags == dns.flags.RD


def test_a_truncated_reply_is_asked_for_again_over_tcp() -> None:
    def reply(question: dns.message.Message, over_tcp: bool) -> list[bytes]:
        if over_tcp:
            return zone("a. 0 IN A 10.0.0.1")(question, over_tcp)
        message = dns.message.make_response(question, our_payload=1232)
        message.flags |= dns.flags.TC
        return [message.to_wire()]

    with answering(reply) as server:
        result = query(server, "a")
    assert result.exit_code == 0
    assert "10.0.0.1" in result.output
    assert "(tcp)" in result.output


def test_replies_to_another_question_are_ignored() -> None:
    def reply(question: dns.message.Message, over_tcp: bool) -> list[bytes]:
        forged = dns.message.make_query("a", "A", id=(question.id + 1) % 65536)
        return zone("a. 0 IN A 6.6.6.6")(forged, False) + zone("a. 0 IN A 10.0.0.1")(
            question, False
        )

    with answering(reply) as server:
        result = query(server, "a")
    assert "10.0.0.1" in result.output
    assert "6.6.6.6" not in result.output


def test_a_reply_that_is_no_message_is_said_so() -> None:
    with answering(lambda question, _: [struct.pack("!H", question.id) + b"\x80"]) as server:
        result = query(server, "a")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")


def test_nobody_there() -> None:
    (port,) = free_ports(1)
    result = query(("127.0.0.1", port), "a")
    assert result.exit_code == 9
    assert result.stderr == (
        f"Error: no reply from 127.0.0.1:{port}: Connection refused "
        "('consuldns dev' answers on 8600, 'consuldns serve' on 8653: see --server)\n"
    )


def test_somebody_there_who_says_nothing() -> None:
    with answering(lambda _question, _: []) as server, pytest.raises(NoReply, match="timed out"):
        exchange(b"\0\1" + bytes(10), server, seconds=0.01)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["a..b"], "not a DNS name: 'a..b'"),
        (["web", "AAA"], "not a type of records: 'AAA'"),
        (["-x", "a"], "not an IP address: 'a'"),
        (["a", "--server", "localhost"], "must be an IP address and a port"),
    ],
)
def test_mistakes_are_usage_errors(arguments: list[str], problem: str) -> None:
    result = CliRunner().invoke(main, ["query", *arguments])
    assert result.exit_code == 2
    assert problem in result.stderr
