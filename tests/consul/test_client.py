"""The client against a server that misbehaves, on real sockets."""

import asyncio
import errno
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from consuldns.config.schema import ConsulSettings
from consuldns.config.values import Secret
from consuldns.consul.http import connection
from consuldns.consul.http.client import Client, encode_target
from consuldns.errors import (
    BadResponse,
    ConfigError,
    ConsulError,
    Denied,
    NoPathToDatacenter,
    NotFound,
    TooManyRequests,
    TransactionRefused,
    Unreachable,
)
from tests.consul.scripted_server import Answer, Request, ScriptedServer, never, reply
from tests.support.consul_agent import free_ports

SERVICES = ("v1", "catalog", "services")


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        pytest.param(SERVICES, {}, b"/v1/catalog/services", id="plain"),
        pytest.param(
            ("v1", "kv", "0.70.254.10.IN-ADDR.ARPA", ""),
            {"recurse": "", "dc": "dc1"},
            b"/v1/kv/0.70.254.10.IN-ADDR.ARPA/?recurse&dc=dc1",
            id="final slash and bare query",
        ),
        pytest.param(("v1", "a/b?c#d e%2f"), {}, b"/v1/a%2Fb%3Fc%23d%20e%252f", id="delimiters"),
        pytest.param(("v1", "\0\r\n\xfc"), {}, b"/v1/%00%0D%0A%C3%BC", id="controls"),
        pytest.param(("v1",), {"separator": "/"}, b"/v1?separator=%2F", id="query value"),
    ],
)
def test_target_keeps_segments_apart(
    path: tuple[str, ...], query: dict[str, str], target: bytes
) -> None:
    assert encode_target(path, query) == target


@pytest.mark.parametrize("name", ["..", ".", "a/../b", "../../agent/self", "\ud800"])
def test_name_that_would_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(BadResponse):
        encode_target(("v1", "health", "service", name), {})


# The headers of every error of Consul 1.16, whether there is a leader or not.
LATER_ERROR: dict[str, Any] = {"X_Consul_Index": 1, "X_Consul_KnownLeader": "false"}


