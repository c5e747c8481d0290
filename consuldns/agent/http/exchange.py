"""One request and its reply: parameters, bodies, blocking, headers, as Consul does them."""

import asyncio
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from consuldns.agent.http.fields import Fields
from consuldns.agent.http.filter import BadFilter, Select, compile_filter
from consuldns.agent.records import Refused
from consuldns.agent.state import State
from consuldns.agent.watching import DEFAULT_WAIT, MAX_WAIT, Watching
from consuldns.durations import parse_duration

B = TypeVar("B")

Headers = dict[str, str]

MAX_BODY = 524_288  # octets of a request; a KV value and a transaction have the same limit
MAX_DEPTH = 64  # of nested JSON; what is written by people has a dozen
_NESTING = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_STEP = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}
_MAX_DIGITS = 20  # of a number of 64 bits

# Paths whose replies say how consistent they are.
_WITH_CONSISTENCY = (
    "/v1/catalog/",
    "/v1/health/",
    "/v1/query",
)


class Exchange:
    """What every endpoint needs: the state, and how to answer."""

    def __init__(self, state: State, watching: Watching) -> None:
        self.state = state
        self._watching = watching

    async def read(
        self,
        request: Request,
        index: Callable[[], int],
        body: Callable[[], object],
        *,
        none_is_404: bool = False,
    ) -> Response:
        """Answer a read, after waiting if it is a blocking query. Bodies are what `body` gives."""
        headers = await self.wait(request, index)
        content = body()
        if content is None and none_is_404:
            return Response(status_code=404, headers=headers)
        return reply(request, content, headers=headers)

    async def read_filtered(
        self,
        request: Request,
        index: Callable[[], int],
        fields: Fields,
        body: Callable[[Select], object],
    ) -> Response:
        """Answer a read of entries with these fields; `body` gets what `?filter=` selects."""
        self._asked(request)  # what is wrong with it as a read comes first
        try:
            select = selection(request, fields)
        except Refused as refused:
            raise ReadRefused(refused.text) from None
        return await self.read(request, index, lambda: body(select))

    async def wait(self, request: Request, index: Callable[[], int]) -> Headers:
        """Wait as a blocking query asks for; the headers of the reply. Raises Refused."""
        minimum, seconds, consistency = self._asked(request)
        if minimum:
            await self._wait_unless_gone(request, minimum, index, seconds)
        headers = index_headers(index(), known_leader=True)
        if request.url.path.startswith(_WITH_CONSISTENCY):
            headers["X-Consul-Effective-Consistency"] = consistency
        return headers

    def _asked(self, request: Request) -> tuple[int, float, str]:
        """The index to wait beyond (0: do not wait), for how many seconds, the consistency."""
        minimum, seconds = _blocking(request)
        consistency = _consistency(request)
        try:
            self.check_datacenter(request)
        except Refused as refused:
            raise ReadRefused(refused.text) from None
        return minimum, seconds, consistency

    def check_datacenter(self, request: Request) -> None:
        """Raises Refused for a datacenter that is not this one."""
        self.require_datacenter(request.query_params.get("dc", ""))

    def require_datacenter(self, datacenter: str) -> None:
        """Raises Refused for a datacenter that is not this one."""
        if datacenter not in ("", self.state.datacenter):
            raise Refused("No path to datacenter")

    async def _wait_unless_gone(
        self, request: Request, minimum: int, index: Callable[[], int], seconds: float
    ) -> None:
        """Wait, but no longer than the client: its connection may close in the meantime."""
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(self._watching.wait_beyond(minimum, index, seconds))
            leaving = group.create_task(_disconnected(request))
            await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            leaving.cancel()


class ReadRefused(Refused):
    """A read that failed behind the agent.

    The index in its reply says nothing; Consul gives 1 and "no leader" with it.
    """


def index_headers(index: int, *, known_leader: bool) -> Headers:
    """The headers of a read."""
    return {
        "X-Consul-Index": str(index),
        "X-Consul-KnownLeader": "true" if known_leader else "false",
        "X-Consul-LastContact": "0",
    }


