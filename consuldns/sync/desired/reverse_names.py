"""Which name an address points to.

One address may be claimed by several: a pod is an endpoint of many services, and anyone who may
write slices can claim any address. So a cluster IP comes first and nobody else may have it, an
address of a node belongs to nobody, an endpoint that two namespaces claim points nowhere unless the
pods themselves settle it, and of the rest the first in order wins: one address, one name. A claim
counts against others even if its service is to have no reverse name.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from consuldns.sync.kubernetes.objects import ServiceKey


class Rank(IntEnum):
    """Why an address has a name; the lowest wins."""

    CLUSTER_IP = 0
    HOSTNAME = 1  # a headless endpoint with a hostname
    HEADLESS = 2
    ENDPOINT = 3
    LOAD_BALANCER = 4
    UNNAMED = 5  # it leads to the address, but is to have no reverse name there


@dataclass(frozen=True, slots=True)
class Candidate:
    """A service's claim to an address. `target` is the name without a final dot.

    Empty: the service wants no name there, or must not have one.
    """

    address: str
    rank: Rank
    service: ServiceKey
    target: str


def choose(
    candidates: Iterable[Candidate],
    *,
    nodes: Collection[str],
    pods: Mapping[str, Collection[str]] | None = None,
) -> Candidate | None:
    """Who gets an address. `pods`: the namespaces by address of pod, if they are to be asked."""
    ordered = sorted(candidates, key=lambda each: (each.rank, each.service, each.target))
    if not ordered:
        return None
    if ordered[0].rank is Rank.CLUSTER_IP:
        return ordered[0] if ordered[0].target else None
    address = ordered[0].address
    if address in nodes:
        return None
    if pods is not None:
        owners = pods.get(address, ())
        ordered = [
            each for each in ordered if each.rank is Rank.LOAD_BALANCER or each.service[0] in owners
        ]
    if len({each.service[0] for each in ordered}) != 1:
        return None
    return ordered[0] if ordered[0].target else None
