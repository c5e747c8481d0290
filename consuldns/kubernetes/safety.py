"""Guards before anything is removed.

What a list does not show may have been deleted, or hidden: by a right that was taken away, by an
etcd that was restored from a backup, by a label selector with a typo. One service that goes is
believed. Many at once are held, until two complete lists, some time apart, say the same; or until
somebody says `--allow-mass-delete`.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from consuldns.kubernetes.held import Held
from consuldns.kubernetes.plan import Plan, Step
from consuldns.kubernetes.types import ServiceKey
from consuldns.registration import RemoveInstance, SetInstance

MANY = 10  # services
SHARE = 0.5  # of all that are in the catalog
LISTS = 2  # that must agree


@dataclass(frozen=True)
class Waiting:
    """Since when a service's removal is held: a monotonic time, and the count of complete lists."""

    since: float
    lists: int


@dataclass
class MassDeletion:
    """Holds removals that would take away more than half, and more than ten, of the services.

    `hold` in seconds. A service whose namespace is gone, too, is believed: there are two witnesses.
    """

    hold: float
    allowed: bool = False
    waiting: dict[ServiceKey, Waiting] = field(default_factory=dict)

    def check(
        self, plan: Plan, holding: Held, namespaces: Collection[str], *, now: float, lists: int
    ) -> list[Step]:
        """Take the removals out of the plan that are to be held, and return them."""
        vanishing = _vanishing(plan, holding)
        doubtful = {key for key in vanishing if key[0] in namespaces}
        total = len(holding.instances)
        if self.allowed or len(doubtful) <= MANY or len(doubtful) <= total * SHARE:
            self.waiting.clear()
            return []
        self.waiting = {key: self.waiting.get(key, Waiting(now, lists)) for key in sorted(doubtful)}
        unproven = {
            key for key, waiting in self.waiting.items() if not self._is_proven(waiting, now, lists)
        }
        if not unproven:
            self.waiting.clear()
            return []
        held = [step for step in plan.removals if step.service is None or step.service in unproven]
        plan.removals = [
            step
            for step in plan.removals
            if step.service is not None and step.service not in unproven
        ]
        return held

    def is_proven(self, *, now: float, lists: int) -> bool:
        """Whether something is held that need not be any more."""
        return any(self._is_proven(each, now, lists) for each in self.waiting.values())

    def _is_proven(self, waiting: Waiting, now: float, lists: int) -> bool:
        return lists - waiting.lists >= LISTS and now - waiting.since >= self.hold


def _vanishing(plan: Plan, holding: Held) -> set[ServiceKey]:
    """Services that would have no instance in the catalog any more."""
    removed = Counter(
        step.service for step in plan.removals if isinstance(step.operation, RemoveInstance)
    )
    added = {step.service for step in plan.additions if isinstance(step.operation, SetInstance)}
    return {
        key
        for key, count in removed.items()
        if key is not None and key not in added and count == len(holding.instances.get(key, ()))
    }
