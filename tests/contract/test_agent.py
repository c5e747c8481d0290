"""What an agent runs itself: services, TTL checks, maintenance mode.

A real agent brings its services into the catalog a moment later, so the catalog is waited for.
"""

from collections.abc import Iterator

import pytest

from tests.contract.subject import JSON, Subject
from tests.support.consul_agent import wait_until

REGISTER = "/v1/agent/service/register"


def service_json(id_: str, **fields: JSON) -> JSON:
    return {
        "ID": id_,
        "Service": id_,
        "Tags": [],
        "Meta": {},
        "Port": 0,
        "Address": "",
        "Weights": {"Passing": 1, "Warning": 1},
        "EnableTagOverride": False,
        **fields,
    }


def check_json(consul: Subject, id_: str, **fields: JSON) -> JSON:
    return {
        "Node": consul.node,
        "CheckID": id_,
        "Name": id_,
        "Status": "critical",
        "Notes": "",
        "Output": "",
        "ServiceID": "",
        "ServiceName": "",
        "ServiceTags": [],
        "Type": "ttl",
        "Definition": {},
        "CreateIndex": 0,
        "ModifyIndex": 0,
        **fields,
    }


@pytest.fixture
def name(consul: Subject) -> Iterator[str]:
    """A name for a service of the agent, and for services and checks whose ids begin so."""
    name = consul.name("own")
    yield name
    for id_ in consul.get("/v1/agent/services").json():
        if id_.startswith(name):
            consul.does(f"/v1/agent/service/deregister/{id_}")
    for id_ in consul.get("/v1/agent/checks").json():
        if id_.startswith(name):
            consul.does(f"/v1/agent/check/deregister/{id_}")


def service(consul: Subject, id_: str) -> JSON:
    return consul.get("/v1/agent/services").json().get(id_)


def check(consul: Subject, id_: str) -> JSON:
    return consul.get("/v1/agent/checks").json().get(id_)


def in_catalog(consul: Subject, name: str) -> list[JSON]:
    return list(consul.json(f"/v1/health/service/{name}"))


def statuses(consul: Subject, name: str) -> dict[str, str]:
    found = in_catalog(consul, name)
    return {each["CheckID"]: each["Status"] for each in found[0]["Checks"]} if found else {}


def test_a_service_with_defaults(consul: Subject, name: str) -> None:
    consul.does(REGISTER, {"Name": name})
    assert service(consul, name) == service_json(name)
    wait_until(lambda: bool(in_catalog(consul, name)), f"{name} in the catalog")
    found = in_catalog(consul, name)[0]
    assert found["Node"]["Node"] == consul.node
    assert (found["Service"]["ID"], found["Service"]["Meta"]) == (name, None)
    consul.does(f"/v1/agent/service/deregister/{name}")
    assert service(consul, name) is None
    wait_until(lambda: not in_catalog(consul, name), f"{name} out of the catalog")


@pytest.mark.parametrize(
    ("address", "family"), [("10.2.0.1", "ipv4"), ("2001:db8::1", "ipv6"), ("host.example", None)]
)
def test_an_address_is_tagged_by_its_family(
    consul: Subject, name: str, address: str, family: str | None
) -> None:
    wanted = {"ID": f"{name}-1", "Name": name, "Address": address, "Port": 80, "Tags": ["b", "a"]}
    consul.does(REGISTER, wanted)
    tagged = {f"{net}_{family}": {"Address": address, "Port": 80} for net in ("lan", "wan")}
    fields: JSON = {"TaggedAddresses": tagged} if family else {}
    fields |= {"Address": address, "Port": 80, "Tags": ["b", "a"], "Service": name}
    assert service(consul, f"{name}-1") == service_json(f"{name}-1", **fields)


def test_a_service_with_everything(consul: Subject, name: str) -> None:
    given = {
        "Address": "10.2.0.1",
        "TaggedAddresses": {"lan_ipv4": {"Address": "10.3.0.1", "Port": 1}},
        "Meta": {"a": "b"},
        "Weights": {"Passing": 5, "Warning": 2},
        "EnableTagOverride": True,
        "Connect": {"Native": True},
    }
    consul.does(REGISTER, {"Name": name} | given)
    wan = {"wan_ipv4": {"Address": "10.2.0.1", "Port": 0}}
    tagged = {"TaggedAddresses": given["TaggedAddresses"] | wan}  # type: ignore[operator]
    assert service(consul, name) == service_json(name, **(given | tagged))


def test_a_proxy(consul: Subject, name: str) -> None:
    kind = {"Kind": "connect-proxy", "Port": 20000}
    proxy = {"DestinationServiceName": "other"}
    consul.does(REGISTER, {"Name": name, "Proxy": proxy} | kind)
    empty: JSON = {"MeshGateway": {}, "Expose": {}}
    assert service(consul, name) == service_json(name, Proxy=proxy | empty, **kind)


