"""From the bytes of a packet to a query, or to the reason why it is not one.

A query is read by hand and only as far as it is used: a header, one question, at most one OPT
record. Whatever else a message may hold is refused without being looked at, so the cost of a packet
is bounded by its length (general parsers need 2 ms for a 1.2 kB packet made to hurt). A label may
hold any byte: what is not a hostname is still a name (RFC 2181 section 11).
"""

from enum import IntEnum
from struct import Struct, error

import msgspec

from consuldns.dns.question import Question, Type
from consuldns.names import MAX_LABEL, MAX_NAME

HEADER_SIZE = 12
NSID, COOKIE, KEEPALIVE, PADDING = 3, 10, 11, 12  # options: RFC 5001, 7873, 7828, 7830
OPT_FIXED_SIZE = 11  # root, type, size, extended rcode and flags, length of the options

# The counts of questions, answers and authority, and the high byte of that of additional records.
_ONE_QUESTION = b"\0\1\0\0\0\0\0"
_TYPE_AND_CLASS = Struct("!HH")
_OPT = Struct("!BHHBBHH")
_OPTION = Struct("!HH")
_RECORD = Struct("!HHIH")  # type, class, TTL, length of the data
_SIGNED = Struct("!6sHH")  # of TSIG data: time, fudge, size of the MAC
_TSIG, _ANY_CLASS = 250, 255
_BAD_KEY = b"\0\x11\0\0"  # the error, and no other data

_QR = 0x80
_OPCODE = 0x78
_DNSSEC_OK = 0x8000
_NOTHING: frozenset[int] = frozenset()
_ANSWERED = frozenset((NSID, KEEPALIVE, PADDING))
_LAST_OFFSET = HEADER_SIZE + MAX_NAME


