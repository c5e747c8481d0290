"""Every form of Consul's names, asked of Consul's own DNS and of ours, side by side."""

import json
import time
from collections.abc import Iterator
from typing import Any

import dns.message
import pytest

from tests.support.ask import answers, ask, rcode, wait_for_answer
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import Serve

CONFIG = """
[dns]
node_ttl = "3s"
service_ttl = { "*" = "5s", "db" = "7s" }
"""
SAME_SETTINGS = {"dns_config": {"node_ttl": "3s", "service_ttl": {"*": "5s", "db": "7s"}}}


def proxy(name: str, port: int, **fields: object) -> dict[str, object]:
    """A sidecar proxy."""
    kind = {"Kind": "connect-proxy", "Proxy": {"DestinationServiceName": name}}
    return {"Service": f"{name}-proxy", "Port": port} | kind | fields


REGISTRATIONS: list[dict[str, Any]] = [
    {"Node": "n1", "Address": "10.0.0.1", "Service": {"Service": "db", "Port": 5432}},
    {"Node": "n2", "Address": "10.0.0.2", "Service": {"Service": "db", "Port": 5433}},
    {"Node": "n3", "Address": "10.0.0.3", "Service": {"Service": "web", "Port": 80}},
    {"Node": "n3", "Address": "10.0.0.3", "Service": proxy("web", 20000)},
    {"Node": "n4", "Address": "10.0.0.4", "Service": proxy("web", 20001, Address="10.1.0.4")},
    {
        "Node": "n5",
        "Address": "10.0.0.5",
        "Service": proxy("web", 20002),
        "Check": {"Name": "c", "ServiceID": "web-proxy", "Status": "critical"},
    },
    {"Node": "n1", "Address": "10.0.0.1", "Service": proxy("Unregistered", 20003)},
    {
        "Node": "n1",
        "Address": "10.0.0.1",
        "Service": {"Service": "native", "Port": 81, "Connect": {"Native": True}},
    },
    {
        "Node": "n2",
        "Address": "10.0.0.2",
        "Service": {"Service": "gateway", "Kind": "ingress-gateway", "Port": 8888},
    },
    {"Node": "n6", "Address": "fd00::6", "Service": {"Service": "s6", "Address": "fd00::33"}},
    {
        "Node": "n4",
        "Address": "10.0.0.4",
        "Service": {"Service": "sick", "Port": 1},
        "Check": {"Name": "c", "ServiceID": "sick", "Status": "critical"},
    },
]
LISTENER = {"Port": 8080, "Protocol": "tcp", "Services": [{"Name": "web"}]}
QUERIES: list[dict[str, Any]] = [
    {"Name": "ttl", "Service": {"Service": "db"}, "DNS": {"TTL": "13s"}},
    {"Name": "plain", "Service": {"Service": "db"}},
    {"Name": "of.dots", "Service": {"Service": "web"}},
    {"Name": "six", "Service": {"Service": "s6"}},
    {"Name": "sick", "Service": {"Service": "sick"}},
    {
        "Name": "geo-",
        "Template": {"Type": "name_prefix_match"},
        "Service": {"Service": "${name.suffix}"},
    },
]


@pytest.fixture(scope="module")
def consul() -> Iterator[ConsulAgent]:
    with ConsulAgent(config=SAME_SETTINGS) as agent:
        for payload in REGISTRATIONS:
            agent.put("/v1/catalog/register", payload)
        agent.put(
            "/v1/config",
            {"Kind": "ingress-gateway", "Name": "gateway", "Listeners": [LISTENER]},
        )
        for query in QUERIES:
            agent.client.post("/v1/query", content=json.dumps(query)).raise_for_status()
        yield agent


@pytest.fixture(scope="module")
def serve(consul: ConsulAgent) -> Iterator[Serve]:
    with Serve(consul.url, workers=1, config=CONFIG) as server:
        yield server


def sections(reply: dns.message.Message) -> tuple[object, ...]:
    """What is compared: rcode, answers and addresses of targets with their TTLs."""
    return (
        rcode(reply),
        records(reply.answer),
        {each for each in records(reply.additional) if " TXT " not in each},
    )


def records(section: list[Any]) -> set[str]:
    """Records as text, names in lower case."""
    return {
        f"{rrset.name.to_text().lower()} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {rdata}"
        for rrset in section
        for rdata in rrset
    }


CONNECT = [
    *("web.connect", "t.web.connect", "WEB.connect.dc1", "web-proxy.connect", "native.connect"),
    *("unregistered.connect", "none.connect", "db.connect", "web.connect.dc9"),
]
INGRESS = ["web.ingress", "x.web.ingress.dc1", "db.ingress", "none.ingress", "gateway.ingress"]
PREPARED = [
    *("ttl.query", "plain.query", "TTL.query.dc1", "of.dots.query", "six.query", "sick.query"),
    *("geo-db.query", "geo-web.query.dc1", "geo-none.query", "none.query", "ttl.query.dc9"),
]


