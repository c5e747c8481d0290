"""What one service of the cluster is to be in Consul: a pure function of objects and settings.

    service, slices, nodes, flat name --> instances, descriptor, claims to reverse names

The descriptor says what the catalog cannot: that a service exists without instances, its addresses,
its ports by name, where an ExternalName leads. It holds no counts, times or versions, so that it is
rewritten only when one of those changes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from consuldns import names
from consuldns.config.sync import SyncSettings
from consuldns.consul.operations import CRITICAL, Instance, Key
from consuldns.descriptor import NONE, ClusterRecord, DescribedPort, Descriptor
from consuldns.sync.desired import (
    addresses,
    annotations,
    endpoint_names,
    endpoints,
    ingresses,
    instances,
)
from consuldns.sync.desired.endpoints import JoinedEndpoint, State
from consuldns.sync.desired.flat_names import Claim
from consuldns.sync.desired.ingresses import Front
from consuldns.sync.desired.instances import Subject
from consuldns.sync.desired.reverse_names import Candidate, Rank
from consuldns.sync.kubernetes.objects import EndpointSlice, Exposure, Node, Service, ServiceKey
from consuldns.sync.ownership import NAMES, Identity, reverse_key

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


def is_wanted(service: Service, settings: SyncSettings) -> bool:
    """Whether the service is to be synced at all: namespaces, its type, then its annotation."""
    if not _is_in_scope(service, settings) or service.spec.type not in settings.types:
        return False
    wish = annotations.read(service.metadata.annotations).sync
    return settings.default if wish is None else wish


def problems_of_unwanted(service: Service, settings: SyncSettings) -> tuple[str, ...]:
    """What is wrong with a service that is not synced, in words.

    Nothing in namespaces that are left out: they may be another worker's.
    """
    if not _is_in_scope(service, settings):
        return ()
    wishes = annotations.read(service.metadata.annotations)
    if wishes.sync and service.spec.type not in settings.types:
        problem = f"service-sync has no effect: sync.types leaves out {service.spec.type} services"
        return (*wishes.problems, problem)
    return wishes.problems


def _is_in_scope(service: Service, settings: SyncSettings) -> bool:
    namespace = service.metadata.namespace
    allowed = "*" in settings.allow_namespaces or namespace in settings.allow_namespaces
    return (
        allowed
        and namespace not in settings.deny_namespaces
        and "*" not in settings.deny_namespaces
    )


def claim(service: Service, settings: SyncSettings) -> Claim:
    """The service's claim to a flat name. One that it was given is taken as it is, unprefixed."""
    wishes = annotations.read(service.metadata.annotations)
    return Claim(
        service.key,
        wishes.name or settings.prefix + service.metadata.name,
        wishes.collision or settings.flat_names,
        (service.metadata.creation_timestamp, service.metadata.uid),
        given=bool(wishes.name),
        is_shared=bool(wishes.name) and wishes.collision in ("", "merge"),
    )


def entries(
    service: Service,
    slices: Iterable[EndpointSlice],
    nodes: Mapping[str, Node],
    flat: str,
    settings: SyncSettings,
    identity: Identity,
    exposures: Iterable[Exposure] = (),
) -> Entries:
    """What the service is to be in Consul under this flat name (empty: it has none)."""
    joined = endpoints.join(
        slices, service.key, publish_not_ready=service.spec.publish_not_ready_addresses
    )
    wishes = annotations.read(service.metadata.annotations)
    fronts: list[Front] = []
    problems = [*wishes.problems, *joined.problems]
    if ingresses.may_expose(service, settings.ingress) and not wishes.mode:
        fronts, unusable = ingresses.fronts(exposures, service.key, settings.ingress, identity)
        problems += unusable
    subject = Subject(service, joined.endpoints, wishes, flat, fronts)
    registered = instances.instances(subject, nodes, settings, identity)
    candidates, no_name = _candidates(subject, registered.instances, settings, identity)
    problems += [*registered.problems, *no_name]
    return Entries(
        registered.instances,
        endpoint_names.keys(subject, settings, identity),
        _descriptor(subject, settings, identity),
        candidates,
        tuple(dict.fromkeys(problems)),
        "" if registered.instances else _absent(subject, settings),
    )


def _absent(subject: Subject, settings: SyncSettings) -> str:
    """Why a service has no instances."""
    if not subject.flat:
        return "no flat name"
    ingress = subject.service.status.load_balancer.ingress or ()
    match instances.mode(subject, settings):
        case "load-balancer" if not any(each.ip or each.hostname for each in ingress):
            return NO_ADDRESS_YET
        case "endpoints" if not subject.endpoints:
            return "no endpoints"
        case _:
            return "no instances"


def _descriptor(subject: Subject, settings: SyncSettings, identity: Identity) -> Key:
    service = subject.service
    described = Descriptor(
        uid=service.metadata.uid,
        type=service.spec.type,
        flat=subject.flat,
        mode=instances.mode(subject, settings),
        headless=service.is_headless,
        cluster_ips=service.cluster_ips,
        families=service.spec.ip_families or (),
        ports=tuple(
            DescribedPort(p.port, p.name, p.protocol, p.node_port, p.app_protocol)
            for p in service.ports
        ),
        external_name=service.spec.external_name.rstrip("."),
        publish_not_ready=service.spec.publish_not_ready_addresses,
        reverse=_reverse_without_key(subject, settings),
    )
    path = identity.descriptor_key(*service.key)
    return Key(path, msgspec.json.encode(described), identity.flags)


