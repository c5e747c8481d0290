"""What a worker does in the long run: rights that come and go, mass deletions, flaps, outages."""

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.kubernetes.api_server import Object, Request
from tests.kubernetes.catalog import addresses, keys, leader, services
from tests.kubernetes.clusters import ScriptedCluster, scripted
from tests.kubernetes.conftest import StartWorker
from tests.kubernetes.objects import endpoint, node, service, slice_
from tests.kubernetes.test_end_to_end import sync
from tests.support.consul_agent import ConsulAgent, free_ports, wait_until

ALL = {(kind, "*") for kind in ("services", "endpointslices", "nodes", "namespaces")}
SYSTEM = ("namespaces", "kube-system")


@pytest.fixture
def api() -> Iterator[ScriptedCluster]:
    with scripted() as running:
        yield running


class Admin:
    """A worker's admin endpoint."""

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        self.arguments = ["--admin-addr", f"127.0.0.1:{self.port}"]

    def ready(self) -> tuple[int, str]:
        """Status and text of /ready; 0 if nobody listens yet."""
        try:
            reply = httpx.get(f"http://127.0.0.1:{self.port}/ready")
        except httpx.HTTPError:
            return 0, ""
        return reply.status_code, reply.text

    def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        text = httpx.get(f"http://127.0.0.1:{self.port}/metrics").text
        (value,) = re.findall(rf"^consuldns_sync_{name} (.*)$", text, re.M)
        return float(value)


# --- rights --------------------------------------------------------------------------------------


def test_without_nodes_a_cluster_ip_is_synced(
    consul: ConsulAgent, api: ScriptedCluster, start_worker: StartWorker
) -> None:
    api.grant(ALL - {("nodes", "*")})
    api.put("services", service("web", "10.254.1.1"))
    api.put("services", service("port", "10.254.1.2", type="NodePort"))
    admin = Admin()
    worker = start_worker(*admin.arguments, of=api)
    wait_until(lambda: addresses(consul, "web") == {"10.254.1.1"}, "the service")
    wait_until(lambda: "consuldns/k8s/kubernetes/meta" in keys(consul), "the cluster's record")
    worker.wait_for_line("cannot list nodes, going on without (without nodes, NodePort services")
    wait_until(lambda: admin.ready()[0] == 200, "ready")
    assert sum("cannot list" in line for line in worker.lines) == 1
    assert "port" not in services(consul)
    assert "waiting for nodes service=default/port" in worker.log


def test_roles_in_two_namespaces_are_enough(
    consul: ConsulAgent, api: ScriptedCluster, start_worker: StartWorker
) -> None:
    """Not even kube-system may be read; one more namespace is not there yet."""
    kinds = ("services", "endpointslices")
    roles = {(kind, namespace) for kind in kinds for namespace in ("shop", "web")}
    api.grant(roles)
    for number, namespace in enumerate(("shop", "web", "secret", "later")):
        api.put("services", service(f"in-{namespace}", f"10.254.1.{number}", namespace=namespace))
    headless = service("db", "None", namespace="shop")
    api.put("services", headless)
    api.put("endpointslices", slice_("db", endpoint("10.1.0.1"), namespace="shop"))
    allowed = {"CONSULDNS_SYNC_ALLOW_NAMESPACES": "shop,web,later"}
    worker = start_worker(of=api, environment=allowed)
    wait_until(lambda: services(consul) == {"in-shop", "in-web", "db"}, "the services of both")
    worker.wait_for_line("the URL of the API tells instead")
    worker.wait_for_line("services in later")
    wait_until(lambda: "consuldns/k8s/kubernetes/meta" in keys(consul), "the cluster's record")
    record = json.loads(keys(consul)["consuldns/k8s/kubernetes/meta"])
    assert record["namespaces"] == ["shop", "web"]
    asked = {request.path for request in api.server.requests}
    assert "/api/v1/services" not in asked
    api.put("services", service("new", "10.254.1.9", namespace="web"))
    wait_until(lambda: "new" in services(consul), "an event")
    api.grant(roles | {(kind, "later") for kind in kinds})
    wait_until(lambda: "in-later" in services(consul), "rights that came", 60)
    # Another worker, with the right to read kube-system: it is unchanged cluster.
    worker.stop()
    api.grant(roles | {SYSTEM})
    api.delete("services", "in-web", "web")
    start_worker(of=api, environment=allowed)
    wait_until(lambda: "in-web" not in services(consul), "the next worker at work")
    assert {"in-shop", "in-later", "db"} <= services(consul)


