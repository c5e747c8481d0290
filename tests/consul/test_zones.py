"""Zones of the KV tree as a real Consul has them: what shows that a zone has changed."""

from consuldns.config.schema import ConsulSettings
from consuldns.consul import kinds
from consuldns.consul.http import blocking
from consuldns.consul.http.client import Client
from consuldns.consul.kinds import PROBED_NAMES, Place
from consuldns.views import keys
from consuldns.views.zone_records import ZoneName, ZoneRecords
from tests.support.consul_agent import ConsulAgent

ZONE = keys.ZoneContents("probed.test")
FOLDER = "/v1/kv/consuldns/zones/probed.test"


async def index_of(client: Client, request: blocking.Request | None) -> int:
    assert request is not None
    return (await blocking.read(client, request, "consistent")).index


async def read(client: Client) -> ZoneRecords:
    """The zone as the server reads it."""
    source = kinds.source(ZONE, Place("dc1"))
    view, bad = source.view_of(await blocking.read(client, source.request, "consistent"))
    assert not bad
    return view


async def test_the_index_of_a_probe_shows_every_change(agent: ConsulAgent) -> None:
    agent.put(f"{FOLDER}/@", 'A = "10.0.0.1"')
    for number in range(PROBED_NAMES):
        agent.put(f"{FOLDER}/h{number}", 'A = "10.0.0.1"')
    client = Client(ConsulSettings(address=agent.url))

    async def probe() -> int:
        return await index_of(client, kinds.kind_of(ZONE).probe(ZONE, Place("dc1"), view))

    view = await read(client)
    assert await probe() == view.index
    agent.put("/v1/kv/consuldns/zones/probed.test-not/h1", 'A = "10.0.0.1"')
    agent.put("/v1/kv/other", "x")
    assert await probe() == view.index == (await read(client)).index
    for method, name in (("PUT", "h1"), ("PUT", "new"), ("DELETE", "new"), ("DELETE", "h7")):
        agent.client.request(method, f"{FOLDER}/{name}", content='A = "10.0.0.2"')
        assert await probe() > view.index
        view = await read(client)
        assert await probe() == view.index
    agent.client.delete(f"{FOLDER}/?recurse")
    await client.aclose()


def test_small_zones_are_read_at_once() -> None:
    view = ZoneRecords.of(1, {(b"h%d" % n,): ZoneName((b"h%d" % n,)) for n in range(9)})
    assert kinds.kind_of(ZONE).probe(ZONE, Place("dc1"), view) is None
