"""What no client should send: a 400 with a reason, never a 500, and nothing of it stays behind."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consuldns.agent.http.app import application
from consuldns.agent.http.exchange import MAX_BODY
from consuldns.agent.serving import Agent, serve
from consuldns.agent.state import State
from consuldns.agent.watching import Watching
from consuldns.sockets import HostPort

DEEP = 5000
LONG = 1000  # characters of a query, of which four must fit into a URL of httpx
BODIES = {
    "/v1/catalog/register": {
        "Node": "n",
        "Address": "10.0.0.1",
        "Service": {"Service": "s", "Port": 1, "Proxy": {"Config": {"x": 1}}},
        "Check": {"CheckID": "c", "Name": "c", "Status": "passing", "Definition": {"x": 1}},
    },
    "/v1/catalog/deregister": {"Node": "n", "ServiceID": "s"},
    "/v1/agent/service/register": {"Name": "a", "Port": 1, "Connect": {"Native": True}},
    "/v1/agent/check/register": {"Name": "t", "TTL": "10s"},
    "/v1/agent/check/update/t": {"Status": "passing", "Output": "fine"},
    "/v1/session/create": {"LockDelay": "1s", "TTL": "10s", "NodeChecks": []},
    "/v1/config": {
        "Kind": "ingress-gateway",
        "Name": "g",
        "Listeners": [{"Port": 80, "Services": [{"Name": "s"}]}],
    },
    "/v1/txn": [
        {"KV": {"Verb": "set", "Key": "k", "Value": "eA==", "Flags": 1}},
        {"Node": {"Verb": "set", "Node": {"Node": "n", "Address": "10.0.0.1"}}},
        {"Service": {"Verb": "set", "Node": "n", "Service": {"ID": "s", "Service": "s"}}},
        {"Check": {"Verb": "get", "Check": {"Node": "n", "CheckID": "c"}}},
    ],
}
READS = [
    "/v1/catalog/nodes",
    "/v1/catalog/services",
    "/v1/catalog/service/s",
    "/v1/catalog/node/n",
    "/v1/health/service/s",
    "/v1/health/service/a",
    "/v1/health/state/any",
    "/v1/health/connect/s",
    "/v1/health/ingress/s",
    "/v1/agent/services",
    "/v1/agent/checks",
    "/v1/session/list",
    "/v1/config/ingress-gateway/g",
]
NOT_JSON = [
    pytest.param(b"[" * DEEP, id="half nested"),
    pytest.param(b"[" * DEEP + b"]" * DEEP, id="nested lists"),
    pytest.param(b'{"a":' * DEEP + b"1" + b"}" * DEEP, id="nested objects"),
    pytest.param(b'{"Node": "\xff"}', id="not UTF-8"),
    pytest.param(b'{"Name": "\\ud800"}', id="half a surrogate"),
    pytest.param(b'{"Node": NaN}', id="NaN"),
    pytest.param(b'{"Node": "x', id="cut"),
    pytest.param(b"\0" * 100, id="zeros"),
    pytest.param(b'"text"', id="a text"),
    pytest.param(b"9" * 5000, id="5000 digits"),
    pytest.param(b"1e999", id="1e999"),
]


class Client:
    """Requests to the application itself: an exception that it does not handle is raised here."""

    def __init__(self) -> None:
        state = State(datacenter="dc1", node="here", clock=lambda: 0.0)
        transport = httpx.ASGITransport(application(state, Watching()))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")
        self._runner = asyncio.Runner()

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, path, **more))

    def close(self) -> None:
        self._runner.close()

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)


@pytest.fixture
def agent() -> Iterator[Client]:
    client = Client()
    yield client
    client.close()


def put(client: Client, path: str, body: bytes) -> httpx.Response:
    return client.request("PUT", path, content=body)


def is_whole(client: Client) -> bool:
    """Whether every read works: nothing that cannot be written again is in the state."""
    # 404: a config entry that is not there.
    return {client.get(path).status_code for path in READS} <= {200, 404}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("body", NOT_JSON)
def test_a_body_that_is_not_json(agent: Client, path: str, body: bytes) -> None:
    reply = put(agent, path, body)
    assert (reply.status_code, bool(reply.text)) == (400, True)
    assert is_whole(agent)


@pytest.mark.parametrize("path", BODIES)
def test_the_bodies_that_the_others_are_made_of_are_right(agent: Client, path: str) -> None:
    for each, body in BODIES.items():
        assert put(agent, each, json.dumps(body).encode()).status_code == 200, each
    assert is_whole(agent)


@pytest.mark.parametrize("path", [*BODIES, "/v1/kv/k"])
def test_a_body_that_is_too_long(agent: Client, path: str) -> None:
    reply = put(agent, path, b" " * (MAX_BODY + 1))
    assert reply.status_code == 413
    assert f"max size: {MAX_BODY} bytes" in reply.text


STRANGE: list[Any] = [
    *(None, True, -1, 0, 10**23, 2**63, 2**64, -(2**63), 1.5, 1e300, "", "x", "\0", "\u2028", "é"),
    *("10s", "-1s", "9" * 400 + "h", [], {}, [None], [[]], {"": None}, {"x": [1, {"y": 10**30}]}),
]


def parts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places in a body."""
    yield path
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from parts(below, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    """A body with something else at a place."""
    if not path:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], by)
    return copy