def _reverse_without_key(subject: Subject, settings: SyncSettings) -> str:
    """Which name the cluster IPs point to where there is no key; only a key has a given name."""
    wish = subject.wishes.reverse
    if "cluster-ip" not in settings.reverse or wish is False or isinstance(wish, str):
        return NONE
    return settings.reverse_target


def _candidates(
    subject: Subject,
    registered: tuple[Instance, ...],
    settings: SyncSettings,
    identity: Identity,
) -> tuple[tuple[Candidate, ...], list[str]]:
    """The addresses that the service claims a reverse name for, and what is wrong, in words.

    A target always leads back to the address: the flat name only if Consul answers it with the
    address, else the nested name. (A name that the annotation gives is taken as it is.)
    """
    wish = subject.wishes.reverse
    candidates, problems = [], []
    if wish and not _may_have_reverse(subject, settings):
        problems.append("service-reverse has no effect: sync.reverse has no addresses of its kind")
    at_flat_name = {each.address for each in registered if each.status != CRITICAL}
    for text, rank, nested in _claimed(subject, at_flat_name, settings, identity):
        address = names.parse_address(text)
        if address is None:
            problems.append(f"{addresses.shown(text)} is not an IP address: it has no reverse name")
            continue
        is_flat = settings.reverse_target == "flat" and str(address) in at_flat_name
        target = identity.flat(subject.flat) if is_flat else nested
        target = wish if isinstance(wish, str) else target
        is_wanted = wish is not False and _is_to_be_named(rank, settings)
        if is_wanted and len(target) > addresses.MAX_NAME:
            problems.append("an address has no reverse name, because it would be too long a name")
            is_wanted = False
        if not is_wanted:
            rank, target = (rank if rank is Rank.CLUSTER_IP else Rank.UNNAMED), ""
        candidates.append(Candidate(str(address), rank, subject.service.key, target))
    return tuple(candidates), problems


def _is_to_be_named(rank: Rank, settings: SyncSettings) -> bool:
    return rank is not Rank.UNNAMED and (
        rank is not Rank.CLUSTER_IP or "cluster-ip" in settings.reverse
    )


def _may_have_reverse(subject: Subject, settings: SyncSettings) -> bool:
    """Whether addresses of such a service may have a reverse name, whether there are any or not."""
    service, is_now = subject.service, instances.mode(subject, settings)
    kinds = {
        "cluster-ip": bool(service.cluster_ips),
        "headless": service.is_headless or endpoint_names.are_described(subject, settings),
        "endpoints": is_now in ("endpoints", "both") and not service.is_headless,
        "load-balancer": service.spec.type == "LoadBalancer",
    }
    return any(kinds.get(each) for each in settings.reverse)


def _claimed(
    subject: Subject, at_flat_name: set[str], settings: SyncSettings, identity: Identity
) -> Iterator[tuple[str, Rank, str]]:
    """Addresses, why each is claimed, and its nested name."""
    nested = identity.nested(*subject.service.key)
    yield from ((text, Rank.CLUSTER_IP, nested) for text in subject.service.cluster_ips)
    for endpoint in subject.endpoints:
        rank = _endpoint_rank(endpoint, subject, settings)
        if rank is not None:
            label = endpoints.label(endpoint, pod_names=settings.pod_names)
            yield endpoint.address, rank, f"{label}.{nested}"
    if "load-balancer" in settings.reverse:
        for ingress in subject.service.status.load_balancer.ingress or ():
            if ingress.ip in at_flat_name:
                yield ingress.ip, Rank.LOAD_BALANCER, nested


def _endpoint_rank(
    endpoint: JoinedEndpoint, subject: Subject, settings: SyncSettings
) -> Rank | None:
    """Why an endpoint is claimed; None if the service does not lead to it."""
    if endpoint.state is not State.READY or not endpoint_names.have_names(subject, settings):
        return None
    if not endpoint.is_pod and "manual" not in settings.reverse:
        return Rank.UNNAMED
    if subject.service.is_headless:
        if "headless" not in settings.reverse:
            return Rank.UNNAMED
        return Rank.HOSTNAME if endpoint.hostname else Rank.HEADLESS
    in_catalog = endpoint_names.are_in_catalog(subject, settings)
    is_wanted = ("endpoints" in settings.reverse and in_catalog) or (
        "headless" in settings.reverse and settings.endpoint_names
    )
    return Rank.ENDPOINT if is_wanted else Rank.UNNAMED


def reverse_entry(candidate: Candidate, identity: Identity) -> Key:
    """The reverse key that makes an address point to its name."""
    address = names.parse_address(candidate.address)
    assert address is not None
    return Key(reverse_key(address), candidate.target.encode(), identity.flags)


def name_entry(flat: str, owner: ServiceKey, identity: Identity) -> Key:
    """The key that makes a flat name ours, against other clusters at the same moment.

    Where several services share the name, its owner has no namespace.
    """
    value = f"{identity.cluster}/{owner[0]}/{owner[1]}"
    return Key(NAMES + flat.lower(), value.encode(), identity.flags)


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
