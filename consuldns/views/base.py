"""What all views have in common."""

from abc import abstractmethod
from collections.abc import Set as AbstractSet
from typing import ClassVar, Self

import msgspec


class View(msgspec.Struct, frozen=True, array_like=True, tag=True, dict=True):
    """One piece of Consul's state. `index` is its X-Consul-Index (0: it has none)."""

    index: int


class ListView(View, frozen=True):
    """A view that says what exists: a name that is missing in it is denied.

    `noun` is what it lists, in the plural. `may_be_empty`: a list of the KV tree, to which nobody
    need have written; Consul always has a service and a node.
    """

    noun: ClassVar[str]
    may_be_empty: ClassVar[bool] = False

    @property
    @abstractmethod
    def names_listed(self) -> frozenset[str]:
        """What is lost if it is missing in the next reading."""

    @abstractmethod
    def merged_with(self, old: Self) -> Self:
        """This list with what it lacks of an older one: what is published while losses are held."""

    @abstractmethod
    def restricted_to(self, names: AbstractSet[str]) -> Self:
        """What the list says about some of `names_listed`."""


class TreeView(View, frozen=True):
    """A view of keys of the KV tree, each of which may be unreadable by itself."""

    @abstractmethod
    def completed(self, old: Self, lost: AbstractSet[str] | None) -> Self:
        """This view with what it lacks of an older one.

        `lost` are the names of what cannot be read now; None: they are not known.
        """


class Value(msgspec.Struct, frozen=True, array_like=True):
    """A part of a view."""
