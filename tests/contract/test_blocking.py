"""Indexes and blocking queries: who is woken by what, and that nobody is forgotten.

"Woken" is tested with queries that wait a minute for an answer that must come well before that.
"Not woken" is tested by the index: a query waits as long as the index stays.
"""

from collections.abc import Callable

import pytest

from tests.contract.subject import Subject, index_of

WATCHED = {
    "services": "/v1/catalog/services",
    "nodes": "/v1/catalog/nodes",
    "node": "/v1/catalog/node/{node}",
    "service": "/v1/catalog/service/{svc}",
    "health": "/v1/health/service/{svc}",
    "passing": "/v1/health/service/{svc}?passing",
    "connect": "/v1/health/connect/{svc}",
    "ingress": "/v1/health/ingress/{svc}",
    "checks": "/v1/health/state/any",
    "node checks": "/v1/health/node/{node}",
    "service checks": "/v1/health/checks/{svc}",
    "key": "/v1/kv/{svc}/key",
    "raw": "/v1/kv/{svc}/key?raw",
    "tree": "/v1/kv/{svc}/?recurse",
    "keys": "/v1/kv/{svc}/?keys",
    "folders": "/v1/kv/?keys&separator=/",
    "sessions": "/v1/session/list",
    "node sessions": "/v1/session/node/{node}",
}


class World:
    """A node with an instance of a service, a check of each, and a key; and steps to change it."""

    def __init__(self, consul: Subject) -> None:
        self.consul = consul
        self.node, self.svc = consul.name("node"), consul.name("svc")
        self.session = ""
        self.register(Checks=[self.check(), self.node_check()])
        self.put("v")

    def path(self, watched: str) -> str:
        return WATCHED[watched].format(node=self.node, svc=self.svc)

    def register(self, node: str = "", **fields: object) -> None:
        service = {"Service": self.svc, "Port": 80}
        self.consul.register(node or self.node, **({"Service": service} | fields))

    def check(self, **fields: str) -> dict[str, str]:
        return {"Name": "svc", "ServiceID": self.svc, "Status": "passing"} | fields

    def node_check(self, status: str = "passing") -> dict[str, str]:
        return {"Name": "node", "Status": status}

    def proxy(self, **fields: object) -> None:
        kind = {"Kind": "connect-proxy", "Proxy": {"DestinationServiceName": self.svc}}
        service = {"Service": f"{self.svc}-proxy", "Port": 1} | kind | fields
        self.consul.register(f"{self.node}-proxy", Service=service)

    def gateway(self) -> None:
        service = {"Service": f"{self.svc}-gw", "Kind": "ingress-gateway", "Port": 1}
        self.consul.register(f"{self.node}-gw", Service=service)

    def expose(self) -> None:
        listener = {"Port": 8080, "Protocol": "tcp", "Services": [{"Name": self.svc}]}
        entry = {"Kind": "ingress-gateway", "Name": f"{self.svc}-gw", "Listeners": [listener]}
        self.consul.does("/v1/config", entry)

    def exposed_gateway(self) -> None:
        self.expose()
        self.gateway()

    def put(self, value: str, key: str = "key", query: str = "") -> None:
        assert self.consul.does(f"/v1/kv/{self.svc}/{key}{query}", value) is True

    def delete(self, path: str = "key") -> None:
        assert self.consul.delete(f"/v1/kv/{self.svc}/{path}").json() is True

    def begin_session(self) -> None:
        self.session = self.consul.session(Node=self.node)

    def lock(self) -> None:
        self.begin_session()
        self.put("v", query=f"?acquire={self.session}")

    def txn(self) -> None:
        operations = [
            {"KV": {"Verb": "set", "Key": f"{self.svc}/key", "Value": "eA=="}},
            {"Node": {"Verb": "set", "Node": {"Node": self.node, "Address": "10.1.0.9"}}},
        ]
        assert self.consul.put("/v1/txn", operations).status_code == 200


Step = Callable[[World], object]

OF_SERVICE = ("services", "node", "service", "health", "passing")
OF_CHECKS = ("checks", "node checks", "service checks", "health", "passing")
OF_KEY = ("key", "raw", "tree", "keys", "folders")