class Rcode(IntEnum):
    """Response codes that are sent (RFC 1035 4.1.1, RFC 6891 9 for those over 15)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    NOTAUTH = 9
    BADVERS = 16


class Edns(msgspec.Struct, frozen=True):
    """The OPT record of a query (RFC 6891). `size` in bytes as sent.

    `cookie` is the client's, and perhaps one of a server behind it (RFC 7873 4); empty if not sent.
    `asks_for` are the codes of the other options that a reply may have because the query has them.
    """

    size: int
    dnssec_ok: bool
    wire: bytes  # the whole record as sent
    cookie: bytes = b""
    asks_for: frozenset[int] = frozenset()


class Query(msgspec.Struct, frozen=True):
    """A well-formed query.

    `question_section` is as received, to be echoed bit for bit; `key` is the same with the name in
    lower case: equal for a question in any case.
    """

    id: bytes
    recursion_desired: bool
    question_section: bytes
    key: bytes
    question: Question
    edns: Edns | None


class Rejection(msgspec.Struct, frozen=True):
    """A packet that gets an error, whatever the data are.

    Its reply is a bare header, with an OPT record if the query has one; BADVERS and NOTAUTH echo
    the question as well. `tsig` is a record to send back.
    """

    rcode: Rcode
    question_section: bytes = b""
    edns: Edns | None = None
    tsig: bytes = b""


class _Malformed(Exception):
    """The packet ends too early, or is not a query."""


def read_query(packet: bytes) -> Query | Rejection | None:
    """The query in a packet; None if no reply may be sent (too short, or a reply itself)."""
    if len(packet) < HEADER_SIZE or packet[2] & _QR:
        return None
    if packet[2] & _OPCODE:
        return Rejection(Rcode.NOTIMP, edns=_edns_if_readable(packet))
    try:
        question, end = _read_question(packet)
        edns, version = _read_edns(packet, end)
    except _Malformed:
        return _signed(packet) or Rejection(Rcode.FORMERR, edns=_edns_if_any(packet))
    section = packet[HEADER_SIZE:end]
    if version != 0:
        return Rejection(Rcode.BADVERS, section, edns)
    return Query(
        id=packet[:2],
        recursion_desired=bool(packet[2] & 1),
        question_section=section,
        key=section[:-4].lower() + section[-4:],
        question=question,
        edns=edns,
    )


def _edns_if_readable(packet: bytes) -> Edns | None:
    """The OPT record of a message of another opcode, whose layout may be another, too."""
    try:
        _, end = _read_question(packet)
        return _read_edns(packet, end)[0]
    except _Malformed:
        return None


def _edns_if_any(packet: bytes) -> Edns | None:
    """What an OPT record says that stands in its place, whatever is wrong with its options."""
    try:
        _, end = _read_question(packet)
    except _Malformed:
        return None
    if not packet[11] or end + OPT_FIXED_SIZE > len(packet):
        return None
    root, type_, size, _, _, flags, _ = _OPT.unpack_from(packet, end)
    is_opt = root == 0 and type_ == Type.OPT
    return Edns(size, bool(flags & _DNSSEC_OK), b"") if is_opt else None


def _signed(packet: bytes) -> Rejection | None:
    """What a query gets that is signed (TSIG): this server has no key (RFC 8945 5.2.1).

    None if it is not that: a question, perhaps OPT, and a well-formed TSIG record at the end.
    """
    count = packet[11]
    try:
        _, offset = _read_question(packet[:11] + b"\0" + packet[HEADER_SIZE:])
        section, edns = packet[HEADER_SIZE:offset], None
        if count == 2:  # OPT comes first: TSIG is always last
            edns, _ = _read_edns(packet[:11] + b"\1" + packet[HEADER_SIZE:], offset)
            offset += len(edns.wire) if edns is not None else 0
        if count not in (1, 2):
            return None
        owner = skip_name(packet, offset)
        type_, class_, _, length = _RECORD.unpack_from(packet, owner)
        data = owner + _RECORD.size
        algorithm = skip_name(packet, data)
        signature = _SIGNED.unpack_from(packet, algorithm)
        if (type_, class_) != (_TSIG, _ANY_CLASS) or data + length != len(packet):
            return None
    except (_Malformed, IndexError, error):
        return None
    tail = _SIGNED.pack(*signature[:2], 0) + packet[:2] + _BAD_KEY
    name = packet[data:algorithm]
    record = _RECORD.pack(_TSIG, _ANY_CLASS, 0, len(name) + len(tail))
    return Rejection(Rcode.NOTAUTH, section, edns, packet[offset:owner] + record + name + tail)


def skip_name(packet: bytes, offset: int) -> int:
    """The offset behind a name without pointers. Raises _Malformed, IndexError."""
    last = offset + MAX_NAME
    while length := packet[offset]:
        if length > MAX_LABEL or offset >= last:
            raise _Malformed
        offset += length + 1
    return offset + 1


def _read_question(packet: bytes) -> tuple[Question, int]:
    """The only question (RFC 9619), and the offset behind it."""
    if packet[4:11] != _ONE_QUESTION or packet[11] > 1:
        raise _Malformed
    folded = packet.lower()
    labels = []
    offset = HEADER_SIZE
    try:
        while length := packet[offset]:
            # Over 63 there are pointers, which could only target the header here (RFC 9267), and
            # label types that were never used.
            if length > MAX_LABEL or offset > _LAST_OFFSET:
                raise _Malformed
            offset += 1
            labels.append(folded[offset : offset + length])
            offset += length
        type_, class_ = _TYPE_AND_CLASS.unpack_from(packet, offset + 1)
    except (IndexError, error):
        raise _Malformed from None
    if offset >= HEADER_SIZE + MAX_NAME:
        raise _Malformed
    return Question(tuple(labels), type_, class_), offset + 5


def _read_edns(packet: bytes, offset: int) -> tuple[Edns | None, int]:
    """The OPT record at the offset, None if the header counts none, and its version.

    What follows behind it is ignored, as NSD, BIND and PowerDNS do.
    """
    if not packet[11]:  # the low byte of ARCOUNT, which is 0 or 1 here
        return None, 0
    if offset + OPT_FIXED_SIZE > len(packet):
        raise _Malformed
    root, type_, size, _, version, flags, length = _OPT.unpack_from(packet, offset)
    start = offset + OPT_FIXED_SIZE
    end = start + length
    if root != 0 or type_ != Type.OPT or end > len(packet):
        raise _Malformed
    cookie, asks_for = _read_options(packet, start, end) if length else (b"", _NOTHING)
    return Edns(size, bool(flags & _DNSSEC_OK), packet[offset:end], cookie, asks_for), version


def _read_options(packet: bytes, offset: int, end: int) -> tuple[bytes, frozenset[int]]:
    """The first cookie, and which options are asked for; others are ignored (RFC 6891 6.1.2).

    The options must fill the OPT record exactly, and cookies have 8, or 16 to 40 octets (RFC 7873
    5.2.2).
    """
    cookie, asks_for = b"", _NOTHING
    while offset < end:
        if offset + 4 > end:
            raise _Malformed
        code, length = _OPTION.unpack_from(packet, offset)
        offset += 4
        if code == COOKIE and not cookie:
            if length != 8 and not 16 <= length <= 40:
                raise _Malformed
            cookie = packet[offset : offset + length]
        elif code in _ANSWERED:
            asks_for |= {code}
        offset += length
    if offset != end:
        raise _Malformed
    return cookie, asks_for
