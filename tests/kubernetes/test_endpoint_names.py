"""Names of endpoints that are not in the catalog: what is written, and that it is CoreDNS's."""

import asyncio
from ipaddress import ip_address
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consuldns.config.sync import ReverseSource, SyncSettings
from consuldns.consul.operations import Key, StoredKey
from consuldns.descriptor import DescribedEndpoints
from consuldns.sync.desired import endpoint_names
from consuldns.sync.kubernetes.objects import Node
from consuldns.sync.planning.plan import Plan
from consuldns.views import keys as view_keys
from consuldns.views.clusters import Clusters
from tests.kubernetes.api_server import Object
from tests.kubernetes.core_dns import CoreDNS
from tests.kubernetes.mapping import IDENTITY, entries
from tests.kubernetes.objects import endpoint, ingress, node, rule, service, slice_
from tests.kubernetes.test_names import ask, catalog, synced
from tests.kubernetes.test_plan import World, happen
from tests.server.one_worker import Worker

HTTP = [{"name": "http", "protocol": "TCP", "port": 8080}]
LONG = "p" * 64
PODS = slice_(
    "web",
    endpoint("10.1.0.1", pod="web-a"),
    endpoint("10.1.0.2", pod="web-b", hostname="one"),
    endpoint("10.1.0.3", pod=LONG),
    endpoint("10.1.0.4", pod="web.c"),
    endpoint("10.1.0.5"),
    endpoint("10.1.0.6", pod="web-d", ready=False),
    endpoint("10.1.0.7", pod="web-e", ready=None),
    ports=HTTP,
)
V6 = slice_("web", endpoint("fd00::", pod="web-a"), name="web-6", family="IPv6", ports=HTTP)
BY_ADDRESS = {
    "10.1.0.1": "10-1-0-1",
    "10.1.0.2": "one",
    "10.1.0.3": "10-1-0-3",
    "10.1.0.4": "10-1-0-4",
    "10.1.0.5": "10-1-0-5",
    "10.1.0.7": "10-1-0-7",
    "fd00::": "fd00--0",
}
BY_POD = BY_ADDRESS | {"10.1.0.1": "web-a", "10.1.0.7": "web-e", "fd00::": "web-a"}
CLUSTER_IP, HEADLESS = service("web", "10.0.0.1"), service("web", "None")


def described(found: tuple[Key, ...]) -> dict[str, list[str]]:
    """Labels by path; one that is the address with dashes is empty."""
    return {
        key.path: [
            label
            for group in msgspec.json.decode(key.value, type=DescribedEndpoints).groups
            for _, label in group.endpoints
        ]
        for key in found
    }


PATH = "consuldns/k8s/blue/ep/default/web"
NODE_PORT = service("web", "10.0.0.1", type="NodePort")
EXTERNAL = service("web", type="ExternalName", externalName="example.com")


@pytest.mark.parametrize(
    ("object_", "options", "is_described"),
    [
        pytest.param(CLUSTER_IP, {}, True, id="cluster-ip"),
        pytest.param(NODE_PORT, {}, True, id="node-port"),
        pytest.param(CLUSTER_IP, {"endpoint_names": False}, False, id="not-set"),
        pytest.param(CLUSTER_IP, {"mode": "endpoints"}, False, id="in-the-catalog"),
        pytest.param(CLUSTER_IP, {"mode": "endpoints", "flat": ""}, True, id="without-flat-name"),
        pytest.param(HEADLESS, {}, False, id="headless"),
        pytest.param(HEADLESS, {"flat": ""}, True, id="headless-without-flat-name"),
        pytest.param(EXTERNAL, {}, False, id="external"),
    ],
)
def test_endpoints_are_described_if_the_catalog_does_not_have_them(
    object_: Object, options: dict[str, Any], is_described: bool
) -> None:
    found = entries(object_, PODS, **({"endpoint_names": True} | options)).endpoints
    assert [key.path for key in found] == ([PATH] if is_described else [])


