"""Headers, questions, operations, types, classes and EDNS: what comes back, over UDP and TCP.

Each row has the RFC that it is from. dnspython reads the replies.
"""

import re
import socket
import struct
import subprocess
from dataclasses import dataclass

import dns.edns
import dns.message
import dns.query
import dns.rcode
import dns.rdataclass
import pytest

from consuldns import __version__
from tests.conformance.conftest import IDENTITY
from tests.support.consuldns_process import Serve
from tests.wire.packets import (
    AA,
    AD,
    ANY,
    AXFR,
    CD,
    IXFR,
    QR,
    RA,
    RD,
    TC,
    A,
    header,
    opt,
    option,
    query_packet,
    question,
)

WEB = "web.service.consul"
Z = 0x0040
TSIG_DATA = (
    b"\x0bhmac-sha256\0" + bytes(6) + struct.pack("!HH", 300, 4) + b"mac!" + b"\x12\x34" + bytes(4)
)
TSIG = b"\3key\0" + struct.pack("!HHIH", 250, 255, 0, len(TSIG_DATA)) + TSIG_DATA


@dataclass(frozen=True)
class Expected:
    """What of a reply is graded; None: it may be anything. `edns` is whether it has OPT."""

    rcode: str
    answers: int | None = None
    edns: bool | None = None
    size: int | None = None
    errors: tuple[int, ...] = ()
    recursion_desired: bool | None = None
    question: bool | None = None


