"""The instances of one service in Consul's catalog: which addresses, which ports, how healthy.

    ClusterIP      its addresses (mode vip), its endpoints, or both
    headless       its endpoints
    NodePort       the ready nodes that run a ready endpoint, with the node port
    LoadBalancer   the addresses or names that the load balancer was given
    by an Ingress  if that is set, its hosts or addresses in place of those of a ClusterIP service
    ExternalName   the name, for which Consul answers with a CNAME

An annotation for the mode wins over the type; without one, NodePort and LoadBalancer services are
not of the mode, because whoever made them wants them to be reached from outside. External IPs, if
they are believed, come before all of it, as for consul-k8s.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from consuldns import descriptor, names
from consuldns.config.sync import SyncSettings
from consuldns.consul.operations import CRITICAL, PASSING, Instance
from consuldns.descriptor import Port
from consuldns.sync.desired import addresses, hostnames, node_addresses
from consuldns.sync.desired import endpoints as endpoints_
from consuldns.sync.desired.annotations import Wishes
from consuldns.sync.desired.endpoints import JoinedEndpoint, State
from consuldns.sync.desired.ingresses import Front
from consuldns.sync.desired.metadata import metadata
from consuldns.sync.kubernetes.objects import Node, Service, ServicePort
from consuldns.sync.ownership import Identity

MAX_ID = 200  # characters; longer ones are cut and end in a hash


@dataclass(frozen=True)
class Subject:
    """A service with all that its instances depend on.

    `flat` is its flat name, `fronts` are where Ingresses expose it, if that counts.
    """

    service: Service
    endpoints: Sequence[JoinedEndpoint]
    wishes: Wishes
    flat: str
    fronts: Sequence[Front] = ()


@dataclass(frozen=True)
class Place:
    """Where a service is found: an address (or name) and port, and what there is to say about it.

    `label` is the endpoint's own label among the nested names.
    """

    address: str
    port: int
    ports: tuple[Port, ...]
    status: str = PASSING
    output: str = ""
    label: str = ""
    meta: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Found:
    """Places, in the order of the addresses' source, and what is wrong with others, in words."""

    places: tuple[Place, ...] = ()
    problems: tuple[str, ...] = ()

    def __add__(self, other: "Found") -> "Found":
        return Found(self.places + other.places, self.problems + other.problems)


@dataclass(frozen=True)
class Registered:
    """The instances of a service, and what is wrong with it, in words."""

    instances: tuple[Instance, ...]
    problems: tuple[str, ...] = ()


def mode(subject: Subject, settings: SyncSettings) -> str:
    """What the instances are, as `descriptor.Descriptor` has it."""
    service = subject.service
    if service.is_external_name:
        return "name"
    if service.is_headless:
        return "endpoints"
    if settings.external_ips and any(map(_is_reachable, service.spec.external_ips or ())):
        return "external-ips"
    if subject.wishes.mode:
        return subject.wishes.mode
    if subject.fronts:
        return "ingress"
    balanced = "endpoints" if settings.load_balancer_endpoints else "load-balancer"
    by_type = {"NodePort": "node-port", "LoadBalancer": balanced}
    return by_type.get(service.spec.type, settings.mode)


def places(
    subject: Subject, nodes: Mapping[str, Node], settings: SyncSettings, identity: Identity
) -> Found:
    """Where the service is found, at addresses and at hostnames that others can look up."""
    found = _places(subject, nodes, settings)
    usable, problems = [], []
    for place in found.places:
        if names.parse_address(place.address) is not None:
            usable.append(place)
            continue
        try:
            name = hostnames.resolvable(
                place.address, subject.service, subject.flat, settings.cluster_domain, identity
            )
        except ValueError as error:
            problems.append(f"{addresses.shown(place.address)} {error}, and is left out")
        else:
            usable.append(replace(place, address=name))
    return Found(tuple(usable), found.problems + tuple(problems))


def _places(subject: Subject, nodes: Mapping[str, Node], settings: SyncSettings) -> Found:
    service = subject.service
    match mode(subject, settings):
        case "name":
            return _external_name(subject)
        case "external-ips":
            return _fronts(subject, settings, "externalIPs", service.spec.external_ips or ())
        case "node-port":
            return _node_places(subject, nodes, settings)
        case "load-balancer":
            ingress = service.status.load_balancer.ingress or ()
            given = (each.ip or each.hostname for each in ingress)
            check = addresses.destination
            return _fronts(subject, settings, "load balancer", filter(None, given), check)
        case "ingress":
            return _ingress_places(subject, settings)
        case "vip":
            return _cluster_addresses(subject, settings)
        case "both":
            return _cluster_addresses(subject, settings) + _endpoint_places(subject, settings)
        case _:
            return _endpoint_places(subject, settings)


def _is_reachable(text: str) -> bool:
    try:
        addresses.address(text)
    except ValueError:
        return False
    return True


