"""Where a service is found: at which addresses and ports, and how healthy it is there.

    ClusterIP      its addresses (mode vip), its endpoints, or both
    headless       its endpoints
    NodePort       the ready nodes that run a ready endpoint, with the node port
    LoadBalancer   the addresses or names that the load balancer was given
    by an Ingress  if that is set, its hosts or addresses instead of those of a ClusterIP service
    ExternalName   the name, for which Consul answers with a CNAME

An annotation for the mode wins over the type; without one, NodePort and LoadBalancer services are
not of the mode, because they are made to be reached from outside. External IPs, if
they are believed, come before all of it, as for consul-k8s.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from consuldns import descriptor, names
from consuldns.config.sync import SyncSettings
from consuldns.consul.operations import CRITICAL, PASSING
from consuldns.descriptor import Mode, Port
from consuldns.sync.desired import addresses, hostnames, node_addresses
from consuldns.sync.desired import endpoints as endpoints_
from consuldns.sync.desired.annotations import Overrides
from consuldns.sync.desired.endpoints import EndpointState, JoinedEndpoint
from consuldns.sync.desired.ingresses import VIP
from consuldns.sync.kubernetes.objects import Node, Service, ServicePort
from consuldns.sync.ownership import Identity


@dataclass(frozen=True)
class ServiceContext:
    """A service with all that its instances depend on.

    `flat` is its flat name, `vips` are where Ingresses expose it, if that counts. `mode` says what
    its instances are; see `mode_of`.
    """

    service: Service
    endpoints: Sequence[JoinedEndpoint]
    overrides: Overrides
    flat: str
    mode: Mode
    vips: Sequence[VIP] = ()


@dataclass(frozen=True)
class Registration:
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
class Registrations:
    """Places, in the order of the addresses' source, and what is wrong with others, in words."""

    found: tuple[Registration, ...] = ()
    problems: tuple[str, ...] = ()

    def __add__(self, other: "Registrations") -> "Registrations":
        return Registrations(self.found + other.found, self.problems + other.problems)


def mode_of(
    service: Service, overrides: Overrides, settings: SyncSettings, *, is_exposed: bool = False
) -> Mode:
    """What the instances are; `is_exposed`: an Ingress that counts leads to the service."""
    if service.is_external_name:
        return "name"
    if service.is_headless:
        return "endpoints"
    if settings.external_ips and any(map(_is_reachable, service.spec.external_ips or ())):
        return "external-ips"
    if overrides.mode:
        return overrides.mode
    if is_exposed:
        return "ingress"
    if service.spec.type == "NodePort":
        return "node-port"
    if service.spec.type == "LoadBalancer":
        return "endpoints" if settings.load_balancer_endpoints else "load-balancer"
    return settings.mode


def find(
    context: ServiceContext, nodes: Mapping[str, Node], settings: SyncSettings, identity: Identity
) -> Registrations:
    """Where the service is found, at addresses and at hostnames that others can look up."""
    found = _find(context, nodes, settings)
    usable, problems = [], []
    for each in found.found:
        if names.parse_address(each.address) is not None:
            usable.append(each)
            continue
        try:
            name = hostnames.resolvable(
                each.address,
                context.service,
                context.flat,
                settings.cluster_domain,
                identity,
            )
        except ValueError as error:
            problems.append(f"{addresses.shown(each.address)} {error}, and is left out")
        else:
            usable.append(replace(each, address=name))
    return Registrations(tuple(usable), found.problems + tuple(problems))


def _find(
    context: ServiceContext, nodes: Mapping[str, Node], settings: SyncSettings
) -> Registrations:
    service = context.service
    match context.mode:
        case "name":
            return _external_name(context)
        case "external-ips":
            return _at_vips(context, settings, "externalIPs", service.spec.external_ips or ())
        case "node-port":
            return _at_nodes(context, nodes, settings)
        case "load-balancer":
            ingress = service.status.load_balancer.ingress or ()
            given = (each.ip or each.hostname for each in ingress)
            check = addresses.destination
            return _at_vips(context, settings, "load balancer", filter(None, given), check)
        case "ingress":
            return _at_ingresses(context, settings)
        case "vip":
            return _at_cluster_ips(context, settings)
        case "both":
            return _at_cluster_ips(context, settings) + _at_endpoints(context, settings)
        case _:
            return _at_endpoints(context, settings)


def _is_reachable(text: str) -> bool:
    try:
        addresses.address(text)
    except ValueError:
        return False
    return True


def _at_cluster_ips(context: ServiceContext, settings: SyncSettings) -> Registrations:
    given = context.service.cluster_ips
    wanted = context.overrides.address
    if wanted and given:
        return _at_vips(context, settings, "service-address", (wanted,), addresses.destination)
    return _at_vips(context, settings, "clusterIPs", given)


def _at_ingresses(context: ServiceContext, settings: SyncSettings) -> Registrations:
    found = Registrations()
    for address, port in context.vips:
        each = _at_vips(context, settings, "Ingress", (address,), addresses.destination)
        number = number_wanted(context) or port
        there = tuple(replace(registration, port=number, ports=()) for registration in each.found)
        found += Registrations(there, each.problems)
    return found


