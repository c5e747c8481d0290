"""Plans: they make Consul what it should be, then are empty, and never take away on the way."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.config.sync import SyncSettings
from consuldns.consul.operations import (
    Key,
    Lock,
    LockLost,
    Operation,
    RemoveInstance,
    RemoveKey,
    SetInstance,
    SetKey,
    StoredKey,
)
from consuldns.sync.apply import Applier, ApplyResult, Rate, chunks
from consuldns.sync.cache import ClusterCache
from consuldns.sync.desired.flat_names import Others
from consuldns.sync.existing import contents
from consuldns.sync.existing.contents import Existing
from consuldns.sync.kubernetes.objects import EndpointSlice, Ingress, Service
from consuldns.sync.ownership import Identity
from consuldns.sync.planning.mass_deletion import MassDeletion
from consuldns.sync.planning.plan import Plan, Planner, Step
from consuldns.sync.selection import Selection
from tests.kubernetes.api_server import Object
from tests.kubernetes.memory_catalog import MemoryCatalog
from tests.kubernetes.objects import endpoint, service, slice_
from tests.support.properties import examples

T = TypeVar("T")
IDENTITY = Identity("blue", "uid-1", "dc1", "consul", "dc1.consul")
LOCK = Lock(IDENTITY.leader_key, "session")


def run(task: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(task)


@dataclass
class World:
    """A cluster, a planner, and a Consul in memory that the worker has the lock of."""

    sync: SyncSettings = field(default_factory=SyncSettings)
    identity: Identity = IDENTITY
    registry: MemoryCatalog = field(default_factory=MemoryCatalog)
    existing: Existing = field(default_factory=Existing)

    def __post_init__(self) -> None:
        self.cluster = ClusterCache()
        self.selection = Selection(self.cluster, self.sync)
        self.planner = Planner(self.selection, self.sync, self.identity)
        key = self.identity.leader_key
        self.registry.stored_keys[key] = StoredKey(Key(key, b""), 1, LOCK.session)
        self.applier = Applier(self.registry, Rate(1_000_000))
        self.objects: dict[tuple[str, str, str], Any] = {}

    @property
    def lock(self) -> Lock:
        return Lock(self.identity.leader_key, LOCK.session)

    def put(self, object_: Object) -> None:
        """An event: the object is there, or changed."""
        kind = "slice" if "endpoints" in object_ else "svc"
        new: EndpointSlice | Service | Ingress
        if kind == "slice":
            new = msgspec.convert(object_, EndpointSlice)
        elif "rules" in object_["spec"]:
            kind, new = "ingress", msgspec.convert(object_, Ingress)
        else:
            new = msgspec.convert(object_, Service)
        key = (kind, new.metadata.namespace, new.metadata.name)
        self._tell(kind, self.objects.get(key), new)
        self.objects[key] = new

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """An event: the object is gone."""
        old = self.objects.pop((kind, namespace, name), None)
        if old is not None:
            self._tell(kind, old, None)

    def _tell(self, kind: str, before: Any, after: Any) -> None:
        if kind == "slice":
            self.cluster.slices_changed([(before, after)])
        elif kind == "ingress":
            self.cluster.ingresses_changed([(before, after)])
        else:
            self.cluster.services_changed([(before, after)])

    def plan_all(self) -> Plan:
        self.selection.take_dirty()
        return self.planner.plan_all(self.existing, others=self._others(), version="v1")

    def plan_dirty(self) -> Plan:
        services, addresses, names = self.selection.take_dirty()
        return self.planner.plan(
            self.existing,
            services=services,
            addresses=addresses,
            others=self._others(),
            assign=names,
            version="v1",
        )

    def _others(self) -> Others:
        claimed = {p.rpartition("/")[2] for p in self.existing.foreign_keys if "names/" in p}
        return Others(self.registry.foreign_services | claimed)

    async def apply(self, plan: Plan) -> ApplyResult:
        return await self.applier.apply(plan, self.existing, self.lock)

    async def read(self) -> None:
        self.existing = await contents.read(self.registry, self.identity)

    def visible(self) -> dict[str, set[str]]:
        """The addresses that each service is found at, and what each address points to."""
        found: dict[str, set[str]] = {}
        for stored in self.registry.instances_by_id.values():
            each = stored.instance
            if each.status != "critical":
                found.setdefault(each.service, set()).add(each.address)
        for path, key in self.registry.stored_keys.items():
            if path.startswith("0."):
                found[path] = {key.key.value.decode()}
        return found


# --- random clusters -----------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "c", "a-x"])
namespaces = st.sampled_from(["x", "y"])
ips = st.integers(1, 9).map(lambda n: f"10.0.0.{n}")
pod_ips = st.integers(1, 6).map(lambda n: f"10.1.0.{n}")


@st.composite
def some_service(draw: st.DrawFn) -> Object:
    kind = draw(st.sampled_from(["vip", "vip", "headless", "external"]))
    name, namespace = draw(names), draw(namespaces)
    created = draw(st.sampled_from(["1", "2", "3"]))
    mode = draw(st.sampled_from(["", "", "endpoints", "both"]))
    annotations = {"consuldns/service-mode": mode} if mode else {}
    if kind == "external":
        return service(
            name, namespace=namespace, created=created, type="ExternalName", externalName="e.test"
        )
    ip = draw(ips) if kind == "vip" else "None"
    return service(name, ip, namespace=namespace, created=created, annotations=annotations)


@st.composite
def some_slice(draw: st.DrawFn) -> Object:
    name, namespace = draw(names), draw(namespaces)
    endpoints = [
        endpoint(ip, ready=draw(st.booleans()), pod=f"p-{ip}", namespace=namespace)
        for ip in draw(st.lists(pod_ips, max_size=3, unique=True))
    ]
    number = draw(st.sampled_from("12"))
    return slice_(name, *endpoints, name=f"{name}-{number}", namespace=namespace)


some_object = some_service() | some_slice()
some_removal = st.tuples(st.sampled_from(["svc", "slice"]), namespaces, names)


def happen(world: World, event: Any) -> None:
    if isinstance(event, dict):
        world.put(event)
    else:
        kind, namespace, name = event
        world.remove(kind, namespace, f"{name}-1" if kind == "slice" else name)


@given(st.lists(some_object, max_size=12), st.lists(some_object | some_removal, max_size=8))
@examples(150)
def test_a_plan_that_is_done_leaves_nothing_to_do(first: list[Any], then: list[Any]) -> None:
    async def check() -> None:
        world = World()
        for events in (first, then):
            for event in events:
                happen(world, event)
            result = await world.apply(world.plan_all())
            assert not result.failed
            assert not world.plan_all()
            await world.read()
            assert not world.plan_all()

    run(check())


@given(
    st.lists(some_object, max_size=10), st.lists(st.lists(some_object | some_removal), max_size=4)
)
@examples(150)
def test_following_events_leads_to_the_same_as_looking_at_everything(
    first: list[Any], batches: list[list[Any]]
) -> None:
    async def check() -> None:
        world = World()
        for events in [first, *batches]:
            for event in events:
                happen(world, event)
            assert not (await world.apply(world.plan_dirty())).failed
        assert list(world.plan_all().steps) == []
        await world.read()
        assert list(world.plan_all().steps) == []

    run(check())


@given(st.lists(some_object, max_size=12), st.lists(some_object | some_removal, max_size=8))
@examples(150)
def test_what_is_there_before_and_after_is_there_in_between(
    first: list[Any], then: list[Any]
) -> None:
    async def check() -> None:
        world = World()
        for event in first:
            happen(world, event)
        await world.apply(world.plan_all())
        before = world.visible()
        seen: list[dict[str, set[str]]] = []
        world.registry.on_transaction = lambda: seen.append(world.visible())
        for event in then:
            happen(world, event)
        plan = world.plan_all()
        for step in plan.steps:  # the worst case: every operation a transaction of its own
            await world.apply(Plan(additions=[step]))
        after = world.visible()
        for name in before.keys() & after.keys():
            for moment in seen:
                assert moment.get(name), f"{name} was missing"
                assert moment[name] >= before[name] & after[name]

    run(check())


@given(st.lists(some_object, max_size=12))
@examples(60)
def test_what_is_not_ours_is_never_touched(objects: list[Any]) -> None:
    async def check() -> None:
        world = World()
        other = Identity("green", "uid-2", "dc1", "consul", "dc1.consul")
        foreign = [
            Key("0.0.0.10.IN-ADDR.ARPA/10.0.0.1", b"by.hand"),
            Key("0.0.0.10.IN-ADDR.ARPA/10.0.0.2", b"of.another", other.flags),
            Key("consuldns/k8s-names/b", b"green/x/b", other.flags),
            Key("consuldns/k8s/green/svc/x/a", b"{}", other.flags),
        ]
        for key in foreign:
            world.registry.stored_keys[key.path] = StoredKey(key, 5)
        world.registry.foreign_services |= {"a"}
        await world.read()
        for object_ in objects:
            happen(world, object_)
        await world.apply(world.plan_all())
        for key in foreign:
            assert world.registry.stored_keys[key.path] == StoredKey(key, 5)
        services = {stored.instance.service for stored in world.registry.instances_by_id.values()}
        assert not services & {"a", "b", "consul"}
        for event in [("svc", ns, n) for ns in "xy" for n in ("a", "b", "c", "a-x")]:
            happen(world, event)
        await world.apply(world.plan_all())
        assert {k for k in world.registry.stored_keys if "blue" not in k} == {
            key.path for key in foreign
        }
        assert world.registry.instances_by_id == {}

    run(check())


# --- single cases --------------------------------------------------------------------------------


async def test_the_record_of_a_cluster_is_written_when_its_services_are() -> None:
    world = World()
    for number in range(100):
        world.put(service(f"s{number}", f"10.0.0.{number}"))
    seen = []
    for chunk in chunks(world.plan_all().steps):
        await world.registry.apply([step.operation for step in chunk], world.lock)
        paths = world.registry.stored_keys.keys()
        is_there = world.identity.record_key in paths
        seen.append((is_there, sum("/svc/" in path for path in paths)))
    assert len(seen) > 2
    assert all(count == 100 for is_there, count in seen if is_there)
    assert seen[-1] == (True, 100)


@pytest.mark.parametrize(
    "events",
    [
        [("svc", "default", "a"), service("c", "10.0.0.1")],
        [service("a", "10.0.0.3"), service("b", "10.0.0.1")],
    ],
    ids=["another-service-is-made", "two-services-change"],
)
async def test_65_an_address_that_moves_is_set_once(events: list[Any]) -> None:
    world = World()
    world.put(service("a", "10.0.0.1"))
    world.put(service("b", "10.0.0.2"))
    await world.apply(world.plan_all())
    for event in events:
        happen(world, event)
    plan = world.plan_dirty()
    path = "0.0.0.10.IN-ADDR.ARPA/10.0.0.1"
    assert [kind for kind, each in _keys_of(plan) if each == path] == [SetKey]


def _keys_of(plan: Plan) -> list[tuple[type[Operation], str]]:
    operations = [step.operation for step in plan.steps]
    sets = [(SetKey, op.key.path) for op in operations if isinstance(op, SetKey)]
    return sets + [(RemoveKey, op.path) for op in operations if isinstance(op, RemoveKey)]


async def test_one_changed_endpoint_is_one_transaction() -> None:
    world = World(SyncSettings(mode="endpoints"))
    world.put(service("a", "10.0.0.1"))
    world.put(slice_("a", *(endpoint(f"10.1.0.{n}", pod=f"p{n}") for n in range(10))))
    await world.apply(world.plan_all())
    world.put(slice_("a", *(endpoint(f"10.1.0.{n}", pod=f"p{n}") for n in range(1, 11))))
    result = await world.apply(world.plan_dirty())
    assert result.transactions == 1
    assert result.done == {"SetInstance": 1, "SetCheck": 1, "RemoveInstance": 1}


async def test_readiness_is_one_operation() -> None:
    world = World()
    world.put(service("a", "10.0.0.1"))
    await world.apply(world.plan_all())
    world.put(slice_("a", endpoint("10.1.0.1", pod="p")))
    plan = world.plan_dirty()
    assert plan.counts() == {"SetCheck": 1}


async def test_the_second_service_of_a_name_keeps_its_own_when_the_first_goes() -> None:
    world = World()
    world.put(service("a", "10.0.0.1", namespace="x", created="1"))
    world.put(service("a", "10.0.0.2", namespace="y", created="2"))
    await world.apply(world.plan_all())
    assert world.planner.names == {("x", "a"): "a", ("y", "a"): "a-y"}
    world.remove("svc", "x", "a")
    await world.apply(world.plan_dirty())
    assert world.planner.names == {("y", "a"): "a-y"}


async def test_names_outlive_the_loss_of_the_kv_tree() -> None:
    world = World()
    world.put(service("a", "10.0.0.1", namespace="x", created="1"))
    world.put(service("a", "10.0.0.2", namespace="y", created="2"))
    await world.apply(world.plan_all())
    lock = world.registry.stored_keys[IDENTITY.leader_key]
    world.registry.stored_keys = {IDENTITY.leader_key: lock}
    world.remove("svc", "x", "a")
    await world.read()
    result = await world.apply(world.plan_all())
    assert not result.failed
    assert world.planner.names == {("y", "a"): "a-y"}
    assert not world.plan_all()


async def test_a_former_clusters_reverse_keys_are_taken_over() -> None:
    old = World()
    old.put(service("a", "10.0.0.1"))
    await old.apply(old.plan_all())
    adopted = Identity("blue", "uid-2", "dc1", "consul", "dc1.consul", former=("uid-1",))
    new = World(identity=adopted, registry=old.registry)
    new.put(service("b", "10.0.0.1"))
    await new.read()
    assert not (await new.apply(new.plan_all())).failed
    stored = new.registry.stored_keys["0.0.0.10.IN-ADDR.ARPA/10.0.0.1"]
    assert stored.key == Key(stored.key.path, b"b.service.dc1.consul", adopted.flags)
    assert "0.0.0.10.IN-ADDR.ARPA/10.0.0.2" not in new.registry.stored_keys


# --- doing plans ---------------------------------------------------------------------------------


def filled(count: int) -> World:
    world = World()
    for number in range(count):
        world.put(service(f"s{number}", f"10.0.{number // 250}.{number % 250 + 1}"))
    return world


async def test_transactions_are_small_enough() -> None:
    world = filled(100)
    await world.apply(world.plan_all())
    assert all(len(each) <= 63 for each in world.registry.transactions)
    large = [
        Step(SetKey(Key(f"k{n}", b"x" * 100_000), 0)) for n in range(5)
    ]  # 133 kB each in base64
    assert [len(each) for each in chunks(large)] == [1, 1, 1, 1, 1]


def is_of(operation: Operation, name: str) -> bool:
    return isinstance(operation, SetInstance) and operation.instance.service == name


@pytest.mark.parametrize("says_which", [True, False], ids=["named", "bisected"])
async def test_a_service_that_is_refused_holds_up_no_other(says_which: bool) -> None:
    world = filled(40)
    world.registry.says_which = says_which
    world.registry.refuses = lambda op: "Permission denied" if is_of(op, "s7") else None
    result = await world.apply(world.plan_all())
    assert list(result.failed) == [("default", "s7")]
    assert "set instance" in result.failed["default", "s7"]
    services = {stored.instance.service for stored in world.registry.instances_by_id.values()}
    assert services == {f"s{number}" for number in range(40)} - {"s7"}
    world.registry.refuses = lambda _: None
    await world.read()
    result = await world.apply(world.plan_all())
    assert not result.failed
    assert not world.plan_all()


async def test_nothing_is_removed_of_a_service_whose_additions_failed() -> None:
    world = World()
    world.put(service("a", "10.0.0.1"))
    await world.apply(world.plan_all())
    world.put(service("a", "10.0.0.2"))
    world.registry.refuses = lambda op: "no" if isinstance(op, SetInstance) else None
    await world.apply(world.plan_dirty())
    addresses = {stored.instance.address for stored in world.registry.instances_by_id.values()}
    assert addresses == {"10.0.0.1"}


async def test_a_key_that_somebody_changed_meanwhile_stays_theirs() -> None:
    world = World()
    world.put(service("a", "10.0.0.1"))
    await world.apply(world.plan_all())
    path = "0.0.0.10.IN-ADDR.ARPA/10.0.0.1"
    theirs = StoredKey(Key(path, b"by.hand"), 99)
    world.registry.stored_keys[path] = theirs
    world.remove("svc", "default", "a")
    result = await world.apply(world.plan_dirty())
    assert result.failed
    assert world.registry.stored_keys[path] == theirs
    await world.read()
    await world.apply(world.plan_all())
    assert world.registry.stored_keys[path] == theirs
    assert not world.registry.instances_by_id


async def test_without_the_lock_nothing_is_written() -> None:
    world = filled(3)
    world.registry.stored_keys.clear()
    with pytest.raises(LockLost):
        await world.apply(world.plan_all())
    assert world.registry.instances_by_id == {}


# --- the guard -----------------------------------------------------------------------------------


def vanish(world: World, count: int) -> Plan:
    for number in range(count):
        world.remove("svc", "default", f"s{number}")
    return world.plan_dirty()


@pytest.mark.parametrize(
    ("total", "gone", "is_held"),
    [
        pytest.param(20, 11, True, id="more-than-half-and-more-than-ten"),
        pytest.param(20, 10, False, id="ten-are-not-more-than-ten"),
        pytest.param(30, 15, False, id="half-is-not-more-than-half"),
        pytest.param(10, 10, False, id="a-small-cluster"),
        pytest.param(12, 12, True, id="everything"),
    ],
)
async def test_mass_deletion(total: int, gone: int, is_held: bool) -> None:
    world = filled(total)
    await world.apply(world.plan_all())
    plan = vanish(world, gone)
    kept_back = MassDeletion(60).check(plan, world.existing, {"default"}, now=0, lists=1)
    assert bool(kept_back) is is_held
    removed = [s for s in plan.removals if isinstance(s.operation, RemoveInstance)]
    assert len(removed) == (0 if is_held else gone)


async def test_two_lists_some_time_apart_prove_it() -> None:
    world = filled(20)
    await world.apply(world.plan_all())
    vanish(world, 15)
    guard = MassDeletion(60)

    def is_held(now: float, lists: int) -> bool:
        return bool(
            guard.check(world.plan_all(), world.existing, {"default"}, now=now, lists=lists)
        )

    assert is_held(0, 1)
    assert is_held(59, 3)  # too soon
    assert is_held(61, 2)  # one list only
    assert not is_held(61, 3)


async def test_a_deleted_namespace_is_a_second_witness() -> None:
    world = filled(20)
    await world.apply(world.plan_all())
    plan = vanish(world, 15)
    assert not MassDeletion(60).check(plan, world.existing, set(), now=0, lists=1)


async def test_without_namespaces_there_is_no_second_witness() -> None:
    world = filled(20)
    await world.apply(world.plan_all())
    plan = vanish(world, 15)
    assert MassDeletion(60).check(plan, world.existing, None, now=0, lists=1)


async def test_what_is_proven_is_not_held_and_does_not_prove_the_rest() -> None:
    world = filled(40)
    await world.apply(world.plan_all())
    proven = {("default", f"s{number}") for number in range(15)}
    plan, guard = vanish(world, 39), MassDeletion(60)
    kept = guard.check(plan, world.existing, None, now=0, lists=1, proof=lambda keys: keys & proven)
    assert {step.service for step in plan.removals} == proven
    assert {step.waits_for for step in kept} == {"too many at once"}
    assert guard.waiting.keys() == {("default", f"s{number}") for number in range(15, 39)}


async def test_what_comes_back_was_never_gone() -> None:
    world = filled(20)
    await world.apply(world.plan_all())
    plan = vanish(world, 15)
    guard = MassDeletion(60)
    assert guard.check(plan, world.existing, {"default"}, now=0, lists=1)
    for number in range(15):
        world.put(service(f"s{number}", f"10.0.0.{number + 1}"))
    assert not guard.check(world.plan_all(), world.existing, {"default"}, now=1, lists=2)
    assert not guard.waiting


async def test_additions_are_not_held() -> None:
    world = filled(20)
    await world.apply(world.plan_all())
    world.put(service("new", "10.0.9.9"))
    plan = vanish(world, 20)
    assert MassDeletion(60).check(plan, world.existing, {"default"}, now=0, lists=1)
    result = await world.apply(plan)
    assert result.done["SetInstance"] == 1
    assert result.done["RemoveInstance"] == 0


async def test_allowed_is_allowed() -> None:
    world = filled(20)
    await world.apply(world.plan_all())
    plan = vanish(world, 20)
    guard = MassDeletion(60, allowed=True)
    assert not guard.check(plan, world.existing, {"default"}, now=0, lists=1)


async def test_a_service_that_is_scaled_down_is_no_mass_deletion() -> None:
    world = World(SyncSettings(mode="endpoints"))
    world.put(service("a", "10.0.0.1"))
    world.put(slice_("a", *(endpoint(f"10.1.0.{n}") for n in range(100))))
    await world.apply(world.plan_all())
    world.put(slice_("a", endpoint("10.1.0.1")))
    plan = world.plan_dirty()
    assert not MassDeletion(60).check(plan, world.existing, {"default"}, now=0, lists=1)
    assert len(plan.removals) == 99
