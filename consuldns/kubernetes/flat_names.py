"""Which service has which flat name: first come, first served, and for good.

A name that somebody else had first, in another namespace, in another cluster or in Consul itself,
is never joined by accident: the newcomer is `<service>-<namespace>` from then on, even when the
plain name becomes free, because a name that changes is an outage for whoever uses it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from consuldns.kubernetes.types import ServiceKey

RESERVED = frozenset(("consul",))  # the servers' own service
MAX_LABEL = 63


@dataclass(frozen=True)
class Claim:
    """A service that wants a name. `since` orders those that come at the same time: age, UID."""

    service: ServiceKey
    wanted: str
    policy: str  # suffix, merge or skip
    since: tuple[str, str]

    def candidates(self, uid: str) -> tuple[str, ...]:
        """The names that it may get, the best first. `uid` is that of the cluster."""
        wanted = shortened(self.wanted)
        if self.policy != "suffix":
            return (wanted,)
        namespace, name = self.service
        unique = blake2b(f"{uid}/{namespace}/{name}".encode(), digest_size=2).hexdigest()
        suffixed = f"{self.wanted}-{namespace}"
        return wanted, shortened(suffixed), shortened(f"{suffixed}-{unique}")


def shortened(name: str) -> str:
    """A name of at most 63 octets: the beginning of a longer one, and a hash of the whole."""
    if len(name) <= MAX_LABEL:
        return name
    return f"{name[:54]}-{blake2b(name.encode(), digest_size=4).hexdigest()}"


def assign(
    claims: Iterable[Claim],
    held: Mapping[str, ServiceKey],
    taken: Collection[str],
    uid: str,
) -> dict[ServiceKey, str]:
    """The flat name of each service; empty if it gets none (policy `skip`).

    `held` are the names that our services have already; `taken` those of others, in lower case.
    """
    ordered = sorted(claims, key=lambda claim: (claim.since, claim.service))
    holders: dict[ServiceKey, set[str]] = {}
    for name, service in held.items():
        holders.setdefault(service, set()).add(name)
    assigned: dict[ServiceKey, str] = {}
    used: set[str] = set()
    undecided = []
    for claim in ordered:
        kept = [c for c in claim.candidates(uid) if c in holders.get(claim.service, ())]
        if claim.policy == "merge":
            kept = [shortened(claim.wanted)]
        if kept:
            assigned[claim.service] = kept[0]
            used.add(kept[0])
        else:
            undecided.append(claim)
    for claim in undecided:
        free = (
            name
            for name in claim.candidates(uid)
            if name not in used and name not in taken and name not in RESERVED
        )
        name = next(free, "")
        assigned[claim.service] = name
        used.add(name)
    return assigned
