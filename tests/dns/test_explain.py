"""How a name is read, told step by step: the same as what is answered, and why."""

from typing import Any

import pytest

from consuldns.dns.answer import Outcome
from consuldns.dns.explain import Explanation, explain
from consuldns.views import keys
from consuldns.views.store import MissingView, ViewStore
from tests.support.scenarios import Scenario, question, scenarios

EVERY_QUERY = [
    pytest.param(scenario, query, id=f"{scenario.name}/{query['case']}: {query['ask']}")
    for scenario in scenarios()
    for query in scenario.queries
]


def told(scenario: Scenario, ask: str) -> Explanation:
    return explain(question(ask), scenario.catalog.views(), scenario.policy)


@pytest.mark.parametrize(("scenario", "query"), EVERY_QUERY)
def test_it_is_told_as_it_is(scenario: Scenario, query: dict[str, Any]) -> None:
    explanation = told(scenario, query["ask"])
    assert explanation.outcome == Outcome(query.get("outcome", "answer"))
    used = [step for step in explanation.steps if step.is_answer]
    is_refused = explanation.outcome in (Outcome.REFUSED, Outcome.FORMERR)
    if explanation.outcome is Outcome.NXDOMAIN:
        assert not used
    elif used and not is_refused:
        assert used[0] == next(step for step in explanation.steps if step in used)
        assert len(used) == 1
    assert all(step.result for step in explanation.steps)


COLLISIONS = next(each for each in scenarios() if each.name.startswith("nested: Consul's"))


@pytest.mark.parametrize(
    ("ask", "steps"),
    [
        (
            "tagged.ns.service.consul A",
            [
                '* Consul: service "ns" with tag "tagged": 1 record',
                '  Consul: above a tag of service "ns" that ends in ".tagged": there is none',
                '  Kubernetes: service "tagged" in namespace "ns": 1 record, of cluster'
                " 'kubernetes'; not used, since reading 1 goes first",
                '  service with dots in its name: "tagged.ns": there is no such service, or no '
                "healthy instance with what is left of it as tag",
            ],
        ),
        (
            "7f000001.addr.svc.dc1.consul A",
            [
                "* Consul: the address 127.0.0.1, spelt by the name itself: 1 record",
                '  Kubernetes: service "7f000001" in namespace "addr", datacenter "dc1": 1 record, '
                "of cluster 'kubernetes'; not used, since reading 1 goes first",
            ],
        ),
        (
            "missing.ns.svc.dc1.consul A",
            [
                '  Kubernetes: service "missing" in namespace "ns", datacenter "dc1": the '
                'namespace has no service "missing"',
            ],
        ),
        (
            "web.node.svc.dc9.consul A",
            [
                '  Kubernetes: service "web" in namespace "node", datacenter "dc9": there is no '
                'datacenter "dc9"',
            ],
        ),
        (
            "three.node.consul AAAA",
            ['* Consul: node "three": it exists, but has no record of type AAAA'],
        ),
        ("_tcp.x.consul A", []),
    ],
)
def test_who_wins_when_names_collide(ask: str, steps: list[str]) -> None:
    found = [
        f"{'*' if step.is_answer else ' '} {step.reading}: {step.result}"
        for step in told(COLLISIONS, ask).steps
    ]
    assert found == steps or not steps


def test_an_alias_is_followed() -> None:
    scenario = next(each for each in scenarios() if each.name == "kubernetes: one cluster")
    explanation = told(scenario, "ext-svc.testns.svc.dc1.consul A")
    assert explanation.followed is not None
    assert explanation.followed.name == "svc1.testns.svc.dc1.consul."
    loop = told(scenario, "loop-a.testns.svc.dc1.consul A")
    depth = 0
    while loop.followed is not None:
        loop, depth = loop.followed, depth + 1
    assert depth == 4


def test_what_is_missing_is_named() -> None:
    with pytest.raises(MissingView) as missing:
        explain(question("db.service.consul A"), ViewStore(), COLLISIONS.policy)
    assert missing.value.key == keys.DatacenterList()
