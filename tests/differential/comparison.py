"""Holding our reply against the expected one, and against what every reply of ours must keep."""

from collections.abc import Iterator
from dataclasses import dataclass

from consuldns.names import to_wire
from tests.differential.case import NOTHING, SILENCE, Case
from tests.differential.differences import expect
from tests.differential.exchange import EDNS_SIZE
from tests.differential.questions import TYPES, Question, Transport
from tests.differential.replies import Record, Reply

PLAIN_UDP_SIZE = 512  # RFC 1035 section 2.3.4
RECORD_OVERHEAD = 16  # octets of a record beside its names, and of an address beside its text
ROOM_FOR_OPT = 17  # octets that replies with EDNS keep free


@dataclass(frozen=True)
class Verdict:
    """What came of a case: `problems` is empty if all is as it should be.

    `differences` are the named ones that lie between Consul's reply and ours.
    """

    case: Case
    differences: tuple[str, ...]
    problems: tuple[str, ...]


def judge(case: Case) -> Verdict:
    """Compare our reply with what Consul's becomes under the named differences."""
    differences, expected = expect(case)
    ours = case.ours
    if ours is None:
        same = expected is SILENCE
        return Verdict(case, differences, () if same else ("no reply",))
    problems = list(broken_rules(case.question, ours))
    if ours.rcode != expected.rcode:
        problems.append(f"rcode {ours.rcode}, expected {expected.rcode}")
    if ("AA" in ours.flags) != expected.authoritative:
        problems.append(f"flag AA, expected {expected.authoritative}")
    denial = expected.soa and {expected.soa}
    if not (ours.answer or expected.answer) and ours.authority != (denial or NOTHING):
        problems.append(f"authority of a denial, expected {expected.soa}")
    if expected.answer is not None:
        problems += _answer_problems(expected.answer, ours)
    if expected.additional is not None:
        problems += _additional_problems(expected.additional, ours, case.question)
    return Verdict(case, differences, tuple(problems))


def broken_rules(question: Question, reply: Reply) -> Iterator[str]:
    """What holds for every reply of ours, whatever Consul says."""
    asked = to_wire(question.name) + question.type.to_bytes(2, "big")
    echo = b"" if reply.rcode == "NOTIMP" else asked + question.class_.to_bytes(2, "big")
    if reply.question != echo:
        yield "the question is not echoed octet for octet (RFC 1034 section 3.7.1)"
    if not reply.spelled_as_asked:
        yield "an owner is not spelled as in the question"
    if ("RD" in reply.flags) is (reply.rcode == "NOTIMP") or "RA" in reply.flags:
        yield f"flags {sorted(reply.flags)}: RD is copied, but for NOTIMP; RA is not given"
    if (reply.edns is None) != (question.transport is Transport.UDP):
        yield "an OPT record goes with one in the query, and only then (RFC 6891 section 6.1.1)"
    if reply.size > size_limit(question):
        yield f"{reply.size} octets in a reply over {question.transport.value}"
    if "TC" in reply.flags and question.transport is Transport.TCP:
        yield "TC over TCP"


def size_limit(question: Question) -> int:
    """Octets that a reply may have. ANY over UDP gets no more than everybody does (RFC 8482)."""
    if question.transport is Transport.TCP:
        return 0xFFFF
    with_edns = question.transport is Transport.UDP_EDNS and question.type != TYPES["ANY"]
    return EDNS_SIZE if with_edns else PLAIN_UDP_SIZE


def _answer_problems(expected: frozenset[Record], ours: Reply) -> Iterator[str]:
    if surplus := ours.answer - expected:
        yield f"answer has too much: {_text(surplus)}"
    missing = expected - ours.answer
    if missing and "TC" not in ours.flags:
        yield f"answer lacks, without TC: {_text(missing)}"
    if not missing and "TC" in ours.flags:
        yield "TC although the answer is whole (RFC 2181 section 9)"


def _additional_problems(
    expected: frozenset[Record], ours: Reply, question: Question
) -> Iterator[str]:
    if surplus := ours.additional - expected:
        yield f"additional has too much: {_text(surplus)}"
    missing = expected - ours.additional
    room = size_limit(question) - ours.size
    if missing and "TC" not in ours.flags and room >= _octets(missing):
        yield f"additional lacks, with {room} octets to spare: {_text(missing)}"


def _octets(records: frozenset[Record]) -> int:
    """At most so many octets are in the way of sending all of them (metadata goes as a whole)."""
    return ROOM_FOR_OPT + sum(
        len(record.owner) + RECORD_OVERHEAD + len(record.data) for record in records
    )


def _text(records: frozenset[Record]) -> str:
    return "; ".join(map(str, sorted(records)))
