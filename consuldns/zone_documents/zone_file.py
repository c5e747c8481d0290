"""Zone files (RFC 1035 section 5): read into names with record sets, and written; by dnspython."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import dns.exception
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tokenizer
import dns.zonefile
from dns.rdatatype import RdataType

from consuldns.errors import ConsuldnsError
from consuldns.names import Labels, fold, format_name, is_below
from consuldns.views.zone_records import RecordSet, ZoneName
from consuldns.zone_documents import rdata


class ZoneFileError(ConsuldnsError):
    """The file is not a zone file. The text has its name and the line."""


@dataclass(frozen=True, slots=True)
class ZoneFile:
    """The names of a zone file, and what was left out of it, each with the reason."""

    names: tuple[ZoneName, ...]
    left_out: tuple[str, ...]


def read(text: str, zone: Labels, file: str) -> ZoneFile:
    """The names of a zone. `file` is its name in errors. Raises ZoneFileError.

    No other file is included. Left out are SOA, which every zone file has, and, with a word, the
    records of DNSSEC and what lies outside of the zone.
    """
    found: dict[Labels, list[RecordSet]] = {}
    spelled: dict[Labels, Labels] = {}
    left_out: list[str] = []
    for rrset in _rrsets(text, zone, file):
        owner, type_ = rrset.name.labels[:-1], int(rrset.rdtype)
        if rrset.rdtype == RdataType.SOA:
            continue
        try:
            rdata.type_of(dns.rdatatype.to_text(rrset.rdtype))
            if not is_below(fold(owner), fold(zone)):
                raise ValueError("it is not in the zone")
        except ValueError as error:
            left_out.append(f"{format_name(owner)} {rdata.type_name(type_)}: {error}")
            continue
        labels = owner[: len(owner) - len(zone)]
        spelled.setdefault(fold(labels), labels)
        data = tuple(each.to_wire() or b"" for each in rrset)
        found.setdefault(fold(labels), []).append(RecordSet(type_, rrset.ttl, data))
    names = (ZoneName(spelled[name], tuple(sets)) for name, sets in sorted(found.items()))
    return ZoneFile(tuple(names), tuple(left_out))


def _rrsets(text: str, zone: Labels, file: str) -> list[dns.rrset.RRset]:
    try:
        return _parse(text, zone, file)
    except (dns.exception.DNSException, ValueError) as error:
        raise ZoneFileError(_in_right_line(str(error), text, zone, file)) from error


def _parse(text: str, zone: Labels, file: str) -> list[dns.rrset.RRset]:
    origin = dns.name.Name((*zone, b""))
    manager = dns.zonefile.RRSetsReaderManager(origin, relativize=False)
    with manager.writer(True) as transaction:  # type: ignore[no-untyped-call]
        tokens = dns.tokenizer.Tokenizer(text, file)
        reader = dns.zonefile.Reader(tokens, dns.rdataclass.IN, transaction)
        reader.zone_origin = dns.name.root  # or else it skips what lies outside, silently
        reader.read()
    return list(manager.rrsets)


def _in_right_line(problem: str, text: str, zone: Labels, file: str) -> str:
    """dnspython names the line behind, if the mistake is in the last word of a line."""
    number, colon, reason = problem.removeprefix(f"{file}:").partition(":")
    if not (colon and number.isdecimal()):
        return f"{file}: {problem}"
    before = "\n".join(text.splitlines()[: int(number) - 1])
    try:
        _parse(before, zone, file)
    except (dns.exception.DNSException, ValueError):
        number = str(int(number) - 1)
    return f"{file}:{number}:{reason}"


def lines(names: Iterable[ZoneName], zone: Labels) -> Iterator[str]:
    """The records as lines of a zone file; a service that a name stands for is a comment."""
    yield f"$ORIGIN {format_name(zone)}"
    for name in sorted(names, key=lambda each: fold(each.labels)[::-1]):
        owner = format_name(name.labels).removesuffix(".") or "@"
        if name.alias is not None:
            tag = f"{name.alias.tag}." if name.alias.tag else ""
            datacenter = f" in {name.alias.datacenter}" if name.alias.datacenter else ""
            yield f"; {owner} has the instances of {tag}{name.alias.service}{datacenter}"
        for each in name.records:
            for data in each.data:
                text = rdata.decode(each.type, data)
                yield f"{owner}\t{each.ttl}\tIN\t{rdata.type_name(each.type)}\t{text}"
