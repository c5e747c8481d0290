"""The scenarios of tests/cases through the whole of a worker: packets in, packets out."""

from functools import cache

import pytest

from consuldns.server.listen import Transport
from tests.server.one_worker import Worker
from tests.support.replies import expected, read
from tests.support.scenarios import Scenario, question, scenarios
from tests.wire import packets


@cache
def worker(name: str) -> Worker:
    """The worker of a scenario; the second query finds what the first has compiled."""
    scenario = next(each for each in scenarios() if each.name == name)
    return Worker(scenario.catalog.views(), policy=scenario.policy)


@pytest.mark.parametrize(
    ("scenario", "number"),
    [
        pytest.param(scenario, number, id=f"{scenario.name}/{query['case']}: {query['ask']}")
        for scenario in scenarios()
        for number, query in enumerate(scenario.queries)
    ],
)
def test_scenario(scenario: Scenario, number: int) -> None:
    query = scenario.queries[number]
    asked = question(query["ask"])
    packet = packets.query_packet(asked.name, asked.type, class_=asked.class_)
    for _ in ("compiled", "from the table"):
        reply = worker(scenario.name).reply(packet, Transport.TCP)
        assert read(reply) in expected(query, scenario.policy)
