"""Consul in memory, for tests that need thousands of transactions: all or nothing, with CAS.

Real Consul is what the end-to-end tests use; `test_registry` holds both to the same behaviour.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from copy import copy

from consuldns.consul.catalog import Catalog
from consuldns.consul.operations import (
    Instance,
    Key,
    Lock,
    LockLost,
    Node,
    Operation,
    RemoveInstance,
    RemoveKey,
    RemoveNode,
    SetCheck,
    SetInstance,
    SetKey,
    SetNode,
    StoredInstance,
    StoredKey,
)
from consuldns.errors import TransactionRefused


class MemoryCatalog(Catalog):
    """A catalog in memory, without waiting; tests/consul/test_registry.py holds it to the real one.

    `refuses` may name a reason not to do an operation; `on_transaction` is called after each.
    """

    def __init__(self) -> None:
        self.index = 10
        self.nodes: dict[str, Node] = {}
        self.instances_by_id: dict[tuple[str, str], StoredInstance] = {}
        self.stored_keys: dict[str, StoredKey] = {}
        self.sessions: dict[str, str] = {}
        self.foreign_services: set[str] = {"consul"}
        self.transactions: list[Sequence[Operation]] = []
        self.refuses: Callable[[Operation], str | None] = lambda _: None
        self.says_which = True
        self.on_transaction: Callable[[], None] = lambda: None

    def read_credentials_again(self) -> bool:
        """There is none."""
        return False

    async def datacenter(self) -> str:
        return "dc1"

    async def version(self) -> str:
        return "memory"

    async def node(self, name: str) -> Node | None:
        return self.nodes.get(name)

    async def kubernetes_nodes(self) -> list[Node]:
        return [
            each for each in self.nodes.values() if each.meta.get("external-source") == "kubernetes"
        ]

    async def instances(self, node: str) -> AsyncIterator[StoredInstance]:
        for (on, _), stored in list(self.instances_by_id.items()):
            if on == node:
                yield stored

    async def keys(self, prefix: str) -> AsyncIterator[StoredKey]:
        for path in sorted(self.stored_keys):
            if path.startswith(prefix):
                yield self.stored_keys[path]

    async def key(
        self, path: str, *, after: int = 0, wait: float = 0
    ) -> tuple[StoredKey | None, int]:
        return self.stored_keys.get(path), self.index

    async def service_names(self) -> frozenset[str]:
        ours = {stored.instance.service for stored in self.instances_by_id.values()}
        return frozenset(ours | self.foreign_services)

    async def changed(self, resource: str, *, after: int, wait: float) -> int:
        return self.index

    async def apply(self, operations: Sequence[Operation], lock: Lock | None) -> list[int]:
        if lock is not None:
            held = self.stored_keys.get(lock.key)
            if held is None or held.session != lock.session:
                raise LockLost("lost")
        before = copy(self.nodes), copy(self.instances_by_id), copy(self.stored_keys)
        self.index += 1
        reasons = []
        for position, operation in enumerate(operations):
            reason = self.refuses(operation) or self._do(operation)
            if reason:
                reasons.append((position, reason))
        if reasons:
            self.nodes, self.instances_by_id, self.stored_keys = before
            raise TransactionRefused(tuple(reasons) if self.says_which else ())
        self.transactions.append(operations)
        self.on_transaction()
        return [self._index_of(each) for each in operations]

    def _index_of(self, operation: Operation) -> int:
        if isinstance(operation, RemoveInstance | RemoveKey | RemoveNode):
            return 0
        if isinstance(operation, SetInstance):
            return self.instances_by_id[operation.node, operation.instance.id].index
        return self.index

    def _do(self, operation: Operation) -> str | None:  # noqa: C901 - one case an operation
        match operation:
            case SetNode(node=node, is_new=is_new):
                if is_new and node.name in self.nodes:
                    return "index is stale"
                self.nodes[node.name] = node
            case SetInstance(node=name, instance=instance):
                return self._set_instance(name, instance)
            case SetCheck(node=name, instance=instance):
                return self._set_check(name, instance)
            case RemoveInstance(node=name, id=id_, index=index):
                stored = self.instances_by_id.get((name, id_))
                if stored is not None and stored.index != index:
                    return "index is stale"
                self.instances_by_id.pop((name, id_), None)
            case SetKey(key=key, index=index):
                return self._set_key(key, index)
            case RemoveKey(path=path, index=index):
                held = self.stored_keys.get(path)
                if held is not None and held.index != index:
                    return "index is stale"
                self.stored_keys.pop(path, None)
            case RemoveNode(node=name):
                self.nodes.pop(name, None)
        return None

    def _set_instance(self, name: str, instance: Instance) -> str | None:
        if name not in self.nodes:
            return "no such node"
        old = self.instances_by_id.get((name, instance.id))
        status = (old.instance.status, old.instance.output) if old else ("passing", "")
        new = _with_check(instance, *status)
        if old is None or old.instance != new:
            self.instances_by_id[name, instance.id] = StoredInstance(new, self.index)
        return None

    def _set_check(self, name: str, instance: Instance) -> str | None:
        stored = self.instances_by_id.get((name, instance.id))
        if stored is None:
            return "no such service"
        new = _with_check(stored.instance, instance.status, instance.output)
        self.instances_by_id[name, instance.id] = StoredInstance(new, stored.index)
        return None

    def _set_key(self, key: Key, index: int) -> str | None:
        held = self.stored_keys.get(key.path)
        if (held.index if held else 0) != index:
            return "index is stale"
        self.stored_keys[key.path] = StoredKey(key, self.index, held.session if held else "")
        return None

    async def create_session(self, node: str, name: str, ttl: int) -> str:
        session = f"session-{len(self.sessions)}"
        self.sessions[session] = name
        return session

    async def session_name(self, session: str) -> str | None:
        return self.sessions.get(session)

    async def renew_session(self, session: str) -> bool:
        return session in self.sessions

    async def destroy_session(self, session: str) -> None:
        self.sessions.pop(session, None)
        for path, stored in list(self.stored_keys.items()):
            if stored.session == session:
                del self.stored_keys[path]

    async def acquire(self, path: str, value: bytes, session: str) -> bool:
        held = self.stored_keys.get(path)
        if held is not None and held.session not in ("", session):
            return False
        self.index += 1
        self.stored_keys[path] = StoredKey(Key(path, value), self.index, session)
        return True

    async def release(self, path: str, session: str) -> None:
        self.stored_keys.pop(path, None)


def _with_check(instance: Instance, status: str, output: str) -> Instance:
    return Instance(
        instance.id,
        instance.service,
        instance.address,
        instance.port,
        instance.tags,
        instance.meta,
        instance.weight,
        status,
        output if status != "passing" else "",
    )
