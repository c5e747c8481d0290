"""A Consul of a later version: the real one, with what it lacks put over it.

Replies are of the documented form. What is not put over it goes to the real one, as it is.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

NOT_PASSED_ON = frozenset({"host", "connection", "content-length", "transfer-encoding"})


class LaterConsul(ThreadingHTTPServer):
    """`replies` are by path and the parameters that matter; a status other than 200 goes first."""

    daemon_threads = True

    def __init__(self, real: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.real = real
        self.replies: dict[tuple[str, frozenset[tuple[str, str]]], tuple[int, Any]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        """The address of its HTTP API."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def put(self, path: str, body: object, *, status: int = 200, **query: str) -> None:
        """Answer a path so, if it is asked with these parameters."""
        self.replies[path, frozenset(query.items())] = (status, body)

    def reply_to(self, path: str, query: Mapping[str, str]) -> tuple[int, Any] | None:
        """The reply with most parameters that are all in the query."""
        fitting = [
            (len(wanted), reply)
            for (own, wanted), reply in self.replies.items()
            if own == path and wanted <= set(query.items())
        ]
        return max(fitting, key=lambda each: each[0])[1] if fitting else None

    @classmethod
    @contextmanager
    def over(cls, real: str) -> Iterator["LaterConsul"]:
        """One that is running."""
        with cls(real) as server:
            thread = Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield server
            finally:
                server.shutdown()
                thread.join()


def _headers(status: int, path: str, query: Mapping[str, str]) -> dict[str, str]:
    """What 1.16 says differently, measured: errors, and what agents have from streams."""
    if status >= 400 and not path.startswith("/v1/kv/"):
        return {"x-consul-index": "1", "x-consul-knownleader": "false"}
    if "index" in query and path.startswith(("/v1/health/service/", "/v1/health/connect/")):
        return {"x-consul-knownleader": "false", "x-consul-query-backend": "streaming"}
    return {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LaterConsul

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        self.server.asked.append((url.path, query))
        found = self.server.reply_to(url.path, query)
        if found is not None:
            status, body = found
            content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self._send(status, content, {"X-Consul-Index": "7", "X-Consul-KnownLeader": "true"})
            return
        passed = {k: v for k, v in self.headers.items() if k.lower() not in NOT_PASSED_ON}
        try:
            real = httpx.get(self.server.real + self.path, headers=passed, timeout=60)
        except httpx.TransportError:
            self.close_connection = True  # the test is over
            return
        kept = {k: v for k, v in real.headers.items() if k.lower().startswith("x-consul")}
        self._send(
            real.status_code, real.content, kept | _headers(real.status_code, url.path, query)
        )

    def _send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            self.close_connection = True  # the client is gone

    def log_message(self, *_: object) -> None:
        """Nothing: the test has `asked`."""