@pytest.mark.parametrize("pod_names", [False, True])
@pytest.mark.parametrize("object_", [CLUSTER_IP, HEADLESS], ids=["cluster-ip", "headless"])
def test_labels(object_: Object, pod_names: bool) -> None:
    world = synced([object_, PODS, V6], SyncSettings(endpoint_names=True, pod_names=pod_names))
    worker = Worker(catalog(world).views())
    by_label: dict[str, set[str]] = {}
    for address, label in (BY_POD if pod_names else BY_ADDRESS).items():
        by_label.setdefault(label, set()).add(address)
    for label, addresses in by_label.items():
        name = f"{label}.web.default.svc.dc1.consul"
        four = {each for each in addresses if ":" not in each}
        assert ask(worker, f"{name} A") == four
        assert ask(worker, f"{name} AAAA") == addresses - four
        assert ask(worker, f"{name} SRV") == {f"0 100 8080 {name}."}
    for label in {"web-a", "10-1-0-1", "web-d", "10-1-0-6", LONG[:63], "web-c"} - by_label.keys():
        assert ask(worker, f"{label}.web.default.svc.dc1.consul A") == "NXDOMAIN"
        assert ask(worker, f"{label}.web.default.svc.dc1.consul TXT") == "NXDOMAIN"


def test_the_service_itself_has_its_cluster_ip_and_ports_as_before() -> None:
    world = synced(
        [service("web", "10.0.0.1", ports=[{"name": "http", "port": 80}]), PODS],
        SyncSettings(endpoint_names=True),
    )
    worker = Worker(catalog(world).views())
    base = "web.default.svc.dc1.consul"
    assert ask(worker, f"{base} A") == {"10.0.0.1"}
    assert ask(worker, f"_http._tcp.{base} SRV") == {f"0 100 80 {base}."}
    assert ask(worker, f"_tcp.{base} SRV") == set()
    assert ask(worker, f"_http._tcp.10-1-0-1.{base} SRV") == "NXDOMAIN"
    assert ask(worker, f"below.10-1-0-1.{base} A") == "NXDOMAIN"


# --- reverse names -------------------------------------------------------------------------------


def reverse(settings: SyncSettings, *objects: Object, nodes: tuple[Object, ...] = ()) -> list[str]:
    world = World(settings)
    world.cluster.nodes_changed([(None, msgspec.convert(each, Node)) for each in nodes])
    for object_ in objects:
        world.put(object_)
    asyncio.run(world.apply(world.plan_all()))
    stored = world.registry.stored_keys
    return sorted(
        f"{path.rpartition('/')[2]} {key.key.value.decode()}"
        for path, key in stored.items()
        if path.startswith("0.")
    )


NESTED = SyncSettings(endpoint_names=True, reverse_target="nested")
ONE = slice_("web", endpoint("10.1.0.1", pod="web-a"))
VIP = "10.0.0.1 web.default.svc.dc1.consul"
BELOW = "10.1.0.1 10-1-0-1.web.default.svc.dc1.consul"


def replace(**changes: Any) -> SyncSettings:
    return msgspec.structs.replace(NESTED, **changes)


