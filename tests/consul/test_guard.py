"""Which losses are believed at once."""

import pytest
from msgspec.structs import replace

from consuldns.consul.watch import loss_guard
from consuldns.views import model, reverse_names
from consuldns.views.clusters import Cluster, Clusters, EndpointGroup, Service


def numbered(count: int, *more: str) -> frozenset[str]:
    return frozenset((*(f"s{number}" for number in range(count)), *more))


@pytest.mark.parametrize(
    ("old", "new", "suspicious"),
    [
        pytest.param(numbered(3, "consul"), numbered(4, "consul"), False, id="one came"),
        pytest.param(numbered(9, "consul"), numbered(8, "consul"), False, id="one went"),
        pytest.param(numbered(9, "consul"), numbered(5, "consul"), False, id="less than half"),
        pytest.param(numbered(9, "consul"), numbered(3, "consul"), True, id="more than half"),
        pytest.param(
            numbered(4, "consul"), numbered(0, "consul"), False, id="four: too few to tell"
        ),
        pytest.param(numbered(1, "consul"), numbered(1), True, id="Consul's own service"),
        pytest.param(numbered(1), frozenset(), True, id="all"),
        pytest.param(frozenset(), frozenset(), False, id="never any"),
        pytest.param(numbered(20), frozenset({"x", "y"}), True, id="others instead"),
    ],
)
def test_suspicion(old: frozenset[str], new: frozenset[str], *, suspicious: bool) -> None:
    assert loss_guard.is_suspicious(old, new) is suspicious


def test_union_keeps_what_vanished_and_takes_what_came() -> None:
    old = model.Services(5, ("a", "b"), ("x",))
    assert model.Services(9, ("b", "c"), ("y",)).merged_with(old) == model.Services(
        9, ("a", "b", "c"), ("x", "y")
    )
    kept = model.Node("A", "", "10.0.0.1", "dc1", {}, {})
    before = model.Node("b", "", "10.0.0.2", "dc1", {}, {})
    after = model.Node("b", "", "10.0.0.3", "dc1", {}, {})
    merged = model.Nodes(2, (after,)).merged_with(model.Nodes(1, (kept, before)))
    assert merged == model.Nodes(2, (kept, after))
    zones = reverse_names.ReverseZones(2, ("b",)).merged_with(reverse_names.ReverseZones(1, ("a",)))
    assert zones == reverse_names.ReverseZones(2, ("a", "b"))


def test_loss_settles_when_nothing_more_vanishes() -> None:
    settling = loss_guard.Settling(numbered(5), 100.0)
    assert not settling.agrees(numbered(5), 101.0)
    assert not settling.agrees(numbered(6), 102.0), "more has vanished: the time starts again"
    assert not settling.agrees(numbered(6), 103.5)
    assert settling.agrees(numbered(4), 104.0)


@pytest.mark.parametrize(
    ("old", "new", "shows"),
    [
        ({"consul", "a"}, {"consul"}, True),
        ({"consul", "a"}, {"a"}, False),
        ({"a", "b"}, {"a"}, True),
        ({"a", "b"}, set(), False),
    ],
)
def test_canary(old: set[str], new: set[str], *, shows: bool) -> None:
    assert loss_guard.shows_itself(frozenset(old), frozenset(new)) is shows


def test_only_the_service_consul_is_a_canary() -> None:
    nodes = tuple(model.Node(name, "", "10.0.0.1", "dc1", {}, {}) for name in ("consul", "other"))
    before, after = model.Nodes(1, nodes), model.Nodes(2, nodes[1:])
    assert not loss_guard.is_suspicious(before.names_listed, after.names_listed)


def _cluster(name: str, *services: str) -> Cluster:
    made = (Service(name, "ns", each, each, "vip", False, (), (), "") for each in services)
    return Cluster(name, ("ns",), tuple(made), is_complete=True)


def _described(cluster: Cluster) -> Cluster:
    group = EndpointGroup((), (("10.0.0.1", ""),))
    services = tuple(replace(each, endpoints=(group,)) for each in cluster.services)
    return replace(cluster, services=services)


def test_described_endpoints_are_guarded_too() -> None:
    plain = Clusters(2, (_cluster("east", "a", "b", "c", "d", "e", "f"),))
    old = Clusters(1, tuple(map(_described, plain.clusters)))
    assert old.names_listed - plain.names_listed == {f"east/ns/{n}/endpoints" for n in "abcdef"}
    assert plain.merged_with(old) == Clusters(2, old.clusters)
    gone = Clusters(3, (_cluster("east", "a"),))
    assert loss_guard.is_suspicious(old.names_listed, gone.names_listed)


def test_clusters_are_guarded_by_service() -> None:
    old = Clusters(1, (_cluster("east", "a", "b"), _cluster("west", "c")))
    new = Clusters(2, (_cluster("east", "b", "d"),))
    assert new.names_listed == {"east/", "east/ns/b", "east/ns/d"}
    union = new.merged_with(old)
    assert union.names_listed == old.names_listed | {"east/ns/d"}
    assert union.index == 2
    # The last service of a cluster goes at once; the cluster itself does not.
    left = Clusters(3, (_cluster("west"),))
    assert not loss_guard.is_suspicious(
        Clusters(2, old.clusters[1:]).names_listed, left.names_listed
    )
    assert loss_guard.is_suspicious(left.names_listed, Clusters(4, ()).names_listed)
