"""Replies as values that can be compared, decoded with dnspython."""

import struct
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

SERIAL_IS_A_CLOCK = "*"  # Consul's SOA serial is the time of day


@dataclass(frozen=True, order=True)
class Record:
    """A record as text, TTL in seconds. Names are in lower case; a SOA's serial is masked."""

    owner: str
    type: str
    ttl: int
    class_: str
    data: str

    def __str__(self) -> str:
        return f"{self.owner} {self.ttl} {self.class_} {self.type} {self.data}"


@dataclass(frozen=True)
class Reply:
    """A reply without what is random in it: id and order are gone, sections are sets.

    `edns` is the OPT record's size of UDP messages, None without one. `size` is the whole message.
    Names in records are folded, since compression may give them the question's spelling; whether
    owners have the question's spelling where they should is `spelled_as_asked`.
    """

    rcode: str
    flags: frozenset[str]  # of AA, TC, RD, RA, AD, CD
    question: bytes
    answer: frozenset[Record]
    authority: frozenset[Record]
    additional: frozenset[Record]
    spelled_as_asked: bool
    edns: int | None
    size: int

    def __str__(self) -> str:
        lines = [f";; {self.rcode} {' '.join(sorted(self.flags))}, {self.size} octets"]
        for section in ("answer", "authority", "additional"):
            records = sorted(getattr(self, section))
            lines += [f";; {section}", *map(str, records)] if records else []
        return "\n".join(lines)


class MalformedReply(Exception):
    """A reply that dnspython cannot read."""


def decode(wire: bytes) -> Reply:
    """The reply as a value; MalformedReply if it is none."""
    try:
        message = dns.message.from_wire(wire, one_rr_per_rrset=True, ignore_trailing=False)
    except (dns.exception.DNSException, ValueError) as error:
        raise MalformedReply(f"{type(error).__name__}: {error}: {wire.hex()}") from error
    return Reply(
        rcode=dns.rcode.to_text(message.rcode()),
        flags=frozenset(dns.flags.to_text(message.flags).split()) - {"QR"},
        question=_question_section(wire),
        answer=_records(message.answer),
        authority=_records(message.authority),
        additional=_records(message.additional),
        spelled_as_asked=_owners_are_spelled_as_asked(message),
        edns=message.payload if message.edns >= 0 else None,
        size=len(wire),
    )


def _question_section(wire: bytes) -> bytes:
    """The octets of the question section as they are (its names are not compressed)."""
    (count,) = struct.unpack_from(">H", wire, 4)
    at = 12
    for _ in range(count):
        while wire[at]:
            at += wire[at] + 1
        at += 5
    return wire[12:at]


def _owners_are_spelled_as_asked(message: dns.message.Message) -> bool:
    if not message.question:
        return True
    asked = message.question[0].name
    owners = [rrset.name for rrset in message.answer if rrset.name == asked]
    return all(owner.labels == asked.labels for owner in owners)


def _records(section: list[dns.rrset.RRset]) -> frozenset[Record]:
    return frozenset(
        Record(
            rrset.name.to_text().lower(),
            dns.rdatatype.to_text(rrset.rdtype),
            rrset.ttl,
            dns.rdataclass.to_text(rrset.rdclass),
            _data(rrset),
        )
        for rrset in section
    )


def _data(rrset: dns.rrset.RRset) -> str:
    text = str(rrset[0].to_text())
    if rrset.rdtype == dns.rdatatype.TXT:
        return text
    if rrset.rdtype == dns.rdatatype.SOA:
        fields = text.split(" ")
        fields[2] = SERIAL_IS_A_CLOCK
        text = " ".join(fields)
    return text.lower()
