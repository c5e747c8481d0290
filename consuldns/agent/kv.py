"""The KV store: keys in order, values of octets, locks that sessions hold."""

from collections.abc import Callable

from consuldns.agent.records import Entry, Refused, stamped
from consuldns.agent.tables import Database, Table

MAX_VALUE = 524_288
"""Octets of a value (`kv_max_value_size` of Consul)."""


class KeyValues:
    """The keys. Writing methods say whether they did what was asked."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._entries: Table[str, Entry] = database.table()
        # Deleted keys stay here: a query that waits for one must see that it went. Consul forgets
        # them after a quarter of an hour; here they last as long as the process.
        self._changed: Table[str, int] = database.table()
        self._delayed: dict[str, float] = {}

    def get(self, key: str) -> Entry | None:
        """The entry of a key."""
        return self._entries.get(key)

    def under(self, prefix: str) -> list[Entry]:
        """The entries whose keys begin so, in the order of their octets."""
        found = [entry for key, entry in self._entries.items() if key.startswith(prefix)]
        return sorted(found, key=lambda entry: entry.key.encode())

    def keys(self, prefix: str, separator: str) -> list[str]:
        """The keys that begin so, each cut after the first separator beyond the prefix."""
        keys: dict[str, None] = {}
        for entry in self.under(prefix):
            cut = entry.key.find(separator, len(prefix)) if separator else -1
            keys[entry.key if cut < 0 else entry.key[: cut + len(separator)]] = None
        return list(keys)

    def index_of(self, key: str) -> int:
        """The index at which the key was last written or deleted, 1 if never."""
        return self._changed.get(key) or 1

    def index_under(self, prefix: str) -> int:
        """The index at which a key that begins so was last written or deleted, 1 if never."""
        changes = (index for key, index in self._changed.items() if key.startswith(prefix))
        return max(changes, default=1)

    def set(self, entry: Entry) -> Entry:
        """Write a value. A lock stays with its session, but its LockIndex is the one given."""
        old = self._entries.get(entry.key)
        session = old.session if old is not None else ""
        return self._write(entry, lock_index=entry.lock_index, session=session)

    def cas(self, entry: Entry) -> Entry | None:
        """Write if the ModifyIndex is the one given (0: if there is no such key), else None."""
        old = self._entries.get(entry.key)
        if entry.modify_index != (old.modify_index if old is not None else 0):
            return None
        return self.set(entry)

    def lock(self, entry: Entry) -> Entry | None:
        """Write and take the lock for the entry's session; None if another has it."""
        old = self._entries.get(entry.key)
        if old is not None and old.session not in ("", entry.session):
            return None
        held = old is not None and old.session == entry.session
        lock_index = (old.lock_index if old is not None else 0) + (not held)
        return self._write(entry, lock_index=lock_index, session=entry.session)

    def unlock(self, entry: Entry) -> Entry | None:
        """Write and give the lock back; None if the entry's session has not got it."""
        old = self._entries.get(entry.key)
        if old is None or old.session != entry.session:
            return None
        return self._write(entry, lock_index=old.lock_index, session="")

    def delete(self, key: str) -> None:
        """Delete a key, if it is there."""
        if key in self._entries:
            self._entries.remove(key)
            self._changed.put(key, self._database.next_index)

    def delete_cas(self, key: str, index: int) -> bool:
        """Delete if the ModifyIndex is the one given; a missing key counts as deleted."""
        entry = self._entries.get(key)
        if entry is not None and entry.modify_index != index:
            return False
        self.delete(key)
        return True

    def delete_tree(self, prefix: str) -> None:
        """Delete all keys that begin so."""
        for entry in self.under(prefix):
            self.delete(entry.key)

    def release_all(self, session: str, *, delete: bool, delay: float) -> None:
        """What a session held is free, or gone; nobody may lock it for `delay` seconds."""
        for entry in [each for each in self._entries.values() if each.session == session]:
            if delete:
                self.delete(entry.key)
            else:
                self._write(entry, lock_index=entry.lock_index, session="")
            if delay:
                self._delayed[entry.key] = self._clock() + delay

    def is_delayed(self, key: str) -> bool:
        """Whether the key cannot be locked yet, because a session that held it has ended."""
        until = self._delayed.get(key)
        if until is not None and until <= self._clock():
            del self._delayed[key]
            return False
        return until is not None

    def _write(self, entry: Entry, *, lock_index: int, session: str) -> Entry:
        if not entry.key:
            raise Refused("Must provide key")
        old = self._entries.get(entry.key)
        new = Entry(
            lock_index=lock_index,
            key=entry.key,
            flags=entry.flags,
            value=entry.value or None,
            session=session,
        )
        new = stamped(new, old, self._database.next_index)
        if new is not old:
            self._entries.put(new.key, new)
            self._changed.put(new.key, self._database.next_index)
        return new
