"""Which views a question needs: none for what does not exist, and what each answer depends on."""

import pytest

from consuldns.dns.answer import Answer
from consuldns.dns.forwarded import Needs
from consuldns.dns.policy import Policy
from consuldns.dns.resolver import resolve
from consuldns.views import keys
from consuldns.views.keys import ViewKey
from consuldns.views.store import ViewStore
from tests.support.catalog import Catalog
from tests.support.scenarios import question

CATALOG = Catalog(
    datacenters=["dc1", "dc2"],
    register=[
        {"Node": "foo", "Address": "10.0.0.1", "Service": {"Service": "db", "Tags": ["primary"]}},
        {"Node": "bar", "Address": "10.0.0.2"},
    ],
    kv={"0.70.254.10.IN-ADDR.ARPA/10.254.70.176": "db.service.dc1.consul"},
)

INSTANCES = keys.ServiceInstances("dc1", "db")
FOLDER = keys.ReverseZone("0.70.254.10.IN-ADDR.ARPA")
SERVICES, NODES = keys.ServiceList("dc1"), keys.NodeList("dc1")
DATACENTERS, FOLDERS = keys.DatacenterList(), keys.ReverseZoneList()
CLUSTERS = keys.ClusterList("dc1")
ZONES = keys.ZoneList()


def lists_only() -> ViewStore:
    """The views that are always in memory, without those that are asked for."""
    store = CATALOG.views()
    store.forget(INSTANCES)
    store.forget(FOLDER)
    return store


@pytest.mark.parametrize(
    "ask",
    [
        *("missing.service.consul A", "primary.missing.service.consul A", "x.y.consul A"),
        *("nosuchtag.db.service.consul A", "_db._nosuchtag.service.consul SRV"),
        *("missing.node.consul A", "ab.node.consul A", "db.service.dc9.consul A"),
        *("9.9.9.10.in-addr.arpa PTR", "1.0.0.10.in-addr.arpa PTR", "8.8.8.8.in-addr.arpa PTR"),
        *(r"\.\./etc.service.consul A", r"a\/b\?c.service.consul A", r"\000.service.consul A"),
    ],
)
def test_answered_from_the_lists_alone(ask: str) -> None:
    assert isinstance(resolve(question(ask), lists_only(), Policy()), Answer)


@pytest.mark.parametrize(
    ("ask", "needed"),
    [
        ("db.service.consul A", INSTANCES),
        ("primary.db.service.consul SRV", INSTANCES),
        ("_db._tcp.consul A", INSTANCES),
        ("176.70.254.10.in-addr.arpa PTR", FOLDER),
    ],
)
def test_a_view_that_is_missing_is_named(ask: str, needed: ViewKey) -> None:
    needs = resolve(question(ask), lists_only(), Policy())
    assert isinstance(needs, Needs)
    assert needs.key == needed


@pytest.mark.parametrize(
    ("ask", "sources"),
    [
        # A new service elsewhere does not void what is known about this one.
        ("db.service.consul A", {DATACENTERS, INSTANCES}),
        ("primary.db.service.consul SRV", {DATACENTERS, INSTANCES}),
        ("missing.service.consul A", {DATACENTERS, SERVICES, NODES, CLUSTERS}),
        ("foo.node.consul A", {DATACENTERS, NODES}),
        ("1.0.0.10.in-addr.arpa PTR", {DATACENTERS, FOLDERS, NODES, CLUSTERS}),
        ("176.70.254.10.in-addr.arpa PTR", {FOLDERS, FOLDER}),
        ("www.example.com A", set()),
    ],
)
def test_sources_of_an_answer(ask: str, sources: set[ViewKey]) -> None:
    answer = resolve(question(ask), CATALOG.views(), Policy())
    assert isinstance(answer, Answer)
    assert answer.dependencies == sources | {ZONES}


def test_nothing_is_known_before_the_first_view() -> None:
    needs = resolve(question("db.service.consul A"), ViewStore(), Policy())
    assert isinstance(needs, Needs)
    assert needs.key == ZONES
