"""`?filter=`: which reads take it, what its expressions select, which are errors."""

from collections.abc import Iterator
from urllib.parse import urlencode

import httpx
import pytest

from tests.contract.subject import JSON, Subject

FAILED = "Failed to create boolean expression evaluator: "


@pytest.fixture(scope="module", autouse=True)
def _catalog(consul: Subject) -> Iterator[None]:
    """Nodes f1 and f2; on each an instance of `fweb`, on f2 its proxy; a service of the agent."""
    lan = {"lan": {"Address": "10.9.0.1", "Port": 8}}
    one = {"ID": "w1", "Service": "fweb", "Tags": ["a", "B c"], "Port": 80, "Meta": {"env": "prod"}}
    more = {"TaggedAddresses": lan, "EnableTagOverride": True}
    weights = {"Weights": {"Passing": 3, "Warning": 1}}
    consul.register(
        "f1",
        NodeMeta={"os": "linux", "x y": "z", "none": ""},
        TaggedAddresses={"lan": "10.1.0.1"},
        Service=one | more | weights,
        Checks=[
            {"Name": "good", "ServiceID": "w1", "Status": "passing"},
            {"Name": "bad", "Status": "critical", "Output": "it's\nbad"},
        ],
    )
    consul.register("f2", Service={"ID": "w2", "Service": "fweb", "Port": 8080})
    upstream = {"DestinationName": "db", "LocalBindPort": 1}
    proxy = {"DestinationServiceName": "fweb", "Upstreams": [upstream]}
    kind = {"Kind": "connect-proxy", "Port": 1, "Proxy": proxy}
    consul.register("f2", Service={"ID": "p", "Service": "fweb-proxy"} | kind)
    service = {"Name": "flocal", "Tags": ["t"], "Meta": {"env": "x"}, "Check": {"TTL": "1h"}}
    consul.does("/v1/agent/service/register", service)
    yield
    consul.deregister("f1")
    consul.deregister("f2")
    consul.does("/v1/agent/service/deregister/flocal")


def filtered(consul: Subject, path: str, expression: str) -> httpx.Response:
    joint = "&" if "?" in path else "?"
    return consul.get(f"{path}{joint}{urlencode({'filter': expression})}")


