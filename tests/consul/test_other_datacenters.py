"""Views of another datacenter, which nothing but their age tells to read again."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from consuldns.consul.watch.watcher import Watcher
from consuldns.views import keys, model, updates
from tests.consul.conftest import Worker, watching
from tests.consul.scripted_server import Request, ScriptedServer, never, reply

NODE = {"Node": "n", "Address": "10.0.0.1", "Datacenter": "dc2"}
SERVICES = keys.ServiceList("dc2")
WEB = keys.ServiceInstances("dc2", "web")
LOCAL_INDEX = 5


class TwoDatacenters:
    """Answers as an agent of dc1 that has a path to dc2; nothing ever changes in dc1."""

    def __init__(self) -> None:
        self._services: dict[str, list[str]] = {"consul": [], "web": ["v1"]}
        self._index = 5
        self._changed = asyncio.Event()

    def change(self, services: dict[str, list[str]]) -> None:
        """The services of dc2 are others from now on."""
        self._services = services
        self._index += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def answer(self, request: Request) -> bytes:
        """A reply by path; a blocking query waits for a change in dc2."""
        path, _, query = request.target.partition("?")
        is_other = "dc=dc2" in query
        if is_other and f"index={self._index}&" in query:
            await self._changed.wait()
        elif not is_other and "index=" in query:
            return await never(request)
        service = {"ID": "web", "Service": "web", "Address": "10.0.0.2", "Port": 80}
        bodies: dict[str, object] = {
            "/v1/status/leader": "127.0.0.1:8300",
            "/v1/agent/self": {"Config": {"Datacenter": "dc1"}},
            "/v1/catalog/datacenters": ["dc1", "dc2"],
            "/v1/catalog/services": self._services if is_other else {"consul": []},
            "/v1/catalog/nodes": [NODE],
            "/v1/health/service/web": [{"Node": NODE, "Service": service}],
        }
        index = self._index if is_other else LOCAL_INDEX
        return reply(json.dumps(bodies.get(path, [])), X_Consul_Index=index)


@asynccontextmanager
async def started() -> AsyncIterator[tuple[TwoDatacenters, ScriptedServer, Watcher, Worker]]:
    consul = TwoDatacenters()
    async with (
        ScriptedServer.of(consul.answer) as server,
        watching(server.settings) as (watcher, worker),
    ):
        await worker.until(lambda: worker.is_in_contact)
        yield consul, server, watcher, worker


async def test_lists_and_instances_are_read_when_needed() -> None:
    async with started() as (_, server, watcher, worker):
        assert not any("dc2" in request.target for request in server.requests)
        watcher.need(WEB)
        assert isinstance(worker.messages[-1], updates.Unavailable), "its list comes first"
        watcher.need(SERVICES)
        await worker.until(lambda: SERVICES in worker.views)
        watcher.need(WEB)
        await worker.until(lambda: WEB in worker.views)
        watcher.need(keys.NodeList("dc2"))
        await worker.until(lambda: keys.NodeList("dc2") in worker.views)
        watcher.need(keys.ServiceList("dc3"))
        assert isinstance(worker.messages[-1], updates.Unavailable)
        assert not any("dc3" in request.target for request in server.requests)


async def test_list_that_is_empty_all_at_once_is_not_believed() -> None:
    async with started() as (consul, _, watcher, worker):
        watcher.need(SERVICES)
        await worker.until(lambda: SERVICES in worker.views)
        before = worker.views[SERVICES]
        consul.change({})
        refused = updates.Unavailable(SERVICES, "2 services vanished at once; kept until confirmed")
        async with asyncio.timeout(30):
            while refused not in worker.messages:
                watcher.need(SERVICES)
                await asyncio.sleep(0.01)
        assert worker.views[SERVICES] == before
        consul.change({"consul": [], "db": []})
        expected = model.Services(7, ("consul", "db"), ())
        await worker.until(lambda: worker.views[SERVICES] == expected)
