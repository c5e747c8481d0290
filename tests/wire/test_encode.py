"""From answers to messages: sections, compression, what is left out when there is little space."""

from random import Random

import dns.edns
import dns.flags
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.dns.answer import (
    Address,
    Answer,
    ExtendedError,
    Outcome,
    Record,
    RecordGroup,
    Target,
    Text,
)
from consuldns.dns.question import Type
from consuldns.names import parse_name
from consuldns.wire.cache import ResponseCache
from consuldns.wire.decode import Rcode, Rejection, read_query
from consuldns.wire.encode import edns_max_size, encode_rejection, error_options
from consuldns.wire.tally import Tally
from tests.wire import made_answers, packets
from tests.wire.made_answers import WEB, a_record
from tests.wire.packets import opt, parse, query_packet, records


def reply_to(packet: bytes, answer: Answer, *, over_tcp: bool = False) -> bytes:
    return ResponseCache(Random(1), Tally()).add(
        packets.as_query(packet), answer, over_tcp=over_tcp
    )


def one(*groups: RecordGroup, authority: tuple[Record, ...] = ()) -> Answer:
    return Answer(Outcome.ANSWER, groups, authority, shuffled=False)


def test_an_answer() -> None:
    reply = reply_to(query_packet("WEB.service.Consul"), made_answers.addresses(2, shuffled=False))
    message = parse(reply)
    assert message.id == 0x1234
    assert message.flags == packets.QR | packets.AA | packets.RD
    assert reply[12:].startswith(packets.question("WEB.service.Consul"))
    # The owner is spelled as asked.
    assert records(message.answer) == [
        "WEB.service.Consul. 0 A 10.0.0.1",
        "WEB.service.Consul. 0 A 10.0.0.2",
    ]
    assert (message.authority, message.additional, message.edns) == ([], [], -1)


@pytest.mark.parametrize(
    ("outcome", "rcode"),
    [
        (Outcome.ANSWER, dns.rcode.NOERROR),
        (Outcome.NODATA, dns.rcode.NOERROR),
        (Outcome.NXDOMAIN, dns.rcode.NXDOMAIN),
        (Outcome.REFUSED, dns.rcode.REFUSED),
        (Outcome.FORMERR, dns.rcode.FORMERR),
        (Outcome.SERVFAIL, dns.rcode.SERVFAIL),
    ],
)
@pytest.mark.parametrize("authoritative", [True, False])
@pytest.mark.parametrize("edns", [b"", opt(), opt(flags=0x8000)], ids=["plain", "EDNS", "DO"])
def test_every_outcome_has_its_rcode_and_opt_if_asked(
    outcome: Outcome, rcode: dns.rcode.Rcode, authoritative: bool, edns: bytes
) -> None:
    answer = Answer(outcome, authoritative=authoritative)
    message = parse(reply_to(query_packet(edns=edns), answer))
    assert message.rcode() == rcode
    assert bool(message.flags & packets.AA) is authoritative
    if edns:
        assert (message.edns, message.payload) == (0, 1232)
        assert message.ednsflags == (0x8000 if edns == opt(flags=0x8000) else 0)
    else:
        assert message.edns == -1


def test_flags_of_the_query_are_not_copied_but_for_rd() -> None:
    answer = made_answers.addresses(1)
    assert parse(reply_to(query_packet(flags=0x07F0), answer)).flags == 0x8500
    assert parse(reply_to(query_packet(flags=0x06F0), answer)).flags == 0x8400


