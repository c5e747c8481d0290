"""What an authoritative server is graded on, header by header and option by option.

Through the whole way of a query: table, decoder, resolver, encoder. RFC 8906 section 8 lists most
of these; the other RFCs are named at each. Replies are read by dnspython.
"""

from typing import Any

import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.server.handler import Unanswered
from consuldns.server.listen import Transport
from tests.server.one_worker import Worker
from tests.wire import packets
from tests.wire.packets import header, opt, option, parse, query_packet, question, records

BOTH = pytest.mark.parametrize("transport", list(Transport))
WEB, APEX, MANY, NONE = (
    "web.service.consul",
    "consul",
    "many.service.consul",
    "nope.service.consul",
)
TYPES_WITHOUT_DATA = (packets.CNAME, packets.PTR, 15, 64, 65, 66, 97, 666, 32768, 65280, 65535)


@pytest.fixture(scope="module")
def worker() -> Worker:
    return Worker()


def rcode(message: dns.message.Message) -> str:
    return dns.rcode.to_text(message.rcode())


def echoes(reply: bytes | object, packet: bytes) -> bool:
    assert isinstance(reply, bytes)
    end = packet.index(b"\0", 12) + 5
    return reply[:2] == packet[:2] and reply[12:end] == packet[12:end]


@BOTH
class TestHeader:
    def test_plain_query(self, worker: Worker, transport: Transport) -> None:
        for flags in (0, packets.RD):
            packet = query_packet(APEX, packets.SOA, flags=flags)
            reply = worker.ask(packet, transport)
            message = parse(reply)
            assert message.flags == packets.QR | packets.AA | flags
            assert echoes(reply, packet)
            assert message.edns == -1
            assert message.answer[0].rdtype == packets.SOA

    @pytest.mark.parametrize("flags", [0x0400, 0x0200, 0x0080, 0x0040, 0x0020, 0x0010, 0x06F0, 15])
    def test_flags_are_ignored(self, worker: Worker, transport: Transport, flags: int) -> None:
        message = worker.reply(query_packet(WEB, flags=flags), transport)
        assert message.flags == packets.QR | packets.AA
        assert len(records(message.answer)) == 3

    @pytest.mark.parametrize(
        "packet",
        [
            pytest.param(query_packet(flags=packets.QR | packets.RD), id="reply"),
            pytest.param(query_packet(flags=packets.QR, edns=opt(version=1)), id="reply, BADVERS"),
            pytest.param(header(packets.QR | 0x2000), id="reply of another opcode"),
            pytest.param(b"", id="empty"),
            pytest.param(b"\0", id="1 octet"),
            pytest.param(query_packet()[:11], id="11 octets"),
        ],
    )
    def test_dropped(self, worker: Worker, transport: Transport, packet: bytes) -> None:
        assert worker.ask(packet, transport) is Unanswered.DROPPED

    @pytest.mark.parametrize("count", [0, 2, 3, 65535])
    def test_other_than_one_question(
        self, worker: Worker, transport: Transport, count: int
    ) -> None:
        reply = worker.ask(header(questions=count) + question() * min(count, 3), transport)
        assert reply == b"\x12\x34\x81\x01" + bytes(8)

    @pytest.mark.parametrize("opcode", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
    def test_other_opcodes(self, worker: Worker, transport: Transport, opcode: int) -> None:
        flags = opcode << 11
        for packet in (header(flags, questions=0), query_packet(flags=flags)):
            reply = worker.ask(packet, transport)
            assert reply == b"\x12\x34" + bytes((0x80 | opcode << 3, 4)) + bytes(8)
        message = worker.reply(query_packet(flags=flags, edns=opt()), transport)
        assert (rcode(message), message.edns) == ("NOTIMP", 0)

    @pytest.mark.parametrize(
        "packet",
        [
            pytest.param(header(answers=1) + question() + bytes(11), id="an answer"),
            pytest.param(header(authority=1) + question() + bytes(11), id="authority"),
            pytest.param(header(additional=65535) + question(), id="a lie about the count"),
            pytest.param(header() + b"\3web", id="truncated name"),
            pytest.param(header() + question()[:-4], id="name without type"),
            pytest.param(header() + b"\xc0\x0c\0\1\0\1", id="pointer to itself"),
            pytest.param(header() + b"\x41x\0\0\1\0\1", id="label type 0x40"),
            pytest.param(query_packet((b"x" * 63,) * 3 + (b"x" * 62,)), id="name of 256"),
        ],
    )
    def test_malformed(self, worker: Worker, transport: Transport, packet: bytes) -> None:
        assert worker.ask(packet, transport) == b"\x12\x34\x81\x01" + bytes(8)

    @pytest.mark.parametrize("garbage", [b"\0", b"x" * 200])
    def test_what_follows_is_ignored(
        self, worker: Worker, transport: Transport, garbage: bytes
    ) -> None:
        for edns in (b"", opt()):
            packet = query_packet(WEB, edns=edns)
            expected, reply = worker.ask(packet, transport), worker.ask(packet + garbage, transport)
            assert isinstance(expected, bytes)
            assert isinstance(reply, bytes)
            assert len(reply) == len(expected)
            assert garbage * 5 not in reply or garbage == b"\0"


@BOTH
class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            (b"a\0b", b"service", b"consul"),
            (b"\0", b"service", b"consul"),
            (b"a b", b"service", b"consul"),
            (b"web.service", b"consul"),
            (b"a/../b", b"service", b"consul"),
            (b"%2e%2e\r\n?#", b"service", b"consul"),
            (b"\\", b"service", b"consul"),
            (b"\xff\xfe", b"service", b"consul"),
            ("\N{KELVIN SIGN}".encode(), b"service", b"consul"),
            (b"x" * 63, b"x" * 63, b"x" * 63, b"x" * 45, b"service", b"consul"),
            *[(b"x",) * count + (b"service", b"consul") for count in (1, 2, 3, 119)],
        ],
    )
    def test_any_octets(
        self, worker: Worker, transport: Transport, name: tuple[bytes, ...]
    ) -> None:
        for _ in range(2):
            packet = query_packet(name)
            reply = worker.ask(packet, transport)
            assert isinstance(reply, bytes)
            assert rcode(parse(reply)) == "NXDOMAIN"
            assert reply[12 : len(packet)] == packet[12:]
        assert worker.needed == []

    def test_case_is_echoed(self, worker: Worker, transport: Transport) -> None:
        for name in (WEB, "WEB.service.consul", "wEb.SERVICE.cOnSuL", "NOPE.service.CONSUL"):
            packet = query_packet(name)
            reply = worker.ask(packet, transport)
            assert echoes(reply, packet)
            assert {str(rrset.name) for rrset in parse(reply).answer} <= {f"{name}."}

    @pytest.mark.parametrize("name", ["", "www.example.org", "consul.example", "xconsul", "com"])
    def test_not_ours(self, worker: Worker, transport: Transport, name: str) -> None:
        message = worker.reply(query_packet(name, packets.NS, edns=opt()), transport)
        assert rcode(message) == "REFUSED"
        assert not message.flags & packets.AA
        assert message.answer == message.authority == message.additional == []
        assert [int(error.code) for error in message.options] == [20]


