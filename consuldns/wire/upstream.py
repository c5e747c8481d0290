"""Messages between us and an upstream server: the query that we send, the reply that we believe.

dnslib reads the replies. What it cannot read is not a reply, and what does not belong to the
question is dropped: records of other names are how caches are poisoned (RFC 5452 section 6).
"""

from collections.abc import Iterable
from struct import Struct

import msgspec
from dnslib import CLASS, QTYPE, RR, DNSRecord
from dnslib.buffer import Buffer
from dnslib.dns import DNSBuffer
from msgspec.structs import replace

from consuldns import names
from consuldns.dns.answer import (
    Address,
    Data,
    Outcome,
    RawData,
    Record,
    ServiceTarget,
    StartOfAuthority,
    Target,
)
from consuldns.dns.forwarded import ForwardedQuestion, ForwardedReply
from consuldns.dns.question import Type
from consuldns.errors import WireError
from consuldns.names import Labels
from consuldns.wire.decode import HEADER_SIZE, Rcode
from consuldns.wire.encode import ADVERTISED_SIZE

MAX_RECORDS = 4_000  # of a message; one of 64 KiB holds no more of any use
MAX_CHAIN = 12  # aliases one after the other
MAX_TTL = 7 * 86_400  # seconds; beyond, a cache only keeps mistakes (RFC 8767 section 4)
MAX_NEGATIVE_TTL = 10_800  # RFC 2308 section 5

_HEADER = Struct("!HHHHHH")
_QUESTION_TAIL = Struct("!HH")
_QR, _OPCODE, _TC, _RD, _RCODE = 0x8000, 0x7800, 0x0200, 0x0100, 0x000F
_OPT = b"\0" + Struct("!HHIH").pack(41, ADVERTISED_SIZE, 0, 0)
_TARGETS = (Type.CNAME, Type.NS, Type.PTR)


class UpstreamReply(msgspec.Struct, frozen=True):
    """A reply that belongs to the query. `ttl`: seconds that it may be kept, 0 if not at all.

    `reply` is None if the server could not answer (`rcode`), or if the reply is truncated.
    """

    rcode: int
    is_truncated: bool
    reply: ForwardedReply | None
    ttl: int = 0


def encode_query(id_: int, question: ForwardedQuestion) -> bytes:
    """A query with recursion desired, and EDNS for replies of 1,232 octets over UDP."""
    header = _HEADER.pack(id_, _RD, 1, 0, 0, 1)
    return header + names.to_wire(question.name) + _QUESTION_TAIL.pack(question.type, 1) + _OPT


def read_reply(packet: bytes, id_: int, question: ForwardedQuestion) -> UpstreamReply:
    """A reply to the query with this id. Raises WireError if it is not, or cannot be read."""
    if len(packet) < HEADER_SIZE:
        raise WireError("shorter than a header")
    got, flags, questions, *counts = _HEADER.unpack_from(packet)
    if got != id_ or not flags & _QR or flags & _OPCODE:
        raise WireError("not a reply to the query")
    rcode = flags & _RCODE
    if questions == 0 and rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN):
        return UpstreamReply(rcode, False, None)  # an error may come without the question
    if questions != 1 or sum(counts) > MAX_RECORDS:
        raise WireError("not one question, or too many records")
    end = HEADER_SIZE + names.wire_length(question.name)
    asked = names.to_wire(question.name) + _QUESTION_TAIL.pack(question.type, 1)
    if packet[HEADER_SIZE : end + 4].lower() != asked.lower():
        raise WireError("a reply to another question")
    if rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN):
        return UpstreamReply(rcode, False, None)
    if flags & _TC:
        return UpstreamReply(rcode, True, None)
    try:
        message = DNSRecord.parse(packet)
        answer = [_record(rr) for rr in message.rr if rr.rclass == CLASS.IN]
        authority = [_record(rr) for rr in message.auth if rr.rtype == QTYPE.SOA]
    except Exception as error:  # dnslib raises whatever comes of odd octets
        raise WireError(f"cannot be read: {type(error).__name__}") from error
    return _judge(rcode, question, answer, authority)


