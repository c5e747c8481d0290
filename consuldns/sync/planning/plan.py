"""What is to be written: the difference between what should be in Consul and what it holds.

In three parts, done in this order, so that nobody ever sees less than before and after: what is
new or changed, with names claimed first; then reverse keys; then what is to go.
"""

import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from consuldns import descriptor, reverse_layout
from consuldns.config.sync import SyncSettings
from consuldns.consul.operations import (
    Instance,
    Key,
    Operation,
    RemoveInstance,
    RemoveKey,
    SetCheck,
    SetInstance,
    SetKey,
    SetNode,
)
from consuldns.descriptor import DescriptorKey, NameKey
from consuldns.names import parse_address
from consuldns.sync.desired import flat_names, reverse_names, state
from consuldns.sync.desired.flat_names import Others
from consuldns.sync.desired.reverse_names import Candidate
from consuldns.sync.desired.state import Entries
from consuldns.sync.existing import contents
from consuldns.sync.existing.contents import Existing, ExistingInstance, ExistingKey
from consuldns.sync.kubernetes.objects import ServiceKey
from consuldns.sync.ownership import Identity
from consuldns.sync.planning import ineffective
from consuldns.sync.selection import Selection

NOBODY = Others()


@dataclass(frozen=True, slots=True)
class Step:
    """One operation. `service` is the one it is done for, None: for the cluster as a whole.

    `waits_for` says, of a step that is held back, why.
    """

    operation: Operation
    service: ServiceKey | None = None
    waits_for: str = ""


@dataclass
class Plan:
    """What is to be written, in order. `conflicts` are keys of others that are in the way.

    `claimed` are the keys of flat names that it sees to: services may share one.
    `problems` has what is wrong with each service that was looked at, nothing too; under None, with
    the settings. `absent` says why services have no instances though they exist.
    """

    additions: list[Step] = field(default_factory=list)
    reverse: list[Step] = field(default_factory=list)
    removals: list[Step] = field(default_factory=list)
    conflicts: set[str] = field(default_factory=set)
    claimed: set[str] = field(default_factory=set)
    problems: dict[ServiceKey | None, tuple[str, ...]] = field(default_factory=dict)
    absent: dict[ServiceKey, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.additions or self.reverse or self.removals)

    @property
    def steps(self) -> Iterator[Step]:
        """All steps in order."""
        return itertools.chain(self.additions, self.reverse, self.removals)

    def counts(self) -> Counter[str]:
        """How many operations of each kind: `SetInstance`, `RemoveKey`, ..."""
        return Counter(type(step.operation).__name__ for step in self.steps)


