"""Packets for tests, built octet by octet where no library would build them, and read by dnspython.

dnspython is the independent decoder: nothing of ours reads what ours has written.
"""

from struct import pack

import dns.flags
import dns.message
import dns.rdatatype

from consuldns.names import Labels, parse_name, to_wire
from consuldns.wire.decode import Query, read_query

RD, CD, AD, RA, TC, AA, QR = 0x0100, 0x0010, 0x0020, 0x0080, 0x0200, 0x0400, 0x8000
A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT, IXFR, AXFR, ANY = (
    *(1, 2, 5, 6, 12, 16, 28, 33, 41, 251, 252, 255),
)

CLIENT = bytes((192, 0, 2, 1))
"""The packed address of somebody who asks."""


def header(
    flags: int = RD,
    *,
    questions: int = 1,
    answers: int = 0,
    authority: int = 0,
    additional: int = 0,
) -> bytes:
    """A header with the id 0x1234."""
    return pack("!HHHHHH", 0x1234, flags, questions, answers, authority, additional)


def question(name: str | Labels = "web.service.consul", type_: int = A, class_: int = 1) -> bytes:
    """A question section."""
    labels = parse_name(name) if isinstance(name, str) else name
    return to_wire(labels) + pack("!HH", type_, class_)


def opt(
    size: int = 1232,
    *,
    version: int = 0,
    flags: int = 0,
    options: bytes = b"",
    length: int | None = None,
    owner: bytes = b"\0",
) -> bytes:
    """An OPT record; `length` may lie about the options."""
    stated = len(options) if length is None else length
    return owner + pack("!HHBBHH", OPT, size, 0, version, flags, stated) + options


def option(code: int, content: bytes = b"", *, length: int | None = None) -> bytes:
    """An EDNS option; `length` may lie about the content."""
    return pack("!HH", code, len(content) if length is None else length) + content


def query_packet(
    name: str | Labels = "web.service.consul",
    type_: int = A,
    *,
    class_: int = 1,
    flags: int = RD,
    edns: bytes = b"",
) -> bytes:
    """A whole query; `edns` is an OPT record or nothing."""
    return header(flags, additional=1 if edns else 0) + question(name, type_, class_) + edns


def as_query(packet: bytes) -> Query:
    """The packet as our decoder reads it; it has to be a good one."""
    query = read_query(packet)
    assert isinstance(query, Query)
    return query


def parse(reply: bytes | object) -> dns.message.Message:
    """A reply as dnspython reads it, every octet of it."""
    assert isinstance(reply, bytes)
    return dns.message.from_wire(reply)


def records(section: list[dns.rrset.RRset]) -> list[str]:
    """The records of a section as text, one each, in the order of the message's RRsets."""
    return [
        f"{rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {rdata.to_text()}"
        for rrset in section
        for rdata in rrset
    ]