@pytest.mark.parametrize(
    ("response", "error"),
    [
        pytest.param(reply("ACL not found", status="403 Forbidden"), Denied, id="403"),
        pytest.param(reply("", status="404 Not Found", X_Consul_Index=7), NotFound, id="404"),
        pytest.param(reply("", status="429 Too Many"), TooManyRequests, id="429"),
        pytest.param(
            reply("No path to datacenter", status="500 Error"), NoPathToDatacenter, id="datacenter"
        ),
        pytest.param(reply("No cluster leader", status="500 Error"), BadResponse, id="500"),
        pytest.param(
            reply("No path to datacenter", status="500 Error", **LATER_ERROR),
            NoPathToDatacenter,
            id="datacenter, 1.16",
        ),
        pytest.param(
            reply("Query not found", status="404 Not Found", **LATER_ERROR),
            NotFound,
            id="prepared query, 1.16",
        ),
        pytest.param(reply("oh", status="500 Error", **LATER_ERROR), BadResponse, id="500, 1.16"),
        pytest.param(
            reply("", status="404 Not Found", X_Consul_Index=7, X_Consul_KnownLeader="false"),
            Unreachable,
            id="404 without a leader",
        ),
        pytest.param(
            reply("<html>", status="302 Found", Location="/x"), BadResponse, id="redirect"
        ),
        pytest.param(reply(X_Consul_Index="abc"), BadResponse, id="garbage index"),
        pytest.param(reply(X_Consul_Index="-1"), BadResponse, id="negative index"),
        pytest.param(reply(X_Consul_KnownLeader="false"), Unreachable, id="no leader"),
        pytest.param(
            reply(gzip.compress(b"[]"), Content_Encoding="gzip"), BadResponse, id="packed"
        ),
        pytest.param(reply(b"x" * 5000), BadResponse, id="over the bound"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", Unreachable, id="no HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", Unreachable, id="bad header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000, Unreachable, id="endless header"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            Unreachable,
            id="bad chunk",
        ),
    ],
)
async def test_response_becomes_error(response: bytes, error: type[ConsulError]) -> None:
    async with ScriptedServer.of(response) as server:
        client = Client(server.settings, max_body=4096)
        with pytest.raises(error):
            await client.get(*SERVICES, deadline=5)
        assert len(server.requests) == 1
        await client.aclose()


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[]", id="cut body"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[", id="cut chunk"
        ),
        pytest.param(b"HTTP/1.1 200", id="cut head"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_connection_that_breaks_is_unreachable(response: bytes) -> None:
    async with ScriptedServer.of(response, close_after_reply=True) as server:
        client = Client(server.settings)
        with pytest.raises(Unreachable):
            await client.get(*SERVICES)
        await client.aclose()


async def test_what_comes_from_a_stream_says_nothing_about_the_leader() -> None:
    streamed = reply(
        X_Consul_Index=7, X_Consul_KnownLeader="false", X_Consul_Query_Backend="streaming"
    )
    async with ScriptedServer.of(streamed) as server:
        client = Client(server.settings)
        assert (await client.get(*SERVICES)).index == 7
        await client.aclose()


async def test_nobody_listening_is_unreachable() -> None:
    client = Client(ConsulSettings(address=f"http://127.0.0.1:{free_ports(1)[0]}"))
    with pytest.raises(Unreachable, match="no connection"):
        await client.get(*SERVICES)
    assert client.statistics().requests == {("catalog/services", "Unreachable"): 1}


async def test_hanging_server_is_given_up_at_the_deadline() -> None:
    async with ScriptedServer.of(never, reply()) as server:
        client = Client(server.settings)
        with pytest.raises(Unreachable, match=r"within 0\.05 s"):
            await client.get(*SERVICES, deadline=0.05)
        assert (await client.get(*SERVICES)).body == b"[]"
        assert server.connections == 2, "a connection with an open request is never used again"
        await client.aclose()


async def test_chunked_body_is_read_and_connection_kept() -> None:
    chunks = b"4\r\n[1,2\r\n5;x=y\r\n,3,4]\r\n0\r\nTrailer: 1\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Consul-Index: 12\r\n\r\n"
    async with ScriptedServer.of(head + chunks) as server:
        client = Client(server.settings)
        for _ in range(3):
            answer = await client.get(*SERVICES)
            assert (answer.index, answer.body) == (12, b"[1,2,3,4]")
        assert server.connections == 1
        await client.aclose()


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("response", "connections"),
    [
        pytest.param(reply("[]"), 1, id="plain"),
        pytest.param(reply("[]", Connection="close"), 2, id="connection: close"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + reply("[]"), 1, id="100 first"),
        pytest.param(
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3 + reply("[]"), 1, id="103 first"
        ),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n[]", 2, id="HTTP/1.0"),
        pytest.param(reply("[]") + reply("[7]"), 2, id="more than was asked for"),
        pytest.param(HEAD + b"Content-Length: 2\r\n\r\n[]]", 2, id="length too small"),
        pytest.param(HEAD + b"content-LENGTH:2\r\n\r\n[]", 1, id="odd spelling"),
        pytest.param(HEAD + b"content-length: 2, 2\r\n\r\n[]", 1, id="the length twice"),
    ],
)
async def test_connection_is_used_again_only_after_a_clean_end(
    response: bytes, connections: int
) -> None:
    async with ScriptedServer.of(response) as server:
        client = Client(server.settings)
        for _ in range(2):
            assert (await client.get(*SERVICES, deadline=4)).body == b"[]"
        assert server.connections == connections
        assert client.statistics().connections_busy == 0
        await client.aclose()


@pytest.mark.parametrize("is_read_meanwhile", [False, True])
@pytest.mark.parametrize(
    "octets", [pytest.param(reply("[7]"), id="a reply"), pytest.param(b"\r\n", id="an empty line")]
)
async def test_what_comes_without_a_request_answers_none(
    octets: bytes, is_read_meanwhile: bool
) -> None:
    async with ScriptedServer.of(reply("[]")) as server, ScriptedServer.of(reply("[]")) as other:
        client, elsewhere = Client(server.settings), Client(other.settings)
        await client.get(*SERVICES)
        server.push(octets)
        if is_read_meanwhile:
            await elsewhere.get(*SERVICES)  # the event loop takes what has come on all sockets
        assert (await client.get(*SERVICES)).body == b"[]"
        assert server.connections == 2
        await client.aclose()
        await elsewhere.aclose()


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(HEAD + b"Content-Length: 10\r\n\r\n[]", id="in the body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]", id="in a chunk"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n", id="in trailers"),
        pytest.param(HEAD, id="in the head"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="after 100"),
    ],
)
async def test_response_that_stalls_is_given_up(
    response: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SILENCE_SECONDS", 0.05)
    async with ScriptedServer.of(response, reply()) as server:
        client = Client(server.settings)
        with pytest.raises(Unreachable, match="no data for"):
            await client.get(*SERVICES)
        assert (await client.get(*SERVICES)).body == b"[]"
        assert server.connections == 2
        await client.aclose()


async def test_long_poll_may_be_silent_until_its_first_byte(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "SILENCE_SECONDS", 0)
    async with ScriptedServer.of(reply()) as server:
        client = Client(server.settings)
        assert (await client.get(*SERVICES)).body == b"[]"
        await client.aclose()


async def test_connection_that_the_kernel_gives_up_is_unreachable() -> None:
    received = asyncio.Event()

    async def hang(request: Request) -> bytes:
        received.set()
        return await never(request)

    async with ScriptedServer.of(hang) as server:
        link = connection.Connection(connection.Address("127.0.0.1", server.port))
        waiting = asyncio.create_task(link.exchange(b"GET", b"/", [(b"Host", b"x")], b"", 100))
        await received.wait()
        assert link._stream is not None
        # What keepalive probes without an answer end in; loopback answers them always.
        link._stream[0].set_exception(TimeoutError(errno.ETIMEDOUT, "Connection timed out"))
        with pytest.raises(Unreachable, match="Connection timed out"):
            await waiting
        assert not link.is_open


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"Content-Length: 2\r\nContent-Length: 3\r\n", id="two lengths"),
        pytest.param(b"Content-Length: 0x2\r\n", id="length in hex"),
        pytest.param(b"Transfer-Encoding: gzip, chunked\r\n", id="coding that was not asked for"),
    ],
)
async def test_doubtful_framing_is_refused(head: bytes) -> None:
    async with ScriptedServer.of(HEAD + head + b"\r\n[]") as server:
        client = Client(server.settings)
        with pytest.raises(Unreachable, match="not an HTTP response"):
            await client.get(*SERVICES)
        assert client.statistics().connections_open == 0
        await client.aclose()


