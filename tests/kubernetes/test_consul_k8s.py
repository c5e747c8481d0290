"""A cluster moves from consul-k8s: names are shared with it, and stay when it goes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

import pytest

from consuldns.config.sync import SyncSettings
from consuldns.consul.operations import Instance as Registered
from consuldns.consul.operations import Node, SetInstance, SetNode
from consuldns.sync.existing import contents, others
from tests.kubernetes.api_server import Object
from tests.kubernetes.catalog import addresses, keys, services
from tests.kubernetes.conftest import Cluster, StartWorker
from tests.kubernetes.memory_catalog import MemoryCatalog
from tests.kubernetes.objects import endpoint, service, slice_
from tests.kubernetes.test_plan import IDENTITY, World
from tests.support.consul_agent import ConsulAgent, wait_until

NODE: Object = {
    "Node": "k8s-sync",
    "Address": "127.0.0.1",
    "NodeMeta": {"external-source": "kubernetes"},
    "SkipNodeUpdate": True,
}


def instance(name: str, address: str, *, namespace: str = "default", pod: str = "") -> Object:
    """An instance as consul-k8s registers it: of an endpoint if there is a pod, else in front."""
    hashed = sha256(f"{name}-{address}".encode()).hexdigest()[:12]
    meta = {"external-source": "kubernetes", "external-k8s-ns": namespace, "port-http": "80"}
    if pod:
        meta |= {"external-k8s-ref-kind": "Pod", "external-k8s-ref-name": pod}
    return {
        "ID": f"{name}-{hashed}",
        "Service": name,
        "Tags": ["k8s"],
        "Meta": meta,
        "Address": address,
        "Port": 8080,
    }


# --- whose name it is ----------------------------------------------------------------------------


async def names_beside(
    theirs: list[Object], *objects: Object, sync: SyncSettings | None = None, held_name: str = ""
) -> dict[str, str]:
    """The flat names of our services beside those of consul-k8s."""
    registry = MemoryCatalog()
    world = World(sync or SyncSettings(), IDENTITY, registry)
    node = Node(NODE["Node"], NODE["Address"], NODE["NodeMeta"])
    registered = [
        Registered(s["ID"], s["Service"], s["Address"], s["Port"], tuple(s["Tags"]), s["Meta"])
        for s in theirs
    ]
    await registry.apply(
        [SetNode(node), *(SetInstance(node.name, each) for each in registered)], None
    )
    for object_ in objects:
        world.put(object_)
    world.selection.take_dirty()
    world.existing = await contents.read(registry, IDENTITY)
    if held_name:
        world.existing.names[held_name] = ("default", "web")
    found = await others.read(registry, world.existing, world.selection, IDENTITY)
    world.planner.plan_all(world.existing, others=found, version="v1")
    return {"/".join(key): name for key, name in world.planner.names.items()}


WEB = service("web", "10.254.0.1")
WEB_POD = slice_("web", endpoint("10.244.1.5", pod="web-1"))
OTHER_POD = slice_("web", endpoint("10.244.1.9", pod="web-9"))
SHOP = service("web", "10.254.0.2", namespace="shop", created="2026-02-01T00:00:00Z")
SHOP_POD = slice_("web", endpoint("10.244.1.6", pod="web-1", namespace="shop"), namespace="shop")
BALANCED = service(
    "web", type="LoadBalancer", status={"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}]}}
)

POD = instance("web", "10.244.1.5", pod="web-1")
SHOPS_POD = instance("web", "10.244.1.6", namespace="shop", pod="web-1")


@pytest.mark.parametrize(
    ("theirs", "objects", "names"),
    [
        pytest.param([POD], [WEB, WEB_POD], {"default/web": "web"}, id="the-same-pod"),
        pytest.param([POD], [WEB], {"default/web": "web"}, id="no-endpoint-known"),
        pytest.param(
            [instance("web", "198.51.100.7")], [BALANCED], {"default/web": "web"}, id="balancer"
        ),
        pytest.param(
            [instance("web", "web.example.com")],
            [WEB, WEB_POD],
            {"default/web": "web"},
            id="host-of-an-ingress",
        ),
        pytest.param([POD], [WEB, OTHER_POD], {"default/web": "web-default"}, id="other-address"),
        pytest.param(
            [instance("web", "198.51.100.9")],
            [BALANCED],
            {"default/web": "web-default"},
            id="other-balancer",
        ),
        pytest.param(
            [instance("web", "10.244.1.5", pod="web-0")],
            [WEB, WEB_POD],
            {"default/web": "web-default"},
            id="other-pod-at-the-same-address",
        ),
        pytest.param(
            [instance("web", "10.244.1.5", namespace="prod", pod="web-1")],
            [WEB, WEB_POD],
            {"default/web": "web-default"},
            id="other-namespace",
        ),
        pytest.param(
            [POD, SHOPS_POD],
            [WEB, WEB_POD, SHOP, SHOP_POD],
            {"default/web": "web", "shop/web": "web-shop"},
            id="two-namespaces-without-suffix",
        ),
        pytest.param(
            [
                instance("web-default", "10.244.1.5", pod="web-1"),
                instance("web-shop", "10.244.1.6", namespace="shop", pod="web-1"),
            ],
            [WEB, WEB_POD, SHOP, SHOP_POD],
            {"default/web": "web", "shop/web": "web-shop"},
            id="two-namespaces-with-suffix",
        ),
        pytest.param(
            [POD, instance("api", "10.244.7.7", pod="api-7")],
            [WEB, OTHER_POD, service("api", "10.254.0.9")],
            {"default/web": "web-default", "default/api": "api-default"},
            id="of-another-cluster-as-far-as-one-can-tell",
        ),
        pytest.param(
            [POD, instance("api", "10.244.7.7", pod="api-7")],
            [WEB, WEB_POD, service("api", "10.254.0.9")],
            {"default/web": "web", "default/api": "api"},
            id="of-this-cluster-as-far-as-one-can-tell",
        ),
    ],
)
async def test_a_name_is_shared_with_the_very_same_service_only(
    theirs: list[Object], objects: list[Object], names: dict[str, str]
) -> None:
    assert await names_beside(theirs, *objects) == names


async def test_with_a_prefix() -> None:
    theirs = [instance("k8s-web", "10.244.1.5", pod="web-1")]
    sync = SyncSettings(prefix="k8s-")
    assert await names_beside(theirs, WEB, WEB_POD, sync=sync) == {"default/web": "k8s-web"}
    given = service("web", annotations={"consul.hashicorp.com/service-name": "cart"})
    theirs = [instance("cart", "10.244.1.5", pod="web-1")]
    assert await names_beside(theirs, given, WEB_POD, sync=sync) == {"default/web": "cart"}


async def test_a_suffix_that_an_earlier_version_gave_goes_while_consul_k8s_is_there() -> None:
    found = await names_beside([POD], WEB, WEB_POD, held_name="web-default")
    assert found == {"default/web": "web"}
    assert await names_beside([], WEB, WEB_POD, held_name="web-default") == {
        "default/web": "web-default"
    }


async def test_a_given_name_in_two_namespaces_is_shared_with_consul_k8s_as_one() -> None:
    name = {"consul.hashicorp.com/service-name": "Cart"}
    theirs = [
        instance("Cart", "10.244.1.5", pod="web-1"),
        instance("Cart", "10.244.1.6", namespace="shop", pod="web-1"),
    ]
    blue = service("web", "10.254.0.1", annotations=name)
    green = service("web", "10.254.0.2", namespace="shop", annotations=name)
    found = await names_beside(theirs, blue, WEB_POD, green, SHOP_POD)
    assert found == {"default/web": "Cart", "shop/web": "Cart"}


# --- the move, on a real Consul ------------------------------------------------------------------


@contextmanager
def always_there(consul: ConsulAgent, *names: str) -> Iterator[None]:
    """Look at these services all the time: they must never be without a healthy instance."""
    end = threading.Event()
    missing: list[str] = []
    looks = [0]

    def look() -> None:
        while not end.wait(0.01):
            missing.extend(name for name in names if not addresses(consul, name))
            looks[0] += 1

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(20)
    assert looks[0] > 5
    assert missing == []


def register(consul: ConsulAgent, *instances: Object) -> None:
    for each in instances:
        check = {
            "Node": "k8s-sync",
            "CheckID": f"k8s-sync/{each['ID']}",
            "Name": "Kubernetes Readiness Check",
            "Status": "passing",
            "ServiceID": each["ID"],
        }
        consul.put("/v1/catalog/register", {**NODE, "Service": each, "Check": check})


def load(kubernetes: Cluster) -> None:
    """Two services of one name in two namespaces, and two that were given a name."""
    name = {"consul.hashicorp.com/service-name": "cart"}
    for object_ in (
        service("web", "10.254.1.1"),
        service("web", "10.254.1.2", namespace="shop", created="2026-02-01T00:00:00Z"),
        service("cart-blue", "10.254.1.3", annotations=name),
        service("cart-green", "10.254.1.4", annotations=name),
    ):
        kubernetes.put("services", object_)
    for namespace, name_, ip in (
        ("default", "web", "10.244.1.1"),
        ("shop", "web", "10.244.1.2"),
        ("default", "cart-blue", "10.244.1.3"),
        ("default", "cart-green", "10.244.1.4"),
    ):
        pod = endpoint(ip, pod=f"{name_}-pod", namespace=namespace)
        kubernetes.put("endpointslices", slice_(name_, pod, namespace=namespace))


THEIRS: dict[str, list[Object]] = {
    "without-suffix": [
        instance("web", "10.244.1.1", pod="web-pod"),
        instance("web", "10.244.1.2", namespace="shop", pod="web-pod"),
    ],
    "with-suffix": [
        instance("web-default", "10.244.1.1", pod="web-pod"),
        instance("web-shop", "10.244.1.2", namespace="shop", pod="web-pod"),
    ],
}
CARTS = [
    instance("cart", "10.244.1.3", pod="cart-blue-pod"),
    instance("cart", "10.244.1.4", pod="cart-green-pod"),
]


@pytest.mark.parametrize("mode", sorted(THEIRS))
def test_the_move_from_consul_k8s_has_no_gap(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker, mode: str
) -> None:
    theirs = THEIRS[mode] + CARTS
    register(consul, *theirs)
    load(kubernetes)
    shared = {each["Service"] for each in theirs} & {"web", "web-shop", "cart"}
    with always_there(consul, *shared):
        start_worker()
        ours = {"10.254.1.3", "10.254.1.4"}
        wait_until(lambda: ours < addresses(consul, "cart"), "both services under the given name")
        wait_until(lambda: "10.254.1.1" in addresses(consul, "web"), "the plain name")
        wait_until(lambda: "10.254.1.2" in addresses(consul, "web-shop"), "the second namespace")
        claimed = keys(consul, "consuldns/k8s-names/")
        assert claimed["consuldns/k8s-names/cart"] == "kubernetes//cart"
        consul.put("/v1/catalog/deregister", {"Node": "k8s-sync"})
        wait_until(lambda: addresses(consul, "web") == {"10.254.1.1"}, "ours alone")
    assert addresses(consul, "cart") == ours
    assert addresses(consul, "web-shop") == {"10.254.1.2"}
    assert services(consul) >= {"web", "web-shop", "cart"}
    assert not services(consul) & {"web-default", "cart-default"}


def test_a_service_of_a_given_name_comes_and_goes(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    load(kubernetes)
    start_worker()
    both = {"10.254.1.3", "10.254.1.4"}
    wait_until(lambda: addresses(consul, "cart") == both, "one service of two")
    kubernetes.delete("services", "cart-blue")
    wait_until(lambda: addresses(consul, "cart") == {"10.254.1.4"}, "the other one")
    assert "consuldns/k8s-names/cart" in keys(consul, "consuldns/k8s-names/")
    kubernetes.delete("services", "cart-green")
    wait_until(lambda: "cart" not in services(consul), "nobody")
    wait_until(
        lambda: "consuldns/k8s-names/cart" not in keys(consul, "consuldns/k8s-names/"),
        "the name given back",
    )


@pytest.mark.parametrize("name", ["My_Cart", "a.b.c", "_x", "UPPER", "c+art", "x" * 63])
def test_a_name_that_consul_accepts_is_accepted(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker, name: str
) -> None:
    given = {"consul.hashicorp.com/service-name": name}
    kubernetes.put("services", service("web", "10.254.1.1", annotations=given))
    worker = start_worker()
    wait_until(lambda: addresses(consul, name) == {"10.254.1.1"}, "the name as it was given")
    claim = f"consuldns/k8s-names/{name.lower()}"
    assert keys(consul, claim) == {claim: "kubernetes//" + name.lower()}
    (entry,) = [v for k, v in keys(consul, "0.").items() if k.endswith("/10.254.1.1")]
    assert entry == f"{name}.service.dc1.consul"
    if name in ("My_Cart", "a.b.c", "_x", "c+art"):
        worker.wait_for_line("is not a host name")


@pytest.mark.parametrize(
    "name", ["x" * 64, "a/b", "a b", "a..b", ".a", "a?b", "a#b", "50%", "a\\b", 'a"b', "ä", "a@b"]
)
async def test_a_name_that_dns_or_a_url_cannot_hold_is_a_problem(name: str) -> None:
    world = World()
    given: dict[str, str] = {"consul.hashicorp.com/service-name": name}
    world.put(service("web", "10.254.1.1", annotations=given))
    plan = world.plan_all()
    assert world.planner.names == {("default", "web"): "web"}
    (problem,) = plan.problems["default", "web"]
    assert "service-name' must be at most 63 characters" in problem


async def test_a_given_name_that_is_not_to_be_had_is_said() -> None:
    world = World()
    world.registry.foreign_services |= {"cart"}
    world.put(service("web", annotations={"consuldns/service-name": "cart"}))
    plan = world.plan_all()
    assert plan.problems["default", "web"] == (
        "service-name: another service has the name 'cart'; it is 'cart-default' until then",
    )


def test_the_node_of_consul_k8s_is_never_taken_over(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    register(consul, *CARTS)
    worker = start_worker("--cluster", "sync", "--adopt")
    worker.wait_for_line("belongs to consul-k8s")
    assert addresses(consul, "cart") == {"10.244.1.3", "10.244.1.4"}
    assert keys(consul) == {}
