"""A start while Consul is away: answers come from the snapshot, marked as stale."""

import stat
import time
from pathlib import Path

from tests.end_to_end.conftest import deregister, register
from tests.support.ask import answers, ask, extended_errors, rcode, wait_for_answer
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import Serve

WEB, API = "web.service.consul", "api.service.consul"


def test_a_start_without_consul(tmp_path: Path) -> None:
    file = tmp_path / "snapshot"
    config = f'snapshot = "{file}"\n'
    with ConsulAgent(persistent=True) as consul:
        register(consul, "web", "10.0.0.1")
        register(consul, "api", "10.0.0.2")
        with Serve(consul.url, config=config) as serve:
            wait_for_answer(serve.port, WEB, "A", "10.0.0.1")
            wait_for_answer(serve.port, API, "A", "10.0.0.2")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, "written at the end at the latest"
        consul.kill()
        started = time.monotonic()
        with Serve(consul.url, config=config, wait_ready=False) as serve:
            serve.wait_for_line("answering from the snapshot of")
            assert time.monotonic() - started < 5
            wait_until(serve.is_ready, "ready")
            reply = ask(serve.port, WEB, "A")
            assert answers(reply) == {"10.0.0.1"}
            assert extended_errors(reply) == [3]
            nothing = ask(serve.port, "nothing.service.consul", "A")
            assert rcode(nothing) == "NXDOMAIN"
            assert extended_errors(nothing) == [19]
            consul.start()
            register(consul, "web", "10.0.0.9")
            deregister(consul, "api")
            wait_for_answer(serve.port, WEB, "A", "10.0.0.9")
            wait_until(lambda: rcode(ask(serve.port, API, "A")) == "NXDOMAIN", "gone")
            wait_until(lambda: not extended_errors(ask(serve.port, WEB, "A")), "fresh again")


def test_a_damaged_snapshot_is_named_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "snapshot"
    file.write_bytes(b"consuldns snapshot 1\nrubbish")
    config = f'snapshot = "{file}"\n'
    with ConsulAgent() as consul:
        consul.kill()
        with Serve(consul.url, config=config, wait_ready=False) as serve:
            serve.wait_for_line(f"snapshot {file} is not used: it is damaged")
            assert rcode(ask(serve.port, WEB, "A")) == "SERVFAIL"
            assert serve.admin("/ready").status_code == 503
    assert file.read_bytes().endswith(b"rubbish")