@pytest.mark.parametrize(
    ("sync", "objects", "expected"),
    [
        pytest.param(NESTED, [CLUSTER_IP, ONE], [VIP, BELOW], id="both"),
        pytest.param(replace(endpoint_names=False), [CLUSTER_IP, ONE], [VIP], id="not-set"),
        pytest.param(replace(reverse=("cluster-ip",)), [CLUSTER_IP, ONE], [VIP], id="no-endpoints"),
        pytest.param(replace(reverse=()), [CLUSTER_IP, ONE], [], id="none"),
        pytest.param(
            replace(pod_names=True),
            [CLUSTER_IP, ONE],
            [VIP, "10.1.0.1 web-a.web.default.svc.dc1.consul"],
            id="by-pod",
        ),
        pytest.param(
            replace(reverse_target="flat"),
            [CLUSTER_IP, ONE],
            ["10.0.0.1 web.service.dc1.consul", BELOW],
            id="the-flat-name-has-the-cluster-ip-alone",
        ),
        pytest.param(
            NESTED,
            [CLUSTER_IP, slice_("web", endpoint("10.1.0.1", pod="web-a"), managed=False)],
            [VIP],
            id="by-hand",
        ),
        pytest.param(
            NESTED,
            [
                CLUSTER_IP,
                ONE,
                slice_("web", endpoint("10.1.0.1", pod="web-a"), name="a", managed=False),
            ],
            [VIP, BELOW],
            id="by-hand-and-by-the-controller",
        ),
        pytest.param(
            NESTED,
            [
                CLUSTER_IP,
                ONE,
                service("web", "10.0.0.2", namespace="shop"),
                slice_("web", endpoint("10.1.0.1", pod="x", namespace="shop"), namespace="shop"),
            ],
            [VIP, "10.0.0.2 web.shop.svc.dc1.consul"],
            id="two-namespaces-claim-it",
        ),
        pytest.param(
            NESTED,
            [
                CLUSTER_IP,
                ONE,
                service("thief", "10.0.0.2", namespace="shop"),
                slice_("thief", endpoint("10.0.0.1", pod="x", namespace="shop"), namespace="shop"),
            ],
            ["10.0.0.1 web.default.svc.dc1.consul", "10.0.0.2 thief.shop.svc.dc1.consul", BELOW],
            id="a-cluster-ip-belongs-to-its-service",
        ),
        pytest.param(
            NESTED,
            [
                service("web", "10.0.0.1", annotations={"consuldns/service-reverse": "false"}),
                ONE,
            ],
            [],
            id="not-wanted",
        ),
        pytest.param(
            NESTED,
            [CLUSTER_IP, ONE, service("all", "None"), slice_("all", endpoint("10.1.0.1", pod="p"))],
            [VIP, "10.1.0.1 10-1-0-1.all.default.svc.dc1.consul"],
            id="a-headless-service-first",
        ),
    ],
)
def test_reverse_names(sync: SyncSettings, objects: list[Object], expected: list[str]) -> None:
    assert reverse(sync, *objects) == sorted(expected)


def test_an_address_of_a_node_has_no_reverse_name() -> None:
    assert reverse(NESTED, CLUSTER_IP, ONE, nodes=(node("n1", "10.1.0.1"),)) == [VIP]


def test_a_headless_service_without_a_flat_name_claims_no_name_that_is_not_there() -> None:
    assert entries(HEADLESS, ONE, flat="").candidates == ()
    assert len(entries(HEADLESS, ONE, flat="", endpoint_names=True).candidates) == 1


# --- cost ----------------------------------------------------------------------------------------


def pods(*ready: bool) -> Object:
    each = (
        endpoint(f"10.1.{n // 200}.{n % 200 + 1}", pod=f"p{n}", ready=is_ready)
        for n, is_ready in enumerate(ready)
    )
    return slice_("web", *each)


async def test_an_endpoint_that_flaps_is_one_key_in_one_transaction() -> None:
    """With its reverse name that is a second operation of the same transaction."""
    cases: list[tuple[tuple[ReverseSource, ...], int]] = [((), 0), (("headless",), 1)]
    for reverse_names, more in cases:
        world = World(SyncSettings(endpoint_names=True, reverse=reverse_names))
        world.put(CLUSTER_IP)
        world.put(pods(True, True, True))
        await world.apply(world.plan_all())
        world.put(pods(True, False, True))
        result = await world.apply(world.plan_dirty())
        assert result.transactions == 1
        assert result.done == {"SetKey": 1} | ({"RemoveKey": 1} if more else {})
        world.put(pods(True, True, True))
        result = await world.apply(world.plan_dirty())
        assert result.transactions == 1
        assert result.done == {"SetKey": 1 + more}


async def test_without_the_setting_it_is_nothing() -> None:
    world = World()
    world.put(CLUSTER_IP)
    world.put(pods(True, True))
    await world.apply(world.plan_all())
    world.put(pods(True, False))
    assert not world.plan_dirty()