NODES, WEB, ENTRIES = "/v1/catalog/nodes", "/v1/catalog/service/fweb", "/v1/health/service/fweb"
CHECKS, PROXIES = "/v1/health/state/any", "/v1/health/connect/fweb"
ON_F2 = "/v1/catalog/node-services/f2"
SELECTED = [
    # Values and comparing
    (NODES, "", "f1 f2"),
    (NODES, "Node==f1", "f1"),
    (NODES, ' Node  ==\n"f1"\t', "f1"),
    (NODES, "Node == `f1`", "f1"),
    (NODES, r'Node == "f\x31"', "f1"),
    (NODES, "Node != f1", "f2"),
    (NODES, 'Node == "f1\x00\t\r" or Node == ""', ""),
    (NODES, r'Node == "\\d\t\u00e4"', ""),
    (NODES, 'Address == "10.1.0.1" and Node == f2', "f2"),
    (NODES, "Node == 1 or Node == -1.5", ""),
    (NODES, "Node == f1.x", ""),
    (NODES, 'Node == Meta["os"]', ""),
    (NODES, "Node == not or Node == and", ""),
    (NODES, 'ID == ""', "f1 f2"),
    # What is in it
    (NODES, "f1 in Node", "f1"),
    (NODES, "f in Node", "f1 f2"),
    (NODES, '"" in Node', "f1 f2"),
    (NODES, '"1" not in Node', "f2"),
    (NODES, "Node contains 1", "f1"),
    (NODES, "Node not contains 1", "f2"),
    # Matching
    (NODES, 'Node matches "[1-9]$"', "f1 f2"),
    (NODES, "Node matches `^f1`", "f1"),
    (NODES, r"Node matches `\w1`", "f1"),
    (NODES, 'Node not matches "(?i)F1"', "f2"),
    # Maps, and keys that are missing
    (NODES, "Meta.os == linux", "f1"),
    (NODES, 'Meta["x y"] == z', "f1"),
    (NODES, "Meta[ `x y` ] == z", "f1"),
    (NODES, 'Meta.none == ""', "f1"),
    (NODES, "Meta.os == linux or Meta.nope == x", "f1"),
    (NODES, "Meta.nope != z", "f1 f2"),
    (NODES, 'Meta.nope == ""', ""),
    (NODES, "z in Meta.nope", ""),
    (NODES, "z not in Meta.nope", "f1 f2"),
    (NODES, "Meta.nope matches z", "f1 f2"),
    (NODES, "Meta.nope not matches z", "f1 f2"),
    (NODES, "Meta is empty", "f2"),
    (NODES, "Meta is not empty", "f1"),
    (NODES, "os in Meta", "f1"),
    (NODES, 'Meta not contains "x y"', "f2"),
    (NODES, 'TaggedAddresses.lan == "10.1.0.1"', "f1"),
    # and, or, not, parentheses
    (NODES, "not Node == f1", "f2"),
    (NODES, "not not Node == f1", "f1"),
    (NODES, "not (Node == f1 or Node == f2)", ""),
    (NODES, "not Node == f1 and Node == f2", "f2"),
    (NODES, "Node == f1 or Node == f2 and Node == x", "f1"),
    (NODES, "( ( Node == f1 or Node == f2) and Node == f2 )", "f2"),
    (f"{NODES}?node-meta=os:linux", "Node == f2", ""),
    # Instances: flat
    (WEB, "ServicePort == 80", "w1"),
    (WEB, 'ServicePort == "0x50"', "w1"),
    (WEB, "ServicePort != 80", "w2"),
    (WEB, "ServiceMeta.env == prod", "w1"),
    (WEB, "ServiceMeta.env != prod", "w2"),
    (WEB, "a in ServiceTags", "w1"),
    (WEB, "b in ServiceTags", ""),
    (WEB, 'ServiceTags not contains "B c"', "w2"),
    (WEB, "ServiceTags is empty", "w2"),
    (WEB, "NodeMeta.os == linux", "w1"),
    (WEB, "ServiceEnableTagOverride == true", "w1"),
    (WEB, 'ServiceEnableTagOverride != "t"', "w2"),
    (WEB, "ServiceWeights.Passing == 3", "w1"),
    (WEB, "ServiceTaggedAddresses.lan.Port == 8", "w1"),
    (WEB, "ServiceTaggedAddresses.nope.Port != 8", "w1 w2"),
    (WEB, 'ServiceTaggedAddresses["lan"].Address == "10.9.0.1"', "w1"),
    (WEB, 'ServiceName == fweb and ServiceKind == ""', "w1 w2"),
    (WEB, "ServiceProxy.Upstreams is empty", "w1 w2"),
    (WEB, "ServiceProxy.Expose.Checks == false", "w1 w2"),
    (WEB, 'ServiceProxy.Upstreams.DestinationNamespace == ""', ""),
    (WEB, "ServiceConnect.Native == true", ""),
    (f"{WEB}?tag=a", "ServicePort == 8080", ""),
    ("/v1/catalog/connect/fweb", "ServiceKind == `connect-proxy`", "p"),
    ("/v1/catalog/connect/fweb", "ServiceProxy.DestinationServiceName != fweb", ""),
    # Instances with their nodes and checks; of a list, any
    (ENTRIES, "Node.Meta.os == linux", "w1"),
    (ENTRIES, 'Service["Port"] == 8080', "w2"),
    (ENTRIES, 'Service.Kind == ""', "w1 w2"),
    (ENTRIES, "Checks is empty", "w2"),
    (ENTRIES, "Checks.Status == passing", "w1"),
    (ENTRIES, "Checks.Status != passing", "w1"),
    (ENTRIES, "not Checks.Status == passing", "w2"),
    (ENTRIES, "critical not in Checks.Status", "w1"),
    (ENTRIES, 'Checks.Output matches "^it"', "w1"),
    (ENTRIES, "Checks.ServiceTags contains a", "w1"),
    (PROXIES, "Service.Proxy.Upstreams.DestinationName == db", "p"),
    (PROXIES, "Service.Proxy.Upstreams.LocalBindPort != 1", ""),
    (PROXIES, "Service.Proxy.Upstreams is not empty", "p"),
    ("/v1/health/ingress/fweb", "Service.Port == 1", ""),
    # Checks
    (CHECKS, 'Status != "passing" and Node == f1', "bad"),
    (CHECKS, "a in ServiceTags", "good"),
    ("/v1/health/node/f1", 'ServiceName == ""', "bad"),
    ("/v1/health/checks/fweb", "Status == passing", "good"),
    ("/v1/health/state/critical", 'Output contains "bad"', "bad"),
    # A node's services, and the agent's own
    (ON_F2, "Service == fweb", "w2"),
    (ON_F2, 'Kind == ""', "w2"),
    ("/v1/catalog/node/f2", "Kind != ``", "p"),
    ("/v1/catalog/node/f2", "Port == 7", ""),
    ("/v1/agent/services", "Meta.env == x", "flocal"),
    ("/v1/agent/services", "Service == none", ""),
    ("/v1/agent/checks", "t in ServiceTags", "service:flocal"),
]


