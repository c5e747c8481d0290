"""What is a query, what is answered with an error, and what is not answered at all."""

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.wire.decode import Query, Rcode, Rejection, read_query
from tests.wire import packets
from tests.wire.packets import header, opt, option, query_packet, question

LABEL_63 = b"x" * 63
NAME_255 = (LABEL_63, LABEL_63, LABEL_63, b"x" * 61)
NAME_256 = (LABEL_63, LABEL_63, LABEL_63, b"x" * 62)


def test_a_query_is_read_with_its_spelling_kept() -> None:
    query = packets.as_query(query_packet("WeB.service.CONSUL", packets.SRV))
    assert query.id == b"\x12\x34"
    assert query.recursion_desired
    assert query.question_section == question("WeB.service.CONSUL", packets.SRV)
    assert query.key == question("web.service.consul", packets.SRV)
    assert query.question.name == (b"web", b"service", b"consul")
    assert (query.question.type, query.question.class_) == (packets.SRV, 1)
    assert query.edns is None


def test_only_the_name_is_folded_not_the_type() -> None:
    # Type 65 (HTTPS) is the octet of "A", type 97 that of "a".
    keys = {packets.as_query(query_packet("a.consul", type_)).key for type_ in (65, 97)}
    assert len(keys) == 2


def test_edns_is_read() -> None:
    record = opt(4096, flags=0x8000, options=option(10, b"12345678"))
    edns = packets.as_query(query_packet(edns=record)).edns
    assert edns is not None
    assert (edns.size, edns.dnssec_ok, edns.wire) == (4096, True, record)


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0", id="1 octet"),
        pytest.param(header()[:11], id="11 octets"),
        pytest.param(query_packet(flags=packets.QR), id="a reply"),
        pytest.param(header(packets.QR, questions=2), id="a reply that is malformed as well"),
        pytest.param(header(packets.QR | 0x7800), id="a reply of another opcode"),
    ],
)
def test_dropped(packet: bytes) -> None:
    assert read_query(packet) is None


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(header(questions=0), id="no question"),
        pytest.param(header(questions=0, additional=1) + opt(), id="no question, OPT"),
        pytest.param(header(questions=2) + question() * 2, id="two questions (RFC 9619)"),
        pytest.param(header(questions=65535) + question(), id="65535 questions"),
        pytest.param(header(), id="a header that promises a question"),
        pytest.param(header() + question()[:-4], id="no type"),
        pytest.param(header() + question()[:-1], id="half a class"),
        pytest.param(header() + b"\x05web", id="name cut short"),
        pytest.param(header() + b"\x03web", id="name without an end"),
        pytest.param(header(answers=1) + question() + b"\0" * 11, id="answer in a query"),
        pytest.param(header(authority=1) + question() + b"\0" * 11, id="authority in a query"),
        pytest.param(header(additional=65535) + question(), id="65535 additional, no data"),
        pytest.param(header(additional=1) + question(), id="OPT promised, not there"),
        pytest.param(header(additional=2) + question() + opt() * 2, id="two OPT"),
        pytest.param(header(answers=1) + question() + opt(), id="OPT as an answer"),
        pytest.param(query_packet(edns=opt(owner=b"\1x\0")), id="OPT that is not at the root"),
        pytest.param(query_packet(edns=opt()[:-1]), id="OPT cut short"),
        pytest.param(query_packet(edns=opt(length=1)), id="OPT longer than the packet"),
        pytest.param(query_packet(edns=opt(options=option(3, length=1))), id="option overrun"),
        pytest.param(query_packet(edns=opt(options=b"\0\x03\0")), id="three octets of an option"),
        pytest.param(
            header(additional=1) + question() + b"\0" + pack("!HHIH", 250, 255, 0, 0), id="TSIG"
        ),
        pytest.param(header() + b"\xc0\x0c" + b"\0\1\0\1", id="pointer to itself"),
        pytest.param(header() + b"\xc0\x0e\xc0\x0c\0\1\0\1", id="two pointers in a ring"),
        pytest.param(header() + b"\xc0\x00\0\1\0\1", id="pointer into the header"),
        pytest.param(header() + b"\x03web\xc0\x20\0\1\0\1" + b"\0" * 9, id="pointer forward"),
        pytest.param(header() + b"\x43" + b"w" * 64 + b"\0\0\1\0\1", id="label type 0x40"),
        pytest.param(header() + b"\x83" + b"w" * 131 + b"\0\0\1\0\1", id="label type 0x80"),
        pytest.param(query_packet(NAME_256), id="name of 256 octets"),
        pytest.param(header() + b"\1x" * 2000 + b"\0\0\1\0\1", id="2000 labels"),
    ],
)
def test_malformed(packet: bytes) -> None:
    rejection = read_query(packet)
    assert isinstance(rejection, Rejection)
    assert (rejection.rcode, rejection.question_section) == (Rcode.FORMERR, b"")