def test_the_same_endpoints_in_other_slices_are_the_same_content() -> None:
    one = slice_("web", endpoint("10.1.0.2", pod="b"), endpoint("10.1.0.1", pod="a"), name="z")
    two = [
        slice_("web", endpoint("10.1.0.1", pod="a"), name="b"),
        slice_("web", endpoint("10.1.0.2", pod="b"), endpoint("10.1.0.1", pod="a"), name="a"),
    ]
    assert (
        entries(CLUSTER_IP, one, endpoint_names=True).endpoints
        == entries(CLUSTER_IP, *two, endpoint_names=True).endpoints
    )


# --- large services ------------------------------------------------------------------------------

MANY = 2400


async def test_a_large_service_has_several_keys_of_which_a_flap_changes_one() -> None:
    world = World(SyncSettings(endpoint_names=True, pod_names=True, reverse=()))
    world.put(CLUSTER_IP)
    world.put(pods(*[True] * MANY))
    await world.apply(world.plan_all())
    stored = {path: each for path, each in world.registry.stored_keys.items() if "/ep/" in path}
    assert len(stored) == endpoint_names.count_of_parts(MANY) > 2
    assert max(len(each.key.value) for each in stored.values()) < 64 << 10
    labels = described(tuple(each.key for each in stored.values()))
    assert sum(map(len, labels.values())) == MANY
    world.put(pods(*[True] * (MANY - 1), False))
    result = await world.apply(world.plan_dirty())
    assert result.done == {"SetKey": 1}
    worker = Worker(catalog(world).views())
    assert ask(worker, "p7.web.default.svc.dc1.consul A") == {"10.1.0.8"}
    assert ask(worker, f"p{MANY - 1}.web.default.svc.dc1.consul A") == "NXDOMAIN"


@given(st.integers(0, 40), st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_no_endpoint_is_ever_in_no_key_when_a_service_grows_or_shrinks(
    before: int, after: int
) -> None:
    async def check() -> None:
        world = World(SyncSettings(endpoint_names=True, reverse=()))
        world.put(CLUSTER_IP)
        world.put(pods(*[True] * before))
        await world.apply(world.plan_all())
        stay = endpoints_in(world)
        world.put(pods(*[True] * after))
        stay &= {f"10.1.0.{n + 1}" for n in range(after)}
        moments: list[set[str]] = []
        world.registry.on_transaction = lambda: moments.append(endpoints_in(world))
        for step in world.plan_dirty().steps:
            await world.apply(Plan(additions=[step]))
        assert all(stay <= moment for moment in moments)
        assert endpoints_in(world) == {f"10.1.0.{n + 1}" for n in range(after)}
        await world.read()
        assert not world.plan_all()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endpoint_names, "PART", 4)
        asyncio.run(check())


def endpoints_in(world: World) -> set[str]:
    """The addresses that the resolver finds described."""
    clusters = catalog(world).views().read(view_keys.ClusterList("dc1"))
    assert isinstance(clusters, Clusters)
    ((each,),) = (cluster.services for cluster in clusters.clusters)
    return {address for group in each.endpoints or () for address, _ in group.endpoints}


async def test_keys_of_ours_that_should_not_be_there_are_removed() -> None:
    world = World(SyncSettings(endpoint_names=True))
    world.put(CLUSTER_IP)
    await world.apply(world.plan_all())
    for path in (f"{PATH}/7", "consuldns/k8s/blue/ep/default/gone"):
        world.registry.stored_keys[path] = StoredKey(Key(path, b"{}", IDENTITY.flags), 5)
    await world.read()
    await world.apply(world.plan_all())
    assert [path for path in world.registry.stored_keys if "/ep/" in path] == [PATH]
    world.remove("svc", "default", "web")
    await world.apply(world.plan_dirty())
    assert not [path for path in world.registry.stored_keys if "/ep/" in path]


async def test_they_go_when_the_setting_is_turned_off() -> None:
    world = World(SyncSettings(endpoint_names=True))
    world.put(CLUSTER_IP)
    world.put(ONE)
    await world.apply(world.plan_all())
    later = World(registry=world.registry)
    later.put(CLUSTER_IP)
    later.put(ONE)
    await later.read()
    await later.apply(later.plan_all())
    assert not [path for path in world.registry.stored_keys if "/ep/" in path]
    assert [path for path in world.registry.stored_keys if path.startswith("0.")] == [
        "0.0.0.10.IN-ADDR.ARPA/10.0.0.1"
    ]


