"""Registering nodes and services, and reading them back."""

import pytest

from tests.contract.subject import INDEXES, JSON, Subject

EMPTY_PROXY: JSON = {"MeshGateway": {}, "Expose": {}}


def node_json(node: str, **fields: JSON) -> JSON:
    return {
        "ID": "",
        "Node": node,
        "Address": "10.1.0.1",
        "Datacenter": "dc1",
        "TaggedAddresses": None,
        "Meta": None,
        **INDEXES,
        **fields,
    }


def service_json(name: str, **fields: JSON) -> JSON:
    return {
        "ID": name,
        "Service": name,
        "Tags": [],
        "Address": "",
        "Meta": None,
        "Port": 0,
        "Weights": {"Passing": 1, "Warning": 1},
        "EnableTagOverride": False,
        "Proxy": EMPTY_PROXY,
        "Connect": {},
        **INDEXES,
        **fields,
    }


def test_a_node_and_a_service_with_defaults(consul: Subject) -> None:
    node, name = consul.name("node"), consul.name("svc")
    consul.register(node, Service={"Service": name})
    assert consul.json(f"/v1/catalog/node/{node}") == {
        "Node": node_json(node),
        "Services": {name: service_json(name)},
    }
    assert consul.json(f"/v1/catalog/node-services/{node}") == {
        "Node": node_json(node),
        "Services": [service_json(name)],
    }
    assert consul.json(f"/v1/catalog/service/{name}") == [
        {
            "ID": "",
            "Node": node,
            "Address": "10.1.0.1",
            "Datacenter": "dc1",
            "TaggedAddresses": None,
            "NodeMeta": None,
            "ServiceKind": "",
            "ServiceID": name,
            "ServiceName": name,
            "ServiceTags": [],
            "ServiceAddress": "",
            "ServiceWeights": {"Passing": 1, "Warning": 1},
            "ServiceMeta": {},
            "ServicePort": 0,
            "ServiceEnableTagOverride": False,
            "ServiceProxy": EMPTY_PROXY,
            "ServiceConnect": {},
            **INDEXES,
        }
    ]
    assert node_json(node) in consul.json("/v1/catalog/nodes")
    assert consul.json("/v1/catalog/services")[name] == []


def test_a_node_and_a_service_with_everything(consul: Subject) -> None:
    node, name = consul.name("node"), consul.name("svc")
    service = {
        "ID": f"{name}-1",
        "Service": name,
        "Tags": ["b", "A"],
        "Address": "10.2.0.1",
        "TaggedAddresses": {"lan_ipv4": {"Address": "10.3.0.1", "Port": 81}},
        "Meta": {"k": "v"},
        "Port": 80,
        "Weights": {"Passing": 10, "Warning": 3},
        "EnableTagOverride": True,
    }
    consul.register(
        node,
        ID="1f2e3d4c-0000-4000-8000-000000000001",
        TaggedAddresses={"wan": "192.0.2.1"},
        NodeMeta={"external": "yes"},
        Service=service,
    )
    assert consul.json(f"/v1/catalog/node/{node}") == {
        "Node": node_json(
            node,
            ID="1f2e3d4c-0000-4000-8000-000000000001",
            TaggedAddresses={"wan": "192.0.2.1"},
            Meta={"external": "yes"},
        ),
        "Services": {f"{name}-1": service_json(name, **service)},
    }
    found = consul.json(f"/v1/catalog/service/{name}")[0]
    assert found["ServiceTaggedAddresses"] == {"lan_ipv4": {"Address": "10.3.0.1", "Port": 81}}
    assert found["ServiceMeta"] == {"k": "v"}
    assert sorted(consul.json("/v1/catalog/services")[name]) == ["A", "b"]


def test_what_is_empty_and_what_is_null(consul: Subject) -> None:
    node, name = consul.name("node"), consul.name("svc")
    service = {"Service": name, "Tags": [], "Meta": {}, "TaggedAddresses": {}}
    consul.register(node, TaggedAddresses={}, NodeMeta={}, Service=service)
    assert consul.json(f"/v1/catalog/node/{node}") == {
        "Node": node_json(node, TaggedAddresses={}, Meta={}),
        "Services": {name: service_json(name, Meta={})},
    }


