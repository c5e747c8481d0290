"""A TCP proxy in front of Consul, which passes everything on, or does what networks and proxies do.

It runs on an event loop in a thread of its own.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

_PIECE = 65536  # octets


class Fault(Enum):
    """What happens to connections and to what is sent over them."""

    NONE = "everything is passed on"
    REFUSED = "connections are reset, new ones at once"
    SILENT = "nothing is passed on any more, and nothing is closed"
    DELAYED = "every piece comes 300 ms late"
    TRICKLING = "replies come by 20 octets a second"
    CUT = "replies end after 100 octets, with the connection"
    NO_LEADER = "every reply is a 500: No cluster leader"
    UNAVAILABLE = "every reply is a 503 of a gateway"
    TOO_MANY = "every reply is a 429"
    FORBIDDEN = "every reply is a 403"
    HTML = "every reply is a 200 with a page to sign in"
    EMPTY = "every reply is a 200 with an empty list"
    NULL = "every reply is a 200 with null"
    NOT_HTTP = "every reply is not HTTP"


def _http(status: str, body: bytes, index: bool = False) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    if index:
        head += "X-Consul-Index: 5\r\nX-Consul-KnownLeader: true\r\n"
    return head.encode() + b"\r\n" + body


_REPLIES = {
    Fault.NO_LEADER: _http("500 Internal Server Error", b"No cluster leader"),
    Fault.UNAVAILABLE: _http("503 Service Unavailable", b"upstream connect error"),
    Fault.TOO_MANY: _http("429 Too Many Requests", b"Your IP is issuing too many requests"),
    Fault.FORBIDDEN: _http("403 Forbidden", b"ACL not found"),
    Fault.HTML: _http("200 OK", b"<html><body>Sign in</body></html>"),
    Fault.EMPTY: _http("200 OK", b"[]", index=True),
    Fault.NULL: _http("200 OK", b"null", index=True),
    Fault.NOT_HTTP: b"SSH-2.0-OpenSSH_9.2\r\n",
}


class Proxy:
    """`begin` a fault, and `heal`."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._fault = Fault.NONE
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._writers: set[asyncio.StreamWriter] = set()
        self._asking: set[asyncio.StreamWriter] = set()  # those that a reply is owed to
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()  # the fault is another one
        self.port = 0

    @property
    def url(self) -> str:
        """The address of Consul's API through it."""
        return f"http://127.0.0.1:{self.port}"

    @classmethod
    @contextmanager
    def before(cls, target: int) -> Iterator["Proxy"]:
        """One that passes everything on to a port of 127.0.0.1."""
        proxy = cls(target)
        proxy._thread.start()
        proxy._run(proxy._listen())
        try:
            yield proxy
        finally:
            proxy._run(proxy._close())
            proxy._loop.call_soon_threadsafe(proxy._loop.stop)
            proxy._thread.join()
            proxy._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def begin(self, fault: Fault) -> None:
        """From now on, this happens; blocking queries that wait are answered so as well."""
        self._loop.call_soon_threadsafe(self._set, fault)

    def heal(self) -> None:
        """Pass everything on again. Connections that were silent stay so."""
        self._loop.call_soon_threadsafe(self._set, Fault.NONE)

    def _set(self, fault: Fault) -> None:
        self._fault = fault
        self._changed.set()
        self._changed = asyncio.Event()
        if fault is Fault.REFUSED:
            for each in self._writers:
                each.transport.abort()
        reply = _REPLIES.get(fault)
        if reply is not None:
            for each in self._asking:
                each.write(reply)
                each.close()
            self._asking.clear()

    async def _stays(self, seconds: float) -> bool:
        """Whether the fault is still the same after that time; False as soon as it is not."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return True
        return False

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            self._asking.discard(writer)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._fault is Fault.REFUSED:
            return
        there, here = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(writer)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._requests(reader, here, writer))
                tasks.create_task(self._replies(there, writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            here.transport.abort()

    async def _requests(
        self, reader: asyncio.StreamReader, here: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        silent = False
        while piece := await reader.read(_PIECE):
            silent = silent or self._fault is Fault.SILENT
            reply = _REPLIES.get(self._fault)
            if reply is not None:
                back.write(reply)
                back.close()
                await back.wait_closed()
                break
            self._asking.add(back)
            if not silent:
                here.write(piece)
        raise ConnectionError("the client has closed")

    async def _replies(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent = False
        while piece := await there.read(_PIECE):
            silent = silent or self._fault is Fault.SILENT
            self._asking.discard(writer)
            match self._fault:
                case Fault.NONE if not silent:
                    writer.write(piece)
                case Fault.DELAYED:
                    await self._stays(0.3)
                    writer.write(piece)
                case Fault.TRICKLING:
                    while piece and await self._stays(0.05):
                        writer.write(piece[:1])
                        piece = piece[1:]
                    writer.write(piece)
                case Fault.CUT:
                    writer.write(piece[:100])
                    await writer.drain()
                    break
                case _:
                    pass  # silence, or the reply has been given
        raise ConnectionError("Consul has closed")
