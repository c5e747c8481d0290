"""A watcher on a real Consul, and what its workers would know."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from consuldns.config.schema import ConsulSettings
from consuldns.consul.http.client import Client
from consuldns.consul.watch.watcher import Watcher
from consuldns.views import keys, model, reverse_names, updates
from consuldns.views.keys import ViewKey
from consuldns.views.model import AnyView
from tests.support.consul_agent import ConsulAgent


async def eventually(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until something holds that no message tells of."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


class Worker:
    """Takes the messages as a worker does, and lets a test wait for what they bring."""

    def __init__(self) -> None:
        self.messages: list[updates.ToWorker] = []
        self.views: dict[ViewKey, AnyView] = {}
        self.outdated: set[ViewKey] = set()
        self.is_in_contact = False
        self._news = asyncio.Event()

    def take(self, message: updates.ToWorker) -> None:
        """A message of the watcher."""
        self.messages.append(message)
        match message:
            case updates.Replaced(key, view):
                self.views[key] = view
                self.outdated.discard(key)
            case updates.Current(key):
                self.outdated.discard(key)
            case updates.Outdated(outdated):
                self.outdated.update(outdated)
            case updates.Forgotten(key):
                self.views.pop(key, None)
                self.outdated.discard(key)
            case updates.Contact(reachable):
                self.is_in_contact = reachable
        self._news.set()

    async def until(self, condition: Callable[[], object], seconds: float = 30.0) -> None:
        """Wait for a message after which the condition holds."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def until_answered(
        self, key: ViewKey, after: Callable[[], object] = lambda: None
    ) -> updates.ToWorker:
        """Wait for the next message that answers a Need for the key, which `after` may send."""
        known = len(self.messages)
        after()
        answers = updates.Replaced | updates.Current | updates.Unavailable

        def answer() -> updates.ToWorker | None:
            fresh = self.messages[known:]
            return next((m for m in fresh if isinstance(m, answers) and m.key == key), None)

        await self.until(answer)
        found = answer()
        assert found is not None
        return found

    def services(self) -> set[str]:
        """The names in the list of services."""
        view = self.views.get(keys.ServiceList("dc1"))
        return set(view.names) if isinstance(view, model.Services) else set()

    def indexed_services(self) -> set[str]:
        """The services whose addresses are in the index."""
        view = self.views.get(keys.ServiceAddresses("dc1"))
        return (
            set(view.services.values()) if isinstance(view, reverse_names.AddressIndex) else set()
        )

    def instances(self, service: str) -> tuple[model.Instance, ...]:
        """The instances of a service."""
        view = self.views.get(keys.ServiceInstances("dc1", service))
        return view.instances if isinstance(view, model.Instances) else ()

    def zones(self) -> set[str]:
        """The folders of the reverse zones."""
        view = self.views.get(keys.ReverseZoneList())
        return set(view.folders) if isinstance(view, reverse_names.ReverseZones) else set()


@asynccontextmanager
async def watching(settings: ConsulSettings) -> AsyncIterator[tuple[Watcher, Worker]]:
    """A watcher that runs, and a worker that listens to it."""
    client, worker = Client(settings), Worker()
    watcher = Watcher(client, worker.take)
    running = asyncio.create_task(watcher.run())
    try:
        yield watcher, worker
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await client.aclose()


@pytest.fixture
def agent() -> Iterator[ConsulAgent]:
    """A Consul in development mode, with nothing in it."""
    with ConsulAgent() as agent:
        yield agent


def register(agent: ConsulAgent, service: str, address: str = "10.0.0.1", **more: object) -> None:
    """Put an instance on a node of its own into the catalog."""
    node = f"node-{service.replace('/', '-')}"
    body = {
        "Node": node,
        "Address": "10.9.0.1",
        "Service": {"Service": service, "Address": address, "Port": 80},
        **more,
    }
    agent.put("/v1/catalog/register", body)


def deregister(agent: ConsulAgent, service: str) -> None:
    """Take the instance out again, with its node."""
    agent.put("/v1/catalog/deregister", {"Node": f"node-{service}"})
