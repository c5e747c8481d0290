"""What one service of the cluster is to be in Consul: a pure function of objects and settings.

    service, slices, nodes, flat name --> instances, descriptor, claims to reverse names

The descriptor says what the catalog cannot: that a service exists without instances, its addresses,
its ports by name, where an ExternalName leads. It holds no counts, times or versions, so that it is
rewritten only when one of those changes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from consuldns import names, reverse_layout
from consuldns.config.sync import SyncSettings
from consuldns.consul.operations import CRITICAL, Instance, Key
from consuldns.descriptor import (
    NONE,
    ClusterRecord,
    DescribedPort,
    Descriptor,
    NameKey,
    NameOwner,
)
from consuldns.names import MAX_HOST_NAME
from consuldns.sync.desired import (
    addresses,
    endpoint_names,
    endpoints,
    ingresses,
    instances,
    registrations,
)
from consuldns.sync.desired.annotations import Overrides
from consuldns.sync.desired.endpoints import EndpointState, JoinedEndpoint
from consuldns.sync.desired.ingresses import VIP
from consuldns.sync.desired.registrations import ServiceContext
from consuldns.sync.desired.reverse_names import Candidate, Rank
from consuldns.sync.kubernetes.objects import EndpointSlice, Ingress, Node, Service, ServiceKey
from consuldns.sync.ownership import Identity

NO_ADDRESS_YET = "no address yet"  # of a service whose load balancer has not been given one


@dataclass(frozen=True)
class Entries:
    """All that a service is to be in Consul, and what is wrong with it, in words.

    `absent` says why it has no instances, in a few words; empty if it has some.
    """

    instances: tuple[Instance, ...]
    endpoints: tuple[Key, ...]
    descriptor: Key
    candidates: tuple[Candidate, ...]
    problems: tuple[str, ...] = ()
    absent: str = ""


def entries(
    service: Service,
    overrides: Overrides,
    slices: Iterable[EndpointSlice],
    nodes: Mapping[str, Node],
    flat: str,
    settings: SyncSettings,
    identity: Identity,
    exposures: Iterable[Ingress] = (),
) -> Entries:
    """What the service is to be in Consul under this flat name (empty: it has none)."""
    joined = endpoints.join(
        slices, service.key, publish_not_ready=service.spec.publish_not_ready_addresses
    )
    vips: list[VIP] = []
    problems = [*overrides.problems, *joined.problems]
    if ingresses.may_expose(service, settings.ingress) and not overrides.mode:
        vips, unusable = ingresses.vips(exposures, service.key, settings.ingress, identity)
        problems += unusable
    mode = registrations.mode_of(service, overrides, settings, is_exposed=bool(vips))
    context = ServiceContext(service, joined.endpoints, overrides, flat, mode, vips)
    registered = instances.instances(context, nodes, settings, identity)
    candidates, no_name = _candidates(context, registered.instances, settings, identity)
    problems += [*registered.problems, *no_name]
    return Entries(
        registered.instances,
        endpoint_names.keys(context, settings, identity),
        _descriptor(context, settings, identity),
        candidates,
        tuple(dict.fromkeys(problems)),
        "" if registered.instances else _absent(context),
    )


def _absent(context: ServiceContext) -> str:
    """Why a service has no instances."""
    if not context.flat:
        return "no flat name"
    ingress = context.service.status.load_balancer.ingress or ()
    match context.mode:
        case "load-balancer" if not any(each.ip or each.hostname for each in ingress):
            return NO_ADDRESS_YET
        case "endpoints" if not context.endpoints:
            return "no endpoints"
        case _:
            return "no instances"


def _descriptor(context: ServiceContext, settings: SyncSettings, identity: Identity) -> Key:
    service = context.service
    described = Descriptor(
        uid=service.metadata.uid,
        type=service.spec.type,
        flat=context.flat,
        mode=context.mode,
        headless=service.is_headless,
        cluster_ips=service.cluster_ips,
        families=service.spec.ip_families or (),
        ports=tuple(
            DescribedPort(p.port, p.name, p.protocol, p.node_port, p.app_protocol)
            for p in service.ports
        ),
        external_name=service.spec.external_name.rstrip("."),
        publish_not_ready=service.spec.publish_not_ready_addresses,
        reverse=_reverse_without_key(context, settings),
    )
    path = identity.descriptor_key(*service.key)
    return Key(path, msgspec.json.encode(described), identity.flags)


def _reverse_without_key(context: ServiceContext, settings: SyncSettings) -> str:
    """Which name the cluster IPs point to where there is no key; only a key has a given name."""
    wish = context.overrides.reverse
    if "cluster-ip" not in settings.reverse or wish is False or isinstance(wish, str):
        return NONE
    return settings.reverse_target


def _candidates(
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
    candidates, problems = [], []
    if wish and not _may_have_reverse(context, settings):
        problems.append("service-reverse has no effect: sync.reverse has no addresses of its kind")
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
        if is_wanted and len(target) > MAX_HOST_NAME:
            problems.append("an address has no reverse name, because it would be too long a name")
            is_wanted = False
        if not is_wanted:
            rank, target = (rank if rank is Rank.CLUSTER_IP else Rank.UNNAMED), ""
        candidates.append(Candidate(str(address), rank, context.service.key, target))
    return tuple(candidates), problems


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


def reverse_entry(candidate: Candidate, identity: Identity) -> Key:
    """The reverse key that makes an address point to its name."""
    address = names.parse_address(candidate.address)
    assert address is not None
    return Key(reverse_layout.key(address), candidate.target.encode(), identity.flags)


def name_entry(flat: str, owner: ServiceKey, identity: Identity) -> Key:
    """The key that makes a flat name ours, against other clusters at the same moment.

    Where several services share the name, its owner has no namespace.
    """
    value = NameOwner(identity.cluster, *owner).value
    return Key(NameKey(flat.lower()).path, value, identity.flags)


def cluster_record(
    version: str, namespaces: Iterable[str], settings: SyncSettings, identity: Identity
) -> Key:
    """The key that says what there is to know about the cluster."""
    record = ClusterRecord(
        cluster_uid=identity.uid,
        zone=identity.zone,
        version=version,
        namespaces=tuple(sorted(namespaces)),
        domain=settings.cluster_domain,
    )
    return Key(identity.record_key, msgspec.json.encode(record), identity.flags)
