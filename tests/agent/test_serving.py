"""The agent in somebody's event loop."""

import asyncio
import signal
import socket
from contextlib import suppress

import httpx
import pytest

from consuldns.agent.serving import Agent, serve
from consuldns.errors import StartupError
from consuldns.sockets import HostPort

ANYWHERE = HostPort("127.0.0.1", 0)
OF_THE_WALK_THROUGH = {
    "redis-master",
    "redis-slave",
    "kibana-logging",
    "kube-dns",
    "monitoring-grafana",
    "monitoring-influxdb",
    "monitoring-heapster",
    "consul",
    "kubernetes",
    "elasticsearch-logging",
    "kube-ui",
    "kube-consul",
}


async def get(agent: Agent, path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=agent.url, timeout=30, verify=False) as client:
        return await client.get(path)


async def test_the_sample_is_the_walk_through() -> None:
    async with serve(ANYWHERE, sample=True) as agent:
        names = (await get(agent, "/v1/catalog/services")).json()
        heapster = (await get(agent, "/v1/health/service/monitoring-heapster?passing")).json()
        own = (await get(agent, "/v1/catalog/service/consul")).json()
    assert set(names) == OF_THE_WALK_THROUGH
    assert [each["Service"]["Address"] for each in heapster] == ["10.254.70.176"]
    assert [(each["Address"], each["ServicePort"]) for each in own] == [("127.0.0.1", 8300)]


async def test_the_announcement_says_where_and_that_nothing_lasts() -> None:
    async with serve(ANYWHERE, sample=False, datacenter="dc7") as agent:
        text = agent.announcement
        assert (await get(agent, "/v1/catalog/datacenters")).json() == ["dc7"]
    assert agent.url in text
    assert "dc7" in text
    assert "everything in it is gone when it stops" in text


async def test_a_port_that_is_taken() -> None:
    with socket.create_server((ANYWHERE.host, 0)) as other:
        address = other.getsockname()
        with pytest.raises(StartupError) as refused:
            async with serve(HostPort(*address), sample=False):
                pass
    text = str(refused.value)
    assert f"cannot listen on 127.0.0.1:{address[1]}" in text
    assert "ss -lntup" in text
    assert "--http-addr" in text


async def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(StartupError, match="choose another address"):
        async with serve(HostPort("192.0.2.1", 8500), sample=False):
            pass


async def test_signals_are_left_to_the_caller() -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    async with serve(ANYWHERE, sample=False):
        assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


async def poll(agent: Agent, client: httpx.AsyncClient) -> "asyncio.Task[httpx.Response]":
    """A long poll that the agent has begun."""
    tasks = len(asyncio.all_tasks())
    polling = asyncio.create_task(client.get(f"{agent.url}/v1/kv/none?index=1&wait=10m"))
    # The poll's own task, uvicorn's for the request, and the two that wait.
    while len(asyncio.all_tasks()) < tasks + 4:
        await asyncio.sleep(0)
    return polling


async def test_leaving_answers_long_polls_at_once() -> None:
    async with httpx.AsyncClient(timeout=30, verify=False) as client:
        async with serve(ANYWHERE, sample=False) as agent:
            polling = await poll(agent, client)
        reply = await polling
    assert reply.status_code == 404
    assert reply.headers["X-Consul-Index"] == "1"


async def test_cancelling_frees_the_port() -> None:
    serving = asyncio.Event()
    where: list[Agent] = []

    async def run() -> None:
        async with serve(ANYWHERE, sample=False) as agent:
            where.append(agent)
            serving.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await serving.wait()
    async with httpx.AsyncClient(timeout=30, verify=False) as client:
        polling = await poll(where[0], client)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert (await polling).status_code == 404
    async with serve(where[0].address, sample=False):
        pass


async def test_nothing_waits_for_a_client_that_has_gone() -> None:
    async with serve(ANYWHERE, sample=False) as agent:
        tasks = asyncio.all_tasks()
        async with httpx.AsyncClient(timeout=30, verify=False) as client:
            polling = await poll(agent, client)
            polling.cancel()
        while asyncio.all_tasks() - tasks:
            await asyncio.sleep(0)