WAKES: list[tuple[str, Step | None, Step, tuple[str, ...]]] = [
    ("port", None, lambda w: w.register(Service={"Service": w.svc, "Port": 81}), OF_SERVICE),
    (
        "instance on another node",
        None,
        lambda w: w.register(f"{w.node}-b"),
        ("services", "nodes", "service", "health", "passing"),
    ),
    (
        "one of two instances gone",
        lambda w: w.register(f"{w.node}-b"),
        lambda w: w.consul.deregister(w.node, ServiceID=w.svc),
        OF_SERVICE,
    ),
    (
        "last instance gone",
        None,
        lambda w: w.consul.deregister(w.node, ServiceID=w.svc),
        OF_SERVICE + OF_CHECKS,
    ),
    (
        "first instance",
        lambda w: w.consul.deregister(w.node, ServiceID=w.svc),
        lambda w: w.register(),
        OF_SERVICE,
    ),
    ("node gone", None, lambda w: w.consul.deregister(w.node), ("nodes", "service", "health")),
    ("address", None, lambda w: w.register(Address="10.1.0.2"), ("nodes", "node", "health")),
    ("meta", None, lambda w: w.register(NodeMeta={"a": "b"}), ("nodes", "service", "health")),
    ("new node", None, lambda w: w.consul.register(f"{w.node}-c"), ("nodes",)),
    (
        "service check's status",
        None,
        lambda w: w.register(Check=w.check(Status="critical")),
        OF_CHECKS,
    ),
    ("service check's output", None, lambda w: w.register(Check=w.check(Output="o")), OF_CHECKS),
    (
        "node check's status",
        None,
        lambda w: w.register(Check=w.node_check("critical")),
        ("checks", "node checks", "health", "passing"),
    ),
    (
        "node check gone",
        None,
        lambda w: w.consul.deregister(w.node, CheckID="node"),
        ("checks", "node checks", "health", "passing"),
    ),
    (
        "new check",
        None,
        lambda w: w.register(Check=w.check(Name="more")),
        OF_CHECKS,
    ),
    ("new proxy", None, World.proxy, ("connect", "services", "nodes")),
    ("proxy's port", World.proxy, lambda w: w.proxy(Port=2), ("connect", "services")),
    (
        "proxy's check",
        World.proxy,
        lambda w: w.consul.register(f"{w.node}-proxy", Check={"Name": "c"}),
        ("connect", "checks"),
    ),
    ("proxy gone", World.proxy, lambda w: w.consul.deregister(f"{w.node}-proxy"), ("connect",)),
    ("new ingress gateway", World.expose, World.gateway, ("ingress",)),
    ("service exposed", World.gateway, World.expose, ("ingress",)),
    (
        "ingress gateway gone",
        World.exposed_gateway,
        lambda w: w.consul.deregister(f"{w.node}-gw"),
        ("ingress",),
    ),
    ("value", None, lambda w: w.put("x"), OF_KEY),
    ("flags", None, lambda w: w.put("v", query="?flags=1"), OF_KEY),
    ("sibling key", None, lambda w: w.put("x", "sibling"), ("tree", "keys", "folders")),
    ("key deleted", None, World.delete, OF_KEY),
    ("tree deleted", None, lambda w: w.delete("?recurse"), OF_KEY),
    ("first key", World.delete, lambda w: w.put("x"), OF_KEY),
    ("session", None, World.begin_session, ("sessions", "node sessions")),
    ("lock", None, World.lock, (*OF_KEY, "sessions")),
    (
        "session destroyed",
        World.lock,
        lambda w: w.consul.does(f"/v1/session/destroy/{w.session}"),
        (*OF_KEY, "sessions", "node sessions"),
    ),
    ("transaction", None, World.txn, (*OF_KEY, "nodes", "health")),
]


@pytest.mark.parametrize(
    ("before", "change", "watched"), [pytest.param(*case, id=name) for name, *case in WAKES]
)
def test_a_change_wakes(
    consul: Subject, before: Step | None, change: Step, watched: tuple[str, ...]
) -> None:
    world = World(consul)
    if before is not None:
        before(world)
    indexes = {each: consul.index(world.path(each)) for each in watched}
    waiting = {each: consul.poll(world.path(each), indexes[each]) for each in watched}
    change(world)
    for each in watched:
        reply = waiting[each].result()
        assert index_of(reply) > indexes[each], each
        now = consul.get(world.path(each))
        if index_of(reply) < index_of(now):  # the agent's own registration woke it a moment before
            reply = consul.poll(world.path(each), index_of(reply)).result()
        assert reply.content == now.content, each