SILENCE = None
DROPPED = {
    "QR=1 (a reply)": query_packet(flags=QR | RD),
    "an empty datagram": b"",
    "one octet": b"\x12",
    "eleven octets": header()[:11],
}
ROWS: dict[str, tuple[bytes, Expected]] = {
    # RFC 1035 4.1, RFC 8906 8.1.1
    "plain": (query_packet(), Expected("NOERROR", 1, edns=False, recursion_desired=True)),
    "plain, RD=0": (query_packet(flags=0), Expected("NOERROR", 1, recursion_desired=False)),
    "AA, TC, RA, Z, AD and CD are ignored": (
        query_packet(flags=AA | TC | RA | Z | AD | CD),
        Expected("NOERROR", 1),
    ),
    "an rcode in a query": (query_packet(flags=15), Expected("NOERROR", 1)),
    "garbage behind the query": (query_packet() + b"x" * 200, Expected("NOERROR", 1)),
    "another case (RFC 4343)": (query_packet("wEb.SERVICE.consul"), Expected("NOERROR", 1)),
    # RFC 9619
    "no question": (header(questions=0), Expected("FORMERR", size=12)),
    "two questions": (header(questions=2) + question() * 2, Expected("FORMERR", size=12)),
    "an answer in a query": (
        header(answers=1) + question() + bytes(11),
        Expected("FORMERR", size=12),
    ),
    "65535 additional records": (header(additional=65535) + question(), Expected("FORMERR")),
    "a name cut short": (header() + b"\5web", Expected("FORMERR", size=12)),
    "no type": (header() + question()[:-4], Expected("FORMERR", size=12)),
    # RFC 9267
    "a pointer to itself": (header() + b"\xc0\x0c\0\1\0\1", Expected("FORMERR", size=12)),
    "a pointer into the header": (header() + b"\xc0\0\0\1\0\1", Expected("FORMERR", size=12)),
    "label type 0x40": (header() + b"\x43" + b"w" * 67 + b"\0\0\1\0\1", Expected("FORMERR")),
    "any octets in a label (RFC 2181 11)": (
        query_packet((b"a\0 ./\\\n\xff", b"service", b"consul")),
        Expected("NXDOMAIN", 0),
    ),
    # RFC 8906 8.1.4: RD cleared, nothing but a header
    **{
        f"opcode {number}": (
            query_packet(flags=number << 11 | RD),
            Expected("NOTIMP", size=12, recursion_desired=False),
        )
        for number in range(1, 16)
    },
    # RFC 8906 8.1.2, RFC 3597
    **{
        f"TYPE{number}": (query_packet(WEB, number), Expected("NOERROR", 0, question=True))
        for number in (666, 1000, 32768, 65280, 65535)
    },
    # RFC 6895 3.1
    **{
        f"TYPE{number}": (query_packet(WEB, number), Expected("FORMERR"))
        for number in (0, 41, 249, 250)
    },
    "NXNAME (RFC 9824 8)": (
        query_packet(WEB, 128, edns=opt()),
        Expected("FORMERR", edns=True, errors=(30,)),
    ),
    "AXFR": (query_packet("consul", AXFR), Expected("REFUSED")),
    "IXFR": (query_packet("consul", IXFR), Expected("REFUSED")),
    "ANY of a name with one record": (query_packet(WEB, ANY), Expected("NOERROR", 1)),
    **{
        f"CLASS{number}": (query_packet(class_=number), Expected("REFUSED"))
        for number in (0, 3, 4, 254, 255, 999)
    },
    "authors.bind (RFC 4892)": (query_packet("authors.bind", 16, class_=3), Expected("REFUSED")),
    "the root": (query_packet(".", edns=opt()), Expected("REFUSED", edns=True, errors=(20,))),
    "a zone of others": (
        query_packet("www.example.org", edns=opt()),
        Expected("REFUSED", edns=True, errors=(20,)),
    ),
    "an empty non-terminal (RFC 8020)": (query_packet("service.consul"), Expected("NOERROR", 0)),
    "below a name that does not exist (RFC 8020)": (
        query_packet("a.b.nope.service.consul"),
        Expected("NXDOMAIN", 0),
    ),
    # RFC 6891
    "EDNS": (query_packet(edns=opt()), Expected("NOERROR", 1, edns=True)),
    "EDNS version 1": (
        query_packet(edns=opt(version=1)),
        Expected("BADVERS", 0, edns=True, question=True),
    ),
    "EDNS version 255, DO, options": (
        query_packet(edns=opt(version=255, flags=0x8000, options=option(100, b"x"))),
        Expected("BADVERS", 0, edns=True),
    ),
    "unknown flags and options": (
        query_packet(edns=opt(flags=0x0080, options=option(100, b"x"))),
        Expected("NOERROR", 1, edns=True),
    ),
    "300 options": (
        query_packet(edns=opt(options=option(100) * 300)),
        Expected("NOERROR", 1, edns=True),
    ),
    "NSID, cookie, padding": (
        query_packet(edns=opt(options=option(3) + option(10, b"c" * 8) + option(12, bytes(9)))),
        Expected("NOERROR", 1, edns=True),
    ),
    # RFC 7873 5.2.2
    **{
        f"a cookie of {length} octets": (
            query_packet(edns=opt(options=option(10, bytes(length)))),
            Expected("FORMERR", edns=True) if length != 8 else Expected("NOERROR", 1, edns=True),
        )
        for length in (0, 7, 8, 9, 15, 41)
    },
    "a size of 0": (query_packet(edns=opt(size=0)), Expected("NOERROR", 1, edns=True)),
    "two OPT": (header(additional=2) + question() + opt() * 2, Expected("FORMERR")),
    "OPT that is not at the root": (query_packet(edns=opt(owner=b"\1x\0")), Expected("FORMERR")),
    "an option beyond its record": (
        query_packet(edns=opt(options=option(3, length=9))),
        Expected("FORMERR", edns=True),
    ),
    "three octets of an option": (
        query_packet(edns=opt(options=b"\0\3\0")),
        Expected("FORMERR", edns=True),
    ),
    "OPT with another opcode": (
        query_packet(flags=5 << 11, edns=opt()),
        Expected("NOTIMP", edns=True),
    ),
}


def over_udp(serve: Serve, packet: bytes) -> bytes | None:
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(3)
        client.connect(("127.0.0.1", serve.port))
        client.send(packet)
        client.send(b"\xff\xff" + query_packet()[2:])  # its answer shows that none comes any more
        replies = [client.recv(65535), b""]
        if replies[0][:2] == b"\xff\xff":
            return None
        return replies[0]