@BOTH
class TestTypesAndClasses:
    @pytest.mark.parametrize("type_", TYPES_WITHOUT_DATA)
    def test_unknown_types(self, worker: Worker, transport: Transport, type_: int) -> None:
        message = worker.reply(query_packet(WEB, type_), transport)
        assert rcode(message) == "NOERROR"
        assert message.answer == []
        assert [int(rrset.rdtype) for rrset in message.authority] == [packets.SOA]

    @pytest.mark.parametrize("type_", [0, packets.OPT, 128, 249, 250])
    def test_types_that_are_none(self, worker: Worker, transport: Transport, type_: int) -> None:
        assert rcode(worker.reply(query_packet(WEB, type_), transport)) == "FORMERR"

    @pytest.mark.parametrize("type_", [packets.AXFR, packets.IXFR])
    def test_transfers(self, worker: Worker, transport: Transport, type_: int) -> None:
        assert rcode(worker.reply(query_packet(APEX, type_), transport)) == "REFUSED"

    @pytest.mark.parametrize("class_", [0, 2, 3, 4, 254, 255, 999])
    def test_classes(self, worker: Worker, transport: Transport, class_: int) -> None:
        for name in (WEB, "version.bind"):
            packet = query_packet(name, packets.TXT, class_=class_)
            message = worker.reply(packet, transport)
            assert rcode(message) == "REFUSED"
            assert not message.flags & packets.AA

    def test_existence_does_not_depend_on_the_type(
        self, worker: Worker, transport: Transport
    ) -> None:
        for name, expected in ((WEB, "NOERROR"), (NONE, "NXDOMAIN"), ("service.consul", "NOERROR")):
            for type_ in (*range(1, 60), 99, 255, 256, 257, 32769, 65535):
                if type_ not in (packets.OPT,):
                    message = worker.reply(query_packet(name, type_), transport)
                    assert rcode(message) == expected, (name, type_)

    def test_negative_answers_have_the_soa_and_its_ttl(
        self, worker: Worker, transport: Transport
    ) -> None:
        for name in (NONE, "service.consul", f"a.b.c.{NONE}"):
            message = worker.reply(query_packet(name), transport)
            (soa,) = message.authority
            data: Any = soa[0]
            assert soa.ttl == data.minimum
            assert message.flags & packets.AA


