"""A Consul that says what it is told: a TCP server of the tests, byte for byte."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from consuldns.config.schema import ConsulSettings


@dataclass
class Request:
    """A request as it came: `target` is the path with its query, header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Request], Awaitable[bytes]]


def reply(body: str | bytes = b"[]", *, status: str = "200 OK", **headers: object) -> bytes:
    """An HTTP response; `X_Consul_Index=5` gives that header."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}"]
    lines += (f"{name.replace('_', '-')}: {value}" for name, value in headers.items())
    return "\r\n".join((*lines, "", "")).encode() + content


@dataclass
class ScriptedServer:
    """Gives the answers of the script one after the other, the last one for ever.

    An answer is the bytes of a response, or a function that makes them, and may wait.
    """

    script: list[bytes | Answer]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    close_after_reply: bool = False
    _serving: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def of(
        cls, *script: bytes | Answer, close_after_reply: bool = False
    ) -> AsyncIterator[Self]:
        """A running server."""
        self = cls(list(script), close_after_reply=close_after_reply)
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    @property
    def settings(self) -> ConsulSettings:
        """What a client needs to come here."""
        return ConsulSettings(address=f"http://127.0.0.1:{self.port}")

    def push(self, octets: bytes) -> None:
        """Send this to every client, without having been asked."""
        for writer in self._writers:
            writer.write(octets)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self._writers.append(writer)
        try:
            while True:
                self.requests.append(await _read_request(reader))
                number = len(self.requests) - 1
                answer = self.script[min(number, len(self.script) - 1)]
                data = answer if isinstance(answer, bytes) else await answer(self.requests[number])
                writer.write(data)
                await writer.drain()
                if self.close_after_reply:
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass  # the client is gone
        except asyncio.CancelledError:
            # The test is over. What the client has not read yet would keep the socket open beyond
            # the loop, and be complained of in whichever test runs when it is collected.
            writer.transport.abort()
        finally:
            self._writers.remove(writer)
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    request_line, *lines = head.split("\r\n")[:-2]
    method, target, _ = request_line.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, target, headers, body)


async def never(_: Request) -> bytes:
    """No answer, ever."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError
