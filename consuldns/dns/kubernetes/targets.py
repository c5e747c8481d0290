"""What a Kubernetes service leads to: targets with addresses and ports.

A service with a cluster IP has one target, that address. A headless one has a target for each
endpoint: the healthy instances in the catalog whose metadata say that they are of this service, or
those that are described beside the service, which one with a cluster IP may have, too.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from consuldns import descriptor, names
from consuldns.dns.finder import Request
from consuldns.names import IPAddress, Labels
from consuldns.views.clusters import EndpointTable, Port, Service
from consuldns.views.model import Health, Instance

ENDPOINT_MODES = frozenset(("endpoints", "both"))


Place = tuple[bytes, bytes, tuple[Port, ...]]
"""An endpoint: its folded label, its packed address, its ports."""


@dataclass(frozen=True, slots=True)
class ResolvedEndpoint:
    """Something to connect to. `label` is left of the service's name, empty for the service itself.

    `addresses` are packed. One that has a hostname in their place has it as `alias`.
    """

    label: bytes
    addresses: tuple[bytes, ...]
    ports: tuple[Port, ...]
    alias: Labels | None = None

    def with_ports(self, ports: tuple[Port, ...]) -> "ResolvedEndpoint":
        """The same with other ports."""
        return ResolvedEndpoint(self.label, self.addresses, ports, self.alias)


def targets_of(service: Service, datacenter: str, request: Request) -> list[ResolvedEndpoint]:
    """What the service's own name leads to."""
    if service.is_headless:
        return endpoints_of(service, datacenter, request)
    if request.policy.kubernetes.ignore_empty and _is_empty(service, datacenter, request):
        return []
    addresses = (names.parse_address(text) for text in service.cluster_ips)
    return [ResolvedEndpoint(b"", tuple(each.packed for each in addresses if each), service.ports)]


def endpoints_of(service: Service, datacenter: str, request: Request) -> list[ResolvedEndpoint]:
    """The ready endpoints, as far as they are in Consul; those of one label are one target."""
    described = request.views.clusters(datacenter).endpoints_of(service)
    if described is not None:
        return group(place for label in described for place in _places(label, described))
    return group(_in_catalog(service, datacenter, request))


def endpoints_at(
    label: bytes, service: Service, datacenter: str, request: Request
) -> list[ResolvedEndpoint]:
    """The one of them that has the label, if there is one."""
    described = request.views.clusters(datacenter).endpoints_of(service)
    if described is not None:
        return group(_places(label, described))
    places = _in_catalog(service, datacenter, request)
    return group(place for place in places if place[0] == label)


def _places(label: bytes, described: EndpointTable) -> Iterator[Place]:
    for text, ports in described.get(label, ()):
        address = names.parse_address(text)
        if address is not None:
            yield label, address.packed, ports


def _in_catalog(service: Service, datacenter: str, request: Request) -> list[Place]:
    """The endpoints that are healthy instances."""
    if service.mode not in ENDPOINT_MODES:
        return []
    places = []
    for instance in _instances(service, datacenter, request):
        address = names.parse_address(instance.address)
        if address is None or instance.address in service.cluster_ips:
            continue
        by_name = descriptor.read_label(instance.meta)
        # Its own, and if it says none, none: the service's numbers may be those of other programs.
        ports = tuple(Port(*port) for port in descriptor.read_ports(instance.meta))
        places.append((names.fold_text(by_name) or names.dashed(address), address.packed, ports))
    return places


def group(places: Iterable[Place]) -> list[ResolvedEndpoint]:
    """One target for each label; places are labels with packed address and ports."""
    addresses: dict[bytes, dict[bytes, None]] = {}
    ports: dict[bytes, dict[Port, None]] = {}
    for label, packed, own_ports in places:
        addresses.setdefault(label, {})[packed] = None
        ports.setdefault(label, {}).update(dict.fromkeys(own_ports))
    return [
        ResolvedEndpoint(label, tuple(packed), tuple(ports[label]))
        for label, packed in addresses.items()
    ]


def is_pod(address: IPAddress, namespace: bytes, datacenter: str, request: Request) -> bool:
    """Whether the address is that of a pod which is an endpoint of a service in the namespace."""
    index = request.views.service_addresses(datacenter)
    return any(
        names.parse_address(instance.address) == address
        and descriptor.POD in instance.meta
        and names.fold_text(instance.meta.get(descriptor.NAMESPACE, "")) == namespace
        for service in index.of_clusters.get(address.packed, ())
        for instance in request.instances(datacenter, names.fold_text(service))
    )


def _is_empty(service: Service, datacenter: str, request: Request) -> bool:
    """Whether no endpoint is ready: what the catalog has is as healthy as they are together.

    Nothing is known of a service that is not in the catalog.
    """
    instances = _instances(service, datacenter, request)
    is_up = any(instance.health is Health.PASSING for instance in instances)
    return bool(service.flat) and not is_up


def _instances(service: Service, datacenter: str, request: Request) -> list[Instance]:
    """The service's healthy instances: others may be registered under the same flat name."""
    own = {
        descriptor.CLUSTER: service.cluster,
        descriptor.NAMESPACE: service.namespace,
        descriptor.REFERENCE_NAME: service.name,
    }
    return [
        instance
        for instance in request.instances(datacenter, names.fold_text(service.flat))
        if all(instance.meta.get(key) == value for key, value in own.items())
    ]
