"""An explanation as lines of text."""

from collections.abc import Iterator
from textwrap import wrap

from consuldns.dns.answer import Outcome
from consuldns.dns.explain.steps import Explanation, Step


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