async def test_token_that_no_header_can_hold_is_denied_and_shown_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("LEAK\r\nX-Injected: CANARY\n")
    async with ScriptedServer.of(reply()) as server:
        client = Client(ConsulSettings(address=server.settings.address, token_file=str(file)))
        with pytest.raises(Denied, match="characters that a token cannot have") as caught:
            await client.get(*SERVICES)
        assert "LEAK" not in str(caught.value)
        assert "CANARY" not in str(caught.value)
        assert server.requests == []


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("http://127.0.0.1:8500", b"127.0.0.1:8500"),
        ("http://[::1]:8500/", b"[::1]:8500"),
        ("http://Consul.example.com", b"consul.example.com"),
        ("https://consul.example.com:443", b"consul.example.com"),
        ("https://consul_1.example.com:8501", b"consul_1.example.com:8501"),
        ("http://consül.example.com:80", b"xn--consl-nva.example.com"),
    ],
)
def test_host_header(address: str, host: bytes) -> None:
    assert Client(ConsulSettings(address=address)).host == host


async def test_server_that_closes_between_requests_is_asked_again() -> None:
    async with ScriptedServer.of(reply(), close_after_reply=True) as server:
        client = Client(server.settings)
        assert (await client.get(*SERVICES)).body == b"[]"
        while server.connections < 2:
            try:
                await client.get(*SERVICES)
            except Unreachable:
                continue  # the closing had not arrived yet
        await client.aclose()


async def test_requests_beyond_the_connections_wait_their_turn() -> None:
    gate = asyncio.Event()

    async def when_open(_: Request) -> bytes:
        await gate.wait()
        return reply()

    async with ScriptedServer.of(when_open) as server:
        client = Client(ConsulSettings(address=server.settings.address, connections=8))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(client.get(*SERVICES))
            while len(server.requests) < 8:
                await asyncio.sleep(0)
            assert client.statistics().connections_busy == 8
            gate.set()
        assert server.connections == 8
        assert client.statistics().requests == {("catalog/services", "ok"): 20}
        await client.aclose()


async def test_a_request_that_outlives_the_client_leaves_no_connection() -> None:
    asked, gate = asyncio.Event(), asyncio.Event()

    async def when_open(_: Request) -> bytes:
        asked.set()
        await gate.wait()
        return reply()

    async with ScriptedServer.of(when_open) as server:
        client = Client(server.settings)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.get(*SERVICES))
            await asked.wait()
            await client.aclose()
            gate.set()
        assert client.statistics().connections_open == 0


def needs_token(token: str) -> Answer:
    async def answer(request: Request) -> bytes:
        if request.headers.get("x-consul-token") == token:
            return reply()
        return reply("ACL not found", status="403 Forbidden")

    return answer


async def test_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    async with ScriptedServer.of(needs_token("first"), needs_token("second")) as server:
        settings = ConsulSettings(address=server.settings.address, token_file=str(file))
        client = Client(settings)
        await client.get(*SERVICES)
        file.write_text("second\n")
        await client.get(*SERVICES)
        file.write_text("wrong\n")
        with pytest.raises(Denied):
            await client.get(*SERVICES)
        file.unlink()
        with pytest.raises(Denied, match="cannot be read"):
            await client.get(*SERVICES)
        await client.aclose()


