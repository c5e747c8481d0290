"""Whatever is set and cannot take effect is named: in the log, in diff, in a metric."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from consuldns.config.sync import SyncSettings
from consuldns.sync import report, selection
from consuldns.sync.cache import ClusterCache
from consuldns.sync.desired import annotations, state
from consuldns.sync.desired.state import Entries
from consuldns.sync.existing.contents import Existing
from consuldns.sync.kubernetes.objects import Ingress, Service
from consuldns.sync.ownership import Identity
from consuldns.sync.planning import ineffective
from consuldns.sync.planning.plan import Plan, Planner
from consuldns.sync.report import MOST_LINES, ProblemLog
from consuldns.sync.selection import Selection
from tests.kubernetes.api_server import Object
from tests.kubernetes.conftest import Cluster, StartWorker
from tests.kubernetes.mapping import IDENTITY, entries, overrides_of
from tests.kubernetes.objects import endpoint, ingress, node, rule, service, slice_
from tests.kubernetes.test_end_to_end import sync
from tests.support.consul_agent import ConsulAgent, free_ports, wait_until

HTTP = {"name": "http", "protocol": "TCP", "port": 80, "nodePort": 30080}
ADMIN = {"name": "admin", "protocol": "TCP", "port": 9000, "nodePort": 30900}
PORTS = [HTTP, ADMIN]
PODS = slice_(
    "web",
    endpoint("10.0.1.1", pod="w", node="n1"),
    ports=[{**HTTP, "port": 8080}, {**ADMIN, "port": 9900}],
)
NODES = (node("n1", "10.1.0.1"),)
INGRESS: Object = {"loadBalancer": {"ingress": [{"ip": "203.0.113.4"}]}}


def in_mode_endpoints(*, annotations: dict[str, str] | None = None) -> Object:
    given = {"consul.hashicorp.com/service-mode": "endpoints", **(annotations or {})}
    return service("web", "10.0.0.1", ports=PORTS, annotations=given)


KINDS: dict[str, Callable[..., Object]] = {
    "cluster-ip": partial(service, "web", "10.0.0.1", ports=PORTS),
    "cluster-ip-endpoints": in_mode_endpoints,
    "headless": partial(service, "web", "None", ports=PORTS),
    "node-port": partial(service, "web", "10.0.0.1", ports=PORTS, type="NodePort"),
    "load-balancer": partial(
        service, "web", "10.0.0.1", ports=PORTS, type="LoadBalancer", status=INGRESS
    ),
    "external-name": partial(
        service, "web", ports=PORTS, type="ExternalName", externalName="db.example.com"
    ),
}


def annotated(kind: str, given: dict[str, str], **settings: Any) -> Entries:
    return entries(KINDS[kind](annotations=given), PODS, nodes=NODES, **settings)


def decoded(object_: Object) -> Service:
    return msgspec.convert(object_, Service)


# --- the port as a number ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", ["9090", "80", "1", "65535"])
def test_a_port_as_a_number_is_taken_as_it_is(kind: str, number: str) -> None:
    found = annotated(kind, {"consul.hashicorp.com/service-port": number})
    assert {str(each.port) for each in found.instances} == {number}
    assert found.problems == ()


@pytest.mark.parametrize(
    ("kind", "port"),
    [
        ("cluster-ip", 9000),
        ("headless", 9900),
        ("node-port", 30900),
        ("load-balancer", 9000),
        ("external-name", 9000),
        ("cluster-ip-endpoints", 9900),
    ],
)
def test_a_port_by_its_name(kind: str, port: int) -> None:
    found = annotated(kind, {"consul.hashicorp.com/service-port": "admin"})
    assert {each.port for each in found.instances} == {port}
    assert found.problems == ()


@pytest.mark.parametrize(
    ("wanted", "port", "problem"),
    [
        ("9090", 9090, ""),
        ("admin", 80, "service-port has no effect: the port of an Ingress is 443 or 80"),
    ],
)
def test_the_port_of_a_service_that_an_ingress_exposes(
    wanted: str, port: int, problem: str
) -> None:
    exposed = msgspec.convert(ingress("web", rule("web.example.com", "web")), Ingress)
    object_ = KINDS["cluster-ip"](annotations={"consul.hashicorp.com/service-port": wanted})
    settings = SyncSettings(ingress="host")
    found = state.entries(
        decoded(object_),
        overrides_of(decoded(object_)),
        [],
        {},
        "web",
        settings,
        IDENTITY,
        [exposed],
    )
    assert [each.port for each in found.instances] == [port]
    assert found.problems == ((problem,) if problem else ())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["0", "65536", "99999999999", "metrics", "http ", "8O", ""])
def test_a_port_that_is_neither(kind: str, text: str) -> None:
    plain, found = annotated(kind, {}), annotated(kind, {"consuldns/service-port": text})
    assert found.instances == plain.instances  # as if it were not there
    if text.strip() != "http":
        (problem,) = found.problems
        assert "service-port" in problem


def test_a_name_that_looks_like_a_number_is_a_name() -> None:
    odd = [{"name": "8080", "protocol": "TCP", "port": 443}]
    object_ = service("web", "10.0.0.1", ports=odd, annotations={"consuldns/service-port": "8080"})
    assert [each.port for each in entries(object_).instances] == [443]


# --- annotations ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "hint"),
    [
        ("consuldns/service-snyc", "did you mean service-sync?"),
        ("consuldns/Service-Port", "did you mean service-port?"),
        ("consul.hashicorp.com/sevice-name", "did you mean service-name?"),
        ("consul.hashicorp.com/service-colour", "there are service-sync,"),
        ("consuldns/colour", "there are service-sync,"),
    ],
)
def test_a_misspelt_annotation(annotation: str, hint: str) -> None:
    (problem,) = annotated("cluster-ip", {annotation: "true"}).problems
    assert problem.startswith(f"there is no annotation '{annotation}': {hint}")


@pytest.mark.parametrize(
    "annotation",
    [
        "consul.hashicorp.com/connect-inject",
        "consul.hashicorp.com/connect-service",
        "consul.hashicorp.com/connect-service-port",
        "consul.hashicorp.com/service-metrics-port",
        "consul.hashicorp.com/transparent-proxy",
        "example.com/service-sync",
    ],
)
def test_annotations_of_others_are_none_of_our_business(annotation: str) -> None:
    assert annotated("cluster-ip", {annotation: "x"}).problems == ()


@pytest.mark.parametrize(
    ("kind", "given", "problem"),
    [
        ("headless", {"mode": "vip"}, "service-mode vip has no effect: the service is headless"),
        ("headless", {"mode": "endpoints"}, ""),
        ("external-name", {"mode": "both"}, "the service is ExternalName"),
        ("node-port", {"mode": "vip"}, ""),
        ("headless", {"address": "192.0.2.1"}, "service-address has no effect"),
        ("node-port", {"address": "192.0.2.1"}, "service-address has no effect"),
        ("external-name", {"address": "192.0.2.1"}, "service-address has no effect"),
        ("cluster-ip-endpoints", {"address": "192.0.2.1"}, "service-address has no effect"),
        ("cluster-ip", {"address": "db.example.com"}, ""),
        ("cluster-ip", {"address": "127.0.0.1"}, "service-address' must be a host name, or an IP"),
        ("cluster-ip", {"address": "no host name"}, "service-address' must be a host name"),
        ("external-name", {"reverse": "true"}, "service-reverse has no effect"),
        ("external-name", {"reverse": "false"}, ""),
        ("cluster-ip", {"reverse": "w.example.com"}, ""),
        ("cluster-ip", {"weight": "65536"}, "service-weight' must be a number"),
        ("cluster-ip", {"tags": " , "}, "service-tags' must be tags"),
        ("cluster-ip", {"meta-consul-x": "1"}, "service-meta-consul-x' has a key that Consul refu"),
        ("cluster-ip", {"meta-k8s-ports-2": "a:TCP:1"}, "has a key that the worker itself writes"),
        ("cluster-ip", {"meta-k8s-hostname": "x"}, "has a key that the worker itself writes"),
        ("cluster-ip", {"meta-long": "ü" * 257}, "is longer than 512 octets"),
        ("cluster-ip", {"meta-long": "ü" * 256, "meta-empty": ""}, ""),
    ],
)
def test_what_has_no_effect_on_a_service(kind: str, given: dict[str, str], problem: str) -> None:
    found = annotated(kind, {f"consuldns/service-{key}": text for key, text in given.items()})
    assert len(found.problems) == bool(problem)
    assert problem in "".join(found.problems)


def test_ours_is_ignored_if_it_cannot_be_read_and_that_of_consul_k8s_counts() -> None:
    both = {"consul.hashicorp.com/service-weight": "7", "consuldns/service-weight": "many"}
    found = annotated("cluster-ip", both)
    assert [each.weight for each in found.instances] == [7]
    assert len(found.problems) == 1


@pytest.mark.parametrize("text", ["flase", "ture", "maybe", "", "0.0", "fa lse"])
def test_a_service_whose_sync_cannot_be_read_is_not_synced(text: str) -> None:
    object_ = decoded(KINDS["cluster-ip"](annotations={"consul.hashicorp.com/service-sync": text}))
    for default in (True, False):
        settings = SyncSettings(default=default)
        assert not selection.is_wanted(object_, overrides_of(object_), settings)
        (problem,) = selection.problems_of_unwanted(object_, overrides_of(object_), settings)
        assert problem.endswith("the service is not synced")


@pytest.mark.parametrize("text", ["nope", "flase", "", "a..b", "192.0.2.1", "a b.example.com"])
def test_a_reverse_name_that_cannot_be_read_is_none(text: str) -> None:
    found = annotated("cluster-ip", {"consuldns/service-reverse": text})
    assert not any(each.target for each in found.candidates)
    (problem,) = found.problems
    assert problem.endswith("it gets no reverse name")


def test_a_collision_that_cannot_be_read_never_merges() -> None:
    object_ = decoded(KINDS["cluster-ip"](annotations={"consuldns/service-collision": "skp"}))
    assert (
        selection.claim(object_, overrides_of(object_), SyncSettings(flat_names="merge")).policy
        == "suffix"
    )


def takes_effect(suffix: str, text: str, plain: Entries, found: Entries) -> bool:
    """Whether a service is what its annotation says, by what it is in Consul alone."""
    described, instances = msgspec.json.decode(found.descriptor.value), found.instances
    same_but = found.candidates == plain.candidates and len(instances) == len(plain.instances)
    match suffix:
        case "port":
            names = {"http": {80, 8080, 30080}, "admin": {9000, 9900, 30900}}
            ports = names.get(text.strip(), {int(text)} if text.strip().isdecimal() else set())
            return all(each.port in ports for each in instances)
        case "tags":
            wanted = {tag.strip() for tag in text.split(",") if tag.strip()}
            return all(wanted <= set(each.tags) for each in instances) and same_but
        case "weight":
            return all(each.weight == int(text) for each in instances) and same_but
        case "mode":
            return bool(described["mode"] == text.strip())
        case "address":
            return {each.address for each in instances} == {text.strip().removesuffix(".")}
        case "reverse":
            targets = {each.target for each in found.candidates if each.target}
            word = text.strip().lower()
            if word in ("0", "f", "false", "no"):
                return not targets
            named = {text.strip().removesuffix(".")} if "." in word else None
            return found.candidates == plain.candidates if named is None else targets <= named
        case "meta-team":
            return all(each.meta["team"] == text for each in instances) and same_but
        case _:  # decided before: whether it is synced, and under which name
            return found == plain


PREFIXES = ["consuldns/", "consul.hashicorp.com/"]
SUFFIXES = [
    *("sync", "name", "port", "tags", "weight", "mode", "address", "reverse", "collision"),
    *("meta-team", "meta-k8s-uid", "meta-consul-x", "meta-a b", "snyc", "", "prot"),
]
VALUES = [
    *("true", "False", "no", "0", "1", "80", "99", "9090", "70000", "http", "admin", "vip"),
    *("endpoints", "both", "suffix", "merge", "skip", "a,b", ",", "10.0.0.9", "127.0.0.1"),
    *("w.example.com", "w.example.com.", "x" * 600, "9" * 5000, "-1", "1e3", "٣", "\x00", " "),
]


def check(kind: str, key: str, text: str) -> None:
    """That the annotation takes effect, or is a problem which names it."""
    suffix = key.partition("/service-")[2]
    plain, found = annotated(kind, {}), annotated(kind, {key: text})
    object_ = decoded(KINDS[kind](annotations={key: text}))
    problems = {
        *found.problems,
        *selection.problems_of_unwanted(object_, overrides_of(object_), SyncSettings()),
    }
    if problems:
        assert all(suffix in each or key in each for each in problems)
    elif suffix == "sync":
        wanted = text.strip().lower() in ("1", "t", "true", "yes")
        assert selection.is_wanted(object_, overrides_of(object_), SyncSettings()) is wanted
        assert wanted or text.strip().lower() in ("0", "f", "false", "no")
    elif suffix == "name":
        assert (
            selection.claim(object_, overrides_of(object_), SyncSettings()).wanted == text.strip()
        )
    elif suffix == "collision":
        assert (
            selection.claim(object_, overrides_of(object_), SyncSettings()).policy == text.strip()
        )
    else:
        assert takes_effect(suffix, text, plain, found), (key, text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_annotation_takes_effect_or_is_a_problem(kind: str, suffix: str) -> None:
    for prefix in PREFIXES:
        for text in VALUES:
            check(kind, f"{prefix}service-{suffix}", text)


@given(st.sampled_from(sorted(KINDS)), st.sampled_from(SUFFIXES), st.text(max_size=20))
def test_and_with_any_text(kind: str, suffix: str, text: str) -> None:
    assume("\\," not in text)  # a comma within a tag
    check(kind, f"consuldns/service-{suffix}", text)


KEYS = st.builds(str.__add__, st.sampled_from(PREFIXES), st.text(max_size=80))


@given(st.dictionaries(KEYS, st.text() | st.sampled_from(VALUES)))
def test_nothing_that_annotations_say_is_an_error(given: dict[str, str]) -> None:
    for problem in annotations.read(given).problems:
        assert len(problem) < 400
        assert problem.isprintable()


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "web", "127.0.0.1", "0.0.0.0", "224.0.0.1", "fe80::1", "::"])
def test_addresses_that_nobody_can_connect_to(text: str) -> None:
    """From every source of addresses, whatever Kubernetes itself checks."""
    family = "IPv6" if ":" in text else "IPv4"
    sources = {
        "endpoints": entries(
            service("web", "None"),
            slice_("web", endpoint(text), name="odd", family=family),
            slice_("web", endpoint("10.0.1.1"), name="fine"),
        ),
        "external IPs": entries(
            service("web", "10.0.0.1", externalIPs=[text, "192.0.2.1"]), external_ips=True
        ),
    }
    if text not in ("", "web"):  # nothing, and a host name
        balanced = {"loadBalancer": {"ingress": [{"ip": text}, {"ip": "192.0.2.1"}]}}
        sources["load balancer"] = entries(
            service("web", "10.0.0.1", type="LoadBalancer", status=balanced)
        )
    for source, found in sources.items():
        assert len(found.instances) == 1, source
        (problem,) = found.problems
        assert repr(text) in problem, source


def test_slices_of_another_type_are_named() -> None:
    found = entries(service("web", "None"), slice_("web", endpoint("a.example.com"), family="FQDN"))
    assert found.problems == (
        "'web-1' in its EndpointSlices has no addresses: it is of another type",
    )


def test_a_cluster_ip_that_is_none() -> None:
    for mode in ("vip", "endpoints"):
        found = entries(service("web", "10.0.0.300"), mode=mode)
        assert "'10.0.0.300'" in "".join(found.problems)
        assert found.candidates == ()


@pytest.mark.parametrize("target", ["192.0.2.7", "", "a..b", "no name", "x." * 130 + "example"])
def test_an_external_name_that_cannot_be_used(target: str) -> None:
    object_ = service("web", type="ExternalName", externalName=target)
    for flat in ("web", ""):  # without a flat name there is nothing to register, but it is said
        found = entries(object_, flat=flat)
        assert found.instances == ()
        assert "externalName" in "".join(found.problems)


def test_external_ips_that_are_not_believed_are_named() -> None:
    object_ = service("web", "10.0.0.1", externalIPs=["192.0.2.66"])
    found = entries(object_, PODS)
    assert [each.address for each in found.instances] == ["10.0.0.1"]
    assert found.problems == ("externalIPs are left out, because sync.external_ips is false",)


def test_a_reverse_name_that_would_be_too_long() -> None:
    long = "n" * 63
    zone = ".".join(["z" * 60] * 3)
    object_ = decoded(service(long, "10.0.0.1", namespace=long))
    found = state.entries(
        object_,
        overrides_of(object_),
        [],
        {},
        long,
        SyncSettings(reverse_target="nested"),
        Identity("blue", "uid-1", "dc1", "consul", zone),
    )
    assert not any(each.target for each in found.candidates)
    assert "because the name would be too long" in found.problems[0]


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, ""),
        ({"allow_namespaces": ("default",), "deny_namespaces": ("kube-system",)}, ""),
        ({"deny_namespaces": ("*",)}, "nothing is synced, because deny_namespaces has *"),
        ({"allow_namespaces": ()}, "nothing is synced, because allow_namespaces is empty"),
        (
            {"allow_namespaces": ("default",), "deny_namespaces": ("default", "kube-system")},
            "nothing is synced, because deny_namespaces has all of allow_namespaces",
        ),
        (
            {"allow_namespaces": ("default", "kube-system"), "deny_namespaces": ("default",)},
            "allow_namespaces: 'default' has no effect",
        ),
        ({"allow_namespaces": ("*", "default")}, "'default' has no effect beside *"),
        ({"allow_namespaces": ("defautl",)}, "the cluster has no namespace 'defautl'"),
        ({"deny_namespaces": ("a", "b", "c", "d", "e")}, "no namespace 'a', 'b', 'c' and 2 more"),
        ({"types": ()}, "nothing is synced, because types is empty"),
        (
            {"types": ("ClusterIP",), "node_port_addresses": "internal-only"},
            "node_port_addresses has no effect, because types does not include NodePort",
        ),
        (
            {"types": ("NodePort",), "ingress": "host"},
            "ingress has no effect, because types does not include ClusterIP",
        ),
        (
            {"types": ("ClusterIP",), "load_balancer_endpoints": True},
            "load_balancer_endpoints has no effect, because types does not include LoadBalancer",
        ),
        (
            {"reverse": ("load-balancer",), "load_balancer_endpoints": True},
            'reverse = "load-balancer" has no effect, because of load_balancer_endpoints',
        ),
        ({"reverse": ("cluster-ip", "manual")}, 'reverse = "manual" has no effect without'),
        ({"reverse": ("headless", "manual")}, ""),
        (
            {"reverse": ("cluster-ip",), "reverse_verify_pods": True},
            "reverse_verify_pods has no effect",
        ),
        ({"reverse": (), "reverse_target": "nested"}, "reverse_target has no effect"),
        ({"reverse": ("endpoints",)}, 'reverse = "endpoints" has no effect: mode is vip'),
        ({"reverse": ("endpoints",), "mode": "both"}, ""),
        ({"reverse": ("endpoints",), "load_balancer_endpoints": True}, ""),
        ({"prefix": "k8s-"}, ""),
        ({"prefix": "k8s/"}, "prefix 'k8s/' makes flat names that are not host names"),
        (
            {"kube_api": "http://127.0.0.1:8001", "context": "blue"},
            "context has no effect, because kube_api is set",
        ),
    ],
)
def test_settings_without_effect(settings: dict[str, Any], problem: str) -> None:
    services = [decoded(KINDS["cluster-ip"]())]
    found = ineffective.settings(SyncSettings(**settings), services, {"default", "kube-system"})
    assert len(found) == bool(problem)
    assert problem in "".join(found)


def test_labels_that_no_service_has() -> None:
    settings = SyncSettings(label_selector="team=wbe")
    assert ineffective.settings(settings, [decoded(KINDS["cluster-ip"]())], ()) == ()
    (problem,) = ineffective.settings(settings, [], ())
    assert problem == "nothing is synced, because no service matches label_selector"


def test_one_service_that_wants_endpoints_gives_a_setting_its_effect() -> None:
    services = [decoded(KINDS["cluster-ip-endpoints"]())]
    assert ineffective.settings(SyncSettings(reverse=("endpoints",)), services, ()) == ()


# --- plan, log, metric ---------------------------------------------------------------------------


class Known:
    """A cluster that is told of objects, and the plans for it."""

    def __init__(self, **settings: Any) -> None:
        self.settings = SyncSettings(**settings)
        self.cluster = ClusterCache()
        self.selection = Selection(self.cluster, self.settings)
        self.planner = Planner(self.selection, self.settings, IDENTITY)

    def put(self, object_: Object, before: Object | None = None) -> None:
        old = decoded(before) if before is not None else None
        self.cluster.services_changed([(old, decoded(object_))])

    def plan_all(self) -> Plan:
        self.selection.take_dirty()
        return self.planner.plan_all(Existing(), version="v1")

    def plan_dirty(self) -> Plan:
        services, addresses, names = self.selection.take_dirty()
        return self.planner.plan(Existing(), services=services, addresses=addresses, assign=names)


BAD = {"consuldns/service-weight": "many"}


def test_a_service_that_is_not_synced_tells_its_problems_too() -> None:
    known = Known(default=False, types=("ClusterIP",), deny_namespaces=("hidden",))
    known.put(service("misspelt", "10.0.0.1", annotations={"consuldns/service-snyc": "true"}))
    known.put(service("fine", "10.0.0.2"))
    wish = {"consul.hashicorp.com/service-sync": "true"}
    known.put(service("left-out", "10.0.0.3", type="NodePort", annotations=wish))
    known.put(service("hidden", "10.0.0.4", namespace="hidden", annotations=BAD))
    for plan in (known.plan_dirty(), known.plan_all()):
        found = {report.place(key): each for key, each in report.problems(plan.problems)}
        assert found["default/misspelt"].endswith("did you mean service-sync?")
        assert found["default/left-out"] == (
            "service-sync has no effect: sync.types does not include NodePort services"
        )
        assert not {"default/fine", "hidden/hidden"} & found.keys()
        assert "? default/misspelt: there is no annotation" in "\n".join(
            report.text(plan, Existing(), [])
        )
        document = msgspec.json.decode(report.json(plan, []))
        assert document["problems"].keys() == found.keys()


def test_a_problem_is_logged_once_until_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "consuldns")
    known, problems = Known(deny_namespaces=("*",)), ProblemLog()

    def logged(plan: Plan) -> list[str]:
        caplog.clear()
        problems.note(plan.problems)
        return caplog.messages

    (line,) = logged(known.plan_all())
    assert line.startswith("[sync]: nothing is synced")
    assert logged(known.plan_all()) == []
    known, other = Known(), {"consuldns/service-weight": "few"}
    bad, worse, good = (service("web", "10.0.0.1", annotations=a) for a in (BAD, other, {}))
    known.put(bad)
    (line,) = logged(known.plan_dirty())
    assert line.startswith("service=default/web: 'consuldns/service-weight' must be a number")
    for _ in range(3):
        known.put(service("api", "10.0.0.2"))  # another service is planned, then all of them
        assert logged(known.plan_dirty()) == logged(known.plan_all()) == []
        known.put(bad, bad)
        assert logged(known.plan_dirty()) == []
    assert problems.services == 1
    known.put(worse, bad)
    assert len(logged(known.plan_dirty())) == 1
    known.put(good, worse)
    assert logged(known.plan_dirty()) == []
    assert problems.services == 0
    known.put(bad, good)
    assert len(logged(known.plan_dirty())) == 1
    known.cluster.services_changed([(decoded(bad), None)])
    assert logged(known.plan_dirty()) == []
    assert problems.services == 0


def test_a_service_that_went_unseen_is_forgotten() -> None:
    """While another worker led, for one: then everything is planned."""
    problems = ProblemLog()
    problems.note({("default", "web"): ["bad"], ("default", "api"): ["bad"], None: []})
    problems.note({("default", "api"): ["bad"], None: []})
    assert problems.services == 1


def test_many_problems_at_once_are_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    ProblemLog().note({("default", f"web-{n}"): ["bad"] for n in range(500)})
    assert len(caplog.messages) == MOST_LINES + 1
    assert caplog.messages[-1].startswith(f"and {500 - MOST_LINES} more problems")


def test_the_log_diff_and_metric_of_a_worker(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    (port,) = free_ports(1)
    kubernetes.put("services", service("web", "10.254.1.1", annotations=BAD))
    hidden = {"consuldns/service-sync": "flase"}
    kubernetes.put("services", service("secret", "10.254.1.2", annotations=hidden))
    worker = start_worker("--admin-addr", f"127.0.0.1:{port}")
    worker.wait_for_line("service=default/web: 'consuldns/service-weight' must be a number")
    worker.wait_for_line("service=default/secret: 'consuldns/service-sync' must be true or false")

    def figures() -> str:
        return httpx.get(f"http://127.0.0.1:{port}/metrics").text

    assert "consuldns_sync_services_with_problems 2.0" in figures()
    written = consul.client.get("/v1/catalog/services").json()
    assert "web" in written
    assert "secret" not in written
    shown = sync("diff", "--consul-addr", consul.url, *kubernetes.arguments).stdout
    assert "? default/web: 'consuldns/service-weight' must be a number" in shown
    assert "? default/secret: 'consuldns/service-sync' must be true or false" in shown
    kubernetes.put("services", service("web", "10.254.1.1"))
    wait_until(lambda: "services_with_problems 1.0" in figures(), "one problem less")
    said = [line for line in worker.lines if "service-weight" in line or "service-sync" in line]
    assert len(said) == 2
