"""Reverse names, worked out from the catalog alone: zones, addresses, keys of the KV tree."""

from collections.abc import Iterable

from consuldns.descriptor import is_marked
from consuldns.dns.policy import PRIVATE_REVERSE_ZONES
from consuldns.names import (
    IN_ADDR_ARPA,
    IP6_ARPA,
    Labels,
    ancestors,
    fold,
    is_below,
    is_valid,
    parse_address,
    parse_name,
    reverse_name,
)
from tests.differential.catalog import Catalog
from tests.differential.existence import DOMAIN, SERVER, octets
from tests.differential.generate import DATACENTER

LOCAL: Labels = (DATACENTER.encode(), *DOMAIN)
HOST_FOLDER_LABELS = {IN_ADDR_ARPA: 6, IP6_ARPA: 19}  # of `0.c.b.a.in-addr.arpa` and the like


class ReverseNames:
    """The reverse names that have data, and the zones that answer for those that have none.

    `keys` and `targets` by folded reverse name; `oddly_spelled` are those whose address the catalog
    does not have in the form that Consul compares with; `overruled` are those for which Consul
    finds what the sync worker wrote for a Kubernetes cluster.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.keys: dict[Labels, set[str]] = {}
        zones = set(PRIVATE_REVERSE_ZONES)
        for key, value in catalog.keys.items():
            folder, _, text = key.rpartition("/")
            address = parse_address(text)
            if not _is_reverse_folder(folder):
                continue
            zones.add(_zone_of_folder(folder))
            if address is not None:
                targets = self.keys.setdefault(reverse_name(address), set())
                targets.add(value.rstrip(".").lower() + ".")
        self.zones = frozenset(zones)
        found: dict[Labels, tuple[str, Labels]] = {}
        of_consul: dict[Labels, bool] = {}
        for text, target, of_cluster in _owners(catalog):
            address = parse_address(text)
            if address is None:
                continue
            if not of_cluster:
                found.setdefault(reverse_name(address), (text, target))
            if text == str(address):
                of_consul.setdefault(reverse_name(address), of_cluster)
        self.overruled = frozenset(name for name, of_cluster in of_consul.items() if of_cluster)
        self.targets = {name: target for name, (_, target) in found.items() if is_valid(target)}
        self.oddly_spelled = frozenset(
            name for name in self.targets if found[name][0] != str(parse_address(found[name][0]))
        )
        self.names = frozenset((*self.targets, *self.keys))
        self._above = ancestors((*found, *self.keys, *self.zones))

    def zone_of(self, name: Labels) -> Labels | None:
        """The zone that the folded name lies in, the smallest."""
        inside = [zone for zone in self.zones if is_below(name, zone)]
        return max(inside, key=len, default=None)

    def exists(self, name: Labels) -> bool:
        """Whether the folded name has data, is a zone, or lies above one that has or is."""
        return name in self.names or name in self.zones or name in self._above


def _owners(catalog: Catalog) -> Iterable[tuple[str, Labels, bool]]:
    """What Consul looks reverse names up in, in its order: addresses, and what they point to.

    And whether a cluster's mark is on it.
    """
    nodes = sorted((*catalog.nodes, SERVER), key=lambda node: node.name.lower())
    for node in nodes:
        target = (*octets(node.name), b"node", *LOCAL)
        yield node.address, target, is_marked({}, node.meta)
    for node in nodes:
        for instance in sorted(node.instances, key=lambda each: each.id.lower()):
            target = (*octets(instance.service), b"service", *LOCAL)
            yield instance.address, target, is_marked(instance.meta, node.meta)


def _is_reverse_folder(folder: str) -> bool:
    name = fold(parse_name(folder)) if folder else ()
    return is_below(name, IN_ADDR_ARPA) or is_below(name, IP6_ARPA)


def _zone_of_folder(folder: str) -> Labels:
    """`0.c.b.a.in-addr.arpa` stands for the zone `c.b.a.in-addr.arpa`: 0 is in place of a host."""
    name = fold(parse_name(folder))
    return name[1:] if len(name) == HOST_FOLDER_LABELS[name[-2:]] and name[0] == b"0" else name
