"""What each kind of service is to be in Consul: the mapping, row by row."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from consuldns import reverse_layout
from consuldns.config.sync import SyncSettings
from consuldns.names import IPAddress, parse_address
from consuldns.sync import selection
from consuldns.sync.desired import reverse_names
from consuldns.sync.desired.reverse_names import choose
from consuldns.sync.desired.state import Entries
from consuldns.sync.kubernetes.objects import Service
from tests.kubernetes.api_server import Object
from tests.kubernetes.mapping import IDENTITY, entries, overrides_of
from tests.kubernetes.objects import endpoint, node, recorded_objects, service, slice_


def test_an_external_name_is_no_alias_of_itself() -> None:
    """In no form of its own names: Consul would answer with the address of the cluster's node."""
    for target in (
        *("web.service.CONSUL", "web.service.dc1.consul", "k8s.web.service.consul"),
        *("web.default.service.consul", "x.web.default.service.dc1.consul"),
        *("_web._tcp.service.consul", "_web._k8s.service.dc1.consul"),
        *(
            "web.default.svc.dc1.consul",
            "web.default.svc.cluster.local",
            "WEB.default.svc.dc1.CONSUL.",
        ),
    ):
        found = entries(service("web", type="ExternalName", externalName=target))
        assert not found.instances, target
        assert "resolves to the service itself" in found.problems[0]
    lb: dict[str, Any] = {"loadBalancer": {"ingress": [{"hostname": "web.service.consul"}]}}
    for circle in (
        service("web", "10.0.0.1", type="LoadBalancer", status=lb),
        service("web", "10.0.0.1", annotations={"consuldns/service-address": "web.service.consul"}),
    ):
        found = entries(circle)
        assert not found.instances
        assert "resolves to the service itself" in found.problems[0]
    for target in (
        *("web.db.service.consul", "web.shop.svc.dc1.consul", "_db._tcp.service.consul"),
        *("web.service.dc2.consul", "web.default.svc.example", "cluster.local"),
    ):
        found = entries(service("web", type="ExternalName", externalName=target))
        assert [each.address for each in found.instances] == [target]
        assert not found.problems


