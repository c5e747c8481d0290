"""Which datacenter the agent is in: one rule for the DNS and for the sync worker, and no guess."""

import pytest

from consuldns.config.schema import ConsulSettings
from consuldns.consul.catalog import Catalog
from consuldns.consul.http.client import Client
from consuldns.consul.http.datacenter import local_datacenter
from consuldns.errors import BadResponse, Denied, TransactionRefused, Unreachable
from tests.consul.scripted_server import ScriptedServer, reply

FORBIDDEN = reply("Permission denied", status="403 Forbidden")
NODES = b'[{"Node": 7}, {"Node": "a", "Address": "10.0.0.1"}, %b]'
NODE = b'{"Node": "b", "Address": "10.0.0.2", "Datacenter": "west"}'


@pytest.mark.parametrize(
    "script",
    [
        pytest.param((reply('{"Config": {"Datacenter": "west", "x": 1}}'),), id="agent"),
        pytest.param((FORBIDDEN, reply(NODES % NODE)), id="agent denied"),
        pytest.param((reply('{"Config": null}'), reply(NODES % NODE)), id="agent unreadable"),
        pytest.param((reply('{"Config": {"Datacenter": ""}}'), reply(NODES % NODE)), id="empty"),
    ],
)
async def test_datacenter_of_the_agent(script: tuple[bytes, ...]) -> None:
    async with ScriptedServer.of(*script) as server:
        client = Client(server.settings)
        assert await local_datacenter(client) == "west"
        await client.aclose()
    async with ScriptedServer.of(*script) as server:
        client = Client(server.settings)
        assert await Catalog(client).datacenter() == "west"
        await client.aclose()


async def test_datacenter_as_set_is_not_asked_for() -> None:
    client = Client(ConsulSettings(address="http://127.0.0.1:1", datacenter="east"))
    assert await local_datacenter(client) == "east"


@pytest.mark.parametrize("nodes", [b"[]", b"null", NODES % b'{"Node": "b", "Address": "10.0.0.2"}'])
async def test_datacenter_is_never_guessed(nodes: bytes) -> None:
    async with ScriptedServer.of(FORBIDDEN, reply(nodes)) as server:
        client = Client(server.settings)
        with pytest.raises(Denied, match="node:read"):
            await Catalog(client).datacenter()
        await client.aclose()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("400 Bad Request", TransactionRefused),
        ("413 Request Entity Too Large", TransactionRefused),
        ("409 Conflict", TransactionRefused),
        ("500 answered 4", BadResponse),
        ("503 Service Unavailable", BadResponse),
    ],
)
async def test_a_transaction_is_refused_by_status_and_not_by_text(
    status: str, error: type[Exception]
) -> None:
    async with ScriptedServer.of(reply("Consul answered 400: no", status=status)) as server:
        client = Client(server.settings)
        with pytest.raises(error):
            await Catalog(client).apply([], None)
        await client.aclose()


@pytest.mark.parametrize("body", [b"[]", b"null"])
async def test_a_key_that_comes_as_an_empty_list_is_none(body: bytes) -> None:
    async with ScriptedServer.of(reply(body, X_Consul_Index=7)) as server:
        client = Client(server.settings)
        assert await Catalog(client).key("a") == (None, 7)
        await client.aclose()


@pytest.mark.parametrize("body", [b"{}", b'{"Config": 7}', b"[]", b'{"Config": {"NodeName": 3}}'])
async def test_a_version_that_cannot_be_read_is_a_consul_error(body: bytes) -> None:
    async with ScriptedServer.of(reply(body)) as server:
        client = Client(server.settings)
        with pytest.raises(BadResponse):
            await Catalog(client).version()
        await client.aclose()


async def test_an_agent_that_is_down_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        await local_datacenter(Client(ConsulSettings(address="http://127.0.0.1:1")))
