"""Rights that are missing: what the others allow is done, nothing goes that depends on the rest."""

import asyncio
import itertools
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from consuldns import descriptor, reverse_layout
from consuldns.config.schema import Settings
from consuldns.config.sync import IngressAddresses, SyncSettings
from consuldns.errors import KubernetesError
from consuldns.names import parse_address
from consuldns.sync.desired import state
from consuldns.sync.existing import contents
from consuldns.sync.kubernetes.access import plain_url
from consuldns.sync.kubernetes.client import KubernetesClient
from consuldns.sync.kubernetes.objects import EndpointSlice, Ingress, Node, Service, ServiceKey
from consuldns.sync.ownership import Identity
from consuldns.sync.planning.plan import Plan, Planner
from consuldns.sync.worker import SyncWorker
from tests.kubernetes.api_server import ApiServer, Grant, Object
from tests.kubernetes.mapping import overrides_of
from tests.kubernetes.memory_catalog import MemoryCatalog
from tests.kubernetes.objects import endpoint, ingress, node, rule, service, slice_
from tests.support.properties import examples

IDENTITY = Identity("blue", "uid-of-kube-system", "dc1", "consul", "dc1.consul")
NAMESPACES = ("a", "b")
KINDS = ("services", "endpointslices", "nodes", "namespaces", "ingresses")
NODES = {"n1": "192.168.0.1", "n2": "192.168.0.2"}

# What decides which instances a service has, beside the service itself.
DEPENDS: dict[str, tuple[str, ...]] = {
    "vip": ("ingresses",),  # if Ingresses are to count
    "exposed": ("ingresses",),
    "external": (),
    "lb": (),
    "headless": ("endpointslices",),
    "node-port": ("endpointslices", "nodes"),
}

Place = tuple[str, str, str]
"""Namespace and name of a service, and an address of it in the catalog."""


@dataclass
class Facts:
    """What a cluster has: kinds of services, the pods of each, and nodes."""

    services: dict[ServiceKey, str]
    pods: dict[ServiceKey, list[int]]
    nodes: set[str]

    def objects(self) -> Iterator[tuple[str, Object]]:
        for name in NAMESPACES:
            yield "namespaces", {"metadata": {"name": name, "uid": f"uid-of-{name}"}}
        for name in sorted(self.nodes):
            yield "nodes", node(name, NODES[name])
        for (namespace, name), kind in self.services.items():
            yield "services", self._service(kind, namespace, name)
            if kind not in ("external", "lb"):
                pods = self.pods[namespace, name]
                endpoints = [self._endpoint(namespace, name, pod) for pod in pods]
                yield "endpointslices", slice_(name, *endpoints, namespace=namespace)
            if kind == "exposed":
                address = {"ip": f"198.51.{NAMESPACES.index(namespace)}.{ord(name)}"}
                to = rule("", name)
                yield "ingresses", ingress(name, to, namespace=namespace, addresses=(address,))

    def _service(self, kind: str, namespace: str, name: str) -> Object:
        number = f"{NAMESPACES.index(namespace)}.{ord(name)}"
        spec: dict[str, Any] = {}
        if kind == "external":
            spec = {"type": "ExternalName", "externalName": f"{name}.example.com"}
        elif kind == "node-port":
            spec = {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}
        elif kind == "lb":
            spec = {"type": "LoadBalancer"}
            spec["status"] = {"loadBalancer": {"ingress": [{"ip": f"203.0.{number}"}]}}
        ip = {"external": "", "headless": "None"}.get(kind, f"10.0.{number}")
        return service(name, ip, namespace=namespace, uid=f"{kind}-{namespace}-{name}", **spec)

    def _endpoint(self, namespace: str, name: str, pod: int) -> Object:
        """Pod 0 is on the network of its node."""
        number = f"{NAMESPACES.index(namespace)}{ord(name)}"
        host = "n1" if pod % 2 == 0 else "n2"
        ip = NODES["n1"] if pod == 0 else f"10.1.{number}.{pod}"
        return endpoint(ip, pod=f"{name}-{pod}", node=host, namespace=namespace)

    def places(self, sync: SyncSettings, *, granted: set[str] | None = None) -> set[Place]:
        """What the catalog is to have, or what of it follows from some kinds of objects alone."""
        objects = list(self.objects())
        nodes = [msgspec.convert(o, Node) for kind, o in objects if kind == "nodes"]
        slices = [msgspec.convert(o, EndpointSlice) for k, o in objects if k == "endpointslices"]
        exposures = [msgspec.convert(o, Ingress) for kind, o in objects if kind == "ingresses"]
        found = set()
        for each in (msgspec.convert(o, Service) for kind, o in objects if kind == "services"):
            kind = self.services[each.key]
            needed = {"services", *DEPENDS[kind]}
            if sync.ingress == "off":
                needed.discard("ingresses")
            if granted is not None and not needed <= granted:
                continue
            own = [s for s in slices if s.service == each.key]
            by_name = {n.metadata.name: n for n in nodes}
            near = [e for e in exposures if e.metadata.namespace == each.key[0]]
            entries = state.entries(
                each, overrides_of(each), own, by_name, "flat", sync, IDENTITY, near
            )
            found |= {(*each.key, instance.address) for instance in entries.instances}
        return found


