"""Names of Kubernetes services, worked out from their descriptors alone.

Services with a cluster IP and one named port, without instances: what Consul itself answers is the
same as without them.
"""

import random
from collections.abc import Mapping
from typing import Any

import dns.name
import msgspec

from consuldns.names import Labels, ancestors
from tests.differential.existence import BASES, DOMAIN
from tests.differential.generate import DATACENTER
from tests.differential.replies import Record
from tests.support import kubernetes_data

TREE: Labels = (b"svc", DATACENTER.encode(), *DOMAIN)
SUFFIXES: tuple[Labels, ...] = (TREE, *((b"service", *base) for base in BASES))
PORT: Labels = (b"_http", b"_tcp")
NUMBER = 8080
TTL = 5


def generate_descriptors(chance: random.Random, labels: list[str], count: int) -> dict[str, str]:
    """Descriptors of services that are named like other things, by their keys."""
    services = [
        {
            "namespace": chance.choice(labels),
            "name": chance.choice(labels),
            "flat": "",
            "cluster_ips": [f"10.77.0.{number}"],
            "ports": [f"http:TCP:{NUMBER}"],
        }
        for number in range(1, count + 1)
    ]
    return kubernetes_data.keys(services, [])


def names_of(key: str) -> list[Labels]:
    """The names of a descriptor's service, without those of its port; none for another key."""
    match key.split("/"):
        case [*_, "svc", namespace, name]:
            return [(name.encode(), namespace.encode(), *suffix) for suffix in SUFFIXES]
    return []


class ClusterNames:
    """The names that exist because of some descriptors, by key."""

    def __init__(self, descriptors: Mapping[str, str]) -> None:
        self._records: dict[Labels, tuple[str, Labels]] = {}  # address, and the service's own name
        for key, value in descriptors.items():
            for name in names_of(key):
                content: dict[str, Any] = msgspec.json.decode(value)
                self._records[name] = content["clusterIPs"][0], name
                self._records[*PORT, *name] = content["clusterIPs"][0], name
        self._above = ancestors(self._records)

    def exists(self, name: Labels) -> bool:
        """Whether the folded name is one of a service, or above one."""
        return name in self._records or name in self._above

    def has_data(self, name: Labels) -> bool:
        """Whether a service is at the name."""
        return name in self._records

    def answer(self, name: Labels, type_: str) -> tuple[frozenset[Record], frozenset[Record]]:
        """Answer and additional section."""
        address, service = self._records[name]
        owner, target = _text(name), _text(service)
        if type_ == "SRV":
            location = Record(owner, "SRV", TTL, "IN", f"0 100 {NUMBER} {target}")
            return frozenset({location}), frozenset({Record(target, "A", TTL, "IN", address)})
        is_asked = type_ in ("A", "ANY")
        answer = {Record(owner, "A", TTL, "IN", address)} if is_asked else set()
        return frozenset(answer), frozenset()


def _text(name: Labels) -> str:
    return dns.name.Name((*name, b"")).to_text()
