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
from consuldns.descriptor import ClusterRecord, DescribedPort, Descriptor
from consuldns.kubernetes import annotations, endpoint_names, endpoints, ingresses, instances
from consuldns.kubernetes.endpoints import JoinedEndpoint, State
from consuldns.kubernetes.flat_names import Claim
from consuldns.kubernetes.ingresses import Front
from consuldns.kubernetes.instances import Subject
from consuldns.kubernetes.ownership import NAMES, Identity, reverse_key
from consuldns.kubernetes.reverse import Candidate, Rank
from consuldns.kubernetes.types import EndpointSlice, Exposure, Node, Service, ServiceKey
from consuldns.registration import Instance, Key

MAX_NAME = 253  # characters of a name without a final dot, RFC 1035 section 2.3.4


@dataclass(frozen=True)
class Entries:
    """All that a service is to be in Consul, and what is wrong with it, in words."""

    instances: tuple[Instance, ...]
    endpoints: tuple[Key, ...]
    descriptor: Key
    candidates: tuple[Candidate, ...]
    problems: tuple[str, ...] = ()


def is_wanted(service: Service, settings: SyncSettings) -> bool:
    """Whether the service is to be synced at all: namespaces, then its annotation."""
    namespace = service.metadata.namespace
    allowed = "*" in settings.allow_namespaces or namespace in settings.allow_namespaces
    if not allowed or namespace in settings.deny_namespaces or "*" in settings.deny_namespaces:
        return False
    wish = annotations.read(service.metadata.annotations).sync
    return settings.default if wish is None else wish


def claim(service: Service, settings: SyncSettings) -> Claim:
    """The service's claim to a flat name."""
    wishes = annotations.read(service.metadata.annotations)
    return Claim(
        service.key,
        settings.prefix + (wishes.name or service.metadata.name),
        wishes.collision or settings.flat_names,
        (service.metadata.creation_timestamp, service.metadata.uid),
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
    if ingresses.may_expose(service, settings.ingress) and not wishes.mode:
        fronts = ingresses.fronts(
            exposures, service.key, settings.ingress, identity, wishes.problems
        )
    subject = Subject(service, joined, wishes, flat, fronts)
    registered = instances.instances(subject, nodes, settings, identity)
    return Entries(
        registered,
        endpoint_names.keys(subject, settings, identity),
        _descriptor(subject, settings, identity),
        tuple(_candidates(subject, registered, settings, identity)),
        tuple(wishes.problems),
    )


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
    )
    path = identity.descriptor_key(*service.key)
    return Key(path, msgspec.json.encode(described), identity.flags)


def _candidates(
    subject: Subject,
    registered: tuple[Instance, ...],
    settings: SyncSettings,
    identity: Identity,
) -> Iterator[Candidate]:
    """The addresses that the service claims a reverse name for.

    A target always leads back to the address: the flat name only if the catalog has the address
    under it, else the nested name.
    """
    wish = subject.wishes.reverse
    at_flat_name = {instance.address for instance in registered}
    for text, rank, nested in _claimed(subject, at_flat_name, settings, identity):
        address = names.parse_address(text)
        is_flat = settings.reverse_target == "flat" and str(address) in at_flat_name
        target = identity.flat(subject.flat) if is_flat else nested
        target = wish if isinstance(wish, str) else target
        if address is not None and wish is not False and len(target) <= MAX_NAME:
            yield Candidate(str(address), rank, subject.service.key, target)


def _claimed(
    subject: Subject, at_flat_name: set[str], settings: SyncSettings, identity: Identity
) -> Iterator[tuple[str, Rank, str]]:
    """Addresses, why each is claimed, and its nested name."""
    nested = identity.nested(*subject.service.key)
    if "cluster-ip" in settings.reverse:
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
    """Why an endpoint gets a reverse name; None if it gets none."""
    if endpoint.state is not State.READY:
        return None
    if not endpoint.is_pod and "manual" not in settings.reverse:
        return None
    if not endpoint_names.have_names(subject, settings):
        return None
    if subject.service.is_headless:
        if "headless" not in settings.reverse:
            return None
        return Rank.HOSTNAME if endpoint.hostname else Rank.HEADLESS
    in_catalog = endpoint_names.are_in_catalog(subject, settings)
    is_wanted = ("endpoints" in settings.reverse and in_catalog) or (
        "headless" in settings.reverse and settings.endpoint_names
    )
    return Rank.ENDPOINT if is_wanted else None


def reverse_entry(candidate: Candidate, identity: Identity) -> Key:
    """The reverse key that makes an address point to its name."""
    address = names.parse_address(candidate.address)
    assert address is not None
    return Key(reverse_key(address), candidate.target.encode(), identity.flags)


def name_entry(flat: str, service: ServiceKey, identity: Identity) -> Key:
    """The key that makes a flat name ours, against other clusters at the same moment."""
    value = f"{identity.cluster}/{service[0]}/{service[1]}"
    return Key(NAMES + flat, value.encode(), identity.flags)


def cluster_record(version: str, namespaces: Iterable[str], identity: Identity) -> Key:
    """The key that says what there is to know about the cluster."""
    record = ClusterRecord(
        cluster_uid=identity.uid,
        zone=identity.zone,
        version=version,
        namespaces=tuple(sorted(namespaces)),
    )
    return Key(identity.record_key, msgspec.json.encode(record), identity.flags)
