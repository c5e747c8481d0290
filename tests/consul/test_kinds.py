"""The table of kinds of views is complete, and its columns agree."""

import typing
from pathlib import Path

import msgspec
import pytest

from consuldns.consul import kinds
from consuldns.consul.kinds import KINDS, Area, Kept, Place, kind_of
from consuldns.consul.watch.schedule import State
from consuldns.errors import BadResponse, NotFound
from consuldns.views import keys, model, reverse_names, updates
from consuldns.views.base import ListView, View
from consuldns.views.keys import Key
from consuldns.views.store import MissingView, ViewStore
from consuldns.views.zone_records import ZoneNames

KEYS = tuple(Key.__subclasses__())


def example(key_type: type[Key[View]], text: str = "x") -> Key[View]:
    """A key with the same text in all fields."""
    return key_type(*(text for _ in key_type.__struct_fields__))


def view_type(key_type: type[Key[View]]) -> type[View]:
    """The type of the views of a key."""
    (base,) = key_type.__orig_bases__  # type: ignore[attr-defined]
    (found,) = typing.get_args(base)
    assert isinstance(found, type)
    assert issubclass(found, View)
    return found


def test_each_key_has_a_row_and_travels_between_the_processes() -> None:
    assert set(KINDS) == set(KEYS)
    for key_type in KEYS:
        message = updates.Need(example(key_type))
        frame = msgspec.msgpack.encode(message)
        assert msgspec.msgpack.decode(frame, type=updates.ToControl) == message


@pytest.mark.parametrize("key_type", KEYS)
def test_the_columns_of_a_row_agree(key_type: type[Key[View]]) -> None:
    kind = KINDS[key_type]
    view = view_type(key_type)
    assert (kind.request is None) == (kind.decode is None) == (kind.kept is Kept.IN_BACKGROUND)
    assert kind.nothing is None or type(kind.nothing) is view
    assert issubclass(view, ListView) == (kind.kept is Kept.ALWAYS)
    if issubclass(view, ListView):
        assert kind.nothing is None or view.may_be_empty
    if kind.kept is Kept.ON_DEMAND:
        assert kind.nothing is not None, "what is denied has an empty view"
    if kind.invalidated_by is not Area.AGE:
        assert kind.invalidated_by in {each.invalidates for each in KINDS.values()}


def test_labels_are_words_with_the_names_in_them() -> None:
    for key_type in KEYS:
        label = example(key_type, "x{y}").label
        assert label.startswith("the ")
        assert label.count("x{y}") == len(key_type.__struct_fields__)


@pytest.mark.parametrize("key_type", [k for k, kind in KINDS.items() if kind.members])
def test_members_of_a_list_are_proved_by_that_list(key_type: type[Key[View]]) -> None:
    listed = {
        keys.ServiceList: model.Services(1, ("Web.A",), ()),
        keys.ReverseZoneList: reverse_names.ReverseZones(1, ("10.IN-ADDR.ARPA",)),
        keys.ZoneList: ZoneNames(1, ("Example.internal",)),
    }[key_type]
    members = KINDS[key_type].members
    assert members is not None
    (name,) = listed.names_listed
    member, other = members("dc1", name), members("dc1", "other")
    views = ViewStore()
    with pytest.raises(MissingView):
        kind_of(member).proof(member, views)
    views.replace(example(key_type, "dc1"), listed)
    assert kind_of(member).proof(member, views) == name
    with pytest.raises(NotFound):
        kind_of(other).proof(other, views)


@pytest.mark.parametrize("key_type", [keys.ServiceList, keys.NodeList, keys.ClusterList])
def test_lists_are_read_of_known_datacenters_only(key_type: type[Key[View]]) -> None:
    views = ViewStore()
    views.replace(keys.DatacenterList(), model.Datacenters(0, "dc1", ("dc1", "dc2")))
    kind_of(example(key_type, "dc2")).proof(example(key_type, "dc2"), views)
    with pytest.raises(BadResponse, match="unknown to Consul"):
        kind_of(example(key_type, "dc3")).proof(example(key_type, "dc3"), views)


def test_of_another_datacenter_everything_is_read_on_demand_and_ages() -> None:
    for key in (keys.ServiceList("dc2"), keys.ServiceInstances("dc2", "a"), keys.NodeList("dc2")):
        assert (kinds.kept(key, "dc1"), kinds.area(key, "dc1")) == (Kept.ON_DEMAND, Area.AGE)
    assert kinds.kept(keys.ServiceList("dc1"), "dc1") is Kept.ALWAYS
    assert kinds.area(keys.ServiceInstances("dc1", "a"), "dc1") is Area.SERVICES
    assert kinds.area(keys.ReverseZone("10.in-addr.arpa"), "dc1") is Area.KEYS


def test_the_architecture_document_has_each_kind() -> None:
    document = Path(__file__).parents[2].joinpath("docs", "architecture.md").read_text()
    rows = [line for line in document.splitlines() if line.startswith("| `")]
    for key_type in KEYS:
        starts = (f"| `{key_type.__name__}(", f"| `{key_type.__name__}`")
        assert sum(row.startswith(starts) for row in rows) == 1
    for state in State:
        assert state.name in document


def test_what_is_put_together_has_no_request() -> None:
    with pytest.raises(BadResponse):
        kinds.source(keys.ServiceAddresses("dc2"), Place("dc1"))