@dataclass(frozen=True)
class Row:
    """A service with its endpoints, and what it is to be.

    `instances` are `address:port status`, `reverse` is `address target` in order of claiming.
    """

    service: Object
    slices: tuple[Object, ...]
    instances: tuple[str, ...]
    reverse: tuple[str, ...] = ()
    nodes: tuple[Object, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


FLAT = "web.service.dc1.consul"
NESTED = "web.default.svc.dc1.consul"
HTTP = {"name": "http", "protocol": "TCP", "port": 80}
METRICS = {"name": "metrics", "protocol": "TCP", "port": 9100}
AT_8080, AT_8081 = [{**HTTP, "port": 8080}], [{**HTTP, "port": 8081}]
UP = slice_("web", endpoint("10.0.1.1", pod="web-1"), endpoint("10.0.1.2", pod="web-2"))
V6 = slice_("web", endpoint("2001:db8::1", pod="web-1"), name="web-6", family="IPv6")
NODES = (
    node("n1", "10.1.0.1", "198.51.100.1"),
    node("n2", "10.1.0.2"),
    node("n3", "10.1.0.3", ready=False),
)
ON_NODES = slice_(
    "web",
    endpoint("10.0.1.1", pod="a", node="n1"),
    endpoint("10.0.1.2", pod="b", node="n2"),
    endpoint("10.0.1.3", pod="c", node="n3"),
    endpoint("10.0.1.4", pod="d", node="unknown"),
)
NODE_PORT: dict[str, Any] = {"type": "NodePort", "ports": [{**HTTP, "nodePort": 30080}]}

ROWS = {
    "cluster-ip": Row(
        service("web", "10.0.0.1"), (UP,), ("10.0.0.1:80 passing",), (f"10.0.0.1 {FLAT}",)
    ),
    "cluster-ip-nested-target": Row(
        service("web", "10.0.0.1"),
        (UP,),
        ("10.0.0.1:80 passing",),
        (f"10.0.0.1 {NESTED}",),
        settings={"reverse_target": "nested"},
    ),
    "cluster-ip-without-endpoints": Row(
        service("web", "10.0.0.1"), (), ("10.0.0.1:80 warning",), (f"10.0.0.1 {FLAT}",)
    ),
    "cluster-ip-without-endpoints-critical": Row(
        service("web", "10.0.0.1"),
        (),
        ("10.0.0.1:80 critical",),
        (f"10.0.0.1 {NESTED}",),
        settings={"vip_without_endpoints": "critical"},
    ),
    "cluster-ip-endpoints": Row(
        service("web", "10.0.0.1"),
        (UP,),
        ("10.0.1.1:80 passing", "10.0.1.2:80 passing"),
        (f"10.0.0.1 {NESTED}",),
        settings={"mode": "endpoints"},
    ),
    "cluster-ip-endpoints-with-reverse": Row(
        service("web", "10.0.0.1"),
        (UP,),
        ("10.0.1.1:80 passing", "10.0.1.2:80 passing"),
        (f"10.0.0.1 {NESTED}", f"10.0.1.1 {FLAT}", f"10.0.1.2 {FLAT}"),
        settings={"mode": "endpoints", "reverse": ("cluster-ip", "endpoints")},
    ),
    "cluster-ip-both": Row(
        service("web", "10.0.0.1"),
        (UP,),
        ("10.0.0.1:80 passing", "10.0.1.1:80 passing", "10.0.1.2:80 passing"),
        (f"10.0.0.1 {FLAT}",),
        settings={"mode": "both"},
    ),
    "mode-by-annotation": Row(
        service("web", "10.0.0.1", annotations={"consuldns/service-mode": "endpoints"}),
        (UP,),
        ("10.0.1.1:80 passing", "10.0.1.2:80 passing"),
        (f"10.0.0.1 {NESTED}",),
    ),
    "dual-stack": Row(
        service("web", ["10.0.0.1", "fd00::1"]),
        (UP, V6),
        ("10.0.0.1:80 passing", "fd00::1:80 passing"),
        (f"10.0.0.1 {FLAT}", f"fd00::1 {FLAT}"),
    ),
    "dual-stack-endpoints": Row(
        service("web", ["10.0.0.1", "fd00::1"]),
        (UP, V6),
        ("10.0.1.1:80 passing", "10.0.1.2:80 passing", "2001:db8::1:80 passing"),
        (f"10.0.0.1 {NESTED}", f"fd00::1 {NESTED}"),
        settings={"mode": "endpoints"},
    ),
    "headless": Row(
        service("web", "None"),
        (UP,),
        ("10.0.1.1:80 passing", "10.0.1.2:80 passing"),
        (f"10.0.1.1 {FLAT}", f"10.0.1.2 {FLAT}"),
    ),
    "headless-nested-target": Row(
        service("web", "None"),
        (UP, V6),
        ("10.0.1.1:80 passing", "10.0.1.2:80 passing", "2001:db8::1:80 passing"),
        (
            f"10.0.1.1 10-0-1-1.{NESTED}",
            f"10.0.1.2 10-0-1-2.{NESTED}",
            f"2001:db8::1 2001-db8--1.{NESTED}",
        ),
        settings={"reverse_target": "nested"},
    ),
    "headless-hostname": Row(
        service("web", "None"),
        (slice_("web", endpoint("10.0.1.1", pod="web-0", hostname="web-0")),),
        ("10.0.1.1:80 passing",),
        (f"10.0.1.1 web-0.{NESTED}",),
        settings={"reverse_target": "nested"},
    ),
    "headless-address-ending-in-colons": Row(
        service("web", "None"),
        (slice_("web", endpoint("2001:db8::", pod="web-0"), family="IPv6"),),
        ("2001:db8:::80 passing",),
        (f"2001:db8:: 2001-db8--0.{NESTED}",),
        settings={"reverse_target": "nested"},
    ),
    "headless-without-ports": Row(
        service("web", "None", ports=[]),
        (slice_("web", endpoint("10.0.1.1", pod="web-1"), ports=[]),),
        ("10.0.1.1:0 passing",),
        (f"10.0.1.1 {FLAT}",),
    ),
    "headless-none-ready": Row(
        service("web", "None"),
        (slice_("web", endpoint("10.0.1.1", ready=False, pod="web-1")),),
        ("10.0.1.1:80 critical",),
    ),
    "headless-none-ready-omitted": Row(
        service("web", "None"),
        (slice_("web", endpoint("10.0.1.1", ready=False, pod="web-1")),),
        (),
        settings={"not_ready": "omit"},
    ),
    "headless-empty": Row(service("web", "None"), (), ()),
    "publish-not-ready": Row(
        service("web", "None", publishNotReadyAddresses=True),
        (slice_("web", endpoint("10.0.1.1", ready=False, pod="web-1")),),
        ("10.0.1.1:80 passing",),
        (f"10.0.1.1 {FLAT}",),
    ),
    "external-name": Row(
        service("web", ports=[], type="ExternalName", externalName="db.example.com."),
        (),
        ("db.example.com:0 passing",),
    ),
    "external-name-in-the-domain-of-consul": Row(
        service("web", ports=[], type="ExternalName", externalName="db.service.consul"),
        (),
        ("db.service.consul:0 passing",),
    ),
    "external-name-in-the-domain-of-the-cluster": Row(
        service("web", ports=[], type="ExternalName", externalName="DB.prod.svc.Cluster.Local."),
        (),
        ("db.prod.svc.dc1.consul:0 passing",),
    ),
    "external-name-in-a-domain-that-is-set": Row(
        service("web", ports=[], type="ExternalName", externalName="db.prod.svc.kube.example"),
        (),
        ("db.prod.svc.dc1.consul:0 passing",),
        settings={"cluster_domain": "kube.example"},
    ),
    "external-name-is-an-address": Row(
        service("web", type="ExternalName", externalName="192.0.2.7"), (), ()
    ),
    "node-port": Row(
        service("web", "10.0.0.1", **NODE_PORT),
        (ON_NODES,),
        ("198.51.100.1:30080 passing", "10.1.0.2:30080 passing"),
        (f"10.0.0.1 {NESTED}",),
        NODES,
    ),
    "node-port-internal-only": Row(
        service("web", "10.0.0.1", **NODE_PORT),
        (ON_NODES,),
        ("10.1.0.1:30080 passing", "10.1.0.2:30080 passing"),
        (f"10.0.0.1 {NESTED}",),
        NODES,
        {"node_port_addresses": "internal-only"},
    ),
    "node-port-external-only": Row(
        service("web", "10.0.0.1", **NODE_PORT),
        (ON_NODES,),
        ("198.51.100.1:30080 passing",),
        (f"10.0.0.1 {NESTED}",),
        NODES,
        {"node_port_addresses": "external-only"},
    ),
    "node-port-as-vip": Row(
        service("web", "10.0.0.1", annotations={"consuldns/service-mode": "vip"}, **NODE_PORT),
        (ON_NODES,),
        ("10.0.0.1:80 passing",),
        (f"10.0.0.1 {FLAT}",),
        NODES,
    ),
    "load-balancer": Row(
        service(
            "web",
            "10.0.0.1",
            type="LoadBalancer",
            status={"loadBalancer": {"ingress": [{"ip": "203.0.113.4", "ipMode": "Proxy"}]}},
        ),
        (UP,),
        ("203.0.113.4:80 passing",),
        (f"10.0.0.1 {NESTED}",),
    ),
    "load-balancer-hostname": Row(
        service(
            "web",
            "10.0.0.1",
            type="LoadBalancer",
            status={"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}]}},
        ),
        (),
        ("lb.example.com:80 warning",),
        (f"10.0.0.1 {NESTED}",),
    ),
    "load-balancer-with-reverse": Row(
        service(
            "web",
            "10.0.0.1",
            type="LoadBalancer",
            status={"loadBalancer": {"ingress": [{"ip": "203.0.113.4"}]}},
        ),
        (UP,),
        ("203.0.113.4:80 passing",),
        (f"10.0.0.1 {NESTED}", f"203.0.113.4 {FLAT}"),
        settings={"reverse": ("cluster-ip", "load-balancer")},
    ),
    "load-balancer-not-assigned-yet": Row(
        service("web", "10.0.0.1", type="LoadBalancer"), (UP,), (), (f"10.0.0.1 {NESTED}",)
    ),
    "external-ips-are-not-believed": Row(
        service("web", "10.0.0.1", externalIPs=["192.0.2.66"]),
        (UP,),
        ("10.0.0.1:80 passing",),
        (f"10.0.0.1 {FLAT}",),
    ),
    "external-ips-if-wanted": Row(
        service("web", "10.0.0.1", externalIPs=["192.0.2.66"]),
        (UP,),
        ("192.0.2.66:80 passing",),
        (f"10.0.0.1 {NESTED}",),
        settings={"external_ips": True},
    ),
    "no-selector": Row(
        service("web", "None"),
        (slice_("web", endpoint("192.0.2.30"), managed=False),),
        ("192.0.2.30:80 passing",),
    ),
    "no-selector-with-reverse": Row(
        service("web", "None"),
        (slice_("web", endpoint("192.0.2.30"), managed=False),),
        ("192.0.2.30:80 passing",),
        (f"192.0.2.30 {FLAT}",),
        settings={"reverse": ("headless", "manual")},
    ),
    "a-pod-of-another-namespace-is-no-pod": Row(
        service("web", "None"),
        (slice_("web", endpoint("10.0.1.1", pod="x", namespace="other")),),
        ("10.0.1.1:80 passing",),
    ),
    "slice-of-names": Row(
        service("web", "None"), (slice_("web", endpoint("a.example.com"), family="FQDN"),), ()
    ),
    "same-endpoint-in-two-slices": Row(
        service("web", "None"),
        (
            slice_("web", endpoint("10.0.1.1", ready=False, pod="web-1"), name="web-1"),
            slice_("web", endpoint("10.0.1.1", pod="web-1"), name="web-2"),
        ),
        ("10.0.1.1:80 passing",),
        (f"10.0.1.1 {FLAT}",),
    ),
    "named-port-differs-by-pod": Row(
        service("web", "None", ports=[HTTP]),
        (
            slice_("web", endpoint("10.0.1.1", pod="a"), name="web-1", ports=AT_8080),
            slice_("web", endpoint("10.0.1.2", pod="b"), name="web-2", ports=AT_8081),
        ),
        ("10.0.1.1:8080 passing", "10.0.1.2:8081 passing"),
        (f"10.0.1.1 {FLAT}", f"10.0.1.2 {FLAT}"),
    ),
    "two-pods-on-the-host-network": Row(
        service("web", "None", ports=[HTTP]),
        (
            slice_("web", endpoint("10.1.0.1", pod="a"), name="web-1", ports=AT_8080),
            slice_("web", endpoint("10.1.0.1", pod="b"), name="web-2", ports=AT_8081),
        ),
        ("10.1.0.1:8080 passing", "10.1.0.1:8081 passing"),
        (f"10.1.0.1 {FLAT}", f"10.1.0.1 {FLAT}"),
    ),
    "port-by-annotation": Row(
        service(
            "web",
            "10.0.0.1",
            ports=[HTTP, METRICS],
            annotations={"consul.hashicorp.com/service-port": "metrics"},
        ),
        (UP,),
        ("10.0.0.1:9100 passing",),
        (f"10.0.0.1 {FLAT}",),
    ),
    "port-by-number": Row(
        service("web", "10.0.0.1", annotations={"consul.hashicorp.com/service-port": "8443"}),
        (UP,),
        ("10.0.0.1:8443 passing",),
        (f"10.0.0.1 {FLAT}",),
    ),
    "address-by-annotation": Row(
        service("web", "10.0.0.1", annotations={"consuldns/service-address": "192.0.2.80"}),
        (UP,),
        ("192.0.2.80:80 passing",),
        (f"10.0.0.1 {NESTED}",),
    ),
    "no-reverse-by-annotation": Row(
        service("web", "10.0.0.1", annotations={"consuldns/service-reverse": "false"}),
        (UP,),
        ("10.0.0.1:80 passing",),
    ),
    "reverse-name-by-annotation": Row(
        service("web", "10.0.0.1", annotations={"consuldns/service-reverse": "w.example.com."}),
        (UP,),
        ("10.0.0.1:80 passing",),
        ("10.0.0.1 w.example.com",),
    ),
    "no-reverse-at-all": Row(
        service("web", "10.0.0.1"), (UP,), ("10.0.0.1:80 passing",), settings={"reverse": ()}
    ),
}


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in ROWS.items()])
def test_rows(row: Row) -> None:
    found = entries(row.service, *row.slices, nodes=row.nodes, **row.settings)
    assert tuple(f"{i.address}:{i.port} {i.status}" for i in found.instances) == row.instances
    named = (each for each in found.candidates if each.target)
    assert tuple(f"{c.address} {c.target}" for c in named) == row.reverse


