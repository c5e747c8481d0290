"""Names of endpoints through worker, Consul and server, all of them real; what they cost."""

from pathlib import Path
from typing import Any

from tests.kubernetes.api_server import Object
from tests.kubernetes.catalog import keys
from tests.kubernetes.conftest import Cluster, StartWorker
from tests.kubernetes.objects import endpoint, service, slice_
from tests.support.ask import answers, ask, rcode, wait_for_answer
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import Serve

HTTP = [{"name": "http", "protocol": "TCP", "port": 8080}]
OWN_ZONE = '[dns.kubernetes.zones]\n"cluster.local" = "kubernetes"\n'
BASE = "redis-master.default.svc.cluster.local."
PATH = "consuldns/k8s/kubernetes/ep/default/redis-master"
REVERSE = "0.95.0.10.IN-ADDR.ARPA/10.0.95.11"


def configured(folder: Path, settings: str) -> str:
    config = folder / "consuldns.toml"
    config.write_text(f'[sync]\nzone = "cluster.local"\n{settings}\n{OWN_ZONE}')
    return str(config)


def pods(*, ready: bool = True) -> Object:
    return slice_(
        "redis-master",
        endpoint("10.0.95.11", pod="redis-master-x2x4z", ready=ready),
        endpoint("10.0.95.12", pod="pg-0", hostname="pg-0"),
        ports=HTTP,
    )


def test_names_of_endpoints_below_a_service_with_a_cluster_ip(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker, tmp_path: Path
) -> None:
    kubernetes.put("services", service("redis-master", "10.254.1.1", ports=HTTP))
    kubernetes.put("endpointslices", pods())
    start_worker("--config", configured(tmp_path, "endpoint_names = true"))
    name, pointer = f"10-0-95-11.{BASE}", "11.95.0.10.in-addr.arpa."
    with Serve(consul.url, config=OWN_ZONE) as serve:
        wait_for_answer(serve.port, name, "A", "10.0.95.11")
        wait_for_answer(serve.port, pointer, "PTR", name)
        assert answers(ask(serve.port, name, "SRV")) == {f"0 100 8080 {name}"}
        assert answers(ask(serve.port, f"pg-0.{BASE}")) == {"10.0.95.12"}
        assert answers(ask(serve.port, BASE)) == {"10.254.1.1"}
        for other in ("10-0-95-12", "redis-master-x2x4z", "x"):
            assert rcode(ask(serve.port, f"{other}.{BASE}")) == "NXDOMAIN"
        # The same name in the default zone.
        default = "10-0-95-11.redis-master.default.svc.dc1.consul."
        assert answers(ask(serve.port, default)) == {"10.0.95.11"}
        kubernetes.put("endpointslices", pods(ready=False))
        wait_for_answer(serve.port, name, "A", "NXDOMAIN")
        wait_for_answer(serve.port, pointer, "PTR", "NXDOMAIN")
        kubernetes.put("endpointslices", pods())
        wait_for_answer(serve.port, name, "A", "10.0.95.11")
        wait_for_answer(serve.port, pointer, "PTR", name)


def test_names_by_pod(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker, tmp_path: Path
) -> None:
    kubernetes.put("services", service("redis-master", "10.254.1.1", ports=HTTP))
    kubernetes.put("endpointslices", pods())
    kubernetes.put("services", service("web", "None", ports=HTTP))
    kubernetes.put("endpointslices", slice_("web", endpoint("10.0.95.13", pod="web-a"), ports=HTTP))
    settings = 'endpoint_names = true\npod_names = true\nreverse_target = "nested"'
    start_worker("--config", configured(tmp_path, settings))
    with Serve(consul.url, config=OWN_ZONE) as serve:
        below = f"redis-master-x2x4z.{BASE}"
        wait_for_answer(serve.port, below, "A", "10.0.95.11")
        wait_for_answer(serve.port, "11.95.0.10.in-addr.arpa.", "PTR", below)
        headless = "web.default.svc.cluster.local."
        wait_for_answer(serve.port, f"web-a.{headless}", "A", "10.0.95.13")
        wait_for_answer(serve.port, "13.95.0.10.in-addr.arpa.", "PTR", f"web-a.{headless}")
        location = f"0 100 8080 web-a.{headless}"
        assert answers(ask(serve.port, f"_http._tcp.{headless}", "SRV")) == {location}
        assert answers(ask(serve.port, f"pg-0.{BASE}")) == {"10.0.95.12"}
        for other in (f"10-0-95-11.{BASE}", f"10-0-95-13.{headless}"):
            assert rcode(ask(serve.port, other)) == "NXDOMAIN"


def modified(consul: ConsulAgent) -> dict[str, int]:
    """When each key was written last."""
    found: list[dict[str, Any]] = consul.client.get("/v1/kv/", params={"recurse": ""}).json()
    return {each["Key"]: each["ModifyIndex"] for each in found}


def catalog_index(consul: ConsulAgent) -> str:
    """When anything about the service or its checks was written last."""
    reply = consul.client.get("/v1/health/service/redis-master")
    return str(reply.headers["X-Consul-Index"])


def test_an_endpoint_that_flaps_costs_one_entry_of_the_raft_log(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker, tmp_path: Path
) -> None:
    kubernetes.put("services", service("redis-master", "10.254.1.1", ports=HTTP))
    kubernetes.put("endpointslices", pods())
    start_worker("--config", configured(tmp_path, "endpoint_names = true"))
    wait_until(lambda: {PATH, REVERSE} <= keys(consul).keys(), "everything written")
    wait_until(lambda: "consuldns/k8s/kubernetes/meta" in keys(consul), "the record")
    before, catalog = modified(consul), catalog_index(consul)
    kubernetes.put("endpointslices", pods(ready=False))
    wait_until(lambda: REVERSE not in keys(consul), "gone")
    kubernetes.put("endpointslices", pods())
    wait_until(lambda: REVERSE in keys(consul), "back")
    after = modified(consul)
    assert {path for path in after if after[path] != before.get(path)} == {PATH, REVERSE}
    assert after[PATH] == after[REVERSE]  # one transaction is one entry
    assert catalog_index(consul) == catalog
