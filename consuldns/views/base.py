"""What all views have in common."""

import msgspec


class View(msgspec.Struct, frozen=True, array_like=True, tag=True, dict=True):
    """One piece of Consul's state. `index` is its X-Consul-Index (0: it has none)."""

    index: int


class Value(msgspec.Struct, frozen=True, array_like=True):
    """A part of a view."""
