"""`consuldns query --explain`: how a name is resolved, with Consul's current data."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx

from consuldns.cli.options import configuration
from consuldns.config.policy import policy
from consuldns.config.schema import Settings
from consuldns.consul.http.client import Client
from consuldns.consul.watch.one_shot import answer_once
from consuldns.dns.explain.lines import as_text
from consuldns.dns.explain.steps import Explanation, explain
from consuldns.dns.question import Question
from consuldns.errors import ConsuldnsError
from consuldns.names import Labels, fold, format_name

SECONDS = 15.0  # for a server that has to wait for Consul


class NoExplanation(ConsuldnsError):
    """The server that was asked to explain a name did not."""


def lines(name: Labels, type_: int, consul_addr: str | None, file: Path | None) -> Iterator[str]:
    """The explanation as text. Raises ConsulError if the data cannot be read from Consul."""
    settings = configuration(file, {"consul.address": consul_addr}).settings
    explanation = asyncio.run(_explain(Question(fold(name), type_), settings))
    yield f";; HOW IT IS READ, from Consul at {settings.consul.address}"
    yield from as_text(explanation)


def of_server(name: Labels, type_: int, address: str) -> Iterator[str]:
    """The explanation by the server with this admin address. Raises NoExplanation."""
    parameters = {"name": format_name(name), "type": f"TYPE{type_}"}
    try:
        reply = httpx.get(f"http://{address}/explain", params=parameters, timeout=SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NoExplanation(
            f"no server's admin endpoint answers at {address}: {error}; "
            "see admin_addr in its settings, by default 127.0.0.1:9153"
        ) from error
    if not reply.is_success:
        raise NoExplanation(f"the server at {address} cannot explain it: {reply.text.strip()}")
    yield f";; HOW IT IS READ, by the server with the admin address {address}"
    yield from reply.text.splitlines()


async def _explain(question: Question, settings: Settings) -> Explanation:
    client = Client(settings.consul)
    obeyed = policy(settings)
    try:
        return await answer_once(client, lambda views: explain(question, views, obeyed))
    finally:
        await client.aclose()
