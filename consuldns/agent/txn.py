"""Transactions: many operations at once, all of them or none.

Writing and reading operations add their record to the results (written keys without the value),
deletions and checks add nothing. Texts of errors are Consul's: the sync worker's fence and other
programs read them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from consuldns.agent.kv import KeyValues
from consuldns.agent.records import Body, Check, Entry, Node, Refused, Service
from consuldns.agent.state import State

MAX_OPERATIONS = 64
MAX_BODY = 524_288
"""Octets of a request (`txn_max_req_len` of Consul)."""

Result = Entry | Node | Service | Check


class KVOperation(Body, frozen=True):
    """An operation on a key or, with the `-tree` verbs, on a prefix."""

    verb: str = ""
    key: str = ""
    value: bytes | None = None
    flags: int = 0
    index: int = 0
    session: str = ""


class NodeOperation(Body, frozen=True):
    """An operation on a node."""

    verb: str = ""
    node: Node = Node()


class ServiceOperation(Body, frozen=True):
    """An operation on a service of a node."""

    verb: str = ""
    node: str = ""
    service: Service = Service()


class CheckOperation(Body, frozen=True):
    """An operation on a check."""

    verb: str = ""
    check: Check = Check()


class Operation(Body, frozen=True):
    """One operation: the first field that is set counts."""

    kv: KVOperation | None = None
    node: NodeOperation | None = None
    service: ServiceOperation | None = None
    check: CheckOperation | None = None

    @property
    def writes(self) -> bool:
        """Whether Consul routes it as a write; unknown KV verbs count as reads there."""
        if self.kv is not None:
            return self.kv.verb in KV_WRITES
        others = (self.node, self.service, self.check)
        return any(each is not None and each.verb != "get" for each in others)


class TransactionFailed(Exception):
    """Nothing was done. `errors` are positions of operations with what is wrong with them."""

    def __init__(self, errors: list[tuple[int, str]]) -> None:
        self.errors = errors
        super().__init__(errors)


def run(state: State, operations: Sequence[Operation]) -> list[Result]:
    """Do all operations. Raises TransactionFailed."""
    _all(operations, lambda operation: _validate(state, operation))
    with state.change():
        return _all(operations, lambda operation: _apply(state, operation))


def _all(
    operations: Sequence[Operation], do: Callable[[Operation], Sequence[Result]]
) -> list[Result]:
    """Do every operation, even after one failed, so that the errors are complete."""
    results: list[Result] = []
    errors: list[tuple[int, str]] = []
    for position, operation in enumerate(operations):
        try:
            results += do(operation)
        except Refused as refused:
            errors.append((position, refused.text))
    if errors:
        raise TransactionFailed(errors)
    return results


def _validate(state: State, operation: Operation) -> list[Result]:
    """What can be refused before anything is done."""
    kv, service = operation.kv, operation.service
    if kv is not None:
        if not kv.key:
            raise Refused("Must provide key")
        if kv.verb == "lock":
            state.sessions.require(kv.session)
            if state.kv.is_delayed(kv.key):
                raise Refused(f'failed to lock key "{kv.key}" due to lock delay')
    elif service is not None and service.verb != "get" and not service.service.service:
        raise Refused("Must provide service name with ID")
    return []


def _apply(state: State, operation: Operation) -> list[Result]:
    if operation.kv is not None:
        return _apply_kv(state.kv, operation.kv)
    if operation.node is not None:
        return _apply_node(state, operation.node)
    if operation.service is not None:
        return _apply_service(state, operation.service)
    if operation.check is not None:
        return _apply_check(state, operation.check)
    return []


# --- keys ---


def _apply_kv(kv: KeyValues, wanted: KVOperation) -> list[Result]:
    if wanted.verb in _KV_ENTRY_WRITES:
        write, problem = _KV_ENTRY_WRITES[wanted.verb]
        written = write(
            kv,
            Entry(
                key=wanted.key,
                value=wanted.value,
                flags=wanted.flags,
                session=wanted.session,
                modify_index=wanted.index,
            ),
        )
        if written is None:
            raise Refused(problem.format(key=wanted.key))
        return [msgspec.structs.replace(written, value=None)]
    if wanted.verb in _KV_OTHERS:
        return _KV_OTHERS[wanted.verb](kv, wanted)
    raise Refused(f'unknown KV verb "{wanted.verb}"')


def _delete(kv: KeyValues, wanted: KVOperation) -> list[Result]:
    kv.delete(wanted.key)
    return []


def _delete_tree(kv: KeyValues, wanted: KVOperation) -> list[Result]:
    kv.delete_tree(wanted.key)
    return []


def _delete_cas(kv: KeyValues, wanted: KVOperation) -> list[Result]:
    if not kv.delete_cas(wanted.key, wanted.index):
        raise Refused(f'failed to delete key "{wanted.key}", index is stale')
    return []


def _get(kv: KeyValues, wanted: KVOperation) -> list[Result]:
    return [_existing(kv, wanted)]


def _get_tree(kv: KeyValues, wanted: KVOperation) -> list[Result]:
    return [*kv.under(wanted.key)]


def _check_not_exists(kv: KeyValues, wanted: KVOperation) -> list[Result]:
    if kv.get(wanted.key) is not None:
        raise Refused(f'key "{wanted.key}" exists')
    return []


def _check_index(kv: KeyValues, wanted: KVOperation) -> list[Result]:
    entry = _existing(kv, wanted, "failed to check index, ")
    if entry.modify_index != wanted.index:
        now = f"current modify index {entry.modify_index} != {wanted.index}"
        raise Refused(f'failed index check for key "{wanted.key}", {now}')
    return [msgspec.structs.replace(entry, value=None)]


def _check_session(kv: KeyValues, wanted: KVOperation) -> list[Result]:
    entry = _existing(kv, wanted, "failed to check session, ")
    if entry.session != wanted.session:
        now = f'current session "{entry.session}" != "{wanted.session}"'
        raise Refused(f'failed session check for key "{wanted.key}", {now}')
    return [msgspec.structs.replace(entry, value=None)]


def _existing(kv: KeyValues, wanted: KVOperation, failed: str = "") -> Entry:
    entry = kv.get(wanted.key)
    if entry is None:
        raise Refused(f'{failed}key "{wanted.key}" doesn\'t exist')
    return entry


_KV_ENTRY_WRITES: dict[str, tuple[Callable[[KeyValues, Entry], Entry | None], str]] = {
    "set": (KeyValues.set, ""),
    "cas": (KeyValues.cas, 'failed to set key "{key}", index is stale'),
    "lock": (KeyValues.lock, 'failed to lock key "{key}", lock is already held'),
    "unlock": (
        KeyValues.unlock,
        'failed to unlock key "{key}", lock isn\'t held, or is held by another session',
    ),
}
_KV_OTHERS: dict[str, Callable[[KeyValues, KVOperation], list[Result]]] = {
    "delete": _delete,
    "delete-tree": _delete_tree,
    "delete-cas": _delete_cas,
    "get": _get,
    "get-tree": _get_tree,
    "check-not-exists": _check_not_exists,
    "check-index": _check_index,
    "check-session": _check_session,
}
KV_WRITES = frozenset({*_KV_ENTRY_WRITES, "delete", "delete-tree", "delete-cas"})


# --- nodes, services, checks: the same verbs ---


@dataclass(frozen=True)
class _Target:
    """A record of the catalog: what it is called in errors, what it is now, how to change it."""

    kind: str
    called: str
    present: Node | Service | Check | None
    expected_index: int
    write: Callable[[], Result]
    remove: Callable[[], None]

    def apply(self, verb: str) -> list[Result]:
        if verb == "get":
            if self.present is None:
                raise Refused(f"{self.called} doesn't exist")
            return [self.present]
        if verb in ("set", "cas"):
            # A cas with index 0 stands for "if there is none".
            if verb == "cas" and self.expected_index != self._index:
                raise Refused(f"failed to set {self.called}, index is stale")
            return [self.write()]
        if verb in ("delete", "delete-cas"):
            stale = self.present is None or self.expected_index != self._index
            if verb == "delete-cas" and stale:
                raise Refused(f"failed to delete {self.called}, index is stale")
            self.remove()
            return []
        raise Refused(f'unknown {self.kind} verb "{verb}"')

    @property
    def _index(self) -> int:
        return self.present.modify_index if self.present is not None else 0


def _apply_node(state: State, wanted: NodeOperation) -> list[Result]:
    catalog, node = state.catalog, wanted.node
    target = _Target(
        "Node",
        f'node "{node.node}"',
        catalog.node(node.node),
        node.modify_index,
        lambda: catalog.set_node(node),
        lambda: catalog.remove_node(node.node),
    )
    return target.apply(wanted.verb)


def _apply_service(state: State, wanted: ServiceOperation) -> list[Result]:
    catalog, service = state.catalog, wanted.service
    target = _Target(
        "Service",
        f'service "{service.id}" on node "{wanted.node}"',
        catalog.service(wanted.node, service.id),
        service.modify_index,
        lambda: catalog.set_service(wanted.node, service),
        lambda: catalog.remove_service(wanted.node, service.id),
    )
    return target.apply(wanted.verb)


def _apply_check(state: State, wanted: CheckOperation) -> list[Result]:
    catalog, check = state.catalog, wanted.check
    target = _Target(
        "Check",
        f'check "{check.check_id}" on node "{check.node}"',
        catalog.check(check.node, check.check_id),
        check.modify_index,
        lambda: catalog.set_check(check),
        lambda: catalog.remove_check(check.node, check.check_id),
    )
    return target.apply(wanted.verb)
