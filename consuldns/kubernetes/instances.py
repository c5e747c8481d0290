"""The instances of one service in Consul's catalog: which addresses, which ports, how healthy.

    ClusterIP      its addresses (mode vip), its endpoints, or both
    headless       its endpoints
    NodePort       the ready nodes that run a ready endpoint, with the node port
    LoadBalancer   the addresses or names that the load balancer was given
    by an Ingress  if that is set, its hosts or addresses in place of those of a ClusterIP service
    ExternalName   the name, for which Consul answers with a CNAME

An annotation for the mode wins over the type; without one, NodePort and LoadBalancer services are
not of the mode, because whoever made them wants them to be reached from outside.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from consuldns import descriptor, names
from consuldns.config.sync import SyncSettings
from consuldns.kubernetes import endpoints as endpoints_
from consuldns.kubernetes.annotations import MAX_META_VALUE, Wishes
from consuldns.kubernetes.endpoints import JoinedEndpoint, Port, State
from consuldns.kubernetes.ingresses import Front
from consuldns.kubernetes.ownership import Identity
from consuldns.kubernetes.types import Node, Service, ServicePort
from consuldns.registration import CRITICAL, PASSING, Instance

MAX_META = 64  # pairs, Consul's limit
MAX_ID = 200  # characters; longer ones are cut and end in a hash

NODE_ADDRESS_TYPES = {
    "external-first": ("ExternalIP", "InternalIP"),
    "external-only": ("ExternalIP",),
    "internal-only": ("InternalIP",),
}


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


def mode(subject: Subject, settings: SyncSettings) -> str:
    """`vip`, `endpoints`, `both`, or else `node-port`, `load-balancer`, `ingress`, `name`."""
    service = subject.service
    if service.is_external_name:
        return "name"
    if service.is_headless:
        return "endpoints"
    if subject.wishes.mode:
        return subject.wishes.mode
    if subject.fronts:
        return "ingress"
    by_type = {"NodePort": "node-port", "LoadBalancer": "load-balancer"}
    return by_type.get(service.spec.type, settings.mode)


def places(
    subject: Subject, nodes: Mapping[str, Node], settings: SyncSettings, identity: Identity
) -> list[Place]:
    """Where the service is found, in the order of the addresses' source."""
    service, wanted = subject.service, mode(subject, settings)
    found: list[Place] = []
    if wanted in ("vip", "both"):
        found += _cluster_addresses(subject, settings)
    if wanted in ("endpoints", "both"):
        found += _endpoint_places(subject, settings)
    if wanted == "node-port":
        found += _node_places(subject, nodes, settings)
    if wanted == "load-balancer":
        ingress = service.status.load_balancer.ingress or ()
        found += [
            _front(subject, settings, each.ip or each.hostname)
            for each in ingress
            if each.ip or each.hostname
        ]
    if wanted == "ingress":
        found += [
            replace(_front(subject, settings, address), port=port, ports=())
            for address, port in subject.fronts
        ]
    if wanted == "name":
        found += _external_name(subject, identity)
    if settings.external_ips:
        found += [_front(subject, settings, each) for each in service.spec.external_ips or ()]
    return found


def _cluster_addresses(subject: Subject, settings: SyncSettings) -> Iterator[Place]:
    given = subject.service.cluster_ips
    addresses = (subject.wishes.address,) if subject.wishes.address and given else given
    for address in addresses:
        yield _front(subject, settings, address)


def _front(subject: Subject, settings: SyncSettings, address: str) -> Place:
    """An address before all endpoints: as healthy as they are together."""
    is_up = endpoints_.is_up(subject.endpoints, serve_terminating=settings.serve_terminating)
    parsed = names.parse_address(address)
    return Place(
        str(parsed) if parsed is not None else address,
        _primary_port(subject),
        tuple((port.name, port.protocol, port.port) for port in subject.service.ports),
        PASSING if is_up else settings.vip_without_endpoints,
        "ready endpoints" if is_up else "no ready endpoint",
    )


def _endpoint_places(subject: Subject, settings: SyncSettings) -> Iterator[Place]:
    worst = endpoints_.served(subject.endpoints, serve_terminating=settings.serve_terminating)
    for endpoint in subject.endpoints:
        serves = endpoint.state <= worst
        by_name = endpoints_.label_by_name(endpoint, pod_names=settings.pod_names)
        if endpoint.state is State.GONE or (not serves and settings.not_ready == "omit"):
            continue
        meta = {
            descriptor.HOSTNAME: endpoint.hostname,
            descriptor.LABEL: by_name if by_name != endpoint.hostname else "",
            descriptor.POD: endpoint.pod,
            "k8s-node": endpoint.node,
            "k8s-zone": endpoint.zone,
        }
        yield Place(
            endpoint.address,
            _endpoint_port(subject, endpoint),
            endpoint.ports,
            PASSING if serves else CRITICAL,
            "ready" if serves else "not ready",
            endpoints_.label(endpoint, pod_names=settings.pod_names),
            tuple((key, value) for key, value in meta.items() if value),
        )