@pytest.mark.parametrize(
    ("ready", "serving", "terminating", "status"),
    [
        (True, True, False, "passing"),
        (None, None, None, "passing"),
        (True, False, False, "passing"),
        (False, False, False, "critical"),
        (False, True, True, "critical"),
        (False, None, True, None),
        (False, False, True, None),
    ],
)
def test_conditions(
    ready: bool | None, serving: bool | None, terminating: bool | None, status: str | None
) -> None:
    each = endpoint("10.0.1.1", ready=ready, serving=serving, terminating=terminating)
    found = entries(service("web", "None"), slice_("web", each))
    assert [i.status for i in found.instances] == ([status] if status else [])


@pytest.mark.parametrize(
    ("others", "status"), [((), "passing"), ((endpoint("10.0.1.9"),), "critical")]
)
def test_what_still_serves_is_the_last_resort(others: tuple[Object, ...], status: str) -> None:
    ending = endpoint("10.0.1.1", ready=False, serving=True, terminating=True)
    found = entries(service("web", "None"), slice_("web", ending, *others), serve_terminating=True)
    assert found.instances[0].status == status


def test_an_instance_in_full() -> None:
    annotations = {
        "consul.hashicorp.com/service-tags": "a, b\\,c",
        "consul.hashicorp.com/service-meta-team": "shop",
        "consul.hashicorp.com/service-meta-k8s-uid": "forged",
        "consul.hashicorp.com/service-weight": "7",
        "consuldns/service-weight": "9",
    }
    found = entries(
        service("web", "None", ports=[HTTP, METRICS], annotations=annotations),
        slice_(
            "web",
            endpoint("10.0.1.1", pod="web-0", hostname="web-0", node="n1"),
            ports=[METRICS, HTTP],
        ),
    )
    (instance,) = found.instances
    assert instance.id == "blue/default/web/web/10.0.1.1/80"
    assert instance.service == "web"
    assert instance.tags == ("k8s", "cluster-blue", "a", "b,c")
    assert instance.weight == 9
    assert instance.output == "ready"
    assert instance.meta == {
        "external-source": "kubernetes",
        "external-k8s-ns": "default",
        "external-k8s-ref-kind": "Service",
        "external-k8s-ref-name": "web",
        "k8s-cluster": "blue",
        "k8s-uid": "uid-default-web",
        "k8s-hostname": "web-0",
        "k8s-target": "web-0",
        "k8s-node": "n1",
        "k8s-ports": "http:TCP:80,metrics:TCP:9100",
        "team": "shop",
        "port-http": "80",
        "port-metrics": "9100",
    }