@BOTH
class TestEdns:
    @pytest.mark.parametrize(
        ("packet", "expected"),
        [
            (query_packet(WEB, edns=opt()), "NOERROR"),
            (query_packet(NONE, edns=opt()), "NXDOMAIN"),
            (query_packet("example.org", edns=opt()), "REFUSED"),
            (query_packet(WEB, 0, edns=opt()), "FORMERR"),
            (query_packet(WEB, flags=0x7800, edns=opt()), "NOTIMP"),
            (query_packet(WEB, edns=opt(version=1)), "BADVERS"),
        ],
    )
    def test_opt_if_asked_whatever_the_rcode(
        self, worker: Worker, transport: Transport, packet: bytes, expected: str
    ) -> None:
        for _ in range(3):
            message = worker.reply(packet, transport)
            assert rcode(message) == expected
            assert (message.edns, message.payload, message.ednsflags & 0xFFFF) == (0, 1232, 0)

    @pytest.mark.parametrize("version", [1, 2, 255])
    @pytest.mark.parametrize("flags", [0, 0x8000])
    @pytest.mark.parametrize("options", [b"", option(100, b"x"), option(10, b"12345678")])
    def test_other_versions(
        self, worker: Worker, transport: Transport, version: int, flags: int, options: bytes
    ) -> None:
        record = opt(version=version, flags=flags, options=options)
        message = worker.reply(query_packet(APEX, packets.SOA, edns=record), transport)
        assert (rcode(message), message.edns) == ("BADVERS", 0)
        assert message.answer == message.authority == message.additional == []
        assert message.ednsflags & 0xFFFF == flags

    @pytest.mark.parametrize(
        "options",
        [
            pytest.param(option(100), id="unknown"),
            pytest.param(option(3), id="NSID"),
            pytest.param(option(3) * 20, id="NSID 20 times"),
            pytest.param(option(3) * 300, id="300 options"),
            pytest.param(option(8, b"\0\1\0\0"), id="client subnet"),
            pytest.param(option(8, b"\0\7\xff"), id="client subnet, malformed"),
            pytest.param(option(12, bytes(400)), id="padding"),
            pytest.param(option(15, b"\0\1x"), id="extended error"),
        ],
    )
    @pytest.mark.parametrize("flags", [0, 0x8000, 0x0080, 0x7FFF])
    def test_options_and_flags_are_ignored(
        self, worker: Worker, transport: Transport, options: bytes, flags: int
    ) -> None:
        for _ in range(3):
            record = opt(flags=flags, options=options)
            message = worker.reply(query_packet(WEB, edns=record), transport)
            assert rcode(message) == "NOERROR"
            assert len(records(message.answer)) == 3
            if not (transport is Transport.TLS and options[:2] == b"\0\x0c"):
                assert message.options == ()
            assert message.ednsflags == flags & 0x8000

    @pytest.mark.parametrize(
        "packet",
        [
            pytest.param(header(additional=2) + question() + opt() * 2, id="two OPT"),
            pytest.param(header(answers=1) + question() + opt(), id="OPT as an answer"),
            pytest.param(query_packet(edns=opt(owner=b"\1x\0")), id="not at the root"),
            pytest.param(query_packet(edns=opt(options=option(3, length=9))), id="option overrun"),
            pytest.param(query_packet(edns=opt(options=b"\0\3\0")), id="three octets"),
            pytest.param(query_packet(edns=opt(length=9)), id="record overrun"),
        ],
    )
    def test_malformed(self, worker: Worker, transport: Transport, packet: bytes) -> None:
        """With an OPT record where the query has one in its place."""
        reply = worker.ask(packet, transport)
        assert isinstance(reply, bytes)
        assert reply[:11] == b"\x12\x34\x81\x01" + bytes(7)
        has_opt = packet[11] == 1 and packet[len(header() + question()) :][:3] == b"\0\0\x29"
        assert reply[11] == has_opt
        assert len(reply) == 12 + 11 * has_opt


