"""Prepared queries: definitions, templates, execution."""

from tests.contract.subject import INDEXES, JSON, Subject

NONE = "00000000-0000-0000-0000-000000000000"


def define(consul: Subject, name: str, **fields: JSON) -> str:
    reply = consul.request("POST", "/v1/query", {"Name": name} | fields)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["ID"])


def refusal(consul: Subject, body: JSON) -> tuple[int, str]:
    reply = consul.request("POST", "/v1/query", body)
    return reply.status_code, reply.text


def test_a_definition_is_listed_with_its_defaults(consul: Subject) -> None:
    name = consul.name("query")
    id_ = define(consul, name, Service={"Service": "db"})
    wanted = {
        "ID": id_,
        "Name": name,
        "Session": "",
        "Token": "",
        "Template": {"Type": "", "Regexp": "", "RemoveEmptyTags": False},
        "Service": {
            "Service": "db",
            "Failover": {"NearestN": 0, "Datacenters": None},
            "OnlyPassing": False,
            "IgnoreCheckIDs": None,
            "Near": "",
            "Tags": None,
            "NodeMeta": None,
            "ServiceMeta": None,
            "Connect": False,
        },
        "DNS": {"TTL": ""},
    } | INDEXES
    assert wanted in consul.json("/v1/query")
    assert consul.json(f"/v1/query/{id_}") == [wanted]


def test_execution_finds_healthy_instances(consul: Subject) -> None:
    node, service, name = consul.name("node"), consul.name("svc"), consul.name("query")
    consul.register(node, Service={"ID": "good", "Service": service, "Tags": ["a"]})
    sick = {"Name": "c", "ServiceID": "sick", "Status": "critical"}
    consul.register(node, Service={"ID": "sick", "Service": service}, Check=sick)
    id_ = define(consul, name, Service={"Service": service}, DNS={"TTL": "13s"})
    for path in (name, name.upper(), id_):
        found = consul.json(f"/v1/query/{path}/execute")
        assert [each["Service"]["ID"] for each in found["Nodes"]] == ["good"]
        assert [*found["Nodes"][0]] == ["Node", "Service", "Checks"]
        assert (found["Service"], found["DNS"], found["Datacenter"]) == (
            service,
            {"TTL": "13s"},
            "dc1",
        )
        assert found["Failovers"] == 0
    with_tag = {"Service": service, "Tags": ["!a"]}
    define(consul, name + "-2", Service=with_tag)
    assert consul.json(f"/v1/query/{name}-2/execute")["Nodes"] == []


def test_the_longest_template_answers(consul: Subject) -> None:
    node, service, prefix = consul.name("node"), consul.name("svc"), consul.name("t") + "-"
    consul.register(node, Service={"Service": service})
    template = {"Type": "name_prefix_match"}
    define(consul, prefix, Template=template, Service={"Service": "${name.suffix}"})
    define(consul, prefix + "x-", Template=template, Service={"Service": "${name.full}"})
    found = consul.json(f"/v1/query/{prefix}{service}/execute")
    assert (found["Service"], len(found["Nodes"])) == (service, 1)
    found = consul.json(f"/v1/query/{prefix}x-a/execute")
    assert (found["Service"], found["Nodes"]) == (f"{prefix}x-a", [])
    explained = consul.json(f"/v1/query/{prefix}{service}/explain")["Query"]
    assert explained["Service"]["Service"] == service


def test_a_template_with_an_expression(consul: Subject) -> None:
    prefix = consul.name("t") + "-"
    expression = f"^{prefix}(.*?)-([^-]+?)$"
    template = {"Type": "name_prefix_match", "Regexp": expression, "RemoveEmptyTags": True}
    service = {"Service": "${match(1)}", "Tags": ["${match(2)}", "${match(3)}"]}
    define(consul, prefix, Template=template, Service=service)
    explained = consul.json(f"/v1/query/{prefix}a-b-c/explain")["Query"]["Service"]
    assert (explained["Service"], explained["Tags"]) == ("a-b", ["c"])


def test_a_definition_can_be_changed_and_deleted(consul: Subject) -> None:
    name = consul.name("query")
    id_ = define(consul, name, Service={"Service": "db"})
    consul.does(f"/v1/query/{id_}", {"Name": name + "-new", "Service": {"Service": "web"}})
    assert consul.get(f"/v1/query/{name}/execute").status_code == 404
    assert consul.json(f"/v1/query/{name}-new/execute")["Service"] == "web"
    assert consul.delete(f"/v1/query/{id_}").status_code == 200
    missing = f"Cannot modify non-existent prepared query: '{id_}'"
    for reply in (
        consul.delete(f"/v1/query/{id_}"),
        consul.put(f"/v1/query/{id_}", {"Name": name, "Service": {"Service": "db"}}),
    ):
        assert (reply.status_code, reply.text) == (500, missing)


def test_what_is_not_there(consul: Subject) -> None:
    for path in (f"/v1/query/{NONE}", "/v1/query/none/execute", "/v1/query/none/explain"):
        reply = consul.get(path)
        assert (reply.status_code, reply.text) == (404, "Query not found")
    reply = consul.get("/v1/query/short")
    assert reply.status_code == 500
    assert "UUID must be 36 characters" in reply.text


def test_definitions_that_are_refused(consul: Subject) -> None:
    name = consul.name("query")
    service = {"Service": "db"}
    define(consul, name, Service=service)
    assert refusal(consul, {"Name": name, "Service": service}) == (
        500,
        f"name '{name}' aliases an existing query name",
    )
    assert refusal(consul, {"Name": "x"}) == (
        500,
        "Invalid prepared query: Must provide a Service name to query",
    )
    assert refusal(consul, {"Service": service}) == (
        500,
        "Invalid prepared query: Must be bound to a session",
    )
    assert refusal(consul, {"Name": "x", "Template": {"Type": "bad"}, "Service": service}) == (
        500,
        "failed compiling template: Bad Template.Type 'bad'",
    )
    assert refusal(consul, {"Name": "x", "Service": service, "DNS": {"TTL": "x"}}) == (
        500,
        "Invalid prepared query: Bad DNS TTL 'x': time: invalid duration \"x\"",
    )


def test_the_list_of_definitions_blocks(consul: Subject) -> None:
    poll = consul.poll("/v1/query")
    id_ = define(consul, consul.name("query"), Service={"Service": "db"})
    assert id_ in [each["ID"] for each in poll.result().json()]
