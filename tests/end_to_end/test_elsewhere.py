"""A standalone binary, on a system that is not Linux (`tests.support.elsewhere`)."""

import os
import signal
from pathlib import Path

import pytest

from tests.end_to_end.conftest import register
from tests.support import elsewhere
from tests.support.ask import answers, ask, wait_for_answer
from tests.support.consul_agent import ConsulAgent, free_ports, wait_until
from tests.support.consuldns_process import Serve, children_of


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "[::]"])
def test_it_answers_over_udp_and_tcp(consul: ConsulAgent, tmp_path: Path, address: str) -> None:
    register(consul, "far", "10.9.9.8")
    with Serve(consul.url, workers=0, program=(elsewhere.binary(tmp_path),), host=address) as serve:
        client_of = "::1" if address == "[::]" else "127.0.0.1"
        for tcp in (False, True):
            for _ in range(10):
                reply = ask(serve.port, "far.service.consul", tcp=tcp, host=client_of)
                assert answers(reply) == {"10.9.9.8"}
        unusual = [line for line in serve.lines if "Error" in line or "unexpected" in line]
        assert unusual == []
        said = any("may leave from another address" in line for line in serve.lines)
        assert said == (address != "127.0.0.1")


def test_workers_are_replaced(consul: ConsulAgent, tmp_path: Path) -> None:
    register(consul, "far", "10.9.9.8")
    with Serve(consul.url, workers=2, program=(elsewhere.binary(tmp_path),)) as serve:
        wait_for_answer(serve.port, "far.service.consul", "A", "10.9.9.8")
        before = set(children_of(serve.pid))
        assert len(before) == 2
        for victim in before:
            os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(set(children_of(serve.pid)) - before) == 2, "two new workers")
        wait_for_answer(serve.port, "far.service.consul", "A", "10.9.9.8")


def test_the_sync_worker_is_started(consul: ConsulAgent, tmp_path: Path) -> None:
    (closed,) = free_ports(1)
    config = f'[sync]\nenabled = true\nkube_api = "http://127.0.0.1:{closed}"\n'
    with Serve(consul.url, config=config, program=(elsewhere.binary(tmp_path),)) as serve:
        serve.wait_for_line("cannot start, trying again")
