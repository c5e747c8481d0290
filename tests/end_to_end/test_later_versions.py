"""Forms of names that later versions of Consul have, with HTTP replies as their documents say."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.ask import answers, ask, rcode, wait_for_answer
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import Serve
from tests.support.later_consul import LaterConsul

NAMESPACES_ARE_ENTERPRISE = (
    'Invalid query parameter: "ns" - Namespaces are a Consul Enterprise feature'
)


def entry(node: str, service: str, address: str, **fields: Any) -> dict[str, Any]:
    """An instance in /v1/health/service."""
    return {
        "Node": {"ID": "", "Node": node, "Address": "10.9.0.1", "Datacenter": "dc1"},
        "Service": {"ID": service, "Service": service, "Address": address, "Port": 80} | fields,
        "Checks": [],
    }


@pytest.fixture(scope="module")
def later() -> Iterator[LaterConsul]:
    """Consul 1.22 with peers, virtual addresses, named ports; an Enterprise one."""
    with ConsulAgent() as consul, LaterConsul.over(consul.url) as server:
        for name in ("web", "plain", "multi"):
            consul.put(
                "/v1/catalog/register",
                {"Node": "n1", "Address": "10.0.0.1", "Service": {"Service": name, "Port": 80}},
            )
        server.put("/v1/peerings", [{"Name": "West", "State": "ACTIVE"}, {"Name": "east"}])
        server.put(
            "/v1/health/service/web",
            [entry("p1", "web", "10.7.0.1", Tags=["v1"]), entry("p2", "web", "")],
            peer="West",
        )
        server.put("/v1/catalog/nodes", [{"Node": "p1", "Address": "10.9.0.1"}], peer="West")
        server.put("/v1/health/service/web", [], peer="east")
        server.put("/v1/health/service/gone", [], peer="West")
        virtual = {"consul-virtual": {"Address": "240.0.0.5", "Port": 80}}
        proxy = entry("n1", "web-proxy", "10.0.0.1", TaggedAddresses=virtual)
        server.put("/v1/health/connect/web", [proxy])
        far = {"consul-virtual": {"Address": "240.0.0.9", "Port": 80}}
        server.put(
            "/v1/health/connect/web",
            [entry("p1", "w", "10.7.0.1", TaggedAddresses=far)],
            peer="West",
        )
        ports = [{"Name": "http", "Port": 8080, "Default": True}, {"Name": "grpc", "Port": 9090}]
        server.put(
            "/v1/health/service/multi",
            [
                entry("n1", "multi", "10.8.0.1", Port=0, Ports=ports),
                entry("n2", "multi", "10.8.0.2"),
            ],
        )
        server.put(
            "/v1/health/service/web", [entry("n1", "web", "10.6.0.1")], ns="team", partition="blue"
        )
        server.put(
            "/v1/health/service/web", [entry("n1", "web", "10.6.0.2")], ns="default", sg="all"
        )
        server.put("/v1/health/service/web", [], ns="nobody")
        server.put(
            "/v1/catalog/node/n7",
            {"Node": {"Node": "n7", "Address": "10.6.0.7", "Meta": {"a": "b"}}, "Services": {}},
            ns="default",
            partition="blue",
        )
        server.put("/v1/catalog/node/n8", None, ns="default", partition="blue")
        yield server


@pytest.fixture(scope="module")
def serve(later: LaterConsul) -> Iterator[Serve]:
    with Serve(later.url) as serve:
        wait_for_answer(serve.port, "v1.web.service.west.peer.consul", "A", "10.7.0.1")
        yield serve


PEER_SRV = "1 1 80 0a070001.addr.dc1.consul."


@pytest.mark.parametrize(
    ("name", "type_", "expected"),
    [
        ("web.service.west.peer.consul", "A", {"10.7.0.1", "10.9.0.1"}),
        ("WEB.Service.West.Peer.consul", "A", {"10.7.0.1", "10.9.0.1"}),
        ("v1.web.service.west.peer.consul", "A", {"10.7.0.1"}),
        ("_web._v1.service.west.peer.consul", "SRV", {PEER_SRV}),
        ("_web._tcp.service.west.peer.consul", "A", {"10.7.0.1", "10.9.0.1"}),
        ("p1.node.west.peer.consul", "A", {"10.9.0.1"}),
        ("web.service.dc1.dc.consul", "A", {"10.0.0.1"}),
        ("n1.node.dc1.dc.consul", "A", {"10.0.0.1"}),
        ("web.virtual.consul", "A", {"240.0.0.5"}),
        ("web.virtual.dc1.dc.consul", "A", {"240.0.0.5"}),
        ("web.virtual.west.consul", "A", {"240.0.0.9"}),
        ("web.virtual.west.peer.consul", "A", {"240.0.0.9"}),
        ("web.service.team.ns.blue.ap.dc1.dc.consul", "A", {"10.6.0.1"}),
        ("web.service.all.sg.consul", "A", {"10.6.0.2"}),
        ("n7.node.blue.ap.consul", "A", {"10.6.0.7"}),
        ("N7.node.Blue.ap.dc1.dc.consul", "A", {"10.6.0.7"}),
        ("n7.node.blue.ap.consul", "TXT", {'"a=b"'}),
        (
            "multi.service.consul",
            "SRV",
            {"1 1 8080 0a080001.addr.dc1.consul.", "1 1 80 0a080002.addr.dc1.consul."},
        ),
        ("multi.service.grpc.port.consul", "SRV", {"1 1 9090 0a080001.addr.dc1.consul."}),
        ("multi.service.grpc.port.dc1.dc.consul", "SRV", {"1 1 9090 0a080001.addr.dc1.consul."}),
        ("grpc.port.multi.service.consul", "SRV", {"1 1 9090 0a080001.addr.dc1.consul."}),
        ("http.port.multi.service.consul", "A", {"10.8.0.1"}),
    ],
)
def test_answers(serve: Serve, name: str, type_: str, expected: set[str]) -> None:
    reply = ask(serve.port, name, type_)
    assert rcode(reply) == "NOERROR"
    assert answers(reply) == expected


@pytest.mark.parametrize(
    ("name", "type_", "expected"),
    [
        ("gone.service.west.peer.consul", "A", "NXDOMAIN"),
        ("n8.node.blue.ap.consul", "A", "NXDOMAIN"),
        ("n7.node.team.ns.blue.ap.consul", "A", "NXDOMAIN"),
        ("web.service.east.peer.consul", "A", "NXDOMAIN"),
        ("web.service.north.peer.consul", "A", "NXDOMAIN"),
        ("web.service.dc1.dc.west.peer.consul", "A", "NXDOMAIN"),
        ("web.service.west.peer.dc1.dc.consul", "A", "NXDOMAIN"),
        ("web.service.dc9.dc.consul", "A", "NXDOMAIN"),
        ("v2.web.service.west.peer.consul", "A", "NXDOMAIN"),
        ("p9.node.west.peer.consul", "A", "NXDOMAIN"),
        ("web.service.nobody.ns.consul", "A", "NXDOMAIN"),
        ("unknown.virtual.consul", "A", "NXDOMAIN"),
        ("web.virtual.north.consul", "A", "NXDOMAIN"),
        ("udp.port.multi.service.consul", "SRV", "NXDOMAIN"),
        ("http.port.web.service.consul", "SRV", "NXDOMAIN"),
        ("plain.virtual.consul", "A", "NOERROR"),
        ("web.virtual.consul", "AAAA", "NOERROR"),
        ("web.virtual.consul", "SRV", "NOERROR"),
        ("web.service.west.peer.consul", "AAAA", "NOERROR"),
        ("service.west.peer.consul", "A", "NOERROR"),
        ("west.peer.consul", "A", "NOERROR"),
        ("peer.consul", "A", "NOERROR"),
        ("dc1.dc.consul", "A", "NOERROR"),
        ("dc.consul", "A", "NOERROR"),
        ("dc9.dc.consul", "A", "NXDOMAIN"),
        ("north.peer.consul", "A", "NXDOMAIN"),
    ],
)
def test_nothing(serve: Serve, name: str, type_: str, expected: str) -> None:
    """After random names below the same ones: no denial hides what exists."""
    for base in range(1, len(name.split("."))):
        ask(serve.port, "x." + ".".join(name.split(".")[base:]), type_)
    reply = ask(serve.port, name, type_)
    assert rcode(reply) == expected
    assert not answers(reply)


def test_a_service_of_a_peer_comes_back_after_a_change(later: LaterConsul, serve: Serve) -> None:
    later.put("/v1/health/service/fresh", [entry("p1", "fresh", "10.7.0.7")], peer="West")
    wait_for_answer(serve.port, "fresh.service.west.peer.consul", "A", "10.7.0.7")


def test_a_consul_without_them_is_asked_for_no_peer_and_says_so_once() -> None:
    """Consul 1.8.7 ignores `peer` and would give its own instances."""
    with ConsulAgent() as consul, LaterConsul.over(consul.url) as later:
        consul.put(
            "/v1/catalog/register",
            {"Node": "n1", "Address": "10.0.0.1", "Service": {"Service": "web", "Port": 80}},
        )
        with Serve(later.url) as serve:
            wait_for_answer(serve.port, "web.service.consul", "A", "10.0.0.1")
            for name in (
                "web.service.west.peer",
                "n1.node.west.peer",
                "web.service.team.ns",
                "web.service.blue.ap",
                "web.service.all.sg",
                "n1.node.blue.ap",
                "web.virtual",
                "web.virtual.west",
            ):
                expected = "NOERROR" if name == "web.virtual" else "NXDOMAIN"
                wait_until(
                    lambda n=name, e=expected: rcode(ask(serve.port, n + ".consul", "A")) == e,  # type: ignore[misc]
                    name,
                )
                assert not answers(ask(serve.port, name + ".consul", "A"))
            assert not [query for _, query in later.asked if "peer" in query]
            assert serve.log.count("Namespaces are a Consul Enterprise feature") == 1
