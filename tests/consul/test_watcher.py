"""The watcher on a real Consul: changes are published, and nothing is asked needlessly."""

from collections.abc import Iterator

import pytest

from consuldns.config.schema import ConsulSettings
from consuldns.consul.watch.watcher import Watcher
from consuldns.names import parse_address
from consuldns.views import keys, model, reverse_names, updates
from consuldns.views.clusters import Clusters
from consuldns.views.model import Health
from tests.consul.conftest import Worker, deregister, register, watching
from tests.support import kubernetes_data
from tests.support.consul_agent import ConsulAgent
from tests.support.later_consul import LaterConsul

WEB = keys.ServiceInstances("dc1", "web")
FOLDER = "0.70.254.10.IN-ADDR.ARPA"
ZONE = keys.ReverseZone(FOLDER)


def settings(agent: ConsulAgent) -> ConsulSettings:
    return ConsulSettings(address=agent.url)


async def until_followed(agent: ConsulAgent, watcher: Watcher, worker: Worker) -> None:
    """Change the service until a second has passed, in which the watcher chose what to follow."""
    for number in range(2, 100):
        register(agent, "web", f"10.0.0.{number}")
        address = parse_address(f"10.0.0.{number}")
        assert address is not None
        expected = {address.packed: "web"}
        await worker.until(
            lambda expected=expected: (
                getattr(worker.views.get(keys.ServiceAddresses("dc1")), "services", 0) == expected  # type: ignore[misc]
            )
        )
        if watcher.statistics().views_followed:
            return


async def test_lists_are_published_before_contact_is_told(agent: ConsulAgent) -> None:
    async with watching(settings(agent)) as (watcher, worker):
        assert not watcher.is_ready
        await worker.until(lambda: worker.is_in_contact)
        assert watcher.is_ready
        assert worker.views[keys.DatacenterList()] == model.Datacenters(0, "dc1", ("dc1",))
        assert worker.services() == {"consul"}
        assert isinstance(worker.views[keys.NodeList("dc1")], model.Nodes)
        assert worker.zones() == set()


async def test_service_comes_changes_and_goes(agent: ConsulAgent) -> None:
    async with watching(settings(agent)) as (watcher, worker):
        await worker.until(lambda: worker.is_in_contact)
        register(agent, "web")
        await worker.until(lambda: "web" in worker.services())
        watcher.need(WEB)
        await worker.until(lambda: worker.instances("web"))
        register(agent, "web", "10.0.0.2")
        await worker.until(lambda: worker.instances("web")[0].address == "10.0.0.2")
        check = {"CheckID": "c", "Name": "c", "ServiceID": "web", "Status": "critical"}
        register(agent, "web", "10.0.0.2", Check={"Node": "node-web", **check})
        await worker.until(lambda: worker.instances("web")[0].health is Health.CRITICAL)
        deregister(agent, "web")
        await worker.until(lambda: WEB not in worker.views)
        assert worker.services() == {"consul"}


@pytest.fixture(params=["this version", "a later one"])
def url(request: pytest.FixtureRequest, agent: ConsulAgent) -> Iterator[str]:
    """Where to read what the agent has: later versions answer blocking queries from streams."""
    if request.param == "this version":
        yield agent.url
        return
    with LaterConsul.over(agent.url) as later:
        yield later.url


async def test_view_that_is_asked_for_is_followed(agent: ConsulAgent, url: str) -> None:
    register(agent, "web")
    async with watching(ConsulSettings(address=url)) as (watcher, worker):
        await worker.until(lambda: worker.is_in_contact)
        watcher.need(WEB)
        await worker.until(lambda: WEB in worker.views)
        await until_followed(agent, watcher, worker)
        assert watcher.statistics().views_followed == 1


async def test_a_followed_service_that_goes_is_followed_when_it_comes_back(
    agent: ConsulAgent, url: str
) -> None:
    register(agent, "web")
    async with watching(ConsulSettings(address=url)) as (watcher, worker):
        await worker.until(lambda: worker.is_in_contact)
        watcher.need(WEB)
        await worker.until(lambda: WEB in worker.views)
        await until_followed(agent, watcher, worker)
        deregister(agent, "web")
        await worker.until(lambda: worker.instances("web") == ())
        register(agent, "web", "10.1.0.1")
        await worker.until(
            lambda: [each.address for each in worker.instances("web")] == ["10.1.0.1"]
        )
        await until_followed(agent, watcher, worker)


