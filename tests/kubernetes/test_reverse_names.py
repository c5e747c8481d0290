"""The worker's refusal of a reverse name is the resolver's: from Kubernetes objects to replies."""

import asyncio
from ipaddress import ip_address
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.config.sync import EmptyVIPStatus, ReverseSource, SyncSettings
from consuldns.descriptor import ReverseTarget
from consuldns.sync.kubernetes.objects import Node
from tests.kubernetes.api_server import Object
from tests.kubernetes.objects import endpoint, node, service, slice_
from tests.kubernetes.test_names import HTTP, ask, catalog, synced
from tests.kubernetes.test_plan import World, happen, some_object
from tests.server.one_worker import Worker
from tests.support.catalog import Payload
from tests.support.properties import examples

LB: dict[str, Any] = {
    "type": "LoadBalancer",
    "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.20"}]}},
}
NODE_PORT: dict[str, Any] = {"type": "NodePort", "ports": [{**HTTP[0], "nodePort": 30080}]}
REFUSED = "5"  # an address outside of our reverse zones


def pod(address: str, name: str, namespace: str) -> Object:
    return endpoint(address, pod=name, namespace=namespace)


def pointers(written: Worker, address: str) -> set[str] | str:
    return ask(written, f"{ip_address(address).reverse_pointer} PTR")


def write(*objects: Any, sync: SyncSettings | None = None, nodes: tuple[Object, ...] = ()) -> World:
    world = World(sync or SyncSettings())
    world.cluster.nodes_changed([(None, msgspec.convert(each, Node)) for each in nodes])
    for object_ in objects:
        happen(world, object_)
    assert not asyncio.run(world.apply(world.plan_all())).failed
    return world


@pytest.mark.parametrize("of_quiz", [True, False], ids=["managed", "by hand"])
@pytest.mark.parametrize("of_aaa", [True, False], ids=["forged", "by hand"])
def test_an_address_that_two_namespaces_claim_points_nowhere(of_quiz: bool, of_aaa: bool) -> None:
    world = write(
        service("quiz", "None", namespace="web"),
        slice_("quiz", pod("10.244.1.30", "quiz-1", "web"), namespace="web", managed=of_quiz),
    )
    before = {"quiz.service.dc1.consul."} if of_quiz else "NXDOMAIN"
    assert pointers(Worker(catalog(world).views()), "10.244.1.30") == before
    claims = [pod(each, "aaa-1", "shop") for each in ("10.244.1.30", "203.0.113.77")]
    happen(world, service("aaa", "None", namespace="shop"))
    happen(world, slice_("aaa", *claims, namespace="shop", managed=of_aaa))
    assert not asyncio.run(world.apply(world.plan_dirty())).failed
    worker = Worker(catalog(world).views())
    assert ask(worker, "aaa.shop.svc.dc1.consul A") == {"10.244.1.30", "203.0.113.77"}
    assert pointers(worker, "10.244.1.30") == "NXDOMAIN"
    # A label that says the controller wrote the slice is believed, unless pods are verified.
    assert pointers(worker, "203.0.113.77") == ({"aaa.service.dc1.consul."} if of_aaa else REFUSED)
    world.remove("slice", "shop", "aaa-1")
    assert not asyncio.run(world.apply(world.plan_dirty())).failed
    assert pointers(Worker(catalog(world).views()), "10.244.1.30") == before


@pytest.mark.parametrize("reverse", [(), ("headless",), ("cluster-ip", "headless", "manual")])
@pytest.mark.parametrize("wish", ["false", ""])
def test_nobody_else_may_name_a_cluster_ip(reverse: tuple[ReverseSource, ...], wish: str) -> None:
    annotations = {"consuldns/service-reverse": wish} if wish else {}
    world = write(
        service("web", "10.0.0.1", annotations=annotations),
        service("thief", "None"),
        slice_("thief", endpoint("10.0.0.1", pod="t"), managed=True),
        sync=SyncSettings(reverse=reverse),
    )
    own = not wish and "cluster-ip" in reverse
    found = pointers(Worker(catalog(world).views()), "10.0.0.1")
    assert found == ({"web.service.dc1.consul."} if own else "NXDOMAIN")