def _cluster_addresses(subject: Subject, settings: SyncSettings) -> Found:
    given = subject.service.cluster_ips
    wanted = subject.wishes.address
    if wanted and given:
        return _fronts(subject, settings, "service-address", (wanted,), addresses.destination)
    return _fronts(subject, settings, "clusterIPs", given)


def _ingress_places(subject: Subject, settings: SyncSettings) -> Found:
    found = Found()
    for address, port in subject.fronts:
        each = _fronts(subject, settings, "Ingress", (address,), addresses.destination)
        number = _number_wanted(subject) or port
        there = tuple(replace(place, port=number, ports=()) for place in each.places)
        found += Found(there, each.problems)
    return found


def _fronts(
    subject: Subject,
    settings: SyncSettings,
    source: str,
    given: Iterable[str],
    check: Callable[[str], object] = addresses.address,
) -> Found:
    """Addresses before all endpoints: as healthy as they are together."""
    is_up = endpoints_.is_up(subject.endpoints, serve_terminating=settings.serve_terminating)
    status = PASSING if is_up else settings.vip_without_endpoints
    output = "ready endpoints" if is_up else "no ready endpoint"
    ports = tuple((port.name, port.protocol, port.port) for port in subject.service.ports)
    found, problems = [], []
    for text in given:
        try:
            address = str(check(text))
        except ValueError as error:
            problems.append(f"{source}: {addresses.shown(text)} {error}, and is left out")
        else:
            found.append(Place(address, _primary_port(subject), ports, status, output))
    return Found(tuple(found), tuple(problems))


def _endpoint_places(subject: Subject, settings: SyncSettings) -> Found:
    worst = endpoints_.served(subject.endpoints, serve_terminating=settings.serve_terminating)
    found, problems = [], []
    for endpoint in subject.endpoints:
        serves = endpoint.state <= worst
        by_name = endpoints_.label_by_name(endpoint, pod_names=settings.pod_names)
        if endpoint.state is State.GONE or (not serves and settings.not_ready == "omit"):
            continue
        meta = {
            descriptor.HOSTNAME: endpoint.hostname,
            descriptor.LABEL: by_name if by_name != endpoint.hostname else "",
            descriptor.POD: endpoint.pod,
            descriptor.NODE: endpoint.node,
            descriptor.ZONE: endpoint.zone,
        }
        port = _endpoint_port(subject, endpoint)
        if not port and subject.wishes.port:
            problems.append(
                f"service-port: endpoints have no port {addresses.shown(subject.wishes.port)}"
            )
        found.append(
            Place(
                endpoint.address,
                port,
                endpoint.ports,
                PASSING if serves else CRITICAL,
                "ready" if serves else "not ready",
                endpoints_.label(endpoint, pod_names=settings.pod_names),
                tuple((key, value) for key, value in meta.items() if value),
            )
        )
    return Found(tuple(found), tuple(dict.fromkeys(problems)))


def _node_places(subject: Subject, nodes: Mapping[str, Node], settings: SyncSettings) -> Found:
    types = node_addresses.TYPES[settings.node_port_addresses]
    found, problems = node_addresses.choose(subject.service, subject.endpoints, nodes, types)
    named = _named_port(subject)
    port = _number_wanted(subject) or (named.node_port if named is not None else 0)
    if not port:
        return Found((), (*problems, "it has no node port"))
    ports = tuple((p.name, p.protocol, p.node_port) for p in subject.service.ports)
    return Found(
        tuple(
            Place(str(address), port, ports, PASSING, "ready", meta=((descriptor.NODE, name),))
            for name, address in found
        ),
        tuple(problems),
    )


def _external_name(subject: Subject) -> Found:
    """The name, unless it is an address: no CNAME can have that."""
    target = subject.service.spec.external_name
    if names.parse_address(target.rstrip(".")) is not None:
        problem = f"externalName {addresses.shown(target)} is an address, not a name"
        return Found(problems=(problem,))
    try:
        host = addresses.host_name(target)
    except ValueError as error:
        return Found(problems=(f"externalName {addresses.shown(target)} {error}",))
    return Found((Place(host, _primary_port(subject), ()),))


# --- ports ---------------------------------------------------------------------------------------


def _named_port(subject: Subject) -> ServicePort | None:
    """The primary port: the one that the annotation names, or the first."""
    ports, wanted = subject.service.ports, subject.wishes.port
    by_name = (port for port in ports if wanted and wanted == port.name)
    return next(by_name, ports[0] if ports else None)


def _number_wanted(subject: Subject) -> int:
    """The number that the annotation gives, else 0. It is taken as it is, as by consul-k8s.

    What is the name of a port is none, whatever it looks like.
    """
    wanted = subject.wishes.port
    is_number = len(wanted) <= 5 and wanted.isascii() and wanted.isdecimal()
    if not is_number or any(wanted == port.name for port in subject.service.ports):
        return 0
    return int(wanted) if int(wanted) <= 65535 else 0


