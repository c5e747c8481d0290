"""Changes of a catalog between two rounds of questions."""

import random
from collections.abc import Callable
from dataclasses import replace

from consuldns.names import parse_address
from tests.differential.catalog import (
    Catalog,
    Check,
    Instance,
    Node,
    delete_key,
    deregister,
    put_key,
    register_instance,
    register_node,
)
from tests.differential.clusters import names_of
from tests.differential.generate import STATUSES
from tests.support.consul_agent import ConsulAgent

CHANGES_IN_A_ROUND = 12
FEWEST = 8  # nodes, and keys: below that none is removed

Change = Callable[[ConsulAgent, Catalog, random.Random], Catalog]


def change(agent: ConsulAgent, catalog: Catalog, chance: random.Random) -> Catalog:
    """Make a few changes in the Consul; the catalog that it holds then."""
    for _ in range(CHANGES_IN_A_ROUND):
        catalog = chance.choice(CHANGES)(agent, catalog, chance)
    return catalog


def _move_node(agent: ConsulAgent, catalog: Catalog, chance: random.Random) -> Catalog:
    """A node takes the address and the metadata of another, a hostname for a hostname."""
    old = chance.choice(catalog.nodes)
    is_host = parse_address(old.address) is None
    alike = [each for each in catalog.nodes if (parse_address(each.address) is None) == is_host]
    model = chance.choice(alike)
    new = replace(old, address=model.address, meta=model.meta)
    register_node(agent, new)
    return catalog.replace_node(old, new)


def _remove_node(agent: ConsulAgent, catalog: Catalog, chance: random.Random) -> Catalog:
    if len(catalog.nodes) < FEWEST:
        return catalog
    old = chance.choice(catalog.nodes)
    deregister(agent, old.name)
    return catalog.replace_node(old, None)


def _change_instance(agent: ConsulAgent, catalog: Catalog, chance: random.Random) -> Catalog:
    """An instance takes tags, address, weights and the state of its checks from another."""
    node = _node_with_instances(catalog, chance)
    old, (_, model) = chance.choice(node.instances), chance.choice([*catalog.instances()])
    checks = tuple(Check(check.id, chance.choice(STATUSES)) for check in old.checks)
    new = replace(
        old,
        address="" if "service" in model.address else model.address,
        port=(model.port or old.port) if old.proxy_of else model.port,  # a proxy must have one
        tags=model.tags,
        weights=model.weights,
        checks=checks,
    )
    register_instance(agent, node, new)
    return _with_instances(catalog, node, [new if each is old else each for each in node.instances])


def _add_instance(agent: ConsulAgent, catalog: Catalog, chance: random.Random) -> Catalog:
    """A node gets an instance like that of another node, if it has none of that id."""
    node = chance.choice(catalog.nodes)
    _, model = chance.choice([*catalog.instances()])
    if "service" in model.address or model.id in [each.id for each in node.instances]:
        return catalog
    new = replace(model, checks=())
    register_instance(agent, node, new)
    return _with_instances(catalog, node, [*node.instances, new])


def _remove_instance(agent: ConsulAgent, catalog: Catalog, chance: random.Random) -> Catalog:
    node = _node_with_instances(catalog, chance)
    old = chance.choice(node.instances)
    deregister(agent, node.name, old.id)
    return _with_instances(catalog, node, [each for each in node.instances if each is not old])


def _check_node(agent: ConsulAgent, catalog: Catalog, chance: random.Random) -> Catalog:
    """A check of a node comes, or changes its state."""
    old = chance.choice(catalog.nodes)
    new = replace(
        old, checks=(Check(f"node-{old.name}-0", chance.choice(STATUSES)), *old.checks[1:])
    )
    register_node(agent, replace(new, instances=()))
    return catalog.replace_node(old, new)


def _change_key(agent: ConsulAgent, catalog: Catalog, chance: random.Random) -> Catalog:
    """A key takes the value of another."""
    key, value = chance.choice([*catalog.keys]), chance.choice([*catalog.keys.values()])
    put_key(agent, key, value)
    return replace(catalog, keys=catalog.keys | {key: value})


def _remove_key(agent: ConsulAgent, catalog: Catalog, chance: random.Random) -> Catalog:
    if len(catalog.keys) < FEWEST:
        return catalog
    removed = chance.choice([*catalog.keys])
    delete_key(agent, removed)
    left = {key: value for key, value in catalog.keys.items() if key != removed}
    return replace(catalog, keys=left)


def _change_descriptor(agent: ConsulAgent, catalog: Catalog, chance: random.Random) -> Catalog:
    """A Kubernetes service takes the address of another."""
    services = [key for key in catalog.descriptors if names_of(key)]
    key, other = chance.choice(services), chance.choice(services)
    value = catalog.descriptors[other]
    put_key(agent, key, value)
    return replace(catalog, descriptors=catalog.descriptors | {key: value})


def _remove_descriptor(agent: ConsulAgent, catalog: Catalog, chance: random.Random) -> Catalog:
    services = [key for key in catalog.descriptors if names_of(key)]
    if len(services) < FEWEST:
        return catalog
    removed = chance.choice(services)
    delete_key(agent, removed)
    left = {key: value for key, value in catalog.descriptors.items() if key != removed}
    return replace(catalog, descriptors=left)


CHANGES: tuple[Change, ...] = (
    _move_node,
    _remove_node,
    _change_instance,
    _change_instance,
    _add_instance,
    _add_instance,
    _remove_instance,
    _check_node,
    _change_key,
    _remove_key,
    _change_descriptor,
    _remove_descriptor,
)


def _node_with_instances(catalog: Catalog, chance: random.Random) -> Node:
    return chance.choice([node for node in catalog.nodes if node.instances])


def _with_instances(catalog: Catalog, node: Node, instances: list[Instance]) -> Catalog:
    return catalog.replace_node(node, replace(node, instances=tuple(instances)))
