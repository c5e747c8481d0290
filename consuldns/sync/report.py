"""Plans and problems in words: for the _log, for people who ask for a difference, and as JSON."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from consuldns import descriptor
from consuldns.consul.operations import RemoveInstance, RemoveKey, RemoveNode, SetCheck, SetInstance
from consuldns.descriptor import DescriptorKey
from consuldns.sync.apply import describe
from consuldns.sync.desired.state import NO_ADDRESS_YET
from consuldns.sync.existing.contents import Existing, ExistingInstance, check_fingerprint
from consuldns.sync.kubernetes.objects import ServiceKey
from consuldns.sync.planning.plan import Plan, Step

_log = logging.getLogger(__name__)

MOST_LINES = 50  # of one plan


class Change(msgspec.Struct, frozen=True):
    """What a plan does to one service. `what` is in words; `flat` is its flat name, if written."""

    service: ServiceKey
    what: str
    flat: str
    new: int
    gone: int
    operations: int
    readiness: str

    @property
    def mark(self) -> str:
        """As in the lines of `text`."""
        return {"added": "+", "removed": "-"}.get(self.what, "~")


def changes(plan: Plan, existing: Existing) -> Iterator[Change]:
    """What the plan does to each service that it touches; ask before it is done."""
    by_service: dict[ServiceKey, list[Step]] = {}
    for step in plan.steps:
        if step.service is not None:
            by_service.setdefault(step.service, []).append(step)
    for key, steps in by_service.items():
        known = existing.instances.get(key, {})
        added = [s.operation.instance for s in steps if isinstance(s.operation, SetInstance)]
        new = sum(instance.id not in known for instance in added)
        gone = sum(isinstance(step.operation, RemoveInstance) for step in steps)
        if key in plan.absent:
            word = plan.absent[key]  # it is there, without any instance
        elif new and not known:
            word = "added"
        elif not new and (gone == len(known) > 0 or _loses_descriptor(key, steps)):
            word = "removed"
        else:
            word = "changed"
        flat = added[0].service if added else ""
        yield Change(key, word, flat, new, gone, len(steps), _readiness(steps, known))


def service_lines(plan: Plan, existing: Existing) -> Iterator[tuple[ServiceKey, str]]:
    """One line of log for each service that the plan touches; ask before it is done."""
    for each in changes(plan, existing):
        name = f" flat={each.flat}" if each.flat else ""
        yield (
            each.service,
            (
                f"{each.what} service={'/'.join(each.service)}{name} "
                f"instances=+{each.new}-{each.gone} operations={each.operations}{each.readiness}"
            ),
        )


def _readiness(steps: Sequence[Step], known: Mapping[str, ExistingInstance]) -> str:
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


def _loses_descriptor(key: ServiceKey, steps: Sequence[Step]) -> bool:
    paths = (s.operation.path for s in steps if isinstance(s.operation, RemoveKey))
    found = map(descriptor.parse_path, paths)
    return any(isinstance(each, DescriptorKey) and each[1:] == key for each in found)


def text(
    plan: Plan, existing: Existing, held: Sequence[Step], *, is_verbose: bool = False
) -> Iterator[str]:
    """The plan as people read it, in lines: a service each, and with `is_verbose` each operation.

    + is new, ~ changes, - goes, ! would go but is held, ? is a problem.
    """
    found = list(changes(plan, existing))
    width = max((len(place(each.service)) for each in found), default=0)
    for each in found:
        flat = f" as {each.flat}" if each.flat else ""
        counts = [f"{sign}{n}" for sign, n in (("+", each.new), ("-", each.gone)) if n]
        instances = f", instances {' '.join(counts)}" if counts else ""
        readiness = f",{each.readiness}" if each.readiness else ""
        yield f"{each.mark} {place(each.service):<{width}}  {each.what}{flat}{instances}{readiness}"
    if is_verbose:
        yield from (f"    {_mark(step)} {describe(step.operation)}" for step in plan.steps)
    yield from (f"! {describe(step.operation)} (held: {step.waits_for})" for step in held)
    yield from (
        f"? {path} belongs to somebody else, not changed" for path in sorted(plan.conflicts)
    )
    yield from (f"? {'/'.join(key)}: {NO_ADDRESS_YET}" for key in _without_address(plan))
    yield from (f"? {place(key)}: {problem}" for key, problem in problems(plan.problems))
    yield _summary(plan, found, held)


def _summary(plan: Plan, found: Sequence[Change], held: Sequence[Step]) -> str:
    total = sum(plan.counts().values())
    if not total and not held:
        return "nothing to do"
    counts = Counter(each.mark for each in found)
    services = f"{counts['+']} to add, {counts['~']} to change, {counts['-']} to remove"
    return f"services: {services}; operations: {total}, {len(held)} held"


def json(plan: Plan, held: Sequence[Step]) -> bytes:
    """The plan as JSON: operations in order, what is held, conflicts and problems."""
    document = {
        "operations": [_described(step) for step in plan.steps],
        "held": [_described(step) for step in held],
        "conflicts": sorted(plan.conflicts),
        "no_address_yet": ["/".join(key) for key in _without_address(plan)],
        "problems": {place(key): found for key, found in _ordered(plan.problems) if found},
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def table(rows: Iterable[tuple[str, object]]) -> str:
    """Two columns for people; an empty value is a dash."""
    lines = [(name, str(value) or "-") for name, value in rows]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


Problems = Mapping[ServiceKey | None, Sequence[str]]
"""What is wrong with services, by their keys; under None, with the settings."""


def problems(found: Problems) -> Iterator[tuple[ServiceKey | None, str]]:
    """Each problem with where it is, in order: the settings first."""
    return ((key, problem) for key, each in _ordered(found) for problem in each)


def place(key: ServiceKey | None) -> str:
    """Where a problem is: `<namespace>/<service>`, or the settings."""
    return "/".join(key) if key is not None else "[sync]"


def _ordered(found: Problems) -> list[tuple[ServiceKey | None, Sequence[str]]]:
    return sorted(found.items(), key=lambda item: item[0] or ())


def _without_address(plan: Plan) -> list[ServiceKey]:
    return sorted(key for key, why in plan.absent.items() if why == NO_ADDRESS_YET)


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


class ProblemLog:
    """Remembers what has been logged."""

    def __init__(self) -> None:
        self._logged: dict[ServiceKey | None, frozenset[str]] = {}

    @property
    def services(self) -> int:
        """How many services have problems, the settings counted as one."""
        return len(self._logged)

    def note(self, found: Mapping[ServiceKey | None, Sequence[str]]) -> None:
        """Log what is new. `found` has all that was looked at; of the rest nothing has changed.

        Whoever looks at the settings (None) has looked at everything.
        """
        if None in found:
            self._logged = {key: known for key, known in self._logged.items() if key in found}
        new = {
            key: [each for each in each_found if each not in self._logged.get(key, ())]
            for key, each_found in found.items()
        }
        for key, each_found in found.items():
            if each_found:
                self._logged[key] = frozenset(each_found)
            else:
                self._logged.pop(key, None)
        lines = list(problems(new))
        for key, problem in lines[:MOST_LINES]:
            _log.warning("%s%s: %s", "service=" if key else "", place(key), problem)
        if len(lines) > MOST_LINES:
            more = len(lines) - MOST_LINES
            _log.warning("and %d more problems: `consuldns sync diff` prints all of them", more)