# --- CoreDNS -------------------------------------------------------------------------------------

NAMES, NAMESPACES = ("a", "b", "c"), ("x", "y")
FLAT_NAMES = {*NAMES, *(f"{name}-{namespace}" for name in NAMES for namespace in NAMESPACES)}
POD_ADDRESSES = [f"10.1.0.{number}" for number in range(1, 5)] + ["fd00:1::1", "fd00:1::"]


@st.composite
def some_service(draw: st.DrawFn) -> Object:
    name, namespace = draw(st.sampled_from(NAMES)), draw(st.sampled_from(NAMESPACES))
    number = NAMES.index(name) * 2 + NAMESPACES.index(namespace) + 1
    four, six = f"10.0.0.{number}", f"fd00:10::{number}"
    ips = draw(st.sampled_from([[four], [four], [six], [four, six], ["None"], ["None"], []]))
    if not ips:
        target = draw(st.sampled_from(["ext.example", "a.x.svc.dc1.consul"]))
        return service(name, namespace=namespace, type="ExternalName", externalName=target)
    ports = [
        {"name": port, "protocol": protocol, "port": int(number), "nodePort": 30000}
        for port, protocol, number in draw(
            st.sampled_from(
                [
                    [("http", "TCP", 80)],
                    [("dns", "TCP", 53), ("dns-udp", "UDP", 53)],
                    [("http", "TCP", 80), ("metrics", "TCP", 9100)],
                ]
            )
        )
    ]
    type_ = "ClusterIP" if ips == ["None"] else draw(st.sampled_from(["ClusterIP", "NodePort"]))
    mode = draw(st.sampled_from(["", "", "endpoints", "both"]))
    annotations = {"consuldns/service-mode": mode} if mode else {}
    return service(name, ips, namespace=namespace, ports=ports, type=type_, annotations=annotations)


@st.composite
def some_slice(draw: st.DrawFn) -> Object:
    name, namespace = draw(st.sampled_from(NAMES)), draw(st.sampled_from(NAMESPACES))
    family = draw(st.sampled_from(["IPv4", "IPv4", "IPv6"]))
    addresses = [a for a in POD_ADDRESSES if (":" in a) is (family == "IPv6")]
    ports = draw(
        st.sampled_from(
            [
                [{"name": "http", "protocol": "TCP", "port": 8080}],
                [{"name": "dns", "protocol": "TCP", "port": 53}, {"name": "http", "port": 81}],
            ]
        )
    )
    chosen = draw(st.lists(st.sampled_from(addresses), max_size=3, unique=True))
    each = [
        endpoint(
            address,
            ready=draw(st.sampled_from([True, True, None, False])),
            terminating=draw(st.sampled_from([None, True])),
            # A pod has one name and one hostname, in whichever slices it is.
            pod={"fd00:1::1": "p-1"}.get(address, f"p-{addresses.index(address) + 1}"),
            hostname="host" if address in ("10.1.0.2", "10.1.0.3", "fd00:1::1") else "",
            namespace=namespace,
        )
        for address in chosen
    ]
    number = draw(st.sampled_from("12"))
    managed = draw(st.sampled_from([True, True, True, False]))
    return slice_(
        name,
        *each,
        name=f"{name}-{number}",
        namespace=namespace,
        family=family,
        ports=ports,
        managed=managed,
    )