def test_what_is_not_there(consul: Subject) -> None:
    assert consul.json("/v1/catalog/node/none") is None
    assert consul.json("/v1/catalog/node-services/none") == {"Node": None, "Services": None}
    assert consul.json("/v1/catalog/service/none") == []
    assert consul.json("/v1/catalog/connect/none") == []


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"Passing": 5, "Warning": 2}, {"Passing": 5, "Warning": 2}),
        ({"Passing": 5}, {"Passing": 5, "Warning": 0}),
        ({"Passing": 0, "Warning": 2}, {"Passing": 1, "Warning": 1}),
        ({"Passing": 1, "Warning": 70000}, {"Passing": 1, "Warning": 1}),
        ({"Passing": -1, "Warning": 2}, {"Passing": 1, "Warning": 1}),
        (None, {"Passing": 1, "Warning": 1}),
    ],
)
def test_weights_out_of_range_become_one(consul: Subject, given: JSON, stored: JSON) -> None:
    node, name = consul.name("node"), consul.name("svc")
    consul.register(node, Service={"Service": name, "Weights": given})
    assert consul.json(f"/v1/catalog/service/{name}")[0]["ServiceWeights"] == stored


def test_names_are_found_in_any_case(consul: Subject) -> None:
    node, name = consul.name("Node"), consul.name("Svc")
    consul.register(node, Service={"Service": name})
    assert consul.json(f"/v1/catalog/node/{node.lower()}")["Node"]["Node"] == node
    assert len(consul.json(f"/v1/catalog/service/{name.upper()}")) == 1
    consul.register(node.upper(), Service={"ID": name.upper(), "Service": name.upper()})
    assert list(consul.json(f"/v1/catalog/node/{node}")["Services"]) == [name.upper()]
    assert [each["Node"] for each in consul.json(f"/v1/catalog/service/{name}")] == [node.upper()]


def test_lists_are_in_order_of_nodes_and_ids(consul: Subject) -> None:
    name, nodes = consul.name("svc"), sorted(consul.name("node") for _ in range(2))
    for node in reversed(nodes):
        for id_ in ("z", "a"):
            consul.register(node, Service={"ID": f"{name}-{id_}", "Service": name})
    found = [(i["Node"], i["ServiceID"]) for i in consul.json(f"/v1/catalog/service/{name}")]
    assert found == [(node, f"{name}-{id_}") for node in nodes for id_ in ("a", "z")]
    listed = [each["Node"] for each in consul.json("/v1/catalog/nodes")]
    assert listed == sorted(listed, key=str.lower)


def test_a_service_can_change_its_name(consul: Subject) -> None:
    node, old, new = consul.name("node"), consul.name("svc"), consul.name("svc")
    consul.register(node, Service={"ID": old, "Service": old})
    consul.register(node, Service={"ID": old, "Service": new})
    assert old not in consul.json("/v1/catalog/services")
    assert len(consul.json(f"/v1/catalog/service/{new}")) == 1


def test_skip_node_update_keeps_the_node(consul: Subject) -> None:
    node, name = consul.name("node"), consul.name("svc")
    consul.register(node)
    consul.register(node, Address="10.9.9.9", SkipNodeUpdate=True, Service={"Service": name})
    assert consul.json(f"/v1/catalog/node/{node}")["Node"]["Address"] == "10.1.0.1"
    assert len(consul.json(f"/v1/catalog/service/{name}")) == 1


def test_indexes_of_a_record_tell_creation_and_change(consul: Subject) -> None:
    node = consul.name("node")

    def indexes() -> tuple[int, int]:
        found = consul.get(f"/v1/catalog/node/{node}").json()["Node"]
        return found["CreateIndex"], found["ModifyIndex"]

    consul.register(node)
    created, modified = indexes()
    assert created == modified
    consul.register(node)
    assert indexes() == (created, created)
    consul.register(node, Address="10.1.0.2")
    assert indexes()[0] == created
    assert indexes()[1] > created


def test_deregistering(consul: Subject) -> None:
    node, one, two = consul.name("node"), consul.name("svc"), consul.name("svc")
    consul.register(node, Service={"Service": one}, Check={"Name": "c", "ServiceID": one})
    consul.register(node, Service={"Service": two}, Check={"Name": "d"})
    consul.deregister(node, ServiceID=one)
    assert list(consul.json(f"/v1/catalog/node/{node}")["Services"]) == [two]
    assert [each["CheckID"] for each in consul.json(f"/v1/health/node/{node}")] == ["d"]
    consul.deregister(node, CheckID="d")
    assert consul.json(f"/v1/health/node/{node}") == []
    consul.deregister(node)
    assert consul.json(f"/v1/catalog/node/{node}") is None
    assert consul.json(f"/v1/catalog/service/{two}") == []
    for fields in ({}, {"ServiceID": "none"}, {"CheckID": "none"}):
        consul.deregister(node, **fields)


