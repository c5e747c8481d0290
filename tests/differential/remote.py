"""One seed with the catalog in another datacenter than that of the agent which is asked.

Two Consul servers, joined over the WAN: `dc1` holds the catalog, and an agent of `dc0` is asked for
its names. What an alias leads to without naming the datacenter is looked for in `dc0`.
"""

import random
from typing import Any

from tests.differential.catalog import register
from tests.differential.existence import BASES
from tests.differential.generate import generate
from tests.differential.questions import Question, generate_questions
from tests.differential.run import Both, Outcome
from tests.differential.settings import generate_settings
from tests.differential.world import World
from tests.support.consul_agent import ConsulAgent, free_ports, wait_until
from tests.support.consuldns_process import Serve

REMOTE = BASES[1]


def run_remote(seed: int, queries: int) -> Outcome:
    """Ask `queries` questions about names below `dc1.consul`."""
    catalog, settings = generate(seed), generate_settings(seed)
    outcome = Outcome(seed)
    holding_port, asked_port = free_ports(2)
    joined: dict[str, Any] = {
        "datacenter": "dc0",
        "node_name": "server-0",
        "ports": {"serf_wan": asked_port},
        "retry_join_wan": [f"127.0.0.1:{holding_port}"],
        "retry_interval_wan": "100ms",
    }
    with (
        ConsulAgent(config={"datacenter": "dc1", "ports": {"serf_wan": holding_port}}) as holder,
        ConsulAgent(config=settings.of_consul() | joined) as agent,
    ):
        register(holder, catalog)
        wait_until(lambda: _reaches(agent, "dc1"), "the way to dc1", 60)
        with Serve(agent.url, config=settings.of_consuldns()) as server:
            world = World(catalog, settings, agent, holder)
            both = Both(world, agent.dns_port, server.port)
            for verdict in both.verdicts(_questions(world, random.Random(seed), queries)):
                outcome.count(catalog, verdict)
    return outcome


def _reaches(agent: ConsulAgent, datacenter: str) -> bool:
    reply = agent.client.get("/v1/catalog/nodes", params={"dc": datacenter})
    return reply.status_code == 200


def _questions(world: World, chance: random.Random, count: int) -> list[Question]:
    """Those that are about the remote datacenter, of as many as it takes."""
    found: list[Question] = []
    while len(found) < count:
        every = generate_questions(world.catalog, chance, count)
        found += [each for each in every if each.folded[-len(REMOTE) :] == REMOTE]
    return found[:count]