@dataclass
class Consul:
    """A Consul in memory, and workers that come and go, each with the rights of its time."""

    sync: SyncSettings
    registry: MemoryCatalog = field(default_factory=MemoryCatalog)

    async def follow(self, facts: Facts, grants: set[Grant] | None) -> Plan:
        """Let a new worker sync once; what it did."""
        async with (
            ApiServer(grants=grants) as server,
            KubernetesClient(plain_url(server.url)) as client,
        ):
            for resource, object_ in facts.objects():
                server.put(resource, object_)
            whole = Settings(sync=self.sync)
            worker = SyncWorker(
                whole, self.registry, client, IDENTITY, "v1", allow_mass_delete=True
            )
            try:
                await worker.list_once()
            except KubernetesError:
                return Plan()  # no services at all: nothing can be done
            existing = await contents.read(self.registry, IDENTITY)
            planner = Planner(worker.selection, self.sync, IDENTITY)
            plan = await worker.reconciler.plan_all(planner, existing)
            worker.reconciler.check(plan, existing)
            result = await worker.reconciler.applier.apply(plan, existing, None)
            assert not result.failed
            return plan

    def places(self) -> set[Place]:
        """The instances in the catalog."""
        found = set()
        for stored in self.registry.instances_by_id.values():
            meta = stored.instance.meta
            owner = meta["external-k8s-ns"], meta["external-k8s-ref-name"]
            found.add((*owner, stored.instance.address))
        return found

    def owners_by_name(self) -> dict[str, set[ServiceKey]]:
        """Which services have instances under each flat name."""
        found: dict[str, set[ServiceKey]] = {}
        for stored in self.registry.instances_by_id.values():
            meta = stored.instance.meta
            owner = meta["external-k8s-ns"], meta["external-k8s-ref-name"]
            found.setdefault(stored.instance.service, set()).add(owner)
        return found

    def keys(self, prefix: str) -> dict[str, bytes]:
        """The keys below a prefix."""
        stored = self.registry.stored_keys.items()
        return {path: key.key.value for path, key in stored if path.startswith(prefix)}


@st.composite
def some_facts(draw: st.DrawFn) -> Facts:
    keys = st.tuples(st.sampled_from(NAMESPACES), st.sampled_from("pqr"))
    services = draw(st.dictionaries(keys, st.sampled_from(list(DEPENDS)), max_size=5))
    pods = {key: draw(st.lists(st.integers(0, 3), max_size=2, unique=True)) for key in services}
    return Facts(services, pods, draw(st.sets(st.sampled_from(list(NODES)))))


def run(task: Coroutine[Any, Any, None]) -> None:
    asyncio.run(task)


def grants_of(chosen: set[Grant]) -> set[Grant]:
    return chosen | {("namespaces", "kube-system")}


