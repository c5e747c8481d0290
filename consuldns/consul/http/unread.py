"""The records of Consul that could not be read: which they are, and how that is logged.

One that cannot be read costs its neighbours nothing, and proves nothing: what was known of it is
kept. It is named in the log once, until the list of such records changes.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from consuldns.incidents import Incidents
from consuldns.untrusted import Unread, find

_log = logging.getLogger(__name__)

MAX_NAMED = 3  # in one line of log
MAX_NAME = 80  # characters
MAX_CURRENT = 50  # that metrics and the status page name


@dataclass(frozen=True, slots=True)
class UnreadRecord:
    """`name` is for people; `listed` as `guard.names` has it, empty if that is unknown."""

    name: str
    reason: str
    listed: str = ""


def node_record(record: Unread) -> UnreadRecord:
    """An entry of /v1/catalog/nodes."""
    node = find(record.content, "Node")
    return UnreadRecord(_named("node", node), record.reason, f"{node}.node" if node else "")


def service_record(record: Unread) -> UnreadRecord:
    """An entry of /v1/catalog/services, of which the name is all there is."""
    name = find(b'{"":%b}' % record.content, "")
    return UnreadRecord(_named("service", name), record.reason, name)


def instance_record(record: Unread) -> UnreadRecord:
    """An entry of /v1/health/service."""
    instance = find(record.content, "Service", "ID")
    node = find(record.content, "Node", "Node")
    return UnreadRecord(f"{_named('instance', instance)} on {_named('node', node)}", record.reason)


def query_record(record: Unread) -> UnreadRecord:
    """An entry of /v1/query."""
    name = find(record.content, "Name") or find(record.content, "ID")
    return UnreadRecord(_named("prepared query", name), record.reason, name)


def peer_record(record: Unread) -> UnreadRecord:
    """An entry of /v1/peerings."""
    name = find(record.content, "Name")
    return UnreadRecord(_named("peer", name), record.reason, name)


def check_record(record: Unread) -> UnreadRecord:
    """An entry of /v1/health/state."""
    check = find(record.content, "CheckID")
    node = find(record.content, "Node")
    return UnreadRecord(f"{_named('check', check)} of {_named('node', node)}", record.reason)


def keys(records: Iterable[Unread], listed: Callable[[str], str | None]) -> list[UnreadRecord]:
    """Entries of /v1/kv/?recurse. `listed` says what a key is called in the list.

    Left out are those that nobody looks at: None there. One whose name cannot be read is not.
    """
    named = ((find(record.content, "Key"), record.reason) for record in records)
    return [
        UnreadRecord(_named("key", key), reason, found)
        for key, reason in named
        for found in (listed(key) if key else "",)
        if found is not None
    ]


def key_named(key: str, reason: object, listed: str = "") -> UnreadRecord:
    """An entry of /v1/kv/?recurse whose value cannot be read."""
    return UnreadRecord(_named("key", key), str(reason), listed)


def _named(what: str, name: str) -> str:
    return f"{what} {name[:MAX_NAME]!r}" if name else f"{what} with an unreadable name"


class UnreadRecords:
    """Counts the records that were skipped, knows those of now, and names them once."""

    def __init__(self) -> None:
        self.count = 0
        self._current: dict[str, Sequence[UnreadRecord]] = {}
        self._incidents = Incidents(_log)

    def current(self) -> list[tuple[str, UnreadRecord]]:
        """The first of those that cannot be read now, and of which reply each is."""
        found = ((where, each) for where, records in self._current.items() for each in records)
        return list(islice(found, MAX_CURRENT))

    def forget(self, where: str) -> None:
        """That reply is not asked for any more."""
        self._current.pop(where, None)
        self._incidents.ended(where, "")

    def note(self, where: str, records: Sequence[UnreadRecord]) -> None:
        """What was skipped of a reply; `where` says of which."""
        self.count += len(records)
        self._current.pop(where, None)
        if records and len(self._current) < MAX_CURRENT:
            self._current[where] = records[:MAX_CURRENT]
        if records:
            self._incidents.began(where, f"skipped, and the rest used: {describe(records)}")
        else:
            self._incidents.ended(where, "every record can be read again")


def describe(records: Sequence[UnreadRecord]) -> str:
    """The records for a line of log: the first few by name."""
    said = "; ".join(f"{each.name}: {each.reason}" for each in records[:MAX_NAMED])
    more = len(records) - MAX_NAMED
    return f"{said}; and {more} more" if more > 0 else said


def listed(records: Iterable[UnreadRecord]) -> frozenset[str] | None:
    """What the records are called in a list; None if one of them is unknown."""
    found = frozenset(record.listed for record in records)
    return None if "" in found else found
