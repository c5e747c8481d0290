"""Nasty replies, kept: each ended the server, made it deny, or stood beside one that did.

`REPLIES` spoil a whole reply: from the body that Consul would send to another, or to a whole HTTP
response. `RECORDS` are records for lists, as they would stand among good ones.
"""

import json
from collections.abc import Callable
from typing import Any

from tests.consul.scripted_server import reply

DEEP = b"[" * 1_100 + b"]" * 1_100
VERY_DEEP = b"[" * 100_000 + b"]" * 100_000
LARGE_NUMBER = b"1" + b"0" * 23
INDEX: dict[str, Any] = {"X_Consul_Index": 99, "X_Consul_KnownLeader": "true"}

Spoil = Callable[[bytes], bytes]


def instead(body: bytes, **headers: Any) -> Spoil:
    return lambda _: reply(body, **(INDEX | headers))


def with_headers(**headers: Any) -> Spoil:
    return lambda body: reply(body, **headers)


def status(line: str, body: bytes = b"", **headers: Any) -> Spoil:
    return lambda _: reply(body, status=line, **headers)


def _wrong_length(body: bytes) -> bytes:
    return reply(body, **INDEX).replace(b"Content-Length: ", b"Content-Length: 9", 1)


def _chunked(size: bytes) -> Spoil:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Consul-Index: 99\r\n\r\n"
    return lambda body: head + size + b"\r\n" + body + b"\r\n0\r\n\r\n"