def test_records_of_every_kind() -> None:
    target = parse_name("Redis.node.dc1.consul")
    answer = one(
        RecordGroup((Record(WEB, Type.CNAME, 5, Target(target)), a_record(target, 9, 5))),
        RecordGroup((Record(WEB, Type.AAAA, 7, Address(bytes(15) + b"\1")),)),
        RecordGroup((Record(WEB, Type.PTR, 1, Target((b"a.b", b"example"))),)),
        RecordGroup((Record(WEB, Type.TXT, 0, Text((b"x" * 300, b"", b'"'))),)),
        RecordGroup((Record(WEB, Type.TXT, 0, Text(())),)),
        RecordGroup((Record((), Type.NS, 2**31 - 1, Target(())),)),
        authority=(made_answers.SOA,),
    )
    message = parse(reply_to(query_packet(), answer, over_tcp=True))
    text = f'"{"x" * 255}" "{"x" * 45}" "" "\\""'
    assert sorted(records(message.answer)) == sorted(
        [
            "web.service.consul. 5 CNAME Redis.node.dc1.consul.",
            "Redis.node.dc1.consul. 5 A 10.0.0.9",
            "web.service.consul. 7 AAAA ::1",
            r"web.service.consul. 1 PTR a\.b.example.",
            f"web.service.consul. 0 TXT {text}",
            'web.service.consul. 0 TXT ""',
            ". 2147483647 NS .",
        ]
    )
    assert records(message.authority) == [
        "consul. 30 SOA ns.consul. hostmaster.consul. 7 3600 600 86400 30"
    ]


def test_an_owner_in_another_spelling_is_the_questions() -> None:
    answer = one(RecordGroup((a_record((b"WEB", b"Service", b"consul"), 1),)))
    assert records(parse(reply_to(query_packet(), answer)).answer) == [
        "web.service.consul. 0 A 10.0.0.1"
    ]


def test_names_are_compressed() -> None:
    reply = reply_to(query_packet(type_=packets.SRV), made_answers.service(2, text=2))
    # Two targets, written out as RFC 2782 wants it; their owners point there.
    assert reply.lower().count(b"\4node\3dc1\6consul\0") == 2
    assert len(reply) == 12 + len(packets.question()) + 2 * (18 + 24 + 16 + 2 * 16)


def test_targets_are_compressed_by_the_question() -> None:
    answer = one(
        RecordGroup((Record((b"consul",), Type.NS, 0, Target(parse_name("s1.node.dc1.consul"))),))
    )
    reply = reply_to(query_packet("Consul", packets.NS), answer)
    assert records(parse(reply).answer) == ["Consul. 0 NS s1.node.dc1.Consul."]
    assert reply.lower().count(b"consul") == 1


def test_duplicates_are_sent_once() -> None:
    target = parse_name("node-1.node.dc1.consul")
    same = RecordGroup((a_record(WEB, 1),), (a_record(target, 1),))
    other = RecordGroup((a_record(WEB, 2),), (a_record(target, 1),))
    message = parse(reply_to(query_packet(), one(same, same, other, other)))
    assert records(message.answer) == [
        "web.service.consul. 0 A 10.0.0.1",
        "web.service.consul. 0 A 10.0.0.2",
    ]
    assert message.section_count(dns.message.ADDITIONAL) == 1


def test_metadata_without_an_address() -> None:
    extra = RecordGroup((), optional_additional=(Record(WEB, Type.TXT, 0, Text((b"a=b",))),))
    answer = Answer(Outcome.NODATA, (extra,), (made_answers.SOA,))
    message = parse(reply_to(query_packet(), answer))
    assert records(message.additional) == ['web.service.consul. 0 TXT "a=b"']


def test_one_of_several_aliases_is_picked() -> None:
    aliases = tuple(
        RecordGroup((Record(WEB, Type.CNAME, 0, Target((b"host%d" % n, b"example"))),))
        for n in range(20)
    )
    answer = Answer(Outcome.ANSWER, aliases, exclusive=True)
    table = ResponseCache(Random(1), Tally())
    packet = query_packet()
    query = packets.as_query(packet)
    seen = {tuple(records(parse(table.add(query, answer, over_tcp=False)).answer))}
    for _ in range(20):
        reply = table.find(packet, False) or table.find_for(query, False)
        seen.add(tuple(records(parse(reply).answer)))
    assert {len(answers) for answers in seen} == {1}
    assert len(seen) > 3


