"""`consuldns serve` with the sync worker: from a Kubernetes service to dig, both ways."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.kubernetes.api_server import ApiServer
from tests.kubernetes.objects import load_recordings, service
from tests.support.ask import answers, ask, dig, rcode
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import Serve, children_of


@pytest.fixture
async def kubernetes() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server:
        load_recordings(server)
        yield server


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait in a thread: the scripted API server runs in this loop."""
    await asyncio.to_thread(wait_until, condition, what)


def sync_worker_of(serve: Serve) -> int:
    """The process id of the sync worker, 0 if there is none now."""
    for child in children_of(serve.pid):
        if b"sync_child" in Path(f"/proc/{child}/cmdline").read_bytes():
            return child
    return 0


def lock_holder(consul: ConsulAgent) -> str:
    """The session that holds the cluster's lock, empty if none does."""
    reply = consul.client.get("/v1/kv/consuldns/k8s/recorded/leader")
    return str(reply.json()[0].get("Session", "")) if reply.status_code == 200 else ""


async def test_the_worker_ends_with_a_control_that_is_killed(
    consul: ConsulAgent, kubernetes: ApiServer
) -> None:
    """It would go on writing for a server that nobody runs any more, and hold the lock."""
    config = f'[sync]\nenabled = true\nkube_api = "{kubernetes.url}"\ncluster = "recorded"\n'
    with Serve(consul.url, config=config) as serve:
        await until(lambda: lock_holder(consul) != "", "leading")
        orphan = sync_worker_of(serve)
        await asyncio.to_thread(serve.stop, signal.SIGKILL)
        await until(lambda: lock_holder(consul) == "", "the lock given back")
        await until(lambda: not Path(f"/proc/{orphan}/cmdline").exists(), "ended")


async def test_services_of_the_cluster_are_answered_and_the_worker_may_die(
    consul: ConsulAgent, kubernetes: ApiServer
) -> None:
    config = f'[sync]\nenabled = true\nkube_api = "{kubernetes.url}"\ncluster = "recorded"\n'
    serve = Serve(consul.url, config=config)
    await asyncio.to_thread(serve.__enter__)
    try:

        def given(name: str) -> set[str]:
            return answers(ask(serve.port, f"{name}.service.dc1.consul"))

        await until(lambda: given("monitoring-heapster") == {"10.254.70.176"}, "by name")
        await until(
            lambda: (
                dig(serve.port, "+short", "-x", "10.254.70.176")
                == "monitoring-heapster.service.dc1.consul.\n"
            ),
            "by address",
        )
        # The name was found by the address of the instance; the key comes after it.
        await until(
            lambda: (
                "0.70.254.10.IN-ADDR.ARPA/10.254.70.176" in consul.client.get("/v1/kv/?keys").json()
            ),
            "the reverse key",
        )

        victim = sync_worker_of(serve)
        os.kill(victim, signal.SIGKILL)
        assert await asyncio.to_thread(given, "monitoring-heapster") == {"10.254.70.176"}
        kubernetes.put("services", service("after-the-kill", "10.254.99.1"))
        await until(lambda: given("after-the-kill") == {"10.254.99.1"}, "another worker works")
        assert sync_worker_of(serve) not in (0, victim)

        kubernetes.delete("services", "after-the-kill")
        await until(
            lambda: rcode(ask(serve.port, "after-the-kill.service.dc1.consul")) == "NXDOMAIN",
            "gone with its service",
        )
    finally:
        assert await asyncio.to_thread(serve.stop) == 0
    assert "Traceback" not in serve.log
