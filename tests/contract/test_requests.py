"""What all endpoints share: headers, parameters, methods, paths."""

import pytest

from tests.contract.subject import Subject, index_of

CATALOG_READS = [
    "/v1/catalog/services",
    "/v1/catalog/nodes",
    "/v1/catalog/node/none",
    "/v1/catalog/service/none",
    "/v1/health/service/none",
    "/v1/health/state/any",
]
READS = [*CATALOG_READS, "/v1/kv/none", "/v1/session/list"]


@pytest.mark.parametrize("path", READS)
def test_reads_have_an_index_and_a_leader(consul: Subject, path: str) -> None:
    reply = consul.get(path)
    assert index_of(reply) >= 1
    assert reply.headers["X-Consul-KnownLeader"] == "true"
    assert reply.headers["X-Consul-LastContact"] == "0"


@pytest.mark.parametrize("path", CATALOG_READS)
def test_reads_of_the_catalog_say_how_consistent_they_are(consul: Subject, path: str) -> None:
    for query, consistency in (("", "leader"), ("?stale", "stale"), ("?consistent", "consistent")):
        reply = consul.get(f"{path}{query}")
        assert reply.headers["X-Consul-Effective-Consistency"] == consistency
        assert reply.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", READS)
def test_parameters_that_exclude_each_other(consul: Subject, path: str) -> None:
    reply = consul.get(f"{path}?stale&consistent")
    text = "Cannot specify ?stale with ?consistent, conflicting semantics."
    assert (reply.status_code, reply.text) == (400, text)


@pytest.mark.parametrize("path", READS)
def test_an_unknown_datacenter(consul: Subject, path: str) -> None:
    assert consul.get(f"{path}?dc=DC1").status_code == 500
    reply = consul.get(f"{path}?dc=dc9")
    assert (reply.status_code, reply.text) == (500, "No path to datacenter")
    assert reply.headers.get("X-Consul-Index", "1") == "1"
    assert reply.headers.get("X-Consul-KnownLeader", "false") == "false"
    assert consul.get(f"{path}?dc=dc1").status_code == consul.get(path).status_code


def test_some_reads_are_not_blocking(consul: Subject) -> None:
    for path in ("/v1/catalog/datacenters", "/v1/status/leader", "/v1/agent/services"):
        assert "X-Consul-Index" not in consul.get(path).headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/catalog/services"),
        ("GET", "/v1/catalog/register"),
        ("POST", "/v1/kv/x"),
        ("DELETE", "/v1/txn"),
        ("GET", "/v1/agent/service/register"),
        ("GET", "/v1/agent/check/pass/x"),
        ("GET", "/v1/session/create"),
    ],
)
def test_methods_that_are_not_allowed(consul: Subject, method: str, path: str) -> None:
    reply = consul.request(method, path)
    assert (reply.status_code, reply.text) == (405, f"method {method} not allowed")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/none"),
        ("GET", "/v1/catalog/services/"),
        ("GET", "/v2/kv/x"),
        ("PUT", "/v1/agent/check/bogus/x"),
    ],
)
def test_paths_that_lead_nowhere(consul: Subject, method: str, path: str) -> None:
    reply = consul.request(method, path)
    assert (reply.status_code, reply.text) == (404, "")


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("/v1/kv/dns/%2e%2e/x", "/v1/kv/x"),
        ("/v1/kv/dns/%2e%2e%2f%2e%2e%2fagent/self", "/v1/agent/self"),
        ("/v1/kv/a%2F%2Fb", "/v1/kv/a/b"),
        ("/v1/kv/a//b?recurse", "/v1/kv/a/b?recurse"),
        ("/v1/kv/a//", "/v1/kv/a/"),
        ("/v1//catalog/services", "/v1/catalog/services"),
        ("/v1/kv", "/v1/kv/"),
    ],
)
def test_unclean_paths_are_redirected(consul: Subject, path: str, clean: str) -> None:
    reply = consul.get(path)
    assert (reply.status_code, reply.headers["Location"]) == (301, clean)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/v1/catalog/service/", "Missing service name"),
        ("/v1/catalog/connect/", "Missing service name"),
        ("/v1/catalog/node/", "Missing node name"),
        ("/v1/catalog/node-services/", "Missing node name"),
        ("/v1/health/service/", "Missing service name"),
        ("/v1/health/node/", "Missing node name"),
        ("/v1/health/checks/", "Missing service name"),
        ("/v1/health/state/", "Missing check state"),
        ("/v1/session/node/", "Missing node name"),
        ("/v1/health/service/x?passing=maybe", "Invalid value for ?passing"),
    ],
)
def test_what_is_missing(consul: Subject, path: str, text: str) -> None:
    reply = consul.get(path)
    assert (reply.status_code, reply.text) == (400, text)


def test_names_may_hold_slashes(consul: Subject) -> None:
    name = f"{consul.name('svc')}/a b"
    consul.register(consul.name("node"), Service={"Service": name})
    for path in (name, name.replace("/", "%2F")):
        assert len(consul.json(f"/v1/health/service/{path}")) == 1


def test_pretty_is_indented_by_four(consul: Subject) -> None:
    assert consul.get("/v1/catalog/datacenters?pretty").text == '[\n    "dc1"\n]\n'
    key = consul.name("key/")
    assert consul.put(f"/v1/kv/{key}?pretty", "v").text == "true\n"
    assert consul.get("/v1/catalog/node/none?pretty").text == "null\n"
    assert consul.get("/v1/health/service/none?pretty").text == "[]\n"