@pytest.mark.parametrize("type_", ["A", "SRV", "AAAA", "ANY"])
@pytest.mark.parametrize("name", CONNECT + INGRESS + PREPARED)
def test_the_same_answer_as_consul(
    name: str, type_: str, consul: ConsulAgent, serve: Serve
) -> None:
    ours = ask(serve.port, f"{name}.consul.", type_, tcp=True)
    theirs = ask(consul.dns_port, f"{name}.consul.", type_, tcp=True)
    assert sections(ours) == sections(theirs)


def test_a_prepared_query_by_its_id(consul: ConsulAgent, serve: Serve) -> None:
    listed = consul.client.get("/v1/query").json()
    (id_,) = [each["ID"] for each in listed if each["Name"] == "ttl"]
    assert answers(ask(serve.port, f"{id_}.query.consul.")) == {"10.0.0.1", "10.0.0.2"}


def test_the_rfc_2782_form_of_a_prepared_query(serve: Serve) -> None:
    """Of Consul 1.15 and newer."""
    reply = ask(serve.port, "_ttl._tcp.query.consul.", "SRV")
    assert {rdata.port for rrset in reply.answer for rdata in rrset} == {5432, 5433}
    assert rcode(ask(serve.port, "_tcp.query.consul.")) == "NOERROR"


def test_names_above_a_query_with_dots_exist(serve: Serve) -> None:
    reply = ask(serve.port, "dots.query.consul.")
    assert (rcode(reply), reply.answer) == ("NOERROR", [])


def test_changes_are_seen(consul: ConsulAgent, serve: Serve) -> None:
    """Executions do not block: they are read again while they are asked for."""
    for name in ("changing.query", "late.connect", "late.ingress"):
        assert rcode(ask(serve.port, f"{name}.consul.")) == "NXDOMAIN"
    created = consul.client.post(
        "/v1/query", content=json.dumps({"Name": "changing", "Service": {"Service": "web"}})
    ).json()
    wait_for_answer(serve.port, "changing.query.consul.", "A", "10.0.0.3")
    body = {"Name": "changing", "Service": {"Service": "native"}}
    consul.client.put(f"/v1/query/{created['ID']}", content=json.dumps(body)).raise_for_status()
    wait_for_answer(serve.port, "changing.query.consul.", "A", "10.0.0.1")
    consul.client.delete(f"/v1/query/{created['ID']}").raise_for_status()
    wait_for_answer(serve.port, "changing.query.consul.", "A", "NXDOMAIN")

    consul.put(
        "/v1/catalog/register",
        {"Node": "n1", "Address": "10.0.0.1", "Service": proxy("late", 20009)},
    )
    wait_for_answer(serve.port, "late.connect.consul.", "A", "10.0.0.1")
    listener = {"Port": 8081, "Protocol": "tcp", "Services": [{"Name": "late"}]}
    entry = {"Kind": "ingress-gateway", "Name": "gateway", "Listeners": [LISTENER, listener]}
    consul.put("/v1/config", entry)
    wait_for_answer(serve.port, "late.ingress.consul.", "A", "10.0.0.2")


def test_the_order_of_the_server_is_kept(consul: ConsulAgent, serve: Serve) -> None:
    """Unless an execution brings another order, every client gets the same."""
    for number in range(6):
        payload = {"Node": f"order{number}", "Address": f"10.2.0.{number + 1}"}
        consul.put("/v1/catalog/register", payload | {"Service": {"Service": "ordered"}})
    query = {"Name": "ordered", "Service": {"Service": "ordered"}}
    consul.client.post("/v1/query", content=json.dumps(query)).raise_for_status()
    name = "ordered.query.consul."
    wait_until(lambda: len(answers(ask(serve.port, name))) == 6, "all instances")
    orders = {tuple(map(str, ask(serve.port, name).answer[0])) for _ in range(40)}
    assert len(orders) <= 3  # an execution every few seconds, not one for each question
    service = "ordered.service.consul."
    wait_until(lambda: len(answers(ask(serve.port, service))) == 6, "all in the catalog's view")
    shuffled = {tuple(map(str, ask(serve.port, service).answer[0])) for _ in range(40)}
    assert len(shuffled) > 3  # in the order of a service, nobody is first


def test_random_names_under_a_template_cost_20_executions_a_second(
    consul: ConsulAgent, serve: Serve
) -> None:
    """Meanwhile the queries that exist are answered."""

    def executions() -> int:
        lines = serve.admin("/metrics").text.splitlines()
        return sum(
            int(float(line.rpartition(" ")[2]))
            for line in lines
            if line.startswith("consuldns_consul_requests_total") and "query/execute" in line
        )

    before, began = executions(), time.monotonic()
    seen = {"SERVFAIL": 0, "NXDOMAIN": 0}
    for number in range(1_000):
        seen[rcode(ask(serve.port, f"geo-x{number}.query.consul."))] += 1
        if number % 50 == 0:
            assert rcode(ask(serve.port, "plain.query.consul.")) == "NOERROR"
    most = 20 + 20 * (time.monotonic() - began)  # the burst, and the rate
    assert seen["NXDOMAIN"] <= most + 1
    assert seen["SERVFAIL"] > 0
    assert executions() - before <= most + 40  # those that exist are read again as well
    assert executions() > before
    wait_until(lambda: rcode(ask(serve.port, "geo-native.query.consul.")) == "NOERROR", "recovered")
