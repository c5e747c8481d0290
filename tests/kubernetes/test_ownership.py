"""One cluster under two names, and a copy of it: nobody touches what another has written."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from consuldns.config.sync import SyncSettings
from consuldns.consul.operations import Key, StoredKey
from consuldns.sync.existing import contents, others
from consuldns.sync.ownership import Identity, unnamed_flags
from consuldns.sync.planning.plan import Plan, removal_of_all
from tests.kubernetes.memory_catalog import MemoryCatalog
from tests.kubernetes.objects import service
from tests.kubernetes.test_plan import World

UID = "uid-1"
IDENTITIES = {
    name: Identity(name, UID, "dc1", "consul", "dc1.consul") for name in ("blue", "green", "copy")
}
ORIGINAL = ("blue", "green")  # see the same cluster; the copy was restored from its snapshot


@dataclass
class Worlds:
    """Three workers on one Consul, which has the same UID for each of them."""

    registry: MemoryCatalog = field(default_factory=MemoryCatalog)
    sync_settings: SyncSettings = field(default_factory=SyncSettings)

    def __post_init__(self) -> None:
        self.workers = {
            name: World(self.sync_settings, identity, self.registry)
            for name, identity in IDENTITIES.items()
        }

    def seeing(self, cluster: str) -> list[World]:
        """The workers that see a cluster: the original's two, or the copy's."""
        return [self.workers[name] for name in (ORIGINAL if cluster == "original" else ("copy",))]

    async def sync(self, name: str) -> int:
        """Have one worker read, plan and write; how many operations it took."""
        worker = self.workers[name]
        worker.existing = await contents.read(self.registry, worker.identity)
        worker.selection.take_dirty()
        found = await others.read(self.registry, worker.existing, worker.selection, worker.identity)
        plan = worker.planner.plan_all(worker.existing, others=found, version="v1")
        return await self.do(name, plan)

    async def purge(self, name: str) -> None:
        """Remove all that one worker wrote; it runs no more."""
        worker = self.workers[name]
        worker.existing = await contents.read(self.registry, worker.identity)
        await self.do(name, removal_of_all(worker.existing, worker.identity.node))
        self.registry.nodes.pop(worker.identity.node, None)
        worker.selection.services.clear()
        worker.selection.claims.clear()

    async def do(self, name: str, plan: Plan) -> int:
        """Do a plan, and see that it touches nothing of the others."""
        before = {other: self.entries_of(other) for other in self.workers if other != name}
        operations = sum(plan.counts().values())
        result = await self.workers[name].apply(plan)
        assert not result.failed, result.failed
        assert before == {other: self.entries_of(other) for other in before}
        return operations

    def entries_of(self, name: str) -> dict[str, object]:
        """Everything that one worker has written."""
        identity = IDENTITIES[name]
        entries: dict[str, object] = {
            path: stored
            for path, stored in self.registry.stored_keys.items()
            if path.startswith(identity.root) or stored.key.flags == identity.flags
        }
        return entries | {
            f"instance {id_}": stored
            for (node, id_), stored in self.registry.instances_by_id.items()
            if node == identity.node
        }

    async def settle(self) -> None:
        """Until nobody has anything to write; a handful of rounds must do."""
        for _ in range(4):
            if not sum([await self.sync(name) for name in self.workers]):
                return
        raise AssertionError("the workers never come to rest")

    def assert_right(self) -> None:
        """Every service is under one name for each worker, and every address has its name."""
        users: dict[str, tuple[str, object]] = {}
        for name, worker in self.workers.items():
            for key, flat in worker.planner.names.items():
                if key in worker.selection.services:
                    assert users.setdefault(flat, (name, key)) == (name, key)
                    claim = self.registry.stored_keys[f"consuldns/k8s-names/{flat}"].key
                    assert claim.value.decode() == f"{name}/{key[0]}/{key[1]}"
                    assert claim.flags == worker.identity.flags
        wanted = {
            address: key
            for worker in self.workers.values()
            for key, service_ in worker.selection.services.items()
            for address in service_.cluster_ips
        }
        paths = {path for path in self.registry.stored_keys if path.startswith("0.")}
        assert {path.rpartition("/")[2] for path in paths} == wanted.keys()
        for path in paths:
            stored = self.registry.stored_keys[path].key
            (owner,) = [n for n, each in IDENTITIES.items() if each.flags == stored.flags]
            flat = stored.value.decode().removesuffix(".service.dc1.consul")
            assert users[flat][0] == owner


names = st.sampled_from(["a", "b", "a-x"])
namespaces = st.sampled_from(["x", "y"])
some_change = st.tuples(
    st.sampled_from(["original", "copy"]),
    st.sampled_from(["put", "put", "remove"]),
    namespaces,
    names,
    st.integers(1, 6),
)
some_event = st.one_of(
    some_change,
    some_change,
    st.tuples(st.just("sync"), st.sampled_from(sorted(IDENTITIES))),
)


def happen(worlds: Worlds, event: Any) -> None:
    """A service comes, changes or goes in one of the two clusters."""
    cluster, word, namespace, name, number = event
    for worker in worlds.seeing(cluster):
        if word == "remove":
            worker.remove("svc", namespace, name)
        else:
            worker.put(service(name, f"10.0.0.{number}", namespace=namespace))


@given(
    st.lists(some_event, max_size=14), st.lists(st.sampled_from(sorted(IDENTITIES)), unique=True)
)
@settings(max_examples=150, deadline=None)
def test_two_names_and_a_copy_come_to_rest_and_leave_each_other_alone(
    events: list[Any], purged: list[str]
) -> None:
    async def check() -> None:
        worlds = Worlds()
        for event in events:
            if event[0] == "sync":
                await worlds.sync(event[1])
            else:
                happen(worlds, event)
        await worlds.settle()
        worlds.assert_right()
        flat = {name: dict(worker.planner.names) for name, worker in worlds.workers.items()}
        for name in purged:
            await worlds.purge(name)
            assert worlds.entries_of(name).keys() <= {IDENTITIES[name].leader_key}
            await worlds.settle()
            worlds.assert_right()
            # Who stays takes over the addresses, and keeps its names.
            for other, worker in worlds.workers.items():
                if worker.selection.services:
                    assert worker.planner.names == flat[other]

    asyncio.run(check())


# --- keys of earlier versions, whose Flags are of the UID alone ----------------------------------


@given(
    before=st.lists(some_change, max_size=8),
    meanwhile=st.lists(some_change, max_size=4),
    order=st.permutations(ORIGINAL),
    alone=st.booleans(),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_keys_of_an_earlier_version_find_their_owner(
    before: list[Any], meanwhile: list[Any], order: list[str], alone: bool, data: st.DataObject
) -> None:
    """Under one name all are ours. Under two, each key is of whoever wrote it last."""

    async def check() -> None:
        worlds = Worlds()
        names_used = order[:1] if alone else order
        for event in before:
            happen(worlds, event)
        for name in names_used:
            await worlds.sync(name)
        for path, stored in list(worlds.registry.stored_keys.items()):
            if path.startswith(("0.", "consuldns/k8s-names/")):
                value = stored.key.value
                if path.startswith("0.") and not alone:
                    # They fought for it: either may have had the last word.
                    flat = data.draw(st.sampled_from(targets(worlds, path.rpartition("/")[2])))
                    value = f"{flat}.service.dc1.consul".encode()
                old = Key(path, value, unnamed_flags(UID))
                worlds.registry.stored_keys[path] = StoredKey(old, stored.index)
        for event in meanwhile:  # while neither version runs
            happen(worlds, event)
        for _ in range(3):
            for name in names_used:
                await worlds.sync(name)
        assert not sum([await worlds.sync(name) for name in names_used])
        left = {
            path
            for path, stored in worlds.registry.stored_keys.items()
            if stored.key.flags == unnamed_flags(UID)
        }
        assert left == set()

    asyncio.run(check())


@given(st.lists(some_change, max_size=8), st.lists(some_change, max_size=3), st.booleans())
@settings(max_examples=60, deadline=None)
def test_keys_of_an_earlier_version_that_no_claim_decides(
    before: list[Any], meanwhile: list[Any], is_purged: bool
) -> None:
    """A nested target tells nothing of the writer: whoever wants the same takes it over.

    What nobody wants stays while there are two names, and goes with the first purge.
    """

    async def check() -> None:
        worlds = Worlds(sync_settings=SyncSettings(reverse_target="nested"))
        for event in before:
            happen(worlds, event)
        for name in ORIGINAL:
            await worlds.sync(name)
        for path, stored in list(worlds.registry.stored_keys.items()):
            if path.startswith(("0.", "consuldns/k8s-names/")):
                old = Key(path, stored.key.value, unnamed_flags(UID))
                worlds.registry.stored_keys[path] = StoredKey(old, stored.index)
        wanted_before = wanted(worlds)
        for event in meanwhile:
            happen(worlds, event)
        for name in (*ORIGINAL, *ORIGINAL):
            await worlds.sync(name)
        stay = {
            path: stored.key
            for path, stored in worlds.registry.stored_keys.items()
            if path.startswith("0.") and stored.key.flags == unnamed_flags(UID)
        }
        now = wanted(worlds)
        for path, key in stay.items():
            address = path.rpartition("/")[2]
            assert now.get(address) != wanted_before[address], key
        if is_purged:
            await worlds.purge("green")
            await worlds.sync("blue")
            flags = {
                stored.key.flags
                for path, stored in worlds.registry.stored_keys.items()
                if path.startswith("0.")
            }
            assert flags <= {IDENTITIES["blue"].flags}

    asyncio.run(check())


def wanted(worlds: Worlds) -> dict[str, set[tuple[str, str]]]:
    """The services of the original that have each address."""
    found: dict[str, set[tuple[str, str]]] = {}
    for key, service_ in worlds.workers["blue"].selection.services.items():
        for address in service_.cluster_ips:
            found.setdefault(address, set()).add(key)
    return found


def targets(worlds: Worlds, address: str) -> list[str]:
    """The flat names under which the original's workers have an address."""
    return sorted(
        {
            worlds.workers[name].planner.names[key]
            for name in ORIGINAL
            for key, service_ in worlds.workers[name].selection.services.items()
            if address in service_.cluster_ips
        }
    )
