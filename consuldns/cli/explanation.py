"""`consuldns query --explain`: how a name is resolved, with Consul's current data."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap

from consuldns.cli.options import configuration
from consuldns.config.policy import policy
from consuldns.config.schema import Settings
from consuldns.consul.http.client import Client
from consuldns.consul.watch.one_shot import answer_once
from consuldns.dns.answer import Outcome
from consuldns.dns.explain.steps import Explanation, Step, explain
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


def as_text(explanation: Explanation) -> Iterator[str]:
    """The lines that show an explanation."""
    zone = f"in zone {explanation.zone}" if explanation.zone else "in none of our zones"
    yield f"; {explanation.name} {explanation.type}, {zone}"
    for number, step in enumerate(explanation.steps, 1):
        yield from _step_lines(number, step)
    if not explanation.steps and explanation.zone:
        yield ";   no interpretation: none of our names has this form"
    if explanation.zones and explanation.outcome is Outcome.REFUSED:
        listed = f"our zones: {', '.join(explanation.zones)}"
        yield from wrap(
            listed,
            100,
            initial_indent=";   ",
            subsequent_indent=";     ",
            break_on_hyphens=False,
            break_long_words=False,
        )
    yield f"; => {explanation.outcome.value}"
    yield from (f";    {record}" for record in explanation.records)
    if explanation.followed is not None:
        yield ";; THE ALIAS LEADS TO"
        yield from as_text(explanation.followed)


def _step_lines(number: int, step: Step) -> Iterator[str]:
    yield f"; {'*' if step.is_answer else ' '} {number}. {step.interpretation}"
    yield f";      {step.result}"
    if step.read:
        yield f";      read: {', '.join(step.read)}"