@pytest.mark.parametrize("opcode", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
def test_other_opcodes(opcode: int) -> None:
    flags = opcode << 11
    assert read_query(header(flags, questions=0)) == Rejection(Rcode.NOTIMP)
    assert read_query(query_packet(flags=flags)) == Rejection(Rcode.NOTIMP)
    with_edns = read_query(query_packet(flags=flags, edns=opt()))
    assert isinstance(with_edns, Rejection)
    assert with_edns.rcode == Rcode.NOTIMP
    assert with_edns.edns is not None


@pytest.mark.parametrize("version", [1, 255])
def test_other_versions_of_edns(version: int) -> None:
    record = opt(version=version, flags=0x8000, options=option(100))
    rejection = read_query(query_packet(edns=record))
    assert isinstance(rejection, Rejection)
    assert rejection.rcode == Rcode.BADVERS
    assert rejection.question_section == question()
    assert rejection.edns is not None
    assert rejection.edns.dnssec_ok


@pytest.mark.parametrize(
    "name",
    [
        pytest.param((), id="root"),
        pytest.param(NAME_255, id="255 octets"),
        pytest.param((LABEL_63, b"consul"), id="label of 63"),
        pytest.param((b"x",) * 127, id="127 labels"),
        pytest.param((b"a\0b", b"consul"), id="zero octet"),
        pytest.param((b"a b./\\\n", b"consul"), id="space, dot, slash, backslash, newline"),
        pytest.param((b"\xff\x80", b"consul"), id="8 bit"),
    ],
)
def test_names_of_any_octets(name: tuple[bytes, ...]) -> None:
    query = packets.as_query(query_packet(name))
    assert query.question.name == name
    assert query.question_section == question(name)


def test_folding_is_ascii_only() -> None:
    kelvin = "\N{KELVIN SIGN}".encode()
    query = packets.as_query(query_packet((kelvin, b"K")))
    assert query.question.name == (kelvin, b"k")


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(query_packet(flags=0x07F0), id="AA TC RD RA Z AD CD"),
        pytest.param(query_packet(flags=0x000F), id="an rcode"),
        pytest.param(query_packet() + b"\0", id="an octet behind"),
        pytest.param(query_packet() + b"x" * 200, id="200 octets behind"),
        pytest.param(query_packet(edns=opt()) + b"x" * 200, id="200 octets behind OPT"),
        pytest.param(query_packet(edns=opt(size=0)), id="EDNS size 0"),
        pytest.param(query_packet(edns=opt(flags=0x7FFF)), id="unknown EDNS flags"),
        pytest.param(query_packet(edns=opt(options=option(12, b"1") * 2)), id="two paddings"),
        pytest.param(query_packet(edns=opt(options=option(8))), id="empty client subnet"),
        pytest.param(query_packet(edns=opt(options=option(3) * 300)), id="300 options"),
        pytest.param(query_packet(type_=0, class_=0), id="type 0, class 0"),
        pytest.param(query_packet(type_=65535, class_=65535), id="type and class 65535"),
    ],
)
def test_oddities_that_are_queries(packet: bytes) -> None:
    assert isinstance(read_query(packet), Query)


@given(st.binary(max_size=200))
def test_any_octets_are_read(packet: bytes) -> None:
    outcome = read_query(packet)
    if outcome is None:
        assert len(packet) < 12 or packet[2] & 0x80


@given(st.binary(max_size=100), st.integers(0, 1))
def test_any_octets_behind_a_usual_header_are_read(rest: bytes, additional: int) -> None:
    outcome = read_query(header(additional=additional) + rest)
    assert outcome is not None
    if isinstance(outcome, Query):
        assert rest.startswith(outcome.question_section)
