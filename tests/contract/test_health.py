"""Checks, and the health of instances."""

import pytest

from tests.contract.subject import INDEXES, JSON, Subject
from tests.contract.test_catalog import node_json, service_json


def check_json(node: str, check_id: str, **fields: JSON) -> JSON:
    return {
        "Node": node,
        "CheckID": check_id,
        "Name": check_id,
        "Status": "critical",
        "Notes": "",
        "Output": "",
        "ServiceID": "",
        "ServiceName": "",
        "ServiceTags": [],
        "Type": "",
        "Definition": {},
        **INDEXES,
        **fields,
    }


def test_an_instance_shows_checks_of_the_node_first(consul: Subject) -> None:
    node, name = consul.name("node"), consul.name("svc")
    service = {"Service": name, "Tags": ["t"], "Port": 80}
    consul.register(
        node,
        Service=service,
        Checks=[
            {"CheckID": "a", "Name": "a", "ServiceID": name, "Status": "passing", "Output": "o"},
            {"CheckID": "z", "Name": "z", "Notes": "n", "Status": "warning"},
        ],
        Check={"Name": "m", "ServiceID": name},
    )
    consul.register(node, Service={"Service": f"{name}x"}, Check={"Name": "other"})
    of_service = {"ServiceID": name, "ServiceName": name, "ServiceTags": ["t"]}
    assert consul.json(f"/v1/health/service/{name}") == [
        {
            "Node": node_json(node),
            "Service": service_json(name, Tags=["t"], Port=80),
            "Checks": [
                check_json(node, "other"),
                check_json(node, "z", Notes="n", Status="warning"),
                check_json(node, "a", Status="passing", Output="o", **of_service),
                check_json(node, "m", **of_service),
            ],
        }
    ]
    assert [each["CheckID"] for each in consul.json(f"/v1/health/checks/{name}")] == ["a", "m"]
    on_node = consul.json(f"/v1/health/node/{node}")
    assert [each["CheckID"] for each in on_node] == ["a", "m", "other", "z"]


def test_definitions_give_checks_a_type(consul: Subject) -> None:
    node = consul.name("node")
    definition = {"HTTP": "http://x", "Interval": "10s"}
    consul.register(node, Check={"Name": "h", "Type": "http", "Definition": definition})
    found = consul.json(f"/v1/health/node/{node}")
    assert found == [check_json(node, "h", Type="http", Definition=definition)]


@pytest.mark.parametrize(
    ("statuses", "passes"),
    [
        ([], True),
        (["passing"], True),
        (["passing", "warning"], False),
        (["critical"], False),
        (["unheard"], False),
    ],
)
def test_passing_means_every_check(consul: Subject, statuses: list[str], passes: bool) -> None:
    node, name = consul.name("node"), consul.name("svc")
    checks = [{"Name": f"c{i}", "ServiceID": name, "Status": s} for i, s in enumerate(statuses)]
    consul.register(node, Service={"Service": name}, Checks=checks)
    assert len(consul.json(f"/v1/health/service/{name}")) == 1
    for query in ("passing", "passing=1", "passing=true"):
        assert bool(consul.json(f"/v1/health/service/{name}?{query}")) is passes
    assert len(consul.json(f"/v1/health/service/{name}?passing=false")) == 1


def test_checks_of_the_node_count_for_all_its_services(consul: Subject) -> None:
    node, name = consul.name("node"), consul.name("svc")
    consul.register(node, Service={"Service": name}, Check={"Name": "n", "Status": "critical"})
    assert consul.json(f"/v1/health/service/{name}?passing") == []


def test_checks_by_status(consul: Subject) -> None:
    node = consul.name("node")
    checks = [{"Name": each, "Status": each} for each in ("passing", "warning", "critical")]
    consul.register(node, NodeMeta={node: "1"}, Checks=checks)

    def ids(state: str) -> list[str]:
        found = consul.json(f"/v1/health/state/{state}?node-meta={node}:1")
        return [each["CheckID"] for each in found]

    assert ids("any") == ["critical", "passing", "warning"]
    assert ids("warning") == ["warning"]
    assert ids("bogus") == []


def test_tags_and_node_meta_select(consul: Subject) -> None:
    name, one, two = consul.name("svc"), consul.name("node"), consul.name("node")
    consul.register(one, NodeMeta={"m": "1"}, Service={"Service": name, "Tags": ["a", "b"]})
    consul.register(two, NodeMeta={"m": "2"}, Service={"Service": name, "Tags": ["b"]})

    def nodes(query: str) -> list[str]:
        found = consul.json(f"/v1/health/service/{name}?{query}")
        return [each["Node"]["Node"] for each in found]

    assert nodes("tag=a&tag=B") == [one]
    assert nodes("node-meta=m:2&passing") == [two]


def test_a_check_keeps_the_name_its_service_had(consul: Subject) -> None:
    node, name = consul.name("node"), consul.name("svc")
    consul.register(node, Service={"ID": name, "Service": name})
    consul.register(node, Check={"Name": "c", "ServiceID": name})
    consul.register(node, Service={"ID": name, "Service": f"{name}x"})
    assert consul.json(f"/v1/health/node/{node}")[0]["ServiceName"] == name
    assert len(consul.json(f"/v1/health/service/{name}x")[0]["Checks"]) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/v1/health/service/none",
        "/v1/health/connect/none",
        "/v1/health/ingress/none",
        "/v1/health/node/none",
        "/v1/health/checks/none",
    ],
)
def test_what_is_not_there_is_an_empty_list(consul: Subject, path: str) -> None:
    assert consul.json(path) == []
