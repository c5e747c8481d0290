"""Blocking queries against a server that follows a script of indexes."""

import asyncio
from contextlib import aclosing

import pytest

from consuldns.consul.http.blocking import Request, follow
from consuldns.consul.http.client import Client, Staleness
from consuldns.errors import BadResponse, Unreachable
from tests.consul.scripted_server import ScriptedServer, never, reply

SERVICES = Request(("v1", "catalog", "services"))


def at(index: object) -> bytes:
    return reply(f'["{index}"]', X_Consul_Index=index)


async def follow_until(count: int, *script: bytes) -> tuple[list[int], list[str]]:
    """The indexes of the first replies, and the queries that were sent for them."""
    indexes: list[int] = []
    async with ScriptedServer.of(*script, never) as server:
        client = Client(server.settings)
        async with aclosing(follow(client, SERVICES, spacing=0.001)) as replies:
            async for each in replies:
                indexes.append(each.index)
                if len(indexes) == count:
                    break
        await client.aclose()
        return indexes, [request.target.partition("?")[2] for request in server.requests]


async def test_first_reading_is_consistent_and_later_ones_block_on_its_index() -> None:
    indexes, queries = await follow_until(3, at(5), at(8), at(9))
    assert indexes == [5, 8, 9]
    assert queries == [
        "consistent",
        "stale&index=5&wait=10s",
        "stale&index=8&wait=10s",
    ]


async def test_reply_with_the_same_index_is_no_change() -> None:
    indexes, queries = await follow_until(2, at(5), at(5), at(5), at(6))
    assert indexes == [5, 6]
    assert queries[1:] == ["stale&index=5&wait=10s"] * 3


async def test_index_that_goes_backwards_starts_again_and_is_read_consistently() -> None:
    indexes, queries = await follow_until(2, at(50), at(3), at(3))
    assert indexes == [50, 3]
    assert queries == ["consistent", "stale&index=50&wait=10s", "consistent"]


async def test_index_zero_never_blocks_and_is_asked_for_ever_more_slowly() -> None:
    async with ScriptedServer.of(at(0)) as server:
        client = Client(server.settings)
        times: list[float] = []
        async with aclosing(follow(client, SERVICES, spacing=0.001)) as replies:
            async for _ in replies:
                times.append(asyncio.get_running_loop().time())
                if len(times) == 7:
                    break
        assert {request.target for request in server.requests} == {
            "/v1/catalog/services?consistent"
        }
        assert times[-1] - times[0] > 6 * 0.001 * 5, "each pause is twice the one before"
        await client.aclose()


@pytest.mark.parametrize(
    ("response", "error"),
    [
        pytest.param(reply("boom", status="500 Error", X_Consul_Index=1), BadResponse, id="500"),
        pytest.param(at("garbage"), BadResponse, id="garbage"),
        pytest.param(
            reply(X_Consul_Index=9, X_Consul_KnownLeader="false"), Unreachable, id="leader"
        ),
        pytest.param(reply("", status="404 Not Found", X_Consul_Index=4), BadResponse, id="404"),
    ],
)
async def test_error_ends_the_query(response: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        await follow_until(2, at(5), response)


async def test_missing_key_is_a_reply_where_that_means_nothing_there() -> None:
    missing = reply("", status="404 Not Found", X_Consul_Index=4)
    async with ScriptedServer.of(missing, at(5), never) as server:
        client = Client(server.settings)
        request = Request(("v1", "kv", ""), {"keys": ""}, may_be_missing=True)
        async with aclosing(follow(client, request, spacing=0.001)) as replies:
            bodies = [(await anext(replies)).body, (await anext(replies)).body]
        assert bodies == [b"", b'["5"]']
        assert "index=4" in server.requests[1].target
        await client.aclose()


async def test_first_reading_does_not_have_the_time_of_one_that_waits() -> None:
    """A request that is swallowed would hold up what it is about for as long (fault: silent)."""
    async with ScriptedServer.of(never) as server:
        client = Client(server.settings)
        replies = follow(client, SERVICES, deadline=1_000.0, read_deadline=0.05)
        async with aclosing(replies):
            with pytest.raises(Unreachable):
                await anext(replies)
        await client.aclose()


async def test_query_that_never_returns_ends_at_its_deadline() -> None:
    async with ScriptedServer.of(at(5), never) as server:
        client = Client(server.settings)
        async with aclosing(follow(client, SERVICES, spacing=0.001, deadline=0.05)) as replies:
            await anext(replies)
            with pytest.raises(Unreachable):
                await anext(replies)
        await client.aclose()


def stale_at(index: int, contact: int) -> bytes:
    """A reply of a server that heard of the leader so many milliseconds ago."""
    return reply(f'["{index}"]', X_Consul_Index=index, X_Consul_LastContact=contact)


async def targets(staleness: Staleness, *responses: bytes) -> list[str]:
    """The queries for these responses, one after the other."""
    async with ScriptedServer.of(*responses, never) as server:
        client = Client(server.settings)
        client.staleness = staleness
        async with aclosing(follow(client, SERVICES, spacing=0.001)) as replies:
            for _ in responses:
                await anext(replies)
        await client.aclose()
        return [request.target.partition("?")[2] for request in server.requests]


async def test_the_leader_is_asked_if_stale_reads_are_not_allowed() -> None:
    found = await targets(Staleness(allowed=False), at(5), at(6))
    assert found[:2] == ["consistent", "index=5&wait=10s"]


async def test_the_leader_is_asked_once_a_server_is_too_far_behind() -> None:
    found = await targets(Staleness(most=1.0), at(5), stale_at(6, 2_000), at(7), at(8))
    assert found[1:4] == ["stale&index=5&wait=10s", "index=6&wait=10s", "stale&index=7&wait=10s"]
