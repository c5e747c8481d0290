"""One seed: a Consul filled with its catalog, this server in front of it, rounds of questions."""

import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from tests.differential.case import Case
from tests.differential.catalog import Catalog, register
from tests.differential.changes import change
from tests.differential.clusters import generate_descriptors
from tests.differential.comparison import Verdict, judge
from tests.differential.exchange import Address, ask
from tests.differential.generate import SERVICE_NAMES, TAGS, generate
from tests.differential.questions import Question, generate_questions
from tests.differential.replies import Reply, decode
from tests.differential.settings import generate_settings
from tests.differential.world import World
from tests.support.consul_agent import ConsulAgent
from tests.support.consuldns_process import Serve

ASKED_AT_ONCE = 2500
ASKED_AGAIN = 80  # times, where Consul picks one of several at random
SECONDS_TO_FOLLOW = 15.0  # a change of the catalog
KUBERNETES_SERVICES = 100
KUBERNETES_NAME = re.compile(r"[A-Za-z0-9-]{1,63}")


@dataclass
class Outcome:
    """What came of the questions of one seed."""

    seed: int
    queries: int = 0
    equal: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    unexplained: list[tuple[Catalog, Verdict]] = field(default_factory=list)

    def count(self, catalog: Catalog, verdict: Verdict) -> None:
        """Take in a verdict."""
        self.queries += 1
        self.equal += not verdict.differences and not verdict.problems
        if verdict.problems:
            self.unexplained.append((catalog, verdict))
        else:
            self.explained.update(verdict.differences)


def run(seed: int, queries: int, rounds: int = 1) -> Outcome:
    """Ask `queries` questions in all; before each round but the first the catalog is changed."""
    chance = random.Random(seed)
    catalog, settings = with_clusters(generate(seed), seed), generate_settings(seed)
    outcome = Outcome(seed)
    with ConsulAgent(config=settings.of_consul()) as agent:
        register(agent, catalog)
        with Serve(agent.url, config=settings.of_consuldns()) as server:
            for number in range(rounds):
                if number:
                    catalog = change(agent, catalog, chance)
                deadline = time.monotonic() + (SECONDS_TO_FOLLOW if number else 0)
                both = Both(World(catalog, settings, agent), agent.dns_port, server.port)
                questions = generate_questions(catalog, chance, queries // rounds)
                for verdict in both.verdicts(questions, deadline):
                    outcome.count(catalog, verdict)
    return outcome


def with_clusters(catalog: Catalog, seed: int) -> Catalog:
    """The catalog, and Kubernetes services that are named like what is in it."""
    labels = [name.lower() for name in (*SERVICE_NAMES, *TAGS) if KUBERNETES_NAME.fullmatch(name)]
    descriptors = generate_descriptors(random.Random(seed), labels, KUBERNETES_SERVICES)
    return replace(catalog, descriptors=descriptors)


class Both:
    """Consul and this server in front of it, to be asked the same."""

    def __init__(self, world: World, consul_port: int, our_port: int) -> None:
        self._world = world
        self._consul: Address = ("127.0.0.1", consul_port)
        self._ours: Address = ("127.0.0.1", our_port)

    def verdicts(self, questions: Sequence[Question], deadline: float = 0) -> Iterator[Verdict]:
        """The verdict on each; with a deadline, what is wrong is asked again until it is right."""
        for start in range(0, len(questions), ASKED_AT_ONCE):
            for case in self.cases(questions[start : start + ASKED_AT_ONCE]):
                verdict = judge(case)
                is_late = not deadline
                while verdict.problems and not is_late:
                    is_late = time.monotonic() > deadline  # asked once more all the same
                    verdict = self._ask_again(case.question)
                yield self._settled(verdict)

    def _settled(self, verdict: Verdict) -> Verdict:
        """Where Consul picks one of several, ask it until it picks the one that we did."""
        attempts = ASKED_AGAIN
        while verdict.problems and attempts and is_a_choice(verdict.case):
            verdict = self._ask_again(verdict.case.question)
            attempts -= 1
        return verdict

    def _ask_again(self, question: Question) -> Verdict:
        (case,) = self.cases([question])
        return judge(case)

    def cases(self, questions: Sequence[Question]) -> Iterator[Case]:
        """Ask both."""
        theirs, ours = ask(self._consul, questions), ask(self._ours, questions)
        for question, their_wire, our_wire in zip(questions, theirs, ours, strict=True):
            yield Case(question, self._world, _decoded(their_wire), _decoded(our_wire))


def _decoded(wire: bytes | None) -> Reply | None:
    return None if wire is None else decode(wire)


def is_a_choice(case: Case) -> bool:
    """Whether a reply has what Consul picks from more.

    One of several aliases, three of more name servers, and of instances that differ in nothing but
    their weight one.
    """
    replies = [reply for reply in (case.consul, case.ours) if reply is not None]
    sections = [part for each in replies for part in (each.answer, each.authority, each.additional)]
    return any(r.type in ("CNAME", "NS", "SRV") for section in sections for r in section)
