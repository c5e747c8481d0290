"""What a closest encloser says must hold, whatever is asked below it."""

from collections.abc import Iterable

from consuldns.dns.answer import Answer, Outcome
from consuldns.dns.policy import Policy
from consuldns.dns.question import Question, Type
from consuldns.dns.resolver import resolve
from consuldns.names import Labels, is_valid
from consuldns.views.store import Views

BELOW: list[Labels] = [
    (),
    (b"db",),
    (b"_tcp",),
    (b"_http", b"_tcp"),
    (b"a", b"b"),
    (b"7f000001",),
    (b"7f000001", b"addr"),
]


def assert_it_holds(
    name: Labels, answer: Answer, views: Views, policy: Policy, labels: Iterable[bytes]
) -> bool:
    """Whether the answer has one; `labels` are tried below it."""
    encloser = answer.closest_encloser
    if encloser is None:
        return False
    assert answer.outcome is Outcome.NXDOMAIN
    assert len(name) > len(encloser.name)
    assert name[-len(encloser.name) :] == encloser.name
    for label in {name[-len(encloser.name) - 1], *labels}:
        if any(label in each for each in encloser.labels):
            continue
        for left in BELOW:
            below = (*left, label, *encloser.name)
            if is_valid(below) and encloser.unless not in (*left, label):
                assert _outcome(below, views, policy) is Outcome.NXDOMAIN, below
    return True


def _outcome(name: Labels, views: Views, policy: Policy) -> Outcome:
    answer = resolve(Question(name, Type.ANY), views, policy)
    assert isinstance(answer, Answer)
    return answer.outcome
