"""A Kubernetes API server for tests: lists, watches, and misbehaves as it is told.

It keeps objects and their history, as the real one does; `next` puts a behaviour before its usual
one. It speaks just enough HTTP/1.1, on a raw socket, so that a response can be cut anywhere.
"""

import asyncio
import bisect
import contextlib
import copy
import json
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

GROUPS = {
    "/api/v1/services": ("services", "v1", "Service"),
    "/api/v1/nodes": ("nodes", "v1", "Node"),
    "/api/v1/namespaces": ("namespaces", "v1", "Namespace"),
    "/api/v1/pods": ("pods", "v1", "Pod"),
    "/apis/discovery.k8s.io/v1/endpointslices": (
        "endpointslices",
        "discovery.k8s.io/v1",
        "EndpointSlice",
    ),
    "/apis/networking.k8s.io/v1/ingresses": ("ingresses", "networking.k8s.io/v1", "Ingress"),
}

Object = dict[str, Any]
Grant = tuple[str, str]
"""A resource, and the namespace in which it may be read, or `*`: a Role's, or a ClusterRole's."""

_IN_NAMESPACE = re.compile(r"(/api/v1|/apis/[^/]+/v1)/namespaces/([^/]+)/([^/]+)")


@dataclass
class Request:
    """A request, and the connection to answer it on."""

    path: str
    parameters: dict[str, str]
    headers: dict[str, str]
    writer: asyncio.StreamWriter

    @property
    def resource(self) -> str:
        """`services`, `endpointslices`, ...; empty for anything else."""
        return GROUPS.get(self.collection, ("", "", ""))[0]

    @property
    def collection(self) -> str:
        """The path of the collection over all namespaces."""
        return _IN_NAMESPACE.sub(r"\1/\3", self.path)

    @property
    def namespace(self) -> str:
        """The namespace that is asked for, empty for all of them."""
        found = _IN_NAMESPACE.fullmatch(self.path)
        return found[2] if found else ""

    @property
    def is_watch(self) -> bool:
        """Whether it is a watch."""
        return "watch" in self.parameters

    @property
    def version(self) -> str:
        """The resource version asked for."""
        return self.parameters.get("resourceVersion", "")

    async def status(self, code: int, reason: str = "", message: str = "", **headers: str) -> None:
        """Answer with a Status object."""
        body = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }
        await self.reply(json.dumps(body).encode(), code, **headers)

    async def reply(self, body: bytes, code: int = 200, **headers: str) -> None:
        """Answer with a body."""
        lines = [f"HTTP/1.1 {code} X", "Content-Type: application/json"]
        lines += [f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await self.writer.drain()

    async def begin_stream(self) -> None:
        """Begin a chunked answer."""
        self.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await self.writer.drain()

    async def chunk(self, data: bytes) -> None:
        """One chunk of it."""
        self.writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await self.writer.drain()

    async def event(self, type_: str, object_: Object) -> None:
        """One event of a watch, as one chunk."""
        await self.chunk(line(type_, object_))

    async def end_stream(self) -> None:
        """End it as the server does at its timeout."""
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    def abort(self) -> None:
        """Cut the connection."""
        self.writer.transport.abort()


Behaviour = Callable[[Request], Awaitable[None]]


def line(type_: str, object_: Object) -> bytes:
    """A line of a watch. Not escaped beyond need: a real server sends U+0085 as it is."""
    return json.dumps({"type": type_, "object": object_}, ensure_ascii=False).encode() + b"\n"


def gone(version: str = "1") -> Object:
    """The Status of an ERROR event when the history is lost, as recorded."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": f"too old resource version: {version} (513)",
        "reason": "Expired",
        "code": 410,
    }


@dataclass
class _Rule:
    behaviour: Behaviour
    resource: str
    watch: bool | None
    times: int


@dataclass
class ApiServer:
    """The server. Use as an asynchronous context manager; `stop` and `start` make an outage."""

    port: int = 0
    token: str = ""  # if set, requests without it get 401
    grants: set[Grant] | None = None  # None: everything may be read
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.objects: dict[str, dict[tuple[str, str], Object]] = {
            resource: {} for resource, _, _ in GROUPS.values()
        }
        self.version = 100
        self._history: list[tuple[int, str, str, Object]] = []
        self._compacted = 0
        self.rules: list[_Rule] = []
        self._news = asyncio.Condition()
        self._listening: tuple[socket.socket, asyncio.Task[None]] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.StreamWriter] = set()
        for name in ("default", "kube-system"):
            self.put("namespaces", namespace(name))

    # --- what tests say ---

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"

    def next(
        self,
        behaviour: Behaviour,
        *,
        resource: str = "services",
        watch: bool | None = None,
        times: int = 1,
    ) -> None:
        """Answer the next requests for a resource in this way."""
        self.rules.append(_Rule(behaviour, resource, watch, times))

    def put(self, resource: str, object_: Object) -> Object:
        """Create or replace an object."""
        new = copy.deepcopy(object_)
        metadata = new["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        type_ = "MODIFIED" if key in self.objects[resource] else "ADDED"
        self.version += 1
        metadata["resourceVersion"] = str(self.version)
        self.objects[resource][key] = new
        self._record(resource, type_, new)
        return new

    def delete(self, resource: str, name: str, namespace: str = "default") -> None:
        """Delete an object."""
        key = ("" if resource in ("nodes", "namespaces") else namespace, name)
        old = copy.deepcopy(self.objects[resource].pop(key))
        self.version += 1
        old["metadata"]["resourceVersion"] = str(self.version)
        self._record(resource, "DELETED", old)

    def _record(self, resource: str, type_: str, object_: Object) -> None:
        self._history.append((self.version, resource, type_, object_))
        self._tell()

    def compact(self) -> None:
        """Forget the history, as etcd does every five minutes."""
        self._compacted = self.version
        self._history.clear()

    def _tell(self) -> None:
        async def tell() -> None:
            async with self._news:
                self._news.notify_all()

        with contextlib.suppress(RuntimeError):  # no loop yet: nobody watches either
            task = asyncio.get_running_loop().create_task(tell())
            self._keep(task)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drop_connections(self) -> None:
        """Cut every connection, those too whose task has not begun."""
        tasks, writers = tuple(self._tasks), tuple(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        for writer in writers:
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        self._open.difference_update(writers)

    # --- life ---

    async def start(self) -> None:
        """Listen (again, on the same port)."""
        listener = socket.create_server(("127.0.0.1", self.port), backlog=100)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._listening = listener, asyncio.create_task(self._accept(listener))

    async def stop(self) -> None:
        """Stop listening, cut every connection, and wait until all of them are closed."""
        if self._listening is not None:
            (listener, accepting), self._listening = self._listening, None
            listener.shutdown(socket.SHUT_RDWR)  # ends accepting; a cancelled one loses connections
            await accepting
            listener.close()
        await self.drop_connections()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # --- serving ---

    async def _accept(self, listener: socket.socket) -> None:
        # Not asyncio's server: connections that it is about to accept when it is closed are
        # known to nobody, and stay open.
        while True:
            try:
                connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            except OSError:
                return  # it was shut down
            reader, writer = await asyncio.open_connection(sock=connection, limit=1 << 22)
            self._open.add(writer)
            self._keep(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        target = urlsplit(first.split(" ")[1])
        headers = {
            name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)
        }
        parameters = {name: values[0] for name, values in parse_qs(target.query).items()}
        request = Request(target.path, parameters, headers, writer)
        self.requests.append(request)
        await self._answer(request)
        return not writer.is_closing()

    async def _answer(self, request: Request) -> None:
        for rule in self.rules:
            if rule.resource == request.resource and rule.watch in (None, request.is_watch):
                rule.times -= 1
                if rule.times == 0:
                    self.rules.remove(rule)
                await rule.behaviour(request)
                return
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            await request.status(401, "Unauthorized", "Unauthorized")
        elif request.path == "/version":
            await request.reply(json.dumps({"gitVersion": "v1.36.2"}).encode())
        elif request.path.startswith("/api/v1/namespaces/") and not request.namespace:
            await self._get_namespace(request)
        elif request.resource and not self._may(request.resource, request.namespace):
            await self._forbid(request, request.resource, request.namespace)
        elif not request.resource:
            await request.status(404, "NotFound", "the server could not find the resource")
        elif request.is_watch:
            await self.watch(request)
        else:
            await self.list(request)

    async def _get_namespace(self, request: Request) -> None:
        name = request.path.rpartition("/")[2]
        if not self._may("namespaces", name):
            await self._forbid(request, "namespaces", name)
            return
        found = self.objects["namespaces"].get(("", name))
        if found is None:
            await request.status(404, "NotFound", f'namespaces "{name}" not found')
        else:
            await request.reply(json.dumps(found).encode())

    def _may(self, resource: str, namespace: str) -> bool:
        """Whether the rights allow it: in a namespace, those for all namespaces count, too."""
        return self.grants is None or not self.grants.isdisjoint(
            {(resource, "*"), (resource, namespace)}
        )

    async def _forbid(self, request: Request, resource: str, namespace: str) -> None:
        where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
        verb = "watch" if request.is_watch else "list"
        said = f'{resource} is forbidden: User "worker" cannot {verb} resource "{resource}" {where}'
        await request.status(403, "Forbidden", said)

    async def list(self, request: Request) -> None:
        """A page of a list."""
        _, version, kind = GROUPS[request.collection]
        everything = sorted(
            (key, each)
            for key, each in self.objects[request.resource].items()
            if request.namespace in ("", key[0])
        )
        selector = request.parameters.get("labelSelector", "")
        chosen = [each for _, each in everything if is_selected(each, selector)]
        start = int(request.parameters.get("continue", "0"))
        limit = int(request.parameters.get("limit", "0")) or len(chosen)
        metadata = {"resourceVersion": str(self.version)}
        if start + limit < len(chosen):
            metadata["continue"] = str(start + limit)
        body = {
            "kind": f"{kind}List",
            "apiVersion": version,
            "metadata": metadata,
            "items": chosen[start : start + limit],
        }
        await request.reply(json.dumps(body, ensure_ascii=False).encode())

    async def watch(self, request: Request) -> None:
        """A watch, until its time is over."""
        await request.begin_stream()
        last = int(request.version)
        if last < self._compacted:
            await request.event("ERROR", gone(request.version))
            await request.end_stream()
            return
        selector = request.parameters.get("labelSelector", "")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(float(request.parameters.get("timeoutSeconds", "300"))):
                while True:
                    position = bisect.bisect_right(self._history, last, key=lambda each: each[0])
                    for version, resource, type_, object_ in self._history[position:]:
                        last = version
                        of = object_["metadata"].get("namespace", "")
                        if resource == request.resource and request.namespace in ("", of):
                            # An object that fits no more is gone, for whoever watches by labels.
                            fits = is_selected(object_, selector)
                            await request.event(type_ if fits else "DELETED", object_)
                    async with self._news:
                        while not self._history or self._history[-1][0] <= last:
                            await self._news.wait()
        await request.end_stream()


def is_selected(object_: Object, selector: str) -> bool:
    """Whether the labels fit a selector of the form `a=b,c=d`."""
    labels = object_["metadata"].get("labels") or {}
    wanted = [part.split("=") for part in selector.split(",") if part]
    return all(labels.get(name) == value for name, value in wanted)


def namespace(name: str) -> Object:
    """A namespace; its UID is made from its name."""
    return {"metadata": {"name": name, "uid": f"uid-of-{name}"}}