def over_tcp(serve: Serve, packet: bytes) -> bytes | None:
    with socket.create_connection(("127.0.0.1", serve.port), timeout=3) as client:
        client.sendall(len(packet).to_bytes(2) + packet)
        stream = client.makefile("rb")
        length = stream.read(2)
        return stream.read(int.from_bytes(length)) if length else None


TRANSPORTS = pytest.mark.parametrize("send", [over_udp, over_tcp], ids=["udp", "tcp"])


@TRANSPORTS
@pytest.mark.parametrize("row", ROWS)
def test_row(serve: Serve, row: str, send: object) -> None:
    packet, expected = ROWS[row]
    reply = send(serve, packet)  # type: ignore[operator]
    assert reply is not None
    message = dns.message.from_wire(reply)
    assert reply[:2] == packet[:2]
    assert reply[2] & 0x80, "QR"
    assert reply[2] & 0x78 == packet[2] & 0x78, "opcode"
    assert not reply[3] & 0x70, "Z, AD and CD are clear"
    assert dns.rcode.to_text(message.rcode()) == expected.rcode
    if expected.answers is not None:
        assert sum(len(each) for each in message.answer) == expected.answers
    if expected.edns is not None:
        assert (message.edns >= 0) is expected.edns
    if expected.size is not None:
        assert len(reply) == expected.size
    if expected.recursion_desired is not None:
        assert bool(reply[2] & 1) is expected.recursion_desired
    if expected.question is not None:
        assert bool(message.question) is expected.question
    errors = [e.code for e in message.options if isinstance(e, dns.edns.EDEOption)]
    assert errors == list(expected.errors)
    if expected.rcode in ("NOERROR", "NXDOMAIN") and not expected.answers:
        assert any(each.rdtype == dns.rdatatype.SOA for each in message.authority), "RFC 2308"


@pytest.mark.parametrize("row", DROPPED)
def test_what_gets_no_reply(serve: Serve, row: str) -> None:
    assert over_udp(serve, DROPPED[row]) is None


@TRANSPORTS
@pytest.mark.parametrize("edns", [b"", opt()], ids=["plain", "EDNS"])
def test_a_signed_query_gets_notauth_and_badkey(serve: Serve, send: object, edns: bytes) -> None:
    """RFC 8945 5.2.1: there is no such key here."""
    packet = header(additional=2 if edns else 1) + question() + edns + TSIG
    reply = send(serve, packet)  # type: ignore[operator]
    assert reply is not None
    assert reply[3] & 0xF == 9
    assert struct.unpack("!HHHH", reply[4:12]) == (1, 0, 0, 2 if edns else 1)
    record = reply[-(len(TSIG) - 4) :]  # without the signature
    assert record.startswith(b"\3key\0" + struct.pack("!HHI", 250, 255, 0))
    assert record.endswith(b"\x12\x34" + struct.pack("!HH", 17, 0))


@pytest.mark.parametrize("options", [(), ("+tcp",)], ids=["udp", "tcp"])
@pytest.mark.parametrize("name", [WEB, "nope.service.consul"])
def test_cookies_are_good_to_dig(serve: Serve, name: str, options: tuple[str, ...]) -> None:
    """RFC 7873 5.2: the client's cookie comes back with one of ours, known answer or not."""
    command = ["dig", "@127.0.0.1", "-p", str(serve.port), "+cookie", *options, name]
    for _ in range(3):
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert re.search(r"^; COOKIE: [0-9a-f]{48} \(good\)$", output, re.MULTILINE), output


@TRANSPORTS
@pytest.mark.parametrize("name", [WEB, "nope.service.consul", "many.service.consul"])
def test_the_identity_is_told_to_who_asks(serve: Serve, name: str, send: object) -> None:
    """RFC 5001, RFC 7828: NSID over both, the time of an idle connection over TCP alone."""
    for options, asked in ((option(3) + option(11), True), (option(12, b"x"), False)):
        for _ in range(4):  # from the resolver first, and then from the response cache
            packet = query_packet(name, edns=opt(size=512, options=options))
            message = dns.message.from_wire(send(serve, packet))  # type: ignore[operator]
            told = {each.otype: each.to_wire() for each in message.options}
            wanted = {3: IDENTITY.encode()} if asked else {}
            if asked and send is over_tcp:
                wanted[11] = b"\0\x64"
            assert told == wanted
            assert send is over_tcp or len(message.to_wire()) <= 512
    no_opt = dns.message.from_wire(send(serve, query_packet(name)))  # type: ignore[operator]
    assert no_opt.edns < 0


