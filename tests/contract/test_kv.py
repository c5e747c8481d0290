"""The KV store."""

import base64

import pytest

from tests.contract.subject import INDEXES, JSON, Subject, index_of

MAX_VALUE = 524_288


def entry_json(key: str, value: str | bytes | None = None, **fields: JSON) -> JSON:
    octets = value.encode() if isinstance(value, str) else value
    encoded = base64.b64encode(octets).decode() if octets is not None else None
    base = {"LockIndex": 0, "Key": key, "Flags": 0, "Value": encoded}
    return base | INDEXES | fields


def test_the_walk_through(consul: Subject) -> None:
    """What the project's documentation shows, with curl's Content-Type, word for word."""
    key = "0.70.254.10.IN-ADDR.ARPA/10.254.70.176"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    value = "monitoring-heapster.service.dc1.consul"
    reply = consul.request("PUT", f"/v1/kv/{key}", value, headers=form)
    assert (reply.status_code, reply.text.strip()) == (200, "true")
    reply = consul.get("/v1/kv/?recurse")
    found = [each for each in reply.json() if each["Key"] == key]
    index = found[0]["ModifyIndex"]
    assert found == [
        {
            "LockIndex": 0,
            "Key": key,
            "Flags": 0,
            "Value": "bW9uaXRvcmluZy1oZWFwc3Rlci5zZXJ2aWNlLmRjMS5jb25zdWw=",
            "CreateIndex": index,
            "ModifyIndex": index,
        }
    ]
    assert list(found[0]) == ["LockIndex", "Key", "Flags", "Value", "CreateIndex", "ModifyIndex"]
    consul.delete(f"/v1/kv/{key}")


def test_a_key_is_written_read_and_deleted(consul: Subject) -> None:
    key = consul.name("key/")
    assert consul.does(f"/v1/kv/{key}?flags=42", "hello") is True
    assert consul.json(f"/v1/kv/{key}") == [entry_json(key, "hello", Flags=42)]
    assert consul.delete(f"/v1/kv/{key}").json() is True
    assert consul.get(f"/v1/kv/{key}").status_code == 404
    assert consul.delete(f"/v1/kv/{key}").json() is True


def test_raw_gives_the_octets(consul: Subject) -> None:
    key, octets = consul.name("key/"), bytes(range(256))
    consul.does(f"/v1/kv/{key}", octets)
    reply = consul.get(f"/v1/kv/{key}?raw")
    assert reply.content == octets
    assert reply.headers["Content-Type"] == "text/plain"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Content-Security-Policy"] == "sandbox"
    assert index_of(reply) == consul.index(f"/v1/kv/{key}")
    assert consul.get(f"/v1/kv/{key}/none?raw").status_code == 404


def test_an_empty_value_is_null(consul: Subject) -> None:
    key = consul.name("key/")
    consul.does(f"/v1/kv/{key}", "")
    assert consul.json(f"/v1/kv/{key}") == [entry_json(key)]
    assert consul.get(f"/v1/kv/{key}?raw").content == b""


def test_indexes_tell_creation_and_change(consul: Subject) -> None:
    key = consul.name("key/")
    consul.does(f"/v1/kv/{key}", "1")
    first = consul.entry(key)
    consul.does(f"/v1/kv/{key}", "1")
    assert consul.entry(key) == first
    for path, value in ((f"/v1/kv/{key}?flags=1", "1"), (f"/v1/kv/{key}", "2")):
        before = consul.entry(key)
        consul.does(path, value)
        after = consul.entry(key)
        assert after["CreateIndex"] == first["CreateIndex"]
        assert after["ModifyIndex"] > before["ModifyIndex"]


def test_recurse_lists_in_the_order_of_octets(consul: Subject) -> None:
    folder = consul.name("dir")
    for key in ("b", "a/c", "a/b", "", "B", "ü"):
        consul.does(f"/v1/kv/{folder}/{key}", key)
    found = consul.json(f"/v1/kv/{folder}/?recurse")
    names = [f"{folder}/{key}" for key in ("", "B", "a/b", "a/c", "b", "ü")]
    assert [each["Key"] for each in found] == names
    assert found[2] == entry_json(f"{folder}/a/b", "a/b")
    assert consul.json(f"/v1/kv/{folder}/a?recurse&raw") == found[2:4]


def test_keys_and_separators(consul: Subject) -> None:
    folder = consul.name("dir")
    for key in ("a/b/x", "a/b/y", "a/c", "d", ""):
        consul.does(f"/v1/kv/{folder}/{key}", "v")

    def keys(path: str) -> list[str]:
        found = consul.json(f"/v1/kv/{path}")
        return [each.removeprefix(folder) for each in found]

    assert keys(f"{folder}?keys") == ["/", "/a/b/x", "/a/b/y", "/a/c", "/d"]
    assert keys(f"{folder}/?keys&separator=") == ["/", "/a/b/x", "/a/b/y", "/a/c", "/d"]
    assert keys(f"{folder}/?keys&separator=/") == ["/", "/a/", "/d"]
    assert keys(f"{folder}?keys&separator=/") == ["/"]
    assert keys(f"{folder}/a/?keys&separator=/") == ["/a/b/", "/a/c"]
    assert keys(f"{folder}/?keys&separator=b/") == ["/", "/a/b/", "/a/c", "/d"]
    assert f"{folder}/" in consul.json("/v1/kv/?keys&separator=/")


