"""Transactions."""

import base64

import httpx
import pytest

from tests.contract.subject import INDEXES, JSON, Subject, plain
from tests.contract.test_catalog import node_json, service_json
from tests.contract.test_health import check_json

NO_SESSION = "00000000-0000-0000-0000-000000000000"
READ_ONLY = {"Index": 0, "LastContact": 0, "KnownLeader": True, "ConsistencyLevel": ""}


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def kv(verb: str, key: str, **fields: JSON) -> JSON:
    return {"KV": {"Verb": verb, "Key": key} | fields}


def node(verb: str, name: str, **fields: JSON) -> JSON:
    return {"Node": {"Verb": verb, "Node": {"Node": name} | fields}}


def service(verb: str, node: str, id_: str, **fields: JSON) -> JSON:
    named = {"ID": id_, "Service": id_} | fields
    return {"Service": {"Verb": verb, "Node": node, "Service": named}}


def check(verb: str, node: str, id_: str, **fields: JSON) -> JSON:
    return {"Check": {"Verb": verb, "Check": {"Node": node, "CheckID": id_} | fields}}


def entry_json(key: str, value: str | None = None, **fields: JSON) -> JSON:
    base = {"LockIndex": 0, "Key": key, "Flags": 0, "Value": value and b64(value)}
    return {"KV": base | INDEXES | fields}


def run(consul: Subject, *operations: JSON) -> httpx.Response:
    return consul.put("/v1/txn", list(operations))


def done(consul: Subject, *operations: JSON) -> JSON:
    reply = run(consul, *operations)
    assert reply.status_code == 200, reply.text
    return plain(reply.json()["Results"])


def failed(consul: Subject, *operations: JSON) -> list[tuple[int, str]]:
    reply = run(consul, *operations)
    assert reply.status_code == 409
    assert reply.json()["Results"] is None
    return [(each["OpIndex"], each["What"]) for each in reply.json()["Errors"]]


def test_writes_show_no_values_and_reads_do(consul: Subject) -> None:
    key = consul.name("txn/")
    reply = run(consul, kv("set", key, Value=b64("v"), Flags=3), kv("get", key))
    assert reply.status_code == 200
    assert plain(reply.json()) == {
        "Results": [entry_json(key, Flags=3), entry_json(key, "v", Flags=3)],
        "Errors": None,
    }
    first, second = reply.json()["Results"]
    assert first["KV"]["ModifyIndex"] == second["KV"]["ModifyIndex"]


def test_a_transaction_of_reads_has_the_fields_of_a_read(consul: Subject) -> None:
    key = consul.name("txn/")
    consul.does(f"/v1/kv/{key}", "v")
    reply = run(consul, kv("get", key), kv("get-tree", key))
    assert reply.headers["X-Consul-KnownLeader"] == "true"
    assert "X-Consul-Index" not in reply.headers
    results = [entry_json(key, "v"), entry_json(key, "v")]
    assert plain(reply.json()) == {"Results": results, "Errors": None} | READ_ONLY
    nothing: list[list[JSON]] = [[], [{}], [kv("get-tree", f"{key}none")]]
    for operations in nothing:
        reply = run(consul, *operations)
        assert reply.json() == {"Results": [], "Errors": None} | READ_ONLY
    missing = f"{key}none"
    reply = run(consul, kv("get", missing))
    what = f'key "{missing}" doesn\'t exist'
    errors = [{"OpIndex": 0, "What": what}]
    assert reply.json() == {"Results": None, "Errors": errors} | READ_ONLY


def test_all_or_nothing_and_every_error_is_told(consul: Subject) -> None:
    key = consul.name("txn/")
    consul.does(f"/v1/kv/{key}", "v")
    before = consul.entry(key)
    assert failed(
        consul,
        kv("set", f"{key}/new", Value=b64("n")),
        kv("set", key, Value=b64("changed")),
        kv("get", f"{key}/none"),
        node("set", f"{consul.name('node')}", Address="10.1.0.1"),
        kv("cas", key, Index=1, Value=b64("x")),
    ) == [
        (2, f'key "{key}/none" doesn\'t exist'),
        (4, f'failed to set key "{key}", index is stale'),
    ]
    assert consul.entry(key) == before
    assert consul.get(f"/v1/kv/{key}/new").status_code == 404


