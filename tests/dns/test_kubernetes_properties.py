"""What holds for every name of Kubernetes services, whatever else is in Consul."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.dns.answer import Address, Answer, Data, Outcome, Target
from consuldns.dns.finder import Request
from consuldns.dns.grammar.parse import of_consul
from consuldns.dns.policy import KubernetesPolicy, Policy
from consuldns.dns.question import Type
from consuldns.dns.resolver import look_up
from consuldns.dns.zones import zone_of
from consuldns.names import Labels, fold, is_below, is_valid, parse_name, reverse_name
from consuldns.views import keys
from consuldns.views.clusters import Clusters
from consuldns.views.store import ViewReader, ViewStore
from tests.dns.test_properties import KINDS, ask, register_payloads
from tests.dns.test_properties import worlds as worlds_of_consul
from tests.support import kubernetes_data
from tests.support.catalog import Catalog, Payload
from tests.support.closest_encloser import assert_it_holds
from tests.support.properties import examples

LABELS = ["db", "web", "default", "service", "svc", "node", "dc1", "a", "addr", "query"]
cluster_labels = st.sampled_from(LABELS)
cluster_addresses = st.sampled_from(["10.0.0.1", "10.0.1.2", "10.8.0.1", "fd00::1", "fd00::8"])
ports = st.sampled_from(["http:TCP:80", "dns:UDP:53", "dns:TCP:53", ":TCP:99"])
endpoints = st.fixed_dictionaries(
    {
        "address": cluster_addresses,
        "hostname": st.sampled_from(["", "", "web-0", "db"]),
        "ready": st.booleans(),
        "pod": st.sampled_from(["", "p"]),
    }
)
kubernetes_services: st.SearchStrategy[Payload] = st.fixed_dictionaries(
    {
        "cluster": st.sampled_from(["east", "west"]),
        "namespace": cluster_labels,
        "name": cluster_labels,
        "flat": st.sampled_from(["", "db", "web", "flat"]),
        "mode": st.sampled_from(["vip", "endpoints", "both", "node-port"]),
        "headless": st.booleans(),
        "cluster_ips": st.lists(cluster_addresses, max_size=2),
        "ports": st.lists(ports, max_size=3, unique=True),
        "external_name": st.sampled_from(
            [
                "",
                "",
                "",
                "",
                "www.example.net",
                "db.default.svc.dc1.consul",
                "10.0.0.1",
                "a..b",
                "db.default.svc.cluster.local",
                "Web.a.Svc.Cluster.Local",
            ]
        ),
        "reverse": st.sampled_from(["flat", "flat", "nested", "none"]),
        "endpoints": st.lists(endpoints, max_size=3),
        "described": st.booleans(),
    }
)
ZONES: list[dict[Labels, str]] = [
    {},
    {(b"cluster", b"local"): "west", (b"k8s", b"consul"): "east", (b"none",): "missing"},
]
policies = st.builds(
    Policy,
    alt_domains=st.sampled_from([(), ((b"alt",),)]),
    only_passing=st.booleans(),
    kubernetes=st.builds(
        KubernetesPolicy,
        pods=st.sampled_from(["disabled", "insecure", "verified"]),
        ignore_empty=st.booleans(),
        zones=st.sampled_from(ZONES),
    ),
)
PARTS = ["web-0", "db", "_http", "_tcp", "_udp", "_dns", "10-0-0-1", "fd00--1", "x"]
BELOW = ["svc.dc1.consul", "svc.dc2.consul", "service.consul", "service.dc1.alt", "pod.dc1.consul"]
BELOW += ["svc.cluster.local", "pod.cluster.local", "dns.cluster.local", "cluster.local"]
BELOW += ["svc.k8s.consul", "dc1.consul", "svc.none"]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Catalog, Labels]:
    """A catalog, and a name that it may hold."""
    services = draw(st.lists(kubernetes_services, min_size=1, max_size=4))
    namespaces = draw(st.lists(cluster_labels, max_size=2))
    catalog = Catalog(
        datacenters=["dc1", "dc2"],
        register=[
            *draw(st.lists(register_payloads(), max_size=3)),
            *kubernetes_data.registrations(services),
        ],
        kv=kubernetes_data.keys(services, namespaces),
    )
    service = draw(st.sampled_from(services))
    left = draw(st.lists(st.sampled_from(PARTS), max_size=3))
    whole = [*left, service["name"], service["namespace"], draw(st.sampled_from(BELOW))]
    start = draw(st.integers(0, len(whole) - 1))
    name = tuple(label.encode() for label in ".".join(whole[start:]).split("."))
    return catalog, name if is_valid(name) else name[-1:]


@given(worlds(), policies, st.sampled_from(KINDS))
def test_every_answer_can_be_sent(
    world: tuple[Catalog, Labels], policy: Policy, type_: int
) -> None:
    catalog, name = world
    answer = ask(name, type_, catalog.views(), policy)
    sections = [(*c.records, *c.additional, *c.optional_additional) for c in answer.groups]
    for record in (*answer.authority, *(record for section in sections for record in section)):
        assert is_valid(record.owner)
    records = [record for each in answer.groups for record in each.records]
    assert len(records) == len(set(records)) or answer.exclusive
    assert (answer.outcome is Outcome.ANSWER) == bool(records)
    if answer.outcome in (Outcome.NODATA, Outcome.NXDOMAIN):
        (soa,) = answer.authority
        assert is_below(name, fold(soa.owner))


@examples(400)
@given(worlds(), policies)
def test_a_name_exists_for_every_type_or_for_none_and_so_does_what_is_above_it(
    world: tuple[Catalog, Labels], policy: Policy
) -> None:
    catalog, name = world
    views = catalog.views()
    exists_below = False
    for above in (name[start:] for start in range(len(name))):
        outcomes = {ask(above, type_, views, policy).outcome for type_ in KINDS}
        if {Outcome.REFUSED, Outcome.SERVFAIL} & outcomes:
            break  # above our zone, or a zone of which nothing is known
        exists = Outcome.NXDOMAIN not in outcomes
        assert exists or outcomes == {Outcome.NXDOMAIN}, above
        assert exists or not exists_below, f"something exists below {above}"
        # Consul answers <hex>.addr.<anything>, which need not exist.
        exists_below = exists_below or (exists and b"addr" not in above)


@examples(400)
@given(
    worlds_of_consul,
    st.lists(kubernetes_services, min_size=1, max_size=4),
    st.lists(cluster_labels, max_size=2),
)
def test_what_consul_answers_does_not_change(
    world: tuple[Catalog, Labels], services: list[Payload], namespaces: list[str]
) -> None:
    catalog, name = world
    keys = kubernetes_data.keys(services, namespaces)
    before = catalog.views()
    after = replace(catalog, kv=catalog.kv | keys).views()
    if not any(_consul_answers(name, type_, before) for type_ in KINDS):
        return
    for type_ in KINDS:
        with_clusters, without = (ask(name, type_, each, Policy()) for each in (after, before))
        assert with_clusters.outcome is without.outcome
        assert with_clusters.groups == without.groups


def _consul_answers(name: Labels, type_: int, views: ViewStore) -> bool:
    """Whether one of Consul's own interpretations of the name finds a record."""
    policy = Policy()
    zone = zone_of(name, ViewReader(views), policy)
    if zone is None or zone.apex == name:
        return False
    request = Request(name, type_, zone, ViewReader(views), policy)
    meanings = of_consul(name[: len(name) - len(zone.apex)])
    return any(look_up(each, request).outcome is Outcome.ANSWER for each in meanings)


