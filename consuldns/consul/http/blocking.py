"""Blocking queries: ask, wait until Consul's data change, ask again.

The rules are those of Consul's documentation. The index is taken from successful replies only; one
that is 0 or goes backwards (a restored snapshot, another server) starts the query again at 0.
Consul holds a query with an index from the future for the whole wait time, so that time is short.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace

from consuldns.backoff import Backoff
from consuldns.consul.http.client import DEADLINE_SECONDS as READ_SECONDS
from consuldns.consul.http.client import Client, Reply
from consuldns.errors import BadResponse, NotFound

# If a proxy swallows a reply and keeps the connection open, changes are missed until the deadline.
# An idle server makes some 4 requests a second at most: one for each list and followed service.
WAIT_SECONDS = 10.0
# Consul adds up to a sixteenth of the wait time; the rest is for the network and a busy server.
DEADLINE_SECONDS = WAIT_SECONDS * 17 / 16 + 8.0
MIN_SPACING_SECONDS = 0.05  # takes a burst of changes as one
MAX_SPACING_SECONDS = 2.0
OCTETS_PER_SECOND = 8e6  # of one list, so that a large one that changes all the time costs little


@dataclass(frozen=True, slots=True)
class Request:
    """A read. `may_be_missing`: 404 is how Consul says "nothing". `blocks`: it can be followed."""

    path: tuple[str, ...]
    query: Mapping[str, str] = field(default_factory=dict)
    may_be_missing: bool = False
    blocks: bool = True


def backoff() -> Backoff:
    """Pauses after queries that failed: they begin short, since mostly another server answers."""
    return Backoff(0.1, 5.0, jitter=0.9)


async def read(client: Client, request: Request, mode: str) -> Reply:
    """Read once, without blocking. `mode`: "consistent", "stale", or "" for the leader's word."""
    return await _get(client, request, {mode: ""} if mode else {}, READ_SECONDS)


async def follow(
    client: Client,
    request: Request,
    *,
    spacing: float = MIN_SPACING_SECONDS,
    wait: float = WAIT_SECONDS,
    deadline: float = DEADLINE_SECONDS,
    read_deadline: float = READ_SECONDS,
) -> AsyncGenerator[Reply, None]:
    """A reply at first, and another whenever Consul's answer has changed. Times in seconds.

    `deadline` is for queries that wait for a change, `read_deadline` for those answered at once.

    Mostly its index has moved then. Not if rights were given or taken: only the body shows that.

    The first, and the first after an index that went backwards, is read `?consistent`: a server
    that was just restarted answers `?stale` with 200 and nothing. Ends with a ConsulError.
    """
    index = body = 0
    idle_returns = 0
    is_too_old = False
    while True:
        query = {"consistent": ""}
        if index:
            mode = {"stale": ""} if client.staleness.allowed and not is_too_old else {}
            query = {**mode, "index": str(index), "wait": f"{wait:g}s"}
        started = asyncio.get_running_loop().time()
        reply = await _get(client, request, query, deadline if index else read_deadline)
        is_too_old = reply.last_contact > client.staleness.most
        waited = asyncio.get_running_loop().time() - started
        if 0 < reply.index < index:
            index = 0
        elif reply.index != index or index == 0:
            index, body = reply.index, hash(reply.body)
            idle_returns = 0 if reply.index else idle_returns + 1
            yield reply
        else:
            # Woken without a change, or by a server that does not block, unless time was up.
            idle_returns = idle_returns + 1 if waited < wait / 2 else 0
            if body != hash(reply.body):
                body = hash(reply.body)
                yield replace(reply, has_moved=False)
        await asyncio.sleep(_spacing(spacing, len(reply.body), idle_returns))


async def _get(
    client: Client, request: Request, query: Mapping[str, str], deadline: float
) -> Reply:
    """A reply. 404 from the KV store says that there is nothing; from any other part, nothing."""
    path = "/".join(request.path)
    try:
        reply = await client.get(*request.path, query={**request.query, **query}, deadline=deadline)
    except NotFound as missing:
        if not request.may_be_missing:
            raise BadResponse(f"404 for /{path}, which every Consul has") from missing
        return Reply(missing.index, b"", is_missing=True)
    if not reply.body.strip():
        raise BadResponse(f"200 with no content for /{path}")
    return reply


def _spacing(least: float, size: int, idle_returns: int) -> float:
    busy = max(least, size / OCTETS_PER_SECOND) * 2.0 ** min(idle_returns, 10)
    return min(busy, MAX_SPACING_SECONDS)