class TestLittleRoom:
    """RFC 2181 section 9: TC says that answers are missing, not that additional records are."""

    def test_everything_if_it_fits(self) -> None:
        message = parse(
            reply_to(query_packet(type_=packets.SRV, edns=opt()), made_answers.service(8))
        )
        assert not message.flags & packets.TC
        assert len(records(message.answer)) == 8
        assert len(records(message.additional)) == 16

    def test_first_the_metadata_goes(self) -> None:
        packet = query_packet(type_=packets.SRV, edns=opt())
        message = parse(reply_to(packet, made_answers.service(15, text=3)))
        assert not message.flags & packets.TC
        assert len(records(message.answer)) == 15
        assert [int(rrset.rdtype) for rrset in message.additional] == [packets.A] * 15

    def test_then_addresses_of_the_last_targets(self) -> None:
        packet = query_packet(type_=packets.SRV, edns=opt())
        message = parse(reply_to(packet, made_answers.service(25)))
        assert not message.flags & packets.TC
        answers = records(message.answer)
        assert len(answers) == 25
        assert 0 < len(message.additional) < 25
        for record, additional in zip(answers, message.additional, strict=False):
            assert str(additional.name) in record

    def test_then_answers_with_tc(self) -> None:
        for edns, least in ((b"", 9), (opt(), 25)):
            packet = query_packet(type_=packets.SRV, edns=edns)
            message = parse(reply_to(packet, made_answers.service(100)))
            assert message.flags & packets.TC
            assert least <= len(records(message.answer)) < 100
            assert message.additional == []
            assert (message.edns == 0) is bool(edns)

    def test_all_over_tcp(self) -> None:
        packet = query_packet(type_=packets.SRV)
        message = parse(reply_to(packet, made_answers.service(400), over_tcp=True))
        assert not message.flags & packets.TC
        assert len(records(message.answer)) == 400
        # 400 answers are over 16 kB: pointers do not reach the last targets.
        assert len(records(message.additional)) == 800

    def test_a_service_that_no_message_can_hold(self) -> None:
        for type_, answer in (
            (packets.A, made_answers.addresses(5000)),
            (packets.SRV, made_answers.service(5000)),
        ):
            reply = reply_to(query_packet(type_=type_, edns=opt()), answer, over_tcp=True)
            message = parse(reply)
            assert 65_000 < len(reply) <= 65_535
            assert message.flags & packets.TC

    def test_one_contribution_that_is_too_large(self) -> None:
        meta = tuple(Record(WEB, Type.TXT, 0, Text((b"%d" % n * 50,))) for n in range(40))
        message = parse(reply_to(query_packet(), one(RecordGroup(meta))))
        assert message.flags & packets.TC
        assert message.answer == []

    def test_any_over_udp_is_small(self) -> None:
        packet = query_packet(type_=packets.ANY, edns=opt(4096))
        reply = reply_to(packet, made_answers.addresses(100))
        assert len(reply) <= 512
        assert parse(reply).flags & packets.TC
        assert (
            len(records(parse(reply_to(packet, made_answers.addresses(100), over_tcp=True)).answer))
            == 100
        )

    def test_an_authority_section_that_does_not_fit(self) -> None:
        names = [(b"x" * 63, b"%d" % n * 60, b"y" * 63) for n in range(3)]
        authority = tuple(Record(name, Type.NS, 0, Target(name)) for name in names)
        reply = reply_to(query_packet(), Answer(Outcome.NODATA, authority=authority))
        assert len(reply) <= 512
        assert parse(reply).flags & packets.TC

    @given(
        count=st.integers(0, 120),
        size=st.integers(0, 65535),
        type_=st.sampled_from([packets.A, packets.SRV, packets.ANY]),
        stale=st.booleans(),
    )
    def test_the_size_is_kept(self, count: int, size: int, type_: int, stale: bool) -> None:
        table = ResponseCache(Random(1), Tally())
        table.mark_stale(stale)
        answer = (
            made_answers.service(count) if type_ == packets.SRV else made_answers.addresses(count)
        )
        packet = query_packet(type_=type_, edns=opt(size))
        reply = table.add(packets.as_query(packet), answer, over_tcp=False)
        assert len(reply) <= min(max(size, 512), 1232)
        message = parse(reply)
        if not message.flags & packets.TC:
            assert len(records(message.answer)) == count