def test_verbs_of_keys(consul: Subject) -> None:
    key = consul.name("txn/")
    assert done(consul, kv("check-not-exists", key)) == []
    assert done(consul, kv("cas", key, Index=0, Value=b64("1"))) == [entry_json(key)]
    index = consul.entry(key)["ModifyIndex"]
    assert (
        done(
            consul,
            kv("check-index", key, Index=index),
            kv("check-session", key, Session=""),
            kv("cas", key, Index=index, Value=b64("2")),
        )
        == [entry_json(key)] * 3
    )
    assert done(consul, kv("set", f"{key}/b"), kv("get-tree", key)) == [
        entry_json(f"{key}/b"),
        entry_json(key, "2"),
        entry_json(f"{key}/b"),
    ]
    assert done(consul, kv("delete-tree", f"{key}/")) == []
    index = consul.entry(key)["ModifyIndex"]
    assert done(consul, kv("delete-cas", key, Index=index), kv("delete", f"{key}/none")) == []
    assert done(consul, kv("delete-cas", key, Index=index)) == []
    assert consul.get(f"/v1/kv/{key}?recurse").status_code == 404


def test_verbs_of_locks(consul: Subject) -> None:
    key, one, two = consul.name("txn/"), consul.session(), consul.session()
    locked = entry_json(key, LockIndex=1, Session=one)
    fence = kv("check-session", key, Session=one)
    assert done(consul, kv("lock", key, Session=one, Value=b64("1")), fence) == [locked, locked]
    assert failed(consul, kv("lock", key, Session=two)) == [
        (0, f'failed to lock key "{key}", lock is already held')
    ]
    assert failed(consul, kv("check-session", key, Session=two), kv("set", f"{key}/x")) == [
        (0, f'failed session check for key "{key}", current session "{one}" != "{two}"')
    ]
    assert consul.get(f"/v1/kv/{key}/x").status_code == 404
    assert failed(consul, kv("unlock", key, Session=two)) == [
        (0, f'failed to unlock key "{key}", lock isn\'t held, or is held by another session')
    ]
    assert done(consul, kv("unlock", key, Session=one)) == [entry_json(key, LockIndex=1)]


def test_a_lock_delay_refuses_a_transaction(consul: Subject) -> None:
    key, one, two = consul.name("txn/"), consul.session(LockDelay="30s"), consul.session()
    done(consul, kv("lock", key, Session=one))
    consul.does(f"/v1/session/destroy/{one}")
    assert failed(consul, kv("lock", key, Session=two)) == [
        (0, f'failed to lock key "{key}" due to lock delay')
    ]


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (kv("get", ""), "Must provide key"),
        (kv("get-tree", ""), "Must provide key"),
        (kv("set", ""), "Must provide key"),
        (kv("bogus", "k"), 'unknown KV verb "bogus"'),
        (kv("get-or-empty", "k"), 'unknown KV verb "get-or-empty"'),
        (kv("check-not-exists", "here"), 'key "here" exists'),
        (kv("check-index", "none", Index=1), 'failed to check index, key "none" doesn\'t exist'),
        (
            kv("check-session", "none", Session=NO_SESSION),
            'failed to check session, key "none" doesn\'t exist',
        ),
        (kv("cas", "none", Index=5), 'failed to set key "none", index is stale'),
        (kv("delete-cas", "here", Index=1), 'failed to delete key "here", index is stale'),
        (kv("lock", "k"), "missing session"),
        (kv("lock", "k", Session=NO_SESSION), f'invalid session "{NO_SESSION}"'),
        (
            kv("lock", "k", Session="x"),
            "failed session lookup: index error: UUID must be 36 characters",
        ),
        (
            kv("unlock", "none", Session=NO_SESSION),
            'failed to unlock key "none", lock isn\'t held, or is held by another session',
        ),
        (node("get", "none"), 'node "none" doesn\'t exist'),
        (node("set", ""), "Must provide node"),
        (node("bogus", "none"), 'unknown Node verb "bogus"'),
        (node("cas", "none", ModifyIndex=3), 'failed to set node "none", index is stale'),
        (node("delete-cas", "none", ModifyIndex=3), 'failed to delete node "none", index is stale'),
        (service("get", "none", "s"), 'service "s" on node "none" doesn\'t exist'),
        (service("set", "none", "s"), "Missing node registration"),
        (service("set", "none", "s", Service=""), "Must provide service name with ID"),
        (service("delete", "none", "s", Service=""), "Must provide service name with ID"),
        (service("bogus", "none", "s"), 'unknown Service verb "bogus"'),
        (
            service("cas", "none", "s", ModifyIndex=3),
            'failed to set service "s" on node "none", index is stale',
        ),
        (
            service("delete-cas", "none", "s", ModifyIndex=3),
            'failed to delete service "s" on node "none", index is stale',
        ),
        (check("get", "none", "c"), 'check "c" on node "none" doesn\'t exist'),
        (check("set", "none", "c"), "Missing node registration"),
        (check("bogus", "none", "c"), 'unknown Check verb "bogus"'),
        (
            check("cas", "none", "c", ModifyIndex=3),
            'failed to set check "c" on node "none", index is stale',
        ),
    ],
)
def test_operations_that_fail(consul: Subject, operation: JSON, text: str) -> None:
    consul.does("/v1/kv/here", "v")
    assert failed(consul, operation) == [(0, text)]
    consul.delete("/v1/kv/here")


