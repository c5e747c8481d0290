"""Consul's JSON, as far as it is read: exactly the fields that are used.

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


class Check(_Record, frozen=True):
    """A check in /v1/health/service. The name is for people to read: whatever it is will do."""

    status: str
    name: Any = ""


class HealthEntry(_Record, frozen=True):
    """An instance in /v1/health/service."""

    node: Node
    service: Service
    checks: tuple[Check, ...] | None = None


class CheckState(_Record, frozen=True):
    """An entry of /v1/health/state/any."""

    node: str
    check_id: str = msgspec.field(name="CheckID")
    status: str
    service_name: str = ""


class KeyValue(_Record, frozen=True):
    """An entry of /v1/kv/?recurse. The value is in base64."""

    key: str
    flags: int = 0
    value: str | None = None


class AgentConfig(_Record, frozen=True):
    """The part of /v1/agent/self that is read."""

    datacenter: str


class AgentSelf(_Record, frozen=True):
    """/v1/agent/self."""

    config: AgentConfig


NODES = untrusted.Records(Node)
HEALTH_ENTRIES = untrusted.Records(HealthEntry)
CHECK_STATES = untrusted.Records(CheckState)
KEY_VALUES = untrusted.Records(KeyValue)
_SERVICE_TAGS = msgspec.json.Decoder(dict[str, list[str] | None])
_TAGS = msgspec.json.Decoder(list[str] | None)
_NAME = msgspec.json.Decoder(str)


def decode(content: bytes | msgspec.Raw, kind: type[T]) -> T:
    """One value. Raises BadResponse if the content is something else."""
    with understanding():
        return untrusted.read_as(content, kind)


def decode_texts(body: bytes) -> list[str]:
    """A list of texts. Raises BadResponse."""
    return decode(body, list[str] | None) or []  # type: ignore[arg-type]


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
        raise BadResponse(f"Consul's reply cannot be understood: {error}") from error
