"""Ports of endpoints: each has its own, however many, or none; never the service's."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns import descriptor
from consuldns.descriptor import MAX_META, MAX_META_VALUE, Port
from tests.kubernetes.api_server import Object
from tests.kubernetes.conftest import Cluster, StartWorker
from tests.kubernetes.mapping import entries
from tests.kubernetes.objects import endpoint, service, slice_
from tests.support.ask import answers, ask, wait_for_answer
from tests.support.consul_agent import ConsulAgent
from tests.support.consuldns_process import Serve

LETTERS = st.sampled_from("abcxyz019")
PORT_NAMES = st.text(LETTERS, min_size=1, max_size=63) | st.just("") | st.just("n" * 63)
PORTS = st.tuples(PORT_NAMES, st.sampled_from(["TCP", "UDP", "SCTP"]), st.integers(1, 65535))


def longest(count: int) -> list[Object]:
    """Ports with names as long as they may be, and numbers too."""
    return [{"name": f"p{n:062}", "protocol": "SCTP", "port": 10000 + n} for n in range(count)]


# --- writing and reading -------------------------------------------------------------------------


@given(st.lists(PORTS, max_size=100))
def test_whatever_kubernetes_allows_is_read_as_it_was_written(ports: list[Port]) -> None:
    meta, left = descriptor.write_ports(ports, 17)
    assert left == 0
    assert descriptor.read_ports({"other": "x", **meta}) == tuple(ports)
    assert all(descriptor.META_KEY.fullmatch(key) and descriptor.is_own(key) for key in meta)
    assert all(len(value.encode()) <= MAX_META_VALUE for value in meta.values())


@given(st.lists(PORTS, max_size=400), st.integers(0, MAX_META))
def test_what_does_not_fit_is_counted_and_the_rest_is_right(ports: list[Port], room: int) -> None:
    meta, left = descriptor.write_ports(ports, room)
    assert len(meta) <= room
    read = descriptor.read_ports(meta)
    assert len(read) + left == len(ports)
    assert set(read) <= set(ports)


@given(st.dictionaries(st.sampled_from(["k8s-ports", "k8s-ports-2", "k8s-ports-x"]), st.text()))
def test_any_text_is_read_without_an_error(meta: dict[str, str]) -> None:
    assert all(map(descriptor.is_port, descriptor.read_ports(meta)))


@pytest.mark.parametrize(
    "text",
    ["http:TCP:0", "http:TCP:65536", "http:TCP:" + "9" * 500, "http:TCP:+8", "http:TCP:٣", "http"],
)
def test_a_number_that_is_no_port_is_left_out(text: str) -> None:
    assert descriptor.read_ports({"k8s-ports": f"{text},ok:UDP:53"}) == (("ok", "UDP", 53),)


# --- what an endpoint says -----------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 6, 7, 20, 42, 100])
def test_an_instance_has_all_its_ports_within_consuls_limits(count: int) -> None:
    annotations = {f"consuldns/service-meta-key-{n:02}": "v" * 512 for n in range(60)}
    found = entries(
        service("web", "None", ports=longest(count), annotations=annotations),
        slice_("web", endpoint("10.0.1.1", pod="w", hostname="w", node="n1"), ports=longest(count)),
    )
    (instance,) = found.instances
    assert descriptor.read_ports(instance.meta) == tuple(
        (each["name"], each["protocol"], each["port"]) for each in longest(count)
    )
    assert len(instance.meta) == MAX_META
    assert all(len(value) <= MAX_META_VALUE for value in instance.meta.values())
    # The user's own give way, and it is said.
    kept = sum(key.startswith("key-") for key in instance.meta)
    (problem,) = found.problems
    assert f"{60 - kept} of 60 keys do not fit" in problem


def test_more_ports_than_fit_are_a_problem_and_never_others() -> None:
    found = entries(
        service("web", "None", ports=longest(1)),
        slice_("web", endpoint("10.0.1.1", pod="w"), ports=longest(1000)),
    )
    (instance,) = found.instances
    kept = descriptor.read_ports(instance.meta)
    assert 300 < len(kept) < 1000
    assert len(instance.meta) <= MAX_META
    (problem,) = found.problems
    assert f"{1000 - len(kept)} of its 1000 ports do not fit" in problem


@pytest.mark.parametrize(
    "port",
    [
        {"name": "http", "protocol": "TCP"},  # no number: "all ports"
        {"name": "http", "protocol": "TCP", "port": 0},
        {"name": "http", "protocol": "TCP", "port": 70000},
        {"name": "ht,tp", "protocol": "TCP", "port": 80},
        {"name": "http", "protocol": "T:P", "port": 80},
    ],
)
def test_a_port_that_cannot_be_used_is_named(port: Object) -> None:
    admin = {"name": "admin", "protocol": "TCP", "port": 9000}
    found = entries(
        service("web", "None"), slice_("web", endpoint("10.0.1.1"), ports=[port, admin])
    )
    (instance,) = found.instances
    assert descriptor.read_ports(instance.meta) == (("admin", "TCP", 9000),)
    (problem,) = found.problems
    assert "is a port that cannot be used" in problem


def test_an_endpoint_without_the_port_that_is_asked_for_has_none() -> None:
    ports = [
        {"name": "http", "protocol": "TCP", "port": 80},
        {"name": "metrics", "protocol": "TCP", "port": 9100},
    ]
    object_ = service("web", "None", ports=ports, annotations={"consuldns/service-port": "metrics"})
    with_both = slice_("web", endpoint("10.0.1.1"), name="a", ports=ports)
    without = slice_("web", endpoint("10.0.1.2"), name="b", ports=ports[:1])
    found = entries(object_, with_both, without)
    assert [(each.address, each.port) for each in found.instances] == [
        ("10.0.1.1", 9100),
        ("10.0.1.2", 0),
    ]
    assert found.problems == ("service-port: endpoints have no port 'metrics'",)


# --- all the way to the DNS ----------------------------------------------------------------------


def test_the_srv_of_an_endpoint_with_many_ports_is_its_own(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    def ports(offset: int, count: int = 40) -> list[Object]:
        return [
            {"name": f"port-with-a-long-name-{n}", "protocol": "TCP", "port": offset + n}
            for n in range(count)
        ]

    kubernetes.put("services", service("many", "None", ports=ports(1000)))
    for number, offset in ((1, 8000), (2, 9000)):
        each = endpoint(f"172.16.0.{number}", hostname=f"pod-{number}", pod=f"pod-{number}")
        kubernetes.put(
            "endpointslices", slice_("many", each, name=f"many-{number}", ports=ports(offset))
        )
    # One that has fewer: of the port that it lacks nobody says the service's number.
    few = endpoint("172.16.0.3", hostname="pod-3", pod="pod-3")
    kubernetes.put("endpointslices", slice_("many", few, name="many-3", ports=ports(7000, 39)))
    none = endpoint("172.16.0.4", hostname="pod-4", pod="pod-4")
    kubernetes.put("endpointslices", slice_("many", none, name="many-4", ports=[]))
    start_worker()
    zone = "many.default.svc.dc1.consul."
    with Serve(consul.url) as serve:
        wait_for_answer(serve.port, f"pod-4.{zone}", "A", "172.16.0.4")
        for n in (0, 20, 39):
            name = f"_port-with-a-long-name-{n}._tcp.{zone}"
            found = {each.split(" ", 2)[2] for each in answers(ask(serve.port, name, "SRV"))}
            expected = {f"{8000 + n} pod-1.{zone}", f"{9000 + n} pod-2.{zone}"}
            if n < 39:
                expected.add(f"{7000 + n} pod-3.{zone}")
            assert found == expected
    stored = consul.client.get("/v1/catalog/service/many").json()
    assert all(len(each["ServiceMeta"]) <= MAX_META for each in stored)


def test_the_descriptor_has_them_all() -> None:
    described = entries(service("web", "10.0.0.1", ports=longest(100))).descriptor
    assert len(msgspec.json.decode(described.value)["ports"]) == 100
