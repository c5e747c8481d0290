"""Which types of services are synced, what external IPs mean, what has no address yet."""

from typing import Any

import msgspec
import pytest

from consuldns.config.sync import SyncSettings
from consuldns.sync import selection
from consuldns.sync.kubernetes.objects import Service
from tests.kubernetes.api_server import Object
from tests.kubernetes.catalog import addresses, keys, services
from tests.kubernetes.conftest import Cluster, StartWorker
from tests.kubernetes.mapping import entries, overrides_of
from tests.kubernetes.objects import endpoint, service, slice_
from tests.kubernetes.test_end_to_end import sync
from tests.support.consul_agent import ConsulAgent, wait_until

PODS = slice_("web", endpoint("10.0.1.1", pod="w", node="n1"))
BALANCED: Object = {"loadBalancer": {"ingress": [{"ip": "203.0.113.4"}]}}
OBJECTS = {
    "ClusterIP": service("web", "10.0.0.1"),
    "headless": service("web", "None"),
    "NodePort": service("web", "10.0.0.1", type="NodePort"),
    "LoadBalancer": service("web", "10.0.0.1", type="LoadBalancer", status=BALANCED),
    "ExternalName": service("web", type="ExternalName", externalName="db.example.com"),
}


@pytest.mark.parametrize("left_out", ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"])
@pytest.mark.parametrize("sync_annotation", ["", "true"])
def test_a_type_that_is_left_out(left_out: str, sync_annotation: str) -> None:
    types = tuple(each for each in SyncSettings().types if each != left_out)
    gone = {left_out} | ({"headless"} if left_out == "ClusterIP" else set())
    for kind, object_ in OBJECTS.items():
        each = msgspec.convert(object_, Service)
        if sync_annotation:
            noted = {"consul.hashicorp.com/service-sync": sync_annotation}
            metadata = {**object_["metadata"], "annotations": noted}
            each = msgspec.convert({**object_, "metadata": metadata}, Service)
        overrides, settings = overrides_of(each), SyncSettings(types=types)
        is_wanted = selection.is_wanted(each, overrides, settings)
        assert is_wanted is (kind not in gone), kind
        problems = selection.problems_of_unwanted(each, overrides, settings)
        assert bool(problems) is (kind in gone and bool(sync_annotation))


@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.parametrize("believed", [False, True])
def test_external_ips_are_all_there_is_or_nothing(kind: str, believed: bool) -> None:
    object_ = OBJECTS[kind]
    spec = {**object_["spec"], "externalIPs": ["192.0.2.66", "2001:db8::66"]}
    without = entries(object_, PODS, external_ips=believed)
    found = entries({**object_, "spec": spec}, PODS, external_ips=believed)
    if believed and kind not in ("headless", "ExternalName"):
        assert [each.address for each in found.instances] == ["192.0.2.66", "2001:db8::66"]
        assert msgspec.json.decode(found.descriptor.value)["mode"] == "external-ips"
        assert found.problems == ()
    else:
        assert found.instances == without.instances
        assert len({*found.problems} - {*without.problems}) == 1


def test_external_ips_win_over_an_annotation_and_it_is_said() -> None:
    mode = {"consuldns/service-mode": "endpoints"}
    object_ = service("web", "10.0.0.1", externalIPs=["192.0.2.66"], annotations=mode)
    found = entries(object_, PODS, external_ips=True)
    assert [each.address for each in found.instances] == ["192.0.2.66"]
    assert found.problems == ("service-mode endpoints has no effect: externalIPs come first",)


@pytest.mark.parametrize(
    ("settings", "annotations", "expected"),
    [
        ({}, {}, ["203.0.113.4"]),
        ({"load_balancer_endpoints": True}, {}, ["10.0.1.1"]),
        ({"load_balancer_endpoints": True}, {"consuldns/service-mode": "vip"}, ["10.0.0.1"]),
        ({}, {"consuldns/service-mode": "endpoints"}, ["10.0.1.1"]),
    ],
)
def test_load_balancers_may_be_their_endpoints(
    settings: dict[str, Any], annotations: dict[str, str], expected: list[str]
) -> None:
    object_ = service(
        "web", "10.0.0.1", type="LoadBalancer", status=BALANCED, annotations=annotations
    )
    found = entries(object_, PODS, **settings)
    assert [each.address for each in found.instances] == expected


@pytest.mark.parametrize(
    ("object_", "slices", "flat", "absent"),
    [
        (service("web", "10.0.0.1", type="LoadBalancer"), [PODS], "web", "no address yet"),
        (OBJECTS["LoadBalancer"], [PODS], "web", ""),
        (OBJECTS["headless"], [], "web", "no endpoints"),
        (OBJECTS["NodePort"], [PODS], "web", "no instances"),
        (OBJECTS["ClusterIP"], [], "web", ""),
        (OBJECTS["ClusterIP"], [], "", "no flat name"),
    ],
)
def test_why_a_service_has_no_instances(
    object_: Object, slices: list[Object], flat: str, absent: str
) -> None:
    assert entries(object_, *slices, flat=flat).absent == absent


def test_a_pending_load_balancer_is_never_removed(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    """Neither a new one nor one that has lost its address; a headless service neither."""
    pending = service("web", "10.254.1.1", type="LoadBalancer")
    arguments = ["--consul-addr", consul.url, *kubernetes.arguments]
    kubernetes.put("services", pending)
    shown = sync("diff", *arguments).stdout
    assert "? default/web: no address yet" in shown
    worker = start_worker()
    worker.wait_for_line("no address yet service=default/web instances=+0-0")
    given = service("web", "10.254.1.1", type="LoadBalancer", status=BALANCED)
    kubernetes.put("services", given)
    worker.wait_for_line("added service=default/web flat=web instances=+1-0")
    kubernetes.put("services", pending)
    worker.wait_for_line("no address yet service=default/web instances=+0-1")
    assert "? default/web: no address yet" in sync("diff", *arguments).stdout
    assert addresses(consul, "web") == set()
    kubernetes.put("services", service("es", "None"))
    kubernetes.put("endpointslices", slice_("es", endpoint("172.16.0.1")))
    wait_until(lambda: addresses(consul, "es") == {"172.16.0.1"}, "the endpoint")
    kubernetes.delete("endpointslices", "es-1")
    worker.wait_for_line("no endpoints service=default/es instances=+0-1")
    assert not any("removed" in line for line in worker.lines)
    kubernetes.delete("services", "web")
    worker.wait_for_line("removed service=default/web instances=+0-0")
    kubernetes.put("endpointslices", slice_("es", endpoint("172.16.0.1")))
    wait_until(lambda: addresses(consul, "es") == {"172.16.0.1"}, "the endpoint again")
    kubernetes.delete("services", "es")
    worker.wait_for_line("removed service=default/es")


def test_a_worker_for_some_types(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    kubernetes.put("services", service("inside", "10.254.1.1"))
    given = service("outside", "10.254.1.2", type="LoadBalancer", status=BALANCED)
    kubernetes.put("services", given)
    start_worker(environment={"CONSULDNS_SYNC_TYPES": "NodePort,LoadBalancer"})
    wait_until(lambda: addresses(consul, "outside") == {"203.0.113.4"}, "the load balancer")
    assert "inside" not in services(consul)
    assert "consuldns/k8s/kubernetes/svc/default/inside" not in keys(consul, "consuldns/")
