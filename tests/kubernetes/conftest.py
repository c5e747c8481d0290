"""What the end-to-end tests stand on: a Consul, a cluster, workers, all of them real processes."""

from collections.abc import Callable, Iterator

import pytest

from tests.kubernetes.clusters import RealCluster, ScriptedCluster, cluster
from tests.support.consul_agent import ConsulAgent
from tests.support.consuldns_process import ConsuldnsProcess

Cluster = ScriptedCluster | RealCluster


@pytest.fixture
def consul() -> Iterator[ConsulAgent]:
    with ConsulAgent() as agent:
        yield agent


@pytest.fixture
def kubernetes() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


StartWorker = Callable[..., ConsuldnsProcess]


@pytest.fixture
def start_worker(consul: ConsulAgent, request: pytest.FixtureRequest) -> Iterator[StartWorker]:
    """Starts workers of the test's cluster, or of another; all end with the test."""
    has_cluster = "kubernetes" in request.fixturenames  # a real one takes seconds to start
    kubernetes: Cluster | None = request.getfixturevalue("kubernetes") if has_cluster else None
    running: list[ConsuldnsProcess] = []

    def start(
        *arguments: str, of: Cluster | None = None, environment: dict[str, str] | None = None
    ) -> ConsuldnsProcess:
        api = of or kubernetes
        assert api is not None
        command = ["sync", "run", "--consul-addr", consul.url, *api.arguments, *arguments]
        worker = ConsuldnsProcess(command, environment=environment)
        worker.start()
        running.append(worker)
        return worker

    yield start
    for worker in running:
        worker.stop()