async def test_node_and_its_checks_reach_the_services_on_it(agent: ConsulAgent) -> None:
    register(agent, "web", "")
    async with watching(settings(agent)) as (watcher, worker):
        await worker.until(lambda: worker.is_in_contact)
        watcher.need(WEB)
        await worker.until(lambda: worker.instances("web"))
        agent.put("/v1/catalog/register", {"Node": "node-web", "Address": "10.9.0.7"})
        await worker.until(lambda: worker.instances("web")[0].node.address == "10.9.0.7")
        check = {"Node": "node-web", "CheckID": "alive", "Name": "a", "Status": "critical"}
        agent.put(
            "/v1/catalog/register", {"Node": "node-web", "Address": "10.9.0.7", "Check": check}
        )
        await worker.until(lambda: worker.instances("web")[0].health is Health.CRITICAL)


async def test_view_that_nobody_asks_for_is_outdated_by_a_change(
    agent: ConsulAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consuldns.consul.watch.schedule.ASKED_SECONDS", 0.0)
    register(agent, "web")
    async with watching(settings(agent)) as (watcher, worker):
        await worker.until(lambda: worker.is_in_contact)
        watcher.need(WEB)
        await worker.until(lambda: worker.instances("web"))
        for number in range(2, 200):
            register(agent, "web", f"10.0.0.{number}")
            await worker.until(
                lambda number=number: (
                    WEB in worker.outdated  # type: ignore[misc]
                    or worker.instances("web")[0].address == f"10.0.0.{number}"
                )
            )
            if WEB in worker.outdated:
                break
        watcher.need(WEB)
        await worker.until(lambda: worker.instances("web")[0].address == f"10.0.0.{number}")
        assert WEB not in worker.outdated


async def test_need_of_a_view_that_is_right_costs_no_request(agent: ConsulAgent) -> None:
    register(agent, "web")
    async with watching(settings(agent)) as (watcher, worker):
        await worker.until(lambda: worker.is_in_contact)
        watcher.need(WEB)
        await worker.until(lambda: WEB in worker.views)
        await worker.until(lambda: keys.ServiceAddresses("dc1") in worker.views)
        await worker.until_answered(WEB, after=lambda: watcher.need(WEB))
        before = watcher.statistics().requests
        watcher.need(WEB)
        watcher.need(keys.ServiceList("dc1"))
        assert worker.messages[-2:] == [
            updates.Current(WEB),
            updates.Current(keys.ServiceList("dc1")),
        ]
        assert watcher.statistics().requests == before


async def test_instances_are_there_before_anybody_asks(agent: ConsulAgent) -> None:
    """The index of addresses reads all services; what it read answers the first query."""
    register(agent, "web")
    async with watching(settings(agent)) as (watcher, worker):
        await worker.until(lambda: worker.instances("web"))
        await worker.until(lambda: keys.ServiceAddresses("dc1") in worker.views)
        await worker.until(lambda: WEB not in worker.outdated)
        requests = watcher.statistics().requests
        watcher.need(WEB)
        assert worker.messages[-1] == updates.Current(WEB)
        assert watcher.statistics().requests == requests
        register(agent, "web", "10.0.0.2")
        await worker.until(lambda: worker.instances("web")[0].address == "10.0.0.2")


async def test_names_that_do_not_exist_cost_no_request(agent: ConsulAgent) -> None:
    async with watching(settings(agent)) as (watcher, worker):
        await worker.until(lambda: worker.is_in_contact)
        await worker.until(lambda: keys.ServiceAddresses("dc1") in worker.views)
        before = watcher.statistics().requests
        for number in range(1000):
            watcher.need(keys.ServiceInstances("dc1", f"random-{number}"))
            watcher.need(keys.ServiceInstances(f"dc{number + 2}", "web"))
            watcher.need(keys.ServiceList(f"../dc{number}"))
            watcher.need(keys.ReverseZone(f"{number}.in-addr.arpa"))
        assert watcher.statistics().requests == before
        assert not worker.instances("random-7")
        assert isinstance(worker.messages[-2], updates.Unavailable)


async def test_odd_names_from_the_catalog_lead_nowhere_else(agent: ConsulAgent) -> None:
    for name in ("..", "a/b", "Upper"):
        register(agent, name)
    async with watching(settings(agent)) as (watcher, worker):
        await worker.until(lambda: worker.is_in_contact)
        for name in ("a/b", "upper"):
            watcher.need(keys.ServiceInstances("dc1", name))
            await worker.until(lambda name=name: worker.instances(name))  # type: ignore[misc]
        odd = keys.ServiceInstances("dc1", "..")
        watcher.need(odd)
        assert isinstance(await worker.until_answered(odd), updates.Unavailable)


async def test_reverse_zones_of_the_kv_tree(agent: ConsulAgent) -> None:
    async with watching(settings(agent)) as (watcher, worker):
        await worker.until(lambda: worker.is_in_contact)
        agent.put(f"/v1/kv/{FOLDER}/10.254.70.176", "monitoring-heapster.service.dc1.consul")
        await worker.until(lambda: FOLDER in worker.zones())
        watcher.need(ZONE)
        await worker.until(lambda: ZONE in worker.views)
        agent.put(f"/v1/kv/{FOLDER}/10.254.70.176", "web.service.dc1.consul")
        expected = reverse_names.ReverseEntry("10.254.70.176", ("web.service.dc1.consul",), 0)
        await worker.until(lambda: getattr(worker.views[ZONE], "entries", ()) == (expected,))
        agent.client.delete(f"/v1/kv/{FOLDER}?recurse").raise_for_status()
        await worker.until(lambda: not worker.zones() and ZONE not in worker.views)


async def test_kubernetes_services_come_and_go(agent: ConsulAgent) -> None:
    services: list[dict[str, object]] = [{"namespace": "default", "name": "redis"}]
    for key, value in kubernetes_data.keys(services, ["default"]).items():
        agent.client.put(f"/v1/kv/{key}", content=value).raise_for_status()
    async with watching(settings(agent)) as (_, worker):
        await worker.until(lambda: worker.is_in_contact)
        assert kubernetes_services(worker) == {"kubernetes/default/redis"}
        more = kubernetes_data.keys([{"namespace": "other", "name": "db"}], [])
        for key, value in more.items():
            agent.client.put(f"/v1/kv/{key}", content=value).raise_for_status()
        await worker.until(lambda: "kubernetes/other/db" in kubernetes_services(worker))
        agent.client.delete("/v1/kv/consuldns/k8s/kubernetes/svc/default/redis")
        await worker.until(lambda: kubernetes_services(worker) == {"kubernetes/other/db"})


def kubernetes_services(worker: Worker) -> set[str]:
    view = worker.views[keys.ClusterList("dc1")]
    assert isinstance(view, Clusters)
    services = (service for cluster in view.clusters for service in cluster.services)
    return {f"{each.cluster}/{each.namespace}/{each.name}" for each in services}


async def test_index_of_addresses_names_the_first_instance(agent: ConsulAgent) -> None:
    for node, service in (("zz", "early"), ("aa", "web-b"), ("aa", "web-a"), ("mm", "c")):
        body = {"Service": service, "Address": "10.5.5.5"}
        agent.put("/v1/catalog/register", {"Node": node, "Address": "10.9.0.1", "Service": body})
    async with watching(settings(agent)) as (watcher, worker):
        index = keys.ServiceAddresses("dc1")
        await worker.until(lambda: index in worker.views)
        packed = bytes((10, 5, 5, 5))
        others: dict[bytes, tuple[str, ...]] = {packed: ("web-b", "c", "early")}
        expected = reverse_names.AddressIndex(0, {packed: "web-a"}, others=others)
        assert worker.views[index] == expected
        agent.put("/v1/catalog/deregister", {"Node": "aa", "ServiceID": "web-a"})
        await worker.until(lambda: getattr(worker.views[index], "services", 0) == {packed: "web-b"})
        watcher.need(index)
        assert worker.messages[-1] == updates.Current(index)


async def test_known_tells_a_fresh_worker_everything(agent: ConsulAgent) -> None:
    register(agent, "web")
    async with watching(settings(agent)) as (watcher, worker):
        await worker.until(lambda: worker.is_in_contact)
        watcher.need(WEB)
        await worker.until(lambda: WEB in worker.views)
        fresh = Worker()
        for message in watcher.known():
            fresh.take(message)
        assert fresh.views == worker.views
        assert fresh.is_in_contact


async def test_connections_stay_within_the_budget(agent: ConsulAgent) -> None:
    names = [f"s{number}" for number in range(40)]
    for name in names:
        register(agent, name)
    limited = ConsulSettings(address=agent.url, connections=12)
    async with watching(limited) as (watcher, worker):
        await worker.until(lambda: worker.is_in_contact)
        for name in names:
            watcher.need(keys.ServiceInstances("dc1", name))
        await worker.until(lambda: all(worker.instances(name) for name in names))
        for name in names:
            register(agent, name, "10.7.7.7")
        await worker.until(
            lambda: all(worker.instances(name)[0].address == "10.7.7.7" for name in names)
        )
        assert watcher.statistics().connections_open <= 12