def _primary_port(subject: Subject) -> int:
    port = _named_port(subject)
    return _number_wanted(subject) or (port.port if port is not None else 0)


def _endpoint_port(subject: Subject, endpoint: JoinedEndpoint) -> int:
    """The endpoint's own number of the primary port: it may differ from pod to pod.

    An endpoint without the port that the annotation names has none, rather than another.
    """
    wanted = _named_port(subject)
    name = wanted.name if wanted is not None else None
    by_name = (number for port, _, number in endpoint.ports if port == name)
    is_chosen = wanted is not None and wanted.name and wanted.name == subject.wishes.port
    first = endpoint.ports[0][2] if endpoint.ports and not is_chosen else 0
    return _number_wanted(subject) or next(by_name, first)


# --- wishes without effect -----------------------------------------------------------------------


def _without_effect(subject: Subject, settings: SyncSettings) -> Iterator[str]:
    """What the service says that changes nothing, because of what it is."""
    service, wishes, is_now = subject.service, subject.wishes, mode(subject, settings)
    kind = "headless" if service.is_headless else service.spec.type
    if wishes.mode and wishes.mode != is_now:
        why = "externalIPs come first" if is_now == "external-ips" else f"the service is {kind}"
        yield f"service-mode {wishes.mode} has no effect: {why}"
    if wishes.address and (is_now not in ("vip", "both") or not service.cluster_ips):
        yield "service-address has no effect: the service has no cluster IP in the catalog"
    is_name = any(wishes.port == port.name for port in service.ports)
    if wishes.port and not is_name and not _number_wanted(subject):
        port = addresses.shown(wishes.port)
        yield f"service-port {port} is neither a port's name nor a number from 1 to 65535"
    if is_name and is_now == "ingress":
        yield "service-port has no effect: the port of an Ingress is 443 or 80"
    external = service.spec.external_ips or ()
    if external and is_now != "external-ips":
        if not settings.external_ips:
            yield "externalIPs are left out, because sync.external_ips is false"
        elif service.is_headless or service.is_external_name:
            yield f"externalIPs have no effect: the service is {kind}"
        else:
            yield f"externalIPs: none of {addresses.listed(external)} is an address to connect to"


# --- instances -----------------------------------------------------------------------------------


def instances(
    subject: Subject, nodes: Mapping[str, Node], settings: SyncSettings, identity: Identity
) -> Registered:
    """The instances of the service, none if it has no flat name."""
    found = places(subject, nodes, settings, identity)
    problems = [*found.problems, *_without_effect(subject, settings)]
    registered: dict[str, Instance] = {}
    for place in found.places:
        meta, left_out = _metadata(subject, place, identity)
        instance = _instance(subject, place, meta, settings, identity)
        registered.setdefault(instance.id, instance)
        problems += left_out
    made = tuple(registered.values()) if subject.flat else ()
    return Registered(made, tuple(dict.fromkeys(problems)))


def _instance(
    subject: Subject,
    place: Place,
    meta: dict[str, str],
    settings: SyncSettings,
    identity: Identity,
) -> Instance:
    wishes = subject.wishes
    tags = (settings.tag, f"cluster-{identity.cluster}", *wishes.tags)
    return Instance(
        id=_id(subject, place, identity),
        service=subject.flat,
        address=place.address,
        port=place.port,
        tags=tuple(dict.fromkeys(tag for tag in tags if tag)),
        meta=meta,
        weight=wishes.weight,
        status=place.status,
        output=place.output,
    )


def _id(subject: Subject, place: Place, identity: Identity) -> str:
    """All that tells an instance from others, so that none ever takes another's place.

    The flat name is part of it: with a new name comes a new instance, and the old one goes when
    the new one is there.
    """
    namespace, name = subject.service.key
    parts = (identity.cluster, namespace, name, subject.flat, place.address, str(place.port))
    full = "/".join(parts)
    if len(full) <= MAX_ID:
        return full
    return f"{full[:160]}-{blake2b(full.encode(), digest_size=8).hexdigest()}"


def _metadata(
    subject: Subject, place: Place, identity: Identity
) -> tuple[dict[str, str], list[str]]:
    """Those of consul-k8s are under their names there."""
    namespace, name = subject.service.key
    cluster_ips = subject.service.cluster_ips if place.label else ()
    own = {
        descriptor.SOURCE: descriptor.KUBERNETES,
        descriptor.NAMESPACE: namespace,
        descriptor.REFERENCE_KIND: "Service",
        descriptor.REFERENCE_NAME: name,
        descriptor.CLUSTER: identity.cluster,
        descriptor.UID: subject.service.metadata.uid,
        **dict(place.meta),
        descriptor.CLUSTER_IP: next(iter(cluster_ips), ""),
    }
    return metadata(own, place.ports, subject.wishes.meta)
