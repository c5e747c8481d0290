"""The scenarios of tests/cases against the resolver alone; see tests/support/scenarios.py."""

import re
from pathlib import Path
from typing import Any

import pytest

from consuldns.dns.answer import Answer, Outcome, RecordGroup
from consuldns.dns.resolver import resolve
from tests.support.scenarios import Scenario, expected_authority, question, scenarios
from tests.support.zone_text import record_text

DIFFERENCES = Path(__file__).resolve().parents[2] / "docs" / "consul-differences.md"

EVERY_QUERY = [
    pytest.param(scenario, query, id=f"{scenario.name}/{query['case']}: {query['ask']}")
    for scenario in scenarios()
    for query in scenario.queries
]


@pytest.mark.parametrize(("scenario", "query"), EVERY_QUERY)
def test_scenario(scenario: Scenario, query: dict[str, Any]) -> None:
    answer = resolve(question(query["ask"]), scenario.catalog.views(), scenario.policy)
    assert isinstance(answer, Answer), answer
    assert answer.outcome == Outcome(query.get("outcome", "answer"))
    assert _answer_section(answer) == sorted(
        sorted(alternative) for alternative in query.get("one_of", [query.get("answer", [])])
    )
    added = [r for c in answer.groups for r in (*c.additional, *c.optional_additional)]
    assert {record_text(record) for record in added} == set(query.get("additional", []))
    authority = sorted(record_text(record) for record in answer.authority)
    assert authority == sorted(expected_authority(query, scenario.policy.soa))
    assert answer.authoritative == (
        answer.outcome
        not in (
            Outcome.REFUSED,
            Outcome.FORMERR,
            Outcome.SERVFAIL,
        )
    )


def _answer_section(answer: Answer) -> list[list[str]]:
    """What may be sent, each alternative sorted."""
    if answer.exclusive:
        return sorted(_texts(each) for each in answer.groups)
    return [sorted(text for each in answer.groups for text in _texts(each))]


def _texts(group: RecordGroup) -> list[str]:
    return sorted(record_text(record) for record in group.records)


def test_every_difference_is_explained() -> None:
    sections = DIFFERENCES.read_text().split("\n## ")[1:]
    explained = {section.partition("\n")[0] for section in sections}
    named = {query.get("differs") for each in scenarios() for query in each.queries} - {None}
    assert named <= explained
    for section in sections:
        topics = re.findall(r"^- ([A-Z][a-z]+): ", section, re.MULTILINE)
        assert topics == ["Consul", "Here", "Reason", "Case"], section
