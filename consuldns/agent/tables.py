"""Tables whose changes can be undone, and the index at which each thing was last changed.

All tables of a database change together: either a whole `change()` or nothing. The index counts
changes, as Consul's X-Consul-Index does. A `Topic` names a thing that can be waited for, such as
`("health", "web")`; writing a record touches the topics in which it can be seen.
"""

from collections.abc import Callable, ItemsView, Iterator, ValuesView
from contextlib import contextmanager
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

Topic = tuple[str, ...]


class Table(Generic[K, V]):
    """Records by key. Made by `Database.table`, written inside `Database.change` only."""

    def __init__(self, undo: list[Callable[[], None]]) -> None:
        self._records: dict[K, V] = {}
        self._undo = undo

    def get(self, key: K) -> V | None:
        """The record, None if there is none."""
        return self._records.get(key)

    def items(self) -> ItemsView[K, V]:
        """All keys and records."""
        return self._records.items()

    def values(self) -> ValuesView[V]:
        """All records."""
        return self._records.values()

    def put(self, key: K, record: V) -> None:
        """Insert or replace."""
        self._remember(key)
        self._records[key] = record

    def remove(self, key: K) -> None:
        """Delete, if it is there."""
        if key in self._records:
            self._remember(key)
            del self._records[key]

    def _remember(self, key: K) -> None:
        if key in self._records:
            before = self._records[key]
            self._undo.append(lambda: self._records.__setitem__(key, before))
        else:
            self._undo.append(lambda: self._records.__delitem__(key))

    def __contains__(self, key: K) -> bool:
        return key in self._records


class Database:
    """The index, the topics, and the undo journal that all tables share."""

    def __init__(self) -> None:
        self.index = 1
        """The index of the last change; Consul never gives 0, which would mean "do not wait"."""
        self.on_change: Callable[[], None] = lambda: None
        self._undo: list[Callable[[], None]] = []
        self._touched: Table[Topic, int] = self.table()

    def table(self) -> "Table[K, V]":
        """A new table, whose changes are undone with all others."""
        return Table(self._undo)

    @contextmanager
    def change(self) -> Iterator[None]:
        """All that is written inside becomes visible together; an exception undoes all of it."""
        assert not self._undo, "a change inside a change"
        try:
            yield
        except BaseException:
            for restore in reversed(self._undo):
                restore()
            raise
        else:
            changed = bool(self._undo)
            self.index += changed
        finally:
            self._undo.clear()
        if changed:
            self.on_change()

    @property
    def next_index(self) -> int:
        """The index of the change that is being written."""
        return self.index + 1

    def touch(self, *topics: Topic) -> None:
        """Whoever waits for one of these is to see this change."""
        for topic in topics:
            self._touched.put(topic, self.next_index)

    def index_of(self, *topics: Topic) -> int:
        """The index of the last change of any of these, 1 if there was none."""
        return max(self._touched.get(topic) or 1 for topic in topics)