def test_verbs_of_the_catalog(consul: Subject) -> None:
    name, id_ = consul.name("node"), consul.name("svc")
    a_node = {"Node": node_json(name, Meta={"a": "b"})}
    a_service = {"Service": service_json(id_, Port=80, Tags=None)}
    fields = {"ServiceID": id_, "ServiceName": id_, "ServiceTags": None}
    a_check = {"Check": check_json(name, "c", Status="passing", **fields)}
    assert done(
        consul,
        node("set", name, Address="10.1.0.1", Meta={"a": "b"}),
        service("set", name, id_, Port=80),
        check("set", name, "c", Name="c", ServiceID=id_, Status="passing"),
    ) == [a_node, a_service, a_check]
    gets = (node("get", name), service("get", name, id_), check("get", name, "c"))
    assert done(consul, *gets) == [a_node, a_service, a_check]
    now = [next(iter(each.values())) for each in run(consul, *gets).json()["Results"]]
    indexes = [{"ModifyIndex": each["ModifyIndex"]} for each in now]
    assert done(
        consul,
        node("cas", name, Address="10.1.0.2", **indexes[0]),
        service("cas", name, id_, Port=81, **indexes[1]),
        check("cas", name, "c", Name="c", Status="warning", **indexes[2]),
    ) == [
        {"Node": node_json(name, Address="10.1.0.2")},
        {"Service": service_json(id_, Port=81, Tags=None)},
        {"Check": check_json(name, "c", Status="warning", ServiceTags=None)},
    ]
    for operation in (
        node("cas", name, Address="10.1.0.3", **indexes[0]),
        service("cas", name, id_, **indexes[1]),
        check("cas", name, "c", **indexes[2]),
        check("delete-cas", name, "c", **indexes[2]),
        service("delete-cas", name, id_, **indexes[1]),
        node("delete-cas", name, **indexes[0]),
    ):
        assert len(failed(consul, operation)) == 1
    deletions = (check("delete", name, "c"), service("delete", name, id_), node("delete", name))
    assert done(consul, *deletions) == []
    assert consul.json(f"/v1/catalog/node/{name}") is None
    assert done(consul, *deletions) == []


def test_cas_with_index_0_means_new(consul: Subject) -> None:
    name = consul.name("node")
    operations = (
        node("cas", name, Address="10.1.0.1"),
        service("cas", name, "s"),
        check("cas", name, "c", Name="c"),
    )
    assert len(done(consul, *operations)) == 3
    assert [position for position, _ in failed(consul, *operations)] == [0, 1, 2]


def test_a_failed_transaction_leaves_the_catalog(consul: Subject) -> None:
    name = consul.name("node")
    consul.register(name, Service={"Service": name}, Check={"Name": "c"})
    before = consul.get(f"/v1/catalog/node/{name}").json()
    assert failed(consul, node("delete", name), kv("get", "none"))
    assert consul.get(f"/v1/catalog/node/{name}").json() == before
    assert len(consul.json(f"/v1/health/service/{name}")[0]["Checks"]) == 1


def test_a_transaction_has_at_most_64_operations(consul: Subject) -> None:
    prefix = consul.name("txn/")
    operations = [kv("set", f"{prefix}/{number:02}") for number in range(65)]
    assert len(done(consul, *operations[:64])) == 64
    reply = run(consul, *operations)
    text = "Transaction contains too many operations (65 > 64)"
    assert (reply.status_code, reply.text) == (413, text)
    assert len(consul.json(f"/v1/kv/{prefix}?keys")) == 64


def test_a_transaction_has_a_limit_of_octets(consul: Subject) -> None:
    reply = run(consul, kv("set", "big", Value=b64("x" * 400_000)))
    assert reply.status_code == 413
    assert reply.text.endswith(
        " too large, max size: 524288 bytes."
        " See https://www.consul.io/docs/agent/options.html#txn_max_req_len."
    )


@pytest.mark.parametrize(
    "body",
    [
        "{bad",
        [{"KV": {"Verb": "set", "Key": "k", "Value": "!!!"}}],
        [{"Session": {"Verb": "delete", "Session": {"ID": NO_SESSION}}}],
        [{"KV": {"Verb": "set", "Key": "k", "Unknown": 1}}],
    ],
)
def test_bodies_that_are_no_transaction(consul: Subject, body: JSON) -> None:
    reply = consul.put("/v1/txn", body)
    assert reply.status_code == 400
    assert reply.text.startswith("Failed to parse body: ")


def test_an_unknown_datacenter(consul: Subject) -> None:
    reply = consul.put("/v1/txn?dc=dc9", [])
    assert (reply.status_code, reply.text) == (500, "No path to datacenter")
