"""A starlette application served inside somebody else's event loop.

uvicorn expects to own the process; here signals and sockets belong to the caller.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.applications import Starlette

from consuldns.errors import StartupError

IDLE_SECONDS = 600  # a client may keep an idle connection; uvicorn's 5 would race its next request
CLOSING_SECONDS = 2  # for replies that are being written when the server stops


def bind(address: tuple[str, int], *, what: str, option: str) -> socket.socket:
    """A listening TCP socket.

    Raises StartupError, in the words of `what` (who wants to listen) and `option` (the command line
    option that chooses the address).
    """
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, because asyncio sets TCP_NODELAY only then; without it a reply takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        problem = f"{what} cannot listen on {host}:{port}: {error.strerror or error}"
        if error.errno == errno.EADDRINUSE:
            raise StartupError(
                f"{problem}; 'ss -ltnp sport = :{port}' shows what does; stop it, or choose another"
                f" address, for example {option} {host}:{port + 1}"
            ) from error
        raise StartupError(f"{problem}; choose another address with {option}") from error
    listener.setblocking(False)
    return listener


class _Server(uvicorn.Server):
    """uvicorn that says when it accepts, and touches no signals."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        await super().startup(sockets)
        self.accepting.set()


@contextlib.asynccontextmanager
async def serving(application: Starlette, listener: socket.socket) -> AsyncIterator[None]:
    """Serve the application while the context lasts; it accepts when the context begins."""
    server = _Server(
        uvicorn.Config(
            application,
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=CLOSING_SECONDS,
        )
    )
    with listener:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(server.serve(sockets=[listener]), name="HTTP")
            await server.accepting.wait()
            try:
                yield
            finally:
                server.should_exit = True
                await asyncio.shield(task)