async def test_token_is_in_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    async with ScriptedServer.of(reply("denied", status="403 Forbidden")) as server:
        settings = ConsulSettings(address=server.settings.address, token=Secret("LEAKCANARY"))
        client = Client(settings)
        with pytest.raises(Denied) as caught:
            await client.get(*SERVICES)
        assert server.requests[0].headers["x-consul-token"] == "LEAKCANARY"
        assert "LEAKCANARY" not in f"{caught.value!r} {caught.value} {settings!r} {client!r}"
        assert "LEAKCANARY" not in server.requests[0].target
        await client.aclose()


async def test_requests_are_logged_at_debug_without_the_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", "consuldns")
    async with ScriptedServer.of(reply("[]"), reply("no", status="500 Error"), b"SSH") as server:
        settings = ConsulSettings(address=server.settings.address, token=Secret("LEAKCANARY"))
        client = Client(settings)
        await client.get("v1", "kv", "a/\n\x1b", query={"dc": "dc1"})
        with pytest.raises(BadResponse):
            await client.put("v1", "txn", body=b"BODYCANARY")
        with pytest.raises(Unreachable):
            await client.get(*SERVICES)
        await client.aclose()
    lines = [
        record.message for record in caplog.records if record.name.startswith("consuldns.consul")
    ]
    assert [line.rpartition(",")[0] for line in lines] == [
        "GET /v1/kv/a%2F%0A%1B?dc=dc1: 200, 2 bytes",
        "PUT /v1/txn: 500, 2 bytes",
        "GET /v1/catalog/services: gave up",
    ]
    assert all(line.endswith(" ms") for line in lines)
    assert "CANARY" not in caplog.text


async def test_writes_carry_their_body() -> None:
    async with ScriptedServer.of(reply("true")) as server:
        client = Client(server.settings)
        await client.put("v1", "kv", "a/b", body=b"value", query={"cas": "3"})
        await client.delete("v1", "kv", "a", query={"recurse": ""})
        await client.transaction([{"KV": {"Verb": "delete", "Key": "a"}}])
        first, second, third = server.requests
        assert (first.method, first.target, first.body) == ("PUT", "/v1/kv/a%2Fb?cas=3", b"value")
        assert (second.method, second.target) == ("DELETE", "/v1/kv/a?recurse")
        assert json.loads(third.body) == [{"KV": {"Verb": "delete", "Key": "a"}}]
        await client.aclose()


async def test_refused_transaction_tells_which_operation() -> None:
    body = '{"Results": null, "Errors": [{"OpIndex": 3, "What": "stale index"}]}'
    async with ScriptedServer.of(reply(body, status="409 Conflict")) as server:
        client = Client(server.settings)
        with pytest.raises(TransactionRefused, match="operation 3: stale index") as caught:
            await client.transaction([])
        assert caught.value.reasons == ((3, "stale index"),)
        await client.aclose()


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(ConsulSettings(address="consul:8500"), id="no scheme"),
        pytest.param(ConsulSettings(address="http://"), id="no host"),
        pytest.param(ConsulSettings(address="http://a b:80"), id="space"),
        pytest.param(ConsulSettings(address="http://[::1"), id="bracket"),
        pytest.param(ConsulSettings(address="http://c:99999"), id="port"),
        pytest.param(ConsulSettings(address="http://c\r\nX: y"), id="line break"),
        pytest.param(ConsulSettings(address="https://c", ca_file="/nowhere"), id="no such file"),
    ],
)
def test_unusable_settings_are_told_at_once(settings: ConsulSettings) -> None:
    with pytest.raises(ConfigError):
        Client(settings)


@pytest.mark.parametrize(
    ("auth", "header"),
    [("user:secret", "Basic dXNlcjpzZWNyZXQ="), ("user", "Basic dXNlcjo="), ("", None)],
)
async def test_user_name_and_password(auth: str, header: str | None) -> None:
    async with ScriptedServer.of(reply("{}", X_Consul_Index=5)) as server:
        settings = replace(server.settings, http_auth=Secret(auth))
        client = Client(settings)
        await client.get(*SERVICES)
        await client.aclose()
    assert server.requests[0].headers.get("authorization") == header


async def test_namespace_and_partition_are_told_unless_the_request_has_its_own() -> None:
    async with ScriptedServer.of(reply("{}", X_Consul_Index=5)) as server:
        client = Client(replace(server.settings, namespace="team", partition="east"))
        await client.get(*SERVICES)
        await client.get(*SERVICES, query={"ns": "other"})
        await client.aclose()
    assert [each.target for each in server.requests] == [
        "/v1/catalog/services?ns=team&partition=east",
        "/v1/catalog/services?ns=other&partition=east",
    ]


async def test_a_socket_that_is_not_there() -> None:
    client = Client(ConsulSettings(address="unix:///nonexistent/consul.sock"))
    with pytest.raises(Unreachable, match=r"unix:///nonexistent/consul\.sock"):
        await client.get(*SERVICES)
    await client.aclose()
