"""What is written to Consul, as plain values: instances, keys, and the operations on them.

The sync worker decides in these terms what is to be written (`consuldns.kubernetes.plan`), and
`consuldns.consul.registry` turns them into transactions. Neither knows the other.
"""

import msgspec

PASSING, WARNING, CRITICAL = "passing", "warning", "critical"


class Value(msgspec.Struct, frozen=True):
    """A plain value."""


class Instance(Value, frozen=True):
    """An instance of a service on the cluster's node of the catalog, with its one check.

    `tagged_addresses` by Consul's names for them (`virtual`); `weight` is that of a passing
    instance; `status` is passing, warning or critical, and `output` says why, in a few words that
    never change while the status stays.
    """

    id: str
    service: str
    address: str
    port: int
    tags: tuple[str, ...] = ()
    meta: dict[str, str] = {}
    tagged_addresses: dict[str, tuple[str, int]] = {}
    weight: int = 1
    status: str = PASSING
    output: str = ""


class Key(Value, frozen=True):
    """A key of the KV tree. `flags` is a free number of 64 bits that Consul keeps with it."""

    path: str
    value: bytes
    flags: int = 0


class SetInstance(Value, frozen=True):
    """Register the instance, or bring it up to date; its check is an operation of its own."""

    instance: Instance


class SetCheck(Value, frozen=True):
    """Register the check of an instance, or bring it up to date."""

    instance: Instance


class RemoveInstance(Value, frozen=True):
    """Remove an instance, with its check, if it has not changed since `index`."""

    id: str
    service: str
    index: int


class SetKey(Value, frozen=True):
    """Write a key if it has not changed since `index`; 0: if it does not exist."""

    key: Key
    index: int


class RemoveKey(Value, frozen=True):
    """Remove a key if it has not changed since `index`."""

    path: str
    index: int


Operation = SetInstance | SetCheck | RemoveInstance | SetKey | RemoveKey

MAX_OPERATIONS = 64  # in one transaction; Consul up to 1.16 refuses more (measured with 1.8.7)


class Lock(Value, frozen=True):
    """A key that a session holds: each transaction begins by checking that it still does."""

    key: str
    session: str


class OperationError(Value, frozen=True):
    """Why a transaction was refused. `position` among the operations; None: the lock is lost."""

    position: int | None
    reason: str


class Node(Value, frozen=True):
    """A node of the catalog."""

    name: str
    address: str
    meta: dict[str, str]


class StoredInstance(Value, frozen=True):
    """An instance as the catalog has it. `index` is its ModifyIndex."""

    instance: Instance
    index: int


class StoredKey(Value, frozen=True):
    """A key as the KV tree has it. `index` is its ModifyIndex; `session` holds it as a lock."""

    key: Key
    index: int
    session: str = ""
