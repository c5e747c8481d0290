"""Guards before anything is removed.

What a list does not show may have been deleted, or hidden: by a right that was taken away, by an
etcd that was restored from a backup, by a label selector with a typo. One service that goes is
believed. Many at once are held, until two complete lists, some time apart, say the same; or until
somebody says `--allow-mass-delete`. What an event reports as deleted is believed: of that there is
proof.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from consuldns.config.sync import SyncSettings
from consuldns.consul.operations import RemoveInstance, SetInstance
from consuldns.sync.desired import annotations
from consuldns.sync.existing.contents import Existing
from consuldns.sync.kubernetes.objects import EndpointSlice, Service, ServiceKey
from consuldns.sync.kubernetes.reflector import AnyReflector
from consuldns.sync.planning.knowledge import OF_ENDPOINTS, needed
from consuldns.sync.planning.plan import Plan, Step
from consuldns.sync.selection import Selection

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
    So are those of which there is proof.
    """

    hold: float
    allowed: bool = False
    waiting: dict[ServiceKey, Waiting] = field(default_factory=dict)

    def check(
        self,
        plan: Plan,
        existing: Existing,
        namespaces: Collection[str] | None,
        *,
        now: float,
        lists: int,
        proof: Callable[[set[ServiceKey]], set[ServiceKey]] = lambda _: set(),
    ) -> list[Step]:
        """Take the removals out of the plan that are to be held, and return them.

        `namespaces` are those that there are, None if they are not known; `proof` tells of some
        services which of them are proven to go.
        """
        vanishing = _vanishing(plan, existing)
        doubtful = {key for key in vanishing if namespaces is None or key[0] in namespaces}
        few = max(MANY, len(existing.instances) * SHARE)
        if len(doubtful) > few:
            doubtful -= proof(doubtful)
        if self.allowed or len(doubtful) <= few:
            self.waiting.clear()
            return []
        self.waiting = {key: self.waiting.get(key, Waiting(now, lists)) for key in sorted(doubtful)}
        unproven = {
            key for key, waiting in self.waiting.items() if not self._is_proven(waiting, now, lists)
        }
        if not unproven:
            self.waiting.clear()
            return []
        return _hold_back(plan, unproven)

    def is_proven(self, *, now: float, lists: int) -> bool:
        """Whether something is held that need not be any more."""
        return any(self._is_proven(each, now, lists) for each in self.waiting.values())

    def _is_proven(self, waiting: Waiting, now: float, lists: int) -> bool:
        return lists - waiting.lists >= LISTS and now - waiting.since >= self.hold


def proven(
    services: Collection[ServiceKey],
    selection: Selection,
    settings: SyncSettings,
    reflectors: Sequence[AnyReflector],
) -> set[ServiceKey]:
    """Those of which events, and not lists alone, say that they are to have no instances."""
    deleted, emptied, declined = set[ServiceKey](), set[ServiceKey](), set[ServiceKey]()
    for reflector in reflectors:
        store = reflector.store
        deleted |= {each.key for each in store.deleted.values() if isinstance(each, Service)}
        slices = (each for each in store.deleted.values() if isinstance(each, EndpointSlice))
        emptied |= {each.service for each in slices if each.service is not None}
        found = (store.objects.get(key) for key in services)
        declined |= {e.key for e in found if isinstance(e, Service) and _declines(e)}

    def is_proven(key: ServiceKey) -> bool:
        service = selection.services.get(key)
        if service is None:
            return key in deleted or key in declined
        if any(kind not in OF_ENDPOINTS for kind in needed(service, settings)):
            return False
        # A slice without endpoints says so itself; without any slice, it takes a deleted one.
        return bool(selection.cache.slices(key)) or key in emptied

    return {key for key in services if is_proven(key)}


def _declines(service: Service) -> bool:
    """Whether the service itself says that it is not to be synced."""
    return annotations.read(service.metadata.annotations).sync is False


def forget_done(existing: Existing, reflectors: Sequence[AnyReflector]) -> None:
    """Keep in mind what was deleted only as long as Consul has something of it."""
    for reflector in reflectors:
        deleted = reflector.store.deleted
        for key, each in list(deleted.items()):
            of_service = each.service if isinstance(each, EndpointSlice) else key
            if of_service not in existing.instances:
                del deleted[key]


def _hold_back(plan: Plan, services: Collection[ServiceKey]) -> list[Step]:
    """Take the removals of these services out of the plan, and those that may be anybody's."""
    removals, plan.removals = plan.removals, []
    held: list[Step] = []
    for step in removals:
        if step.service is None or step.service in services:
            held.append(replace(step, waits_for="too many at once"))
        else:
            plan.removals.append(step)
    return held


def _vanishing(plan: Plan, existing: Existing) -> set[ServiceKey]:
    """Services that would have no instance in the catalog any more."""
    removed = Counter(
        step.service for step in plan.removals if isinstance(step.operation, RemoveInstance)
    )
    added = {step.service for step in plan.additions if isinstance(step.operation, SetInstance)}
    return {
        key
        for key, count in removed.items()
        if key is not None and key not in added and count == len(existing.instances.get(key, ()))
    }
