"""The real server in front of a real Consul, with a service of one instance and one of many."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import register
from tests.support.ask import answers, ask, wait_for_answer
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import Serve

IDENTITY = "ns1.example"


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    config = f'[dns]\nidentity = "{IDENTITY}"\nshow_version = true\n'
    with ConsulAgent() as consul, Serve(consul.url, config=config) as server:
        register(consul, "web", "10.0.0.1")
        for number in range(100):
            consul.put(
                "/v1/catalog/register",
                {
                    "Node": f"many-{number}",
                    "Address": f"10.1.0.{number}",
                    "Service": {"ID": f"many-{number}", "Service": "many", "Port": 80},
                },
            )
        wait_for_answer(server.port, "web.service.consul", "A", "10.0.0.1")
        wait_until(
            lambda: len(answers(ask(server.port, "many.service.consul", "A", tcp=True))) == 100,
            "all instances",
        )
        yield server
