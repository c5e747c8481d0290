"""A catalog as plain data, and how it is registered in a Consul."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.support.consul_agent import ConsulAgent


@dataclass(frozen=True)
class Check:
    """A check of a node, or of an instance if it hangs on one. `status` is any text."""

    id: str
    status: str


@dataclass(frozen=True)
class Instance:
    """An instance of a service. Its id is unique on its node; an empty address is the node's."""

    id: str
    service: str
    address: str = ""
    port: int = 0
    tags: tuple[str, ...] = ()
    tagged_addresses: dict[str, tuple[str, int]] = field(default_factory=dict)
    weights: tuple[int, int] | None = None  # passing, warning
    meta: dict[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    proxy_of: str = ""  # the service whose mesh connections it accepts


@dataclass(frozen=True)
class Query:
    """A prepared query for the instances of a service. `ttl` is a duration, or empty."""

    name: str
    service: str
    only_passing: bool = False
    ttl: str = ""


@dataclass(frozen=True)
class Node:
    """A node with its instances."""

    name: str
    address: str
    id: str = ""
    tagged_addresses: dict[str, str] = field(default_factory=dict)
    meta: dict[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    instances: tuple[Instance, ...] = ()


@dataclass(frozen=True)
class Catalog:
    """Everything that a run registers: nodes, and keys of the KV tree with their values.

    `descriptors` are keys as well: those of Kubernetes services.
    """

    nodes: tuple[Node, ...]
    keys: dict[str, str]
    descriptors: dict[str, str] = field(default_factory=dict)
    queries: tuple[Query, ...] = ()

    def instances(self) -> Iterable[tuple[Node, Instance]]:
        """Each instance with its node."""
        return ((node, instance) for node in self.nodes for instance in node.instances)

    def replace_node(self, old: Node, new: Node | None) -> "Catalog":
        """The catalog with another node in that place, or without it."""
        nodes = tuple(new if node is old else node for node in self.nodes)
        return dataclasses.replace(self, nodes=tuple(node for node in nodes if node is not None))


def register(agent: ConsulAgent, catalog: Catalog) -> None:
    """Write the whole catalog."""
    for node in catalog.nodes:
        register_node(agent, node)
    for key, value in (*catalog.keys.items(), *catalog.descriptors.items()):
        put_key(agent, key, value)
    for query in catalog.queries:
        service = {"Service": query.service, "OnlyPassing": query.only_passing}
        body = {"Name": query.name, "Service": service, "DNS": {"TTL": query.ttl}}
        agent.client.post("/v1/query", json=body).raise_for_status()


def register_node(agent: ConsulAgent, node: Node) -> None:
    """Write a node with its checks, then each of its instances."""
    agent.put("/v1/catalog/register", _node_body(node) | {"Checks": _checks(node, node.checks, "")})
    for instance in node.instances:
        register_instance(agent, node, instance)


def register_instance(agent: ConsulAgent, node: Node, instance: Instance) -> None:
    """Write one instance with its checks."""
    body = {"Node": node.name, "Address": node.address, "SkipNodeUpdate": True}
    checks = _checks(node, instance.checks, instance.id)
    agent.put("/v1/catalog/register", body | {"Service": _service(instance), "Checks": checks})


def deregister(agent: ConsulAgent, node: str, instance: str = "", check: str = "") -> None:
    """Remove a check, an instance, or (with neither) the whole node."""
    body = {"Node": node}
    if instance:
        body["ServiceID"] = instance
    if check:
        body["CheckID"] = check
    agent.put("/v1/catalog/deregister", body)


def put_key(agent: ConsulAgent, key: str, value: str) -> None:
    """Write a key of the KV tree."""
    reply = agent.client.put(f"/v1/kv/{quote(key)}", content=value.encode())
    reply.raise_for_status()


def delete_key(agent: ConsulAgent, key: str) -> None:
    """Remove a key of the KV tree."""
    agent.client.delete(f"/v1/kv/{quote(key)}").raise_for_status()


def _node_body(node: Node) -> dict[str, Any]:
    return {
        "Node": node.name,
        "Address": node.address,
        "ID": node.id,
        "TaggedAddresses": node.tagged_addresses,
        "NodeMeta": node.meta,
    }


def _service(instance: Instance) -> dict[str, Any]:
    body: dict[str, Any] = {
        "ID": instance.id,
        "Service": instance.service,
        "Address": instance.address,
        "Port": instance.port,
        "Tags": list(instance.tags),
        "Meta": instance.meta,
        "TaggedAddresses": {
            tag: {"Address": address, "Port": port}
            for tag, (address, port) in instance.tagged_addresses.items()
        },
    }
    if instance.proxy_of:
        body["Kind"] = "connect-proxy"
        body["Proxy"] = {"DestinationServiceName": instance.proxy_of}
    if instance.weights is not None:
        body["Weights"] = dict(zip(("Passing", "Warning"), instance.weights, strict=True))
    return body


def _checks(node: Node, checks: Iterable[Check], instance: str) -> list[dict[str, str]]:
    return [
        {
            "Node": node.name,
            "CheckID": check.id,
            "Name": check.id,
            "Status": check.status,
            "ServiceID": instance,
        }
        for check in checks
    ]
