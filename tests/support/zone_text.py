"""Records as zone text (RFC 1035 section 5.1), for expectations that people can read."""

from ipaddress import ip_address

from consuldns.dns.answer import (
    Address,
    Record,
    ServiceTarget,
    StartOfAuthority,
    Target,
    Text,
)
from consuldns.dns.question import Type
from consuldns.names import format_name


def record_text(record: Record) -> str:
    """`owner ttl type data`; the serial of an SOA is `*`, since it is not what a case is about."""
    return f"{format_name(record.owner)} {record.ttl} {Type(record.type).name} {_data(record)}"


def _data(record: Record) -> str:
    match record.data:
        case Address(packed):
            return str(ip_address(packed))
        case Target(name):
            return format_name(name)
        case ServiceTarget(priority, weight, port, name):
            return f"{priority} {weight} {port} {format_name(name)}"
        case Text(strings):
            return " ".join(f'"{string.decode()}"' for string in strings)
        case StartOfAuthority() as soa:
            return (
                f"{format_name(soa.name_server)} {format_name(soa.mailbox)} * "
                f"{soa.refresh} {soa.retry} {soa.expire} {soa.minimum}"
            )