def test_a_long_id_is_cut_and_stays_unique() -> None:
    name, namespace = "n" * 63, "s" * 63
    made = [
        entries(service(name, ip, namespace=namespace), flat=name).instances[0].id
        for ip in ("10.0.0.1", "10.0.0.2")
    ]
    assert len(set(made)) == 2
    assert all(len(each) <= 200 for each in made)


def test_without_a_flat_name_there_are_no_instances_but_all_else() -> None:
    found = entries(service("web", "10.0.0.1"), flat="")
    assert found.instances == ()
    assert [c.target for c in found.candidates] == [NESTED]
    assert msgspec.json.decode(found.descriptor.value)["flat"] == ""


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        ("service-name", "not a name"),
        ("service-weight", "0"),
        ("service-mode", "sideways"),
        ("service-sync", "perhaps"),
        ("service-meta-a b", "x"),
        ("service-meta-long", "x" * 513),
        ("service-address", "a..b"),
    ],
)
def test_a_bad_annotation_is_said_and_left_out(annotation: str, value: str) -> None:
    found = entries(service("web", "10.0.0.1", annotations={f"consuldns/{annotation}": value}))
    assert len(found.problems) == 1
    assert annotation in found.problems[0]
    assert [i.address for i in found.instances] == ["10.0.0.1"]


