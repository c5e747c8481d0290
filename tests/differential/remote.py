"""One seed with the catalog in another datacenter than that of the agent which is asked.

Two Consul servers, joined over the WAN: `dc1` holds the catalog, and an agent of `dc0` is asked for
its names. What an alias leads to without naming the datacenter is looked for in `dc0`.
"""

import random

from tests.differential.catalog import register
from tests.differential.existence import BASES
from tests.differential.generate import generate
from tests.differential.questions import Question, generate_questions
from tests.differential.run import Both, Outcome
from tests.differential.settings import generate_settings
from tests.differential.world import World
from tests.support.consuldns_process import Serve
from tests.support.datacenters import joined

REMOTE = BASES[1]


def run_remote(seed: int, queries: int) -> Outcome:
    """Ask `queries` questions about names below `dc1.consul`."""
    catalog, settings = generate(seed), generate_settings(seed)
    outcome = Outcome(seed)
    with joined("dc0", "dc1", settings.of_consul()) as (agent, holder):
        register(holder, catalog)
        with Serve(agent.url, config=settings.of_consuldns()) as server:
            world = World(catalog, settings, agent, holder)
            both = Both(world, agent.dns_port, server.port)
            for verdict in both.verdicts(_questions(world, random.Random(seed), queries)):
                outcome.count(catalog, verdict)
    return outcome


def _questions(world: World, chance: random.Random, count: int) -> list[Question]:
    """Those that are about the remote datacenter, of as many as it takes."""
    found: list[Question] = []
    while len(found) < count:
        every = generate_questions(world.catalog, chance, count)
        found += [each for each in every if each.folded[-len(REMOTE) :] == REMOTE]
    return found[:count]
