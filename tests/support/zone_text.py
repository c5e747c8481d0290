"""Records as zone text (RFC 1035 section 5.1), for expectations that people can read."""

from consuldns.dns.answer import Record
from consuldns.dns.explain import text


def record_text(record: Record) -> str:
    """`owner ttl type data`; the serial of an SOA is `*`, since it is not what a case is about."""
    owner, ttl, _, type_, *data = text.record_text(record).split(" ")
    if type_ == "SOA":
        data[2] = "*"
    return " ".join((owner, ttl, type_, *data))
