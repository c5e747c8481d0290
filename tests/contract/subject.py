"""An agent under test, embedded or real, and what the contract's tests do with it."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx

from consuldns.agent.serving import Agent, serve
from consuldns.sockets import HostPort
from tests.support.consul_agent import ConsulAgent

SESSION_TTL_MIN = 0.2
"""Seconds; both agents are set to it, so that sessions can expire within a test."""
PATIENCE = 15.0
"""Seconds after which a reply that should have come is missed; far below any wait that is asked."""
JSON = Any


class Subject:
    """An agent by its HTTP API. `kind` is "embedded" or "real", `node` its own node's name."""

    def __init__(self, kind: str, url: str, node: str) -> None:
        self.kind, self.url, self.node = kind, url, node
        everyone = httpx.Limits(max_connections=None)  # each poll has a connection of its own
        self._client = httpx.Client(base_url=url, timeout=PATIENCE, limits=everyone, verify=False)
        self._names = 0
        self._pollers = ThreadPoolExecutor(max_workers=40)

    def name(self, prefix: str) -> str:
        """A name that no other test uses."""
        self._names += 1
        return f"{prefix}{self._names}"

    def request(
        self, method: str, path: str, body: JSON = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """A request; a body that is no text or octets goes as JSON."""
        if body is None or isinstance(body, str | bytes):
            return self._client.request(method, path, content=body, headers=headers)
        return self._client.request(method, path, json=body, headers=headers)

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def put(self, path: str, body: JSON = None) -> httpx.Response:
        return self.request("PUT", path, body)

    def delete(self, path: str) -> httpx.Response:
        return self.request("DELETE", path)

    def json(self, path: str) -> JSON:
        """The body of a successful read, its indexes replaced as `plain` does."""
        reply = self.get(path)
        assert reply.status_code == 200, reply.text
        return plain(reply.json())

    def does(self, path: str, body: JSON = None) -> JSON:
        """The body of a PUT that must succeed."""
        reply = self.put(path, body)
        assert reply.status_code == 200, f"{path}: {reply.status_code} {reply.text}"
        return reply.json() if reply.text else None

    def index(self, path: str) -> int:
        """The X-Consul-Index of a read."""
        return index_of(self.get(path))

    def register(self, node: str, **fields: JSON) -> None:
        """Register a node, by default with an address."""
        assert self.does("/v1/catalog/register", {"Node": node, "Address": "10.1.0.1"} | fields)

    def deregister(self, node: str, **fields: JSON) -> None:
        assert self.does("/v1/catalog/deregister", {"Node": node} | fields)

    def session(self, **fields: JSON) -> str:
        """A new session without checks and lock delay, unless the fields say otherwise."""
        wanted = {"NodeChecks": [], "LockDelay": "0s"} | fields
        return str(self.does("/v1/session/create", wanted)["ID"])

    def entry(self, key: str) -> JSON:
        """A key's entry, with its indexes."""
        reply = self.get(f"/v1/kv/{key}")
        assert reply.status_code == 200, reply.text
        return reply.json()[0]

    def poll(self, path: str, index: int | None = None) -> "Future[httpx.Response]":
        """Begin a blocking query, far longer than anyone waits for it here."""
        beyond = self.index(path) if index is None else index
        joint = "&" if "?" in path else "?"
        return self._pollers.submit(self.get, f"{path}{joint}index={beyond}&wait=60s")

    def close(self) -> None:
        self._pollers.shutdown()
        self._client.close()


def index_of(reply: httpx.Response) -> int:
    return int(reply.headers["X-Consul-Index"])


def plain(value: JSON) -> JSON:
    """The value with every CreateIndex and ModifyIndex replaced by whether it is positive."""
    if isinstance(value, dict):
        return {
            key: each > 0 if key in ("CreateIndex", "ModifyIndex") else plain(each)
            for key, each in value.items()
        }
    return [plain(each) for each in value] if isinstance(value, list) else value


INDEXES = {"CreateIndex": True, "ModifyIndex": True}
"""What `plain` leaves of the indexes of a record."""


@contextlib.contextmanager
def real() -> Iterator[Subject]:
    """A real Consul as a process."""
    config = {"session_ttl_min": f"{SESSION_TTL_MIN * 1000:.0f}ms"}
    with ConsulAgent(config=config) as agent:
        subject = Subject("real", agent.url, "server-1")
        yield subject
        subject.close()


@contextlib.contextmanager
def embedded() -> Iterator[Subject]:
    """The embedded agent in an event loop of its own, in a thread."""
    started: Future[Agent] = Future()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        try:
            async with serve(
                HostPort("127.0.0.1", 0), sample=False, session_ttl_min=SESSION_TTL_MIN
            ) as agent:
                started.set_result(agent)
                await stop.wait()
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            raise

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        agent = started.result(PATIENCE)
        subject = Subject("embedded", agent.url, agent.state.node)
        yield subject
        subject.close()
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
