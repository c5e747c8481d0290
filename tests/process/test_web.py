"""Whatever clients do to an HTTP server of ours: the next one is served, the log stays short."""

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from consuldns.sockets import HostPort, listen_tcp
from consuldns.web import serving

HOST = "127.0.0.1"
FOREVER = asyncio.Event()


async def _hello(_request: Request) -> Response:
    return PlainTextResponse("hello")


async def _body(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def _fails(_request: Request) -> Response:
    raise RuntimeError("a bug")


async def _large(_request: Request) -> Response:
    return PlainTextResponse("x" * 10_000_000)


async def _forever(request: Request) -> Response:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return PlainTextResponse("")


def application() -> Starlette:
    return Starlette(
        routes=[
            Route("/hello", _hello),
            Route("/body", _body, methods=["PUT"]),
            Route("/fails", _fails),
            Route("/large", _large),
            Route("/forever", _forever),
        ]
    )


@contextlib.asynccontextmanager
async def server(connections: int = serving.CONNECTIONS, host: str = HOST) -> AsyncIterator[int]:
    """The port of a server that runs."""
    listener = listen_tcp(HostPort(host, 0), what="the test", option="--none")
    async with serving.serving(application(), listener, connections=connections):
        yield listener.getsockname()[1]


async def exchange(port: int, octets: bytes) -> bytes:
    """All that comes back until the server closes the connection."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(octets)
    try:
        return await reader.read()
    finally:
        writer.close()


async def status(port: int, host: str) -> int:
    request = f"GET /hello HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    return int((await exchange(port, request.encode("latin-1"))).split()[1])


@contextlib.contextmanager
def silent(port: int, count: int, say: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connections that send this and nothing more. No read, as the server may close them."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex((HOST, port))
            clients.append(client)
        if say:
            for client in clients:
                with contextlib.suppress(OSError):
                    client.send(say)
        yield clients


@pytest.mark.parametrize("say", [b"", b"GET /hel", b"PUT /body HTTP/1.1\r\nHost: x\r\nContent-Le"])
async def test_silent_connections_give_way(say: bytes) -> None:
    async with server(connections=20) as port:
        with silent(port, 200, say):
            assert await status(port, HOST) == 200
            with silent(port, 200, say):
                assert await status(port, HOST) == 200


async def test_connections_that_wait_for_their_reply_do_not_give_way() -> None:
    poll = f"GET /forever HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    async with server(connections=2) as port:
        before = len(asyncio.all_tasks())
        polls = [asyncio.create_task(exchange(port, poll)) for _ in range(2)]
        while len(asyncio.all_tasks()) < before + 4:  # the server's task of each poll, too
            await asyncio.sleep(0)
        with silent(port, 1) as (third,):
            assert await asyncio.get_running_loop().sock_recv(third, 1) == b""
        assert not any(each.done() for each in polls)
        for each in polls:
            each.cancel()


@pytest.mark.parametrize(
    "say",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /hello HTTP/1.1\r\n", id="half a head"),
        pytest.param(
            b"PUT /body HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nx", id="half a body"
        ),
        pytest.param(b"GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", id="reads no reply"),
    ],
)
async def test_who_does_not_go_on_is_disconnected(
    say: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUEST_SECONDS", "STALL_SECONDS", "SWEEP_SECONDS"):
        monkeypatch.setattr(serving, name, 0.02)
    async with server() as port:
        with silent(port, 1, say) as (client,):
            # The server closes: without, this waits until the test's time is up.
            if b"large" not in say:
                assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
            else:
                while len(asyncio.all_tasks()) > 3:  # the reply's task ends with its connection
                    await asyncio.sleep(0)
        assert await status(port, HOST) == 200


async def test_one_that_sends_an_octet_now_and_then_is_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "REQUEST_SECONDS", 0.1)
    monkeypatch.setattr(serving, "SWEEP_SECONDS", 0.02)
    async with server() as port:
        _, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"GET /")
        while not writer.is_closing():  # the transport sees that the server has closed
            writer.write(b"x")
            await asyncio.sleep(0)


async def test_without_file_descriptors_it_waits_in_silence_and_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "RESOURCE_PAUSE_SECONDS", 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with server() as port:
        with silent(port, 50):
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
                while not caplog.records:
                    await asyncio.sleep(0)
                for _ in range(100):  # attempts to accept
                    await asyncio.sleep(0)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert await status(port, HOST) == 200
    assert [record.message for record in caplog.records] == [
        "HTTP: cannot accept connections: Too many open files"
    ]


async def test_few_file_descriptors_are_not_all_taken() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (80, hard))
        assert serving._affordable(500) == 20
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_an_error_is_logged_once_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with server() as port, httpx.AsyncClient(base_url=f"http://{HOST}:{port}") as client:
        for _ in range(5):
            reply = await client.get("/fails")
            assert (reply.status_code, reply.text) == (500, "Internal Server Error")
        assert (await client.get("/hello")).text == "hello"
    assert len(caplog.records) == 1
    assert "a bug" in caplog.text


@pytest.mark.parametrize(
    "octets",
    [
        b"\0\1\2\3\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 100_000,
        b"GET /hello HTTP/1.1\r\nHost: [\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    ],
)
async def test_what_is_no_request_is_a_400_and_no_line(
    octets: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with server() as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(octets)
        assert (await reader.readline()).split()[1] == b"400"
        writer.close()
    assert caplog.records == []


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8500", 200),
        ("192.0.2.1", 200),
        ("[::1]:8500", 200),
        ("localhost", 200),
        ("LOCALHOST.:8500", 200),
        ("attacker.example", 403),
        ("attacker.example:8500", 403),
        ("localhost.attacker.example", 403),
        ("127.0.0.1.attacker.example", 403),
        ("127.0.0.1@attacker.example", 400),
        ("127.1", 403),
        ("", 400),
    ],
)
async def test_a_name_of_somebody_else_is_not_served_on_loopback(host: str, wanted: int) -> None:
    async with server() as port:
        assert await status(port, host) == wanted


async def test_any_name_is_served_elsewhere() -> None:
    async with server(host="0.0.0.0") as port:
        assert await status(port, "consul.example:8500") == 200
        assert await status(port, "a/b") == 400


async def test_every_reply_has_a_date_and_connections_are_kept() -> None:
    async with server() as port, httpx.AsyncClient(base_url=f"http://{HOST}:{port}") as client:
        for _ in range(3):
            assert "date" in (await client.get("/hello")).headers
        assert (await client.put("/body", content=b"x" * 200_000)).text == "200000"


async def test_requests_one_after_another_without_waiting() -> None:
    request = f"GET /hello HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
    last = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    async with server() as port:
        replies = await exchange(port, (request * 9 + last).encode())
    assert replies.count(b"HTTP/1.1 200 OK") == 10


def test_the_log_of_uvicorn_is_ours() -> None:
    assert logging.getLogger("uvicorn.error").level in (logging.NOTSET, logging.CRITICAL)