UNCHANGED: list[tuple[str, Step | None, Step, tuple[str, ...]]] = [
    ("same registration", None, lambda w: w.register(), (*OF_SERVICE, "nodes", "connect")),
    ("same value", None, lambda w: w.put("v"), OF_KEY),
    ("nothing to delete", None, lambda w: w.delete("none"), OF_KEY),
    ("no tree to delete", None, lambda w: w.delete("none?recurse"), OF_KEY),
    (
        "nothing to deregister",
        None,
        lambda w: w.consul.deregister(f"{w.node}-none"),
        (*OF_SERVICE, "nodes", "checks"),
    ),
    (
        "same lock",
        World.lock,
        lambda w: w.put("v", query=f"?acquire={w.session}"),
        (*OF_KEY, "sessions"),
    ),
    (
        "renewed session",
        World.begin_session,
        lambda w: w.consul.does(f"/v1/session/renew/{w.session}"),
        ("sessions",),
    ),
    (
        "another service's check",
        lambda w: w.consul.register(f"{w.node}-b", Service={"Service": f"{w.svc}-b"}),
        lambda w: w.consul.register(f"{w.node}-b", Check={"Name": "c"}),
        (*OF_SERVICE, "nodes"),
    ),
    (
        "another service's port",
        lambda w: w.consul.register(f"{w.node}-b", Service={"Service": f"{w.svc}-b"}),
        lambda w: w.consul.register(f"{w.node}-b", Service={"Service": f"{w.svc}-b", "Port": 1}),
        ("service", "health", "nodes", "checks"),
    ),
    (
        "another prefix",
        None,
        lambda w: w.consul.does(f"/v1/kv/{w.svc}-b", "x"),
        ("key", "raw", "tree", "keys"),
    ),
    (
        "refused registration",
        None,
        lambda w: w.consul.put("/v1/catalog/register", {"Node": w.node, "Check": {"Name": "x"}}),
        (*OF_SERVICE, "nodes", "checks"),
    ),
    (
        "failed transaction",
        None,
        lambda w: w.consul.put(
            "/v1/txn",
            [
                {"KV": {"Verb": "set", "Key": f"{w.svc}/key", "Value": "eA=="}},
                {"KV": {"Verb": "get", "Key": "none"}},
            ],
        ),
        OF_KEY,
    ),
]


@pytest.mark.parametrize(
    ("before", "change", "watched"), [pytest.param(*case, id=name) for name, *case in UNCHANGED]
)
def test_what_does_not_concern_a_query_leaves_its_index(
    consul: Subject, before: Step | None, change: Step, watched: tuple[str, ...]
) -> None:
    world = World(consul)
    if before is not None:
        before(world)
    indexes = {each: consul.index(world.path(each)) for each in watched}
    change(world)
    assert {each: consul.index(world.path(each)) for each in watched} == indexes


@pytest.mark.parametrize("path", ["health/service/{}", "health/connect/{}", "kv/{}", "kv/{}?keys"])
def test_what_is_not_there_yet_can_be_waited_for(consul: Subject, path: str) -> None:
    name = consul.name("svc")
    path = f"/v1/{path.format(name)}"
    reply = consul.get(path)
    waiting = consul.poll(path, index_of(reply))
    native = {"Service": name, "Connect": {"Native": True}}
    consul.register(consul.name("node"), Service=native)
    consul.does(f"/v1/kv/{name}", "v")
    found = waiting.result()
    assert found.status_code == 200
    assert len(found.json()) == 1


def test_many_wait_for_one_change(consul: Subject) -> None:
    world = World(consul)
    waiting = [consul.poll(world.path("key")) for _ in range(20)]
    world.put("x")
    assert {each.result().json()[0]["Value"] for each in waiting} == {"eA=="}


def test_a_chain_of_queries_sees_the_last_of_many_changes(consul: Subject) -> None:
    """Each query waits beyond the index of the one before, as a client does."""
    world = World(consul)
    path = f"{world.path('key')}"
    index = consul.index(path)
    writing = consul.poll(f"/v1/kv/{world.svc}/start")
    last = 30
    seen = consul.poll(path, index)
    for number in range(1, last + 1):
        world.put(str(number), query=f"?flags={number}")
    world.put("", "start")
    writing.result()
    flags = 0
    while flags < last:
        reply = seen.result()
        assert index_of(reply) > index
        index, flags = index_of(reply), reply.json()[0]["Flags"]
        seen = consul.poll(path, index) if flags < last else seen


def test_an_old_index_returns_at_once(consul: Subject) -> None:
    world = World(consul)
    for path in (world.path("key"), world.path("health"), world.path("services")):
        reply = consul.poll(path, 1).result()
        assert index_of(reply) > 1


def test_a_wait_ends_with_the_same_index(consul: Subject) -> None:
    world = World(consul)
    path = world.path("health")
    index = consul.index(path)
    reply = consul.get(f"{path}?index={index}&wait=50ms")
    assert (reply.status_code, index_of(reply)) == (200, index)
    assert reply.json() == consul.get(path).json()


def test_index_0_or_none_does_not_wait(consul: Subject) -> None:
    for query in ("?index=0&wait=60s", "?wait=60s", "?index=&wait=60s", ""):
        assert consul.get(f"/v1/kv/none{query}").status_code == 404


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("index=a", "Invalid index"),
        ("index=-1", "Invalid index"),
        ("index=1&wait=10", "Invalid wait time"),
        ("wait=x", "Invalid wait time"),
    ],
)
def test_what_cannot_be_waited_for(consul: Subject, query: str, text: str) -> None:
    for path in ("/v1/catalog/services", "/v1/kv/x", "/v1/session/list"):
        reply = consul.get(f"{path}?{query}")
        assert (reply.status_code, reply.text) == (400, text)