one_cluster = st.lists(
    kubernetes_services.map(lambda service: service | {"cluster": "east"}),
    max_size=4,
    unique_by=lambda service: (service["namespace"], service["name"]),
)


# Names of services without endpoints may be set not to exist; their addresses do.
@given(one_cluster, policies.filter(lambda policy: not policy.kubernetes.ignore_empty))
def test_the_reverse_name_of_a_kubernetes_service_leads_back(
    services: list[Payload], policy: Policy
) -> None:
    catalog = Catalog(
        register=kubernetes_data.registrations(services), kv=kubernetes_data.keys(services, [])
    )
    views = catalog.views()
    clusters = views.read(keys.ClusterList("dc1"))
    assert isinstance(clusters, Clusters)
    for packed, service in clusters.by_address.items():
        address = ip_address(packed)
        pointers = _data(ask(reverse_name(address), Type.PTR, views, policy))
        assert pointers, service
        for pointer in pointers:
            assert isinstance(pointer, Target)
            type_ = Type.A if address.version == 4 else Type.AAAA
            found = _data(ask(fold(pointer.name), type_, views, policy))
            assert Address(packed) in found, service


def _data(answer: Answer) -> set[Data]:
    return {record.data for each in answer.groups for record in each.records}


@given(worlds(), policies, st.sampled_from(KINDS))
def test_closest_enclosers(world: tuple[Catalog, Labels], policy: Policy, type_: int) -> None:
    catalog, name = world
    views = catalog.views()
    answer = ask(name, type_, views, policy)
    assert_it_holds(name, answer, views, policy, [label.encode() for label in LABELS])


@pytest.mark.parametrize(
    ("name", "encloser"),
    [
        ("nothing.service.consul", "service.consul"),
        ("x.nothing.service.consul", "service.consul"),
        ("a.b.c.nothing.service.dc1.consul", "service.dc1.consul"),
        ("nothing.svc.dc1.consul", "svc.dc1.consul"),
        ("x.y.nothing.svc.dc1.consul", "svc.dc1.consul"),
        ("nothing.default.svc.dc1.consul", "default.svc.dc1.consul"),
        ("nothing.default.service.consul", "default.service.consul"),
        ("x.nothing.default.svc.cluster.local", "default.svc.cluster.local"),
        ("x.nothing.svc.cluster.local", "svc.cluster.local"),
    ],
)
def test_the_closest_encloser_of_a_random_name_is_known(name: str, encloser: str) -> None:
    service = {"cluster": "west", "namespace": "default", "name": "db", "cluster_ips": ["10.0.0.1"]}
    catalog = Catalog(
        register=kubernetes_data.registrations([service]),
        kv=kubernetes_data.keys([service], []),
    )
    policy = Policy(kubernetes=KubernetesPolicy(zones={(b"cluster", b"local"): "west"}))
    views = catalog.views()
    answer = ask(parse_name(name), Type.A, views, policy)
    assert assert_it_holds(parse_name(name), answer, views, policy, [b"db", b"default"])
    assert answer.closest_encloser is not None
    assert answer.closest_encloser.name == parse_name(encloser)
