"""How a name is read, told step by step: the same as what is answered, and why."""

from typing import Any

import pytest

from consuldns.dns.answer import Outcome
from consuldns.dns.explain.lines import as_text
from consuldns.dns.explain.nearest import nearest
from consuldns.dns.explain.reasons import SENTENCES
from consuldns.dns.explain.steps import Explanation, explain
from consuldns.dns.finder import Reason
from consuldns.dns.policy import Policy
from consuldns.views import keys
from consuldns.views.store import MissingView, ViewStore
from tests.support.catalog import Catalog
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


def test_every_reason_has_a_sentence() -> None:
    assert set(SENTENCES) == set(Reason)


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
                " 'kubernetes'; not used, since interpretation 1 goes first",
                '  service with dots in its name: "tagged.ns": there is no such service, or no '
                "healthy instance with what is left of it as tag",
            ],
        ),
        (
            "7f000001.addr.svc.dc1.consul A",
            [
                "* Consul: the address 127.0.0.1, spelled by the name itself: 1 record",
                '  Kubernetes: service "7f000001" in namespace "addr", datacenter "dc1": 1 record, '
                "of cluster 'kubernetes'; not used, since interpretation 1 goes first",
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
                'datacenter "dc9" (did you mean "dc1"?)',
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
        f"{'*' if step.is_answer else ' '} {step.interpretation}: {step.result}"
        for step in told(COLLISIONS, ask).steps
    ]
    assert found == steps or not steps


def steps_of(scenario: str, ask: str) -> list[str]:
    found = told(next(each for each in scenarios() if each.name == scenario), ask)
    return [f"{'*' if s.is_answer else ' '} {s.interpretation}: {s.result}" for s in found.steps]


@pytest.mark.parametrize(
    ("ask", "steps"),
    [
        (
            "30.1.244.10.in-addr.arpa PTR",
            [
                "  a key of the KV tree: none has the address",
                "  a Kubernetes service: none has the address",
                "  a node: none has the address",
                "  an instance of a service: only instances of Kubernetes clusters "
                "('aaa', 'quiz'), which need a key",
            ],
        ),
        (
            "1.2.254.10.in-addr.arpa PTR",
            [
                "  a key of the KV tree: none has the address",
                "  a Kubernetes service: web/silent has the address, but is not to have a reverse "
                "name without a key",
                "  a node: none has the address",
                "  an instance of a service: only instances of Kubernetes clusters "
                "('silent'), which need a key",
            ],
        ),
        (
            "10.9.254.10.in-addr.arpa PTR",
            [
                "  a key of the KV tree: none has the address",
                "  a Kubernetes service: addr/0afe0909 has the address, but none of its names "
                "leads to it",
                "  a node: none has the address",
                "  an instance of a service: none has the address",
            ],
        ),
        (
            "1.2.0.192.in-addr.arpa PTR",
            [
                "  a key of the KV tree: none has the address",
                "  a Kubernetes service: none has the address",
                "  a node: only the node of cluster 'kubernetes', whose address stands for nothing",
                "  an instance of a service: none has the address",
            ],
        ),
        (
            "3.3.99.10.in-addr.arpa PTR",
            [
                "  a key of the KV tree: none has the address",
                "  a Kubernetes service: none has the address",
                "  a node: none has the address",
                "* an instance of a service: vm-service.service.dc1.consul.",
            ],
        ),
    ],
)
def test_why_an_address_has_no_reverse_name(ask: str, steps: list[str]) -> None:
    assert steps_of("reverse: what the sync worker wrote", ask) == steps


@pytest.mark.parametrize(
    ("ask", "last"),
    [
        (
            "graf.mon.svc.dc1.consul A",
            '* Kubernetes: service "graf" in namespace "mon", datacenter "dc1": 1 record, synced '
            "by consul-k8s",
        ),
        (
            "cart.mon.svc.dc1.consul A",
            '  Kubernetes: service "cart" in namespace "mon", datacenter "dc1": consul-k8s has '
            'synced no service "k8s-cart-mon" or "k8s-cart" or "cart-mon" or "cart"',
        ),
        (
            "_http._tcp.api.mon.svc.dc1.consul SRV",
            '  Kubernetes: port "_http._tcp" of service "api" in namespace "mon", datacenter '
            '"dc1": of consul-k8s, "k8s-api-mon" has no such endpoint or port that is healthy',
        ),
        (
            "void.svc.dc1.consul A",
            '  Kubernetes: namespace "void", datacenter "dc1": the name of no service that '
            'consul-k8s may have synced ends in the namespace "void"',
        ),
    ],
)
def test_names_of_consul_k8s(ask: str, last: str) -> None:
    assert steps_of("nested: ports and hostnames of consul-k8s", ask)[-1] == last


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (
            "ext-ip.testns.svc.dc1.consul A",
            "its external name '10.1.2.3' leads to no name that an alias can have",
        ),
        (
            "x.external.testns.svc.dc1.consul A",
            "the service is an ExternalName, which has no names below it",
        ),
    ],
)
def test_what_an_external_name_lacks(ask: str, reason: str) -> None:
    kubernetes = [each for each in steps_of("kubernetes: one cluster", ask) if "Kubernetes" in each]
    assert [each.endswith(reason) for each in kubernetes] == [True]


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
    assert missing.value.key == keys.ZoneList()


