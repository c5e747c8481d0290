"""Consul's JSON, as far as it is read, by the DNS and by the sync worker: the fields that are used.

Go writes an empty list or map as `null` at will, so both are taken. Whatever else comes is a
BadResponse, or a record that is skipped: see `consuldns.untrusted`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from consuldns import untrusted
from consuldns.errors import BadResponse
from consuldns.untrusted import Int64

T = TypeVar("T")


class _Record(msgspec.Struct, frozen=True, rename="pascal"):
    """A part of a reply."""


class Node(_Record, frozen=True):
    """An entry of /v1/catalog/nodes; the same in /v1/health/service."""

    name: str = msgspec.field(name="Node")
    address: str
    id: str = msgspec.field(name="ID", default="")
    datacenter: str = ""
    tagged_addresses: dict[str, str] | None = None
    meta: dict[str, str] | None = None


class Weights(_Record, frozen=True):
    """SRV weights."""

    passing: Int64 = 1
    warning: Int64 = 1


class TaggedAddress(_Record, frozen=True):
    """An address that a service has for some clients."""

    address: str
    port: Int64 = 0


class NamedPort(_Record, frozen=True):
    """One of several ports of a service, from Consul 1.22 on."""

    name: str
    port: Int64
    default: bool = False


class Service(_Record, frozen=True):
    """The service part of /v1/health/service."""

    name: str = msgspec.field(name="Service")
    id: str = msgspec.field(name="ID")
    address: str = ""
    port: Int64 = 0
    tags: tuple[str, ...] | None = None
    meta: dict[str, str] | None = None
    tagged_addresses: dict[str, TaggedAddress] | None = None
    weights: Weights | None = None
    ports: tuple[NamedPort, ...] | None = None


class StoredService(Service, frozen=True):
    """A service in /v1/catalog/node-services, with the index of its last change."""

    modify_index: int = 0


class Check(_Record, frozen=True):
    """A check in /v1/health/service. The name is for people to read: whatever it is will do."""

    status: str
    name: Any = ""


class HealthEntry(_Record, frozen=True):
    """An instance in /v1/health/service."""

    node: Node
    service: Service
    checks: tuple[Check, ...] | None = None


class QueryDNS(_Record, frozen=True):
    """`DNS` of a prepared query. `TTL` is a duration, such as "10s", or empty."""

    ttl: str = msgspec.field(name="TTL", default="")


class ExecutedQuery(_Record, frozen=True):
    """/v1/query/<query>/execute. The instances are decoded one by one."""

    service: str
    nodes: msgspec.Raw = msgspec.Raw(b"[]")
    dns: QueryDNS = msgspec.field(name="DNS", default=QueryDNS())
    datacenter: str = ""


class QueryDefinition(_Record, frozen=True):
    """An entry of /v1/query."""

    id: str = msgspec.field(name="ID")
    name: str = ""


class Peering(_Record, frozen=True):
    """An entry of /v1/peerings."""

    name: str


class CheckState(_Record, frozen=True):
    """An entry of /v1/health/state/any."""

    node: str
    check_id: str = msgspec.field(name="CheckID")
    status: str
    service_name: str = ""


class NodeCheck(_Record, frozen=True):
    """A check in /v1/health/node."""

    check_id: str = msgspec.field(name="CheckID")
    status: str
    output: str = ""


class KeyValue(_Record, frozen=True):
    """An entry of /v1/kv/?recurse. The value is in base64 there, and decoded here."""

    key: str
    flags: int = 0
    value: bytes | None = None


class StoredKeyValue(KeyValue, frozen=True):
    """The same, with the session that holds it and the index of its last change."""

    session: str = ""
    modify_index: int = 0


class Session(_Record, frozen=True):
    """An entry of /v1/session/info; of /v1/session/create the id alone."""

    id: str = msgspec.field(name="ID")
    name: str = ""


class Permission(_Record, frozen=True):
    """An answer of /v1/internal/acl/authorize."""

    allow: bool


class Indexed(_Record, frozen=True):
    """What an operation of a transaction left behind."""

    modify_index: int = 0


class OperationResult(_Record, frozen=True):
    """A result of /v1/txn."""

    kv: Indexed | None = msgspec.field(name="KV", default=None)
    service: Indexed | None = None


class TransactionResults(_Record, frozen=True):
    """/v1/txn, applied."""

    results: list[OperationResult] | None = None


class OperationError(_Record, frozen=True):
    """Why an operation of a transaction was refused."""

    op_index: int
    what: str


class TransactionErrors(_Record, frozen=True):
    """/v1/txn with status 409."""

    errors: list[OperationError] | None = None


class AgentConfig(_Record, frozen=True):
    """The part of /v1/agent/self that is read."""

    datacenter: str
    node_name: str = ""
    version: str = ""


class AgentSelf(_Record, frozen=True):
    """/v1/agent/self."""

    config: AgentConfig


NODES = untrusted.Records(Node)
HEALTH_ENTRIES = untrusted.Records(HealthEntry)
CHECK_STATES = untrusted.Records(CheckState)
QUERY_DEFINITIONS = untrusted.Records(QueryDefinition)
PEERINGS = untrusted.Records(Peering)
NODE_CHECKS = untrusted.Records(NodeCheck)
KEY_VALUES = untrusted.Records(KeyValue)
_SERVICE_TAGS = msgspec.json.Decoder(dict[str, list[str] | None])
_TAGS = msgspec.json.Decoder(list[str] | None)
_NAME = msgspec.json.Decoder(str)


def decode(content: bytes | msgspec.Raw, kind: type[T]) -> T:
    """One value. Raises BadResponse if the content is something else."""
    with understanding():
        return untrusted.read_as(content, kind)


def decode_list(body: bytes, kind: type[T]) -> list[T]:
    """A list of which every entry must be readable. Raises BadResponse."""
    with understanding():
        return untrusted.read(body, msgspec.json.Decoder(list[kind] | None)) or []  # type: ignore[valid-type]


def decode_optional(content: bytes | msgspec.Raw, kind: type[T]) -> T | None:
    """One value, or None for `null`. Raises BadResponse."""
    with understanding():
        found: T | None = untrusted.read(content, msgspec.json.Decoder(kind | None))
        return found


def transaction_errors(body: bytes) -> tuple[tuple[int, str], ...]:
    """Number and reason of each operation that was refused. Raises BadResponse, with status 409."""
    try:
        errors = untrusted.read_as(body, TransactionErrors).errors or []
    except untrusted.Unreadable as error:
        raise BadResponse(f"Consul answered 409 without reasons: {body[:100]!r}", 409) from error
    return tuple((error.op_index, error.what) for error in errors)


def decode_records(
    body: bytes, records: untrusted.Records[T]
) -> tuple[list[T], list[untrusted.Unread]]:
    """The records that can be read, and those that cannot. Raises BadResponse if it is no list."""
    with understanding():
        return records.read(body)


def decode_service_tags(body: bytes) -> tuple[dict[str, frozenset[str]], list[untrusted.Unread]]:
    """/v1/catalog/services: the tags of each service, as sets since Consul's order is random.

    A service whose tags cannot be read is listed all the same: it exists. Raises BadResponse.
    """
    try:
        found = untrusted.read(body, _SERVICE_TAGS)
        return {name: frozenset(tags or ()) for name, tags in found.items()}, []
    except untrusted.Unreadable:
        pass
    good: dict[str, frozenset[str]] = {}
    bad: list[untrusted.Unread] = []
    with understanding():
        parts = tuple(untrusted.members(body))
    for key, tags in parts:
        try:
            good[name := untrusted.read(key, _NAME)] = frozenset()
            good[name] = frozenset(untrusted.read(tags, _TAGS) or ())
        except untrusted.Unreadable as error:
            bad.append(untrusted.Unread(key, str(error)))
    return good, bad


@contextmanager
def understanding() -> Iterator[None]:
    """Turns Unreadable into BadResponse."""
    try:
        yield
    except untrusted.Unreadable as error:
        raise BadResponse(f"Consul's response is not as expected: {error}") from error
