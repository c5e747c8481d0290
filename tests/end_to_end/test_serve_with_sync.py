"""`consuldns serve` with the sync worker: from a Kubernetes service to dig, both ways.

CONSULDNS_TEST_STOPS=20 stops it twenty times in each way, within half a second each (default: once,
and within the time after which it would be killed, as other tests may have the machine busy).
"""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.kubernetes.api_server import ApiServer
from tests.kubernetes.objects import load_recordings, service
from tests.support.ask import answers, ask, dig, rcode
from tests.support.consul_agent import ConsulAgent, free_ports, wait_until
from tests.support.consuldns_process import ConsuldnsProcess, Serve, children_of

STOPS = int(os.environ.get("CONSULDNS_TEST_STOPS", "1"))
STOP_SECONDS = 0.5 if STOPS > 1 else 5.0
OWN_LINE = re.compile(r"\d{4}-\d\d-\d\dT\S+ (INFO|WARNING) consuldns\.|ready$")


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
        if b"\0worker\0sync\0" in Path(f"/proc/{child}/cmdline").read_bytes():
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
        assert victim, "0 would be our own process group"
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


SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])


def stops(serve: Serve, number: signal.Signals) -> None:
    """It stops in time, in order, and without a line that is not its own."""
    began = time.monotonic()
    assert serve.stop(number) == 0
    seconds = time.monotonic() - began
    assert [line for line in serve.lines if not OWN_LINE.match(line)] == []
    assert serve.lines[-1].endswith("stopped")
    assert seconds < STOP_SECONDS


@SIGNALS
@pytest.mark.parametrize("times", range(STOPS))
async def test_it_stops_while_it_leads(
    consul: ConsulAgent, kubernetes: ApiServer, number: signal.Signals, times: int
) -> None:
    config = f'[sync]\nenabled = true\nkube_api = "{kubernetes.url}"\ncluster = "recorded"\n'
    serve = Serve(consul.url, config=config)
    await asyncio.to_thread(serve.__enter__)
    try:
        await until(lambda: lock_holder(consul) != "", "leading")
        await asyncio.to_thread(stops, serve, number)
        assert lock_holder(consul) == "", "the lock is given back"
    finally:
        await asyncio.to_thread(serve.stop)


@SIGNALS
@pytest.mark.parametrize("times", range(STOPS))
def test_it_stops_without_a_kubernetes_api(
    consul: ConsulAgent, number: signal.Signals, times: int
) -> None:
    (closed,) = free_ports(1)
    config = f'[sync]\nenabled = true\nkube_api = "http://127.0.0.1:{closed}"\n'
    with Serve(consul.url, config=config) as serve:
        serve.wait_for_line("cannot start, trying again")
        stops(serve, number)


@SIGNALS
@pytest.mark.parametrize("times", range(STOPS))
def test_it_stops_as_soon_as_it_has_started(
    consul: ConsulAgent, number: signal.Signals, times: int
) -> None:
    """Workers and the sync worker are still importing then."""
    (closed,) = free_ports(1)
    config = f'[sync]\nenabled = true\nkube_api = "http://127.0.0.1:{closed}"\n'
    with Serve(consul.url, config=config, wait_ready=False) as serve:
        wait_until(lambda: sync_worker_of(serve) != 0, "the sync worker")
        stops(serve, number)


