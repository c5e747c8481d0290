"""The data of records, from and to the form that it has in zone files; by dnspython."""

import socket
from functools import lru_cache

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from dns.rdatatype import RdataType

from consuldns import names
from consuldns.names import Labels

# What the server itself answers with, what a signer adds, and what is no data at all.
REFUSED = {
    "SOA": "the server makes the SOA record by itself",
    "DNAME": "DNAME is not supported",
    **dict.fromkeys(
        ("DNSKEY", "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM"),
        "records of DNSSEC are made by the server that signs the zone",
    ),
}
ADDRESSES = {int(RdataType.A): socket.AF_INET, int(RdataType.AAAA): socket.AF_INET6}
MALFORMED = "Text input is malformed."  # what dnspython says if it says nothing
EXAMPLES = {
    "A": "192.0.2.1",
    "AAAA": "2001:db8::1",
    "CAA": '0 issue "ca.example.net"',
    "CNAME": "www.example.net.",
    "MX": "10 mail.example.net.",
    "NS": "ns1.example.net.",
    "PTR": "www.example.net.",
    "SRV": "10 5 443 www.example.net.",
}


@lru_cache(maxsize=256)
def type_of(text: str) -> int:
    """The number of a type of records that a zone may have. Raises ValueError, with the reason."""
    try:
        type_ = RdataType.from_text(text)
    except (dns.rdatatype.UnknownRdatatype, ValueError):
        raise ValueError(f"{text!r} is not a type of records") from None
    if dns.rdatatype.is_metatype(type_) or type_ == 0:
        raise ValueError(f"{text} is not a type of records")
    if type_.name in REFUSED if isinstance(type_, RdataType) else False:
        raise ValueError(REFUSED[type_.name])
    return int(type_)


def type_name(type_: int) -> str:
    """`A`, or `TYPE65280` (RFC 3597)."""
    return dns.rdatatype.to_text(RdataType.make(type_))


def encode(type_: int, text: str, zone: Labels) -> bytes:
    """Wire format of a record's data, names written out. Raises ValueError.

    A name in it needs a final dot, unless it is a single label (or `@`), which is in the zone: of
    `mail.example.net` one cannot know whether the zone was meant to follow. TXT is the text itself,
    unless it begins with a quotation mark.
    """
    if type_ == RdataType.TXT and not text.startswith('"'):
        return names.character_strings(text.encode())
    if type_ in ADDRESSES:  # most records: dnspython takes 37 us for one
        try:
            return socket.inet_pton(ADDRESSES[type_], text)
        except OSError:
            raise ValueError(_problem(type_, text, MALFORMED)) from None
    try:
        parsed = dns.rdata.from_text(dns.rdataclass.IN, RdataType.make(type_), text)
        data = parsed.to_wire(origin=dns.name.Name((*zone, b""))) or b""
    except Exception as error:  # dnspython has seen nothing but the text: that is the cause
        raise ValueError(_problem(type_, text, str(error))) from error
    for name in _names_in(parsed):
        if not name.is_absolute() and len(name.labels) > 1:
            raise ValueError(f"the name {name} needs a final dot: {name}.")
    return data


def decode(type_: int, data: bytes) -> str:
    """The data as in a zone file, names with a final dot."""
    parsed = dns.rdata.from_wire(dns.rdataclass.IN, RdataType.make(type_), data, 0, len(data))
    return parsed.to_text()


def names_in(type_: int, data: bytes) -> list[Labels]:
    """The names in a record's data, such as the target of MX."""
    parsed = dns.rdata.from_wire(dns.rdataclass.IN, RdataType.make(type_), data, 0, len(data))
    return [name.labels[:-1] for name in _names_in(parsed)]


def _names_in(parsed: dns.rdata.Rdata) -> list[dns.name.Name]:
    slots = (slot for each in type(parsed).__mro__ for slot in getattr(each, "__slots__", ()))
    values = (getattr(parsed, slot, None) for slot in slots)
    return [value for value in values if isinstance(value, dns.name.Name)]


def _problem(type_: int, text: str, reason: str) -> str:
    name = type_name(type_)
    example = f", such as {EXAMPLES[name]}" if name in EXAMPLES else ""
    said = "" if reason == MALFORMED else f": {reason}"
    return f"{text!r:.100} is not valid {name} data{example}{said}"
