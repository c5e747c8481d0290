"""Faults of Consul, of the network before it, and of our own processes, each with its end.

    python -m tests.faults [--seconds N] [NAME ...]

A scenario is right if no query was lost, none got a wrong answer, those that were known were
answered all the while, and a change that is made after it is seen.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.end_to_end.conftest import register
from tests.faults.canary import Canary, Expected, Report
from tests.faults.proxy import Fault, Proxy
from tests.support.ask import answers, ask
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import Serve, children_of

SERVICES = 20
CHANGING = "changing.service.consul"
FRESH_SECONDS = 10.0


@dataclass
class Setting:
    """A server behind a proxy, with services that clients ask for."""

    consul: ConsulAgent
    proxy: Proxy
    serve: Serve
    changes: int = 0

    def change(self) -> str:
        """Change a service; its new address."""
        self.changes += 1
        address = f"10.9.{self.changes // 250}.{self.changes % 250 + 1}"
        register(self.consul, "changing", address)
        return address


Scenario = Callable[[Setting, Canary, float], None]
"""Lets something go wrong while the canary asks for that many seconds, and mends it."""


def expected() -> Expected:
    """What must be answered all the while."""
    names: dict[str, frozenset[str]] = {
        f"kept-{n}.service.consul": frozenset({f"10.1.0.{n + 1}"}) for n in range(SERVICES)
    }
    return names | {f"none-{n}.service.consul": frozenset() for n in range(5)}


@contextmanager
def setting() -> Iterator[Setting]:
    """Everything in place and answered."""
    with (
        ConsulAgent(persistent=True) as consul,
        Proxy.before(consul.http_port) as proxy,
        Serve(proxy.url, workers=2) as serve,
    ):
        found = Setting(consul, proxy, serve)
        for number in range(SERVICES):
            register(consul, f"kept-{number}", f"10.1.0.{number + 1}")
        until_seen(found)
        wait_until(lambda: _all_right(serve.port), "all services")
        yield found


def _all_right(port: int) -> bool:
    return all(answers(ask(port, name)) == wanted for name, wanted in expected().items())


def until_seen(setting: Setting) -> float:
    """Make a change; seconds until it is answered."""
    address, began = setting.change(), time.monotonic()
    wait_until(
        lambda: answers(ask(setting.serve.port, CHANGING)) == {address},
        f"{CHANGING} is {address}",
        FRESH_SECONDS,
    )
    return time.monotonic() - began


def run(setting: Setting, scenario: Scenario, seconds: float) -> tuple[Report, float]:
    """What the canary says, and seconds from a change after the end until it was seen."""
    with Canary.asking(setting.serve.port, expected()) as canary:
        scenario(setting, canary, seconds)
        fresh = until_seen(setting)
    return canary.report, fresh


def _network(fault: Fault) -> Scenario:
    def scenario(setting: Setting, canary: Canary, seconds: float) -> None:
        setting.proxy.begin(fault)
        canary.ask_for(seconds)
        setting.proxy.heal()

    return scenario


def consul_is_killed(setting: Setting, canary: Canary, seconds: float) -> None:
    """Consul ends, and is started again with its state."""
    setting.consul.kill()
    canary.ask_for(seconds)
    setting.consul.start()


def consul_is_stopped(setting: Setting, canary: Canary, seconds: float) -> None:
    """Consul hangs."""
    os.kill(setting.consul.pid, signal.SIGSTOP)
    canary.ask_for(seconds)
    os.kill(setting.consul.pid, signal.SIGCONT)


def workers_are_killed(setting: Setting, canary: Canary, seconds: float) -> None:
    """One of the workers ends, once a second."""
    for number in range(int(seconds)):
        workers = children_of(setting.serve.pid)
        os.kill(workers[number % len(workers)], signal.SIGKILL)
        canary.ask_for(1)


def _by_signal(number: int, line: str) -> Scenario:
    """A signal, again as soon as the log says that it has been obeyed."""

    def scenario(setting: Setting, _: Canary, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            done = setting.serve.log.count(line)
            os.kill(setting.serve.pid, number)
            wait_until(lambda done=done: setting.serve.log.count(line) > done, line)  # type: ignore[misc]

    return scenario


NETWORK = {each.name.lower().replace("_", "-"): _network(each) for each in Fault}
SCENARIOS: dict[str, Scenario] = NETWORK | {
    "consul-is-killed": consul_is_killed,
    "consul-is-stopped": consul_is_stopped,
    "workers-are-killed": workers_are_killed,
    "workers-are-replaced": _by_signal(signal.SIGUSR2, "SIGUSR2: all workers have been replaced"),
    "settings-are-read-again": _by_signal(signal.SIGHUP, "SIGHUP: "),
}
