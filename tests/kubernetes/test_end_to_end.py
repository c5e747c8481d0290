"""The worker as a process, between a Kubernetes API and a real Consul."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys

import httpx
import pytest

from tests.kubernetes.api_server import Request
from tests.kubernetes.catalog import addresses, keys, leader, raft_index, services
from tests.kubernetes.clusters import ScriptedCluster, scripted
from tests.kubernetes.conftest import Cluster, StartWorker
from tests.kubernetes.objects import (
    endpoint,
    recorded_objects,
    service,
    slice_,
)
from tests.support.ask import answers, ask, dig
from tests.support.consul_agent import REPOSITORY, ConsulAgent, free_ports, version, wait_until
from tests.support.consuldns_process import PROGRAM, Serve

FLAT_NAMES = {
    "elasticsearch-logging",
    "grafana",  # by its annotation
    "kibana-logging",
    "kube-dns",
    "kube-ui",
    "kubernetes",
    "legacy-billing",
    "mainframe",
    "monitoring-heapster",
    "monitoring-influxdb",
    "redis-master",
    "redis-slave",
}


def load(kubernetes: Cluster) -> None:
    """The recorded cluster. A real API server makes `kubernetes` itself."""
    for resource, name in (
        ("nodes", "list-nodes"),
        ("services", "list-services-paged"),
        ("endpointslices", "list-endpointslices"),
    ):
        for object_ in recorded_objects(name):
            is_own = object_["metadata"]["name"] == "kubernetes"
            if isinstance(kubernetes, ScriptedCluster) or not is_own:
                kubernetes.put(resource, object_)


def sync(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`consuldns sync ...`, to its end."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CONSUL_", "CONSULDNS_"))}
    return subprocess.run(
        [*PROGRAM, "sync", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=clean | {"PYTHONPATH": str(REPOSITORY)},
        timeout=60,
    )


def test_the_services_of_the_proof_of_concept(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    load(kubernetes)
    worker = start_worker()
    wait_until(lambda: services(consul) == FLAT_NAMES, "all services in the catalog")
    wait_until(lambda: len(keys(consul, "0.")) == 13, "all reverse keys")
    assert addresses(consul, "monitoring-heapster") == {"10.254.70.176"}
    assert keys(consul, "0.70.254.10.IN-ADDR.ARPA/") == {
        "0.70.254.10.IN-ADDR.ARPA/10.254.70.176": "monitoring-heapster.service.dc1.consul"
    }
    assert f"Consul: agent=server-1 {'.'.join(map(str, version()))}" in worker.log
    assert "Kubernetes: api=http" in worker.log
    with Serve(consul.url) as serve:
        for name, address in {
            "monitoring-heapster": "10.254.70.176",
            "redis-master": "10.254.167.82",
            "kube-dns": "10.254.0.10",
            "kube-ui": "10.254.51.158",
            "kubernetes": "10.254.0.1",
        }.items():
            assert answers(ask(serve.port, f"{name}.service.dc1.consul")) == {address}
        # What the proof of concept lacked.
        for name in (
            "redis-master.default.service.dc1.consul",
            "redis-master.default.svc.dc1.consul",
        ):
            assert answers(ask(serve.port, name)) == {"10.254.167.82"}
        logging = "elasticsearch-logging.kube-system.svc.dc1.consul"
        locations = {f"0 33 9200 es-{number}.{logging}." for number in range(3)}
        assert answers(ask(serve.port, f"_db._tcp.{logging}", "SRV")) == locations
        assert answers(ask(serve.port, f"es-0.{logging}")) < answers(ask(serve.port, logging))
        out = dig(serve.port, "monitoring-heapster.service.dc1.consul.", "ANY")
        assert "monitoring-heapster.service.dc1.consul. 0 IN A 10.254.70.176" in " ".join(
            out.split()
        )
        assert "flags: qr aa rd" in out
        out = dig(serve.port, "-x", "10.254.70.176", "+short")
        assert out.strip() == "monitoring-heapster.service.dc1.consul."


def test_events_are_followed_and_nothing_is_written_for_nothing(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    start_worker()
    kubernetes.put("services", service("web", "10.254.1.1"))
    kubernetes.put("endpointslices", slice_("web", endpoint("10.0.0.1", pod="web-1")))
    wait_until(lambda: addresses(consul, "web") == {"10.254.1.1"}, "the new service")
    wait_until(lambda: "0.1.254.10.IN-ADDR.ARPA/10.254.1.1" in keys(consul, "0."), "its key")
    kubernetes.put("services", service("api", "10.254.1.2"))
    wait_until(lambda: addresses(consul, "api") == {"10.254.1.2"}, "another service")
    index = raft_index(consul)
    # An event that changes nothing that matters; the next one tells that it has been looked at.
    kubernetes.put("services", service("web", "10.254.1.1", labels={"x": "y"}))
    kubernetes.put("services", service("api", "10.254.1.2", ports=[{"port": 81}]))
    wait_until(
        lambda: consul.client.get("/v1/catalog/service/api").json()[0]["ServicePort"] == 81,
        "the new port",
    )
    assert raft_index(consul) - index <= 2  # one transaction, and perhaps a session's
    kubernetes.delete("services", "web")
    wait_until(lambda: "web" not in services(consul), "gone from the catalog")
    wait_until(
        lambda: "0.1.254.10.IN-ADDR.ARPA/10.254.1.1" not in keys(consul, "0."), "gone from the KV"
    )


def test_the_admin_endpoint(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    (port,) = free_ports(1)
    kubernetes.put("services", service("web", "10.254.1.1"))
    worker = start_worker("--admin-addr", f"127.0.0.1:{port}")
    wait_until(lambda: "web" in services(consul), "the service")
    assert worker.status is None
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        wait_until(lambda: client.get("/ready").status_code == 200, "ready")
        assert client.get("/health").text == "OK\n"
        text = client.get("/metrics").text
    assert "consuldns_sync_leader 1.0" in text
    assert 'consuldns_sync_synced{resource="endpointslices"} 1.0' in text
    assert 'consuldns_sync_operations_total{op="SetInstance",result="done"}' in text
    assert "consuldns_sync_latency_seconds_bucket" in text


def test_sigterm_gives_the_lock_back_and_removes_nothing(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    load(kubernetes)
    worker = start_worker()
    wait_until(lambda: services(consul) == FLAT_NAMES, "all services in the catalog")
    wait_until(lambda: len(keys(consul, "0.")) == 13, "all reverse keys")
    assert worker.stop() == 0
    assert leader(consul) == ""
    assert services(consul) == FLAT_NAMES
    assert len(keys(consul, "0.")) == 13


def test_what_went_while_no_worker_ran_goes_when_one_does(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    kubernetes.put("services", service("old", "10.254.1.1"))
    kubernetes.put("services", service("kept", "10.254.1.2"))
    worker = start_worker()
    wait_until(lambda: {"old", "kept"} <= services(consul), "both services")
    worker.stop(signal.SIGKILL)
    kubernetes.delete("services", "old")
    start_worker()
    wait_until(lambda: "old" not in services(consul), "the old one gone")
    assert "kept" in services(consul)


def test_a_standby_takes_over_at_once(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    first = start_worker()
    first.wait_for_line("this worker is the leader")
    second = start_worker()
    second.wait_for_line("standing by")
    held = leader(consul)
    first.stop()
    second.wait_for_line("this worker is the leader")
    wait_until(lambda: leader(consul) not in ("", held), "the lock in the second's name")
    kubernetes.put("services", service("web", "10.254.1.1"))
    wait_until(lambda: "web" in services(consul), "written by the second")


def test_a_killed_leader_is_known_to_be_dead(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    first = start_worker()
    first.wait_for_line("this worker is the leader")
    first.stop(signal.SIGKILL)
    start_worker().wait_for_line("this worker is the leader", 5)  # sessions end after 15 to 30 s


def test_a_paused_leader_that_comes_back_writes_nothing(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    first = start_worker()
    first.wait_for_line("this worker is the leader")
    kubernetes.put("services", service("web", "10.254.1.1"))
    wait_until(lambda: "web" in services(consul), "written by the first")
    os.kill(first.pid, signal.SIGSTOP)
    consul.client.put(f"/v1/session/destroy/{leader(consul)}")  # as its time to live would
    second = start_worker()
    second.wait_for_line("this worker is the leader")
    kubernetes.put("services", service("new", "10.254.1.2"))
    wait_until(lambda: "new" in services(consul), "written by the second")
    os.kill(first.pid, signal.SIGCONT)
    first.wait_for_line("lost the lock")
    assert {"web", "new"} <= services(consul)
    assert "lost the lock" not in second.log


def test_a_standby_that_missed_something_removes_nothing(
    consul: ConsulAgent, start_worker: StartWorker
) -> None:
    with scripted() as kubernetes:
        first = start_worker(of=kubernetes)
        first.wait_for_line("read from Consul")

        async def silent(request: Request) -> None:
            await request.begin_stream()
            await asyncio.Event().wait()

        kubernetes.next(silent, resource="services", watch=True)
        second = start_worker(of=kubernetes)
        second.wait_for_line("standing by")
        wait_until(lambda: not kubernetes.server.rules, "the standby's watch")
        kubernetes.put("services", service("web", "10.254.1.1"))
        wait_until(lambda: "web" in services(consul), "written by the leader")
        (before,) = consul.client.get("/v1/catalog/service/web").json()
        first.stop()
        second.wait_for_line("read from Consul")
        kubernetes.put("services", service("api", "10.254.1.2"))
        wait_until(lambda: "api" in services(consul), "written by the new leader")
        (after,) = consul.client.get("/v1/catalog/service/web").json()
        assert after["CreateIndex"] == before["CreateIndex"]  # never gone in between


def test_two_clusters_never_touch_each_other(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    with scripted(uid="uid-of-green") as green:
        for name, ip in (("web", "10.254.1.1"), ("api", "10.254.1.2")):
            kubernetes.put("services", service(name, ip))
            green.put("services", service(name, ip.replace("10.254", "10.99")))
        start_worker("--cluster", "blue")
        start_worker("--cluster", "green", of=green)
        plain = {"web", "api"}
        wait_until(lambda: len(services(consul) & plain) == 2, "both names")
        wait_until(
            lambda: len({n for n in services(consul) if n.split("-")[0] in plain}) == 4,
            "two services of each name",
        )
        for name in plain:
            assert len(addresses(consul, name)) == 1
            assert addresses(consul, name) | addresses(consul, f"{name}-default") == {
                a for ip in ("10.254", "10.99") for a in [f"{ip}.1.{1 if name == 'web' else 2}"]
            }
        green.delete("services", "web")
        green.delete("services", "api")
        wait_until(
            lambda: not any(key.startswith("0.1.99.10") for key in keys(consul, "0.")), "green gone"
        )
        everything = addresses(consul, "web") | addresses(consul, "web-default")
        assert everything == {"10.254.1.1"}


def test_a_second_cluster_of_the_same_name_is_refused(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    kubernetes.put("services", service("web", "10.254.1.1"))
    worker = start_worker()
    wait_until(lambda: "web" in services(consul), "the first cluster")
    worker.stop()
    with scripted(uid="uid-of-another") as another:
        another.put("services", service("other", "10.99.1.1"))
        for command in ("run", "once", "diff"):
            done = sync(command, "--consul-addr", consul.url, *another.arguments)
            assert done.returncode == 1
            assert "belongs to another cluster" in done.stderr
            assert "Traceback" not in done.stderr
        assert "web" in services(consul)
        done = sync("once", "--adopt", "--consul-addr", consul.url, *another.arguments)
        assert done.returncode == 0, done.stderr
        assert "other" in services(consul)
        assert "web" not in services(consul)
        assert not any("10.254.1.1" in key for key in keys(consul, "0."))


def test_a_foreign_service_is_neither_joined_nor_changed(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    foreign = {
        "Node": "vm-1",
        "Address": "192.0.2.77",
        "Service": {"ID": "redis", "Service": "redis", "Address": "192.0.2.77", "Port": 6379},
    }
    consul.put("/v1/catalog/register", foreign)
    consul.put("/v1/kv/0.1.254.10.IN-ADDR.ARPA/10.254.1.1", "by.hand")
    before = consul.client.get("/v1/catalog/service/redis").json()
    kubernetes.put("services", service("redis", "10.254.1.1"))
    kubernetes.put("services", service("consul", "10.254.1.2"))
    start_worker()
    wait_until(lambda: addresses(consul, "redis-default") == {"10.254.1.1"}, "redis-default")
    wait_until(lambda: addresses(consul, "consul-default") == {"10.254.1.2"}, "consul-default")
    assert consul.client.get("/v1/catalog/service/redis").json() == before
    assert keys(consul, "0.1.254.10.IN-ADDR.ARPA/10.254.1.1") == {
        "0.1.254.10.IN-ADDR.ARPA/10.254.1.1": "by.hand"
    }
    kubernetes.delete("services", "redis")
    wait_until(lambda: "redis-default" not in services(consul), "gone again")
    assert consul.client.get("/v1/catalog/service/redis").json() == before
    assert "0.1.254.10.IN-ADDR.ARPA/10.254.1.1" in keys(consul, "0.")


def test_what_somebody_removes_is_written_again(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    kubernetes.put("services", service("web", "10.254.1.1"))
    start_worker()
    wait_until(lambda: addresses(consul, "web") == {"10.254.1.1"}, "the service")
    wait_until(lambda: "0.1.254.10.IN-ADDR.ARPA/10.254.1.1" in keys(consul, "0."), "its key")
    consul.client.delete("/v1/kv/0.?recurse")
    wait_until(lambda: "0.1.254.10.IN-ADDR.ARPA/10.254.1.1" in keys(consul, "0."), "its key again")
    consul.put("/v1/catalog/deregister", {"Node": "k8s-kubernetes"})
    wait_until(lambda: addresses(consul, "web") == {"10.254.1.1"}, "the service again")


def test_consul_loses_everything(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    kubernetes.put("services", service("web", "10.254.1.1"))
    start_worker()
    wait_until(lambda: addresses(consul, "web") == {"10.254.1.1"}, "the service")
    consul.kill()
    consul.start()  # -dev: its state was in memory
    wait_until(lambda: addresses(consul, "web") == {"10.254.1.1"}, "the service again")
    wait_until(lambda: "0.1.254.10.IN-ADDR.ARPA/10.254.1.1" in keys(consul, "0."), "its key again")


def test_a_list_that_is_suddenly_empty_is_held(
    consul: ConsulAgent, start_worker: StartWorker
) -> None:
    with scripted() as kubernetes:
        for number in range(12):
            kubernetes.put("services", service(f"s{number}", f"10.254.1.{number + 1}"))
        hold = {"CONSULDNS_SYNC_MASS_DELETE_HOLD": "2s"}
        worker = start_worker(of=kubernetes, environment=hold)
        wait_until(lambda: len(services(consul)) == 12, "all services")

        async def empty(request: Request) -> None:
            body = {"metadata": {"resourceVersion": "100000"}, "items": []}
            await request.reply(json.dumps(body).encode())

        async def expired(request: Request) -> None:
            await request.status(410, "Expired", "too old resource version")

        kubernetes.next(empty, resource="services", watch=False, times=100)
        kubernetes.next(expired, resource="services", watch=True)
        kubernetes.stop()  # the running watch ends
        kubernetes.start()
        worker.wait_for_line("held: 12 services would be removed, of 12")
        assert len(services(consul)) == 12
        wait_until(lambda: services(consul) == set(), "two lists said so")


def test_forbidden_is_not_empty(consul: ConsulAgent, start_worker: StartWorker) -> None:
    with scripted() as kubernetes:
        kubernetes.put("services", service("web", "10.254.1.1"))
        worker = start_worker(of=kubernetes)
        wait_until(lambda: "web" in services(consul), "the service")

        async def forbidden(request: Request) -> None:
            await request.status(403, "Forbidden", "services is forbidden")

        kubernetes.next(forbidden, resource="services", times=4)
        kubernetes.stop()
        kubernetes.start()
        worker.wait_for_line("services is forbidden")
        worker.wait_for_line("watching services again")
        assert "web" in services(consul)


def test_another_cluster_behind_the_same_url(
    consul: ConsulAgent, start_worker: StartWorker
) -> None:
    with scripted() as kubernetes:
        kubernetes.put("services", service("web", "10.254.1.1"))
        worker = start_worker(of=kubernetes)
        wait_until(lambda: "web" in services(consul), "the service")
        kubernetes.stop()
        kubernetes.put("namespaces", {"metadata": {"name": "kube-system", "uid": "uid-other"}})
        kubernetes.delete("services", "web")
        kubernetes.compact()
        kubernetes.start()
        worker.wait_for_line("answers for another cluster")
        worker.wait_for_line("start the worker again with --adopt")
        assert "web" in services(consul)
        kubernetes.put("services", service("web", "10.254.1.1"))
        uid = "uid-of-kube-system"
        kubernetes.put("namespaces", {"metadata": {"name": "kube-system", "uid": uid}})
        worker.wait_for_line("services again")
        assert "web" in services(consul)


def test_diff_once_status_purge(consul: ConsulAgent, kubernetes: Cluster) -> None:
    load(kubernetes)
    both = ("--consul-addr", consul.url, *kubernetes.arguments)
    done = sync("diff", *both)
    assert done.returncode == 20
    lines = done.stdout.splitlines()
    shown = [" ".join(line.split()) for line in lines]
    assert "+ kube-system/monitoring-heapster added as monitoring-heapster, instances +1" in shown
    assert re.fullmatch(
        r"services: \d+ to add, 0 to change, 0 to remove; operations: \d+, 0 held", lines[-1]
    )
    done = sync("diff", "--verbose", *both)
    assert "    + set key 0.70.254.10.IN-ADDR.ARPA/10.254.70.176" in done.stdout.splitlines()
    assert services(consul) == set()
    assert keys(consul) == {}
    done = sync("diff", "--json", *both)
    assert done.returncode == 20
    document = json.loads(done.stdout)
    assert document["held"] == []
    assert {"operation", "service", "text"} == set(document["operations"][0])
    assert sync("once", *both).returncode == 0
    assert services(consul) == FLAT_NAMES
    done = sync("diff", *both)
    assert (done.returncode, done.stdout) == (0, "nothing to do\n")
    done = sync("status", "--consul-addr", consul.url)
    assert done.returncode == 0
    status = json.loads(done.stdout)
    assert (status["services"], status["reverse"], status["leader"]) == (12, 13, None)
    instances, stored = status["instances"], len(keys(consul))
    done = sync("purge", "--consul-addr", consul.url)
    assert done.returncode == 0
    assert done.stdout == f"removed {instances} instances and {stored} keys of 'kubernetes'\n"
    assert services(consul) == set()
    assert keys(consul) == {}
    done = sync("purge", "--consul-addr", consul.url)
    assert done.returncode == 1
    assert "there are no entries of a cluster 'kubernetes'" in done.stderr


def test_an_unsafe_plan_is_exit_status_21(consul: ConsulAgent, kubernetes: Cluster) -> None:
    for number in range(12):
        kubernetes.put("services", service(f"s{number}", f"10.254.1.{number + 1}"))
    both = ("--consul-addr", consul.url, *kubernetes.arguments)
    assert sync("once", *both).returncode == 0
    for number in range(12):
        kubernetes.delete("services", f"s{number}")
    done = sync("diff", *both)
    assert done.returncode == 21
    assert "held: too many at once" in done.stdout
    assert sync("once", *both).returncode == 21
    assert {f"s{number}" for number in range(12)} <= services(consul)
    assert sync("once", "--allow-mass-delete", *both).returncode == 0
    assert not {f"s{number}" for number in range(12)} & services(consul)


def test_purge_is_refused_while_a_worker_leads(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    start_worker().wait_for_line("this worker is the leader")
    for command in (["purge"], ["once", *kubernetes.arguments]):
        done = sync(*command, "--consul-addr", consul.url)
        assert done.returncode == 1
        assert "another worker is the leader" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["diff", "--kube-api", "http://127.0.0.1:1"], 1, "Kubernetes API at http://127.0.0.1:1"),
        (["diff", "--kubeconfig", "/nonexistent/config"], 4, "no such kubeconfig"),
        (["diff", "--cluster", "Not A Label"], 4, "sync.cluster"),
    ],
)
def test_mistakes_are_said_in_one_line(
    consul: ConsulAgent, arguments: list[str], status: int, said: str
) -> None:
    done = sync(*arguments, "--consul-addr", consul.url)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_waits_for_both_ends(kubernetes: Cluster, start_worker: StartWorker) -> None:
    worker = start_worker("--consul-addr", "http://127.0.0.1:1")
    worker.wait_for_line("cannot start, trying again")
    assert worker.status is None


def test_acls(kubernetes: Cluster) -> None:
    """With a token that may write one service and not another, the other holds up nothing."""
    acl = {"enabled": True, "default_policy": "deny", "tokens": {"master": "root"}}
    config = {"acl": acl, "primary_datacenter": "dc1"}
    consul = ConsulAgent(config=config)
    consul.client.headers["X-Consul-Token"] = "root"
    with consul:
        rules = (
            'node_prefix "k8s-" { policy = "write" } service_prefix "w" { policy = "write" } '
            'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" } '
            'key_prefix "consuldns/k8s" { policy = "write" } key_prefix "0." { policy = "write" } '
            'session_prefix "k8s-" { policy = "write" }'
        )
        consul.put("/v1/acl/policy", {"Name": "sync", "Rules": rules})
        token = consul.client.put("/v1/acl/token", json={"Policies": [{"Name": "sync"}]}).json()
        for name, ip in (("web", "10.254.1.1"), ("api", "10.254.1.2")):
            kubernetes.put("services", service(name, ip))
        command = ["consuldns", "sync", "once", "--consul-addr", consul.url]
        environment = {**os.environ, "CONSUL_HTTP_TOKEN": token["SecretID"]}
        done = subprocess.run(
            [sys.executable, "-m", *command, *kubernetes.arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment | {"PYTHONPATH": str(REPOSITORY)},
        )
        assert done.returncode == 1
        assert "default/api" in done.stderr
        assert "ermission denied" in done.stderr
        names = set(consul.client.get("/v1/catalog/services").json())
        assert "web" in names
        assert "api" not in names
