"""Whether somebody else changed our entries in Consul; our own writes are recognised by content.

Consul wakes us whenever something changes, and an index does not say who wrote: a removal leaves
none behind, a service's index rises for every service of the catalog, and one of somebody else
may hide behind one of our own writes. So the part that changed is read and compared with what
exists as far as we know, but for what we wrote meanwhile.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from consuldns.consul.catalog import Catalog
from consuldns.consul.operations import Operation, SetCheck, SetInstance, SetKey, SetNode
from consuldns.sync.existing.contents import Existing, read_instances, read_keys
from consuldns.sync.ownership import Identity


@dataclass
class Writes:
    """What we are writing, and have written since each of those who are looking began to."""

    _now: set[str] = field(default_factory=set)
    _looking: dict[object, set[str]] = field(default_factory=dict)

    def begin(self, operations: Iterable[Operation]) -> None:
        """These are about to be done."""
        self._now = set(map(_name, operations))
        for seen in self._looking.values():
            seen |= self._now

    def end(self) -> None:
        """It is done, or has failed."""
        self._now = set()

    @contextmanager
    def seen(self) -> Iterator[set[str]]:
        """The names of what is being written, to which is added what comes to be meanwhile."""
        names = set(self._now)
        me = object()  # two who look at the same time have equal sets, and are two all the same
        self._looking[me] = names
        try:
            yield names
        finally:
            del self._looking[me]


async def is_changed(
    catalog: Catalog, identity: Identity, resource: str, existing: Existing, writes: Writes
) -> bool:
    """Whether one of our resources differs from `existing`. Raises ConsulError.

    `resource` is `node:<name>` (instances) or `keys:<prefix>`.
    """
    kind, _, name = resource.partition(":")
    there = Existing()
    with writes.seen() as ours:
        if kind == "node":
            await read_instances(catalog, identity, there)
            node_differs = there.node != existing.node and name not in ours
            return node_differs or _differ(_by_id(there), _by_id(existing), ours)
        await read_keys(catalog, identity, name, there)
        ours |= there.undecided.keys()  # whose they are, only a look at everything tells
        foreign = {path for path in existing.foreign_keys if path.startswith(name)}
        return _differ(there.keys, _below(name, existing), ours) or bool(
            there.foreign_keys.symmetric_difference(foreign) - ours
        )


def _name(operation: Operation) -> str:
    """What an operation writes: the path of a key, the id of an instance, the name of a node."""
    match operation:
        case SetKey(key=key):
            return key.path
        case SetInstance(instance=instance) | SetCheck(instance=instance):
            return instance.id
        case SetNode(node=node):
            return node.name
        case _:
            return str(getattr(operation, "path", "") or getattr(operation, "id", ""))


def _by_id(existing: Existing) -> dict[str, object]:
    return {id_: each for there in existing.instances.values() for id_, each in there.items()}


def _below(prefix: str, existing: Existing) -> dict[str, object]:
    return {path: each for path, each in existing.keys.items() if path.startswith(prefix)}


def _differ(there: Mapping[str, object], held: Mapping[str, object], ours: set[str]) -> bool:
    return any(there.get(k) != held.get(k) for k in {*there, *held} if k not in ours)