def test_the_right_to_read_kube_system_is_lost(
    consul: ConsulAgent, api: ScriptedCluster, start_worker: StartWorker
) -> None:
    api.put("services", service("web", "10.254.1.1"))
    worker = start_worker(of=api)
    wait_until(lambda: "web" in services(consul), "the service")
    worker.stop()
    api.grant({(kind, "*") for kind in ("services", "endpointslices", "nodes")})
    worker = start_worker(of=api)
    api.put("services", service("api", "10.254.1.2"))
    wait_until(lambda: "api" in services(consul), "still the same cluster")


def test_rights_that_are_lost_and_come_back(
    consul: ConsulAgent, api: ScriptedCluster, start_worker: StartWorker
) -> None:
    api.put("nodes", node("n1", "192.168.0.1"))
    api.put("services", service("web", "10.254.1.1"))
    api.put("services", service("db", "None"))
    api.put("endpointslices", slice_("db", endpoint("10.1.0.1"), endpoint("10.1.0.2")))
    worker = start_worker(of=api)
    wait_until(lambda: len(addresses(consul, "db")) == 2, "the endpoints")
    api.grant({("services", "*"), ("namespaces", "*")})
    worker.wait_for_line("cannot list endpointslices, nodes, going on without")
    api.delete("services", "web")
    api.delete("endpointslices", "db-1")
    api.put("services", service("api", "10.254.1.2"))
    api.put("services", service("cache", "None"))
    wait_until(lambda: "web" not in services(consul), "what services alone decide")
    wait_until(lambda: addresses(consul, "api") == {"10.254.1.2"}, "the new one")
    assert addresses(consul, "db") == {"10.1.0.1", "10.1.0.2"}
    worker.stop()  # one that never could see the endpoints keeps them, too
    worker = start_worker(of=api)
    api.put("services", service("more", "10.254.1.3"))
    wait_until(lambda: "more" in services(consul), "the next worker at work")
    assert addresses(consul, "db") == {"10.1.0.1", "10.1.0.2"}
    checks = consul.client.get("/v1/health/checks/more").json()
    assert [check["Status"] for check in checks] == ["passing"]  # nobody knows better
    api.grant(None)
    wait_until(lambda: addresses(consul, "db") == set(), "what the endpoints decide", 60)
    checks = consul.client.get("/v1/health/checks/more").json()
    assert [check["Status"] for check in checks] == ["warning"]


def test_one_off_tasks_without_a_right(consul: ConsulAgent, api: ScriptedCluster) -> None:
    both = ("--consul-addr", consul.url, *api.arguments)
    api.put("services", service("web", "10.254.1.1"))
    api.put("services", service("db", "None"))
    api.put("endpointslices", slice_("db", endpoint("10.1.0.1")))
    assert sync("once", *both).returncode == 0
    api.grant(ALL - {("endpointslices", "*")})
    done = sync("diff", *both)
    assert done.returncode == 21
    assert "cannot list endpointslices, going on without" in done.stderr
    assert re.search(
        r"^! remove instance \S+/db/db/10\.1\.0\.1/80 of db "
        r"\(held: endpointslices cannot be listed\)$",
        done.stdout,
        re.M,
    )
    api.grant({SYSTEM})
    done = sync("once", *both)
    assert done.returncode == 1
    assert "services is forbidden" in done.stderr
    assert services(consul) == {"web", "db"}


# --- mass deletions ------------------------------------------------------------------------------


def test_500_deleted_services_are_gone_within_10_s(
    consul: ConsulAgent, api: ScriptedCluster, start_worker: StartWorker
) -> None:
    for number in range(500):
        ip = f"10.254.{number // 250}.{number % 250 + 1}"
        api.put("services", service(f"s{number}", ip))
    api.put("services", service("kept", "10.254.9.9"))
    worker = start_worker(of=api)
    wait_until(lambda: len(services(consul)) == 501, "all services", 60)
    for number in range(500):
        api.delete("services", f"s{number}")
    wait_until(lambda: services(consul) == {"kept"}, "all of them gone", 10)
    assert "held:" not in worker.log


def test_headless_services_that_are_scaled_to_nothing_are_believed(
    consul: ConsulAgent, api: ScriptedCluster, start_worker: StartWorker
) -> None:
    for number in range(12):
        api.put("services", service(f"s{number}", "None"))
        api.put("endpointslices", slice_(f"s{number}", endpoint(f"10.1.0.{number + 1}")))
    worker = start_worker(of=api)
    wait_until(lambda: len(services(consul)) == 12, "all services")
    for number in range(11):
        api.put("endpointslices", slice_(f"s{number}"))
    api.delete("endpointslices", "s11-1")
    wait_until(lambda: services(consul) == set(), "all of them without endpoints", 10)
    assert "held:" not in worker.log


