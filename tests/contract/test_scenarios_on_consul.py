"""The scenarios of tests/cases on a real Consul: it answers the same, but for what `differs`.

So an expectation that Consul does not share is a named difference or a mistake, and a named
difference that is none is found as well.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import dns.exception
import dns.message
import dns.query
import pytest

from consuldns.dns.policy import Policy
from consuldns.names import format_name
from tests.support.consul_agent import ConsulAgent
from tests.support.replies import Reply, expected, read
from tests.support.scenarios import Scenario, scenarios


class Agents:
    """One Consul for each configuration that the scenarios want."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._agents: dict[str, ConsulAgent] = {}

    def holding(self, scenario: Scenario) -> ConsulAgent:
        """The Consul of the scenario's policy, with the scenario's catalog and nothing else."""
        config = _configuration(scenario.policy)
        agent = self._agents.get(repr(config))
        if agent is None:
            agent = self._agents[repr(config)] = self._stack.enter_context(
                ConsulAgent(config=config)
            )
        for node in agent.client.get("/v1/catalog/nodes").json():
            if node["Node"] != "server-1":
                agent.put("/v1/catalog/deregister", {"Node": node["Node"]})
        for payload in scenario.catalog.register:
            agent.put("/v1/catalog/register", payload)
        return agent


@pytest.fixture(scope="module")
def agents() -> Iterator[Agents]:
    with ExitStack() as stack:
        yield Agents(stack)


def _configuration(policy: Policy) -> dict[str, Any]:
    soa = policy.soa
    return {
        "alt_domain": format_name(policy.alt_domains[0]) if policy.alt_domains else "",
        "dns_config": {
            "node_ttl": f"{policy.node_ttl}s",
            "service_ttl": {name: f"{ttl}s" for name, ttl in policy.service_ttl.items()},
            "only_passing": policy.only_passing,
            "enable_additional_node_meta_txt": policy.enable_additional_node_meta_txt,
            "soa": {
                "refresh": soa.refresh,
                "retry": soa.retry,
                "expire": soa.expire,
                "min_ttl": soa.min_ttl,
            },
        },
    }


# One Consul is one datacenter, and its own server is in the answers about servers.
ON_ONE_CONSUL = [
    each
    for each in scenarios()
    if (len(each.catalog.datacenters) == 1 or not each.catalog.register)
    and not each.name.startswith("zones: apex")
]
# Nearly all of it differs: Consul does not know the names.
KUBERNETES = [each for each in ON_ONE_CONSUL if each.name.startswith("kubernetes:")]
OTHERS = [each for each in ON_ONE_CONSUL if each not in KUBERNETES]
DENIED = ("NXDOMAIN", "REFUSED", "SERVFAIL", "NOTIMP")


@pytest.mark.parametrize("scenario", [pytest.param(each, id=each.name) for each in OTHERS])
def test_consul_answers_the_same_but_for_named_differences(
    scenario: Scenario, agents: Agents
) -> None:
    agent = agents.holding(scenario)
    for query in scenario.queries:
        if "DC2" in query["ask"].upper():
            continue
        reply = _ask(agent, query["ask"])
        allowed = expected(query, scenario.policy)
        if "differs" in query:
            assert reply not in allowed, f"{query['ask']}: no difference {query['differs']}"
        else:
            assert reply in allowed, query["ask"]


@pytest.mark.parametrize("scenario", [pytest.param(each, id=each.name) for each in KUBERNETES])
def test_kubernetes_names_are_only_where_consul_has_none(
    scenario: Scenario, agents: Agents
) -> None:
    agent = agents.holding(scenario)
    for query in scenario.queries:
        if query["ask"].endswith(" SOA") or query["ask"].endswith(" NS"):
            continue  # "soa-and-ns-below-the-apex"
        if query["ask"].endswith("arpa A"):
            continue  # "reverse-names-of-another-type"
        reply = _ask(agent, query["ask"])
        is_denied = reply is None or reply[0] in DENIED
        assert is_denied or reply in expected(query, scenario.policy), query["ask"]


def _ask(agent: ConsulAgent, ask: str) -> Reply | None:
    """What Consul replies, None if it is silent."""
    name, type_, *class_ = ask.split()
    absolute = name if name.endswith(".") else name + "."
    query = dns.message.make_query(absolute, type_, class_[0] if class_ else "IN")
    query.use_edns(payload=4096)
    try:
        reply = dns.query.tcp(query, "127.0.0.1", port=agent.dns_port, timeout=2)
    except (dns.exception.DNSException, EOFError):
        return None
    return read(reply)
