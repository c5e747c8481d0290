"""The client against a server that misbehaves, on real sockets."""

import asyncio
import gzip
import json
from pathlib import Path

import pytest

from consuldns.config.schema import ConsulSettings
from consuldns.config.values import Secret
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
        pytest.param(ConsulSettings(address="https://c", ca_file="/nowhere"), id="no such file"),
    ],
)
def test_unusable_settings_are_told_at_once(settings: ConsulSettings) -> None:
    with pytest.raises(ConfigError):
        Client(settings)
