"""The client's view of messages."""

import dns.edns
import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.errors import WireError
from consuldns.names import parse_name
from consuldns.wire import client
from tests.wire import packets


def test_a_query() -> None:
    octets = client.build_query(parse_name("Web.service.consul"), 33, id=7, udp_size=1400)
    query = dns.message.from_wire(octets)
    assert (query.id, query.flags, query.payload) == (7, packets.RD, 1400)
    assert query.question[0].to_text() == "Web.service.consul. IN SRV"


def test_a_reply() -> None:
    query = dns.message.make_query("web.service.consul", "ANY", use_edns=0, id=9)
    reply = dns.message.from_text(
        """id 9
opcode QUERY
rcode NXDOMAIN
flags QR AA TC RD
;QUESTION
web.service.consul. IN ANY
;ANSWER
web.service.consul. 5 IN A 10.0.0.1
web.service.consul. 5 IN SRV 1 2 80 n1.node.dc1.consul.
web.service.consul. 5 IN TXT "a b" "c"
;AUTHORITY
consul. 0 IN SOA ns.consul. hostmaster.consul. 1 2 3 4 5
;ADDITIONAL
n1.node.dc1.consul. 5 IN AAAA ::1
"""
    )
    reply.use_edns(
        0,
        payload=1232,
        options=[dns.edns.EDEOption("STALE_ANSWER", "old"), dns.edns.EDEOption("NETWORK_ERROR")],
    )
    read = client.read_reply(reply.to_wire())
    assert (read.id, read.opcode, read.rcode) == (query.id, "QUERY", "NXDOMAIN")
    assert read.flags == ("qr", "aa", "tc", "rd")
    assert read.question == ("web.service.consul. IN ANY",)
    assert [str(record) for record in read.answer] == [
        "web.service.consul. 5 IN A 10.0.0.1",
        "web.service.consul. 5 IN SRV 1 2 80 n1.node.dc1.consul.",
        'web.service.consul. 5 IN TXT "a b","c"',
    ]
    assert [record.type for record in read.authority] == ["SOA"]
    assert [str(record) for record in read.additional] == ["n1.node.dc1.consul. 5 IN AAAA ::1"]
    assert read.udp_size == 1232
    assert read.extended_errors == ((3, "old"), (23, ""))


def test_badvers() -> None:
    reply = dns.message.make_query("x.consul", "A", use_edns=0)
    reply.flags |= packets.QR
    reply.set_rcode(dns.rcode.BADVERS)
    assert client.read_reply(reply.to_wire()).rcode == "BADVERS"


def test_a_query_is_no_reply() -> None:
    with pytest.raises(WireError, match="QR"):
        client.read_reply(packets.query_packet())


@pytest.mark.parametrize(
    ("text", "number"), [("SRV", 33), ("any", 255), ("TYPE65280", 65280), ("type0", 0), ("A", 1)]
)
def test_types(text: str, number: int) -> None:
    assert client.type_number(text) == number


@pytest.mark.parametrize("text", ["", "TYPE", "TYPE65536", "NOPE", "TYPE-1"])
def test_not_types(text: str) -> None:
    with pytest.raises(ValueError, match="not a type"):
        client.type_number(text)


@given(st.binary(max_size=100))
def test_any_octets_are_a_reply_or_an_error(octets: bytes) -> None:
    for packet in (octets, packets.header(0x8400, answers=1, additional=1) + octets):
        try:
            client.read_reply(packet)
        except WireError:
            continue
