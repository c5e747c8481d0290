"""A starlette application served inside somebody else's event loop, to clients of any kind.

uvicorn speaks HTTP and runs the application. What it leaves open is here: it expects to own the
process, its signals and its sockets; it lets a client that sends nothing stay for ever, and accept
on without bounds. Here connections are counted and timed, and a client can neither take the file
descriptors of the process, nor fill its _log, nor end it.
"""

import asyncio
import contextlib
import errno
import logging
import re
import resource
import socket
from collections.abc import AsyncIterator
from email.utils import formatdate
from ipaddress import ip_address
from math import inf

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from consuldns.incidents import UnexpectedErrors
from consuldns.names import parse_address

CONNECTIONS = 500  # at once; with fewer file descriptors, a quarter of these
REQUEST_SECONDS = 10.0  # from its first byte, or from the connection, until a request is complete
STALL_SECONDS = 30.0  # for a client to read on
IDLE_SECONDS = 600  # a client may keep an idle connection; uvicorn's 5 would race its next request
CLOSING_SECONDS = 2.0  # for replies that are being written when the server stops
SWEEP_SECONDS = 0.5  # between two looks for connections whose time is up
RESOURCE_PAUSE_SECONDS = 1.0  # until the next attempt to accept without file descriptors or memory

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::[0-9]{0,5})?")
_GONE_CLIENT = frozenset({errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.EINTR})