def test_options_go_together(serve: Serve) -> None:
    asking = option(10, b"c" * 8) + option(3) + option(11)
    reply = over_tcp(serve, query_packet("nope.service.consul", edns=opt(options=asking)))
    assert reply is not None
    assert [each.otype for each in dns.message.from_wire(reply).options] == [10, 3, 11]


@pytest.mark.parametrize(
    ("name", "type_", "rcode", "text"),
    [
        ("id.server", "TXT", "NOERROR", f'"{IDENTITY}"'),
        ("Hostname.BIND", "TXT", "NOERROR", f'"{IDENTITY}"'),
        ("version.bind", "ANY", "NOERROR", f'"consuldns {__version__}"'),
        ("version.server", "TXT", "NOERROR", f'"consuldns {__version__}"'),
        ("version.server", "A", "NOERROR", None),
        ("authors.bind", "TXT", "REFUSED", None),
        ("web.service.consul", "A", "REFUSED", None),
    ],
)
def test_what_class_ch_tells(
    serve: Serve, name: str, type_: str, rcode: str, text: str | None
) -> None:
    """RFC 4892 section 3."""
    query = dns.message.make_query(name, type_, "CH")
    for _ in range(2):
        reply = dns.query.udp(query, "127.0.0.1", port=serve.port, timeout=3)
        assert dns.rcode.to_text(reply.rcode()) == rcode
        told = [str(record) for rrset in reply.answer for record in rrset]
        assert told == ([] if text is None else [text])
        assert all(rrset.rdclass == dns.rdataclass.CH for rrset in reply.answer)


@pytest.mark.parametrize("size", [0, 511, 512, 1000, 1232, 4096, 65535])
def test_replies_over_udp_are_as_large_as_the_client_takes_at_most(serve: Serve, size: int) -> None:
    """RFC 6891 6.2.5. (The limit of 1232 octets is not for clients on this host.)"""
    reply = over_udp(serve, query_packet("many.service.consul", A, edns=opt(size=size)))
    assert reply is not None
    assert len(reply) <= max(size, 512)
    assert bool(reply[2] & 2) is (size < 1648), "TC"
    whole = over_tcp(serve, query_packet("many.service.consul", A, edns=opt(size=size)))
    assert whole is not None
    assert not whole[2] & 2
    assert int.from_bytes(whole[6:8]) == 100


def test_replies_without_edns_are_of_512_octets_at_most(serve: Serve) -> None:
    reply = over_udp(serve, query_packet("many.service.consul"))
    assert reply is not None
    assert len(reply) <= 512
    assert reply[2] & 2


def test_queries_in_one_segment_are_all_answered(serve: Serve) -> None:
    """RFC 7766 6.2.1, and half a close behind them."""
    with socket.create_connection(("127.0.0.1", serve.port), timeout=10) as client:
        packets = [number.to_bytes(2) + query_packet()[2:] for number in range(2000)]
        client.sendall(b"".join(len(each).to_bytes(2) + each for each in packets))
        client.shutdown(socket.SHUT_WR)
        stream, ids = client.makefile("rb"), set()
        while length := stream.read(2):
            ids.add(int.from_bytes(stream.read(int.from_bytes(length))[:2]))
    assert ids == set(range(2000))


def test_a_query_octet_by_octet(serve: Serve) -> None:
    packet = query_packet()
    with socket.create_connection(("127.0.0.1", serve.port), timeout=10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in len(packet).to_bytes(2) + packet:
            client.sendall(bytes((octet,)))
        assert client.recv(2)
