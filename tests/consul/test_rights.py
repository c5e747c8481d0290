"""Where listing keys is a right of its own (`acl.enable_key_list_policy`), 403 is no empty tree."""

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest

from consuldns.config.schema import ConsulSettings
from consuldns.config.values import Secret
from consuldns.consul.watch.watcher import Watcher
from consuldns.views import keys
from consuldns.views.clusters import Clusters
from tests.consul.conftest import Worker, eventually, register, watching
from tests.consul.scripted_server import Request, ScriptedServer, never, reply
from tests.support import kubernetes_data
from tests.support.consul_agent import ConsulAgent

ADMIN = "11111111-2222-3333-4444-555555555555"
ACL = {
    "enabled": True,
    "default_policy": "deny",
    "enable_key_list_policy": True,
    "tokens": {"master": ADMIN, "agent": ADMIN},
}
CATALOG = 'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }'
EVERYTHING = CATALOG + ' key_prefix "" { policy = "list" }'
CLUSTERS = keys.ClusterList("dc1")


class Guarded:
    """A Consul with ACLs, a token with one policy, and a Kubernetes service in the KV tree."""

    def __init__(self, agent: ConsulAgent) -> None:
        self.agent = agent
        policy = agent.client.put("/v1/acl/policy", json={"Name": "dns", "Rules": CATALOG})
        self._policy = policy.json()["ID"]
        token = agent.client.put("/v1/acl/token", json={"Policies": [{"Name": "dns"}]})
        self.token = token.json()["SecretID"]
        service = {"namespace": "default", "name": "web", "cluster_ips": ["10.254.1.1"]}
        for key, value in kubernetes_data.keys([service], []).items():
            agent.put(f"/v1/kv/{key}", value)
        agent.put("/v1/kv/0.1.254.10.IN-ADDR.ARPA/10.254.1.1", "web.service.dc1.consul")

    def allow(self, rules: str) -> None:
        """Give the token these rights and no others."""
        body = {"ID": self._policy, "Name": "dns", "Rules": rules}
        self.agent.put(f"/v1/acl/policy/{self._policy}", body)

    @property
    def settings(self) -> ConsulSettings:
        """Those of a client with the token."""
        return ConsulSettings(address=self.agent.url, token=Secret(self.token))


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    agent = ConsulAgent(config={"acl": ACL, "primary_datacenter": "dc1"})
    agent.client.headers["X-Consul-Token"] = ADMIN
    with agent:
        yield Guarded(agent)


def services(worker: Worker) -> set[str]:
    """The Kubernetes services that the worker knows."""
    view = worker.views.get(CLUSTERS)
    assert isinstance(view, Clusters)
    return {service.name for cluster in view.clusters for service in cluster.services}


def denied(watcher: Watcher, endpoint: str) -> int:
    """How many requests were answered with 403."""
    return watcher.statistics().requests.get((endpoint, "Denied"), 0)


async def test_a_tree_that_may_not_be_listed_is_not_served(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(guarded.settings) as (watcher, worker):
        await worker.until(lambda: worker.is_in_contact)
        assert watcher.is_ready
        assert services(worker) == set()
        assert worker.zones() == set()
        await eventually(lambda: denied(watcher, "kv") >= 9)
        said = [text for text in caplog.messages if "not served" in text]
        assert len(said) == 3, "once for each tree"
        assert any('key_prefix "consuldns/k8s/" { policy = "list" }' in text for text in said)
        guarded.allow(EVERYTHING)
        await worker.until(lambda: services(worker) == {"web"})
        await worker.until(lambda: worker.zones() == {"0.1.254.10.IN-ADDR.ARPA"})


async def test_a_tree_that_may_not_be_listed_any_more_is_kept(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    guarded.allow(EVERYTHING)
    async with watching(guarded.settings) as (watcher, worker):
        await worker.until(lambda: worker.is_in_contact)
        guarded.allow(CATALOG)
        guarded.agent.put("/v1/kv/consuldns/k8s/wakes", "the query")
        await eventually(lambda: denied(watcher, "kv") >= 4)
        assert services(worker) == {"web"}
        assert worker.zones() == {"0.1.254.10.IN-ADDR.ARPA"}
    assert any("kept unchanged" in text for text in caplog.messages)


async def test_a_token_that_nobody_knows_says_nothing_about_the_tree(guarded: Guarded) -> None:
    """Consul answers 403 to it, too: a token that is late, or expired."""
    unknown = ConsulSettings(address=guarded.agent.url, token=Secret(ADMIN.replace("1", "9")))
    async with watching(unknown) as (watcher, worker):
        await eventually(lambda: denied(watcher, "agent/self") >= 2)
        assert not worker.views


async def test_without_a_token(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    anonymous = "00000000-0000-0000-0000-000000000002"
    body = {"AccessorID": anonymous, "Policies": [{"Name": "dns"}]}
    guarded.agent.put(f"/v1/acl/token/{anonymous}", body)
    register(guarded.agent, "web")
    async with watching(ConsulSettings(address=guarded.agent.url)) as (watcher, worker):
        await worker.until(lambda: worker.is_in_contact)
        assert watcher.is_ready
        assert "web" in worker.services()
        assert services(worker) == set()


async def test_another_datacenter() -> None:
    clusters = keys.ClusterList("dc2")
    token_is_known = asyncio.Event()

    async def answer(request: Request) -> bytes:
        path, _, query = request.target.partition("?")
        is_other = "dc=dc2" in query
        if "index=" in query:
            return await never(request)
        if path == "/v1/acl/token/self" and not token_is_known.is_set():
            return reply("ACL not found", status="403 Forbidden")
        if path.startswith("/v1/kv/") and is_other:
            return reply("Permission denied", status="403 Forbidden")
        bodies: dict[str, object] = {
            "/v1/status/leader": "127.0.0.1:8300",
            "/v1/agent/self": {"Config": {"Datacenter": "dc1"}},
            "/v1/catalog/datacenters": ["dc1", "dc2"],
            "/v1/catalog/services": {"consul": []},
            "/v1/catalog/nodes": [{"Node": "n", "Address": "10.0.0.1", "Datacenter": "dc1"}],
            "/v1/acl/token/self": {},
        }
        return reply(json.dumps(bodies.get(path, [])), X_Consul_Index=5)

    async with ScriptedServer.of(answer) as server:
        settings = ConsulSettings(address=server.settings.address, token=Secret("t"))
        async with watching(settings) as (watcher, worker):
            await worker.until(lambda: worker.is_in_contact)
            watcher.need(keys.ServiceList("dc2"))
            await worker.until(lambda: keys.ServiceList("dc2") in worker.views)
            watcher.need(clusters)
            await worker.until_answered(clusters)
            assert clusters not in worker.views
            token_is_known.set()
            async with asyncio.timeout(30):
                while clusters not in worker.views:
                    watcher.need(clusters)
                    await worker.until_answered(clusters)
            assert worker.views[clusters] == Clusters(0, ())
