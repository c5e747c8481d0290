"""What the views of reverse names hold: the folders of the KV tree, and an index of addresses."""

from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Self

import msgspec
from msgspec.structs import replace

from consuldns import names, reverse_layout
from consuldns.names import Labels, Suffixes
from consuldns.views.base import ListView, TreeView, Value, View
from consuldns.views.networks import Networks


class ReverseZones(ListView, frozen=True):
    """The folders of the KV tree's root that are named like reverse zones, as spelled there."""

    noun = "reverse zones"
    may_be_empty = True
    folders: tuple[str, ...]

    @property
    def names_listed(self) -> frozenset[str]:
        """The folders."""
        return frozenset(self.folders)

    def merged_with(self, old: Self) -> Self:
        """The folders of both."""
        return replace(self, folders=tuple(sorted({*old.folders, *self.folders})))

    def restricted_to(self, names: AbstractSet[str]) -> Self:
        """Some folders."""
        return replace(self, folders=tuple(name for name in self.folders if name in names))

    @cached_property
    def by_name(self) -> dict[Labels, tuple[str, ...]]:
        """Folders by folded name: `0.70.254.10.IN-ADDR.ARPA` under its six labels."""
        found: dict[Labels, tuple[str, ...]] = {}
        for folder in self.folders:
            name = reverse_layout.folder_name(folder)
            if name is not None:
                found[name] = (*found.get(name, ()), folder)
        return found

    @cached_property
    def apexes(self) -> Suffixes:
        """The zones that the folders stand for."""
        return Suffixes(reverse_layout.apex(name) for name in self.by_name)

    @cached_property
    def enclosing(self) -> frozenset[Labels]:
        """Every name above an apex, up to `in-addr.arpa` and `ip6.arpa`."""
        return names.ancestors(reverse_layout.apex(name) for name in self.by_name)

    @cached_property
    def _folder_names(self) -> Suffixes:
        return Suffixes(self.by_name)

    def folders_around(self, name: Labels) -> tuple[str, ...]:
        """Folders that may say something about a folded reverse name or what is below it.

        Those named like it or like a network around it, and the one of its /24 or /64 with the
        literal host label `0`, which comes first: it is the layout of the sync worker.
        """
        if not self.by_name:
            return ()
        around = reverse_layout.folder_around(name)
        found = list(self.by_name.get(around, ())) if around is not None else []
        for suffix in self._folder_names.of(name):
            found += (folder for folder in self.by_name[suffix] if folder not in found)
        return tuple(found)


class ReverseEntry(Value, frozen=True):
    """A key of a reverse folder: the address (its last part), and the names that it points to.

    Without targets its value holds none that makes sense.
    """

    address: str
    targets: tuple[str, ...]  # presentation form, without a final dot
    flags: int  # KV Flags: tells whose key it is (the sync worker marks its own)


class ReverseEntries(TreeView, frozen=True):
    """The reverse names of one folder."""

    entries: tuple[ReverseEntry, ...]

    def completed(self, old: Self, lost: AbstractSet[str] | None) -> Self:
        """With the entries of the addresses that are lost."""
        present = {each.address for each in self.entries}
        kept = tuple(
            each
            for each in old.entries
            if each.address not in present and (lost is None or each.address in lost)
        )
        return replace(self, entries=(*self.entries, *kept)) if kept else self

    @cached_property
    def by_address(self) -> dict[bytes, tuple[str, ...]]:
        """Targets by packed address."""
        found: dict[bytes, tuple[str, ...]] = {}
        for entry in self.entries:
            address = names.parse_address(entry.address)
            if address is not None and entry.targets:
                found[address.packed] = (*found.get(address.packed, ()), *entry.targets)
        return found

    @cached_property
    def networks(self) -> Networks:
        """The networks that hold an address of the folder."""
        return Networks(self.by_address)


class AddressIndex(View, frozen=True):
    """Which services have an instance at an address (packed).

    `services` has the first one, for PTR: those that a cluster's worker wrote do not count, since
    the worker decides which of its addresses have a reverse name. `of_clusters` has those alone.
    `others` are the services of an address beside the first, which few have.
    """

    services: dict[bytes, str]
    of_clusters: dict[bytes, tuple[str, ...]] = msgspec.field(default_factory=dict)
    others: dict[bytes, tuple[str, ...]] = msgspec.field(default_factory=dict)

    @cached_property
    def networks(self) -> Networks:
        """The networks that hold an address which has a reverse name."""
        return Networks(self.services)