def test_checks_of_a_service(consul: Subject, name: str) -> None:
    consul.does(REGISTER, {"Name": name, "Tags": ["t"], "Check": {"TTL": "30s", "Notes": "n"}})
    of_service = {"ServiceID": name, "ServiceName": name, "ServiceTags": ["t"]}
    called = f"Service '{name}' check"
    assert check(consul, f"service:{name}") == check_json(
        consul, f"service:{name}", Name=called, Notes="n", **of_service
    )
    checks = [{"TTL": "30s", "Status": "passing"}, {"CheckID": f"{name}-c", "TTL": "1m"}]
    consul.does(REGISTER, {"ID": f"{name}-2", "Name": name, "Check": {}, "Checks": checks})
    assert check(consul, f"service:{name}-2:1")["Status"] == "passing"
    assert check(consul, f"{name}-c")["Name"] == called
    wait_until(
        lambda: statuses(consul, name).get(f"service:{name}") == "critical",
        f"the check of {name} in the catalog",
    )


def test_a_ttl_check_follows_the_application(consul: Subject, name: str) -> None:
    consul.does(REGISTER, {"Name": name, "Check": {"TTL": "30s", "CheckID": f"{name}-c"}})
    for verb, status in (("pass", "passing"), ("warn", "warning"), ("fail", "critical")):
        consul.does(f"/v1/agent/check/{verb}/{name}-c?note={verb}")
        found = check(consul, f"{name}-c")
        assert (found["Status"], found["Output"]) == (status, verb)
        wait_until(
            lambda status=status: statuses(consul, name).get(f"{name}-c") == status,  # type: ignore[misc]
            f"{name}-c {status} in the catalog",
        )
    consul.does(f"/v1/agent/check/update/{name}-c", {"Status": "passing", "Output": "out"})
    found = check(consul, f"{name}-c")
    assert (found["Status"], found["Output"]) == ("passing", "out")


def test_a_ttl_that_nobody_renews_fails_the_check(consul: Subject, name: str) -> None:
    consul.does(REGISTER, {"Name": name, "Check": {"TTL": "200ms", "CheckID": f"{name}-c"}})
    consul.does(f"/v1/agent/check/pass/{name}-c?note=well")
    wait_until(lambda: check(consul, f"{name}-c")["Status"] == "critical", "the TTL is up")
    assert check(consul, f"{name}-c")["Output"].startswith("TTL expired")
    wait_until(
        lambda: statuses(consul, name).get(f"{name}-c") == "critical", "critical in the catalog"
    )
    consul.does(f"/v1/agent/check/pass/{name}-c")
    assert check(consul, f"{name}-c")["Status"] == "passing"


def test_registering_again_keeps_checks_and_their_status(consul: Subject, name: str) -> None:
    consul.does(REGISTER, {"Name": name, "Check": {"TTL": "30s"}})
    consul.does(f"/v1/agent/check/pass/service:{name}?note=n")
    consul.does(REGISTER, {"Name": name, "Port": 2, "Check": {"TTL": "30s", "Status": "critical"}})
    found = check(consul, f"service:{name}")
    assert (found["Status"], found["Output"]) == ("passing", "n")
    other = {"TTL": "30s", "CheckID": f"{name}-o", "Status": "warning"}
    consul.does(REGISTER, {"Name": name, "Check": other})
    assert check(consul, f"service:{name}")["Status"] == "passing"
    assert check(consul, f"{name}-o")["Status"] == "warning"


def test_checks_of_the_node_and_of_services(consul: Subject, name: str) -> None:
    consul.does("/v1/agent/check/register", {"Name": name, "TTL": "30s", "Status": "passing"})
    assert check(consul, name) == check_json(consul, name, Status="passing")
    consul.does(REGISTER, {"Name": name})
    wanted = {"ID": f"{name}-c", "Name": "c", "TTL": "30s", "ServiceID": name}
    consul.does("/v1/agent/check/register", wanted)
    assert check(consul, f"{name}-c") == check_json(
        consul, f"{name}-c", Name="c", ServiceID=name, ServiceName=name
    )
    for _ in range(2):
        consul.does(f"/v1/agent/check/deregister/{name}-c")
        assert check(consul, f"{name}-c") is None
    wait_until(lambda: bool(in_catalog(consul, name)), f"{name} in the catalog")


@pytest.mark.parametrize("reason", ["why", ""])
def test_maintenance_of_a_service(consul: Subject, name: str, reason: str) -> None:
    consul.does(REGISTER, {"Name": name})
    path = f"/v1/agent/service/maintenance/{name}"
    consul.does(f"{path}?enable=true&reason={reason}")
    default = (
        "Maintenance mode is enabled for this service, "
        "but no reason was provided. This is a default message."
    )
    id_ = f"_service_maintenance:{name}"
    assert check(consul, id_) == check_json(
        consul,
        id_,
        Name="Service Maintenance Mode",
        Notes=reason or default,
        Type="maintenance",
        ServiceID=name,
        ServiceName=name,
    )
    wait_until(lambda: statuses(consul, name).get(id_) == "critical", "maintenance mode seen")
    consul.does(f"{path}?enable=false")
    assert check(consul, id_) is None
    wait_until(lambda: id_ not in statuses(consul, name), "maintenance mode over")


