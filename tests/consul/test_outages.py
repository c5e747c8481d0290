"""What a real Consul does in trouble never takes a name away: killed, wiped, denied."""

import asyncio
import logging

import pytest

from consuldns.config.schema import ConsulSettings
from consuldns.config.values import Secret
from consuldns.consul.watch.watcher import NO_CONTACT, Watcher
from consuldns.views import keys, updates
from tests.consul.conftest import eventually, register, watching
from tests.support.consul_agent import ConsulAgent, free_ports

WEB = keys.ServiceInstances("dc1", "web")
ADMIN = "11111111-2222-3333-4444-555555555555"
ACL = {"enabled": True, "default_policy": "deny", "tokens": {"master": ADMIN, "agent": ADMIN}}


def asked(watcher: Watcher, endpoint: str, outcome: str) -> int:
    return watcher.statistics().requests.get((endpoint, outcome), 0)


def consul_with_acls() -> ConsulAgent:
    agent = ConsulAgent(config={"acl": ACL})
    agent.client.headers["X-Consul-Token"] = ADMIN
    return agent


def lines(caplog: pytest.LogCaptureFixture, word: str) -> list[str]:
    return [text for text in caplog.messages if word in text]


async def test_killed_consul_costs_nothing_and_is_found_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "consuldns.consul")
    with ConsulAgent(persistent=True) as agent:
        register(agent, "web")
        async with watching(ConsulSettings(address=agent.url)) as (watcher, worker):
            await worker.until(lambda: worker.is_in_contact)
            watcher.need(WEB)
            await worker.until(lambda: worker.instances("web"))
            await worker.until(lambda: keys.PeerList("dc1") in worker.views)
            await worker.until(lambda: "web" in worker.indexed_services())
            before = dict(worker.views)
            agent.kill()
            await worker.until(lambda: not worker.is_in_contact)
            watcher.need(WEB)
            assert worker.messages[-1] == updates.Unavailable(WEB, NO_CONTACT)
            assert worker.views == before
            await asyncio.to_thread(agent.start)
            register(agent, "web", "10.0.0.2")
            await worker.until(lambda: worker.is_in_contact)
            await worker.until(lambda: worker.instances("web")[0].address == "10.0.0.2")
            assert "web" in worker.services()
            assert not any(isinstance(each, updates.Forgotten) for each in worker.messages)
    assert len(lines(caplog, "answering from memory")) == 1
    assert len(lines(caplog, "answers again")) == 1


async def test_consul_that_lost_its_data_is_believed_in_the_end(
    agent: ConsulAgent, caplog: pytest.LogCaptureFixture
) -> None:
    names = {f"s{number}" for number in range(8)}
    for name in names:
        register(agent, name)
    async with watching(ConsulSettings(address=agent.url)) as (_, worker):
        await worker.until(lambda: worker.is_in_contact)
        agent.kill()
        await worker.until(lambda: not worker.is_in_contact)
        await asyncio.to_thread(agent.start)
        register(agent, "new")
        await worker.until(lambda: "new" in worker.services())
        assert names <= worker.services(), "what comes is there at once, what vanished is held"
        await worker.until(lambda: worker.services() == {"consul", "new"})
    assert len(lines(caplog, "vanished at once")) == 1 + 1, "services and nodes, once each"


async def test_consul_that_is_down_at_the_start_is_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    address = f"http://127.0.0.1:{free_ports(1)[0]}"
    async with watching(ConsulSettings(address=address)) as (watcher, worker):
        await eventually(lambda: asked(watcher, "status/leader", "Unreachable") >= 3)
        watcher.need(WEB)
        assert worker.messages == [updates.Unavailable(WEB, NO_CONTACT)]
        assert not watcher.is_ready
        assert list(watcher.known()) == [updates.Contact(reachable=False)]
    assert len(lines(caplog, "Consul is unreachable")) == 1


async def test_denied_from_the_start_never_looks_empty(caplog: pytest.LogCaptureFixture) -> None:
    with consul_with_acls() as agent:
        async with watching(ConsulSettings(address=agent.url)) as (watcher, worker):
            await eventually(lambda: asked(watcher, "catalog/nodes", "ok") >= 3)
            watcher.need(keys.ServiceList("dc1"))
            assert isinstance(worker.messages[-1], updates.Unavailable)
            assert not watcher.is_ready
            assert not worker.views
        assert lines(caplog, "node:read")

        allowed = ConsulSettings(address=agent.url, token=Secret(ADMIN))
        async with watching(allowed) as (watcher, worker):
            await worker.until(lambda: worker.is_in_contact)
            assert worker.services() == {"consul"}
    assert ADMIN not in caplog.text


async def test_rights_that_are_lost_take_no_name_away(caplog: pytest.LogCaptureFixture) -> None:
    with consul_with_acls() as agent:
        rules = 'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }'
        agent.put("/v1/acl/policy", {"Name": "dns", "Rules": rules})
        reply = agent.client.put("/v1/acl/token", json={"Policies": [{"Name": "dns"}]}).json()
        policy = agent.client.get("/v1/acl/policies").json()
        dns = next(each["ID"] for each in policy if each["Name"] == "dns")
        for number in range(8):
            register(agent, f"s{number}")
        settings = ConsulSettings(address=agent.url, token=Secret(reply["SecretID"]))
        async with watching(settings) as (watcher, worker):
            await worker.until(lambda: worker.is_in_contact)
            known = worker.services()
            assert len(known) == 9
            agent.put(f"/v1/acl/policy/{dns}", {"ID": dns, "Name": "dns", "Rules": ""})
            register(agent, "another")  # wakes the blocking queries, which now see nothing
            await eventually(lambda: asked(watcher, "internal/acl", "ok") >= 2)
            assert worker.services() == known
            full = {"ID": dns, "Name": "dns", "Rules": rules}
            agent.put(f"/v1/acl/policy/{dns}", full)
            await worker.until(lambda: "another" in worker.services())
    assert lines(caplog, "vanished at once")
