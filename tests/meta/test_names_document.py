"""Every example of docs/names.md, asked of the real server in front of a real Consul."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import kubernetes_data
from tests.support.ask import answers, ask, rcode
from tests.support.consul_agent import REPOSITORY, ConsulAgent
from tests.support.consuldns_process import Serve

DOCUMENT = (REPOSITORY / "docs/names.md").read_text()
EXAMPLES = re.findall(r"^\| [^|]+ \| `(\S+) ([A-Z]+)` \| ([^|]+) \|$", DOCUMENT, re.MULTILINE)
(CONFIG,) = re.findall(r"^```toml\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)

SERVICES: list[dict[str, Any]] = [
    {
        "namespace": "default",
        "name": "redis-master",
        "cluster_ips": ["10.254.1.1"],
        "ports": ["redis:TCP:6379"],
        "endpoints": [{"address": "172.16.0.9"}],
        "described": True,
    },
    {"namespace": "default", "name": "hidden", "flat": "", "cluster_ips": ["10.254.1.2"]},
    {
        "namespace": "kube-system",
        "name": "elasticsearch-logging",
        "headless": True,
        "ports": ["db:TCP:9200"],
        "endpoints": [{"address": "172.16.0.1", "hostname": "es-0"}, {"address": "172.16.0.2"}],
    },
    {
        "namespace": "default",
        "name": "down",
        "headless": True,
        "endpoints": [{"address": "172.16.0.3", "ready": False}],
    },
    {
        "namespace": "default",
        "name": "inward",
        "external_name": "redis-master.default.svc.cluster.local",
    },
    {"namespace": "default", "name": "mainframe", "external_name": "legacy.example.net"},
    {
        "namespace": "default",
        "name": "alias",
        "external_name": "redis-master.default.svc.dc1.consul",
    },
]


def instance(node: str, address: str, service: str, *tags: str) -> dict[str, Any]:
    return {
        "Node": node,
        "Address": address,
        "NodeMeta": {"rack": "7"} if node == "n1" else {},
        "Service": {"ID": f"{service}@{node}", "Service": service, "Port": 80, "Tags": tags},
    }


CATALOG = [
    instance("n1", "10.0.0.1", "web", "primary", "east"),
    instance("n2", "10.0.0.2", "web", "v1.2"),
    {
        **instance("n1", "10.0.0.1", "web-sidecar-proxy"),
        "Service": {
            "Service": "web-sidecar-proxy",
            "Kind": "connect-proxy",
            "Port": 20000,
            "Proxy": {"DestinationServiceName": "web"},
        },
    },
    {
        **instance("n2", "10.0.0.2", "gateway"),
        "Service": {"Service": "gateway", "Kind": "ingress-gateway", "Port": 8888},
    },
    {
        **instance("n3", "10.0.0.3", "billing"),
        "Service": {
            "Service": "billing.api.v2",
            "Address": "10.0.0.9",
            "Port": 80,
            "Tags": ["primary"],
        },
    },
    {
        "Node": "k8s-sync",
        "Address": "192.0.2.9",
        "NodeMeta": {"external-source": "kubernetes"},
        "Service": {
            "Service": "cart-shop",
            "Address": "172.16.5.1",
            "Port": 8080,
            "Meta": {
                "external-source": "kubernetes",
                "external-k8s-ns": "shop",
                "external-k8s-ref-kind": "Pod",
                "external-k8s-ref-name": "cart-0",
                "port-http": "8080",
            },
        },
    },
    {
        "Node": "k8s-sync",
        "Address": "192.0.2.9",
        "NodeMeta": {"external-source": "kubernetes"},
        "Service": {
            "Service": "edge-shop",
            "Address": "lb-7.example.net",
            "Port": 443,
            "Meta": {"external-source": "kubernetes", "external-k8s-ns": "shop"},
        },
    },
    {
        "Node": "k8s-kubernetes",
        "Address": "192.0.2.1",
        "Service": {"Service": "mainframe", "Address": "legacy.example.net"},
    },
    *kubernetes_data.registrations(SERVICES),
]
QUERIES = [
    {"Name": "nearest-web", "Service": {"Service": "web"}},
    {
        "Name": "geo-",
        "Template": {"Type": "name_prefix_match"},
        "Service": {"Service": "${name.suffix}"},
    },
]
KEYS = {
    "0.70.254.10.IN-ADDR.ARPA/10.254.70.176": "monitoring-heapster.service.dc1.consul",
    **kubernetes_data.keys(SERVICES, ["default", "kube-system"]),
}


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    with ConsulAgent() as consul:
        for payload in CATALOG:
            consul.put("/v1/catalog/register", payload)
        for key, value in KEYS.items():
            consul.put(f"/v1/kv/{key}", value)
        listener = {"Port": 8080, "Protocol": "tcp", "Services": [{"Name": "web"}]}
        entry = {"Kind": "ingress-gateway", "Name": "gateway", "Listeners": [listener]}
        consul.put("/v1/config", entry)
        for query in QUERIES:
            consul.client.post("/v1/query", json=query).raise_for_status()
        config = '[dns]\nname_server_addresses = ["192.0.2.53"]\n' + CONFIG
        with Serve(consul.url, config=config) as server:
            yield server


def test_there_are_examples() -> None:
    rows = re.findall(r"^\| (?!form|---).*$", DOCUMENT, re.MULTILINE)
    assert len(EXAMPLES) == len(rows) > 50


@pytest.mark.parametrize(("name", "type_", "answer"), EXAMPLES)
def test_example(name: str, type_: str, answer: str, serve: Serve) -> None:
    reply = ask(serve.port, name, type_, tcp=True)
    if answer in ("NXDOMAIN", "NODATA"):
        assert rcode(reply) == ("NXDOMAIN" if answer == "NXDOMAIN" else "NOERROR")
        assert not reply.answer
    else:
        assert answers(reply) == set(re.findall(r"`([^`]+)`", answer))
