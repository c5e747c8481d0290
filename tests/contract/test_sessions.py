"""Sessions, and the locks that they hold."""

import pytest

from tests.contract.subject import INDEXES, JSON, SESSION_TTL_MIN, Subject, index_of

NO_SESSION = "00000000-0000-0000-0000-000000000000"
NOT_A_UUID = "failed session lookup: index error: UUID must be 36 characters"


def session_json(id_: str, node: str, **fields: JSON) -> JSON:
    return {
        "ID": id_,
        "Name": "",
        "Node": node,
        "LockDelay": 15_000_000_000,
        "Behavior": "release",
        "TTL": "",
        "NodeChecks": ["serfHealth"],
        "ServiceChecks": None,
        **INDEXES,
        **fields,
    }


def test_a_session_with_defaults(consul: Subject) -> None:
    created = consul.put("/v1/session/create").json()
    assert list(created) == ["ID"]
    id_ = created["ID"]
    expected = session_json(id_, consul.node)
    assert consul.json(f"/v1/session/info/{id_}") == [expected]
    assert expected in consul.json("/v1/session/list")
    assert expected in consul.json(f"/v1/session/node/{consul.node}")
    assert consul.json("/v1/session/node/none") == []
    assert consul.does(f"/v1/session/renew/{id_}")[0]["ID"] == id_
    assert consul.does(f"/v1/session/destroy/{id_}") is True
    assert consul.json(f"/v1/session/info/{id_}") == []
    assert consul.does(f"/v1/session/destroy/{id_}") is True


@pytest.mark.parametrize(
    ("wanted", "stored"),
    [
        ({"Name": "n", "TTL": "1m30s", "Behavior": "delete"}, {}),
        ({"LockDelay": "100ms"}, {"LockDelay": 100_000_000}),
        ({"LockDelay": 5}, {"LockDelay": 5_000_000_000}),
        ({"LockDelay": 5_000_000}, {"LockDelay": 5_000_000}),
        ({"TTL": "0"}, {}),
        ({"NodeChecks": []}, {}),
        ({"NodeChecks": None}, {}),
        ({"ServiceChecks": []}, {}),
        ({"Checks": []}, {"NodeChecks": []}),
        ({"Unknown": 1}, {}),
    ],
)
def test_a_session_with_settings(consul: Subject, wanted: JSON, stored: JSON) -> None:
    id_ = consul.does("/v1/session/create", wanted)["ID"]
    known = {key: value for key, value in wanted.items() if key not in ("Checks", "Unknown")}
    expected = session_json(id_, consul.node, **(known | stored))
    assert consul.json(f"/v1/session/info/{id_}") == [expected]
    consul.does(f"/v1/session/destroy/{id_}")


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"TTL": "100ms"}, "Invalid Session TTL '100000000', must be between [200ms=24h0m0s]"),
        ({"TTL": "86401s"}, "Invalid Session TTL '86401000000000', must be between"),
        ({"TTL": "bogus"}, "Session TTL 'bogus' invalid: time: invalid duration"),
        ({"Behavior": "bogus"}, "Invalid Behavior setting 'bogus'"),
        ({"Node": "none"}, "Missing node registration"),
        ({"NodeChecks": ["none"]}, "Missing check 'none' registration"),
        ({"ServiceChecks": [{"ID": "none"}]}, "Missing check 'none' registration"),
    ],
)
def test_sessions_that_cannot_be(consul: Subject, wanted: JSON, text: str) -> None:
    reply = consul.put("/v1/session/create", wanted)
    assert (reply.status_code, reply.text[: len(text)]) == (500, text)


@pytest.mark.parametrize("body", ["{", [], {"LockDelay": "x"}])
def test_bodies_that_are_no_session(consul: Subject, body: JSON) -> None:
    reply = consul.put("/v1/session/create", body)
    assert reply.status_code == 400
    assert reply.text.startswith("Request decode failed: ")


def test_ids_that_are_none(consul: Subject) -> None:
    reply = consul.put(f"/v1/session/renew/{NO_SESSION}")
    assert (reply.status_code, reply.text) == (404, f"Session id '{NO_SESSION}' not found")
    assert consul.json(f"/v1/session/info/{NO_SESSION}") == []
    for method, verb in (("PUT", "renew"), ("PUT", "destroy"), ("GET", "info")):
        reply = consul.request(method, f"/v1/session/{verb}/x")
        assert (reply.status_code, reply.text) == (500, NOT_A_UUID)
        reply = consul.request(method, f"/v1/session/{verb}/")
        assert (reply.status_code, reply.text) == (400, "Missing session")


def test_a_lock_is_taken_kept_and_given_back(consul: Subject) -> None:
    key, one, two = consul.name("lock/"), consul.session(), consul.session()

    def lock() -> tuple[int, str | None]:
        entry = consul.entry(key)
        return entry["LockIndex"], entry.get("Session")

    assert consul.does(f"/v1/kv/{key}?acquire={one}", "1") is True
    assert lock() == (1, one)
    assert consul.does(f"/v1/kv/{key}?acquire={two}", "2") is False
    assert consul.does(f"/v1/kv/{key}?acquire={one}", "3") is True
    assert lock() == (1, one)
    assert consul.does(f"/v1/kv/{key}?release={two}", "4") is False
    assert consul.does(f"/v1/kv/{key}?release={one}", "5") is True
    assert lock() == (1, None)
    assert consul.does(f"/v1/kv/{key}?release={one}", "6") is False
    assert consul.does(f"/v1/kv/{key}?acquire={two}", "7") is True
    assert lock() == (2, two)
    assert consul.get(f"/v1/kv/{key}?raw").text == "7"


