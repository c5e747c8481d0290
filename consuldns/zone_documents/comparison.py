"""What a DNS server answers, compared with a zone file or another server; by dnspython."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdataclass
from dns.rdatatype import RdataType

from consuldns.errors import ConsuldnsError
from consuldns.names import Labels, format_name
from consuldns.views.zone_records import ZoneName
from consuldns.zone_documents import rdata

REPLY_SECONDS = 5.0


class NoReplyError(ConsuldnsError):
    """The server did not reply, so nothing can be said about its records."""


Question = tuple[Labels, int]  # a whole name, and the number of a type
Address = tuple[str, int]  # of a server: IP address and port
ANSWERS = (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)  # the other codes say nothing about a name


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs in the records of one type at a name, as lines of a zone file.

    `missing`: the server does not have it. A comment says if there is no such name, or an error.
    """

    missing: tuple[str, ...]
    surplus: tuple[str, ...]


def differences(
    names: Iterable[ZoneName], zone: Labels, server: Address
) -> Iterator[Difference | None]:
    """One for each record set, None for one that is the same. Raises NoReplyError.

    Each is asked for over TCP, because Consul cuts replies over UDP to a few records. The server
    may say more about a name than the file: only types that the file has there are compared.
    """
    for name in names:
        owner = dns.name.Name((*name.labels, *zone, b""))
        for each in name.records:
            expected = {_line(owner, each.ttl, each.type, data) for data in each.data}
            reply = _ask(owner, each.type, server)
            found = set(_lines(reply, owner, each.type))
            rcode = dns.rcode.to_text(reply.rcode())
            yield _difference(found, expected, "" if rcode == "NOERROR" else f"\t; {rcode}")


def between(
    questions: Iterable[Question], server: Address, other: Address
) -> Iterator[Difference | None]:
    """The same between two servers: `missing` is what only the other has. Raises NoReplyError.

    Whole answer sections are compared; if both are empty, whether the name exists.
    An error of both, such as REFUSED, is no agreement: it counts as a difference.
    """
    for labels, type_ in questions:
        name = dns.name.Name((*labels, b""))
        ours, theirs = (_ask(name, type_, each) for each in (server, other))
        found, expected = (set(_answers(each, name, type_)) for each in (ours, theirs))
        if found == expected and ours.rcode() not in ANSWERS:
            yield Difference(tuple(expected), tuple(found))
        else:
            yield _difference(found, expected)


def _difference(found: set[str], expected: set[str], comment: str = "") -> Difference | None:
    if found == expected:
        return None
    missing = tuple(f"{line}{comment}" for line in sorted(expected - found))
    return Difference(missing, tuple(sorted(found - expected)))


def _answers(reply: dns.message.Message, asked: dns.name.Name, type_: int) -> Iterator[str]:
    """The records of the answer section, or one line that says that there are none."""
    for rrset in reply.answer:
        for each in rrset:
            yield _line(rrset.name, rrset.ttl, int(rrset.rdtype), each.to_wire() or b"")
    if not reply.answer:
        rcode = reply.rcode()
        denial = "NODATA" if rcode == dns.rcode.NOERROR else dns.rcode.to_text(rcode)
        yield f"{format_name(asked.labels[:-1])}\t{rdata.type_name(type_)}\t; {denial}"


def _ask(owner: dns.name.Name, type_: int, server: Address) -> dns.message.Message:
    query = dns.message.make_query(owner, RdataType.make(type_), flags=0)
    try:
        return dns.query.tcp(query, server[0], port=server[1], timeout=REPLY_SECONDS)
    except (OSError, EOFError, dns.exception.DNSException) as error:
        question = f"{owner} {rdata.type_name(type_)}"
        where = f"{server[0]} port {server[1]}"
        reason = str(error) or type(error).__name__
        raise NoReplyError(f"no usable reply from {where} for {question}: {reason}") from error


def _lines(reply: dns.message.Message, owner: dns.name.Name, type_: int) -> Iterator[str]:
    """The records asked for. Those of a delegation, and its glue, are not in the answer section."""
    for section in (reply.answer, reply.authority, reply.additional):
        for rrset in section:
            if (rrset.name, rrset.rdclass, rrset.rdtype) == (owner, dns.rdataclass.IN, type_):
                for each in rrset:
                    yield _line(owner, rrset.ttl, type_, each.to_wire() or b"")


def _line(owner: dns.name.Name, ttl: int, type_: int, data: bytes) -> str:
    text = rdata.decode(type_, data)
    return f"{format_name(owner.labels[:-1])}\t{ttl}\tIN\t{rdata.type_name(type_)}\t{text}"
