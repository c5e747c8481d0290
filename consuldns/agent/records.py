"""What the tables hold, as immutable values with Consul's own field names in JSON.

The same structs decode requests: a field that is not named here makes a request invalid, as in
Consul. None and an empty list or map are kept apart, because Consul's replies keep them apart.
"""

from typing import Any, TypeVar

import msgspec

ANY, PASSING, WARNING, CRITICAL = "any", "passing", "warning", "critical"
STATUSES = (PASSING, WARNING, CRITICAL)

_UPPER = ("id", "ttl", "http", "tcp", "grpc", "kv")  # words that Consul writes in capitals


class Refused(Exception):
    """A request that Consul refuses: the status and the text of its reply."""

    def __init__(self, text: str, status: int = 500) -> None:
        self.text, self.status = text, status
        super().__init__(text)


def consul_name(field: str) -> str:
    """`service_id` as `ServiceID`, `modify_index` as `ModifyIndex`."""
    parts = field.split("_")
    return "".join(part.upper() if part in _UPPER else part.capitalize() for part in parts)


class Body(msgspec.Struct, frozen=True, rename=consul_name, forbid_unknown_fields=True):
    """The body of a request."""


class Record(Body, frozen=True):
    """A record of a table, which some requests contain as a whole."""

    create_index: int = 0
    modify_index: int = 0


R = TypeVar("R", bound=Record)


def stamped(new: R, old: R | None, index: int) -> R:
    """The record to store at this index: `old` itself if nothing but the indexes differs."""
    if old is None:
        return msgspec.structs.replace(new, create_index=index, modify_index=index)
    same = msgspec.structs.replace(
        new, create_index=old.create_index, modify_index=old.modify_index
    )
    return old if same == old else msgspec.structs.replace(same, modify_index=index)


class Node(Record, frozen=True, kw_only=True):
    """A node of the catalog."""

    id: str = ""
    node: str = ""
    address: str = ""
    datacenter: str = ""
    tagged_addresses: dict[str, str] | None = None
    meta: dict[str, str] | None = None


class Weights(Body, frozen=True):
    """Weights of an instance in SRV records, by its health."""

    passing: int = 0
    warning: int = 0


class ServiceAddress(Body, frozen=True):
    """An address of an instance for a purpose (`lan_ipv4`, `wan`, ...)."""

    address: str = ""
    port: int = 0


class Service(Record, frozen=True, kw_only=True):
    """An instance of a service on a node."""

    kind: str = ""
    id: str = ""
    service: str = ""
    tags: list[str] | None = None
    address: str = ""
    tagged_addresses: dict[str, ServiceAddress] | None = None
    meta: dict[str, str] | None = None
    port: int = 0
    weights: Weights | None = None
    enable_tag_override: bool = False
    proxy: dict[str, Any] | None = None
    connect: dict[str, Any] | None = None


class Check(Record, frozen=True, kw_only=True):
    """A health check of a node, or of an instance if it has a ServiceID."""

    node: str = ""
    check_id: str = ""
    name: str = ""
    status: str = ""
    notes: str = ""
    output: str = ""
    service_id: str = ""
    service_name: str = ""
    service_tags: list[str] | None = None
    type: str = ""
    definition: dict[str, Any] | None = None


class Entry(Record, frozen=True, kw_only=True):
    """A key of the KV store."""

    lock_index: int = 0
    key: str = ""
    flags: int = 0
    value: bytes | None = None
    session: str = ""


class ServiceCheck(msgspec.Struct, frozen=True, rename=consul_name):
    """A check of a service that a session hangs on."""

    id: str = ""


class Session(Record, frozen=True, kw_only=True):
    """A session. `lock_delay` in nanoseconds, `ttl` as it was written."""

    id: str
    name: str
    node: str
    lock_delay: int
    behavior: str
    ttl: str
    node_checks: list[str] | None
    service_checks: list[ServiceCheck] | None
