"""One object for equal parts of many views: the node of a hundred instances is in memory once.

An instance costs 2.2 KB when it is decoded by itself, and 0.4 KB with its node, tags and metadata
shared (100,000 instances on 1,000 nodes, CPython 3.11). Parts are immutable by agreement, so
nobody sees the difference.
"""

from typing import TypeVar

from msgspec.structs import replace

from consuldns.views.model import AnyView, Instance, Instances, Node, Nodes

MAX_PARTS = 50_000  # of a kind; beyond, it starts anew: this only saves memory

T = TypeVar("T")
V = TypeVar("V", bound=AnyView)


class SharedParts:
    """The parts that were seen last, to be used again."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._parts: dict[object, object] = {}

    def share(self, view: V) -> V:
        """The same view, made of shared parts."""
        if isinstance(view, Instances):
            return replace(view, instances=tuple(map(self._instance, view.instances)))
        if isinstance(view, Nodes):
            return replace(view, nodes=tuple(map(self._node, view.nodes)))
        return view

    def _instance(self, instance: Instance) -> Instance:
        return replace(
            instance,
            node=self._node(instance.node),
            service=self._part(instance.service, instance.service),
            tags=self._part(instance.tags, instance.tags),
            meta=self._part(tuple(sorted(instance.meta.items())), instance.meta),
        )

    def _node(self, node: Node) -> Node:
        known = self._nodes.get(node.name)
        if known == node:
            return known
        if len(self._nodes) > MAX_PARTS:
            self._nodes.clear()
        self._nodes[node.name] = node
        return node

    def _part(self, key: object, part: T) -> T:
        if len(self._parts) > MAX_PARTS:
            self._parts.clear()
        return self._parts.setdefault((type(part), key), part)  # type: ignore[return-value]
