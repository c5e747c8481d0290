"""Consul's JSON, as far as it is read: exactly the fields that are used.

Go writes an empty list or map as `null` at will, so both are taken. A list is decoded as a whole;
only when that fails, record by record, so that a bad one costs its neighbours nothing.
"""

from typing import Generic, TypeVar

import msgspec

from consuldns.errors import BadResponse

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

    passing: int = 1
    warning: int = 1


class TaggedAddress(_Record, frozen=True):
    """An address that a service has for some clients."""

    address: str
    port: int = 0


class Service(_Record, frozen=True):
    """The service part of /v1/health/service."""

    name: str = msgspec.field(name="Service")
    id: str = msgspec.field(name="ID")
    address: str = ""
    port: int = 0
    tags: tuple[str, ...] | None = None
    meta: dict[str, str] | None = None
    tagged_addresses: dict[str, TaggedAddress] | None = None
    weights: Weights | None = None


class Check(_Record, frozen=True):
    """A check in /v1/health/service."""

    status: str


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


class Records(Generic[T]):
    """Decodes a JSON list of one kind of records."""

    def __init__(self, kind: type[T]) -> None:
        self._all = msgspec.json.Decoder(list[kind] | None)  # type: ignore[valid-type]
        self._one = msgspec.json.Decoder(kind)

    def decode(self, body: bytes) -> tuple[list[T], int]:
        """The records, and how many were skipped because they were bad.

        Raises BadResponse if the body is no JSON list.
        """
        try:
            return self._all.decode(body) or [], 0
        except msgspec.ValidationError:
            return _decode_each(body, self._one)
        except msgspec.DecodeError as error:
            raise BadResponse(f"Consul sent no JSON: {error}") from error


def _decode_each(body: bytes, decoder: "msgspec.json.Decoder[T]") -> tuple[list[T], int]:
    good: list[T] = []
    parts = decode(body, list[msgspec.Raw])
    for part in parts:
        try:
            good.append(decoder.decode(part))
        except msgspec.DecodeError:
            continue
    return good, len(parts) - len(good)


def decode(body: bytes, kind: type[T]) -> T:
    """One value. Raises BadResponse if the body is something else."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise BadResponse(f"Consul sent something unexpected: {error}") from error


def decode_texts(body: bytes) -> list[str]:
    """A list of texts. Raises BadResponse."""
    try:
        return msgspec.json.decode(body, type=list[str] | None) or []
    except msgspec.DecodeError as error:
        raise BadResponse(f"Consul sent something unexpected: {error}") from error


def decode_service_tags(body: bytes) -> tuple[dict[str, frozenset[str]], int]:
    """/v1/catalog/services: the tags of each service, as sets since Consul's order is random."""
    try:
        found = msgspec.json.decode(body, type=dict[str, list[str] | None])
        return {name: frozenset(tags or ()) for name, tags in found.items()}, 0
    except msgspec.ValidationError:
        parts = decode(body, dict[str, msgspec.Raw])
    except msgspec.DecodeError as error:
        raise BadResponse(f"Consul sent no JSON: {error}") from error
    good: dict[str, frozenset[str]] = {}
    for name, part in parts.items():
        try:
            good[name] = frozenset(msgspec.json.decode(part, type=list[str] | None) or ())
        except msgspec.DecodeError:
            continue
    return good, len(parts) - len(good)


NODES = Records(Node)
HEALTH_ENTRIES = Records(HealthEntry)
CHECK_STATES = Records(CheckState)
KEY_VALUES = Records(KeyValue)
