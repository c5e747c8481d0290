"""The embedded agent as a part of another program's event loop."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from consuldns.agent.http.app import application
from consuldns.agent.local import ServiceDefinition
from consuldns.agent.sessions import MIN_TTL
from consuldns.agent.state import State
from consuldns.agent.watching import Watching
from consuldns.sockets import HostPort, listen_tcp
from consuldns.web import serving

_log = logging.getLogger(__name__)

NODE = "consuldns-dev"
"""The name of the agent's own node."""


# Services to look at: those of the cluster in the walk-through, by address and port.
SERVICES = {
    "kubernetes": ("10.254.0.1", 443),
    "kube-dns": ("10.254.0.10", 53),
    "kube-consul": ("10.254.0.53", 8600),
    "redis-master": ("10.254.131.74", 6379),
    "redis-slave": ("10.254.42.208", 6379),
    "kibana-logging": ("10.254.207.13", 5601),
    "elasticsearch-logging": ("10.254.118.92", 9200),
    "kube-ui": ("10.254.9.161", 80),
    "monitoring-grafana": ("10.254.226.35", 80),
    "monitoring-influxdb": ("10.254.87.5", 8086),
    "monitoring-heapster": ("10.254.70.176", 80),
}


@dataclass(frozen=True)
class Agent:
    """An agent that is serving."""

    address: HostPort
    state: State
    with_sample: bool

    @property
    def url(self) -> str:
        """Where its HTTP API is."""
        return f"http://{self.address}"

    @property
    def announcement(self) -> str:
        """The text for the person who started it."""
        services = f"{len(SERVICES)} sample services" if self.with_sample else "no services"
        return (
            f"embedded Consul agent at {self.url}, datacenter {self.state.datacenter}, {services};"
            " in memory only: everything in it is gone when it stops"
        )


@asynccontextmanager
async def serve(
    address: HostPort,
    *,
    sample: bool,
    datacenter: str = "dc1",
    session_ttl_min: float = MIN_TTL,
) -> AsyncIterator[Agent]:
    """An agent that serves inside the `async with`; port 0 is any free one.

    Raises StartupError if it cannot listen there, before anything else happens. On leaving, long
    polls are answered at once and connections closed. Signals are left to the caller.
    """
    listener = listen_tcp(address, what="the embedded Consul agent", option="--http-addr")
    watching = Watching()
    state = State(
        datacenter=datacenter,
        node=NODE,
        clock=asyncio.get_running_loop().time,
        session_ttl_min=session_ttl_min,
    )
    state.database.on_change = watching.wake
    if sample:
        _register_sample(state)
    async with (
        serving.serving(application(state, watching), listener),
        asyncio.TaskGroup() as tasks,
    ):
        expiring = tasks.create_task(_expire(state, watching), name="agent: TTLs")
        try:
            yield Agent(HostPort(address.host, listener.getsockname()[1]), state, sample)
        finally:
            expiring.cancel()
            watching.close()


async def _expire(state: State, watching: Watching) -> None:
    """End what has a deadline when its time is up; a change may bring the next one forward."""
    while True:
        try:
            async with asyncio.timeout_at(state.next_deadline()):
                await watching.next_change()
        except TimeoutError:
            try:
                state.expire()
            except Exception:
                _log.exception("sessions and checks cannot expire: please report it")
                return  # it would be the same again at once; everything else goes on


def _register_sample(state: State) -> None:
    """Register the services through the agent, as the proof of concept did."""
    with state.change():
        for name, (address, port) in SERVICES.items():
            state.local.register_service(ServiceDefinition(name=name, address=address, port=port))
