"""Which name an address points to.

One address may be claimed by several: a pod is an endpoint of many services, and anyone who may
write slices can claim any address. So a cluster IP comes first and nobody else may have it, an
address of a node belongs to nobody, an endpoint that two namespaces claim points nowhere unless the
pods themselves settle it, and of the rest the first in order wins: one address, one name. A claim
counts against others even if its service is to have no reverse name.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from consuldns import names, reverse_layout
from consuldns.config.sync import SyncSettings
from consuldns.consul.operations import CRITICAL, Instance, Key
from consuldns.descriptor import NONE
from consuldns.sync.desired import addresses, endpoint_names, endpoints
from consuldns.sync.desired.endpoints import EndpointState, JoinedEndpoint
from consuldns.sync.desired.registrations import ServiceContext
from consuldns.sync.kubernetes.objects import ServiceKey
from consuldns.sync.ownership import Identity


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


# --- what a service claims ------------------------------------------------------------------------


def candidates(
    context: ServiceContext,
    registered: tuple[Instance, ...],
    settings: SyncSettings,
    identity: Identity,
) -> tuple[tuple[Candidate, ...], list[str]]:
    """The addresses that the service claims a reverse name for, and what is wrong, in words.

    A target always leads back to the address: the flat name only if Consul answers it with the
    address, else the nested name. (A name that the annotation gives is taken as it is.)
    """
    wish = context.overrides.reverse
    found, problems = [], []
    if wish and not _may_have_reverse(context, settings):
        problems.append(
            "service-reverse has no effect: sync.reverse does not include this kind of address"
        )
    at_flat_name = {each.address for each in registered if each.status != CRITICAL}
    for text, rank, nested in _claimed(context, at_flat_name, settings, identity):
        address = names.parse_address(text)
        if address is None:
            problems.append(f"{addresses.shown(text)} is not an IP address: it has no reverse name")
            continue
        is_flat = settings.reverse_target == "flat" and str(address) in at_flat_name
        target = identity.flat(context.flat) if is_flat else nested
        target = wish if isinstance(wish, str) else target
        is_wanted = wish is not False and _is_to_be_named(rank, settings)
        if is_wanted and len(target) > names.MAX_HOST_NAME:
            problems.append("an address has no reverse name, because the name would be too long")
            is_wanted = False
        if not is_wanted:
            rank, target = (rank if rank is Rank.CLUSTER_IP else Rank.UNNAMED), ""
        found.append(Candidate(str(address), rank, context.service.key, target))
    return tuple(found), problems


def _is_to_be_named(rank: Rank, settings: SyncSettings) -> bool:
    return rank is not Rank.UNNAMED and (
        rank is not Rank.CLUSTER_IP or "cluster-ip" in settings.reverse
    )


def _may_have_reverse(context: ServiceContext, settings: SyncSettings) -> bool:
    """Whether addresses of such a service may have a reverse name, whether there are any or not."""
    service, is_now = context.service, context.mode
    kinds = {
        "cluster-ip": bool(service.cluster_ips),
        "headless": service.is_headless or endpoint_names.are_described(context, settings),
        "endpoints": is_now in ("endpoints", "both") and not service.is_headless,
        "load-balancer": service.spec.type == "LoadBalancer",
    }
    return any(kinds.get(each) for each in settings.reverse)


def _claimed(
    context: ServiceContext, at_flat_name: set[str], settings: SyncSettings, identity: Identity
) -> Iterator[tuple[str, Rank, str]]:
    """Addresses, why each is claimed, and its nested name."""
    nested = identity.nested(*context.service.key)
    yield from ((text, Rank.CLUSTER_IP, nested) for text in context.service.cluster_ips)
    for endpoint in context.endpoints:
        rank = _endpoint_rank(endpoint, context, settings)
        if rank is not None:
            label = endpoints.label(endpoint, pod_names=settings.pod_names)
            yield endpoint.address, rank, f"{label}.{nested}"
    if "load-balancer" in settings.reverse:
        for ingress in context.service.status.load_balancer.ingress or ():
            if ingress.ip in at_flat_name:
                yield ingress.ip, Rank.LOAD_BALANCER, nested


def _endpoint_rank(
    endpoint: JoinedEndpoint, context: ServiceContext, settings: SyncSettings
) -> Rank | None:
    """Why an endpoint is claimed; None if the service does not lead to it."""
    if endpoint.state is not EndpointState.READY or not endpoint_names.have_names(
        context, settings
    ):
        return None
    if not endpoint.is_pod and "manual" not in settings.reverse:
        return Rank.UNNAMED
    if context.service.is_headless:
        if "headless" not in settings.reverse:
            return Rank.UNNAMED
        return Rank.HOSTNAME if endpoint.hostname else Rank.HEADLESS
    in_catalog = endpoint_names.are_in_catalog(context)
    is_wanted = ("endpoints" in settings.reverse and in_catalog) or (
        "headless" in settings.reverse and settings.endpoint_names
    )
    return Rank.ENDPOINT if is_wanted else Rank.UNNAMED


def without_key(context: ServiceContext, settings: SyncSettings) -> str:
    """Which name the cluster IPs point to where there is no key; only a key has a given name."""
    wish = context.overrides.reverse
    if "cluster-ip" not in settings.reverse or wish is False or isinstance(wish, str):
        return NONE
    return settings.reverse_target


def entry(candidate: Candidate, identity: Identity) -> Key:
    """The reverse key that makes an address point to its name."""
    address = names.parse_address(candidate.address)
    assert address is not None
    return Key(reverse_layout.key(address), candidate.target.encode(), identity.flags)