REPLIES: dict[str, Spoil] = {
    "empty body": instead(b""),
    "null": instead(b"null"),
    "empty list": instead(b"[]"),
    "empty object": instead(b"{}"),
    "nothing but white space": instead(b" \n"),
    "true": instead(b"true"),
    "a number": instead(b"7"),
    "an instance of another service": instead(
        json.dumps([{"Node": {}, "Service": {"Service": "other", "Address": "10.9.9.9"}}]).encode()
    ),
    "a huge number": instead(LARGE_NUMBER),
    "a text": instead(b'"web"'),
    "HTML": instead(b"<html><body>Sign in</body></html>"),
    "HTML with 404": status("404 Not Found", b"<html>not here</html>"),
    "404 without an index": status("404 Not Found", b"404 page not found"),
    "404 with an index": status("404 Not Found", X_Consul_Index=99),
    "404 without a leader": status(
        "404 Not Found", X_Consul_Index=99, X_Consul_KnownLeader="false"
    ),
    "403": status("403 Forbidden", b"Permission denied"),
    "429": status("429 Too Many Requests"),
    "500": status("500 Internal Server Error", b"rpc error: \xff"),
    "301": status("301 Moved Permanently", Location="http://127.0.0.1:1/"),
    "204": status("204 No Content"),
    "100": status("100 Continue"),
    "status 7": status("7 What"),
    "truncated": lambda body: reply(body[: len(body) // 2], **INDEX),
    "trailing octets": lambda body: reply(body + b"]", **INDEX),
    "wrong type: a list of it": lambda body: reply(b"[" + body + b"]", **INDEX),
    "wrong type: an object of it": lambda body: reply(b'{"a":' + body + b"}", **INDEX),
    "deep": instead(DEEP),
    "very deep": instead(VERY_DEEP),
    "deep and broken off": instead(b"[" * 100_000),
    "deep objects": instead(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "invalid UTF-8": instead(b"\xff\xfe"),
    "invalid UTF-8 in a list": instead(b'["\xff"]'),
    "invalid UTF-8 in a key": instead(b'{"\xff": ["a"]}'),
    "lone surrogate": instead(b'["\\ud800"]'),
    "lone surrogate in a key": instead(b'{"\\ud800": ["a"]}'),
    "UTF-16": lambda body: reply(body.decode().encode("utf-16"), **INDEX),
    "byte order mark": lambda body: reply(b"\xef\xbb\xbf" + body, **INDEX),
    "NaN": instead(b"[NaN]"),
    "1e999": instead(b"[1e999]"),
    "nulls": instead(b"[null, null]"),
    "numbers": instead(b"[1, 2, 3]"),
    "empty objects": instead(b"[{}, {}]"),
    "8 MB of nothing": instead(b" " * (8 << 20) + b"[]"),
    "gzip": lambda body: reply(body, Content_Encoding="gzip", **INDEX),
    "no index": with_headers(),
    "index 0": with_headers(X_Consul_Index=0),
    "index 1": with_headers(X_Consul_Index=1),
    "negative index": with_headers(X_Consul_Index=-1),
    "index in words": with_headers(X_Consul_Index="many"),
    "index of other digits": with_headers(X_Consul_Index="1\u0663"),
    "index 2^63": with_headers(X_Consul_Index=2**63),
    "index 2^64-1": with_headers(X_Consul_Index=2**64 - 1),
    "index 2^64": with_headers(X_Consul_Index=2**64),
    "index of 5,000 digits": with_headers(X_Consul_Index="9" * 5_000),
    "no leader": with_headers(X_Consul_Index=99, X_Consul_KnownLeader="false"),
    "wrong length": _wrong_length,
    "negative length": lambda body: reply(body, **INDEX).replace(b"Length: ", b"Length: -"),
    "negative chunk": _chunked(b"-5"),
    "chunk of other digits": _chunked(b"1_0"),
    "chunk of 4 GB": _chunked(b"ffffffff"),
    "not HTTP": lambda _: b"HTTP/9 hello\r\n\r\n",
    "a header without a colon": lambda _: b"HTTP/1.1 200 OK\r\nhello\r\n\r\n[]",
}


def _nested(levels: int) -> bytes:
    return b'{"n":' * levels + b"1" + b"}" * levels


NODE = b'"Node": "node-1", "Address": "10.0.0.9"'
SERVICE = b'"ID": "bad", "Service": "web"'


def entry(node: bytes = b"", service: bytes = b"", checks: bytes = b"[]") -> bytes:
    """An entry of /v1/health/service with more fields than it should have."""
    parts = (NODE + node, SERVICE + service, checks)
    return b'{"Node": {%b}, "Service": {%b}, "Checks": %b}' % parts


RECORDS: dict[str, bytes] = {
    "deep configuration": entry(service=b', "Proxy": {"Config": %b}' % _nested(1_000)),
    "very deep configuration": entry(service=b', "Proxy": {"Config": %b}' % _nested(30_000)),
    "deep arrays": entry(service=b', "Tags": %b' % DEEP),
    "deep metadata": entry(node=b', "Meta": {"a": %b}' % DEEP),
    "deep checks": entry(checks=DEEP),
    "port of 10^23": entry(service=b', "Port": ' + LARGE_NUMBER),
    "port of -10^23": entry(service=b', "Port": -' + LARGE_NUMBER),
    "port 2^63": entry(service=b', "Port": 9223372036854775808'),
    "port 1.5": entry(service=b', "Port": 1.5'),
    "port 1e999": entry(service=b', "Port": 1e999'),
    "port in a text": entry(service=b', "Port": "80"'),
    "weight of 10^23": entry(service=b', "Weights": {"Passing": %b}' % LARGE_NUMBER),
    "tagged port of 10^23": entry(
        service=b', "TaggedAddresses": {"wan": {"Address": "10.0.0.1", "Port": %b}}' % LARGE_NUMBER
    ),
    "NaN": entry(service=b', "Proxy": NaN'),
    "invalid UTF-8 in a tag": entry(service=b', "Tags": ["\xff"]'),
    "invalid UTF-8 in the node": b'{"Node": {"Node": "\xff", "Address": "x"}, "Service": {}}',
    "lone surrogate in a tag": entry(service=b', "Tags": ["\\ud800"]'),
    "lone surrogate in metadata": entry(service=b', "Meta": {"\\udc00": "x"}'),
    "numbers as tags": entry(service=b', "Tags": [1, 2]'),
    "nested tags": entry(service=b', "Tags": [["a"]]'),
    "metadata is a list": entry(node=b', "Meta": []'),
    "no service": b'{"Node": {%b}, "Checks": []}' % NODE,
    "no node": b'{"Service": {%b}, "Checks": []}' % SERVICE,
    "empty": b"{}",
    "null": b"null",
    "a number": LARGE_NUMBER,
    "a text": b'"\\\\\\""',
    "a list": b"[[[]]]",
}

# Odd, but records all the same: they are used, and nothing breaks.
ODD: dict[str, bytes] = {
    "port -5": entry(service=b', "Port": -5'),
    "port 70000": entry(service=b', "Port": 70000'),
    "port 2^63-1": entry(service=b', "Port": 9223372036854775807'),
    "no name": b'{"Node": {"Node": "", "Address": ""}, "Service": {"ID": "", "Service": ""}}',
    "NUL": entry(service=b', "Tags": ["\\u0000"], "Address": "\\u0000"'),
    "dots": entry(service=b', "Tags": ["...", ".", ""], "Address": "..."'),
    "100,000 tags": entry(
        service=b', "Tags": %b' % json.dumps([f"t{n}" for n in range(100_000)]).encode()
    ),
    "a tag of a megabyte of dots": entry(service=b', "Tags": ["%b"]' % (b"a." * 500_000)),
    "an address of a megabyte": entry(service=b', "Address": "%b"' % (b"a." * 500_000)),
    "names of 300 octets": b'{"Node": {"Node": "%b", "Address": "%b"}, "Service": {%b}}'
    % (b"n" * 300, b"a" * 300, SERVICE),
    "repeated members": entry(service=b', "ID": "again", "Port": 1, "Port": 2'),
    "unknown status": entry(checks=b'[{"Status": "\\u2603"}]'),
    "metadata of a megabyte": entry(node=b', "Meta": {"a": "%b"}' % (b"x" * 1_000_000)),
}

DOCUMENTS: dict[str, bytes] = {
    "deep objects": _nested(1_100),
    "deep arrays": DEEP,
    "very deep": VERY_DEEP,
    "invalid UTF-8": b'{"v": 1, "uid": "\xff"}',
    "version of 10^23": b'{"v": %b}' % LARGE_NUMBER,
    "empty": b"",
    "null": b"null",
    "lone surrogate": b'{"v": 1, "uid": "\\ud800"}',
    "binary": bytes(range(256)),
}
