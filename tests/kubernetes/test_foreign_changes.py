"""Whose writes are our own while several look for changes of others at the same time."""

from consuldns.consul.operations import Key, RemoveKey, SetKey
from consuldns.sync.existing.foreign_changes import Writes


def test_each_who_looks_sees_what_is_written_until_they_have_looked() -> None:
    writes = Writes()
    with writes.seen() as late:
        with writes.seen() as early:  # equal to the other one, as both are empty
            pass
        writes.begin([SetKey(Key("a", b""), 0), RemoveKey("b", 1)])
        assert late == {"a", "b"}
        assert early == set()
        writes.end()
        with writes.seen() as later:
            writes.begin([SetKey(Key("c", b""), 0)])
        assert late == {"a", "b", "c"}
        assert later == {"c"}


def test_what_is_being_written_when_somebody_begins_to_look_is_ours() -> None:
    writes = Writes()
    writes.begin([SetKey(Key("a", b""), 0)])
    with writes.seen() as names:
        assert names == {"a"}
