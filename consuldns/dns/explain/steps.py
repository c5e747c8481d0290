"""Tells how a name is read: each reading tried, what it found, and why it is the answer or not.

The same readings and the same modules as in the resolver, one after the other, with a note of each.
Nothing of this runs for a query of the network.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from consuldns.dns import resolver, reverse, zones
from consuldns.dns.answer import Needs, Outcome, Record, Target
from consuldns.dns.explain import text
from consuldns.dns.lookup import look_up, readings
from consuldns.dns.policy import Policy, Zone
from consuldns.dns.question import Question, Type
from consuldns.dns.request import Request
from consuldns.names import Labels, address_of, fold, format_name
from consuldns.views.store import MissingView, Reading, Views

MAX_DEPTH = 4  # aliases that are explained one after the other


@dataclass(frozen=True, slots=True)
class Step:
    """One reading of the name. `read` are the views that it took; `is_answer`: it decided."""

    reading: str
    result: str
    read: tuple[str, ...] = ()
    is_answer: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a name is read. `zone` is empty if it is in none of ours.

    `records` are those of the answer section; `followed` explains the name that an alias leads to.
    """

    name: str
    type: str
    zone: str
    outcome: Outcome
    steps: tuple[Step, ...]
    records: tuple[str, ...]
    followed: "Explanation | None" = None


def explain(question: Question, views: Views, policy: Policy) -> Explanation:
    """How the resolver comes to its answer. Raises MissingView for a view that is needed."""
    return _explain(question, views, policy, MAX_DEPTH)


def _explain(question: Question, views: Views, policy: Policy, depth: int) -> Explanation:
    answer = resolver.resolve(question, views, policy)
    if isinstance(answer, Needs):
        raise MissingView(answer.key)
    zone, steps = zones.zone_of(question.name, policy), tuple[Step, ...]()
    address = address_of(question.name)
    if zone is not None:
        steps = tuple(_steps(question, zone, views, policy))
    else:
        folders = Reading(views).reverse_zones()
        zone = zones.reverse_zone_of(question.name, folders, policy)
        if address is not None:
            steps = tuple(_reverse_steps(address.packed, question, views, policy))
    records = [record for each in answer.groups for record in each.records]
    target = _alias_of(question, records) if depth else None
    return Explanation(
        name=format_name(question.name),
        type=text.type_name(question.type),
        zone="" if zone is None else format_name(zone.apex),
        outcome=answer.outcome,
        steps=steps,
        records=tuple(text.record_text(record) for record in records),
        followed=(
            _explain(replace(question, name=fold(target)), views, policy, depth - 1)
            if target is not None and zones.zone_of(fold(target), policy) is not None
            else None
        ),
    )


def _steps(question: Question, zone: Zone, views: Views, policy: Policy) -> Iterator[Step]:
    """The readings of a name in one of our zones."""
    answer = 0
    for number, lookup in enumerate(readings(question.name, zone), 1):
        request = Request(question.name, question.type, zone, Reading(views), policy)
        finding = look_up(lookup, request)
        result = text.result(lookup, finding, request)
        has_found = finding.outcome is not Outcome.NXDOMAIN and not finding.is_empty_non_terminal
        is_answer = has_found and not answer
        if has_found and answer:
            result += f"; not used, since reading {answer} goes first"
        answer = number if is_answer else answer
        yield Step(text.reading(lookup), result, _read(request), is_answer)
    if not answer and question.name in policy.above_zones:
        yield Step("a name above one of our zones", text.EMPTY_NON_TERMINAL)


def _reverse_steps(
    packed: bytes, question: Question, views: Views, policy: Policy
) -> Iterator[Step]:
    """Who may know an address."""
    answer = 0
    for number, source in enumerate(reverse.SOURCES, 1):
        zone = policy.zones[policy.domain]
        request = Request(question.name, Type.PTR, zone, Reading(views), policy)
        targets = source.find(packed, request)
        result = ", ".join(map(format_name, targets)) or source.why_none(packed, request)
        if targets and answer:
            result += f"; not used, since reading {answer} goes first"
        is_answer = bool(targets) and not answer
        answer = number if is_answer else answer
        yield Step(source.name, result, _read(request), is_answer)


def _read(request: Request) -> tuple[str, ...]:
    return tuple(sorted(text.view(key) for key in request.reading.sources))


def _alias_of(question: Question, records: list[Record]) -> Labels | None:
    """The target, if the answer is an alias that the resolver follows."""
    if records and records[0].type == Type.CNAME and question.type != Type.CNAME:
        data = records[0].data
        return data.name if isinstance(data, Target) else None
    return None
