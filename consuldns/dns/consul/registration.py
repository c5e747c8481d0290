"""What an instance's own metadata say about its records: TTL, texts, service bindings.

The registration of a service decides these; nothing needs to be set on a server.

    consuldns-ttl = "30s"     TTL of the records of the service; the lowest of its instances counts
    consuldns-alpn = "h2,h3"  protocols: the instance has SVCB and HTTPS records (RFC 9460)
    anything else             a TXT record, as the metadata of nodes
"""

from collections.abc import Sequence

from consuldns import durations
from consuldns.dns import records
from consuldns.dns.answer import RawData, Record, RecordGroup
from consuldns.dns.consul.instances import target_of
from consuldns.dns.finder import Finding, Request, found
from consuldns.names import MAX_PORT, to_wire
from consuldns.views.model import Instance

TTL = "consuldns-ttl"
ALPN = "consuldns-alpn"
MAX_TTL = 86_400  # seconds: an instance that is gone must not be remembered for longer
# Keys that programs write for each other.
NOT_TEXTS = ("consuldns-", "consul-", "external-", "k8s-", "port-")

_PRIORITY = 1
_ALPN_KEY, _PORT_KEY = 1, 3  # RFC 9460 section 14.3.2
_MAX_PROTOCOL = 255  # octets


def ttl(instances: Sequence[Instance], default: int) -> int:
    """Seconds for the records of these instances."""
    found = [seconds for each in instances if TTL in each.meta for seconds in _ttl(each)]
    return min(found) if found else default


def _ttl(instance: Instance) -> list[int]:
    """Nothing if it makes no sense, or is not within bounds."""
    text = instance.meta[TTL]
    try:
        seconds = durations.exact_seconds(f"{text}s" if text.isdecimal() else text)
    except ValueError:
        return []
    return [int(seconds)] if 0 <= seconds <= MAX_TTL else []


def texts(instances: Sequence[Instance], ttl: int, request: Request) -> Finding:
    """A TXT record for each distinct key and value."""
    strings = {
        records.attribute(key, value): None
        for each in instances
        for key, value in each.meta.items()
        if not key.startswith(NOT_TEXTS)
    }
    every = [records.text(request.name, ttl, string) for string in strings]
    return found([RecordGroup((record,)) for record in every])


def bindings(instances: Sequence[Instance], datacenter: str, ttl: int, request: Request) -> Finding:
    """SVCB or HTTPS of the instances that name their protocols: target, port and protocols.

    All have the same priority. The target is that of SRV, with its addresses.
    """
    distinct: dict[Record, RecordGroup] = {}
    for instance in instances:
        protocols = _protocols(instance.meta.get(ALPN, ""))
        target = target_of(instance, datacenter, ttl, request) if protocols else None
        if target is None:
            continue
        name, additional = target
        content = _PRIORITY.to_bytes(2) + to_wire(name) + _parameter(_ALPN_KEY, protocols)
        if 0 < instance.port <= MAX_PORT:
            content += _parameter(_PORT_KEY, instance.port.to_bytes(2))
        record = Record(request.name, request.type, ttl, RawData(content))
        distinct.setdefault(record, RecordGroup((record,), additional))
    return found(list(distinct.values()))


def _protocols(text: str) -> bytes:
    """The value of `alpn`: each protocol with its length; empty if one makes no sense."""
    names = [each.strip() for each in text.split(",")]
    if not all(each and each.isascii() and each.isprintable() for each in names):
        return b""
    encoded = [each.encode() for each in names]
    if any(len(each) > _MAX_PROTOCOL for each in encoded):
        return b""
    return b"".join(bytes((len(each),)) + each for each in encoded)


def _parameter(key: int, value: bytes) -> bytes:
    return key.to_bytes(2) + len(value).to_bytes(2) + value
