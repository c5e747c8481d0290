"""Records and the names in them, one constructor each; nothing here decides anything."""

from functools import lru_cache

from consuldns import names
from consuldns.dns.answer import Address, Record, ServiceTarget, Target, Text, address_type
from consuldns.dns.question import Type
from consuldns.names import Labels

MAX_U16 = 0xFFFF


def address(owner: Labels, ttl: int, packed: bytes) -> Record:
    """A or AAAA."""
    return Record(owner, address_type(packed), ttl, Address(packed))


def alias(owner: Labels, ttl: int, target: Labels) -> Record:
    """CNAME."""
    return Record(owner, Type.CNAME, ttl, Target(target))


def pointer(owner: Labels, ttl: int, target: Labels) -> Record:
    """PTR."""
    return Record(owner, Type.PTR, ttl, Target(target))


def name_server(owner: Labels, ttl: int, target: Labels) -> Record:
    """NS."""
    return Record(owner, Type.NS, ttl, Target(target))


def service(
    owner: Labels, ttl: int, weight: int, port: int, target: Labels, *, priority: int = 1
) -> Record:
    """SRV. Consul's priority is always 1."""
    return Record(owner, Type.SRV, ttl, ServiceTarget(priority, weight, port, target))


def text(owner: Labels, ttl: int, string: bytes) -> Record:
    """TXT of one string."""
    return Record(owner, Type.TXT, ttl, Text((string,)))


def node_meta(owner: Labels, ttl: int, meta: dict[str, str]) -> tuple[Record, ...]:
    """A TXT for each key of a node's metadata."""
    return tuple(
        Record(owner, Type.TXT, ttl, Text((attribute(key, value),))) for key, value in meta.items()
    )


def attribute(key: str, value: str) -> bytes:
    """`key=value` as RFC 1464 quotes it; of a key that begins with `rfc1035-` the value alone."""
    if key.lower().startswith("rfc1035-"):
        return value.encode()
    quoted = key.replace("`", "``").replace("=", "`=")
    body = quoted.strip(" ")
    before = len(quoted) - len(quoted.lstrip(" "))
    after = len(quoted) - before - len(body)
    quoted = "` " * before + body + "` " * after
    return f"{quoted}={value.replace('`', '``')}".encode()


@lru_cache(maxsize=8192)
def node_name(node: str, datacenter: str, domain: Labels) -> Labels | None:
    """`<node>.node.<dc>.D` in Consul's spelling, None if no message can hold it."""
    return valid((*node.encode().split(b"."), b"node", datacenter.encode(), *domain))


def service_name(service: str, datacenter: str, domain: Labels) -> Labels | None:
    """`<service>.service.<dc>.D` in Consul's spelling, None if no message can hold it."""
    return valid((*service.encode().split(b"."), b"service", datacenter.encode(), *domain))


def address_name(packed: bytes, datacenter: str, domain: Labels) -> Labels:
    """`<hexadecimal>.addr.<dc>.D`."""
    return (packed.hex().encode(), b"addr", datacenter.encode(), *domain)


def valid(name: Labels) -> Labels | None:
    """The name, None if no message can hold it."""
    return name if names.is_valid(name) else None
