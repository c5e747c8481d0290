"""Reading JSON that others wrote: a value or `Unreadable`, whatever it is."""

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns import untrusted
from consuldns.consul import kinds
from consuldns.consul.kinds import Place
from consuldns.errors import BadResponse
from consuldns.process import link
from consuldns.untrusted import Unreadable
from consuldns.views import keys, updates
from tests.consul import nasty

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
SOURCES = tuple(
    kinds.source(key, Place("dc1", "web"))
    for key in (
        keys.ServiceList("dc1"),
        keys.NodeList("dc1"),
        keys.ServiceInstances("dc1", "web"),
        keys.ReverseZoneList(),
        keys.ReverseZone("10.in-addr.arpa"),
        keys.ClusterList("dc1"),
    )
)


class Record(msgspec.Struct):
    n: int


@given(st.lists(VALUES))
def test_a_list_is_cut_into_its_elements(values: list[object]) -> None:
    body = json.dumps(values).encode()
    assert [json.loads(part) for part in untrusted.elements(body)] == values


@given(st.dictionaries(st.text(), VALUES))
def test_an_object_is_cut_into_its_members(values: dict[str, object]) -> None:
    body = json.dumps(values).encode()
    assert {json.loads(n): json.loads(v) for n, v in untrusted.members(body)} == values


@given(st.lists(VALUES), st.integers(1, 5))
def test_a_list_that_breaks_off_is_not_a_shorter_one(values: list[object], lost: int) -> None:
    body = json.dumps(values).encode()
    with pytest.raises(Unreadable):
        untrusted.Records(Record).read(body[: max(len(body) - lost, 0)])


@pytest.mark.parametrize("name", nasty.RECORDS | nasty.DOCUMENTS)
def test_a_bad_record_costs_itself_alone(name: str) -> None:
    record = (nasty.RECORDS | nasty.DOCUMENTS)[name] or b"null"
    if name in ("binary",):
        return
    good, bad = untrusted.Records(Record).read(b'[{"n": 1}, %b, {"n": 2}]' % record)
    assert [each.n for each in good] == [1, 2]
    assert [each.content.strip() for each in bad] == [record]


def test_a_name_is_found_however_broken_the_rest_is() -> None:
    record = nasty.RECORDS["very deep configuration"]
    assert untrusted.find(record, "Service", "ID") == "bad"
    assert untrusted.find(record, "Node", "Node") == "node-1"
    assert untrusted.find(record, "Service", "none") == ""
    assert untrusted.find(b"[", "a") == ""


ODD_BODIES = {name: b"[%b]" % record for name, record in (nasty.RECORDS | nasty.ODD).items()}


@pytest.mark.parametrize("name", ODD_BODIES)
def test_every_view_travels_to_a_worker(name: str) -> None:
    decoder = link.worker_decoder()
    for source in SOURCES:
        with contextlib.suppress(BadResponse):
            view, _ = source.decode(2**64 - 1, ODD_BODIES[name])
            message = updates.Replaced(keys.ServiceList("dc1"), view)
            assert decoder.decode(link.frame(message)[4:]) == message


@given(st.binary(max_size=300))
def test_whatever_octets_come_nothing_else_is_raised(body: bytes) -> None:
    for source in SOURCES:
        with contextlib.suppress(BadResponse):
            source.decode(1, body)
    assert isinstance(untrusted.find(body, "a", "b"), str)
