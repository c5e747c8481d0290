"""A real Consul and the real server in front of it, shared where a test does not disturb them."""

from collections.abc import Iterator

import pytest

from tests.support.consul_agent import ConsulAgent
from tests.support.consuldns_process import Serve


@pytest.fixture(scope="module")
def consul() -> Iterator[ConsulAgent]:
    with ConsulAgent() as agent:
        yield agent


@pytest.fixture(scope="module")
def serve(consul: ConsulAgent) -> Iterator[Serve]:
    with Serve(consul.url, workers=2) as server:
        yield server


def register(agent: ConsulAgent, service: str, address: str, *, status: str = "passing") -> None:
    """One instance of a service, on a node of its own, with one check."""
    agent.put(
        "/v1/catalog/register",
        {
            "Node": f"node-of-{service}",
            "Address": "192.0.2.10",
            "Service": {"ID": service, "Service": service, "Address": address, "Port": 80},
            "Check": {"CheckID": f"check-{service}", "ServiceID": service, "Status": status},
        },
    )


def deregister(agent: ConsulAgent, service: str) -> None:
    """Take the service's node out of the catalog."""
    agent.put("/v1/catalog/deregister", {"Node": f"node-of-{service}"})
