"""What came out, as text: figures, and for each failure all that is needed to see it again."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from consuldns.names import IPAddress, Labels, address_of, format_name, parse_address
from tests.differential.catalog import Catalog, Instance
from tests.differential.comparison import Verdict
from tests.differential.existence import octets
from tests.differential.questions import TYPES, Question, Transport
from tests.differential.run import Outcome
from tests.differential.world import split_name

DIG_OPTIONS = {
    Transport.UDP: "+noedns +ignore",
    Transport.UDP_EDNS: "+bufsize=1232 +ignore",
    Transport.TCP: "+tcp",
}
CLASSES = {1: "IN", 3: "CH", 255: "ANY"}
SHOWN = 10


def summary(outcomes: Sequence[Outcome]) -> str:
    """The figures of all seeds together."""
    explained: Counter[str] = sum((each.explained for each in outcomes), Counter())
    queries = sum(each.queries for each in outcomes)
    lines = [
        f"{len(outcomes)} seeds, {queries} queries: {sum(each.equal for each in outcomes)} equal, "
        f"{sum(len(each.unexplained) for each in outcomes)} unexplained; explained by",
        *(f"  {count:7} {name}" for name, count in explained.most_common()),
    ]
    return "\n".join(lines)


def reproducers(outcomes: Sequence[Outcome], shown: int = SHOWN) -> str:
    """The first failures, each with its seed, questions for dig, replies and catalog."""
    all_failures = [(each.seed, *failure) for each in outcomes for failure in each.unexplained]
    return "\n\n".join(reproducer(*failure) for failure in all_failures[:shown])


def reproducer(seed: int, catalog: Catalog, verdict: Verdict) -> str:
    """One failure."""
    case = verdict.case
    return "\n".join(
        (
            f"== seed {seed}: {'; '.join(verdict.problems)}",
            f"named differences that apply: {', '.join(verdict.differences) or 'none'}",
            dig(case.question, "$CONSUL_DNS_PORT"),
            str(case.consul or ";; no reply"),
            dig(case.question, "$OUR_PORT"),
            str(case.ours or ";; no reply"),
            *excerpt(catalog, case.question.folded),
        )
    )


def dig(question: Question, port: str) -> str:
    """The command line that asks the question."""
    type_name = next(name for name, number in TYPES.items() if number == question.type)
    odd = f"+opcode={question.opcode} +edns={question.edns_version} " if _is_odd(question) else ""
    return (
        f"dig @127.0.0.1 -p {port} {DIG_OPTIONS[question.transport]} {odd}"
        f"-c {CLASSES[question.class_]} -t {type_name} '{format_name(question.name)}'"
    )


def _is_odd(question: Question) -> bool:
    return bool(question.opcode or question.edns_version)


def excerpt(catalog: Catalog, name: Labels) -> Iterator[str]:
    """What the catalog holds that the name may have to do with."""
    address = address_of(name)
    left = split_name(name)[1]
    for node in catalog.nodes:
        concerned = [each for each in node.instances if _concerns(each, left, address)]
        if concerned or octets(node.name) == left or _is_at(node.address, address):
            yield f"{replace(node, instances=())}"
            yield from (f"  {each}" for each in concerned)
    for key, value in catalog.keys.items():
        if _is_at(key.rpartition("/")[2], address):
            yield f"{key} = {value}"


def _concerns(instance: Instance, left: Labels, address: IPAddress | None) -> bool:
    service = octets(instance.service)
    is_named = service == left[-len(service) :] or left[:1] == (b"_" + service[0],)
    return is_named or _is_at(instance.address, address)


def _is_at(text: str, address: IPAddress | None) -> bool:
    return address is not None and parse_address(text) == address
