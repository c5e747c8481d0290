"""A small Consul of the tests' own whose replies can be spoiled, endpoint by endpoint.

What it says when it is well is what a real one says (see `test_watcher`); blocking queries return
when the state changes, and beginning or ending a fault counts as a change.
"""

import asyncio
import base64
import contextlib
import copy
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from consuldns.config.schema import ConsulSettings
from tests.consul.scripted_server import Request, ScriptedServer, reply

ZONE = "0.70.254.10.IN-ADDR.ARPA"
CLUSTER = "consuldns/k8s/east"

CLUSTER_RECORD = {
    "v": 1,
    "cluster_uid": "u",
    "zone": "",
    "version": "v1.36.2",
    "namespaces": ["default"],
}
REDIS = {
    "v": 1,
    "uid": "u",
    "type": "ClusterIP",
    "flat": "",
    "mode": "vip",
    "headless": False,
    "clusterIPs": ["10.254.0.7"],
    "families": ["IPv4"],
    "ports": [{"port": 6379, "name": "redis", "protocol": "TCP"}],
    "externalName": "",
    "publishNotReady": False,
}

Spoil = Callable[[bytes], bytes]
"""From the body that Consul would send to the whole response."""

Json = dict[str, Any]


def node(name: str, address: str) -> Json:
    return {
        "ID": "",
        "Node": name,
        "Address": address,
        "Datacenter": "dc1",
        "TaggedAddresses": {"lan": address},
        "Meta": {},
    }


def instance(service: str, name: str, address: str) -> Json:
    return {
        "Node": node(name, "10.0.0.9"),
        "Service": {
            "ID": f"{service}-{name}",
            "Service": service,
            "Address": address,
            "Port": 80,
            "Tags": ["v1"],
            "Meta": {},
            "Weights": {"Passing": 1, "Warning": 1},
        },
        "Checks": [{"Node": name, "CheckID": "serfHealth", "Status": "passing"}],
    }


def key(path: str, value: str | bytes) -> Json:
    content = value.encode() if isinstance(value, str) else value
    return {"Key": path, "Flags": 0, "Value": base64.b64encode(content).decode()}


BODIES: Json = {
    "status/leader": "127.0.0.1:8300",
    "agent/self": {"Config": {"Datacenter": "dc1"}},
    "catalog/datacenters": ["dc1"],
    "catalog/services": {"consul": [], "web": ["v1"], "db": ["v1"]},
    "catalog/nodes": [node("node-1", "10.0.0.1"), node("node-2", "10.0.0.2")],
    "health/state/any": [],
    "health/service/consul": [instance("consul", "node-1", "10.0.0.1")],
    "health/service/web": [instance("web", "node-1", "10.1.0.1")],
    "health/service/db": [instance("db", "node-2", "10.1.0.2")],
    "kv/": [f"{ZONE}/", "consuldns/"],
    f"kv/{ZONE}/": [key(f"{ZONE}/10.254.70.176", "pointed.example.com")],
    "kv/consuldns/k8s/": [
        key(f"{CLUSTER}/meta", json.dumps(CLUSTER_RECORD)),
        key(f"{CLUSTER}/svc/default/redis", json.dumps(REDIS)),
    ],
}

LISTS = tuple(name for name in BODIES if name != "status/leader")


class FaultyConsul:
    """Spoils the replies of the endpoints in `faults`. `spoiled` counts those that were sent."""

    def __init__(self) -> None:
        self.index = 10
        self.bodies = copy.deepcopy(BODIES)
        self.faults: dict[str, Spoil] = {}
        self.spoiled: Counter[str] = Counter()
        self._changed = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[tuple["FaultyConsul", ConsulSettings]]:
        self = cls()
        async with ScriptedServer.of(self._answer) as server:
            yield self, server.settings

    def change(self, *, moves: bool = True) -> None:
        """The state has changed; `moves`: and so has the index."""
        self.index += moves
        self._changed.set()
        self._changed = asyncio.Event()

    def spoil(self, spoil: Spoil, *endpoints: str) -> None:
        """Begin to spoil replies."""
        self.faults = dict.fromkeys(endpoints, spoil)
        self.spoiled.clear()
        self.change()

    def mend(self) -> None:
        """End it."""
        self.faults = {}
        self.change()

    async def _answer(self, request: Request) -> bytes:
        url = urlsplit(request.target)
        endpoint = unquote(url.path).removeprefix("/v1/")
        query = parse_qs(url.query, keep_blank_values=True)
        if "index" in query and int(query["index"][0]) == self.index:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await self._changed.wait()
        if endpoint == "internal/acl/authorize":
            return reply("ACL support disabled", status="401 Unauthorized")
        if endpoint not in self.bodies:
            return reply(
                "", status="404 Not Found", X_Consul_Index=self.index, X_Consul_KnownLeader="true"
            )
        body = json.dumps(self.bodies[endpoint]).encode()
        if endpoint in self.faults:
            self.spoiled[endpoint] += 1
            spoiled = self.faults[endpoint](body)
            return spoiled if spoiled.startswith(b"HTTP/") else self.reply(spoiled)
        return self.reply(body)

    def reply(self, body: bytes) -> bytes:
        """A reply with Consul's headers."""
        return reply(body, X_Consul_Index=self.index, X_Consul_KnownLeader="true")