def test_node_meta_and_tags_select(consul: Subject) -> None:
    name, one, two = consul.name("svc"), consul.name("node"), consul.name("node")
    consul.register(one, NodeMeta={name: "1", "x": "y"}, Service={"Service": name, "Tags": ["a"]})
    consul.register(two, NodeMeta={name: "2"}, Service={"Service": name, "Tags": ["a", "B"]})

    def nodes(query: str) -> list[str]:
        return [each["Node"] for each in consul.json(f"/v1/catalog/service/{name}?{query}")]

    assert nodes("tag=a") == [one, two]
    assert nodes("tag=b") == [two]
    assert nodes("tag=a&tag=b") == [two]
    assert nodes("tag=b&tag=c") == []
    assert nodes(f"node-meta={name}:1") == [one]
    assert nodes(f"node-meta={name}:1&node-meta=x:y") == [one]
    assert nodes(f"node-meta={name}:2&node-meta=x:y") == []
    assert nodes("near=_agent&tag=A") == [one, two]
    listed = consul.json(f"/v1/catalog/nodes?node-meta={name}:2")
    assert [each["Node"] for each in listed] == [two]
    assert consul.json(f"/v1/catalog/services?node-meta={name}:1") == {name: ["a"]}


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"Address": "10.1.0.1"}, 500, "Must provide node"),
        ({"Node": "x"}, 500, "Must provide address if SkipNodeUpdate is not set"),
        ({"Node": "x", "Address": "a", "Datacenter": "dc9"}, 500, "No path to datacenter"),
        (
            {"Node": "x", "Address": "a", "Service": {"ID": "i"}},
            500,
            "Must provide service name with ID",
        ),
        (
            {"Node": "x", "Address": "a", "Check": {"Name": "c", "ServiceID": "none"}},
            500,
            'failed inserting check: Missing service registration on node "x"',
        ),
        (
            {"Node": "x", "Address": "a", "Check": {"Name": "c", "Node": "y"}},
            500,
            'check node "y" does not match node "x"',
        ),
        (
            {"Node": "x", "Address": "a", "Service": {"Service": "p", "Kind": "connect-proxy"}},
            500,
            "2 errors occurred:\n\t* Proxy.DestinationServiceName must be non-empty"
            " for Connect proxy services\n\t* Port must be set for a Connect proxy\n\n",
        ),
        (
            {
                "Node": "x",
                "Address": "a",
                "Service": {"Service": "t", "Kind": "terminating-gateway"},
            },
            500,
            "1 error occurred:\n\t* Port must be non-zero for a terminating-gateway\n\n",
        ),
        ("{bad", 400, "Request decode failed: "),
        ("", 400, "Request decode failed: "),
        ({"Node": "x", "Unknown": 1}, 400, "Request decode failed: "),
        (
            {"Node": "x", "Service": {"Service": "s", "Port": "80"}},
            400,
            "Request decode failed: ",
        ),
    ],
)
def test_refused_registrations_change_nothing(
    consul: Subject, body: JSON, status: int, text: str
) -> None:
    reply = consul.put("/v1/catalog/register", body)
    assert reply.status_code == status
    assert reply.text.startswith(text) if text.endswith(": ") else reply.text == text
    assert consul.json("/v1/catalog/node/x") is None


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 500, "Must provide node"),
        ({"Node": "x", "Datacenter": "dc9"}, 500, "No path to datacenter"),
        ({"Node": "x", "Unknown": 1}, 400, "Request decode failed: "),
        ("x", 400, "Request decode failed: "),
    ],
)
def test_refused_deregistrations(consul: Subject, body: JSON, status: int, text: str) -> None:
    reply = consul.put("/v1/catalog/deregister", body)
    assert (reply.status_code, reply.text[: len(text)]) == (status, text)


def test_the_server_registers_itself(consul: Subject) -> None:
    found = consul.json("/v1/catalog/service/consul")
    assert [each["Node"] for each in found] == [consul.node]
    assert found[0]["Address"] == "127.0.0.1"
    assert found[0]["ServiceAddress"] == ""
    assert found[0]["ServicePort"] > 0
    checks = consul.json("/v1/health/service/consul")[0]["Checks"]
    assert [(each["CheckID"], each["Status"]) for each in checks] == [("serfHealth", "passing")]
    assert consul.json("/v1/catalog/datacenters") == ["dc1"]
