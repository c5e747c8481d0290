"""The loop: something changed, so make a plan and do it, as long as this worker leads.

    events of the cluster --dirty services--> plan --> guard --> transactions --> Consul
    changes in Consul, terms, time --everything--^

What Consul holds is read at the start of each term, when somebody else may have changed it, after
any error, and every five minutes; in between it is known from what was written. So a change costs
what it is worth, and nothing is written when nothing changed.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Never

from consuldns import descriptor, reverse_layout
from consuldns.backoff import Backoff
from consuldns.config.sync import SyncSettings
from consuldns.consul.catalog import Catalog
from consuldns.consul.operations import LockLost
from consuldns.errors import ConsulError
from consuldns.sync import report
from consuldns.sync.apply import Applier, ApplyResult, Rate
from consuldns.sync.desired.flat_names import Others
from consuldns.sync.existing import contents, foreign_changes
from consuldns.sync.existing import others as others_
from consuldns.sync.existing.contents import Existing
from consuldns.sync.existing.foreign_changes import Writes
from consuldns.sync.kubernetes.objects import NAMESPACES
from consuldns.sync.kubernetes.reflector import AnyReflector
from consuldns.sync.kubernetes.troubles import Troubles
from consuldns.sync.leader_election import LeaderElection
from consuldns.sync.planning import knowledge, mass_deletion
from consuldns.sync.planning.knowledge import Knowledge, Limits
from consuldns.sync.planning.mass_deletion import MassDeletion
from consuldns.sync.planning.plan import NOBODY, Plan, Planner, Step
from consuldns.sync.report import ProblemLog
from consuldns.sync.selection import Selection
from consuldns.sync.statistics import Statistics

_log = logging.getLogger(__name__)

DEBOUNCE = 0.05  # seconds: a deployment's events come in bursts
RESYNC = 300.0  # seconds between looks at everything, if nothing else asks for one
SHORTEST_LOOK = 1.0  # seconds between two looks at a part of Consul that changed, at least
LOOK_COST = 20  # pause between two looks, as a multiple of how long one takes
PATIENCE = 30.0  # seconds of a term until it goes on without kinds that could not be listed
RETRY = (0.5, 60.0)  # seconds: first and longest wait after failures, doubling
OUTAGE_RETRY = 1.0  # seconds, while Consul cannot be reached
CHANGE_WAIT = 30.0  # seconds of one blocking query
CATALOG = "Consul's catalog and keys"  # for people
MOST_LINES = 50  # of the log for one plan


class Wakeup:
    """Says that something changed, in the cluster or about the lock; `since` is when it was first.

    Those who notice a change set it, and the reconciler waits for it, so that neither need know
    the other.
    """

    def __init__(self) -> None:
        self.since: float | None = None  # monotonic; None: nothing since it was taken
        self._event = asyncio.Event()

    def set(self) -> None:
        """Something changed."""
        if self.since is None:
            self.since = time.monotonic()
        self._event.set()

    def take(self) -> float | None:
        """Since when there is something to do, and forget it."""
        since, self.since = self.since, None
        return since

    async def wait(self, seconds: float | None = None) -> None:
        """Wait until something changes from now on, at most this many seconds."""
        self._event.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()


class Reconciler:
    """Keeps Consul as the cluster wants it."""

    def __init__(
        self,
        settings: SyncSettings,
        catalog: Catalog,
        election: LeaderElection,
        selection: Selection,
        reflectors: Sequence[AnyReflector],
        *,
        version: str,
        troubles: Troubles,
        wakeup: Wakeup,
        allow_mass_delete: bool,
    ) -> None:
        self.settings, self.catalog, self.election = settings, catalog, election
        self.selection, self.reflectors = selection, reflectors
        self.version = version  # of the API server
        self.troubles = troubles
        self.guard = MassDeletion(settings.mass_delete_hold.total_seconds(), allow_mass_delete)
        self.applier = Applier(catalog, Rate(settings.transactions_per_second))
        self.statistics = Statistics()
        self._wakeup = wakeup
        self._everything_at = 0.0  # monotonic; when everything is due
        self._list_at = 0.0
        self._existing: Existing | None = None
        self._writes = Writes()
        self._known = Knowledge()
        self._backoff = Backoff(*RETRY)
        self._outage_backoff = Backoff(OUTAGE_RETRY, OUTAGE_RETRY)
        self._problems = ProblemLog()

    @property
    def is_fresh(self) -> bool:
        """Whether every kind that can be listed has been since this worker leads.

        Nothing is planned before. A standby may have missed what the leader before it saw last,
        and would take that for deleted. Of services, some must have been.
        """
        since = self.election.since
        missing = [each for each in self.reflectors if each.listed_at < since]
        enough = time.monotonic() >= since + PATIENCE or all(each.withheld for each in missing)
        return not missing or (enough and self.known().any_services)

    def known(self) -> Knowledge:
        """What is known of the cluster since this worker leads, or ever if it does not lead."""
        since = self.election.since if self.election.lock is not None else 0.0
        return knowledge.survey(self.reflectors, since)

    async def run(self) -> Never:
        """Reconcile for ever."""
        while True:
            while self.election.lock is None:
                await self._wakeup.wait()
            try:
                async with asyncio.TaskGroup() as watchers:
                    tasks = [watchers.create_task(self._watch_consul(r)) for r in self._watched()]
                    try:
                        await self._term()
                    finally:
                        for task in tasks:
                            task.cancel()
            except* LockLost:
                self.election.lose()
            except* ConsulError as group:
                await self._outage(group.exceptions[0])

    async def _freshen(self) -> None:
        """Have every kind listed that was not since we lead, and wait for it."""
        while self.election.lock is not None and not self.is_fresh:
            for reflector in self.reflectors:
                # One that is on its way comes first: it was asked for too early, but wakes us.
                if reflector.store.is_listed and reflector.listed_at < self.election.since:
                    reflector.request_list()
            patience = self.election.since + PATIENCE - time.monotonic()
            await self._wakeup.wait(patience if patience > 0 else None)

    async def _term(self) -> None:
        """Reconcile until the lock is lost. Raises LockLost and other ConsulErrors.

        A lock that was lost and is held again begins another term: in between somebody else may
        have led, and what was listed before says nothing about what is gone.
        """
        since = self.election.since
        planner = Planner(self.selection, self.settings, self.election.identity)
        existing = self._existing = None
        await self._freshen()
        while self._is_in_term(since):
            self._survey()
            if existing is None or time.monotonic() >= self._everything_at:
                existing = self._existing = await self._read(first=existing is None)
                plan = await self.plan_all(planner, existing)
            elif self.guard.waiting:
                # What is held is in no plan for some services only, and would be forgotten.
                plan = await self.plan_all(planner, existing)
            else:
                plan = await self._plan_dirty(planner, existing)
            if self._is_in_term(since):
                await self._do(plan, existing)
            if self._is_in_term(since):  # else nobody may wake us
                await self._rest()

    def _is_in_term(self, since: float) -> bool:
        return self.election.lock is not None and self.election.since == since

    def _survey(self) -> None:
        """Look at everything again if a kind came to be known, or was withheld."""
        known = self.known()
        if known != self._known:
            self._known = known
            self._everything_at = time.monotonic()
            self.guard.waiting.clear()  # its lists are counted anew

    async def plan_all(self, planner: Planner, existing: Existing) -> Plan:
        """A plan for everything."""
        self.selection.take_dirty()
        self.selection.recorded_namespaces = existing.namespaces
        others = await self._others(existing)
        return planner.plan_all(existing, others=others, version=self.version)

    async def _plan_dirty(self, planner: Planner, existing: Existing) -> Plan:
        services, addresses, names = self.selection.take_dirty()
        others = await self._others(existing) if names else NOBODY
        return planner.plan(
            existing,
            services=services,
            addresses=addresses,
            others=others,
            assign=names,
            version=self.version,
        )

    async def _read(self, *, first: bool) -> Existing:
        """Read what Consul holds."""
        existing = await contents.read(self.catalog, self.election.identity)
        self._everything_at = time.monotonic() + RESYNC
        self.statistics.reads += 1
        if first:
            _log.info("read from Consul: instances=%d keys=%d", existing.count, len(existing.keys))
        return existing

    async def _others(self, existing: Existing) -> Others:
        identity = self.election.identity
        unknown = knowledge.unknown_owners(existing, self.known())
        return await others_.read(self.catalog, existing, self.selection, identity, unknown=unknown)

    async def _do(self, plan: Plan, existing: Existing) -> None:
        """Guard a plan, do it, and note what came of it."""
        lock = self.election.lock
        if lock is None:
            raise LockLost("the lock was lost during planning")
        since = self._wakeup.take()
        kept_back = self.check(plan, existing)
        lines = list(report.service_lines(plan, existing)) if plan else []
        self._writes.begin(step.operation for step in plan.steps)
        try:
            result = await self.applier.apply(plan, existing, lock)
        finally:
            self._writes.end()
        mass_deletion.forget_done(existing, self.reflectors)
        self._note(plan, kept_back, existing, result)
        for _, line in [each for each in lines if each[0] not in result.failed][:MOST_LINES]:
            _log.info("%s", line)
            self.statistics.note_change(line)
        if len(lines) > MOST_LINES:
            _log.info("and %d more services", len(lines) - MOST_LINES)
        if since is not None and plan:
            self.statistics.observe_latency(time.monotonic() - since)

    def check(self, plan: Plan, existing: Existing) -> list[Step]:
        """Take out what is not known well enough and what the guard holds back, and say so."""
        known, was_holding_back = self.known(), bool(self.guard.waiting)
        record_key = self.election.identity.record_key
        waiting = Limits(known, self.selection, self.settings, record_key).apply(plan, existing)
        kept_back = self.guard.check(
            plan,
            existing,
            self.selection.cache.namespaces if known.knows(NAMESPACES, "") else None,
            now=time.monotonic(),
            lists=self._lists,
            proof=lambda keys: mass_deletion.proven(
                keys, self.selection, self.settings, self.reflectors
            ),
        )
        if kept_back and not was_holding_back:
            _log.error(
                "held: %d services would be removed, of %d. They go when two more complete lists, "
                "%d s apart, say the same, or with --allow-mass-delete",
                len(self.guard.waiting),
                len(existing.instances),
                self.guard.hold,
            )
        return [*waiting, *kept_back]

    def _note(
        self, plan: Plan, kept_back: Sequence[Step], existing: Existing, result: ApplyResult
    ) -> None:
        statistics = self.statistics
        for kind, count in result.done.items():
            statistics.operations[kind, "done"] += count
        statistics.operations["service", "failed"] += len(result.failed)
        statistics.transactions += result.transactions
        statistics.last_sync = time.time()
        statistics.services, statistics.instances = len(existing.instances), existing.count
        statistics.conflicts = len(plan.conflicts)
        statistics.foreign_instances = existing.foreign_instances
        statistics.held_removals = len(kept_back)
        statistics.failed_services = len(result.failed)
        self.troubles.recovered(CATALOG)
        self._problems.note(plan.problems)
        statistics.services_with_problems = self._problems.services
        if result.failed:
            self._retry(result)
        else:
            self._backoff.reset()

    def _retry(self, result: ApplyResult) -> None:
        """What failed may have failed because we know Consul badly: look at everything again."""
        wait = self._backoff.next()
        self._everything_at = min(self._everything_at, time.monotonic() + wait)
        for key, reason in list(result.failed.items())[:MOST_LINES]:
            _log.warning(
                "refused service=%s retry=%.1fs: %s", "/".join(key or ("-",)), wait, reason
            )

    async def _rest(self) -> None:
        """Wait until there is something to do; then a moment more, for what comes along."""
        until = min(self._everything_at, self._settle_held())
        if not self.selection.is_dirty:
            await self._wakeup.wait(max(until - time.monotonic(), 0))
        await asyncio.sleep(DEBOUNCE)

    def _settle_held(self) -> float:
        """While removals are held, list again and again; when to look at them next."""
        now = time.monotonic()
        if not self.guard.waiting:
            return float("inf")
        if self.guard.is_proven(now=now, lists=self._lists):
            self._everything_at = now
        elif now >= self._list_at:
            # Two of them fall into the time to hold; each wakes us when it is complete.
            self._list_at = now + max(self.guard.hold / 2, DEBOUNCE)
            for reflector in self.reflectors:
                if not reflector.withheld:
                    reflector.request_list()
        return self._list_at

    @property
    def _lists(self) -> int:
        """How many times every kind has been listed that can be."""
        known = (each.store.lists for each in self.reflectors if not each.withheld)
        return min(known, default=0)

    async def _outage(self, error: BaseException) -> None:
        assert isinstance(error, ConsulError)
        self.troubles.failed(CATALOG, error)
        await self._outage_backoff.pause()

    def _watched(self) -> list[str]:
        identity = self.election.identity
        keys = (identity.root, descriptor.NAMES, reverse_layout.PREFIX)
        return [f"node:{identity.node}", *(f"keys:{prefix}" for prefix in keys)]

    async def _watch_consul(self, resource: str) -> Never:
        """Have everything made right when somebody else has changed what is ours.

        To answer, Consul looks at each of our instances: so ask seldom where that takes long. The
        shorter of the last two times counts: while Consul elects a leader, one takes seconds.
        """
        index, costs = await self.catalog.changed(resource, after=0, wait=0), (0.0, 0.0)
        while True:
            await asyncio.sleep(max(SHORTEST_LOOK, LOOK_COST * min(costs)))
            started = time.monotonic()
            try:
                new = await self.catalog.changed(resource, after=index, wait=0)
                if new == index:
                    new = await self.catalog.changed(resource, after=index, wait=CHANGE_WAIT)
                    started = time.monotonic()
                if new != index and await self._is_foreign(resource):
                    self.statistics.repairs += 1
                    self._everything_at = time.monotonic()
                    self._wakeup.set()
                index, costs = new, (costs[1], time.monotonic() - started)
            except ConsulError:
                index = 0  # whatever happened meanwhile: look again

    async def _is_foreign(self, resource: str) -> bool:
        """Whether a part of Consul differs from what we know of it, not by our own writes."""
        existing = self._existing
        if existing is None:
            return False  # it is about to be read
        identity = self.election.identity
        differs = await foreign_changes.is_changed(
            self.catalog, identity, resource, existing, self._writes
        )
        return differs and existing is self._existing and time.monotonic() < self._everything_at
