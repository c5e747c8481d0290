"""Tells how a name is interpreted: each way that was tried, what it found, and which is the answer.

The same interpretations and finders as in the resolver, one after the other, with a note of each.
Nothing of this runs for a query of the network.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from consuldns import names
from consuldns.dns import resolver, zones
from consuldns.dns.answer import Outcome, Record, Target
from consuldns.dns.explain import text
from consuldns.dns.finder import Request
from consuldns.dns.forwarded import Needs
from consuldns.dns.policy import Policy, Zone
from consuldns.dns.question import Question, Type
from consuldns.dns.resolver import interpretations, look_up
from consuldns.names import Labels, fold, format_name
from consuldns.views.keys import Key
from consuldns.views.store import MissingView, ViewReader, Views

MAX_DEPTH = 4  # aliases that are explained one after the other


@dataclass(frozen=True, slots=True)
class Step:
    """One interpretation of the name. `read` are the views it took; `is_answer`: it decided."""

    interpretation: str
    result: str
    read: tuple[str, ...] = ()
    is_answer: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a name is interpreted. `zone` is empty if it is in none of ours: then `zones` lists them.

    `records` are those of the answer section; `followed` explains the name that an alias leads to.
    """

    name: str
    type: str
    zone: str
    outcome: Outcome
    steps: tuple[Step, ...]
    records: tuple[str, ...]
    followed: "Explanation | None" = None
    zones: tuple[str, ...] = ()


def explain(question: Question, views: Views, policy: Policy) -> Explanation:
    """How the resolver comes to its answer. Raises MissingView for a view that is needed."""
    return _explain(question, views, policy, MAX_DEPTH)


def _explain(question: Question, views: Views, policy: Policy, depth: int) -> Explanation:
    answer = resolver.resolve(question, views, policy)
    if isinstance(answer, Needs):
        assert isinstance(answer.key, Key), "upstream servers are not asked"
        raise MissingView(answer.key)
    zone = zones.zone_of(question.name, ViewReader(views), policy)
    steps = () if zone is None else tuple(_steps(question, zone, views, policy))
    is_ours = zone is not None and not zone.is_found_by_address
    records = [record for group in answer.groups for record in group.records]
    target = _alias_of(question, records) if depth else None
    return Explanation(
        name=format_name(question.name),
        type=text.type_name(question.type),
        zone=format_name(zone.apex) if zone is not None and is_ours else "",
        outcome=answer.outcome,
        steps=steps,
        records=tuple(text.record_text(record) for record in records),
        followed=(
            _explain(replace(question, name=fold(target)), views, policy, depth - 1)
            if target is not None
            and zones.zone_of(fold(target), ViewReader(views), policy) is not None
            else None
        ),
        zones=() if is_ours else _zones(question.name, views, policy),
    )


def _zones(name: Labels, views: Views, policy: Policy) -> tuple[str, ...]:
    """Our zones; for a reverse name the reverse ones, those of the KV tree included."""
    if not names.is_reverse(name):
        of_kv_tree = ViewReader(views).zones().apexes
        return tuple(dict.fromkeys(map(format_name, (*policy.zones, *of_kv_tree))))
    of_kv_tree = ViewReader(views).reverse_zones().apexes
    return tuple(dict.fromkeys(map(format_name, (*policy.reverse_zones, *of_kv_tree))))


def _steps(question: Question, zone: Zone, views: Views, policy: Policy) -> Iterator[Step]:
    """What each interpretation of a name in one of our zones finds."""
    answer = 0
    for number, meaning in enumerate(interpretations(question.name, zone), 1):
        request = Request(question.name, question.type, zone, ViewReader(views), policy)
        finding = look_up(meaning, request)
        result = text.result(finding, question.type)
        has_found = finding.outcome is not Outcome.NXDOMAIN and not finding.is_empty_non_terminal
        is_answer = has_found and not answer
        if has_found and answer:
            result += f"; not used, since interpretation {answer} goes first"
        answer = number if is_answer else answer
        yield Step(text.interpretation(meaning), result, _read(request), is_answer)
    above = Request(question.name, question.type, zone, ViewReader(views), policy)
    if not answer and zones.is_above_zone(above):
        yield Step("a name above one of our zones", text.EMPTY_NON_TERMINAL, _read(above))


def _read(request: Request) -> tuple[str, ...]:
    return tuple(sorted(text.view(key) for key in request.views.dependencies))


def _alias_of(question: Question, records: list[Record]) -> Labels | None:
    """The target, if the answer is an alias that the resolver follows."""
    if records and records[0].type == Type.CNAME and question.type != Type.CNAME:
        data = records[0].data
        return data.name if isinstance(data, Target) else None
    return None