def test_writing_a_locked_key_keeps_the_session_and_forgets_the_count(consul: Subject) -> None:
    key, session = consul.name("lock/"), consul.session()
    consul.does(f"/v1/kv/{key}?acquire={session}", "1")
    assert consul.does(f"/v1/kv/{key}", "2") is True
    entry = consul.entry(key)
    assert (entry["LockIndex"], entry["Session"]) == (0, session)
    assert consul.delete(f"/v1/kv/{key}").json() is True
    assert consul.get(f"/v1/kv/{key}").status_code == 404


def test_locks_need_a_session(consul: Subject) -> None:
    reply = consul.put(f"/v1/kv/lock?acquire={NO_SESSION}", "v")
    assert (reply.status_code, reply.text) == (500, f'invalid session "{NO_SESSION}"')
    reply = consul.put("/v1/kv/lock?acquire=x", "v")
    assert (reply.status_code, reply.text) == (500, NOT_A_UUID)
    assert consul.does("/v1/kv/lock?release=x", "v") is False


@pytest.mark.parametrize("behavior", ["release", "delete"])
def test_the_end_of_a_session_frees_its_locks(consul: Subject, behavior: str) -> None:
    key, session = consul.name("lock/"), consul.session(Behavior=behavior)
    consul.does(f"/v1/kv/{key}?acquire={session}", "v")
    before = consul.entry(key)
    waiting = consul.poll(f"/v1/kv/{key}", before["ModifyIndex"])
    consul.does(f"/v1/session/destroy/{session}")
    reply = waiting.result()
    assert index_of(reply) > before["ModifyIndex"]
    if behavior == "delete":
        assert reply.status_code == 404
    else:
        entry = reply.json()[0]
        assert (entry["LockIndex"], entry.get("Session")) == (1, None)
        assert entry["Value"] == before["Value"]


@pytest.mark.parametrize("behavior", ["release", "delete"])
def test_a_lock_delay_keeps_others_out(consul: Subject, behavior: str) -> None:
    key = consul.name("lock/")
    one, two = consul.session(LockDelay="30s", Behavior=behavior), consul.session()
    consul.does(f"/v1/kv/{key}?acquire={one}", "v")
    consul.does(f"/v1/session/destroy/{one}")
    assert consul.does(f"/v1/kv/{key}?acquire={two}", "v") is False
    assert consul.does(f"/v1/kv/{key}?acquire={one}", "v") is False
    assert consul.does(f"/v1/kv/{key}", "anyone may write") is True


def test_a_released_lock_has_no_delay(consul: Subject) -> None:
    key, one, two = consul.name("lock/"), consul.session(LockDelay="30s"), consul.session()
    consul.does(f"/v1/kv/{key}?acquire={one}", "v")
    consul.does(f"/v1/kv/{key}?release={one}", "v")
    assert consul.does(f"/v1/kv/{key}?acquire={two}", "v") is True


def test_a_session_ends_with_its_node(consul: Subject) -> None:
    node, key = consul.name("node"), consul.name("lock/")
    consul.register(node)
    session = consul.session(Node=node)
    consul.does(f"/v1/kv/{key}?acquire={session}", "v")
    consul.deregister(node)
    assert consul.json(f"/v1/session/info/{session}") == []
    assert "Session" not in consul.entry(key)


@pytest.mark.parametrize("kind", ["node", "service"])
def test_a_session_ends_with_its_checks(consul: Subject, kind: str) -> None:
    node = consul.name("node")
    check = {"Name": "c", "Status": "passing"}
    service = {"Service": "s"} if kind == "service" else None
    if service:
        check["ServiceID"] = "s"
    consul.register(node, Service=service, Check=check)
    checks = {"ServiceChecks": [{"ID": "c"}]} if service else {"NodeChecks": ["c"]}
    session = consul.session(Node=node, **checks)
    consul.register(node, Service=service, Check=check | {"Status": "warning"})
    assert len(consul.json(f"/v1/session/info/{session}")) == 1
    consul.register(node, Service=service, Check=check | {"Status": "critical"})
    assert consul.json(f"/v1/session/info/{session}") == []
    reply = consul.put("/v1/session/create", {"Node": node} | checks | {"NodeChecks": ["c"]})
    assert (reply.status_code, reply.text) == (500, "Check 'c' is in critical state")


def test_a_session_ends_with_the_removal_of_its_check(consul: Subject) -> None:
    node = consul.name("node")
    consul.register(node, Check={"Name": "c", "Status": "passing"})
    session = consul.session(Node=node, NodeChecks=["c"])
    consul.deregister(node, CheckID="c")
    assert consul.json(f"/v1/session/info/{session}") == []


def test_a_session_ends_when_nobody_renews_it(consul: Subject) -> None:
    key = consul.name("lock/")
    session = consul.session(TTL=f"{SESSION_TTL_MIN * 1000:.0f}ms", Behavior="delete")
    consul.does(f"/v1/kv/{key}?acquire={session}", "v")
    before = consul.entry(key)["ModifyIndex"]
    assert consul.does(f"/v1/session/renew/{session}")[0]["TTL"] == "200ms"
    reply = consul.poll(f"/v1/kv/{key}", before).result()
    assert reply.status_code == 404
    assert consul.json(f"/v1/session/info/{session}") == []
