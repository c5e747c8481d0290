"""A change is whole or did not happen."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from consuldns.agent.tables import Database, Table

Write = tuple[bool, int, int | None]
"""Into the second table or the first, at which key, what (None: remove)."""
KEYS = st.integers(min_value=0, max_value=4)
WRITES = st.lists(st.tuples(st.booleans(), KEYS, st.none() | st.integers()))


class Undo(Exception):
    pass


@given(st.lists(st.tuples(WRITES, st.booleans())))
def test_a_change_is_whole_or_did_not_happen(changes: list[tuple[list[Write], bool]]) -> None:
    database = Database()
    tables: tuple[Table[int, int], Table[int, int]] = (database.table(), database.table())
    expected: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for writes, fails in changes:
        wanted = ({**expected[0]}, {**expected[1]})
        index = database.index
        try:
            with database.change():
                for second, key, value in writes:
                    if value is None:
                        tables[second].remove(key)
                        wanted[second].pop(key, None)
                    else:
                        tables[second].put(key, value)
                        wanted[second][key] = value
                if fails:
                    raise Undo
            expected = wanted
        except Undo:
            assert database.index == index
        assert tuple(dict(table.items()) for table in tables) == expected


def test_the_index_counts_changes() -> None:
    database = Database()
    table: Table[str, int] = database.table()
    rung: list[int] = []
    database.on_change = lambda: rung.append(database.index)
    with database.change():
        pass
    assert database.index == 1
    with database.change():
        table.put("k", 1)
        database.touch(("a",), ("b", "c"))
    assert database.index == 2
    assert database.index_of(("a",)) == 2
    assert database.index_of(("none",), ("b", "c")) == 2
    assert database.index_of(("none",)) == 1
    with suppress(Undo), database.change():
        database.touch(("a",))
        raise Undo
    assert database.index_of(("a",)) == 2
    assert rung == [2]
