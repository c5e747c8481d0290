"""Replies as the scenarios write them, read from messages by dnspython."""

import re
from typing import Any

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from consuldns.dns.answer import Outcome
from consuldns.dns.policy import Policy
from tests.support.scenarios import expected_authority

Reply = tuple[str, frozenset[str], frozenset[str], frozenset[str]]
"""Rcode, answer, additional and authority section."""

RCODES = {
    Outcome.ANSWER: "NOERROR",
    Outcome.NODATA: "NOERROR",
    Outcome.NXDOMAIN: "NXDOMAIN",
    Outcome.REFUSED: "REFUSED",
    Outcome.FORMERR: "FORMERR",
    Outcome.SERVFAIL: "SERVFAIL",
}


# A character string holds 255 octets at most (RFC 1035 3.3); scenarios write the text as one.
WHOLE_STRING = re.compile(r'''("[^"]{255})" "''')


def read(message: dns.message.Message) -> Reply:
    """The parts of a message that scenarios are about."""
    return (
        dns.rcode.to_text(message.rcode()),
        _texts(message.answer),
        _texts(message.additional),
        _texts(message.authority),
    )


def _texts(section: list[dns.rrset.RRset]) -> frozenset[str]:
    """Records as in the scenarios: no class, no serial, names folded (Consul repeats the asked)."""
    texts = set()
    for rrset in section:
        for data in rrset:
            type_ = dns.rdatatype.to_text(rrset.rdtype)
            words = WHOLE_STRING.sub(r"\1", data.to_text()).split(" ")
            if type_ == "SOA":
                words[2] = "*"
            texts.add(f"{rrset.name} {rrset.ttl} {type_} {' '.join(words)}".lower())
    return frozenset(texts)


def expected(query: dict[str, Any], policy: Policy) -> list[Reply]:
    """Every reply that the scenario allows."""
    rcode = RCODES[Outcome(query.get("outcome", "answer"))]
    additional = _folded(query.get("additional", []))
    authority = _folded(expected_authority(query, policy.soa))
    alternatives = query.get("one_of", [query.get("answer", [])])
    return [(rcode, _folded(each), additional, authority) for each in alternatives]


def _folded(records: list[str]) -> frozenset[str]:
    return frozenset(record.lower() for record in records)