def names(body: JSON) -> set[str]:
    """What tells the entries of a reply apart; of nodes and checks, only those of these tests."""
    if isinstance(body, dict):
        body = body.get("Services", body)
    if isinstance(body, dict):
        return set(body)
    found = set()
    for each in body:
        service = each.get("Service")
        if isinstance(service, dict):
            found.add(service["ID"])
        elif "CheckID" in each:
            found.add(each["CheckID"])
        else:
            found.add(each.get("ServiceID") or (each["ID"] if service else each["Node"]))
    return found & {"f1", "f2", "w1", "w2", "p", "good", "bad", "flocal", "service:flocal"}


@pytest.mark.parametrize(("path", "expression", "selected"), SELECTED)
def test_selected(consul: Subject, path: str, expression: str, selected: str) -> None:
    reply = filtered(consul, path, expression)
    assert reply.status_code == 200, reply.text
    assert names(reply.json()) == set(selected.split())


@pytest.mark.parametrize(
    "expression",
    [
        *["   ", "Node", "Node ==", "== f1", "Node = f1", "Node==='f1'", "Node == f1 # c"],
        *["(Node==f1", "Node==f1)", "not(Node==f1)", "NOT Node==f1", "Node==f1 AND Node==f1"],
        *["Node==f1 or", "Node==f1 Node==f1", "(Node==f1)or(Node==f1)", "Node==f1 xor Node==f1"],
        *['Node == "f1', "Node == `f1", r'Node == "\d"', r'Node == "a\"b"', '"a\nb" in Node'],
        *["Node == 01", "Node == 1a", "Node == 10.0.0.1", "Node == f-1", "Node == ä"],
        *["Nodeis empty", 'Node matches"x"', '"f1"in Node', "CreateIndex > 1", "/Node == f1"],
        *["Meta[os] == x", 'Meta["os" == x', "Meta.x-y == z", "Meta._x == 1", "Meta.0 == 1"],
    ],
)
def test_not_an_expression(consul: Subject, expression: str) -> None:
    reply = filtered(consul, NODES, expression)
    assert (reply.status_code, reply.text[: len(FAILED)]) == (500, FAILED)


def invalid(name: str, selector: str) -> str:
    return f'Invalid match operator "{name}" for selector "{selector}"'


def coerced(selector: str, value: str, parse: str, problem: str) -> str:
    failed = f'Failed to coerce value "{value}" for selector "{selector}"'
    return f'{failed}: strconv.{parse}: parsing "{value}": {problem}'