def test_maintenance_of_the_node(consul: Subject) -> None:
    consul.does("/v1/agent/maintenance?enable=true&reason=why")
    found = check(consul, "_node_maintenance")
    assert found == check_json(
        consul,
        "_node_maintenance",
        Name="Node Maintenance Mode",
        Notes="why",
        Type="maintenance",
    )
    consul.does("/v1/agent/maintenance?enable=false")
    assert check(consul, "_node_maintenance") is None


MISSING_TTL = "Invalid check: TTL must be > 0 for TTL checks"


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("service/register", {"Port": 80}, 400, "Missing service name"),
        ("service/register", {"Name": "x", "Port": "80"}, 400, "Request decode failed: "),
        ("service/register", {"Name": "x", "Unknown": 1}, 400, "Request decode failed: "),
        ("service/register", "{", 400, "Request decode failed: "),
        (
            "service/register",
            {"Name": "x", "Check": {"TTL": "bogus"}},
            400,
            'Request decode failed: time: invalid duration "bogus"',
        ),
        ("service/register", {"Name": "x", "Check": {"Name": "no kind"}}, 400, MISSING_TTL),
        ("service/register", {"Name": "x", "Checks": [{}]}, 400, MISSING_TTL),
        (
            "service/register",
            {"Name": "x", "Kind": "connect-proxy"},
            400,
            "2 errors occurred:\n\t* Proxy.DestinationServiceName must be non-empty",
        ),
        (
            "service/register",
            {"Name": "x", "Weights": {"Passing": 0}},
            400,
            "Invalid Weights: Passing must be greater than 0",
        ),
        (
            "service/register",
            {"Name": "x", "Weights": {"Passing": 1, "Warning": 65536}},
            400,
            "Invalid Weights: DNS Weight must be between 0 and 65535",
        ),
        ("service/deregister/", None, 500, "ServiceID missing"),
        ("service/maintenance/?enable=true", None, 400, "Missing service ID"),
        (
            "service/maintenance/none?enable=true",
            None,
            404,
            'No service registered with ID "none"',
        ),
        ("service/maintenance/none", None, 400, "Missing value for enable"),
        ("service/maintenance/x?enable=maybe", None, 400, 'Invalid value for enable: "maybe"'),
        ("maintenance", None, 400, "Missing value for enable"),
        ("check/register", {"TTL": "1s"}, 400, "Missing check name"),
        ("check/register", {"Name": "x"}, 400, MISSING_TTL),
        ("check/register", {"Name": "x", "TTL": "1s", "Status": "y"}, 400, "Bad check status"),
        (
            "check/register",
            {"Name": "x", "TTL": "1s", "ServiceID": "none"},
            500,
            'ServiceID "none" does not exist',
        ),
        ("check/deregister/", None, 500, "CheckID missing"),
        ("check/pass/none", None, 500, 'CheckID "none" does not have associated TTL'),
        ("check/update/none", {"Status": "y"}, 400, "Invalid check status: 'y'"),
        ("check/update/none", {"Output": "y"}, 400, "Invalid check status: ''"),
        ("check/update/none", {"Unknown": "y"}, 400, "Request decode failed: "),
    ],
)
def test_refused(consul: Subject, path: str, body: JSON, status: int, text: str) -> None:
    reply = consul.put(f"/v1/agent/{path}", body)
    assert (reply.status_code, reply.text[: len(text)]) == (status, text)
    assert service(consul, "x") is None
    assert check(consul, "x") is None


def test_deregistering_what_is_not_there(consul: Subject) -> None:
    consul.does("/v1/agent/service/deregister/none")
    consul.does("/v1/agent/check/deregister/none")


def test_who_the_agent_is(consul: Subject) -> None:
    config = consul.get("/v1/agent/self").json()["Config"]
    assert config == {
        "Datacenter": "dc1",
        "NodeName": consul.node,
        "NodeID": consul.json(f"/v1/catalog/node/{consul.node}")["Node"]["ID"],
        "Revision": "",
        "Server": True,
        "Version": "1.8.7",
    }
    member = consul.get("/v1/agent/self").json()["Member"]
    assert (member["Name"], member["Addr"], member["Status"]) == (consul.node, "127.0.0.1", 1)


def test_there_is_a_leader(consul: Subject) -> None:
    leader = consul.get("/v1/status/leader").json()
    port = consul.json("/v1/catalog/service/consul")[0]["ServicePort"]
    assert leader == f"127.0.0.1:{port}"
    assert consul.get("/v1/status/peers").json() == [leader]
