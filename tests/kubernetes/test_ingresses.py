"""Services that an Ingress exposes, as consul-k8s syncs them: mapping, changes, end to end."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from consuldns.config.sync import SyncSettings
from consuldns.sync.cache import ClusterCache
from consuldns.sync.desired import state
from consuldns.sync.desired.state import Entries
from consuldns.sync.kubernetes.objects import EndpointSlice, Ingress, Service
from tests.kubernetes.api_server import Object
from tests.kubernetes.catalog import addresses
from tests.kubernetes.conftest import Cluster as TestCluster
from tests.kubernetes.conftest import StartWorker
from tests.kubernetes.mapping import IDENTITY, overrides_of
from tests.kubernetes.objects import endpoint, ingress, rule, service, slice_
from tests.support.ask import answers, ask, wait_for_answer
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import Serve

WEB = service("web", "10.0.0.1")
UP = slice_("web", endpoint("10.0.1.1", pod="web-1"))
BALANCER = ({"ip": "203.0.113.7"}, {"ip": "2001:db8::7"}, {"hostname": "lb.example.net"})


def entries(object_: Object, *ingresses: Object, up: bool = True, **settings: Any) -> Entries:
    slices = [msgspec.convert(UP, EndpointSlice)] if up else []
    exposures = [msgspec.convert(each, Ingress) for each in ingresses]
    decoded = msgspec.convert(object_, Service)
    sync = SyncSettings(**settings)
    return state.entries(
        decoded, overrides_of(decoded), slices, {}, "web", sync, IDENTITY, exposures
    )


def found(result: Entries) -> list[str]:
    return [f"{each.address}:{each.port} {each.status}" for each in result.instances]


PLAIN = ["10.0.0.1:80 passing"]
HOST = ingress("web", rule("web.example.com", "web"), addresses=BALANCER)
NO_INGRESS_MODE = service("web", "10.0.0.1", annotations={"consuldns/service-mode": "vip"})


@pytest.mark.parametrize(
    ("object_", "ingresses", "setting", "expected"),
    [
        pytest.param(WEB, [HOST], "off", PLAIN, id="off"),
        pytest.param(WEB, [HOST], "host", ["web.example.com:80 passing"], id="host"),
        pytest.param(
            WEB,
            [HOST],
            "address",
            ["203.0.113.7:80 passing", "2001:db8::7:80 passing", "lb.example.net:80 passing"],
            id="addresses-of-the-balancer",
        ),
        pytest.param(
            WEB,
            [ingress("web", rule("a.example", "web"), secure=("a.example", "b.example"))],
            "host",
            ["a.example:443 passing"],
            id="tls",
        ),
        pytest.param(
            WEB,
            [ingress("web", rule("a.example", "web"), secure=("b.example",))],
            "host",
            ["a.example:80 passing"],
            id="tls-of-another-host",
        ),
        pytest.param(
            WEB,
            [ingress("web", rule("a.example", "web", path=""))],
            "host",
            ["a.example:80 passing"],
            id="empty-path",
        ),
        pytest.param(
            WEB, [ingress("web", rule("a.example", "web", path="/api"))], "host", PLAIN, id="path"
        ),
        pytest.param(
            WEB, [ingress("web", rule("a.example", "api"))], "host", PLAIN, id="another-service"
        ),
        pytest.param(
            WEB,
            [
                ingress("b", rule("b.example", "web"), rule("c.example", "web")),
                ingress("a", rule("a.example", "web"), rule("b.example", "web")),
            ],
            "host",
            ["a.example:80 passing", "b.example:80 passing", "c.example:80 passing"],
            id="several-hosts-each-once-in-a-fixed-order",
        ),
        pytest.param(
            WEB,
            [ingress("web", rule("a.example", "web"))],
            "address",
            PLAIN,
            id="no-address-yet",
        ),
        pytest.param(WEB, [ingress("web", rule("", "web"))], "host", PLAIN, id="every-host"),
        pytest.param(
            WEB,
            [ingress("web", rule("", "web"), addresses=({"ip": "203.0.113.7"},))],
            "address",
            ["203.0.113.7:80 passing"],
            id="every-host-by-address",
        ),
        pytest.param(
            WEB, [ingress("web", rule("*.example.com", "web"))], "host", PLAIN, id="wildcard"
        ),
        pytest.param(
            WEB,
            [ingress("web", rule("web.service.consul", "web"))],
            "host",
            PLAIN,
            id="a-name-of-our-own",
        ),
        pytest.param(
            WEB,
            [
                {
                    "metadata": {"name": "x", "namespace": "default"},
                    "spec": {
                        "rules": [
                            {"host": "a.example"},
                            {"host": "a.example", "http": {"paths": None}},
                            {"http": {"paths": [{"path": "/", "backend": {"resource": {}}}]}},
                        ]
                    },
                }
            ],
            "host",
            PLAIN,
            id="rules-without-a-service",
        ),
        pytest.param(
            service("web", "10.0.0.1", type="NodePort"), [HOST], "host", [], id="node-port"
        ),
        pytest.param(
            service("web", "None"), [HOST], "host", ["10.0.1.1:80 passing"], id="headless"
        ),
        pytest.param(NO_INGRESS_MODE, [HOST], "host", PLAIN, id="a-mode-by-annotation-wins"),
    ],
)
def test_where_a_service_is_found(
    object_: Object, ingresses: list[Object], setting: str, expected: list[str]
) -> None:
    assert found(entries(object_, *ingresses, ingress=setting)) == expected


def test_it_is_as_healthy_as_its_endpoints_are_together() -> None:
    result = entries(WEB, HOST, up=False, ingress="host", vip_without_endpoints="critical")
    assert found(result) == ["web.example.com:80 critical"]


def test_ports_of_the_service_are_not_those_of_the_ingress() -> None:
    (instance,) = entries(WEB, HOST, ingress="host").instances
    assert "k8s-ports" not in instance.meta


def test_the_nested_name_keeps_the_cluster_ip_which_points_to_it() -> None:
    result = entries(WEB, HOST, ingress="host")
    (candidate,) = result.candidates
    assert (candidate.address, candidate.target) == ("10.0.0.1", "web.default.svc.dc1.consul")
    described = msgspec.json.decode(result.descriptor.value)
    assert (described["mode"], described["clusterIPs"]) == ("ingress", ["10.0.0.1"])


@pytest.mark.parametrize(
    ("exposed", "setting", "problem"),
    [
        (rule("", "web"), "host", "Ingress web: a rule without a host cannot be an alias"),
        (
            rule("*.example.com", "web"),
            "host",
            "Ingress web: '*.example.com' cannot be the target of an alias",
        ),
        (
            rule("web.service.consul", "web"),
            "host",
            "Ingress web: 'web.service.consul' is in one of our own zones",
        ),
        (rule("a.example", "web"), "address", "Ingress web: no address yet"),
    ],
)
def test_what_cannot_be_used_is_said(exposed: Object, setting: str, problem: str) -> None:
    assert entries(WEB, ingress("web", exposed), ingress=setting).problems == (problem,)


def test_a_change_of_an_ingress_touches_the_services_that_it_led_to_and_leads_to() -> None:
    cluster = ClusterCache()
    one = msgspec.convert(ingress("i", rule("a", "web"), rule("b", "api")), Ingress)
    two = msgspec.convert(ingress("i", rule("a", "api"), rule("b", "db")), Ingress)
    web, api, db = (("default", name) for name in ("web", "api", "db"))
    for before, after, dirty in (
        (None, one, {web, api}),
        (one, two, {web, api, db}),
        (two, two, {api, db}),
        (two, None, {api, db}),
        (two, None, {api, db}),
    ):
        cluster.ingresses_changed([(before, after)])
        assert cluster.take_dirty()[0] == dirty
        for key in (web, api, db):
            is_led_to = after is not None and key in (dirty if after is not two else {api, db})
            assert list(cluster.exposures(key)) == ([after] if is_led_to else [])


def test_a_cluster_with_an_ingress(
    consul: ConsulAgent, kubernetes: TestCluster, start_worker: StartWorker, tmp_path: Path
) -> None:
    config = tmp_path / "consuldns.toml"
    config.write_text('[sync]\ningress = "host"\n')
    kubernetes.put("services", service("web", "10.254.1.1"))
    start_worker("--config", str(config))
    wait_until(lambda: addresses(consul, "web") == {"10.254.1.1"}, "the service by itself")
    exposed = ingress("web", rule("web.example.com", "web"), secure=("web.example.com",))
    kubernetes.put("ingresses", exposed)
    with Serve(consul.url) as serve:
        flat, nested = "web.service.consul.", "web.default.svc.dc1.consul."
        wait_for_answer(serve.port, flat, "CNAME", "web.example.com.")
        assert answers(ask(serve.port, flat, "SRV")) == {"1 1 443 web.example.com."}
        assert answers(ask(serve.port, nested, "A")) == {"10.254.1.1"}
        assert answers(ask(serve.port, "1.1.254.10.in-addr.arpa.", "PTR")) == {nested}
        kubernetes.delete("ingresses", "web")
        wait_for_answer(serve.port, flat, "A", "10.254.1.1")


def test_a_cluster_with_an_ingress_that_gets_its_address_late(
    consul: ConsulAgent, kubernetes: TestCluster, start_worker: StartWorker, tmp_path: Path
) -> None:
    config = tmp_path / "consuldns.toml"
    config.write_text('[sync]\ningress = "address"\n')
    kubernetes.put("services", service("web", "10.254.1.1"))
    kubernetes.put("ingresses", ingress("web", rule("web.example.com", "web")))
    worker = start_worker("--config", str(config))
    wait_until(lambda: addresses(consul, "web") == {"10.254.1.1"}, "the service by itself")
    worker.wait_for_line("service=default/web: Ingress web: no address yet")
    ready = ingress("web", rule("web.example.com", "web"), addresses=({"ip": "203.0.113.7"},))
    kubernetes.put("ingresses", ready)
    wait_until(lambda: addresses(consul, "web") == {"203.0.113.7"}, "its address")