@given(
    some_facts(),
    some_facts(),
    st.sets(st.sampled_from(list(itertools.product(KINDS, NAMESPACES)))),
    st.booleans(),
    st.sampled_from(["off", "address"]),
)
@settings(max_examples=50, deadline=None)
def test_what_the_rights_allow_is_done_and_nothing_else_goes(
    before: Facts,
    after: Facts,
    chosen: set[Grant],
    is_role: bool,
    ingress_setting: IngressAddresses,
) -> None:
    """Rights are those of Roles in two namespaces, or of a ClusterRole."""
    if not is_role:
        chosen = {(kind, "*") for kind, _ in chosen}
    for kind in ("nodes", "namespaces"):  # never in a namespace
        if (kind, "a") in chosen:
            chosen = chosen - {(kind, "a"), (kind, "b")} | {(kind, "*")}

    async def check() -> None:
        sync = SyncSettings(
            allow_namespaces=NAMESPACES if is_role else ("*",),
            ingress=ingress_setting,
            transactions_per_second=1000,
        )
        consul = Consul(sync)
        await consul.follow(before, None)
        assert consul.places() == before.places(sync)
        keys_before = consul.keys("0."), consul.keys(IDENTITY.root), consul.keys(descriptor.NAMES)
        await consul.follow(after, grants_of(chosen))
        there = consul.places()
        allowed = {
            namespace: {kind for kind in KINDS if {(kind, "*"), (kind, namespace)} & chosen}
            for namespace in NAMESPACES
        }
        # What the rights allow is there.
        for namespace, granted in allowed.items():
            wanted = {p for p in after.places(sync, granted=granted) if p[0] == namespace}
            assert wanted <= there
        # What should be there and was there still is: catalog, reverse keys, descriptors.
        assert before.places(sync) & after.places(sync) <= there
        complete = Consul(consul.sync)
        await complete.follow(after, None)
        for prefix, were in zip(("0.", IDENTITY.root), keys_before, strict=False):
            kept = were.keys() & complete.keys(prefix).keys()
            assert kept <= consul.keys(prefix).keys()
        # What the rights prove to be gone is gone.
        gone = before.services.keys() - after.services.keys()
        proven = {key for key in gone if "services" in allowed[key[0]]}
        assert not {place for place in there if place[:2] in proven}
        # No name is shared, and no address of a node has a reverse name that it had not.
        assert all(len(owners) == 1 for owners in consul.owners_by_name().values())
        for name in after.nodes:
            parsed = parse_address(NODES[name])
            assert parsed is not None
            assert (
                reverse_layout.key(parsed) not in consul.keys("0.").keys() - keys_before[0].keys()
            )
        # Nothing more is written with the same rights; and when all are there, all is right.
        assert not await consul.follow(after, grants_of(chosen))
        await consul.follow(after, None)
        assert consul.places() == after.places(sync)
        assert consul.keys("0.").keys() == complete.keys("0.").keys()
        assert not await consul.follow(after, None)

    run(check())


@given(some_facts(), some_facts(), st.sampled_from(NAMESPACES))
@examples(30)
def test_described_endpoints_stay_as_they_are_while_slices_may_not_be_listed(
    before: Facts, after: Facts, denied: str
) -> None:
    """An empty list for want of rights must not replace one that is known (`endpoint_names`)."""

    async def check() -> None:
        sync = SyncSettings(
            allow_namespaces=NAMESPACES, endpoint_names=True, transactions_per_second=1000
        )
        consul = Consul(sync)
        await consul.follow(before, None)
        root = f"{IDENTITY.root}ep/{denied}/"
        described = consul.keys(root)
        grants = {
            (kind, namespace)
            for kind, namespace in itertools.product(KINDS, NAMESPACES)
            if (kind, namespace) != ("endpointslices", denied)
        }
        await consul.follow(after, grants_of(grants))
        present = {f"{root}{name}" for namespace, name in after.services if namespace == denied}
        kept = {path: value for path, value in described.items() if path in present}
        assert kept.items() <= consul.keys(root).items()

    run(check())