def test_ready_and_metrics_tell_of_the_worker(consul: ConsulAgent, tmp_path: Path) -> None:
    """The DNS is ready without it. One that cannot be configured is a line, not a traceback."""
    kubeconfig = tmp_path / "config"
    config = f'[sync]\nenabled = true\nkubeconfig = "{kubeconfig}"\n'
    with Serve(consul.url, config=config) as serve:
        reason = f"{kubeconfig}: there is no such kubeconfig file"
        serve.wait_for_line(f"sync worker: ended with exit status 4: {reason}")

        def ready() -> tuple[int, list[str]]:
            reply = serve.admin("/ready")
            return reply.status_code, reply.text.splitlines()

        problem = f"sync worker: ended with exit status 4: {reason}"
        wait_until(lambda: ready() == (200, ["OK", problem]), "/ready tells why")
        assert serve.metric("consuldns_sync_worker_up") == 0
        assert serve.metric("consuldns_sync_worker_last_exit_status") == 4
        assert serve.metric("consuldns_sync_worker_restarts_total") >= 1
        (closed,) = free_ports(1)
        kubeconfig.write_text(
            f"""
            {{"current-context": "a", "contexts": [{{"name": "a", "context": {{"cluster": "a"}}}}],
            "clusters": [{{"name": "a", "cluster": {{"server": "http://127.0.0.1:{closed}"}}}}]}}
            """
        )
        missing = "sync worker: not ready: consul or kubernetes: not reachable yet"
        wait_until(lambda: ready() == (200, ["OK", missing]), "/ready tells what it waits for")
        assert serve.metric("consuldns_sync_worker_up") == 1
        assert serve.metric("consuldns_sync_worker_ready") == 0
        assert len([line for line in serve.lines if "ended with" in line]) == 1
    assert [line for line in serve.lines if not OWN_LINE.match(line)] == []


async def test_metrics_have_the_figures_of_the_worker(
    consul: ConsulAgent, kubernetes: ApiServer
) -> None:
    config = f'[sync]\nenabled = true\nkube_api = "{kubernetes.url}"\ncluster = "recorded"\n'
    serve = Serve(consul.url, config=config)
    await asyncio.to_thread(serve.__enter__)
    try:
        await until(lambda: serve.admin("/ready").text == "OK\nsync worker: leader\n", "leading")
        await until(lambda: serve.metric("consuldns_sync_services") > 10, "its figures")
        assert await asyncio.to_thread(serve.metric, "consuldns_sync_worker_ready") == 1
        os.kill(sync_worker_of(serve), signal.SIGSTOP)
        os.kill(serve.pid, signal.SIGUSR1)
        await until(lambda: "SIGUSR1: sync worker: leader" in serve.log, "figures in the log")
        os.kill(sync_worker_of(serve), signal.SIGCONT)
        os.kill(sync_worker_of(serve), signal.SIGUSR1)
        await until(lambda: "SIGUSR1: sync worker: services=" in serve.log, "the worker's own")
        os.kill(serve.pid, signal.SIGHUP)
        await until(lambda: "credentials for Consul and Kubernetes" in serve.log, "passed on")
    finally:
        assert await asyncio.to_thread(serve.stop) == 0


@SIGNALS
def test_sync_run_and_signals(consul: ConsulAgent, number: signal.Signals) -> None:
    (closed,) = free_ports(1)
    api = f"http://127.0.0.1:{closed}"
    with ConsuldnsProcess(["sync", "run", "--consul-addr", consul.url, "--kube-api", api]) as run:
        run.wait_for_line("cannot start, trying again")
        os.kill(run.pid, signal.SIGHUP)
        run.wait_for_line("SIGHUP: credentials are read at each attempt to start")
        os.kill(run.pid, signal.SIGUSR1)
        run.wait_for_line("SIGUSR1: sync worker: services=0")
        assert run.stop(number) == 0
    assert [line for line in run.lines if not OWN_LINE.match(line)] == []


def test_sync_run_with_a_setting_that_cannot_be_used(consul: ConsulAgent, tmp_path: Path) -> None:
    """The same status and text as of the child of `serve`."""
    file = str(tmp_path / "none")
    command = ["sync", "run", "--consul-addr", consul.url, "--kubeconfig", file]
    with ConsuldnsProcess(command) as run:
        wait_until(lambda: run.status is not None, "the end")
    assert run.status == 4
    assert run.lines[-1] == f"Error: {file}: there is no such kubeconfig file"