def _at_vips(
    context: ServiceContext,
    settings: SyncSettings,
    source: str,
    given: Iterable[str],
    check: Callable[[str], object] = addresses.address,
) -> Registrations:
    """Addresses before all endpoints: as healthy as they are together."""
    is_up = endpoints_.is_up(context.endpoints, serve_terminating=settings.serve_terminating)
    status = PASSING if is_up else settings.vip_without_endpoints
    output = "ready endpoints" if is_up else "no ready endpoint"
    ports = tuple((port.name, port.protocol, port.port) for port in context.service.ports)
    found, problems = [], []
    for text in given:
        try:
            address = str(check(text))
        except ValueError as error:
            problems.append(f"{source}: {addresses.shown(text)} {error}, and is left out")
        else:
            found.append(Registration(address, _primary_port(context), ports, status, output))
    return Registrations(tuple(found), tuple(problems))


def _at_endpoints(context: ServiceContext, settings: SyncSettings) -> Registrations:
    worst = endpoints_.served(context.endpoints, serve_terminating=settings.serve_terminating)
    found, problems = [], []
    for endpoint in context.endpoints:
        serves = endpoint.state <= worst
        by_name = endpoints_.label_by_name(endpoint, pod_names=settings.pod_names)
        if endpoint.state is EndpointState.GONE or (not serves and settings.not_ready == "omit"):
            continue
        meta = {
            **descriptor.write_label(endpoint.hostname, by_name),
            descriptor.POD: endpoint.pod,
            descriptor.NODE: endpoint.node,
            descriptor.ZONE: endpoint.zone,
        }
        port = _endpoint_port(context, endpoint)
        if not port and context.overrides.port:
            problems.append(
                f"service-port: endpoints have no port {addresses.shown(context.overrides.port)}"
            )
        found.append(
            Registration(
                endpoint.address,
                port,
                endpoint.ports,
                PASSING if serves else CRITICAL,
                "ready" if serves else "not ready",
                endpoints_.label(endpoint, pod_names=settings.pod_names),
                tuple((key, value) for key, value in meta.items() if value),
            )
        )
    return Registrations(tuple(found), tuple(dict.fromkeys(problems)))


def _at_nodes(
    context: ServiceContext, nodes: Mapping[str, Node], settings: SyncSettings
) -> Registrations:
    types = node_addresses.TYPES[settings.node_port_addresses]
    found, problems = node_addresses.choose(context.service, context.endpoints, nodes, types)
    named = _named_port(context)
    port = number_wanted(context) or (named.node_port if named is not None else 0)
    if not port:
        return Registrations((), (*problems, "it has no node port"))
    ports = tuple((p.name, p.protocol, p.node_port) for p in context.service.ports)
    return Registrations(
        tuple(
            Registration(
                str(address), port, ports, PASSING, "ready", meta=((descriptor.NODE, name),)
            )
            for name, address in found
        ),
        tuple(problems),
    )


def _external_name(context: ServiceContext) -> Registrations:
    """The name, unless it is an address: no CNAME can have that."""
    target = context.service.spec.external_name
    if names.parse_address(target.rstrip(".")) is not None:
        problem = f"externalName {addresses.shown(target)} is an address, not a name"
        return Registrations(problems=(problem,))
    try:
        host = addresses.host_name(target)
    except ValueError as error:
        return Registrations(problems=(f"externalName {addresses.shown(target)} {error}",))
    return Registrations((Registration(host, _primary_port(context), ()),))


# --- ports ---------------------------------------------------------------------------------------


def _named_port(context: ServiceContext) -> ServicePort | None:
    """The primary port: the one that the annotation names, or the first."""
    ports, wanted = context.service.ports, context.overrides.port
    by_name = (port for port in ports if wanted and wanted == port.name)
    return next(by_name, ports[0] if ports else None)


def number_wanted(context: ServiceContext) -> int:
    """The number that the annotation gives, else 0. It is taken as it is, as by consul-k8s.

    What is the name of a port is none, whatever it looks like.
    """
    wanted = context.overrides.port
    if any(wanted == port.name for port in context.service.ports):
        return 0
    try:
        return names.parse_port(wanted)
    except ValueError:
        return 0


def _primary_port(context: ServiceContext) -> int:
    port = _named_port(context)
    return number_wanted(context) or (port.port if port is not None else 0)


def _endpoint_port(context: ServiceContext, endpoint: JoinedEndpoint) -> int:
    """The endpoint's own number of the primary port: it may differ from pod to pod.

    An endpoint without the port that the annotation names has none, rather than another.
    """
    wanted = _named_port(context)
    name = wanted.name if wanted is not None else None
    by_name = (number for port, _, number in endpoint.ports if port == name)
    is_chosen = wanted is not None and wanted.name and wanted.name == context.overrides.port
    first = endpoint.ports[0][2] if endpoint.ports and not is_chosen else 0
    return number_wanted(context) or next(by_name, first)