def test_services_that_decline_are_believed(
    consul: ConsulAgent, api: ScriptedCluster, start_worker: StartWorker
) -> None:
    for number in range(12):
        api.put("services", service(f"s{number}", f"10.254.1.{number + 1}"))
    worker = start_worker(of=api)
    wait_until(lambda: len(services(consul)) == 12, "all services")
    no = {"consul.hashicorp.com/service-sync": "false"}
    for number in range(12):
        api.put("services", service(f"s{number}", f"10.254.1.{number + 1}", annotations=no))
    wait_until(lambda: services(consul) == set(), "all of them gone", 10)
    assert "held:" not in worker.log


def test_a_list_that_lacks_60_percent_is_held(
    consul: ConsulAgent, api: ScriptedCluster, start_worker: StartWorker
) -> None:
    for number in range(50):
        api.put("services", service(f"s{number}", f"10.254.1.{number + 1}"))
    worker = start_worker(of=api)
    wait_until(lambda: len(services(consul)) == 50, "all services")

    async def most(request: Request) -> None:
        there = api.server.objects["services"]
        hidden = {key: there.pop(key) for key in list(there)[20:]}
        try:
            await api.server.list(request)
        finally:
            there.update(hidden)

    api.next(most, resource="services", watch=False, times=1000)
    api.stop()
    api.put("services", service("s0", "10.254.1.1"))  # so that the history goes beyond the watch
    api.lose_history()
    worker.wait_for_line("held: 30 services would be removed, of 50")

    def is_watched_after_a_second_look() -> bool:
        asked = [r for r in api.server.requests if r.resource == "services"]
        return sum(not r.is_watch for r in asked) == 3 and asked[-1].is_watch

    wait_until(is_watched_after_a_second_look, "a list that was asked for because of the hold")
    api.delete("services", "s49")  # one of the hidden: that one is proven
    wait_until(lambda: "s49" not in services(consul), "what is proven goes")
    assert len(services(consul)) == 49
    api.put("services", service("new", "10.254.2.1"))
    wait_until(lambda: "new" in services(consul), "additions are not held")
    assert len(services(consul)) == 50


# --- flaps ---------------------------------------------------------------------------------------


def flapping(ready: bool) -> Object:
    pods = [endpoint(f"10.1.0.{n}", ready=ready or n > 1, pod=f"db-{n}") for n in range(1, 4)]
    return slice_("db", *pods)


def flap(consul: ConsulAgent, api: ScriptedCluster, times: int) -> None:
    for number in range(times):
        ready = number % 2 == 1
        api.put("endpointslices", flapping(ready))
        wanted = 3 if ready else 2
        wait_until(lambda n=wanted: len(addresses(consul, "db")) == n, "the flap")  # type: ignore[misc]


def test_own_writes_are_never_taken_for_those_of_others(
    consul: ConsulAgent, api: ScriptedCluster, start_worker: StartWorker
) -> None:
    api.put("services", service("db", "None"))
    api.put("endpointslices", flapping(True))
    api.put("services", service("web", "10.254.1.1"))
    admin = Admin()
    worker = start_worker(*admin.arguments, of=api)
    wait_until(lambda: len(keys(consul, "0.")) == 4, "all reverse keys")
    reads = admin.metric("reads_total")
    flap(consul, api, 100)
    assert admin.metric("reads_total") == reads
    assert admin.metric("foreign_changes_total") == 0
    assert "changed service=default/db instances=+0-0 operations=2 2 of 3 ready" in worker.log
    # What somebody else does in the midst of it is noticed.
    key = "0.1.254.10.IN-ADDR.ARPA/10.254.1.1"
    consul.client.delete(f"/v1/kv/{key}")

    def repaired() -> bool:
        flap(consul, api, 2)
        return key in keys(consul, "0.")

    wait_until(repaired, "the key again", 10)
    assert admin.metric("foreign_changes_total") == 1
    consul.put("/v1/catalog/deregister", {"Node": "k8s-kubernetes"})
    wait_until(lambda: addresses(consul, "web") == {"10.254.1.1"}, "the instances again", 10)


