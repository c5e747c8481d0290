"""`consuldns query --explain`: how a name is resolved, with Consul's current data."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from consuldns.cli.options import configuration
from consuldns.config.policy import policy
from consuldns.config.schema import Settings
from consuldns.consul.http.client import Client
from consuldns.consul.watch.one_shot import answer_once
from consuldns.dns.explain.lines import as_text
from consuldns.dns.explain.steps import Explanation, explain
from consuldns.dns.question import Question
from consuldns.names import Labels, fold


def lines(name: Labels, type_: int, consul_addr: str | None, file: Path | None) -> Iterator[str]:
    """The explanation as text. Raises ConsulError if the data cannot be read from Consul."""
    settings = configuration(file, {"consul.address": consul_addr}).settings
    explanation = asyncio.run(_explain(Question(fold(name), type_), settings))
    yield f";; HOW IT IS READ, from Consul at {settings.consul.address}"
    yield from as_text(explanation)


async def _explain(question: Question, settings: Settings) -> Explanation:
    client = Client(settings.consul)
    obeyed = policy(settings)
    try:
        return await answer_once(client, lambda views: explain(question, views, obeyed))
    finally:
        await client.aclose()
