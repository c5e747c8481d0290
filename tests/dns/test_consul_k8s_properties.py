"""Nested names of what consul-k8s has synced: never a number that is not an instance's own."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from consuldns.dns.answer import Answer, Data, Outcome, ServiceTarget, Target
from consuldns.dns.policy import KubernetesPolicy, Policy
from consuldns.dns.question import Type
from consuldns.names import Labels, parse_name
from tests.dns.test_properties import KINDS, ask
from tests.support import kubernetes_data
from tests.support.catalog import Catalog, Payload
from tests.support.closest_encloser import assert_it_holds
from tests.support.properties import examples

NAMES = ["http", "admin", "dns"]
numbers = st.sampled_from([0, 53, 80, 8080, 30080, 65535, 65536])
addresses = st.sampled_from(
    [
        *("10.0.0.1", "10.0.0.2", "fd00::1", "lb.example.net", "LB.Example.net."),
        *("cart.shop.service.consul", "cart.shop.svc.dc1.consul", "cart-shop.service.consul"),
        *("", "a..b"),
    ]
)
port_keys = st.dictionaries(
    st.sampled_from([*(f"port-{name}" for name in NAMES), "port-"]),
    st.sampled_from(["53", "80", "8080", "99999", "x", ""]),
    max_size=3,
)


@st.composite
def instances(draw: st.DrawFn) -> Payload:
    meta = {"external-source": "kubernetes", "external-k8s-ns": "shop", **draw(port_keys)}
    if draw(st.booleans()):
        meta |= {"external-k8s-ref-kind": "Pod", "external-k8s-ref-name": "cart-0"}
    return {
        "Node": "k8s-sync",
        "Address": "127.0.0.1",
        "NodeMeta": {"external-source": "kubernetes"},
        "Service": {
            "ID": str(draw(st.integers(0, 99))),
            "Service": draw(st.sampled_from(["cart-shop", "cart", "k8s-cart-shop", "k8s-cart"])),
            "Address": draw(addresses),
            "Port": draw(numbers),
            "Meta": meta,
        },
    }


catalogs = st.lists(instances(), min_size=1, max_size=4)
policies = st.sampled_from(
    [
        Policy(),
        Policy(kubernetes=KubernetesPolicy(consul_k8s_prefixes=("k8s-",))),
        Policy(kubernetes=KubernetesPolicy(consul_k8s_prefixes=())),
    ]
)
BASES = [parse_name("cart.shop.service.consul"), parse_name("cart.shop.svc.dc1.consul")]
PORTS: list[Labels] = [(f"_{name}".encode(), b"_tcp") for name in NAMES]


@examples(300)
@given(catalogs, policies)
def test_srv_has_the_port_of_an_instance_and_a_name_that_this_surely_has(
    payloads: list[Payload], policy: Policy
) -> None:
    views = Catalog(register=payloads).views()
    every = [payload["Service"] for payload in payloads]
    for base in BASES:
        plain = _locations(ask(base, Type.SRV, views, policy))
        assert {each.port for each in plain} <= {s["Port"] for s in every if 0 < s["Port"] < 65536}
        for port in PORTS:
            answer = ask((*port, *base), Type.SRV, views, policy)
            found = _locations(answer)
            assert bool(found) == (answer.outcome is Outcome.ANSWER)
            assert found or answer.outcome is Outcome.NXDOMAIN
            named = {s["Port"] for s in every if _has_name(s, port[0][1:].decode())}
            assert {each.port for each in found} <= named


def _has_name(service: Payload, name: str) -> bool:
    given: dict[str, Any] = {
        key.removeprefix("port-"): value
        for key, value in service["Meta"].items()
        if key.startswith("port-") and value.isdecimal()
    }
    return name in given and (len(given) == 1 or given[name] == str(service["Port"]))


def _locations(answer: Answer) -> list[ServiceTarget]:
    return [each for each in _data(answer) if isinstance(each, ServiceTarget)]


def _data(answer: Answer) -> set[Data]:
    return {record.data for each in answer.groups for record in each.records}


@examples(300)
@given(catalogs, policies)
def test_an_alias_is_alone_at_its_name_and_leads_elsewhere(
    payloads: list[Payload], policy: Policy
) -> None:
    views = Catalog(register=payloads).views()
    for base in BASES:
        for type_ in KINDS:
            answer = ask(base, type_, views, policy)
            for each in answer.groups:
                first = each.records[0]
                assert first.data != Target(base), "an alias of itself"
                if first.type == Type.CNAME:
                    assert len(answer.groups) == 1 or answer.exclusive


OTHERS = [{"namespace": "other", "name": "db", "cluster_ips": ["10.254.0.1"]}]
BELOW = [(b"x",), (b"_tcp",), (b"_a", b"_b", b"_c"), (b"x", b"y", b"z")]


@given(catalogs, policies, st.sampled_from(BELOW))
def test_what_it_has_synced_is_not_denied_by_a_closest_encloser(
    payloads: list[Payload], policy: Policy, left: Labels
) -> None:
    views = Catalog(register=payloads, kv=kubernetes_data.keys(OTHERS, [])).views()
    for base in BASES:
        labels = {label for each in BASES for label in each}
        for name in ((*left, *base), (*left, *base[1:])):
            answer = ask(name, Type.A, views, policy)
            assert_it_holds(name, answer, views, policy, labels)
