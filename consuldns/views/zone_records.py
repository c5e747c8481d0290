"""The zones that people keep in Consul's KV tree: which there are, and the records of each.

Format and rules of the documents are in `consuldns.zone_documents`.
"""

from collections import Counter
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Self

from msgspec.structs import replace

from consuldns import names
from consuldns.names import Labels, Suffixes
from consuldns.views.base import ListView, TreeView, Value


class ZoneNames(ListView, frozen=True):
    """The zones of the KV tree by the names of their folders, as spelled there."""

    noun = "zones of the KV tree"
    may_be_empty = True
    zones: tuple[str, ...] = ()

    @property
    def names_listed(self) -> frozenset[str]:
        """The zones."""
        return frozenset(self.zones)

    def merged_with(self, old: Self) -> Self:
        """The zones of both."""
        return replace(self, zones=tuple(sorted({*old.zones, *self.zones})))

    def restricted_to(self, names: AbstractSet[str]) -> Self:
        """Some zones."""
        return replace(self, zones=tuple(name for name in self.zones if name in names))

    @cached_property
    def by_apex(self) -> dict[Labels, str]:
        """Folders by folded name; of two that differ in case only, the first."""
        found: dict[Labels, str] = {}
        for zone in self.zones:
            found.setdefault(names.fold(names.parse_name(zone)), zone)
        return found

    @cached_property
    def apexes(self) -> Suffixes:
        """The zones, to be matched."""
        return Suffixes(self.by_apex)

    @cached_property
    def enclosing(self) -> frozenset[Labels]:
        """Every name above an apex."""
        return names.ancestors(self.by_apex)


class RecordSet(Value, frozen=True):
    """The records of one type at a name. `ttl` in seconds.

    `data` of each in wire format, names written out; addresses packed.
    """

    type: int
    ttl: int
    data: tuple[bytes, ...]


class ServiceAlias(Value, frozen=True):
    """A name that has the addresses of a service's instances.

    `tag` and `datacenter` are empty for any tag, and for the datacenter of the agent; `ttl` in
    seconds, None for that of the service.
    """

    service: str
    tag: str = ""
    datacenter: str = ""
    ttl: int | None = None


class ZoneName(Value, frozen=True):
    """A name of a zone: its labels left of the apex, as spelled, and what is there."""

    labels: Labels
    records: tuple[RecordSet, ...] = ()
    alias: ServiceAlias | None = None

    def set_of(self, type_: int) -> RecordSet | None:
        """The records of a type."""
        return next((each for each in self.records if each.type == type_), None)


class ZoneRecords(TreeView, frozen=True):
    """All names of a zone that have records, each once."""

    names: tuple[ZoneName, ...] = ()

    def completed(self, old: Self, lost: AbstractSet[str] | None) -> Self:
        """With the names that are lost, in presentation form and lower case."""
        kept = tuple(
            each
            for name, each in old.by_name.items()
            if name not in self.by_name and (lost is None or names.format_name(name) in lost)
        )
        return replace(self, names=(*self.names, *kept)) if kept else self

    @classmethod
    def of(cls, index: int, by_name: dict[Labels, ZoneName]) -> Self:
        """The names by their folded labels."""
        made = cls(index, tuple(by_name.values()))
        made.__dict__["by_name"] = by_name  # which takes long to make again
        return made

    @cached_property
    def by_name(self) -> dict[Labels, ZoneName]:
        """What is at a folded name, left of the apex."""
        return {names.fold(each.labels): each for each in self.names}

    @cached_property
    def labels_below(self) -> dict[Labels, set[bytes]]:
        """The labels directly below each name that has names below it, and below the apex."""
        found: dict[Labels, set[bytes]] = {(): set()}
        for name in self.by_name:
            for start in range(len(name)):
                below = found.setdefault(name[start + 1 :], set())
                if name[start] in below:
                    break
                below.add(name[start])
        return found

    @cached_property
    def most_common_start(self) -> str:
        """The letter that most names begin with."""
        starts = Counter(each.labels[0][:1] for each in self.names if each.labels)
        return next((start.decode("latin-1") for start, _ in starts.most_common(1)), "/")

    def exists(self, name: Labels) -> bool:
        """Whether there is something at a folded name, or below it."""
        return name in self.by_name or name in self.labels_below

    def change_from(self, old: "ZoneRecords") -> "ZoneChange":
        """What makes this view of an older one."""
        before, now = old.by_name, self.by_name
        changed = [each for name, each in now.items() if before.get(name) != each]
        return ZoneChange(self.index, tuple(changed), tuple(before.keys() - now.keys()))

    def changed(self, change: "ZoneChange") -> "ZoneRecords":
        """This view after a change; quick, however large it is."""
        by_name = dict(self.by_name)
        is_same_tree = not change.removed
        for labels in change.removed:
            by_name.pop(labels, None)
        for each in change.changed:
            name = names.fold(each.labels)
            is_same_tree = is_same_tree and name in by_name
            by_name[name] = each
        made = ZoneRecords.of(change.index, by_name)
        if is_same_tree and "labels_below" in self.__dict__:
            made.__dict__["labels_below"] = self.labels_below
        return made


class ZoneChange(Value, frozen=True):
    """Names of a zone that are new or differ, and the folded labels of those that are gone."""

    index: int
    changed: tuple[ZoneName, ...]
    removed: tuple[Labels, ...]

    @property
    def size(self) -> int:
        """How many names it concerns."""
        return len(self.changed) + len(self.removed)
