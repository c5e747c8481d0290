"""Records as Consul's JSON shows them: what is left out when empty, what is null, what is `[]`."""

from collections.abc import Sequence
from typing import Any

import msgspec

from consuldns.agent.catalog import Instance
from consuldns.agent.records import Check, Entry, Node, Record, Service, Session, Weights

JSON = dict[str, Any]


def indexes(record: Record) -> JSON:
    """The two indexes, which come last in every record."""
    return {"CreateIndex": record.create_index, "ModifyIndex": record.modify_index}


def node(node: Node) -> JSON:
    """A node, in the catalog and in health entries."""
    return {
        "ID": node.id,
        "Node": node.node,
        "Address": node.address,
        "Datacenter": node.datacenter,
        "TaggedAddresses": node.tagged_addresses,
        "Meta": node.meta,
    } | indexes(node)


def _proxy(service: Service) -> JSON:
    return (service.proxy or {}) | {"MeshGateway": {}, "Expose": {}}


def service(service: Service, *, tags: Sequence[str] | None = ()) -> JSON:
    """A service of a node; `tags` is what stands for no tags (null in transactions)."""
    fields: JSON = {"Kind": service.kind} if service.kind else {}
    fields |= {
        "ID": service.id,
        "Service": service.service,
        "Tags": service.tags or tags,
        "Address": service.address,
    }
    if service.tagged_addresses:
        fields["TaggedAddresses"] = service.tagged_addresses
    fields |= {
        "Meta": service.meta,
        "Port": service.port,
        "Weights": service.weights,
        "EnableTagOverride": service.enable_tag_override,
        "Proxy": _proxy(service),
        "Connect": service.connect or {},
    }
    return fields | indexes(service)


def catalog_service(instance: Instance) -> JSON:
    """An instance in `/v1/catalog/service`: node and service in one."""
    node, service = instance.node, instance.service
    fields: JSON = {
        "ID": node.id,
        "Node": node.node,
        "Address": node.address,
        "Datacenter": node.datacenter,
        "TaggedAddresses": node.tagged_addresses,
        "NodeMeta": node.meta,
        "ServiceKind": service.kind,
        "ServiceID": service.id,
        "ServiceName": service.service,
        "ServiceTags": service.tags or [],
        "ServiceAddress": service.address,
    }
    if service.tagged_addresses:
        fields["ServiceTaggedAddresses"] = service.tagged_addresses
    fields |= {
        "ServiceWeights": service.weights,
        "ServiceMeta": service.meta or {},
        "ServicePort": service.port,
        "ServiceEnableTagOverride": service.enable_tag_override,
        "ServiceProxy": _proxy(service),
        "ServiceConnect": service.connect or {},
    }
    return fields | indexes(service)


def health_entry(instance: Instance) -> JSON:
    """An instance in `/v1/health/service`."""
    return {
        "Node": node(instance.node),
        "Service": service(instance.service),
        "Checks": [check(each) for each in instance.checks],
    }


def check(check: Check, *, tags: Sequence[str] | None = ()) -> JSON:
    """A check; `tags` is what stands for no tags (null in transactions)."""
    return {
        "Node": check.node,
        "CheckID": check.check_id,
        "Name": check.name,
        "Status": check.status,
        "Notes": check.notes,
        "Output": check.output,
        "ServiceID": check.service_id,
        "ServiceName": check.service_name,
        "ServiceTags": check.service_tags or tags,
        "Type": check.type,
        "Definition": check.definition or {},
    } | indexes(check)


def entry(entry: Entry) -> JSON:
    """A key of the KV store; `Session` only while it is locked."""
    fields: JSON = {
        "LockIndex": entry.lock_index,
        "Key": entry.key,
        "Flags": entry.flags,
        "Value": entry.value,
    }
    if entry.session:
        fields["Session"] = entry.session
    return fields | indexes(entry)


def session(session: Session) -> JSON:
    """A session."""
    fields: JSON = {
        "ID": session.id,
        "Name": session.name,
        "Node": session.node,
        "LockDelay": session.lock_delay,
        "Behavior": session.behavior,
        "TTL": session.ttl,
        "NodeChecks": session.node_checks,
        "ServiceChecks": session.service_checks,
    }
    return fields | indexes(session)


def agent_service(service: Service) -> JSON:
    """A service in `/v1/agent/services`."""
    fields: JSON = {"Kind": service.kind} if service.kind else {}
    fields |= {
        "ID": service.id,
        "Service": service.service,
        "Tags": service.tags or [],
        "Meta": service.meta or {},
        "Port": service.port,
        "Address": service.address,
    }
    if service.tagged_addresses:
        fields["TaggedAddresses"] = service.tagged_addresses
    fields |= {
        "Weights": service.weights or Weights(1, 1),
        "EnableTagOverride": service.enable_tag_override,
    }
    if service.proxy:
        fields["Proxy"] = _proxy(service)
    if service.connect:
        fields["Connect"] = service.connect
    return fields


def agent_check(check_: Check) -> JSON:
    """A check in `/v1/agent/checks`: an agent does not know the indexes."""
    return check(msgspec.structs.replace(check_, create_index=0, modify_index=0))


def transaction_result(record: Entry | Node | Service | Check) -> JSON:
    """A result of a transaction, under the name of its kind."""
    if isinstance(record, Entry):
        return {"KV": entry(record)}
    if isinstance(record, Node):
        return {"Node": node(record)}
    if isinstance(record, Service):
        return {"Service": service(record, tags=None)}
    return {"Check": check(record, tags=None)}
