"""Which service has which flat name: first come, first served, permanently.

A name that somebody else had first, in another namespace, in another cluster or in Consul itself,
is never joined by accident: the newcomer is `<service>-<namespace>` from then on, even when the
plain name becomes free, because a name that changes is an outage for its clients.

A name given by annotation was chosen on purpose. Services of one cluster that are given the same
name are one service in Consul, as with consul-k8s; and a service gets the name that it was given as
soon as nobody else has it. Names are compared without regard to case, as Consul's DNS does.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from consuldns.config.sync import CollisionPolicy
from consuldns.names import MAX_LABEL
from consuldns.sync.kubernetes.objects import ServiceKey

RESERVED = frozenset(("consul",))  # the servers' own service


@dataclass(frozen=True)
class NameClaim:
    """A service that wants a name. `since` orders those that come at the same time: age, UID.

    `given`: by annotation. `is_shared`: with every service that was given the same name.
    """

    service: ServiceKey
    wanted: str
    policy: CollisionPolicy
    since: tuple[str, str]
    given: bool = False
    is_shared: bool = False

    @property
    def owner(self) -> ServiceKey:
        """Who has the names of this claim: the service, or all that were given the same name.

        The latter have no namespace, which no service lacks.
        """
        return ("", self.wanted.lower()) if self.is_shared else self.service

    def candidates(self, uid: str, cluster: str) -> tuple[str, ...]:
        """The names that it may get, the best first, for a cluster's UID and name.

        The last one only that name of the cluster can have: another has the same UID.
        """
        wanted = shortened(self.wanted)
        is_reserved = wanted.lower() in RESERVED
        if self.policy == "skip" or (self.policy == "merge" and not is_reserved):
            return (wanted,)
        namespace, name = self.service
        suffixed = f"{self.wanted}-{namespace}"
        in_cluster = blake2b(f"{uid}/{namespace}/{name}".encode(), digest_size=2)
        in_writer = blake2b(f"{uid}/{cluster}/{namespace}/{name}".encode(), digest_size=4)
        unique = (f"{suffixed}-{each.hexdigest()}" for each in (in_cluster, in_writer))
        names = tuple(map(shortened, (suffixed, *unique)))
        return names if is_reserved else (wanted, *names)


def shortened(name: str) -> str:
    """A name of at most 63 bytes: the beginning of a longer one, and a hash of the whole."""
    if len(name) <= MAX_LABEL:
        return name
    return f"{name[:54]}-{blake2b(name.encode(), digest_size=4).hexdigest()}"


@dataclass(frozen=True)
class Others:
    """Names of others in Consul, in lower case.

    `owned` are all of them. `handed_down` are those, by service, under which consul-k8s has
    registered the very same service: they may be shared with it.
    """

    owned: Collection[str] = ()
    handed_down: Mapping[ServiceKey, Collection[str]] = field(default_factory=dict)


def assign(
    claims: Iterable[NameClaim],
    current_owners: Mapping[str, ServiceKey],
    others: Others,
    uid: str,
    cluster: str,
) -> dict[ServiceKey, str]:
    """The flat name of each service; empty if it gets none (policy `skip`).

    `uid` and `cluster` are our cluster's, whose services these are.
    `current_owners` says, by name in lower case, which of our services has it already, or several.
    """
    ordered = sorted(claims, key=lambda claim: (claim.since, claim.service))
    owners = {claim.service: claim.owner for claim in ordered}
    assignment = _Assignment(others.owned, uid, cluster)
    for name, owner in current_owners.items():
        assignment.current.setdefault(owners.get(owner, owner), set()).add(name)
    for service, names in others.handed_down.items():
        assignment.handed_down.setdefault(owners.get(service, service), set()).update(names)
    for claim in ordered:
        assignment.keep(claim)
    for claim in ordered:
        assignment.improve(claim)
    for claim in ordered:
        if claim.service not in assignment.names:
            assignment.give(claim, next(assignment.free(claim), ""))
    return assignment.names


class _Assignment:
    """Names that have been assigned so far.

    `current` and `handed_down` are the names that owners had before, or may share with consul-k8s.
    """

    def __init__(self, owned_by_others: Collection[str], uid: str, cluster: str) -> None:
        self._owned_by_others, self._cluster = owned_by_others, (uid, cluster)
        self._spelled: dict[str, str] = {}  # as the oldest service spells it
        self._users: dict[str, set[ServiceKey]] = {}
        self.current: dict[ServiceKey, set[str]] = {}
        self.handed_down: dict[ServiceKey, set[str]] = {}
        self.names: dict[ServiceKey, str] = {}

    def keep(self, claim: NameClaim) -> None:
        """Leave a service the best name that it has already."""
        current = self.current.get(claim.owner, ())
        kept = [name for name in claim.candidates(*self._cluster) if name.lower() in current]
        if kept:
            self.give(claim, kept[0])

    def improve(self, claim: NameClaim) -> None:
        """Give it a better one if it was chosen for it, or is handed down to it, and is free."""
        handed_down = self.handed_down.get(claim.owner, ())
        now = self.names.get(claim.service)
        if now is None:
            return
        for name in self.free(claim):
            if name.lower() == now.lower():
                return
            if claim.given or name.lower() in handed_down:
                self.give(claim, name)
                return

    def give(self, claim: NameClaim, name: str) -> None:
        """Assign a name."""
        folded = name.lower()
        if name:
            self._users.setdefault(folded, set()).add(claim.owner)
        self.names[claim.service] = self._spelled.setdefault(folded, name)

    def free(self, claim: NameClaim) -> Iterator[str]:
        """The names that a service may get, the best first."""
        return (name for name in claim.candidates(*self._cluster) if self._is_free(claim, name))

    def _is_free(self, claim: NameClaim, name: str) -> bool:
        folded = name.lower()
        if folded in RESERVED:
            return False
        if claim.policy == "merge" and name == shortened(claim.wanted):
            return True
        if not self._users.get(folded, set()) <= {claim.owner}:
            return False
        handed_down = self.handed_down.get(claim.owner, ())
        return folded not in self._owned_by_others or folded in handed_down
