"""NodePort services: which nodes, and which of their addresses."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.names import parse_address
from tests.kubernetes.api_server import Object
from tests.kubernetes.mapping import entries
from tests.kubernetes.objects import endpoint, service, slice_
from tests.support.properties import examples

HTTP = {"name": "http", "protocol": "TCP", "port": 80, "nodePort": 30080}
BOTH = ["IPv4", "IPv6"]


def node(name: str, *addresses: str, ready: bool = True) -> Object:
    """A node with addresses in their order, each written `<type>=<address>`."""
    pairs = (each.partition("=") for each in addresses)
    return {
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "status": {
            "addresses": [{"type": type_, "address": address} for type_, _, address in pairs],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def node_port(*cluster_ips: str, families: list[str] | None = None, **spec: Any) -> Object:
    ips = list(cluster_ips) or ["10.0.0.1"]
    if families is not None:
        spec["ipFamilies"] = families
    return service("web", ips, type="NodePort", ports=[HTTP], **spec)


def pods(*nodes: str, family: str = "IPv4") -> Object:
    """A slice of ready pods, one on each node; an empty name: it does not say where it runs."""
    start = "10.1.0." if family == "IPv4" else "fd00:1::"
    each = (endpoint(f"{start}{n}", pod=f"p{n}", node=on) for n, on in enumerate(nodes, 1))
    return slice_("web", *each, name=f"web-{family.lower()}", family=family)


def found(object_: Object, *slices: Object, nodes: tuple[Object, ...], **settings: Any) -> set[str]:
    made = entries(object_, *slices, nodes=nodes, **settings).instances
    assert {each.port for each in made} <= {30080}
    return {f"{each.meta['k8s-node']} {each.address}" for each in made}


W1 = node("w1", "InternalIP=172.18.0.11", "InternalIP=fd00:18::11", "Hostname=w1")
W3 = node("w3", "InternalIP=fd00:18::13", "InternalIP=172.18.0.13", "Hostname=w3")
IN_BOTH = {"w1 172.18.0.11", "w1 fd00:18::11", "w3 172.18.0.13", "w3 fd00:18::13"}


@pytest.mark.parametrize(
    "slices", [[pods("w1", "w3")], [pods("w1", "w3"), pods("w1", "w3", family="IPv6")]]
)
def test_each_family_has_every_node_whatever_comes_first(slices: list[Object]) -> None:
    assert found(node_port(families=BOTH), *slices, nodes=(W1, W3)) == IN_BOTH


@pytest.mark.parametrize(
    ("object_", "families"),
    [
        (node_port(families=["IPv4"]), {4}),
        (node_port(families=["IPv6"]), {6}),
        (node_port("fd00::1"), {6}),  # of an API that says nothing of families
        (node_port("10.0.0.1", "fd00::1"), {4, 6}),
        (service("web", type="NodePort", ports=[HTTP]), {4, 6}),
        (node_port(families=["IPv9"]), {4}),  # of a later API
    ],
)
def test_the_families_are_the_services(object_: Object, families: set[int]) -> None:
    made = entries(object_, pods("w1", "w3"), nodes=(W1, W3)).instances
    assert {a.version for each in made if (a := parse_address(each.address))} == families


def test_a_family_that_only_a_lesser_type_has() -> None:
    mixed = node("w1", "InternalIP=fd00:18::11", "InternalIP=172.18.0.11", "ExternalIP=203.0.113.1")
    for types, addresses in {
        "external-first": {"w1 203.0.113.1", "w1 fd00:18::11"},
        "external-only": {"w1 203.0.113.1"},
        "internal-only": {"w1 172.18.0.11", "w1 fd00:18::11"},
    }.items():
        service_ = node_port(families=BOTH)
        assert found(service_, pods("w1"), nodes=(mixed,), node_port_addresses=types) == addresses


def test_nothing_changes_when_a_node_tells_its_families_in_another_order() -> None:
    def both_orders(*addresses: str) -> list[object]:
        orders = (addresses, tuple(reversed(addresses)))
        return [
            entries(node_port(families=BOTH), pods("w1"), nodes=(node("w1", *each),)).instances
            for each in orders
        ]

    one, other = both_orders("InternalIP=172.18.0.11", "InternalIP=fd00:18::11", "Hostname=w1")
    assert one == other


def test_local_traffic_goes_to_nodes_with_an_endpoint_only() -> None:
    w2 = node("w2", "InternalIP=172.18.0.12", "InternalIP=fd00:18::12")
    local = node_port(families=BOTH, externalTrafficPolicy="Local")
    on_w1, v6_on_w3 = pods("w1"), pods("w3", family="IPv6")
    assert found(local, on_w1, v6_on_w3, nodes=(W1, w2, W3)) == {"w1 172.18.0.11", "w3 fd00:18::13"}
    unknown = entries(local, pods("", ""), nodes=(W1, w2, W3))
    assert unknown.instances == ()
    assert "externalTrafficPolicy is Local, but no endpoint has" in "".join(unknown.problems)


@pytest.mark.parametrize("policy", ["", "Cluster"])
def test_without_a_node_name_every_ready_node(policy: str) -> None:
    away = node("w2", "InternalIP=172.18.0.12", ready=False)
    object_ = node_port(families=["IPv4"], externalTrafficPolicy=policy)
    found_ = found(object_, pods("", ""), nodes=(W1, away, W3))
    assert found_ == {"w1 172.18.0.11", "w3 172.18.0.13"}
    assert found(object_, pods("", "w3"), nodes=(W1, away, W3)) == {"w3 172.18.0.13"}
    assert found(object_, nodes=(W1, away, W3)) == set()  # nothing is ready to be reached


def test_an_address_that_is_none_is_skipped_and_named() -> None:
    for text in ("w1.example.com", "", "127.0.0.1", "0.0.0.0", "fe80::1", "fe80::1%eth0", "10.1"):
        odd = node("w1", f"InternalIP={text}", "InternalIP=172.18.0.11")
        made = entries(node_port(), pods("w1"), nodes=(odd,))
        assert [each.address for each in made.instances] == ["172.18.0.11"], text
        (problem,) = made.problems
        assert f"InternalIP {text!r} of node w1 is skipped" in problem


def test_no_address_at_all_is_a_problem() -> None:
    (problem,) = entries(
        node_port("fd00::1"), pods("w1"), nodes=(node("w1", "InternalIP=10.1.0.1"),)
    ).problems
    assert "no ready node that it can be reached at has an IPv6 address" in problem
    without = {**HTTP, "nodePort": 0}
    object_ = service("web", "10.0.0.1", type="NodePort", ports=[without])
    made = entries(object_, pods("w1"), nodes=(W1,))
    assert (made.instances, made.problems) == ((), ("it has no node port",))


# --- the whole kind, against a model -------------------------------------------------------------

TYPES = {
    "external-first": ("ExternalIP", "InternalIP"),
    "external-only": ("ExternalIP",),
    "internal-only": ("InternalIP",),
}
NAMES = ["n1", "n2", "n3", "n4"]
USABLE = [f"10.9.0.{n}" for n in range(1, 9)] + [f"fd09::{n}" for n in range(1, 9)]
TEXTS = st.sampled_from([*USABLE, *USABLE, "junk", "", "127.0.0.1", "fe80::1", "n1"])
ADDRESSES = st.lists(
    st.tuples(st.sampled_from(["InternalIP", "ExternalIP", "Hostname"]), TEXTS), max_size=6
)
NODES = st.dictionaries(st.sampled_from(NAMES), st.tuples(ADDRESSES, st.booleans()))
# Endpoints: family, ready, node.
ENDPOINTS = st.lists(
    st.tuples(st.sampled_from([4, 6]), st.booleans(), st.sampled_from([*NAMES, "", "gone"])),
    max_size=6,
)


def model(
    nodes: dict[str, tuple[list[tuple[str, str]], bool]],
    endpoints: list[tuple[int, bool, str]],
    families: list[int],
    local: bool,
    types: tuple[str, ...],
) -> set[str]:
    """The rules of the issue, one after the other."""
    expected = set()
    ready = [each for each in endpoints if each[1]]
    for family in families:
        of_family = {on for version, _, on in ready if version == family and on}
        running = of_family or {on for _, _, on in ready if on}
        if ready and not running and not local:
            running = set(nodes)
        for name in running & set(nodes):
            given, is_ready = nodes[name]
            texts = [text for type_ in types for t, text in given if t == type_]
            fitting = [t for t in texts if t in USABLE and (":" in t) == (family == 6)]
            if is_ready and fitting:
                expected.add(f"{name} {fitting[0]}")
    return expected


@given(
    nodes=NODES,
    endpoints=ENDPOINTS,
    families=st.sampled_from([[4], [6], [4, 6], [6, 4]]),
    local=st.booleans(),
    types=st.sampled_from(sorted(TYPES)),
    seed=st.integers(),
)
@examples(300)
def test_against_a_model(
    nodes: dict[str, tuple[list[tuple[str, str]], bool]],
    endpoints: list[tuple[int, bool, str]],
    families: list[int],
    local: bool,
    types: str,
    seed: int,
) -> None:
    objects = [
        node(name, *(f"{type_}={text}" for type_, text in given), ready=ready)
        for name, (given, ready) in nodes.items()
    ]
    slices = [
        slice_(
            "web",
            *(
                endpoint(f"10.1.0.{n}" if version == 4 else f"fd00:1::{n}", ready=ready, node=on)
                for n, (version, ready, on) in enumerate(endpoints, 1)
                if version == wanted
            ),
            name=f"web-{wanted}",
            family=f"IPv{wanted}",
        )
        for wanted in (4, 6)
    ]
    policy = "Local" if local else "Cluster"
    object_ = node_port(families=[f"IPv{each}" for each in families], externalTrafficPolicy=policy)
    first = entries(object_, *slices, nodes=tuple(objects), node_port_addresses=types)
    got = {f"{each.meta['k8s-node']} {each.address}" for each in first.instances}
    # Two nodes with one address are one instance: that of the first by name.
    expected = model(nodes, endpoints, families, local, TYPES[types])
    assert {each.split()[1] for each in got} == {each.split()[1] for each in expected}
    assert got <= expected
    if local:
        assert {each.split()[0] for each in got} <= {on for _, ready, on in endpoints if ready}
    # The order of nodes, of slices and of the families among a node's addresses is nothing.
    chance = random.Random(seed)
    chance.shuffle(objects)
    for each in objects:
        each["status"]["addresses"].sort(key=lambda a: ":" in a["address"], reverse=seed % 2 == 0)
    again = entries(object_, *reversed(slices), nodes=tuple(objects), node_port_addresses=types)
    assert again == first
