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


Scenario = Callable[[Setting, float], None]
"""Lets something go wrong for so many seconds, and mends it."""


def register(consul: ConsulAgent, service: str, address: str) -> None:
    """One instance, on a node of its own."""
    consul.put(
        "/v1/catalog/register",
        {
            "Node": f"node-of-{service}",
            "Address": "192.0.2.10",
            "Service": {"ID": service, "Service": service, "Address": address, "Port": 80},
        },
    )


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
        Proxy(consul.http_port) as proxy,
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
    with Canary(setting.serve.port, expected()) as canary:
        scenario(setting, seconds)
        fresh = until_seen(setting)
    return canary.report, fresh


def _network(fault: Fault) -> Scenario:
    def scenario(setting: Setting, seconds: float) -> None:
        setting.proxy.begin(fault)
        time.sleep(seconds)
        setting.proxy.heal()

    return scenario


def consul_is_killed(setting: Setting, seconds: float) -> None:
    """Consul ends, and is started again with its state."""
    setting.consul.kill()
    time.sleep(seconds)
    setting.consul.start()


def consul_is_stopped(setting: Setting, seconds: float) -> None:
    """Consul hangs."""
    os.kill(setting.consul.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(setting.consul.pid, signal.SIGCONT)


def workers_are_killed(setting: Setting, seconds: float) -> None:
    """One of the workers ends, once a second."""
    deadline, number = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        workers = children_of(setting.serve.pid)
        os.kill(workers[number % len(workers)], signal.SIGKILL)
        number += 1
        time.sleep(1)


def workers_are_replaced(setting: Setting, seconds: float) -> None:
    """SIGUSR2, as often as they are done."""
    _repeat(setting, seconds, signal.SIGUSR2, "SIGUSR2: all workers have been replaced")


def settings_are_read_again(setting: Setting, seconds: float) -> None:
    """SIGHUP, as often as it is done."""
    _repeat(setting, seconds, signal.SIGHUP, "SIGHUP: ")


def _repeat(setting: Setting, seconds: float, number: int, line: str) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done = setting.serve.log.count(line)
        os.kill(setting.serve.pid, number)
        wait_until(lambda done=done: setting.serve.log.count(line) > done, line)  # type: ignore[misc]


SCENARIOS: dict[str, Scenario] = {
    each.name.lower().replace("_", "-"): _network(each) for each in Fault
} | {
    each.__name__.replace("_", "-"): each
    for each in (
        *(consul_is_killed, consul_is_stopped),
        *(workers_are_killed, workers_are_replaced, settings_are_read_again),
    )
}
