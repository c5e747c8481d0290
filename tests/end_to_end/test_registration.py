"""What registrations decide, on a real Consul: texts, service bindings, the nearest first."""

from collections.abc import Iterator

import pytest

from tests.support.ask import answers, ask, dig, wait_for_answer
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import Serve

NEAREST = '[dns]\nanswer_order = "nearest"\n'


@pytest.fixture(scope="module")
def consul() -> Iterator[ConsulAgent]:
    with ConsulAgent() as consul:
        yield consul


def test_metadata_become_records(consul: ConsulAgent) -> None:
    meta = {"consuldns-ttl": "30s", "consuldns-alpn": "h2", "version": "1.2"}
    service = {"Service": "web", "Port": 443, "Meta": meta}
    consul.put("/v1/catalog/register", {"Node": "n1", "Address": "10.0.0.1", "Service": service})
    with Serve(consul.url) as serve:
        wait_for_answer(serve.port, "web.service.consul", "A", "10.0.0.1")
        assert "web.service.consul.\t30\tIN\tA" in dig(serve.port, "web.service.consul", "A")
        assert answers(ask(serve.port, "web.service.consul", "TXT")) == {'"version=1.2"'}
        bindings = answers(ask(serve.port, "web.service.consul", "HTTPS"))
        assert bindings == {'1 n1.node.dc1.consul. alpn="h2" port="443"'}


def test_the_nearest_comes_first(consul: ConsulAgent) -> None:
    """Coordinates as Consul's agents report them: the distance is that of the vectors."""
    near_to_far = ("10.1.0.3", "10.1.0.1", "10.1.0.2")
    for distance, address in enumerate(near_to_far):
        node = f"at-{address}"
        service = {"Service": "spread", "Port": 80, "Address": address}
        consul.put("/v1/catalog/register", {"Node": node, "Address": address, "Service": service})
        coordinate = {"Adjustment": 0, "Error": 0.1, "Height": 1e-5}
        coordinate["Vec"] = [0.01 * distance, *[0.0] * 7]  # type: ignore[assignment]
        consul.put("/v1/coordinate/update", {"Node": node, "Coord": coordinate})
    own = {"Adjustment": 0, "Error": 0.1, "Height": 1e-5, "Vec": [0.0] * 8}
    consul.put("/v1/coordinate/update", {"Node": "server-1", "Coord": own})

    def nearest() -> list[str]:
        found = consul.client.get("/v1/health/service/spread", params={"near": "_agent"}).json()
        return [each["Service"]["Address"] for each in found]

    wait_until(lambda: tuple(nearest()) == near_to_far, "Consul knows the coordinates")
    with Serve(consul.url, config=NEAREST) as serve:
        wait_until(lambda: len(answers(ask(serve.port, "spread.service.consul", "A"))) == 3, "A")
        for _ in range(12):
            shown = dig(serve.port, "+short", "spread.service.consul", "A").split()
            assert tuple(shown) == near_to_far