@pytest.mark.parametrize(
    ("settings", "annotations", "wanted"),
    [
        ({}, {}, True),
        ({"default": False}, {}, False),
        ({"default": False}, {"consul.hashicorp.com/service-sync": "true"}, True),
        ({}, {"consul.hashicorp.com/service-sync": "false"}, False),
        (
            {},
            {"consul.hashicorp.com/service-sync": "false", "consuldns/service-sync": "true"},
            True,
        ),
        ({"allow_namespaces": ("other",)}, {}, False),
        ({"allow_namespaces": ("default",)}, {}, True),
        ({"deny_namespaces": ("default",)}, {}, False),
        ({"allow_namespaces": ("default",), "deny_namespaces": ("default",)}, {}, False),
    ],
)
def test_which_services_are_synced(
    settings: dict[str, Any], annotations: dict[str, str], wanted: bool
) -> None:
    object_ = msgspec.convert(service("web", "10.0.0.1", annotations=annotations), Service)
    assert selection.is_wanted(object_, overrides_of(object_), SyncSettings(**settings)) is wanted


def test_kube_system_is_synced_by_default() -> None:
    object_ = msgspec.convert(service("kube-dns", "10.0.0.1", namespace="kube-system"), Service)
    assert selection.is_wanted(object_, overrides_of(object_), SyncSettings())


