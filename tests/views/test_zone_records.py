"""The records of a zone: what exists, and changes that are sent in place of the whole."""

from hypothesis import given
from hypothesis import strategies as st

from consuldns.names import Labels, fold
from consuldns.views.zone_records import RecordSet, ZoneName, ZoneNames, ZoneRecords

LABELS = st.lists(st.sampled_from([b"a", b"B", b"*", b"c"]), max_size=3).map(tuple)
ZONES = st.dictionaries(LABELS, st.integers(1, 3), max_size=12)


def view(index: int, addresses: dict[Labels, int]) -> ZoneRecords:
    """A zone with an address at each name."""
    names = {
        fold(labels): ZoneName(labels, (RecordSet(1, 60, (bytes((10, 0, 0, last)),)),))
        for labels, last in addresses.items()
    }
    return ZoneRecords.of(index, names)


@given(ZONES, ZONES)
def test_a_changed_view_is_the_new_one(before: dict[Labels, int], after: dict[Labels, int]) -> None:
    old, new = view(1, before), view(2, after)
    changed = old.changed(new.change_from(old))
    assert changed.index == 2
    assert changed.by_name == new.by_name
    assert changed.labels_below == new.labels_below
    assert {each.labels for each in changed.names} == {each.labels for each in new.names}


@given(ZONES)
def test_what_is_sent_to_another_process_is_the_same(addresses: dict[Labels, int]) -> None:
    whole = view(1, addresses)
    assert ZoneRecords(1, whole.names).by_name == whole.by_name
    assert whole.change_from(whole).size == 0


@given(ZONES, LABELS)
def test_a_name_exists_if_it_or_one_below_it_has_records(
    addresses: dict[Labels, int], name: Labels
) -> None:
    names = [fold(labels) for labels in addresses]
    below = any(each[len(each) - len(fold(name)) :] == fold(name) for each in names)
    assert view(1, addresses).exists(fold(name)) == (below or name == ())


def test_zones_and_what_is_above_them() -> None:
    zones = ZoneNames(1, ("A.example.test", "example.test"))
    assert zones.apexes.longest_of((b"x", b"a", b"example", b"test")) == (b"a", b"example", b"test")
    assert zones.enclosing == {(b"example", b"test"), (b"test",)}