def reply(
    request: Request, content: object, *, status: int = 200, headers: Headers | None = None
) -> Response:
    """JSON, compact unless the request has `?pretty`."""
    body = msgspec.json.encode(content)
    if "pretty" in request.query_params:
        body = msgspec.json.format(body, indent=4) + b"\n"
    return Response(body, status, headers, media_type="application/json")


def selection(request: Request, fields: Fields) -> Select:
    """What `?filter=` selects among entries with these fields. Raises Refused."""
    try:
        return compile_filter(request.query_params.get("filter", ""), fields)
    except BadFilter as error:
        raise Refused(str(error)) from None


def named(request: Request, what: str) -> str:
    """The folded name in the path. Raises Refused if it is empty."""
    name = str(request.path_params["name"])
    if not name:
        raise Refused(f"Missing {what}", 400)
    return name.lower()


async def decode(request: Request, type_: type[B], failed: str = "Request decode failed") -> B:
    """The body of a request as JSON of this type. Raises Refused (400, 413)."""
    body = await limited_body(request, MAX_BODY)
    return read_json(body, msgspec.json.Decoder(type_), failed)


def read_json(body: bytes, decoder: msgspec.json.Decoder[B], failed: str) -> B:
    """A body as JSON. Raises Refused (400).

    What could not be written again (a number or a text that JSON has not got) is refused, too: once
    in the state, it would break every reply that it is in.
    """
    try:
        if _depth(body) > MAX_DEPTH:
            raise Refused(f"{failed}: nested deeper than {MAX_DEPTH} levels", 400)
        value = decoder.decode(body)
        msgspec.json.encode(value)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise Refused(f"{failed}: {error}", 400) from None
    return value


def _depth(body: bytes) -> int:
    """How deeply JSON is nested, as far as it matters here."""
    depth = deepest = 0
    for token in _NESTING.finditer(body):
        depth += _STEP.get(token[0], 0)
        deepest = max(deepest, depth)
        if deepest > MAX_DEPTH:
            break
    return deepest


async def limited_body(request: Request, limit: int, setting: str = "") -> bytes:
    """The body of a request, raises Refused (413) if it is longer than `limit` octets.

    `setting` is the setting of Consul that limits it, which its message names.
    """
    body = bytearray()
    length = int(request.headers.get("content-length", "0"))
    if length <= limit:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                break
    octets = max(length, len(body))
    if octets > limit:
        text = f"Request body({octets} bytes) too large, max size: {limit} bytes."
        if setting:
            text += f" See https://www.consul.io/docs/agent/options.html#{setting}."
        raise Refused(text, 413)
    return bytes(body)


def unsigned(text: str) -> int:
    """A number of 64 bits without sign. Raises Refused in the words of Consul."""
    problem = "invalid syntax"
    if text.isascii() and text.isdigit():
        if len(text.lstrip("0")) <= _MAX_DIGITS and int(text) < 1 << 64:
            return int(text)
        problem = "value out of range"
    raise Refused(f'strconv.ParseUint: parsing "{text}": {problem}')


def _blocking(request: Request) -> tuple[int, float]:
    """The index to wait beyond (0: do not wait) and for how many seconds."""
    wait, index = request.query_params.get("wait", ""), request.query_params.get("index", "")
    try:
        seconds = parse_duration(wait) if wait else DEFAULT_WAIT
    except ValueError:
        raise Refused("Invalid wait time", 400) from None
    try:
        minimum = unsigned(index) if index else 0
    except Refused:
        raise Refused("Invalid index", 400) from None
    return minimum, min(seconds, MAX_WAIT) if seconds > 0 else DEFAULT_WAIT


def _consistency(request: Request) -> str:
    stale, consistent = "stale" in request.query_params, "consistent" in request.query_params
    if stale and consistent:
        text = "Cannot specify ?stale with ?consistent, conflicting semantics."
        raise Refused(text, 400)
    return "stale" if stale else "consistent" if consistent else "leader"


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
