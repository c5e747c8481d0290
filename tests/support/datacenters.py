"""Two Consul servers in two datacenters, joined over the WAN, on loopback."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.consul_agent import ConsulAgent, free_ports, wait_until


@contextmanager
def joined(
    asked: str, holding: str, settings: dict[str, Any]
) -> Iterator[tuple[ConsulAgent, ConsulAgent]]:
    """An agent of the datacenter `asked`, with these settings, and one of `holding`.

    Each can be asked for the other's names.
    """
    holding_port, asked_port = free_ports(2)
    of_asked: dict[str, Any] = {
        "datacenter": asked,
        "node_name": "server-0",
        "ports": {"serf_wan": asked_port},
        "retry_join_wan": [f"127.0.0.1:{holding_port}"],
        "retry_interval_wan": "100ms",
    }
    of_holding = {"datacenter": holding, "ports": {"serf_wan": holding_port}}
    with (
        ConsulAgent(config=of_holding) as holder,
        ConsulAgent(config=settings | of_asked) as agent,
    ):
        wait_until(lambda: _reaches(agent, holding), f"the way to {holding}", 60)
        yield agent, holder


def _reaches(agent: ConsulAgent, datacenter: str) -> bool:
    reply = agent.client.get("/v1/catalog/nodes", params={"dc": datacenter})
    return reply.status_code == 200