@pytest.mark.parametrize(
    ("path", "expression", "problem"),
    [
        *[
            (path, f"{bad}.x is empty and Node == 1", f'Selector "{bad}" is not valid')
            for path, bad in [
                (NODES, "Bogus"),
                (NODES, "node"),
                (NODES, "CreateIndex"),
                (WEB, "Service"),
                (WEB, "ServiceProxy.Config"),
                (WEB, "ServiceConnect.SidecarService"),
                (ENTRIES, "Checks.Definition"),
                (ENTRIES, "Service.LocallyRegisteredAsSidecar"),
                (CHECKS, "Definition"),
                (CHECKS, "Namespace"),
                (ON_F2, "Node"),
                ("/v1/agent/services", "Datacenter"),
            ]
        ],
        (NODES, "Node in f1", 'Selector "f1" is not valid'),
        (NODES, 'Node["x"] == 1', 'Selector "Node.x" is not valid'),
        (NODES, "Meta.os.x == 1", 'Selector "Meta.os.x" is not valid'),
        (WEB, "ServiceTags.x == 1", 'Selector "ServiceTags.x" is not valid'),
        *[
            (path, f"{selector} {how} x".replace("empty x", "empty"), invalid(name, selector))
            for path, selector, how, name in [
                (NODES, "Node", "is empty", "Is Empty"),
                (NODES, "Meta.os", "is not empty", "Is Not Empty"),
                (NODES, "Meta", "==", "Equal"),
                (NODES, "Meta", "not matches", "Not Matches"),
                (WEB, "ServiceTags", "!=", "Not Equal"),
                (WEB, "ServiceTags", "matches", "Matches"),
                (WEB, "ServicePort", "contains", "In"),
                (WEB, "ServiceEnableTagOverride", "not contains", "Not In"),
                (WEB, "ServiceWeights", "is empty", "Is Empty"),
                (WEB, "ServiceTaggedAddresses.lan", "==", "Equal"),
                (ENTRIES, "Checks", "contains", "In"),
                (ENTRIES, "Service", "is empty", "Is Empty"),
            ]
        ],
        *[
            (WEB, f"{name} == {value}", coerced(name, value, how, problem))
            for name, value, how, problem in [
                ("ServicePort", "x", "ParseInt", "invalid syntax"),
                ("ServicePort", "80.0", "ParseInt", "invalid syntax"),
                ("ServicePort", "9" * 20, "ParseInt", "value out of range"),
                ("ServiceEnableTagOverride", "yes", "ParseBool", "invalid syntax"),
            ]
        ],
        (
            "/v1/health/service/none",
            "Service.Meta.x matches `(`",
            'Failed to compile regular expression "(": ',
        ),
        ("/v1/health/service/none", "Bogus == x", 'Selector "Bogus" is not valid'),
        ("/v1/catalog/node/none", "Bogus == x", 'Selector "Bogus" is not valid'),
    ],
)
def test_not_for_these_entries(consul: Subject, path: str, expression: str, problem: str) -> None:
    reply = filtered(consul, path, expression)
    text = FAILED + problem
    assert (reply.status_code, reply.text[: len(text)]) == (500, text)


@pytest.mark.parametrize("path", [NODES, WEB, ON_F2, "/v1/catalog/node/none", ENTRIES, CHECKS])
def test_an_error_comes_at_once_with_an_index_that_means_nothing(
    consul: Subject, path: str
) -> None:
    index = consul.index(path)
    reply = filtered(consul, f"{path}?index={index}&wait=60s", "Bogus == x")
    assert reply.status_code == 500
    assert reply.headers["X-Consul-Index"] == "1"
    assert reply.headers["X-Consul-KnownLeader"] == "false"
    assert "X-Consul-Effective-Consistency" not in reply.headers


def test_what_else_is_wrong_comes_first(consul: Subject) -> None:
    assert filtered(consul, f"{NODES}?index=1&wait=x", "Bogus == x").status_code == 400
    assert filtered(consul, f"{NODES}?dc=none", "Bogus == x").text == "No path to datacenter"
    assert filtered(consul, "/v1/health/service/", "Bogus == x").text == "Missing service name"


@pytest.mark.parametrize("path", ["/v1/agent/services", "/v1/agent/checks"])
def test_errors_of_the_agent_have_no_index(consul: Subject, path: str) -> None:
    reply = filtered(consul, path, "==")
    assert (reply.status_code, reply.text[: len(FAILED)]) == (500, FAILED)
    assert "X-Consul-Index" not in reply.headers


@pytest.mark.parametrize(
    "path",
    ["/v1/catalog/services", "/v1/catalog/datacenters", "/v1/session/list", "/v1/status/leader"],
)
def test_reads_that_do_not_know_it(consul: Subject, path: str) -> None:
    reply = filtered(consul, path, "==")
    assert reply.status_code == 200
    assert len(reply.json()) == len(consul.get(path).json())  # tags come in any order


def test_a_blocking_query_waits_for_the_unfiltered(consul: Subject) -> None:
    """Consul wakes on every change, also on one that the filter hides."""
    node = consul.name("node")
    poll = consul.poll(f"{CHECKS}?{urlencode({'filter': 'Node == nobody'})}")
    consul.register(node, Check={"Name": "c", "Status": "critical"})
    assert poll.result().json() == []
    consul.deregister(node)
