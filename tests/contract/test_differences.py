"""Where the embedded agent differs from Consul 1.8.7. There are no others that we know of.

`SHOWN` can be seen in replies, and is tested on both; `UNSEEN` cannot be shown within a test.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.contract.subject import JSON, Subject


@dataclass(frozen=True)
class Difference:
    """`shown` does something and gives what is to be seen; it is `embedded` or `real`."""

    what: str
    why: str
    shown: Callable[[Subject], object]
    embedded: object
    real: object


def status(method: str, path: str, body: JSON = None) -> Callable[[Subject], int]:
    return lambda consul: consul.request(method, path, body).status_code


def node_by_id(consul: Subject) -> bool:
    id_ = consul.json(f"/v1/catalog/node/{consul.node}")["Node"]["ID"]
    return consul.json(f"/v1/catalog/node/{id_}") is not None


def renamed_by_id(consul: Subject) -> bool:
    one, two, id_ = consul.name("n"), consul.name("n"), "1f2e3d4c-0000-4000-8000-00000000000a"
    consul.register(one, ID=id_)
    consul.register(two, ID=id_)
    return consul.json(f"/v1/catalog/node/{one}") is None


def index_after_unchanged_check(consul: Subject) -> bool:
    node = consul.name("node")
    for _ in range(2):
        before = consul.index("/v1/health/state/any")
        consul.register(node, Check={"Name": "c"})
    return consul.index("/v1/health/state/any") > before


def index_of_missing(path: str) -> Callable[[Subject], bool]:
    """Whether something else moves the index of what is not there."""

    def moved(consul: Subject) -> bool:
        before = consul.index(path)
        name = consul.name("other")
        consul.does(f"/v1/kv/{name}", "v")
        consul.register(name, Service={"Service": name})
        consul.deregister(name)
        return consul.index(path) > before

    return moved


def wildcard_ingress(consul: Subject) -> int:
    node, name, gateway = consul.name("node"), consul.name("svc"), consul.name("gw")
    listener = {"Port": 8080, "Protocol": "http", "Services": [{"Name": "*"}]}
    consul.does("/v1/config", {"Kind": "ingress-gateway", "Name": gateway, "Listeners": [listener]})
    consul.register(node, Service={"Service": name})
    consul.register(node, Service={"Service": gateway, "Kind": "ingress-gateway", "Port": 1})
    found = len(consul.json(f"/v1/health/ingress/{name}"))
    consul.deregister(node)
    consul.delete(f"/v1/config/ingress-gateway/{gateway}")
    return found


def compressed(consul: Subject) -> str | None:
    """How a reply of some size is encoded."""
    key = consul.name("key/")
    consul.does(f"/v1/kv/{key}", "x" * 10_000)
    encoding: str | None = consul.get(f"/v1/kv/{key}?raw").headers.get("Content-Encoding")
    return encoding


def cache_header(consul: Subject) -> bool:
    return "X-Cache" in consul.get("/v1/health/service/none?cached").headers


def bad_filter_of_agent_checks(consul: Subject) -> bool:
    """Whether the reply begins as elsewhere."""
    name = consul.name("check")
    consul.does("/v1/agent/check/register", {"Name": name, "TTL": "1h"})
    text = consul.get("/v1/agent/checks?filter=Bogus==x").text
    consul.does(f"/v1/agent/check/deregister/{name}")
    return text.startswith("Failed to create boolean expression evaluator: ")


HTTP_CHECK = {"Name": "x", "Check": {"HTTP": "http://127.0.0.1:1/", "Interval": "1h"}}

SHOWN = [
    Difference(
        "JSON is compact unless ?pretty",
        "a Consul without -dev does the same; only -dev always indents",
        lambda consul: consul.get("/v1/catalog/datacenters").text,
        '["dc1"]',
        '[\n    "dc1"\n]\n',
    ),
    Difference(
        "what is wrong with a filter is told in fewer words",
        "the alternatives that Consul's parser lists belong to that parser",
        lambda consul: consul.get("/v1/catalog/nodes?filter=Node").text.endswith("no match found"),
        True,
        False,
    ),
    Difference(
        "regular expressions of filters are those of Python",
        "RE2 is not in Python; what is common to both is what filters use",
        status("GET", "/v1/catalog/nodes?filter=Node+matches+`(?=x)`"),
        200,
        500,
    ),
    Difference(
        "selectors of /v1/agent/checks?filter= are checked as everywhere",
        "Consul does so there only while there are checks, and in fewer words",
        bad_filter_of_agent_checks,
        True,
        False,
    ),
    Difference(
        "fields of requests have one spelling",
        "Consul takes them in any case",
        status("PUT", "/v1/catalog/deregister", {"node": "none"}),
        400,
        200,
    ),
    Difference(
        "a node is not found by its ID",
        "nothing here asks for it",
        node_by_id,
        False,
        True,
    ),
    Difference(
        "a node is not renamed by registering its ID under another name",
        "real agents do that when their host name changes; nothing here does",
        renamed_by_id,
        False,
        True,
    ),
    Difference(
        "registering an unchanged check wakes nobody",
        "Consul wakes those who wait for checks, without a change to see",
        index_after_unchanged_check,
        False,
        True,
    ),
    Difference(
        "a missing key has an index of its own",
        "Consul gives the index of the whole KV store, and wakes on every write",
        index_of_missing("/v1/kv/missing?recurse"),
        False,
        True,
    ),
    Difference(
        "a missing service has an index of its own",
        "Consul gives the index at which a service went last, and wakes when another goes",
        index_of_missing("/v1/health/service/missing"),
        False,
        True,
    ),
    Difference(
        "only TTL checks are run",
        "a check that is accepted and never run would be worse than none",
        status("PUT", "/v1/agent/service/register", HTTP_CHECK),
        400,
        200,
    ),
    Difference(
        "unknown fields of checks are not refused",
        "those of other kinds of checks are not listed here",
        status("PUT", "/v1/agent/check/register", {"Name": "x", "TTL": "1h", "Unknown": 1}),
        200,
        400,
    ),
    Difference(
        "ingress listeners for all services (`*`) expose none",
        "needs service defaults, which are not kept here",
        wildcard_ingress,
        0,
        1,
    ),
    Difference(
        "no compression",
        "the agent and its clients are on one machine",
        compressed,
        None,
        "gzip",
    ),
    Difference(
        "?cached has no effect",
        "there is nothing between the agent and its state",
        cache_header,
        False,
        True,
    ),
    Difference(
        "HEAD is answered",
        "the HTTP framework does that",
        status("HEAD", "/v1/catalog/services"),
        200,
        405,
    ),
    Difference(
        "no endpoints of the user interface, of ACLs, of events, coordinates and operators",
        "not needed",
        status("GET", "/v1/internal/ui/nodes"),
        404,
        200,
    ),
    Difference(
        "/v1/agent/self has Config, Member and Meta only",
        "not needed",
        lambda consul: sorted(consul.get("/v1/agent/self").json()),
        ["Config", "Member", "Meta"],
        ["Config", "Coord", "DebugConfig", "Member", "Meta", "Stats"],
    ),
]

UNSEEN = {
    "state is in memory only": "it is an agent to try things with",
    "no anti-entropy": "what is registered on the agent's node through the catalog stays there",
    "DeregisterCriticalServiceAfter is ignored": "Consul acts on it after a minute at the earliest",
    "deleted keys keep their index for ever": "Consul forgets them after a quarter of an hour",
    "any number of connections": "Consul closes the 201st of one address",
    "texts of malformed JSON": "the beginning is Consul's, the details are the decoder's",
}


@pytest.mark.parametrize("difference", [pytest.param(each, id=each.what) for each in SHOWN])
def test_difference(consul: Subject, difference: Difference) -> None:
    expected = difference.embedded if consul.kind == "embedded" else difference.real
    assert difference.shown(consul) == expected


def test_every_difference_is_one_and_has_a_reason() -> None:
    assert all(each.embedded != each.real and each.why for each in SHOWN)
    assert all(UNSEEN.values())