def _node_places(
    subject: Subject, nodes: Mapping[str, Node], settings: SyncSettings
) -> Iterator[Place]:
    wanted = _wanted_port(subject)
    port = wanted.node_port if wanted is not None else 0
    running = {each.node for each in subject.endpoints if each.state is State.READY}
    for name in sorted(running & nodes.keys()):
        node = nodes[name]
        addresses = node.addresses(*NODE_ADDRESS_TYPES[settings.node_port_addresses])
        if not node.is_ready or not addresses or not port:
            continue
        ports = tuple((p.name, p.protocol, p.node_port) for p in subject.service.ports)
        yield Place(addresses[0], port, ports, PASSING, "ready", meta=(("k8s-node", name),))


def _external_name(subject: Subject, identity: Identity) -> Iterator[Place]:
    """The name, unless it is an address (no CNAME can have that) or leads back to us."""
    target = subject.service.spec.external_name.rstrip(".")
    if names.parse_address(target) is not None:
        subject.wishes.problems.append(f"externalName {target!r} is an address, not a name")
        return
    try:
        name = names.fold(names.parse_name(target))
    except ValueError:
        name = ()
    if not name:
        subject.wishes.problems.append(f"externalName {target!r} is no DNS name")
        return
    if identity.holds(name):
        return  # answered as a nested name; in the catalog it could lead in a circle
    yield Place(target, _primary_port(subject), ())


def _wanted_port(subject: Subject) -> ServicePort | None:
    """The primary port: the one that the annotation names, or the first."""
    ports, wanted = subject.service.ports, subject.wishes.port
    by_wish = (p for p in ports if wanted and wanted in (p.name, str(p.port)))
    return next(by_wish, ports[0] if ports else None)


def _primary_port(subject: Subject) -> int:
    port = _wanted_port(subject)
    wanted = subject.wishes.port
    is_number = wanted.isascii() and wanted.isdecimal() and int(wanted) <= 65535
    if is_number and (port is None or str(port.port) != wanted):
        return int(wanted)  # a number that no port has is taken as it is, as by consul-k8s
    return port.port if port is not None else 0


def _endpoint_port(subject: Subject, endpoint: JoinedEndpoint) -> int:
    """The endpoint's own number of the primary port: it may differ from pod to pod."""
    wanted = _wanted_port(subject)
    name = wanted.name if wanted is not None else None
    by_name = (number for port, _, number in endpoint.ports if port == name)
    return next(by_name, endpoint.ports[0][2] if endpoint.ports else 0)


def instances(
    subject: Subject, nodes: Mapping[str, Node], settings: SyncSettings, identity: Identity
) -> tuple[Instance, ...]:
    """The instances of the service, none if it has no flat name."""
    if not subject.flat:
        return ()
    found: dict[str, Instance] = {}
    for place in places(subject, nodes, settings, identity):
        instance = _instance(subject, place, settings, identity)
        found.setdefault(instance.id, instance)
    return tuple(found.values())


def _instance(
    subject: Subject, place: Place, settings: SyncSettings, identity: Identity
) -> Instance:
    wishes = subject.wishes
    tags = (settings.tag, f"cluster-{identity.cluster}", *wishes.tags)
    return Instance(
        id=_id(subject, place, identity),
        service=subject.flat,
        address=place.address,
        port=place.port,
        tags=tuple(dict.fromkeys(tag for tag in tags if tag)),
        meta=_meta(subject, place, identity),
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


def _meta(subject: Subject, place: Place, identity: Identity) -> dict[str, str]:
    """Metadata, those of consul-k8s under their names there. Ports last: they go if it is full."""
    namespace, name = subject.service.key
    meta = {
        descriptor.SOURCE: descriptor.KUBERNETES,
        descriptor.NAMESPACE: namespace,
        descriptor.REFERENCE_KIND: "Service",
        descriptor.REFERENCE_NAME: name,
        descriptor.CLUSTER: identity.cluster,
        "k8s-uid": subject.service.metadata.uid,
        **dict(place.meta),
    }
    if place.label and subject.service.cluster_ips:
        meta["k8s-cluster-ip"] = subject.service.cluster_ips[0]
    ports = ",".join(f"{port}:{protocol}:{number}" for port, protocol, number in place.ports)
    if place.ports and len(ports) <= MAX_META_VALUE:
        meta[descriptor.PORTS] = ports
    own = {k: v for k, v in subject.wishes.meta.items() if k not in meta}
    by_port = {f"port-{port}": str(number) for port, _, number in place.ports if port}
    for key, value in (*own.items(), *by_port.items()):
        if len(meta) < MAX_META:
            meta.setdefault(key, value)
    return meta