def test_sizes_are_rounded_down_to_a_few_steps() -> None:
    sizes = [edns_max_size(size) for size in range(0x10000)]
    assert len(set(sizes)) == 5
    assert all(ours + 17 <= max(512, min(size, 1232)) for size, ours in enumerate(sizes))


class TestExtendedErrors:
    def test_with_text(self) -> None:
        answer = Answer(
            Outcome.REFUSED,
            authoritative=False,
            extended_error=ExtendedError.NOT_AUTHORITATIVE,
            error_text="not ours",
        )
        message = parse(reply_to(query_packet(edns=opt()), answer))
        assert [error.to_text() for error in message.options] == [
            "EDE 20 (Not Authoritative): not ours"
        ]
        assert parse(reply_to(query_packet(), answer)).options == ()

    def test_the_text_is_short_and_never_cut_within_a_character(self) -> None:
        options = error_options(ExtendedError.NOT_READY, "é" * 100)
        assert options == b"\0\x46\0\x0f\0\x42\0\x0e" + "é".encode() * 32

    def test_the_text_goes_first(self) -> None:
        answer = Answer(
            Outcome.ANSWER,
            made_answers.addresses(100).groups,
            extended_error=ExtendedError.STALE_ANSWER,
            error_text="x" * 64,
        )
        reply = reply_to(query_packet(edns=opt(512)), answer)
        assert len(reply) <= 512
        assert [error.to_text() for error in parse(reply).options] == ["EDE 3 (Stale Answer)"]


@pytest.mark.parametrize(
    ("packet", "rcode", "size"),
    [
        pytest.param(packets.header(0x7B00, questions=0), Rcode.NOTIMP, 12, id="opcode 15"),
        pytest.param(query_packet(flags=0x2800, edns=opt()), Rcode.NOTIMP, 23, id="UPDATE, OPT"),
        pytest.param(packets.header(questions=7), Rcode.FORMERR, 12, id="seven questions"),
        pytest.param(query_packet(edns=opt(version=1)), Rcode.BADVERS, 47, id="EDNS version 1"),
    ],
)
def test_rejections(packet: bytes, rcode: Rcode, size: int) -> None:
    rejection = read_query(packet)
    assert isinstance(rejection, Rejection)
    reply = encode_rejection(packet, rejection)
    message = parse(reply)
    assert len(reply) == size
    assert int(message.rcode()) == rcode
    assert message.id == 0x1234
    copied = 0x78 if rcode is Rcode.NOTIMP else 0x79  # opcode, and RD if it is a query
    assert reply[2] & 0x79 == packet[2] & copied
    assert message.answer == message.authority == []


@pytest.mark.parametrize(
    ("answer", "flags"),
    [
        (Answer(Outcome.NODATA), 0x8400),
        (Answer(Outcome.NODATA, authoritative=False), 0x8000),
        (Answer(Outcome.NODATA, authoritative=False, recursion_available=True), 0x8080),
        (Answer(Outcome.NODATA, authentic_data=True), 0x8420),
    ],
    ids=["AA", "none", "RA", "AD"],
)
def test_the_header_says_what_the_answer_says(answer: Answer, flags: int) -> None:
    for recursion_desired in (0, 0x0100):
        packet = packets.query_packet(flags=recursion_desired)
        cache = ResponseCache(Random(1), Tally())
        reply = cache.add(packets.as_query(packet), answer, over_tcp=False)
        hit = cache.find(packet, False)
        assert {int.from_bytes(each[2:4]) for each in (reply, hit) if each} == {
            flags | recursion_desired
        }
