"""The client's side: queries to other servers and their whole replies, for `consuldns query`.

What dnslib raises becomes WireError.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Any

import dnslib

from consuldns.errors import WireError
from consuldns.names import Labels, format_name
from consuldns.wire.decode import Rcode

_EXTENDED_DNS_ERROR = 15  # option code, RFC 8914
_CODE = Struct("!H")
_FLAGS = ("qr", "aa", "tc", "rd", "ra", "ad", "cd")


@dataclass(frozen=True, slots=True)
class PresentedRecord:
    """A record in presentation format (RFC 1035 section 5)."""

    owner: str
    ttl: int
    class_: str
    type: str
    data: str

    def __str__(self) -> str:
        return f"{self.owner} {self.ttl} {self.class_} {self.type} {self.data}"


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply. `flags` are those that are set, as dig names them: qr, aa, tc, rd, ra, ad, cd.

    `extended_errors` are (code, text) of RFC 8914; `udp_size` is None without EDNS.
    """

    id: int
    opcode: str
    rcode: str
    flags: tuple[str, ...]
    question: tuple[str, ...]
    answer: tuple[PresentedRecord, ...]
    authority: tuple[PresentedRecord, ...]
    additional: tuple[PresentedRecord, ...]
    udp_size: int | None
    extended_errors: tuple[tuple[int, str], ...]


def type_number(text: str) -> int:
    """The number of a type: `SRV`, `any`, `TYPE65280`. ValueError if there is no such type."""
    name = text.upper()
    if name.startswith("TYPE") and name[4:].isdigit() and int(name[4:]) < 0x10000:
        return int(name[4:])
    number: int | None = dnslib.QTYPE.reverse.get(name)
    if number is None:
        raise ValueError(f"not a type of records: {text!r}")
    return number


# RFC 8914 section 5.2, and those that were registered later.
_EXTENDED_ERRORS = {
    0: "Other",
    1: "Unsupported DNSKEY Algorithm",
    2: "Unsupported DS Digest Type",
    3: "Stale Answer",
    4: "Forged Answer",
    5: "DNSSEC Indeterminate",
    6: "DNSSEC Bogus",
    7: "Signature Expired",
    8: "Signature Not Yet Valid",
    9: "DNSKEY Missing",
    10: "RRSIGs Missing",
    11: "No Zone Key Bit Set",
    12: "NSEC Missing",
    13: "Cached Error",
    14: "Not Ready",
    15: "Blocked",
    16: "Censored",
    17: "Filtered",
    18: "Prohibited",
    19: "Stale NXDOMAIN Answer",
    20: "Not Authoritative",
    21: "Not Supported",
    22: "No Reachable Authority",
    23: "Network Error",
    24: "Invalid Data",
    25: "Signature Expired before Valid",
    26: "Too Early",
    27: "Unsupported NSEC3 Iterations Value",
    28: "Unable to conform to policy",
    29: "Synthesized",
    30: "Invalid Query Type",
}


def extended_error_name(code: int) -> str:
    """What an extended error is called."""
    return _EXTENDED_ERRORS.get(code, "unknown")


def build_query(
    name: Labels, type_: int, *, id: int, recursion_desired: bool = True, udp_size: int = 1232
) -> bytes:
    """A query of class IN with EDNS."""
    header = dnslib.DNSHeader(id=id, rd=int(recursion_desired))
    question = dnslib.DNSQuestion(dnslib.DNSLabel(list(name)), type_)
    record = dnslib.DNSRecord(header, q=question)
    record.add_ar(dnslib.EDNS0(udp_len=udp_size))
    return bytes(record.pack())


def read_reply(packet: bytes) -> Reply:
    """A reply as text; WireError if it is not one."""
    try:
        record = dnslib.DNSRecord.parse(packet)
    except (dnslib.DNSError, ValueError, LookupError) as error:
        raise WireError(f"not a DNS message: {error}") from error
    header = record.header
    if not header.qr:
        raise WireError("not a reply: the QR bit is not set")
    opt = next((each for each in record.ar if each.rtype == dnslib.QTYPE.OPT), None)
    rcode = header.rcode | (opt.ttl >> 24 << 4 if opt is not None else 0)
    return Reply(
        id=header.id,
        opcode=dnslib.OPCODE.get(header.opcode),
        rcode="BADVERS" if rcode == Rcode.BADVERS else dnslib.RCODE.get(rcode),
        flags=tuple(flag for flag in _FLAGS if getattr(header, flag)),
        question=tuple(
            f"{format_name(q.qname.label)} {_class_name(q.qclass)} {_type_name(q.qtype)}"
            for q in record.questions
        ),
        answer=_present(record.rr),
        authority=_present(record.auth),
        additional=_present(each for each in record.ar if each is not opt),
        udp_size=None if opt is None else opt.rclass,
        extended_errors=() if opt is None else tuple(_extended_errors(opt.rdata)),
    )


def _type_name(number: int) -> str:
    return str(dnslib.QTYPE.get(number, f"TYPE{number}"))


def _class_name(number: int) -> str:
    return str(dnslib.CLASS.get(number, f"CLASS{number}"))


def _present(records: Any) -> tuple[PresentedRecord, ...]:
    return tuple(
        PresentedRecord(
            owner=format_name(record.rname.label),
            ttl=record.ttl,
            class_=_class_name(record.rclass),
            type=_type_name(record.rtype),
            data=str(record.rdata),
        )
        for record in records
    )


def _extended_errors(options: Any) -> list[tuple[int, str]]:
    return [
        (_CODE.unpack_from(option.data)[0], option.data[2:].decode(errors="replace"))
        for option in options
        if option.code == _EXTENDED_DNS_ERROR and len(option.data) >= _CODE.size
    ]
