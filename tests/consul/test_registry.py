"""Registering and unregistering: the same on a real Consul as in the tests' memory."""

from collections.abc import AsyncIterator

import pytest

from consuldns.config.schema import ConsulSettings
from consuldns.consul.catalog import Catalog
from consuldns.consul.http.client import Client
from consuldns.consul.operations import (
    Instance,
    Key,
    Lock,
    LockLost,
    Node,
    RemoveInstance,
    RemoveKey,
    RemoveNode,
    SetCheck,
    SetInstance,
    SetKey,
    SetNode,
)
from consuldns.errors import TransactionRefused
from tests.kubernetes.memory_catalog import MemoryCatalog
from tests.support.consul_agent import ConsulAgent

AnyCatalog = Catalog | MemoryCatalog
NODE = Node("k8s-test", "192.0.2.1", {"a": "b"})
WEB = Instance("x/web/1", "web", "10.0.0.1", 80, ("k8s",), {"k": "v"}, 3, "warning", "why")


@pytest.fixture(params=["real", "memory"])
async def registry(request: pytest.FixtureRequest) -> AsyncIterator[AnyCatalog]:
    if request.param == "memory":
        yield MemoryCatalog()
        return
    with ConsulAgent() as agent:
        client = Client(ConsulSettings(address=agent.url))
        yield Catalog(client)
        await client.aclose()


async def stored(registry: AnyCatalog) -> list[Instance]:
    return [each.instance async for each in registry.instances(NODE.name)]


async def keys(registry: AnyCatalog, prefix: str) -> dict[str, bytes]:
    return {each.key.path: each.key.value async for each in registry.keys(prefix)}


async def test_nodes(registry: AnyCatalog) -> None:
    assert await registry.node(NODE.name) is None
    await registry.apply([SetNode(NODE, is_new=True)], None)
    assert await registry.node(NODE.name) == NODE
    with pytest.raises(TransactionRefused) as refused:
        await registry.apply([SetNode(NODE, is_new=True)], None)
    assert [position for position, _ in refused.value.reasons] == [0]
    changed = Node(NODE.name, NODE.address, {"a": "c"})
    await registry.apply([SetNode(changed)], None)
    assert await registry.node(NODE.name) == changed
    await registry.apply([RemoveNode(NODE.name)], None)
    assert await registry.node(NODE.name) is None


async def test_nodes_that_come_from_kubernetes(registry: AnyCatalog) -> None:
    synced = Node("k8s-sync", "127.0.0.1", {"external-source": "kubernetes"})
    await registry.apply([SetNode(NODE), SetNode(synced)], None)
    assert await registry.kubernetes_nodes() == [synced]


async def test_an_instance_comes_back_as_it_was_written(registry: AnyCatalog) -> None:
    await registry.apply([SetNode(NODE)], None)
    indexes = await registry.apply(
        [SetInstance(NODE.name, WEB), SetCheck(NODE.name, WEB), SetKey(Key("k", b"v", 2**62), 0)],
        None,
    )
    assert await stored(registry) == [WEB]
    found = [each async for each in registry.instances(NODE.name)]
    assert found[0].index == indexes[0] > 0
    assert "web" in await registry.service_names()
    (key,) = [each async for each in registry.keys("k")]
    assert key.key == Key("k", b"v", 2**62)
    assert key.index == indexes[2]


async def test_an_instance_goes_only_if_it_is_the_same(registry: AnyCatalog) -> None:
    await registry.apply([SetNode(NODE)], None)
    (index, _) = await registry.apply([SetInstance(NODE.name, WEB), SetCheck(NODE.name, WEB)], None)
    with pytest.raises(TransactionRefused):
        await registry.apply([RemoveInstance(NODE.name, WEB.id, "web", index + 1)], None)
    assert await stored(registry) == [WEB]
    assert await registry.apply([RemoveInstance(NODE.name, WEB.id, "web", index)], None) == [0]
    assert await stored(registry) == []


async def test_all_or_nothing(registry: AnyCatalog) -> None:
    (index,) = await registry.apply([SetKey(Key("a/1", b"1"), 0)], None)
    with pytest.raises(TransactionRefused) as refused:
        await registry.apply([SetKey(Key("a/2", b"2"), 0), SetKey(Key("a/1", b"x"), 0)], None)
    assert [position for position, _ in refused.value.reasons] == [1]
    assert await keys(registry, "a/") == {"a/1": b"1"}
    await registry.apply([SetKey(Key("a/1", b"x"), index)], None)
    assert await keys(registry, "a/") == {"a/1": b"x"}
    with pytest.raises(TransactionRefused):
        await registry.apply([RemoveKey("a/1", index)], None)
    assert await keys(registry, "a/") == {"a/1": b"x"}


async def test_the_lock_fences(registry: AnyCatalog) -> None:
    await registry.apply([SetNode(NODE)], None)
    first = await registry.create_session(NODE.name, "first", 15)
    second = await registry.create_session(NODE.name, "second", 15)
    assert await registry.session_name(first) == "first"
    assert await registry.acquire("lock", b"who", first)
    assert await registry.acquire("lock", b"who", first)
    assert not await registry.acquire("lock", b"who", second)
    lock = Lock("lock", first)
    await registry.apply([SetKey(Key("a", b"1"), 0)], lock)
    with pytest.raises(LockLost):
        await registry.apply([SetKey(Key("b", b"1"), 0)], Lock("lock", second))
    with pytest.raises(TransactionRefused) as refused:
        await registry.apply([SetKey(Key("c", b"1"), 0), SetKey(Key("a", b"2"), 0)], lock)
    assert [position for position, _ in refused.value.reasons] == [1]
    assert await registry.renew_session(first)
    await registry.destroy_session(first)
    assert (await registry.key("lock"))[0] is None
    assert not await registry.renew_session(first)
    assert await registry.session_name(first) is None
    with pytest.raises(LockLost):
        await registry.apply([SetKey(Key("b", b"1"), 0)], lock)
    assert await registry.acquire("lock", b"who", second)  # at once: there is no lock delay
    await registry.release("lock", second)
    assert (await registry.key("lock"))[0] is None
    assert await keys(registry, "b") == {}


async def test_nothing_there(registry: AnyCatalog) -> None:
    assert await stored(registry) == []
    assert await keys(registry, "none/") == {}
    assert (await registry.key("none"))[0] is None
    assert await registry.datacenter() == "dc1"


async def test_a_transaction_that_is_too_large_says_no_operation() -> None:
    with ConsulAgent() as agent:
        client = Client(ConsulSettings(address=agent.url))
        too_many = 129  # 64 are allowed, 128 by 1.16
        operations = [SetKey(Key(f"k{n}", b"v"), 0) for n in range(too_many)]
        with pytest.raises(TransactionRefused) as refused:
            await Catalog(client).apply(operations, None)
        assert refused.value.reasons == ()
        await client.aclose()


@pytest.mark.parametrize("resource", ["node:k8s-test", "keys:consuldns/"])
async def test_waiting_for_changes(resource: str) -> None:
    with ConsulAgent() as agent:
        client = Client(ConsulSettings(address=agent.url))
        registry = Catalog(client)
        await registry.apply([SetNode(NODE)], None)
        before = await registry.changed(resource, after=0, wait=0)
        assert before > 0
        assert await registry.changed(resource, after=before, wait=0.05) == before
        (index, _) = await registry.apply(
            [SetInstance(NODE.name, WEB), SetKey(Key("consuldns/x", b""), 0)], None
        )
        assert await registry.changed(resource, after=before, wait=30) >= index
        await client.aclose()
