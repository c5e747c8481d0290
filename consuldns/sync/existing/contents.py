"""What exists in Consul for the cluster, as far as we know: read from it, updated by our writes.

Contents are kept as fingerprints, since they are compared with what should be, and never shown:
50,000 instances take 15 MB, not 100.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from consuldns import descriptor, reverse_layout
from consuldns.consul.catalog import Catalog
from consuldns.consul.operations import (
    PASSING,
    Instance,
    Key,
    Node,
    Operation,
    RemoveInstance,
    RemoveKey,
    SetCheck,
    SetInstance,
    SetKey,
    SetNode,
    StoredInstance,
    StoredKey,
)
from consuldns.descriptor import EndpointsKey, NameKey
from consuldns.sync.kubernetes.objects import ServiceKey
from consuldns.sync.ownership import Identity

T = TypeVar("T")

TURN = 200  # entries, some 5 ms

_encoder = msgspec.json.Encoder(order="deterministic")


@dataclass(slots=True)
class ExistingInstance:
    """One of our instances: fingerprints of it and of its check."""

    fingerprint: int
    check: int
    service: str
    index: int


@dataclass(slots=True)
class ExistingKey:
    """One of our keys."""

    fingerprint: int
    index: int


def fingerprint(instance: Instance) -> int:
    """A number that tells an instance, without its check, from any other content."""
    return hash(
        _encoder.encode(
            (
                instance.service,
                instance.address,
                instance.port,
                instance.tags,
                instance.meta,
                instance.weight,
            )
        )
    )


def check_fingerprint(instance: Instance) -> int:
    """The same of its check. A check that passes is as good as none, for Consul and for us."""
    return 0 if instance.status == PASSING else hash((instance.status, instance.output))


def key_fingerprint(key: Key) -> int:
    """The same of a key."""
    return hash((key.value, key.flags))


@dataclass
class Existing:
    """Everything that is ours in Consul. `names` is who has which flat name (in lower case).

    `foreign_keys` are reverse keys and flat names of others; `foreign_instances` counts instances
    that somebody else put on our node. Neither is ever touched. `undecided` are reverse keys of an
    earlier version that wrote for this cluster under one of several names, nobody knows which: they
    are foreign, but a worker that wants exactly the same takes them over.
    """

    node: Node | None = None
    instances: dict[ServiceKey, dict[str, ExistingInstance]] = field(default_factory=dict)
    keys: dict[str, ExistingKey] = field(default_factory=dict)
    names: dict[str, ServiceKey] = field(default_factory=dict)
    endpoints: dict[ServiceKey, set[str]] = field(default_factory=dict)  # keys that describe them
    foreign_keys: set[str] = field(default_factory=set)
    undecided: dict[str, StoredKey] = field(default_factory=dict)
    foreign_instances: int = 0
    namespaces: tuple[str, ...] = ()  # that the cluster's record has

    @property
    def count(self) -> int:
        """The number of instances."""
        return sum(len(each) for each in self.instances.values())

    @property
    def current_owners(self) -> dict[str, ServiceKey]:
        """Who has which flat name: by its claim, or if that is lost, by its instances."""
        in_use = {
            instance.service.lower(): owner
            for owner, there in self.instances.items()
            for instance in there.values()
        }
        return in_use | self.names

    def take_instance(self, stored: StoredInstance, identity: Identity) -> None:
        """Note an instance that was read from our node."""
        instance = stored.instance
        owner = _owner(instance.meta, identity)
        if owner is None:
            self.foreign_instances += 1
            return
        self.instances.setdefault(owner, {})[instance.id] = ExistingInstance(
            fingerprint(instance), check_fingerprint(instance), instance.service, stored.index
        )

    def take_key(self, stored: StoredKey, identity: Identity) -> None:
        """Note a key that was read: ours by its path, or by its Flags and what it says."""
        key = stored.key
        if stored.session:
            return  # the lock
        is_named = key.flags in identity.all_flags
        is_unnamed = key.flags in identity.unnamed_flags
        is_name = isinstance(descriptor.parse_path(key.path), NameKey)
        if is_name:
            owner = descriptor.parse_owner(key.value)
            is_ours = (is_named or is_unnamed) and owner.cluster == identity.cluster
        else:
            is_ours = is_named or key.path.startswith(identity.root)
        if key.path == identity.record_key:
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                record = msgspec.json.decode(key.value, type=descriptor.ClusterRecord)
                self.namespaces = record.namespaces
        if is_ours:
            self._take(stored)
        else:
            self.foreign_keys.add(key.path)
            if is_unnamed and not is_name:
                self.undecided[key.path] = stored

    def decide(self, identity: Identity, *, is_alone: bool) -> None:
        """Say which of the undecided keys are ours: all, if the cluster has no other name.

        Else those that point to a flat name that we have claimed.
        """
        suffix = identity.flat("").lower()
        for path, stored in list(self.undecided.items()):
            target = stored.key.value.decode(errors="replace").lower()
            flat = target.removesuffix(suffix) if target.endswith(suffix) else ""
            if is_alone or flat in self.names:
                self._take(stored)
                self.foreign_keys.discard(path)
                del self.undecided[path]

    def _take(self, stored: StoredKey) -> None:
        self.keys[stored.key.path] = ExistingKey(key_fingerprint(stored.key), stored.index)
        self._note_key(stored.key)

    def _note_key(self, key: Key) -> None:
        """Note who has a flat name, or which service's endpoints a key describes."""
        match descriptor.parse_path(key.path):
            case NameKey(flat):
                _, namespace, name = descriptor.parse_owner(key.value)
                self.names[flat] = (namespace, name)
            case EndpointsKey(_, namespace, name):
                self.endpoints.setdefault((namespace, name), set()).add(key.path)

    def _forget_key(self, path: str) -> None:
        match descriptor.parse_path(path):
            case NameKey(flat):
                self.names.pop(flat, None)
            case EndpointsKey(_, namespace, name) if (namespace, name) in self.endpoints:
                paths = self.endpoints[namespace, name]
                paths.discard(path)
                if not paths:
                    del self.endpoints[namespace, name]

    def apply(self, operation: Operation, owner: ServiceKey | None, index: int) -> None:
        """Note an operation that was done; `index` is what Consul gave for it."""
        match operation:
            case SetNode(node=node):
                self.node = node
            case SetInstance(instance=instance):
                assert owner is not None
                there = self.instances.setdefault(owner, {})
                check = there[instance.id].check if instance.id in there else 0
                there[instance.id] = ExistingInstance(
                    fingerprint(instance), check, instance.service, index
                )
            case SetCheck(instance=instance):
                assert owner is not None
                self.instances[owner][instance.id].check = check_fingerprint(instance)
            case RemoveInstance(id=id_):
                assert owner is not None
                remaining = self.instances.get(owner, {})
                remaining.pop(id_, None)
                if not remaining:
                    self.instances.pop(owner, None)
            case SetKey(key=key):
                self.foreign_keys.discard(key.path)
                self.undecided.pop(key.path, None)
                self.keys[key.path] = ExistingKey(key_fingerprint(key), index)
                self._note_key(key)
            case RemoveKey(path=path):
                self.keys.pop(path, None)
                self._forget_key(path)