class TestSize:
    def test_without_edns(self, worker: Worker) -> None:
        for type_ in (packets.A, packets.SRV):
            packet = query_packet(MANY, type_)
            reply = worker.ask(packet)
            assert isinstance(reply, bytes)
            assert len(reply) <= 512
            assert parse(reply).flags & packets.TC
            assert echoes(reply, packet)

    @pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1000, 1231, 1232, 1233, 4096, 65535])
    def test_with_edns(self, worker: Worker, size: int) -> None:
        for _ in range(10):
            reply = worker.ask(query_packet(MANY, packets.SRV, edns=opt(size)))
            assert isinstance(reply, bytes)
            assert len(reply) <= min(max(size, 512), 1232)
            assert parse(reply).flags & packets.TC

    def test_over_tcp_all(self, worker: Worker) -> None:
        for edns in (b"", opt(512), opt(4096)):
            for type_ in (packets.A, packets.SRV, packets.ANY):
                message = worker.reply(query_packet(MANY, type_, edns=edns), Transport.TCP)
                assert len(records(message.answer)) == 100
                assert not message.flags & packets.TC

    def test_any_over_udp(self, worker: Worker) -> None:
        reply = worker.ask(query_packet(MANY, packets.ANY, edns=opt(4096)))
        assert isinstance(reply, bytes)
        assert len(reply) <= 512

    def test_replies_to_small_queries_are_small(self, worker: Worker) -> None:
        for name in (APEX, WEB, NONE, "n1.node.consul", "service.consul"):
            for type_ in (packets.A, packets.SRV, packets.ANY, packets.SOA, packets.NS):
                packet = query_packet(name, type_)
                reply = worker.ask(packet)
                assert isinstance(reply, bytes)
                assert len(reply) <= 10 * len(packet)


names_asked = st.sampled_from([WEB, MANY, NONE, APEX, "", "n1.node.consul", "service.consul", "x"])


@given(packet=st.binary(max_size=80), transport=st.sampled_from(Transport))
def test_any_octets(worker: Worker, packet: bytes, transport: Transport) -> None:
    for each in (packet, header() + packet, header(additional=1) + question() + packet):
        check_reply(worker, each, transport)


@given(
    name=names_asked,
    type_=st.integers(0, 65535) | st.sampled_from([1, 16, 28, 33, 255]),
    class_=st.sampled_from([1, 1, 1, 1, 3, 255]),
    flags=st.integers(0, 65535),
    edns=st.sampled_from([b"", opt(), opt(512), opt(flags=0x8000), opt(version=3), opt()[:-1]]),
    position=st.integers(0, 40),
    octet=st.integers(0, 255),
    transport=st.sampled_from(Transport),
)
def test_queries_with_one_octet_changed(
    worker: Worker,
    name: str,
    type_: int,
    class_: int,
    flags: int,
    edns: bytes,
    position: int,
    octet: int,
    transport: Transport,
) -> None:
    packet = query_packet(name, type_, class_=class_, flags=flags, edns=edns)
    check_reply(worker, packet, transport)
    changed = bytearray(packet)
    changed[position % len(packet)] = octet
    check_reply(worker, bytes(changed), transport)


def check_reply(worker: Worker, packet: bytes, transport: Transport) -> None:
    """What holds for the reply to any packet."""
    reply = worker.ask(packet, transport)
    if reply is Unanswered.DROPPED:
        assert len(packet) < 12 or packet[2] & 0x80
        return
    assert isinstance(reply, bytes)
    message = parse(reply)
    assert message.flags & packets.QR
    assert reply[:2] == packet[:2]
    copied = 0x79 if reply[3] & 0xF != dns.rcode.NOTIMP else 0x78  # opcode, and RD
    assert reply[2] & 0x79 == packet[2] & copied
    if message.question:
        end = 12 + len(message.question[0].name.to_wire() or b"") + 4
        assert reply[12:end] == packet[12:end]
    if transport is Transport.UDP:
        assert len(reply) <= (512 if message.edns < 0 else 1232)
    assert worker.handler.counters.failures == 0
