"""The SOA of a zone: its serial comes from Consul, not from a clock."""

from dataclasses import replace

from consuldns.dns.answer import Answer, StartOfAuthority
from consuldns.dns.policy import Policy
from consuldns.dns.question import Question, Type
from consuldns.dns.resolver import resolve
from consuldns.names import parse_name
from consuldns.views import keys, model, reverse_names
from consuldns.views.store import ViewStore
from tests.support.catalog import Catalog


def views(*, services: int, nodes: int, folders: int) -> ViewStore:
    """An empty catalog whose lists have these indexes."""
    store = Catalog().views()
    store.replace(keys.ServiceList("dc1"), model.Services(services, (), ()))
    store.replace(keys.NodeList("dc1"), model.Nodes(nodes, ()))
    store.replace(keys.ReverseZoneList(), reverse_names.ReverseZones(folders, ()))
    return store


def serial(store: ViewStore, name: str, type_: Type = Type.SOA) -> int:
    answer = resolve(Question(parse_name(name), type_), store, Policy())
    assert isinstance(answer, Answer)
    records = [record for each in answer.groups for record in each.records]
    (soa,) = [r.data for r in (*records, *answer.authority) if r.type == Type.SOA]
    assert isinstance(soa, StartOfAuthority)
    return soa.serial


def test_serial_is_the_higher_index_of_services_and_nodes() -> None:
    assert serial(views(services=7, nodes=5, folders=9), "consul") == 7
    assert serial(views(services=7, nodes=8, folders=9), "consul") == 8


def test_serial_of_a_reverse_zone_is_the_higher_index_of_folders_and_nodes() -> None:
    assert serial(views(services=9, nodes=5, folders=7), "10.in-addr.arpa") == 7
    assert serial(views(services=9, nodes=8, folders=7), "10.in-addr.arpa") == 8


def test_serial_is_the_same_in_negative_answers() -> None:
    store = views(services=7, nodes=5, folders=9)
    for name in ("missing.service.consul", "service.consul", "missing.node.consul"):
        assert serial(store, name, Type.A) == 7


def test_serial_wraps_at_32_bits() -> None:
    assert serial(views(services=2**32 + 3, nodes=1, folders=1), "consul") == 3


def test_a_changed_policy_counts_at_once() -> None:
    store = views(services=7, nodes=5, folders=9)
    policy = Policy(soa=replace(Policy().soa, min_ttl=30))
    answer = resolve(Question(parse_name("missing.consul"), Type.A), store, policy)
    assert isinstance(answer, Answer)
    assert answer.authority[0].ttl == 30