_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def serving(
    application: Starlette, listener: socket.socket, *, connections: int = CONNECTIONS
) -> AsyncIterator[None]:
    """Serve the application while the context lasts; it accepts when the context begins.

    At most `connections` at once: then the one that has waited longest for its client goes. A
    listener on a loopback address serves only requests to an address or to `localhost`.
    """
    server = _Server(_guarded(application, listener), _affordable(connections))
    with listener:
        tasks = [
            asyncio.create_task(server.accept_forever(listener), name="HTTP"),
            asyncio.create_task(server.sweep_forever(), name="HTTP: timeouts"),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.shield(server.close())


def _affordable(connections: int) -> int:
    """As many as leave most file descriptors to the rest of the process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections if soft == resource.RLIM_INFINITY else max(1, min(connections, soft // 4))


# --- connections ---------------------------------------------------------------------------------


class _Server:
    """The connections of one listener, which share the application."""

    def __init__(self, application: ASGIApp, limit: int) -> None:
        self._config = uvicorn.Config(
            application,
            lifespan="off",
            log_config=None,
            log_level="critical",  # else each malformed request is a line; ours are below
            access_log=False,
            server_header=False,
            ws="none",
            timeout_keep_alive=IDLE_SECONDS,
        )
        self._config.load()
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._state = ServerState()
        self.is_closing = False
        self._emptied = asyncio.Event()
        self._set_date()
        # Those whose client has the next step, in the order of their last reply.
        self.waiting: dict[_Connection, None] = {}
        self.clock = self._loop.time

    async def accept_forever(self, listener: socket.socket) -> None:
        """Accept until cancelled. Trouble is logged when it begins, not at each attempt."""
        is_in_trouble = False
        while True:
            try:
                accepted, _ = await self._loop.sock_accept(listener)
            except OSError as error:
                if error.errno not in _GONE_CLIENT:
                    if not is_in_trouble:
                        _log.warning("HTTP: cannot accept connections: %s", error.strerror)
                    is_in_trouble = True
                    await asyncio.sleep(RESOURCE_PAUSE_SECONDS)
                continue
            is_in_trouble = False
            await self._admit(accepted)

    async def _admit(self, accepted: socket.socket) -> None:
        """Begin a connection; if there are too many, one that waits for its client goes for it."""
        if len(self._state.connections) >= self._limit:
            if not self.waiting:
                accepted.close()
                await asyncio.sleep(0)
                return
            next(iter(self.waiting)).abort()
        try:
            await self._loop.connect_accepted_socket(
                lambda: _Connection(self, self._config, self._state), accepted
            )
        except OSError:  # the client has gone already
            accepted.close()

    async def sweep_forever(self) -> None:
        """Close the connections whose time is up."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._set_date()
            now = self.clock()
            for connection in list(self._state.connections):
                assert isinstance(connection, _Connection)
                if connection.deadline <= now:
                    connection.abort()

    def _set_date(self) -> None:
        date = (b"date", formatdate(usegmt=True).encode())
        self._state.default_headers = [date, *self._config.encoded_headers]

    async def close(self) -> None:
        """Let the requests that have begun end, within bounds, then close everything."""
        self.is_closing = True
        self._emptied.clear()
        for connection in list(self._state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_SECONDS):
                if self._state.connections:
                    await self._emptied.wait()
        for connection in list(self._state.connections):
            assert isinstance(connection, _Connection)
            connection.abort()
        for task in list(self._state.tasks):
            task.cancel()

    def left(self) -> None:
        """A connection is over."""
        if not self._state.connections:
            self._emptied.set()


class _Connection(H11Protocol):
    """A connection of uvicorn's, with a deadline for what its client has to do next.

    The client has the next step while a request is incomplete, a reply unread, or none of them is
    there; a reply that the application is making takes as long as it takes (a blocking query).
    """

    def __init__(self, server: _Server, config: uvicorn.Config, state: ServerState) -> None:
        super().__init__(config, state, {})
        self._server = server
        self._is_idle = False  # no byte of a request since the last reply
        self.deadline = inf

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        super().connection_made(transport)
        self._wait(REQUEST_SECONDS)
        if self._server.is_closing:  # it was being accepted meanwhile
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._server.waiting.pop(self, None)
        super().connection_lost(exc)
        self._server.left()

    def data_received(self, data: bytes) -> None:
        """Octets have come: part of a request, or several."""
        if self._is_idle:
            self._is_idle = False
            self._wait(REQUEST_SECONDS)
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """The reply has been given; the next request may have come already."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._is_idle = True
            self._wait(inf)  # uvicorn's own timer ends it
        else:
            self._wait(REQUEST_SECONDS)
            self._look()

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._wait(STALL_SECONDS)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._look()

    def abort(self) -> None:
        """End the connection at once."""
        self._server.waiting.pop(self, None)
        self.transport.abort()

    def _look(self) -> None:
        """The client is waited for no more once its request is complete and the reply unfinished.

        Each later state comes with a call of one of the methods above.
        """
        cycle = self.cycle
        is_working = cycle is not None and not (cycle.response_complete or cycle.more_body)
        if is_working and not self.flow.write_paused:
            self._server.waiting.pop(self, None)
            self.deadline = inf

    def _wait(self, seconds: float) -> None:
        self._server.waiting.pop(self, None)
        self._server.waiting[self] = None
        self.deadline = self._server.clock() + seconds


# --- requests ------------------------------------------------------------------------------------


def _guarded(application: ASGIApp, listener: socket.socket) -> ASGIApp:
    host = listener.getsockname()[0]
    return _Contained(_HostChecked(application, by_name=not ip_address(host).is_loopback))


class _Contained:
    """Logs an unexpected error of the application. The reply is a 500."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application
        self._errors = UnexpectedErrors(_log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        # Starlette has answered, and raises it again for the log.
        with self._errors.contained("a request over HTTP"):
            await self._application(scope, receive, send)


class _HostChecked:
    """Refuses a Host that is malformed and, unless `by_name`, one that is a name.

    A page that a browser has loaded from anywhere can have its own name point to 127.0.0.1 and then
    talk to a server that listens there (DNS rebinding); only the Host field gives it away.
    """

    def __init__(self, application: ASGIApp, *, by_name: bool) -> None:
        self._application = application
        self._by_name = by_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or go on."""
        given = [value for name, value in scope["headers"] if name == b"host"]
        problem = self._problem(given[0].decode("latin-1")) if given else None
        if problem is None:
            await self._application(scope, receive, send)
        else:
            await problem(scope, receive, send)

    def _problem(self, given: str) -> PlainTextResponse | None:
        found = _HOST.fullmatch(given)
        if found is None:
            return PlainTextResponse("the Host header is malformed\n", 400)
        host = found[1].strip("[]").rstrip(".").lower()
        if self._by_name or host == "localhost" or parse_address(host) is not None:
            return None
        text = f"this server does not serve the host {host}: use its IP address, or localhost\n"
        return PlainTextResponse(text, 403)