# --- the recorded cluster ------------------------------------------------------------------------


def recorded(name: str, **settings: Any) -> Entries:
    objects = recorded_objects("list-services-paged")
    object_ = next(each for each in objects if each["metadata"]["name"] == name)
    slices = [
        each
        for each in recorded_objects("list-endpointslices")
        if each["metadata"]["labels"]["kubernetes.io/service-name"] == name
    ]
    nodes = tuple(recorded_objects("list-nodes"))
    return entries(object_, *slices, nodes=nodes, **settings)


@pytest.mark.parametrize(
    ("name", "instances"),
    [
        ("monitoring-heapster", ["10.254.70.176:80 passing"]),
        ("redis-master", ["10.254.167.82:6379 passing"]),
        ("redis-slave", ["10.254.95.240:6379 passing"]),
        ("kube-dns", ["10.254.0.10:53 passing"]),
        ("kube-ui", ["10.254.51.158:80 warning"]),  # no endpoints at all
        ("monitoring-influxdb", ["10.254.187.157:8086 passing"]),  # publishNotReadyAddresses
        ("kibana-logging", ["198.51.100.6:30601 passing"]),
        ("monitoring-grafana", ["203.0.113.40:80 passing"]),
        ("legacy-billing", ["billing.corp.example.com:0 passing"]),
        ("mainframe", ["10.254.252.101:992 passing"]),
        (
            "elasticsearch-logging",
            [
                "10.0.96.20:9200 passing",
                "10.0.96.21:9200 passing",
                "10.0.96.22:9200 passing",
                "2001:db8:70::a:9200 passing",
            ],
        ),
    ],
)
def test_recorded_services(name: str, instances: list[str]) -> None:
    found = recorded(name)
    assert [f"{i.address}:{i.port} {i.status}" for i in found.instances] == instances


def test_recorded_endpoints() -> None:
    slave = recorded("redis-slave", mode="endpoints").instances
    assert [f"{i.address} {i.status}" for i in slave] == [
        "10.0.95.12 passing",
        "10.0.95.13 passing",
        "10.0.95.14 critical",
    ]
    mainframe = recorded("mainframe", mode="endpoints").instances
    assert [f"{i.address} {i.status}" for i in mainframe] == [
        "192.0.2.30 passing",
        "192.0.2.31 critical",  # being shut down, still serving
    ]


def test_the_reverse_entry_of_the_proof_of_concept() -> None:
    chosen = choose(recorded("monitoring-heapster").candidates, nodes=())
    assert chosen is not None
    entry = reverse_names.entry(chosen, IDENTITY)
    assert entry.path == "0.70.254.10.IN-ADDR.ARPA/10.254.70.176"
    assert entry.value == b"monitoring-heapster.service.dc1.consul"
    assert entry.flags == IDENTITY.flags != 0


def test_the_descriptor() -> None:
    found = recorded("elasticsearch-logging").descriptor
    assert found.path == "consuldns/k8s/blue/svc/kube-system/elasticsearch-logging"
    assert msgspec.json.decode(found.value) == {
        "v": 1,
        "uid": "6168404f-4d79-4e41-94fb-f071b3c23f86",
        "type": "ClusterIP",
        "flat": "elasticsearch-logging",
        "mode": "endpoints",
        "headless": True,
        "clusterIPs": [],
        "families": ["IPv4"],
        "ports": [
            {"port": 9200, "name": "db", "protocol": "TCP", "nodePort": 0, "appProtocol": ""},
            {
                "port": 9300,
                "name": "transport",
                "protocol": "TCP",
                "nodePort": 0,
                "appProtocol": "",
            },
        ],
        "externalName": "",
        "publishNotReady": False,
        "reverse": "flat",
    }


def test_the_descriptor_does_not_change_with_the_endpoints() -> None:
    some, others = (
        entries(service("web", "None"), slice_("web", *each)).descriptor
        for each in ([endpoint("10.0.1.1")], [])
    )
    assert some == others


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("10.254.70.176", "0.70.254.10.IN-ADDR.ARPA/10.254.70.176"),
        (
            "2001:db8:70::a",
            "0.0.0.0.0.0.7.0.0.8.b.d.0.1.0.0.2.IP6.ARPA/2001:db8:70::a",
        ),
    ],
)
def test_reverse_keys(address: str, key: str) -> None:
    parsed: IPAddress | None = parse_address(address)
    assert parsed is not None
    assert reverse_layout.key(parsed) == key