ROWS: dict[str, tuple[World, str, set[str] | str]] = {
    "a cluster IP by default": (
        write(service("web", "10.0.0.1")),
        "10.0.0.1",
        {"web.service.dc1.consul."},
    ),
    "service-reverse false": (
        write(service("web", "10.0.0.1", annotations={"consuldns/service-reverse": "false"})),
        "10.0.0.1",
        "NXDOMAIN",
    ),
    "service-reverse false of a headless service": (
        write(
            service("web", "None", annotations={"consuldns/service-reverse": "false"}),
            slice_("web", endpoint("10.1.0.1", pod="p")),
        ),
        "10.1.0.1",
        "NXDOMAIN",
    ),
    "service-reverse with a name": (
        write(service("web", "10.0.0.1", annotations={"consuldns/service-reverse": "w.example"})),
        "10.0.0.1",
        {"w.example."},
    ),
    "sync.reverse is empty": (
        write(service("web", "10.0.0.1"), sync=SyncSettings(reverse=())),
        "10.0.0.1",
        "NXDOMAIN",
    ),
    "sync.reverse is empty, headless": (
        write(
            service("web", "None"),
            slice_("web", endpoint("10.1.0.1", pod="p")),
            sync=SyncSettings(reverse=()),
        ),
        "10.1.0.1",
        "NXDOMAIN",
    ),
    "a slice by hand": (
        write(service("web", "None"), slice_("web", endpoint("10.1.0.1"), managed=False)),
        "10.1.0.1",
        "NXDOMAIN",
    ),
    "a slice by hand, a public address": (
        write(service("web", "None"), slice_("web", endpoint("203.0.113.1"), managed=False)),
        "203.0.113.1",
        REFUSED,
    ),
    "the address of a node, by NodePort": (
        write(
            service("web", "10.0.0.1", **NODE_PORT),
            slice_("web", endpoint("10.1.0.1", pod="p", node="n1")),
            nodes=(node("n1", "10.9.0.1"),),
        ),
        "10.9.0.1",
        "NXDOMAIN",
    ),
    "the address of a node, by a slice": (
        write(
            service("web", "None"),
            slice_("web", endpoint("10.9.0.1", pod="p")),
            nodes=(node("n1", "10.9.0.1"),),
        ),
        "10.9.0.1",
        "NXDOMAIN",
    ),
    "a load balancer": (write(service("web", "10.0.0.1", **LB)), "198.51.100.20", REFUSED),
    "a load balancer, if it is set": (
        write(
            service("web", "10.0.0.1", **LB),
            slice_("web", endpoint("10.1.0.1", pod="p")),
            sync=SyncSettings(reverse=("load-balancer",)),
        ),
        "198.51.100.20",
        {"web.service.dc1.consul."},
    ),
    "endpoints of a service with a cluster IP": (
        write(
            service("web", "10.0.0.1", annotations={"consuldns/service-mode": "endpoints"}),
            slice_("web", endpoint("10.1.0.1", pod="p")),
        ),
        "10.1.0.1",
        "NXDOMAIN",
    ),
    "the node that all instances are on": (
        write(service("web", "10.0.0.1")),
        "192.0.2.1",
        REFUSED,
    ),
    "the flat name does not exist while the instance is critical": (
        write(service("web", "10.0.0.1"), sync=SyncSettings(vip_without_endpoints="critical")),
        "10.0.0.1",
        {"web.default.svc.dc1.consul."},
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_who_has_a_reverse_name(name: str) -> None:
    world, address, wanted = ROWS[name]
    assert pointers(Worker(catalog(world).views()), address) == wanted


ONLY_BY_KEY = {
    "service-reverse with a name": "NXDOMAIN",
    "a load balancer, if it is set": REFUSED,
}


@pytest.mark.parametrize("name", ROWS)
def test_who_has_one_where_the_keys_may_not_be_read(name: str) -> None:
    world, address, wanted = ROWS[name]
    written = catalog(world)
    written.kv = {key: value for key, value in written.kv.items() if not key.startswith("0.")}
    assert pointers(Worker(written.views()), address) == ONLY_BY_KEY.get(name, wanted)


@given(
    st.lists(some_object, max_size=12),
    st.sampled_from([(), ("cluster-ip",), ("headless",), ("cluster-ip", "headless", "endpoints")]),
    st.sampled_from(["flat", "nested"]),
    st.sampled_from(["warning", "critical"]),
)
@examples(100)
def test_no_address_on_a_clusters_node_has_a_reverse_name_without_a_key(
    objects: list[Any],
    reverse: tuple[ReverseSource, ...],
    target: ReverseTarget,
    empty: EmptyVIPStatus,
) -> None:
    sync = SyncSettings(reverse=reverse, reverse_target=target, vip_without_endpoints=empty)
    written = catalog(synced(objects, sync))
    keyed = {key.rpartition("/")[2] for key in written.kv if key.startswith("0.")}
    worker = Worker(written.views())
    for address in _addresses(written.register):
        found = pointers(worker, address)
        assert (address in keyed) == (found not in ("NXDOMAIN", REFUSED)), address


def _addresses(payloads: list[Payload]) -> set[str]:
    return {p["Address"] for p in payloads} | {
        p["Service"]["Address"] for p in payloads if p["Service"]["Address"][0].isdigit()
    }
