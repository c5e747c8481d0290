"""The embedded agent as a part of another program's event loop."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import uvicorn

from consuldns.agent.http.app import application
from consuldns.agent.sample import SERVICES, register_sample
from consuldns.agent.sessions import MIN_TTL
from consuldns.agent.state import State
from consuldns.agent.watching import Watching
from consuldns.errors import StartupError

NODE = "consuldns-dev"
"""The name of the agent's own node."""
CLOSING_SECONDS = 2
"""How long replies that are being written may take once the agent stops."""


@dataclass(frozen=True)
class Agent:
    """An agent that is serving."""

    address: tuple[str, int]
    state: State
    with_sample: bool

    @property
    def url(self) -> str:
        """Where its HTTP API is."""
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def announcement(self) -> str:
        """What to tell whoever started it."""
        services = f"{len(SERVICES)} sample services" if self.with_sample else "no services"
        return (
            f"embedded Consul agent at {self.url}, datacenter {self.state.datacenter}, {services};"
            " in memory only: everything in it is gone when it stops"
        )


@asynccontextmanager
async def serve(
    address: tuple[str, int],
    *,
    sample: bool,
    datacenter: str = "dc1",
    session_ttl_min: float = MIN_TTL,
) -> AsyncIterator[Agent]:
    """An agent that serves inside the `async with`; port 0 is any free one.

    Raises StartupError if it cannot listen there, before anything else happens. On leaving, long
    polls are answered at once and connections closed. Signals are left to the caller.
    """
    listener = _bind(address)
    watching = Watching()
    state = State(
        datacenter=datacenter,
        node=NODE,
        clock=asyncio.get_running_loop().time,
        session_ttl_min=session_ttl_min,
    )
    state.database.on_change = watching.wake
    if sample:
        register_sample(state)
    server = _Server(
        uvicorn.Config(
            application(state, watching),
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=CLOSING_SECONDS,
        )
    )
    with listener:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve(sockets=[listener]), name="agent: HTTP")
            expiring = group.create_task(_expire(state, watching), name="agent: TTLs")
            await server.accepting.wait()
            try:
                host, port = listener.getsockname()[:2]
                yield Agent((host, port), state, sample)
            finally:
                expiring.cancel()
                watching.close()
                server.should_exit = True
                await asyncio.shield(serving)


class _Server(uvicorn.Server):
    """uvicorn inside somebody else's event loop: says when it accepts, touches no signals."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepting.set()


async def _expire(state: State, watching: Watching) -> None:
    """End what has a deadline when its time is up; a change may bring the next one forward."""
    while True:
        try:
            async with asyncio.timeout_at(state.next_deadline()):
                await watching.next_change()
        except TimeoutError:
            state.expire()


def _bind(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    # Named TCP, because asyncio sets TCP_NODELAY only then; without it a reply takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise StartupError(_explain(address, error)) from error
    listener.setblocking(False)
    return listener


def _explain(address: tuple[str, int], error: OSError) -> str:
    host, port = address
    what = f"the embedded Consul agent cannot listen on {host}:{port}: {error.strerror or error}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{what}. Something listens there already, perhaps a Consul agent or another"
            f" 'consuldns dev' ('ss -ltnp sport = :{port}' shows it). Stop it, or choose another"
            f" address with --http-addr, for example --http-addr {host}:{port + 1}"
        )
    return f"{what}. Choose another address with --http-addr"
