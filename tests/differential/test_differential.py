"""This server beside a real Consul, on one seed; `make differential` does it on many."""

import random
from pathlib import Path

from tests.differential.catalog import register
from tests.differential.comparison import Verdict, broken_rules, judge
from tests.differential.differences import DIFFERENCES, EXPLICIT, NOT_COMPARED
from tests.differential.generate import generate
from tests.differential.questions import generate_questions
from tests.differential.remote import run_remote
from tests.differential.report import reproducer, reproducers
from tests.differential.run import Both, is_a_choice, run
from tests.differential.settings import Settings
from tests.differential.world import World
from tests.support.consul_agent import ConsulAgent

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "consul-differences.md"
SEED = 1


def test_answers_differ_from_consul_by_named_differences_only() -> None:
    outcome = run(SEED, queries=2000)
    assert outcome.queries == 2000
    assert not outcome.unexplained, reproducers([outcome], shown=3)


def test_answers_follow_changes_of_the_catalog() -> None:
    outcome = run(SEED, queries=600, rounds=3)
    assert not outcome.unexplained, reproducers([outcome], shown=3)


def test_names_of_another_datacenter_are_answered_as_consul_does() -> None:
    outcome = run_remote(SEED, queries=500)
    assert not outcome.unexplained, reproducers([outcome], shown=3)


def test_consul_in_our_place_fails_where_a_difference_is_named_and_nowhere_else() -> None:
    """So a difference that is named is one, and the comparison sees each of them."""
    catalog = generate(SEED)
    with ConsulAgent() as consul:
        register(consul, catalog)
        both = Both(World(catalog, Settings(), consul), consul.dns_port, consul.dns_port)
        seen: set[str] = set()
        questions = generate_questions(catalog, random.Random(SEED), 1500)
        for case in both.cases(questions):
            if is_a_choice(case):
                continue
            verdict = judge(case)
            seen.update(verdict.differences)
            problems = set(verdict.problems) - _rules_that_consul_breaks(verdict)
            assert bool(problems) == bool(verdict.differences), reproducer(SEED, catalog, verdict)
    assert len(seen) > len(DIFFERENCES) / 2


def _rules_that_consul_breaks(verdict: Verdict) -> set[str]:
    reply = verdict.case.ours
    return set(broken_rules(verdict.case.question, reply)) if reply is not None else set()


def test_the_named_differences_are_those_of_the_document() -> None:
    headings = {
        line.removeprefix("## ")
        for line in DOCUMENT.read_text().splitlines()
        if line.startswith("## ")
    }
    assert {EXPLICIT, *(each.name for each in DIFFERENCES), *NOT_COMPARED} == headings