def test_writes_of_others_elsewhere_are_none_of_ours(
    consul: ConsulAgent, api: ScriptedCluster, start_worker: StartWorker
) -> None:
    api.put("services", service("web", "10.254.1.1"))
    admin = Admin()
    start_worker(*admin.arguments, of=api)
    wait_until(lambda: "0.1.254.10.IN-ADDR.ARPA/10.254.1.1" in keys(consul, "0."), "its key")
    reads = admin.metric("reads_total")
    foreign = "0.0.0.10.IN-ADDR.ARPA/10.0.0.1"
    for number in range(20):
        other = {"Service": f"other-{number}", "Address": "10.0.0.1"}
        consul.put(
            "/v1/catalog/register", {"Node": "other", "Address": "10.0.0.1", "Service": other}
        )
        api.put("services", service("web", "10.254.1.1", ports=[{"port": 100 + number}]))
        wait_until(
            lambda n=number: (  # type: ignore[misc]
                consul.client.get("/v1/catalog/service/web").json()[0]["ServicePort"] == 100 + n
            ),
            "the change of ours",
        )
    assert admin.metric("reads_total") == reads
    consul.client.put(f"/v1/kv/{foreign}", content="theirs")  # in the way of ours: to be known
    wait_until(lambda: admin.metric("foreign_changes_total") == 1, "noticed")


# --- outages -------------------------------------------------------------------------------------


def test_an_outage_is_one_line_and_not_ready(
    consul: ConsulAgent, api: ScriptedCluster, start_worker: StartWorker
) -> None:
    api.put("services", service("web", "10.254.1.1"))
    admin = Admin()
    worker = start_worker(*admin.arguments, of=api)
    wait_until(lambda: "web" in services(consul), "the service")
    wait_until(lambda: admin.ready()[0] == 200, "ready")
    api.stop()
    wait_until(lambda: admin.ready()[0] == 503, "not ready")
    worker.wait_for_line("cannot watch ")
    assert f"services cannot be watched: the Kubernetes API at {api.url}" in admin.ready()[1]
    api.start()
    wait_until(lambda: admin.ready()[0] == 200, "ready again")
    worker.wait_for_line(" again, after ")
    assert sum("cannot watch" in line for line in worker.lines) == 1


def test_no_services_at_all_is_not_ready(
    consul: ConsulAgent, api: ScriptedCluster, start_worker: StartWorker
) -> None:
    api.grant({SYSTEM, ("nodes", "*"), ("namespaces", "*"), ("endpointslices", "*")})
    admin = Admin()
    worker = start_worker(*admin.arguments, of=api)
    worker.wait_for_line("cannot list services, going on without")
    wait_until(lambda: "services is forbidden" in admin.ready()[1], "not ready, and why")
    assert keys(consul, "consuldns/k8s/kubernetes/meta") == {}
    api.put("services", service("web", "10.254.1.1"))
    api.grant(None)
    wait_until(lambda: "web" in services(consul), "as soon as there is the right", 60)
    wait_until(lambda: admin.ready()[0] == 200, "ready")


def test_an_outage_of_consul_is_one_line(api: ScriptedCluster, start_worker: StartWorker) -> None:
    with ConsulAgent() as consul:
        api.put("services", service("web", "10.254.1.1"))
        worker = start_worker("--consul-addr", consul.url, of=api)
        wait_until(lambda: "web" in services(consul), "the service")
        consul.kill()
        api.put("services", service("api", "10.254.1.2"))
        worker.wait_for_line("Consul's catalog and keys")
        worker.wait_for_line("cannot watch ")
        consul.start()
        wait_until(lambda: {"web", "api"} <= services(consul), "both in the new Consul")
        worker.wait_for_line(" again, after ")
        assert sum("cannot watch" in line for line in worker.lines) == 1


# --- the lock ------------------------------------------------------------------------------------


def test_a_lock_that_is_lost_and_won_again_begins_another_term(
    consul: ConsulAgent, api: ScriptedCluster, start_worker: StartWorker
) -> None:
    """What was listed before proves nothing: without other lists, removals would wait for hours."""
    for number in range(4):
        api.put("services", service(f"s{number}", f"10.254.1.{number + 1}"))
    start_worker(of=api)
    wait_until(lambda: len(services(consul)) == 4, "the services")
    for number in range(3):
        begin_another_term(consul)
        api.delete("services", f"s{number}")
        wait_until(lambda: len(services(consul)) == 3 - number, "a deletion")  # noqa: B023


def begin_another_term(consul: ConsulAgent) -> None:
    session = leader(consul)
    consul.client.put(f"/v1/session/destroy/{session}")
    wait_until(lambda: leader(consul) not in ("", session), "the next term")
