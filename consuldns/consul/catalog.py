"""Registering and unregistering: what the Kubernetes sync worker needs of Consul.

Large replies are decoded entry by entry, so that 50,000 instances never are Python objects at the
same time.
"""

import base64
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from consuldns import descriptor
from consuldns.consul.http import replies
from consuldns.consul.http.client import Client
from consuldns.consul.http.datacenter import local_datacenter
from consuldns.consul.operations import (
    PASSING,
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
from consuldns.errors import BadResponse, Denied, NotFound, TransactionRefused
from consuldns.untrusted import Part, split_list, split_object

CONSISTENT = {"consistent": ""}
LARGE_DEADLINE = 60.0  # seconds; 50,000 instances are 40 MB and take some
CHECK = "k8s-ready/"
NOTHING = 'ID == ""'  # a filter that no instance passes: only the index is wanted


@dataclass(frozen=True)
class _NodeServices:
    node: replies.Node | None = None
    services: Sequence[Part] = ()


class Catalog:
    """Consul's catalog, KV tree and sessions, for one that writes. All raise ConsulError."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def read_credentials_again(self) -> bool:
        """As `Client.read_credentials_again`."""
        return self._client.read_credentials_again()

    async def datacenter(self) -> str:
        """The datacenter of the agent that is asked, or the one that is set."""
        return await local_datacenter(self._client)

    async def version(self) -> str:
        """The agent's name and Consul's version, for people."""
        try:
            reply = await self._client.get("v1", "agent", "self")
        except Denied:
            return "agent, version unknown (the token lacks agent:read)"
        config = replies.decode(reply.body, replies.AgentSelf).config
        return f"{config.node_name} {config.version}"

    async def node(self, name: str) -> Node | None:
        """A node of the catalog."""
        found = await self._node_services(name, {**CONSISTENT, "filter": NOTHING})
        if found.node is None:
            return None
        return _node(found.node)

    async def kubernetes_nodes(self) -> list[Node]:
        """The nodes that say that their instances come from Kubernetes, by us or by consul-k8s."""
        source = f"{descriptor.SOURCE}:{descriptor.KUBERNETES}"
        query = {**CONSISTENT, "node-meta": source}
        reply = await self._client.get("v1", "catalog", "nodes", query=query)
        return [_node(each) for each in replies.decode_list(reply.body, replies.Node)]

    async def _node_services(self, name: str, query: dict[str, str]) -> _NodeServices:
        reply = await self._client.get(
            "v1", "catalog", "node-services", name, query=query, deadline=LARGE_DEADLINE
        )
        return _NodeServices() if _is_null(reply.body) else _split(reply.body)

    async def instances(self, node: str) -> AsyncIterator[StoredInstance]:
        """All instances on a node. One whose check passes, or that has none, is passing."""
        query = {**CONSISTENT, "filter": f'Status != "{PASSING}"'}
        reply = await self._client.get(
            "v1", "health", "node", node, query=query, deadline=LARGE_DEADLINE
        )
        readable, _ = replies.decode_records(reply.body, replies.NODE_CHECKS)
        checks = {each.check_id: each for each in readable}
        found = await self._node_services(node, CONSISTENT)
        for raw in found.services:
            # One that cannot be read is not one of ours, or is to be written anew.
            with suppress(BadResponse):
                yield _stored(replies.decode(raw, replies.StoredService), checks)

    async def keys(self, prefix: str) -> AsyncIterator[StoredKey]:
        """All keys that begin so."""
        try:
            reply = await self._client.get(
                "v1", "kv", prefix, query={**CONSISTENT, "recurse": ""}, deadline=LARGE_DEADLINE
            )
        except NotFound:
            return
        with replies.understanding():
            parts = split_list(reply.body)
        for raw in parts:
            yield _stored_key(replies.decode(raw, replies.StoredKeyValue))

    async def key(
        self, path: str, *, after: int = 0, wait: float = 0
    ) -> tuple[StoredKey | None, int]:
        """A key, and the index to wait after. With `after`, wait that long for a change."""
        try:
            reply = await self._client.get(
                "v1", "kv", path, query=_blocking(after, wait), deadline=_deadline(wait)
            )
        except NotFound as error:
            return None, error.index
        found = replies.decode_list(reply.body, replies.StoredKeyValue)
        return _stored_key(found[0]) if found else None, reply.index

    async def service_names(self) -> frozenset[str]:
        """The names of all services of the catalog, in lower case."""
        reply = await self._client.get("v1", "catalog", "services", query=CONSISTENT)
        with replies.understanding():
            return frozenset(name.lower() for name in split_object(reply.body))

    async def service_tags(self) -> dict[str, frozenset[str]]:
        """The tags of each service of the catalog."""
        reply = await self._client.get("v1", "catalog", "services", query=CONSISTENT)
        return replies.decode_service_tags(reply.body)[0]

    async def node_names(self) -> list[str]:
        """The names of all nodes of the catalog."""
        reply = await self._client.get(
            "v1", "catalog", "nodes", query=CONSISTENT, deadline=LARGE_DEADLINE
        )
        return [each.name for each in replies.decode_list(reply.body, replies.Node)]

    async def changed(self, resource: str, *, after: int, wait: float) -> int:
        """Wait until `node:<name>` or `keys:<prefix>` may have changed; the index to wait after."""
        kind, _, name = resource.partition(":")
        query = _blocking(after, wait)
        try:
            if kind == "node":
                path: tuple[str, ...] = ("v1", "catalog", "node-services", name)
                query["filter"] = NOTHING
            else:
                path = ("v1", "kv", name)
                query |= {"keys": "", "separator": "/"}
            return (await self._client.get(*path, query=query, deadline=_deadline(wait))).index
        except NotFound as error:
            return error.index

    async def apply(self, operations: Sequence[Operation], lock: Lock | None) -> list[int]:
        """Do all operations or none; the index of what each left behind, 0 for removals.

        Raises LockLost if the lock is not held any more, else TransactionRefused, without reasons
        if Consul did not say which operation it does not like.
        """
        first = [_check_lock(lock)] if lock is not None else []
        try:
            reply = await self._client.transaction(first + [_rendered(each) for each in operations])
        except TransactionRefused as error:
            if lock is None:
                raise
            if any(position == 0 for position, _ in error.reasons):
                raise LockLost(f"the lock {lock.key} is no longer ours") from error
            reasons = tuple((position - 1, reason) for position, reason in error.reasons)
            raise TransactionRefused(reasons) from error
        except BadResponse as error:
            if 400 <= error.status < 500:  # 400: not understood, 413: too large
                raise TransactionRefused(()) from error
            raise
        results = replies.decode(reply.body, replies.TransactionResults).results or []
        return _indexes(operations, results, len(first))

    async def create_session(self, node: str, name: str, ttl: int) -> str:
        """A session; the keys that it holds vanish with it, and are free at once.

        It ends `ttl` to twice `ttl` seconds after its last renewal, or with the node. Checks are
        named as none, because Consul would take the agent's own, which this node has not.
        """
        session = {
            "Node": node,
            "Name": name,
            "TTL": f"{ttl}s",
            "Behavior": "delete",
            "LockDelay": "0s",
            "NodeChecks": [],
        }
        body = msgspec.json.encode(session)
        reply = await self._client.put("v1", "session", "create", body=body)
        return replies.decode(reply.body, replies.Session).id

    async def session_name(self, session: str) -> str | None:
        """The name that a session was given; None: there is no such session."""
        reply = await self._client.get("v1", "session", "info", session, query=CONSISTENT)
        found = replies.decode_list(reply.body, replies.Session)
        return found[0].name if found else None

    async def renew_session(self, session: str) -> bool:
        """Whether the session still is there."""
        try:
            await self._client.put("v1", "session", "renew", session)
        except NotFound:
            return False
        return True

    async def destroy_session(self, session: str) -> None:
        """End a session."""
        await self._client.put("v1", "session", "destroy", session)

    async def acquire(self, path: str, value: bytes, session: str) -> bool:
        """Lock a key; whether the session holds it now."""
        reply = await self._client.put("v1", "kv", path, body=value, query={"acquire": session})
        return reply.body.strip() == b"true"

    async def release(self, path: str, session: str) -> None:
        """Unlock and remove a key that the session holds."""
        check = {"KV": {"Verb": "check-session", "Key": path, "Session": session}}
        await self._client.transaction([check, {"KV": {"Verb": "delete", "Key": path}}])


def _split(body: bytes) -> _NodeServices:
    with replies.understanding():
        parts = split_object(body)
        node = replies.decode_optional(parts.get("Node", b"null"), replies.Node)
        return _NodeServices(node, split_list(parts.get("Services", b"null")))


def _node(record: replies.Node) -> Node:
    return Node(record.name, record.address, record.meta or {})


def _is_null(content: bytes) -> bool:
    return content.strip() == b"null"  # Go's way to say "none"


def _blocking(after: int, wait: float) -> dict[str, str]:
    if not after or not wait:
        return dict(CONSISTENT)
    return {"index": str(after), "wait": f"{wait:g}s"}


def _deadline(wait: float) -> float:
    return wait * 17 / 16 + 10.0  # Consul adds up to a sixteenth, and waits 7 s for a leader


def _stored(
    service: replies.StoredService, checks: Mapping[str, replies.NodeCheck]
) -> StoredInstance:
    check = checks.get(CHECK + service.id)
    instance = Instance(
        id=service.id,
        service=service.name,
        address=service.address,
        port=service.port,
        tags=service.tags or (),
        meta=service.meta or {},
        weight=service.weights.passing if service.weights is not None else 1,
        status=check.status if check is not None else PASSING,
        output=check.output if check is not None else "",
    )
    return StoredInstance(instance, service.modify_index)


def _stored_key(found: replies.StoredKeyValue) -> StoredKey:
    key = Key(found.key, found.value or b"", found.flags)
    return StoredKey(key, found.modify_index, found.session)


def _indexes(
    operations: Sequence[Operation], results: Sequence[replies.OperationResult], skipped: int
) -> list[int]:
    """The index of each operation's result; removals have none."""
    following: Iterator[replies.OperationResult] = iter(results[skipped:])
    indexes = []
    for operation in operations:
        if isinstance(operation, RemoveInstance | RemoveKey | RemoveNode):
            indexes.append(0)
            continue
        result = next(following, replies.OperationResult())
        indexed = result.kv or result.service or replies.Indexed()
        indexes.append(indexed.modify_index)
    return indexes


def _check_lock(lock: Lock) -> dict[str, object]:
    return {"KV": {"Verb": "check-session", "Key": lock.key, "Session": lock.session}}


def _rendered(operation: Operation) -> dict[str, object]:
    """The operation as /v1/txn takes it."""
    match operation:
        case SetNode(node=node, is_new=is_new):
            fields = {"Node": node.name, "Address": node.address, "Meta": node.meta}
            if is_new:
                return {"Node": {"Verb": "cas", "Node": {**fields, "ModifyIndex": 0}}}
            return {"Node": {"Verb": "set", "Node": fields}}
        case RemoveNode(node=name):
            return {"Node": {"Verb": "delete", "Node": {"Node": name}}}
        case SetInstance(node=name, instance=instance):
            return {"Service": {"Verb": "set", "Node": name, "Service": _service(instance)}}
        case SetCheck(node=name, instance=instance):
            return {"Check": {"Verb": "set", "Check": _check(name, instance)}}
        case RemoveInstance(node=name, id=id_, service=service, index=index):
            removed = {"ID": id_, "Service": service, "ModifyIndex": index}
            return {"Service": {"Verb": "delete-cas", "Node": name, "Service": removed}}
        case SetKey(key=key, index=index):
            value = base64.b64encode(key.value).decode()
            written = {"Key": key.path, "Value": value, "Flags": key.flags, "Index": index}
            return {"KV": {"Verb": "cas", **written}}
        case RemoveKey(path=path, index=index):
            return {"KV": {"Verb": "delete-cas", "Key": path, "Index": index}}


def _service(instance: Instance) -> dict[str, object]:
    return {
        "ID": instance.id,
        "Service": instance.service,
        "Address": instance.address,
        "Port": instance.port,
        "Tags": instance.tags,
        "Meta": instance.meta,
        # An instance in state warning counts less where others pass.
        "Weights": {"Passing": instance.weight, "Warning": 1},
    }


def _check(node: str, instance: Instance) -> dict[str, object]:
    return {
        "Node": node,
        "CheckID": CHECK + instance.id,
        "Name": "Kubernetes readiness",
        "Status": instance.status,
        "Output": instance.output,
        "ServiceID": instance.id,
        "ServiceName": instance.service,  # without it, 1.8.7 denies what service:write allows
    }
