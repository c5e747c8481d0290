"""Plans in words: for the log, for people who ask for a difference, and as JSON."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from consuldns.kubernetes.apply import describe
from consuldns.kubernetes.held import Held, HeldInstance, check_fingerprint
from consuldns.kubernetes.plan import Plan, Step
from consuldns.kubernetes.types import ServiceKey
from consuldns.registration import (
    RemoveInstance,
    RemoveKey,
    RemoveNode,
    SetCheck,
    SetInstance,
)


def service_lines(plan: Plan, holding: Held) -> Iterator[tuple[ServiceKey, str]]:
    """One line for each service that the plan touches; ask before it is done."""
    by_service: dict[ServiceKey, list[Step]] = {}
    for step in plan.steps:
        if step.service is not None:
            by_service.setdefault(step.service, []).append(step)
    for key, steps in by_service.items():
        there = len(holding.instances.get(key, ()))
        added = [s.operation.instance for s in steps if isinstance(s.operation, SetInstance)]
        known = holding.instances.get(key, {})
        new = [instance for instance in added if instance.id not in known]
        gone = sum(isinstance(step.operation, RemoveInstance) for step in steps)
        if new and not there:
            word = "added"
        elif gone and gone == there and not new:
            word = "removed"
        else:
            word = "changed"
        name = f" flat={added[0].service}" if added else ""
        yield (
            key,
            (
                f"{word} service={key[0]}/{key[1]}{name} instances=+{len(new)}-{gone} "
                f"operations={len(steps)}{_readiness(steps, known)}"
            ),
        )


def _readiness(steps: Sequence[Step], known: Mapping[str, HeldInstance]) -> str:
    """How many instances are ready afterwards, ` 2 of 4 ready`, if that changes of those there."""
    ready = {id_: each.check == 0 for id_, each in known.items()}
    before = dict(ready)
    for step in steps:
        match step.operation:
            case SetCheck(instance=instance):
                ready[instance.id] = check_fingerprint(instance) == 0
            case SetInstance(instance=instance):
                ready.setdefault(instance.id, True)
            case RemoveInstance(id=id_):
                ready.pop(id_, None)
    if all(ready.get(id_, was) == was for id_, was in before.items()):
        return ""
    return f" {sum(ready.values())} of {len(ready)} ready"


def text(plan: Plan, held: Sequence[Step]) -> str:
    """The plan as people read it: + is new, ~ is rewritten, - goes, ! would go, but is held."""
    lines = [f"{_mark(step)} {describe(step.operation)}" for step in plan.steps]
    lines += [f"! {describe(step.operation)} (held: {step.waits_for})" for step in held]
    lines += [f"? {path} belongs to somebody else, left alone" for path in sorted(plan.conflicts)]
    for (namespace, name), problems in sorted(plan.problems.items()):
        lines += [f"? {namespace}/{name}: {problem}" for problem in problems]
    total = sum(plan.counts().values())
    summary = f"{total} operations, {len(held)} held" if total or held else "nothing to do"
    return "\n".join([*lines, summary])


def json(plan: Plan, held: Sequence[Step]) -> bytes:
    """The plan as JSON: operations in order, what is held, conflicts and problems."""
    document = {
        "operations": [_described(step) for step in plan.steps],
        "held": [_described(step) for step in held],
        "conflicts": sorted(plan.conflicts),
        "problems": {"/".join(key): problems for key, problems in sorted(plan.problems.items())},
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def _described(step: Step) -> dict[str, object]:
    return {
        "operation": type(step.operation).__name__,
        "service": "/".join(step.service) if step.service else None,
        "text": describe(step.operation),
    }


def _mark(step: Step) -> str:
    if isinstance(step.operation, RemoveInstance | RemoveKey | RemoveNode):
        return "-"
    return "~" if getattr(step.operation, "index", 0) else "+"
