"""What is written to Consul, as plain values: nodes, instances, keys, and the operations on them.

The sync worker decides in these terms what is to be written (`consuldns.sync.planning.plan`), and
`consuldns.consul.catalog` turns them into transactions. Neither knows the other.
"""

import msgspec

from consuldns.errors import ConsulError

PASSING, WARNING, CRITICAL = "passing", "warning", "critical"


class Value(msgspec.Struct, frozen=True):
    """A plain value."""


class Node(Value, frozen=True):
    """A node of the catalog."""

    name: str
    address: str
    meta: dict[str, str]


class Instance(Value, frozen=True):
    """An instance of a service, with its one check.

    `weight` is that of a passing instance; `status` is passing, warning or critical, and `output`
    says why, in a few words that never change while the status stays. There are no tagged
    addresses: /v1/txn of Consul 1.8.7 takes them without a word, and does not store them.
    """

    id: str
    service: str
    address: str
    port: int
    tags: tuple[str, ...] = ()
    meta: dict[str, str] = {}
    weight: int = 1
    status: str = PASSING
    output: str = ""


class Key(Value, frozen=True):
    """A key of the KV tree. `flags` is a free number of 64 bits that Consul keeps with it."""

    path: str
    value: bytes
    flags: int = 0


class SetNode(Value, frozen=True):
    """Register a node, or bring it up to date. With `is_new` only if there is none of the name."""

    node: Node
    is_new: bool = False


class RemoveNode(Value, frozen=True):
    """Remove a node with all that is on it, sessions too."""

    node: str


class SetInstance(Value, frozen=True):
    """Register the instance, or bring it up to date; its check is an operation of its own."""

    node: str
    instance: Instance


class SetCheck(Value, frozen=True):
    """Register the check of an instance, or bring it up to date."""

    node: str
    instance: Instance


class RemoveInstance(Value, frozen=True):
    """Remove an instance, with its check, if it has not changed since `index`."""

    node: str
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


Operation = SetNode | RemoveNode | SetInstance | SetCheck | RemoveInstance | SetKey | RemoveKey

MAX_OPERATIONS = 64  # in one transaction; Consul up to 1.16 refuses more (measured with 1.8.7)


class Lock(Value, frozen=True):
    """A key that a session holds: each transaction begins by checking that it still does."""

    key: str
    session: str


class LockLost(ConsulError):
    """The lock that a transaction depends on is not ours any more. Nothing was done."""


class StoredInstance(Value, frozen=True):
    """An instance as the catalog has it. `index` is its ModifyIndex."""

    instance: Instance
    index: int


class StoredKey(Value, frozen=True):
    """A key as the KV tree has it. `index` is its ModifyIndex; `session` holds it as a lock."""

    key: Key
    index: int
    session: str = ""