def _owner(meta: dict[str, str], identity: Identity) -> ServiceKey | None:
    if meta.get(descriptor.CLUSTER) != identity.cluster:
        return None
    return meta.get(descriptor.NAMESPACE, ""), meta.get(descriptor.REFERENCE_NAME, "")


async def read(catalog: Catalog, identity: Identity) -> Existing:
    """Read everything that is ours."""
    held = Existing()
    await read_instances(catalog, identity, held)
    for prefix in (identity.root, descriptor.NAMES, reverse_layout.PREFIX):
        await read_keys(catalog, identity, prefix, held)
    if held.undecided:
        nodes = await catalog.kubernetes_nodes()
        held.decide(identity, is_alone=not any(map(identity.is_same_cluster, nodes)))
    return held


async def read_instances(catalog: Catalog, identity: Identity, held: Existing) -> None:
    """Read our node, and what is on it."""
    held.node = await catalog.node(identity.node)
    async for instance in _in_turns(catalog.instances(identity.node)):
        held.take_instance(instance, identity)


async def read_keys(catalog: Catalog, identity: Identity, prefix: str, held: Existing) -> None:
    """Read the keys below a prefix."""
    async for key in _in_turns(catalog.keys(prefix)):
        held.take_key(key, identity)


async def _in_turns(entries: AsyncIterator[T]) -> AsyncIterator[T]:
    """Entries, with the loop given to others in between: 50,000 take seconds."""
    count = 0
    async for each in entries:
        yield each
        count += 1
        if count % TURN == 0:
            await asyncio.sleep(0)