@given(st.lists(some_service() | some_slice(), max_size=14), st.booleans())
@settings(max_examples=200, deadline=None)
def test_what_core_dns_answers_is_answered_here(objects: list[Any], pod_names: bool) -> None:
    model = CoreDNS(objects, zone="dc1.consul", pod_names=pod_names)
    sync = SyncSettings(endpoint_names=True, pod_names=pod_names, reverse_target="nested")
    world = World(sync)
    world.cluster.namespaces |= set(NAMESPACES)
    for object_ in objects:
        happen(world, object_)
    assert not asyncio.run(world.apply(world.plan_all())).failed
    worker = Worker(catalog(world).views())
    for name, types in model.names().items():
        for type_, expected in types.items():
            found = ask(worker, f"{name} {type_}")
            assert isinstance(found, set), (name, type_, found)
            # How weights are made of a number of records is not the same: docs/names.md.
            if type_ == "SRV":
                found = {without_weight(text) for text in found}
            assert found == expected, (name, type_)
    for name in model.absent():
        assert ask(worker, f"{name} A") == "NXDOMAIN", name


def without_weight(location: str) -> str:
    priority, _, port, target = location.split()
    return f"{priority} - {port} {target}"


@given(st.lists(some_service() | some_slice(), max_size=14), st.booleans())
@settings(max_examples=200, deadline=None)
def test_reverse_names_are_core_dns_s_and_lead_back(objects: list[Any], pod_names: bool) -> None:
    """One of those that CoreDNS has; none only where the guard of reverse names says so."""
    model = CoreDNS(objects, zone="dc1.consul", pod_names=pod_names)
    sync = SyncSettings(endpoint_names=True, pod_names=pod_names, reverse_target="nested")
    worker = Worker(catalog(synced(objects, sync)).views())
    for address in model.addresses():
        found = ask(worker, f"{ip_address(address).reverse_pointer} PTR")
        names = model.pointers(address)
        if not names or not model.is_beyond_doubt(address):
            flat = {f"{name}.service.dc1.consul." for name in FLAT_NAMES}
            assert found == "NXDOMAIN" or (isinstance(found, set) and found <= names | flat), (
                address
            )
            continue
        assert isinstance(found, set), (address, found)
        (name,) = found
        assert name in names
        assert address in ask(worker, f"{name} {'AAAA' if ':' in address else 'A'}")


# --- plans ---------------------------------------------------------------------------------------


@st.composite
def some_ingress(draw: st.DrawFn) -> Object:
    rules = [
        rule(draw(st.sampled_from(["a.example", "b.example", "", "*.example"])), name)
        for name in draw(st.lists(st.sampled_from(NAMES), max_size=2))
    ]
    addresses = draw(st.sampled_from([(), ({"ip": "203.0.113.7"},)]))
    name, namespace = draw(st.sampled_from("ij")), draw(st.sampled_from(NAMESPACES))
    return ingress(name, *rules, namespace=namespace, addresses=addresses)


some_event = (
    some_service()
    | some_slice()
    | some_ingress()
    | st.tuples(
        st.sampled_from(["svc", "slice"]), st.sampled_from(NAMESPACES), st.sampled_from(NAMES)
    )
    | st.tuples(st.just("ingress"), st.sampled_from(NAMESPACES), st.sampled_from("ij"))
)
some_settings = st.builds(
    SyncSettings,
    endpoint_names=st.booleans(),
    pod_names=st.booleans(),
    ingress=st.sampled_from(["off", "host", "address"]),
    mode=st.sampled_from(["vip", "endpoints"]),
)


@given(
    some_settings, some_settings, st.lists(st.lists(some_event, max_size=8), min_size=1, max_size=4)
)
@settings(max_examples=200, deadline=None)
def test_plans_make_everything_right_and_then_are_empty(
    sync: SyncSettings, later: SyncSettings, batches: list[list[Any]]
) -> None:
    """Whatever happens, with whichever settings, and when those change."""

    async def check() -> None:
        world = World(sync)
        for events in batches:
            for event in events:
                happen(world, event)
            assert not (await world.apply(world.plan_dirty())).failed
        assert list(world.plan_all().steps) == []
        await world.read()
        assert list(world.plan_all().steps) == []
        restarted = World(later, registry=world.registry)
        for object_ in world.objects.values():
            restarted.put(msgspec.to_builtins(object_))
        await restarted.read()
        assert not (await restarted.apply(restarted.plan_all())).failed
        await restarted.read()
        assert list(restarted.plan_all().steps) == []

    asyncio.run(check())