@pytest.mark.parametrize("query", ["", "?raw", "?recurse", "?keys", "?keys&separator=/"])
def test_what_is_missing_is_404_with_an_index_to_wait_on(consul: Subject, query: str) -> None:
    reply = consul.get(f"/v1/kv/{consul.name('missing')}{query}")
    assert (reply.status_code, reply.text) == (404, "")
    assert index_of(reply) >= 1
    assert reply.headers["X-Consul-KnownLeader"] == "true"


def test_deleting_a_tree(consul: Subject) -> None:
    folder = consul.name("dir")
    for key in ("a/b", "a/c", "ab", "b"):
        consul.does(f"/v1/kv/{folder}/{key}", "v")
    assert consul.delete(f"/v1/kv/{folder}/a/?recurse").json() is True
    assert consul.json(f"/v1/kv/{folder}/?keys") == [f"{folder}/ab", f"{folder}/b"]
    assert consul.delete(f"/v1/kv/{folder}/a?recurse").json() is True
    assert consul.json(f"/v1/kv/{folder}/?keys") == [f"{folder}/b"]
    assert consul.delete(f"/v1/kv/{folder}/none?recurse").json() is True


def test_check_and_set(consul: Subject) -> None:
    key = consul.name("key/")
    path = f"/v1/kv/{key}"
    assert consul.does(f"{path}?cas=7", "1") is False
    assert consul.does(f"{path}?cas=0", "1") is True
    assert consul.does(f"{path}?cas=0", "2") is False
    index = consul.entry(key)["ModifyIndex"]
    assert consul.does(f"{path}?cas={index}", "2") is True
    assert consul.does(f"{path}?cas={index}", "3") is False
    assert consul.entry(key)["Value"] == base64.b64encode(b"2").decode()
    assert consul.delete(f"{path}?cas={index}").json() is False
    assert consul.delete(f"{path}?cas=0").json() is False
    index = consul.entry(key)["ModifyIndex"]
    assert consul.delete(f"{path}?cas={index}").json() is True
    assert consul.delete(f"{path}?cas={index}").json() is True
    assert consul.get(path).status_code == 404


def test_values_have_a_limit(consul: Subject) -> None:
    key = consul.name("key/")
    assert consul.does(f"/v1/kv/{key}", b"x" * MAX_VALUE) is True
    reply = consul.put(f"/v1/kv/{key}", b"x" * (MAX_VALUE + 1))
    assert reply.status_code == 413
    assert reply.text == (
        "Request body(524289 bytes) too large, max size: 524288 bytes."
        " See https://www.consul.io/docs/agent/options.html#kv_max_value_size."
    )
    assert len(consul.get(f"/v1/kv/{key}?raw").content) == MAX_VALUE
    consul.delete(f"/v1/kv/{key}")


def test_keys_may_hold_anything(consul: Subject) -> None:
    folder = consul.name("dir")
    for escaped, key in (("sp%20ace%2Fx", "sp ace/x"), ("a%3Fb", "a?b"), ("%C3%BC", "ü")):
        consul.does(f"/v1/kv/{folder}/{escaped}", "v")
        assert consul.entry(f"{folder}/{escaped}")["Key"] == f"{folder}/{key}"


def test_keys_are_told_apart_by_case(consul: Subject) -> None:
    key = consul.name("Key/")
    consul.does(f"/v1/kv/{key}", "v")
    assert consul.get(f"/v1/kv/{key.lower()}").status_code == 404


def test_flags_are_64_bits(consul: Subject) -> None:
    key = consul.name("key/")
    consul.does(f"/v1/kv/{key}?flags={2**64 - 1}", "v")
    assert consul.entry(key)["Flags"] == 2**64 - 1


PARSE = "strconv.ParseUint: parsing"


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "", 400, "Missing key name"),
        ("PUT", "", 400, "Missing key name"),
        ("DELETE", "", 400, "Missing key name"),
        ("PUT", "x?cas=a", 500, f'{PARSE} "a": invalid syntax'),
        ("PUT", "x?flags=-1", 500, f'{PARSE} "-1": invalid syntax'),
        ("PUT", "x?flags=", 500, f'{PARSE} "": invalid syntax'),
        ("PUT", f"x?flags={2**64}", 500, f'{PARSE} "{2**64}": value out of range'),
        ("PUT", "x?acquire=a&cas=1", 400, "Conflicting flags: acquire=a&cas=1"),
        ("PUT", "x?acquire=a&release=b", 400, "Conflicting flags: acquire=a&release=b"),
        ("DELETE", "x?recurse&cas=1", 400, "Conflicting flags: cas=1&recurse="),
        ("PUT", "x?acquire=", 500, "missing session"),
        ("PUT", "x?dc=dc9", 500, "No path to datacenter"),
        ("DELETE", "x?dc=dc9", 500, "No path to datacenter"),
        ("GET", "x?dc=dc9", 500, "No path to datacenter"),
    ],
)
def test_refused(consul: Subject, method: str, path: str, status: int, text: str) -> None:
    reply = consul.request(method, f"/v1/kv/{path}", "v" if method == "PUT" else None)
    assert (reply.status_code, reply.text) == (status, text)
    assert consul.get("/v1/kv/x").status_code == 404