PLACES = [(path, place) for path, body in BODIES.items() for place in parts(body)]


@pytest.mark.parametrize(("path", "place"), PLACES, ids=lambda each: str(each))
def test_a_value_of_another_kind(agent: Client, path: str, place: tuple[Any, ...]) -> None:
    for each, body in BODIES.items():  # what it could do harm to
        put(agent, each, json.dumps(body).encode())
    for strange in STRANGE:
        reply = put(agent, path, json.dumps(replaced(BODIES[path], place, strange)).encode())
        # 500 is Consul's status for much that a server refuses; a text comes with it.
        assert reply.status_code == 200 or reply.text, (strange, reply.status_code)
        assert agent.get("/v1/catalog/service/s").status_code == 200, strange
    assert is_whole(agent)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.data())
def test_queries_of_any_kind(agent: Client, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([*READS, "/v1/kv/k", "/v1/kv/?recurse"]))
    names = "index wait dc filter near node-meta tag stale consistent passing pretty keys raw"
    values = st.one_of(
        st.text(max_size=30),
        st.sampled_from(["9" * 4301, "-1", "1e999", "0", "(" * LONG, "not " * LONG, "\0"]),
        st.sampled_from(['Node == "x"', "Node matches `(`", "Node matches `a{99999999999}`"]),
        st.sampled_from(
            ["Node matches `" + "(" * LONG + "`", 'Port == "9"', "(" * 60 + "ID is empty"]
        ),
        st.binary(max_size=9).map(lambda octets: octets.decode("latin-1")),
    )
    query = data.draw(st.dictionaries(st.sampled_from(names.split()), values, max_size=4))
    query.pop("index", None) if query.get("index", "x").isdigit() else None  # it would wait
    reply = agent.get(path, params=query)
    assert reply.status_code in (200, 400, 404, 500)
    assert reply.status_code < 400 or reply.text or reply.status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        *(
            "?cas=" + "9" * 5000,
            "?flags=" + "9" * 5000,
            "?flags=-1",
            "?cas=x",
            "?acquire=" + "x" * 99,
        ),
        *("?flags=18446744073709551616", "?cas=1&acquire=2", "?acquire="),
    ],
)
def test_a_write_of_a_key_with_a_query_of_no_sense(agent: Client, query: str) -> None:
    reply = put(agent, f"/v1/kv/k{query}", b"x")
    assert reply.status_code in (400, 500)
    assert reply.text
    assert agent.get("/v1/kv/k").status_code == 404


@pytest.fixture
async def served() -> AsyncIterator[Agent]:
    async with serve(HostPort("127.0.0.1", 0), sample=False) as agent:
        yield agent


async def test_a_name_of_somebody_else_is_refused(served: Agent) -> None:
    """As a page would use that has its own name point to 127.0.0.1 (DNS rebinding)."""
    async with httpx.AsyncClient(base_url=served.url) as client:
        for host, status in (("attacker.example", 403), ("localhost:8500", 200)):
            reply = await client.put("/v1/kv/k", content=b"x", headers={"Host": host})
            assert reply.status_code == status