class Planner:
    """Makes plans, and remembers what the last one was made from.

    Plans for some services cost as much as those services do, not as much as the cluster.
    """

    def __init__(self, selection: Selection, settings: SyncSettings, identity: Identity) -> None:
        self._selection, self._settings, self._identity = selection, settings, identity
        self._names: dict[ServiceKey, str] = {}
        self._owners: dict[str, ServiceKey] = {}
        self._claims: dict[str, dict[ServiceKey, Candidate]] = {}
        self._claimed_by: dict[ServiceKey, tuple[Candidate, ...]] = {}

    @property
    def names(self) -> dict[ServiceKey, str]:
        """The flat name of each service, as of the last plan."""
        return self._names

    def plan(
        self,
        existing: Existing,
        *,
        services: Collection[ServiceKey],
        addresses: Collection[str] = (),
        others: Others = NOBODY,
        assign: bool = True,
        version: str = "",
    ) -> Plan:
        """A plan for these services and addresses.

        `assign`: services came, went or want another name. `others` have names in Consul, too.
        `version` of the API server for the cluster's record, empty: leave the record alone.
        """
        plan = Plan()
        touched: dict[str, ServiceKey | None] = dict.fromkeys(addresses)
        dirty = set(services)
        if assign:
            dirty |= self._assign(existing, others)
        for key in sorted(dirty):
            touched |= dict.fromkeys(self._plan_service(plan, key, existing), key)
        if assign:
            self._plan_names(plan, existing)
        self._plan_addresses(plan, touched, existing)
        self._plan_cluster(plan, existing, version)
        return plan

    def plan_all(self, existing: Existing, *, others: Others = NOBODY, version: str) -> Plan:
        """A plan for everything: whatever is ours and should not be is to go."""
        known = set(self._selection.services) | existing.instances.keys()
        known |= self._selection.problems.keys()
        for path in existing.keys:
            match descriptor.parse_path(path):
                case DescriptorKey(self._identity.cluster, namespace, name):
                    known.add((namespace, name))
        known |= existing.endpoints.keys()
        reverse_keys = (path for path in existing.keys if reverse_layout.is_key(path))
        addresses = {reverse_layout.address_in(path) for path in reverse_keys} | self._claims.keys()
        plan = self.plan(
            existing, services=known, addresses=addresses, others=others, version=version
        )
        plan.problems[None] = ineffective.settings(
            self._settings, self._selection.services.values(), self._selection.cache.namespaces
        )
        return plan

    def _assign(self, existing: Existing, others: Others) -> set[ServiceKey]:
        """Assign flat names; the services whose name is new, or has another owner."""
        before, owners = self._names, self._owners
        claims = self._selection.claims
        self._names = flat_names.assign(
            claims.values(),
            existing.current_owners,
            others,
            self._identity.uid,
            self._identity.cluster,
        )
        self._owners = {
            name.lower(): claims[key].owner
            for key, name in self._names.items()
            if name and self._is_claimed(key)
        }
        changed = {
            key
            for key, name in self._names.items()
            if before.get(key) != name or owners.get(name.lower()) != self._owners.get(name.lower())
        }
        return changed | (before.keys() - self._names.keys())

    def _plan_service(self, plan: Plan, key: ServiceKey, existing: Existing) -> set[str]:
        """Add the steps of one service; the addresses that it claims, or did so far."""
        service = self._selection.services.get(key)
        entries = None
        if service is not None:
            entries = state.entries(
                service,
                self._selection.overrides[key],
                self._selection.cache.slices(key),
                self._selection.cache.nodes,
                self._names[key],
                self._settings,
                self._identity,
                self._selection.cache.exposures(key),
            )
            if entries.absent:
                plan.absent[key] = entries.absent
        unwanted = self._selection.problems.get(key, ())
        plan.problems[key] = (
            (*entries.problems, *self._name_problems(key)) if entries is not None else unwanted
        )
        self._plan_descriptor(plan, key, entries, existing)
        self._plan_instances(plan, key, entries, existing)
        return self._claim(key, entries.candidates if entries is not None else ())

    def _name_problems(self, key: ServiceKey) -> Iterator[str]:
        """What there is to say about a name that was asked for and not given."""
        claim, name = self._selection.claims[key], self._names[key]
        if claim.given and name.lower() != flat_names.shortened(claim.wanted).lower():
            instead = f"it is {name!r} until then" if name else "it has none"
            yield f"service-name: another service has the name {claim.wanted!r}; {instead}"

    def _plan_descriptor(
        self, plan: Plan, key: ServiceKey, entries: Entries | None, existing: Existing
    ) -> None:
        flat = self._names.get(key)
        if flat and self._is_claimed(key):
            entry = state.name_entry(flat, self._owners[flat.lower()], self._identity)
            if entry.path not in plan.claimed:
                plan.claimed.add(entry.path)
                self._set_key(plan, entry, key, existing)
        # Before the descriptor, so that a resolver that finds a service finds its endpoints.
        described = entries.endpoints if entries is not None else ()
        for each in described:
            self._set_key(plan, each, key, existing)
        for path in sorted(existing.endpoints.get(key, set()) - {each.path for each in described}):
            self._remove_key(plan, path, key, existing)
        if entries is not None:
            self._set_key(plan, entries.descriptor, key, existing)
        else:
            self._remove_key(plan, self._identity.descriptor_key(*key), key, existing)

    def _is_claimed(self, key: ServiceKey) -> bool:
        """Names that are shared on purpose are nobody's."""
        return self._selection.claims[key].policy != "merge"

    def _plan_instances(
        self, plan: Plan, key: ServiceKey, entries: Entries | None, existing: Existing
    ) -> None:
        there = existing.instances.get(key, {})
        wanted = {each.id: each for each in entries.instances} if entries is not None else {}
        node = self._identity.node
        for id_, instance in wanted.items():
            plan.additions += [Step(op, key) for op in _set(node, instance, there.get(id_))]
        plan.removals += [
            Step(RemoveInstance(node, id_, old.service, old.index), key)
            for id_, old in there.items()
            if id_ not in wanted
        ]

    def _plan_names(self, plan: Plan, existing: Existing) -> None:
        """Give back the names that nobody uses any more."""
        for name, owner in existing.names.items():
            if name not in self._owners:
                namespace, _ = owner
                self._remove_key(plan, NameKey(name).path, owner if namespace else None, existing)

    def _claim(self, key: ServiceKey, candidates: tuple[Candidate, ...]) -> set[str]:
        before = self._claimed_by.pop(key, ())
        for old in before:
            others = self._claims.get(old.address, {})
            others.pop(key, None)
            if not others:
                self._claims.pop(old.address, None)
        if candidates:
            self._claimed_by[key] = candidates
        for new in candidates:
            self._claims.setdefault(new.address, {})[key] = min(
                new, self._claims.get(new.address, {}).get(key, new), key=lambda each: each.rank
            )
        return {each.address for each in (*before, *candidates)}

    def _plan_addresses(
        self, plan: Plan, addresses: Mapping[str, ServiceKey | None], existing: Existing
    ) -> None:
        cache = self._selection.cache
        pods = cache.pods if self._settings.reverse_verify_pods else None
        for text, service in sorted(addresses.items(), key=lambda item: item[0]):
            address = parse_address(text)
            if address is None:
                continue
            chosen = reverse_names.choose(
                self._claims.get(text, {}).values(),
                nodes=cache.node_addresses,
                pods=pods,
            )
            if chosen is not None:
                entry = reverse_names.entry(chosen, self._identity)
                self._set_key(plan, entry, chosen.service, existing, plan.reverse)
            else:
                self._remove_key(plan, reverse_layout.key(address), service, existing)

    def _plan_cluster(self, plan: Plan, existing: Existing, version: str) -> None:
        node = self._identity.node_registration()
        first = [] if existing.node == node else [Step(SetNode(node))]
        plan.additions[:0] = first
        if version:
            # After all services: a resolver that finds it knows that none of them is missing.
            record = state.cluster_record(
                version, self._selection.namespaces, self._settings, self._identity
            )
            self._set_key(plan, record, None, existing)

    def _set_key(
        self,
        plan: Plan,
        key: Key,
        service: ServiceKey | None,
        existing: Existing,
        steps: list[Step] | None = None,
    ) -> None:
        """Add a step to write a key, unless it is there, or is somebody else's."""
        undecided = existing.undecided.get(key.path)
        if undecided is not None and undecided.key.value == key.value:
            there: ExistingKey | None = ExistingKey(0, undecided.index)
        elif key.path in existing.foreign_keys:
            plan.conflicts.add(key.path)
            return
        else:
            there = existing.keys.get(key.path)
        if there is None or there.fingerprint != contents.key_fingerprint(key):
            index = there.index if there is not None else 0
            (plan.additions if steps is None else steps).append(Step(SetKey(key, index), service))

    def _remove_key(
        self, plan: Plan, path: str, service: ServiceKey | None, existing: Existing
    ) -> None:
        there = existing.keys.get(path)
        if there is not None:
            plan.removals.append(Step(RemoveKey(path, there.index), service))


def _set(node: str, instance: Instance, there: ExistingInstance | None) -> Iterator[Operation]:
    """What makes an instance, with its check, what it should be."""
    if there is None or there.fingerprint != contents.fingerprint(instance):
        yield SetInstance(node, instance)
    if there is None or there.check != contents.check_fingerprint(instance):
        yield SetCheck(node, instance)


def removal_of_all(existing: Existing, node: str) -> Plan:
    """A plan to remove everything that this cluster has in Consul, but for the node."""
    instances = [
        Step(RemoveInstance(node, id_, each.service, each.index), key)
        for key, there in existing.instances.items()
        for id_, each in there.items()
    ]
    keys = [Step(RemoveKey(path, each.index)) for path, each in existing.keys.items()]
    return Plan(removals=instances + keys)
