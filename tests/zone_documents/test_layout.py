"""Which key has which name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.names import Labels, is_valid
from consuldns.zone_documents import layout

ZONE: Labels = (b"example", b"internal")


@pytest.mark.parametrize(
    ("path", "labels"),
    [
        ("@", ()),
        ("www", (b"www",)),
        ("*.apps", (b"*", b"apps")),
        ("_sip._tcp", (b"_sip", b"_tcp")),
        ("0/25", (b"0/25",)),
        (r"a\.b.c", (b"a.b", b"c")),
    ],
)
def test_names(path: str, labels: Labels) -> None:
    assert layout.labels_of(path, ZONE) == labels


@pytest.mark.parametrize("path", ["", ".", "www.", "a..b", ".a", "x" * 64, "x." * 120 + "x"])
def test_what_is_not_a_name(path: str) -> None:
    with pytest.raises(ValueError, match=r"name|DNS"):
        layout.labels_of(path, ZONE)


@pytest.mark.parametrize("folder", ["", ".", "a..b", "x" * 64])
def test_what_is_not_a_zone(folder: str) -> None:
    with pytest.raises(ValueError, match=r"zone|DNS"):
        layout.zone_of(folder)


LABELS = st.lists(st.binary(min_size=1, max_size=63), min_size=1, max_size=3).map(tuple)


@given(LABELS)
def test_the_key_of_a_name_is_read_as_that_name(labels: Labels) -> None:
    if is_valid((*labels, *ZONE)):
        key = layout.key("example.internal", labels)
        path = key.removeprefix(f"{layout.ROOT}/example.internal/")
        if labels == (b"@",):
            return  # which is the zone itself
        assert layout.labels_of(path, ZONE) == labels
