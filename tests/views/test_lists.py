"""What the views that list things lose, keep and give back: the loss guard stands on it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.views import model, reverse_names, zone_records
from consuldns.views.base import ListView
from consuldns.views.clusters import Cluster, Clusters, EndpointGroup, Service

NAMES = st.lists(st.sampled_from(["consul", "web", "Web.a", "db", "east", "west"]), unique=True)
ENDPOINTS = (EndpointGroup((), (("10.0.0.1", ""),)),)


def service(cluster: str, name: str, *, is_described: bool) -> Service:
    endpoints = ENDPOINTS if is_described else None
    return Service(cluster, "ns", name, name, "vip", False, (), (), "", endpoints=endpoints)


@st.composite
def clusters(draw: st.DrawFn) -> Clusters:
    return Clusters(
        draw(st.integers(1, 9)),
        tuple(
            Cluster(
                name,
                ("ns",),
                tuple(
                    service(name, each, is_described=draw(st.booleans())) for each in draw(NAMES)
                ),
                is_complete=draw(st.booleans()),
            )
            for name in sorted(draw(NAMES))
        ),
    )


def nodes(names: list[str]) -> tuple[model.Node, ...]:
    return tuple(model.Node(name, "", "10.0.0.1", "dc1", {}, {}) for name in names)


LISTS: dict[str, st.SearchStrategy[ListView]] = {
    "services": st.builds(model.Services, st.integers(1, 9), NAMES.map(tuple), st.just(("a", "b"))),
    "nodes": st.builds(model.Nodes, st.integers(1, 9), NAMES.map(nodes)),
    "reverse zones": st.builds(reverse_names.ReverseZones, st.integers(1, 9), NAMES.map(tuple)),
    "zones of the KV tree": st.builds(zone_records.ZoneNames, st.integers(1, 9), NAMES.map(tuple)),
    "Kubernetes clusters and services": clusters(),
}


def test_each_list_has_a_strategy() -> None:
    assert {each.noun for each in ListView.__subclasses__()} == set(LISTS)


@pytest.mark.parametrize("noun", LISTS)
@given(data=st.data())
def test_nothing_is_lost_in_a_merged_list(noun: str, data: st.DataObject) -> None:
    old, new = data.draw(LISTS[noun]), data.draw(LISTS[noun])
    merged = new.merged_with(old)
    assert type(merged) is type(new)
    assert merged.names_listed == old.names_listed | new.names_listed
    assert merged.index == new.index
    assert merged.merged_with(old) == merged


@pytest.mark.parametrize("noun", LISTS)
@given(data=st.data())
def test_a_restricted_list_has_nothing_else(noun: str, data: st.DataObject) -> None:
    view = data.draw(LISTS[noun])
    everything = view.names_listed
    names = data.draw(st.sets(st.sampled_from(sorted(everything)))) if everything else set()
    left = view.restricted_to(names).names_listed
    # A service brings its endpoints, and its cluster.
    implied = {f"{name}/endpoints" for name in names} | {f"{n.split('/')[0]}/" for n in names}
    assert left - names <= implied
    assert names - left <= {name for name in names if name.endswith("/endpoints")}
    assert view.restricted_to(everything) == view