def _judge(
    rcode: int, question: ForwardedQuestion, answer: list[Record], authority: list[Record]
) -> UpstreamReply:
    records = tuple(_belonging(question, answer))
    is_answer = any(each.type == question.type for each in records)
    is_answer = is_answer or (question.type == Type.ANY and bool(records))
    if rcode == Rcode.NOERROR and is_answer:
        reply = ForwardedReply(Outcome.ANSWER, records)
        return UpstreamReply(rcode, False, reply, min(each.ttl for each in records))
    last = _end_of(question.name, records)
    soa = tuple(each for each in authority if names.is_below(last, names.fold(each.owner)))[:1]
    ttl = 0
    if soa and isinstance(soa[0].data, StartOfAuthority):
        ttl = min(soa[0].ttl, soa[0].data.minimum, MAX_NEGATIVE_TTL)
        soa = (replace(soa[0], ttl=ttl),)
    outcome = Outcome.NXDOMAIN if rcode == Rcode.NXDOMAIN else Outcome.NODATA
    ttl = min([ttl, *(each.ttl for each in records)])
    return UpstreamReply(rcode, False, ForwardedReply(outcome, records, soa), ttl)


def _belonging(question: ForwardedQuestion, answer: list[Record]) -> Iterable[Record]:
    """The question's records, and the aliases that lead to them, in this order."""
    by_owner: dict[Labels, list[Record]] = {}
    for record in answer:
        by_owner.setdefault(names.fold(record.owner), []).append(record)
    name = question.name
    for _ in range(MAX_CHAIN):
        own = by_owner.pop(name, [])
        yield from (each for each in own if question.type in (each.type, Type.ANY))
        aliases = [each for each in own if each.type == Type.CNAME]
        if not aliases or question.type in (Type.CNAME, Type.ANY):
            return
        yield aliases[0]
        assert isinstance(aliases[0].data, Target)
        name = names.fold(aliases[0].data.name)


def _end_of(name: Labels, records: Iterable[Record]) -> Labels:
    """Where the aliases lead."""
    for record in records:
        if isinstance(record.data, Target) and record.type == Type.CNAME:
            name = names.fold(record.data.name)
    return name


def _record(rr: RR) -> Record:
    ttl = rr.ttl if rr.ttl < 1 << 31 else 0  # RFC 2181 section 8
    return Record(tuple(rr.rname.label), rr.rtype, min(ttl, MAX_TTL), _data(rr))


def _data(rr: RR) -> Data:
    """The data; in raw form with all names written out, but for those that we know."""
    rdata = rr.rdata
    if rr.rtype in (Type.A, Type.AAAA):
        packed = bytes(rdata.data)
        if len(packed) != (4 if rr.rtype == Type.A else 16):
            raise ValueError("an address of another length")
        return Address(packed)
    if rr.rtype in _TARGETS:
        return Target(tuple(rdata.label.label))
    if rr.rtype == Type.SRV:
        return ServiceTarget(rdata.priority, rdata.weight, rdata.port, tuple(rdata.target.label))
    if rr.rtype == Type.SOA:
        return StartOfAuthority(
            tuple(rdata.mname.label), tuple(rdata.rname.label), *map(int, rdata.times)
        )
    return RawData(_written_out(rdata))


class _PlainBuffer(DNSBuffer):  # type: ignore[misc]
    """A buffer that compresses no name: the data will stand in another message."""

    def encode_name(self, name: object) -> None:
        """Append a name."""
        self.encode_name_nocompress(name)


def _written_out(rdata: object) -> bytes:
    buffer: Buffer = _PlainBuffer()
    rdata.pack(buffer)  # type: ignore[attr-defined]
    return bytes(buffer.data)
