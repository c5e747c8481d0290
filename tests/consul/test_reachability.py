"""How soon it is noticed that Consul does not answer any more."""

import pytest

from consuldns.consul.http.client import Client
from consuldns.consul.watch import reachability
from consuldns.consul.watch.reachability import Reachability
from tests.consul.scripted_server import ScriptedServer, reply

LEADER = reply('"10.0.0.1:8300"')
NO_LEADER = reply('""')


async def test_pause_after_a_probe_is_part_of_the_time_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a silence of 3 s could fall between two probes, and what it swallowed was missed."""
    monkeypatch.setattr(reachability, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(reachability, "RETRY_SECONDS", 1_000.0)
    async with ScriptedServer.of(LEADER, LEADER, LEADER, NO_LEADER) as server:
        client = Client(server.settings)
        error = await Reachability(client).wait_until_lost()
        await client.aclose()
    assert "no leader" in str(error)
    assert len(server.requests) == 4
