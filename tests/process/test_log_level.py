"""The log level reaches every process, and no token or client input does harm in what it shows."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.consul_agent import ConsulAgent, free_ports
from tests.support.consuldns_process import ConsuldnsProcess

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d (DEBUG|INFO|WARNING|ERROR) "
    r"(consuldns(?:\.\w+)+) (.*)"
)
CONTROL = ("consuldns.consul.http.client", "GET /v1/catalog/services?dc=dc1&consistent: 200")
VIEW = ("consuldns.consul.watch.published", "read, and another one than before: ")
WORKER = ("consuldns.process.worker", "received CaughtUp")
CHILD = ("consuldns.process.sync_child", "received the settings")


@contextmanager
def serving(level: str, *, by_flag: bool) -> Iterator[tuple[ConsuldnsProcess, int]]:
    dns, admin, kubernetes = free_ports(3)
    arguments = ["serve", "--listen", f"127.0.0.1:{dns}", "--admin-addr", f"127.0.0.1:{admin}"]
    environment = {
        "CONSULDNS_SYNC_ENABLED": "true",
        "CONSULDNS_SYNC_KUBE_API": f"http://127.0.0.1:{kubernetes}",
        "CONSULDNS_WORKERS": "1",
        "CONSUL_HTTP_TOKEN": "LEAKCANARY",
    }
    if by_flag:
        arguments += ["--log-level", level]
    else:
        environment["CONSULDNS_LOG_LEVEL"] = level
    with ConsulAgent() as agent:
        process = ConsuldnsProcess(
            [*arguments, "--consul-addr", agent.url], environment=environment
        )
        process.start()
        try:
            process.wait_for_line("ready")
            yield process, dns
        finally:
            process.stop()


def logged(process: ConsuldnsProcess) -> list[tuple[str, str, str]]:
    found = (LINE.fullmatch(line) for line in process.lines)
    return [(match[1], match[2], match[3]) for match in found if match]


@pytest.mark.parametrize("by_flag", [True, False])
def test_debug_shows_requests_views_and_messages_of_every_process(by_flag: bool) -> None:
    with serving("debug", by_flag=by_flag) as (process, dns):
        for logger, text in (CONTROL, VIEW, WORKER, CHILD):
            process.wait_for_line(f" DEBUG {logger} {text}")
        name = "evil\\027[31m\\010.service.consul"
        subprocess.run(["dig", "@127.0.0.1", "-p", str(dns), name], check=True, timeout=30)
    assert all(LINE.fullmatch(line) or line == "ready" for line in process.lines)
    assert all(line.isprintable() for line in process.lines)
    assert "LEAKCANARY" not in process.log


def test_warnings_are_all_that_is_shown_where_that_is_wanted() -> None:
    with serving("warning", by_flag=True) as (process, _):
        process.wait_for_line("cannot start, trying again")
    assert {level for level, _, _ in logged(process)} == {"WARNING"}