def instance(node: str, service: str, address: str, *checks: str, tag: str = "") -> dict[str, Any]:
    """A registration. A check is "name status" (its own) or "name status node"."""
    given = []
    for check in checks:
        name, status, *of_node = check.split()
        own = {} if of_node else {"ServiceID": service}
        given.append({"Name": name, "Status": status, **own})
    body = {"Service": service, "Port": 80, "Tags": [tag] if tag else []}
    return {"Node": node, "Address": address, "Service": body, "Checks": given}


UNHEALTHY = Catalog(
    register=[
        instance("n1", "web", "10.0.0.1", "port critical", tag="blue"),
        instance("n2", "web", "10.0.0.2", tag="green"),
        instance("n1", "db", "10.0.0.1", "lag critical", "disk passing"),
        instance("n3", "db", "10.0.0.3", "disk critical node", "load warning node"),
    ]
)


def results(catalog: Catalog, ask: str, policy: Policy | None = None) -> list[str]:
    explanation = explain(question(ask), catalog.views(), policy or Policy())
    return [step.result for step in explanation.steps]


@pytest.mark.parametrize(
    ("ask", "result"),
    [
        (
            "web.service.consul A",
            "1 record, 1 of 2 instances left out as unhealthy (n1/port: critical)",
        ),
        (
            "db.service.consul A",
            "none of its 2 instances is healthy (n1/lag: critical, n3/disk: critical, "
            "n3/load: warning)",
        ),
        ("blue.web.service.consul A", 'none of its 1 healthy instances has "blue"'),
        ("wob.service.consul A", 'there is no service "wob" (did you mean "web"?)'),
        ("wbe.service.consul SRV", 'there is no service "wbe" (did you mean "web"?)'),
        ("cache.service.consul A", 'there is no service "cache"'),
        ("gren.web.service.consul A", 'no service has the tag "gren" (did you mean "green"?)'),
        ("web.service.cd1.consul A", 'there is no datacenter "cd1" (did you mean "dc1"?)'),
        ("n4.node.consul A", 'there is no such node (did you mean "n1"?)'),
    ],
)
def test_checks_and_nearest_names(ask: str, result: str) -> None:
    assert results(UNHEALTHY, ask)[0] == result


@pytest.mark.parametrize(
    ("wanted", "among", "expected"),
    [
        ("web", ["wab", "weeb", "database"], "wab"),
        ("webb", ["wab", "web"], "web"),
        ("ewb", ["web"], "web"),
        ("we", ["web", "w"], "w"),
        ("abc", ["xyz"], None),
        ("web", ["web"], None),
        ("monitoring-grafan", ["monitoring-influxdb", "monitoring-grafana"], "monitoring-grafana"),
        ("ab", ["ba", "cd"], "ba"),
        ("", [], None),
        ("x", ["y"], None),
        ("kibana", ["kbnana", "banana"], "kbnana"),
    ],
)
def test_nearest(wanted: str, among: list[str], expected: str | None) -> None:
    found = nearest(wanted.encode(), [each.encode() for each in among])
    assert found == (None if expected is None else expected.encode())


def shown(ask: str) -> list[str]:
    return list(
        as_text(explain(question(ask), UNHEALTHY.views(), Policy(alt_domains=((b"alt",),))))
    )


def test_the_zones_are_listed_for_a_name_in_none_of_them() -> None:
    assert shown("www.example.com A") == [
        "; www.example.com. A, in none of our zones",
        ";   our zones: consul., alt.",
        "; => refused",
    ]
    reverse = shown("8.8.8.8.in-addr.arpa PTR")
    assert reverse[0] == "; 8.8.8.8.in-addr.arpa. PTR, in none of our zones"
    assert ";      none has the address" in reverse
    first = ";   our zones: 10.in-addr.arpa., 168.192.in-addr.arpa., 16.172.in-addr.arpa., "
    assert [line.startswith(first) for line in reverse if "our zones:" in line] == [True]
    assert max(map(len, reverse)) <= 100
    assert reverse[-1] == "; => refused"


def test_a_name_of_no_form_is_said_to_have_none() -> None:
    assert shown("a.b.consul A") == [
        "; a.b.consul. A, in zone consul.",
        ";   no interpretation: none of our names has this form",
        "; => nxdomain",
    ]
