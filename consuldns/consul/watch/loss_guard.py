"""Whether a list that has shrunk may be believed.

A token that lost its rights makes Consul answer 200 with `{}` or `[]`, and 404 in the KV tree, as
if everything had been deleted; so does a server that lost its data. A name that vanishes with many
others is therefore kept for a while, until what remains has been checked. Names that come are never
held back, and one service that goes is gone at once.
"""

from consuldns.views import clusters, model
from consuldns.views.clusters import Clusters

# Every Consul server registers itself under this name: who cannot see it, sees nothing.
CANARY = "consul"
SETTLING_SECONDS = 2.0
MIN_VANISHED = 5

List = model.Services | model.Nodes | model.ReverseZones | Clusters


def names(view: List) -> frozenset[str]:
    """What a list lists. Only services by their bare names: a node `consul` is no canary."""
    match view:
        case model.Services():
            return frozenset(view.names)
        case model.Nodes():
            return frozenset(f"{node.name}.node" for node in view.nodes)
        case model.ReverseZones():
            return frozenset(view.folders)
        case Clusters():
            # Each cluster is a name as well: the last of its services may go at once.
            found = {f"{cluster.name}/" for cluster in view.clusters}
            for each in (service for cluster in view.clusters for service in cluster.services):
                found.add(each.path)
                if each.endpoints is not None:
                    found.add(f"{each.path}/endpoints")
            return frozenset(found)


def is_suspicious(old: frozenset[str], new: frozenset[str]) -> bool:
    """Whether too much has vanished: all, the canary, or five names that are more than half."""
    vanished = old - new
    if not vanished:
        return False
    if not new or CANARY in vanished:
        return True
    return len(vanished) >= MIN_VANISHED and 2 * len(vanished) > len(old)


def restrict(view: List, kept: frozenset[str]) -> List:
    """What the view says about these names."""
    match view:
        case model.Services(index, found, tags):
            return model.Services(index, tuple(name for name in found if name in kept), tags)
        case model.Nodes(index, nodes):
            return model.Nodes(index, tuple(each for each in nodes if f"{each.name}.node" in kept))
        case model.ReverseZones(index, folders):
            return model.ReverseZones(index, tuple(name for name in folders if name in kept))
        case Clusters(index, found_clusters):
            parts = (clusters.restrict(each, kept) for each in found_clusters)
            return Clusters(index, tuple(part for part in parts if part is not None))


def union(old: List, new: List) -> List:
    """The new list with what it lacks of the old one: what is said while deletions are held."""
    if isinstance(old, model.Services) and isinstance(new, model.Services):
        return model.Services(
            index=new.index,
            names=tuple(sorted({*old.names, *new.names})),
            tags=tuple(sorted({*old.tags, *new.tags})),
        )
    if isinstance(old, model.Nodes) and isinstance(new, model.Nodes):
        by_name = {node.name: node for node in (*old.nodes, *new.nodes)}
        return model.Nodes(
            index=new.index,
            nodes=tuple(sorted(by_name.values(), key=lambda node: node.name.lower())),
        )
    if isinstance(old, Clusters) and isinstance(new, Clusters):
        return clusters.union(old, new)
    assert isinstance(old, model.ReverseZones)
    assert isinstance(new, model.ReverseZones)
    return model.ReverseZones(index=new.index, folders=tuple(sorted({*old.folders, *new.folders})))


class Settling:
    """Tells when a loss has lasted: nothing more vanished for `SETTLING_SECONDS`."""

    def __init__(self, vanished: frozenset[str], now: float) -> None:
        self._vanished, self._since = vanished, now

    def agrees(self, vanished: frozenset[str], now: float) -> bool:
        """Whether this reading agrees with the first, long enough after it."""
        if not vanished <= self._vanished:
            self._vanished, self._since = vanished, now
        return now - self._since >= SETTLING_SECONDS


def shows_itself(old: frozenset[str], new: frozenset[str]) -> bool:
    """Whether a list of services or nodes shows what every Consul has; an empty one is never true.

    Consul's own service need not be visible to a token that never saw it.
    """
    return bool(new) and (CANARY in new or CANARY not in old)
