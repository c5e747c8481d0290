"""The objects of the Kubernetes API, cut down to what the sync worker reads.

Decoded straight from JSON; everything else (managed fields, the last applied configuration, pod
templates) never becomes a Python object. Objects carry no resource version, so that two of them are
equal exactly if nothing that matters here has changed.
"""

from typing import Generic, TypeVar

import msgspec

from consuldns.untrusted import Int64

CONSUL_K8S = "consul.hashicorp.com/"
CONSULDNS = "consuldns/"
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_LABELS = (SERVICE_NAME, MANAGED_BY)

ObjectKey = tuple[str, str]
"""Namespace and name of an object; the namespace is empty for those of the whole cluster."""

ServiceKey = tuple[str, str]
"""Namespace and name of a service."""


class APIObject(msgspec.Struct, frozen=True, rename="camel"):
    """An object of the API, or a part of one."""


class Metadata(APIObject, frozen=True):
    """Metadata of any object; of labels and annotations only those that are read here."""

    name: str
    uid: str = ""
    namespace: str = ""
    creation_timestamp: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None

    def __post_init__(self) -> None:
        if self.labels:
            kept = {k: v for k, v in self.labels.items() if k in _LABELS}
            msgspec.structs.force_setattr(self, "labels", kept or None)
        if self.annotations:
            kept = {
                k: v for k, v in self.annotations.items() if k.startswith((CONSUL_K8S, CONSULDNS))
            }
            msgspec.structs.force_setattr(self, "annotations", kept or None)


class ServicePort(APIObject, frozen=True):
    """A port of a service."""

    port: Int64
    name: str = ""
    protocol: str = "TCP"
    node_port: Int64 = 0
    app_protocol: str = ""


class ServiceSpec(APIObject, frozen=True):
    """What a service should be."""

    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] | None = msgspec.field(default=None, name="clusterIPs")
    ports: tuple[ServicePort, ...] | None = None
    selector: dict[str, str] | None = None
    external_name: str = ""
    external_ips: tuple[str, ...] | None = msgspec.field(default=None, name="externalIPs")
    external_traffic_policy: str = ""
    publish_not_ready_addresses: bool = False
    ip_families: tuple[str, ...] | None = None


class LoadBalancerIngress(APIObject, frozen=True):
    """An address that a load balancer was given."""

    ip: str = ""
    hostname: str = ""


class LoadBalancer(APIObject, frozen=True):
    """What the load balancer of a service has."""

    ingress: tuple[LoadBalancerIngress, ...] | None = None


class ServiceStatus(APIObject, frozen=True):
    """What became of a service."""

    load_balancer: LoadBalancer = LoadBalancer()


class Service(APIObject, frozen=True):
    """A Service."""

    metadata: Metadata
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()

    @property
    def key(self) -> ServiceKey:
        """Namespace and name."""
        return self.metadata.namespace, self.metadata.name

    @property
    def cluster_ips(self) -> tuple[str, ...]:
        """The addresses of the cluster's own network, none for a headless or external service."""
        given = self.spec.cluster_ips or ((self.spec.cluster_ip,) if self.spec.cluster_ip else ())
        return tuple(address for address in given if address and address != "None")

    @property
    def is_external_name(self) -> bool:
        """Whether the service is only another name for something."""
        return self.spec.type == "ExternalName"

    @property
    def is_headless(self) -> bool:
        """Whether the service has no address of its own: its endpoints are its addresses."""
        given = self.spec.cluster_ips or (self.spec.cluster_ip,)
        return not self.is_external_name and "None" in given

    @property
    def ports(self) -> tuple[ServicePort, ...]:
        """The ports, in the order of the specification."""
        return self.spec.ports or ()


class Conditions(APIObject, frozen=True):
    """The state of an endpoint; None is "unknown", which the API defines (see `endpoints`)."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ObjectReference(APIObject, frozen=True):
    """What an endpoint stands for, usually a pod."""

    kind: str = ""
    namespace: str = ""
    name: str = ""


class Endpoint(APIObject, frozen=True):
    """An endpoint of a slice."""

    addresses: tuple[str, ...]
    conditions: Conditions | None = None
    hostname: str | None = None
    target_ref: ObjectReference | None = None
    node_name: str | None = None
    zone: str | None = None


class EndpointPort(APIObject, frozen=True):
    """A port of a slice: the one that the endpoints listen on."""

    name: str | None = None
    protocol: str | None = None
    port: Int64 | None = None


class EndpointSlice(APIObject, frozen=True):
    """An EndpointSlice: some of a service's endpoints, of one address family."""

    metadata: Metadata
    address_type: str = ""
    endpoints: tuple[Endpoint, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None

    @property
    def service(self) -> ServiceKey | None:
        """The service that the slice belongs to: by label, never by name."""
        name = (self.metadata.labels or {}).get(SERVICE_NAME)
        return (self.metadata.namespace, name) if name else None


class NodeAddress(APIObject, frozen=True):
    """An address of a node; type InternalIP, ExternalIP, Hostname, ..."""

    type: str
    address: str


class NodeCondition(APIObject, frozen=True):
    """A condition of a node, without its times, so that a heartbeat is no change."""

    type: str
    status: str


class NodeStatus(APIObject, frozen=True):
    """The state of a node."""

    addresses: tuple[NodeAddress, ...] | None = None
    conditions: tuple[NodeCondition, ...] | None = None


class Node(APIObject, frozen=True):
    """A Node."""

    metadata: Metadata
    status: NodeStatus = NodeStatus()

    @property
    def is_ready(self) -> bool:
        """Whether the node's own report is that it is ready."""
        conditions = self.status.conditions or ()
        return any(each.type == "Ready" and each.status == "True" for each in conditions)

    def addresses(self, *types: str) -> tuple[str, ...]:
        """The addresses of these types, in this order of types."""
        given = self.status.addresses or ()
        return tuple(each.address for wanted in types for each in given if each.type == wanted)


class Namespace(APIObject, frozen=True):
    """A Namespace."""

    metadata: Metadata


class PodAddress(APIObject, frozen=True):
    """An address of a pod."""

    ip: str = ""


class PodStatus(APIObject, frozen=True):
    """The state of a pod."""

    phase: str = ""
    pod_ips: tuple[PodAddress, ...] | None = msgspec.field(default=None, name="podIPs")


class PodSpec(APIObject, frozen=True):
    """What a pod should be."""

    host_network: bool = False


class Pod(APIObject, frozen=True):
    """A Pod; read only if reverse names are to be verified by it."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class BackendService(APIObject, frozen=True):
    """The service that a path leads to."""

    name: str = ""


class Backend(APIObject, frozen=True):
    """What a path leads to; without a service it is another kind of object."""

    service: BackendService | None = None


class IngressPath(APIObject, frozen=True):
    """A path of a host."""

    backend: Backend = Backend()
    path: str = ""


class IngressPaths(APIObject, frozen=True):
    """The paths of a host."""

    paths: tuple[IngressPath, ...] | None = None


class IngressRule(APIObject, frozen=True):
    """A host (empty: every one), and where its paths lead."""

    host: str = ""
    http: IngressPaths | None = None

    @property
    def services(self) -> tuple[str, ...]:
        """The names of the services that the path `/` leads to; an empty one means that, too."""
        paths = (self.http.paths if self.http is not None else None) or ()
        backends = (path.backend.service for path in paths if path.path in ("/", ""))
        return tuple(backend.name for backend in backends if backend is not None)


class IngressTLS(APIObject, frozen=True):
    """Hosts that are served by TLS."""

    hosts: tuple[str, ...] | None = None


class IngressSpec(APIObject, frozen=True):
    """What an Ingress should be."""

    rules: tuple[IngressRule, ...] | None = None
    tls: tuple[IngressTLS, ...] | None = None


class Ingress(APIObject, frozen=True):
    """An Ingress, read only if the setting `ingress` is on. Its status is like a service's."""

    metadata: Metadata
    spec: IngressSpec = IngressSpec()
    status: ServiceStatus = ServiceStatus()

    @property
    def services(self) -> set[ServiceKey]:
        """The services that it exposes."""
        rules = self.spec.rules or ()
        return {(self.metadata.namespace, name) for rule in rules for name in rule.services}


Object = Service | EndpointSlice | Node | Namespace | Pod | Ingress
Item = TypeVar("Item", bound=Object)


class ResourceKind(msgspec.Struct, Generic[Item], frozen=True):
    """A kind of object and where the API has it."""

    name: str  # plural, as in rules of RBAC: "endpointslices"
    group: str  # the API group, empty for the core
    type: type[Item]

    def path(self, namespace: str = "") -> str:
        """The path of the collection in a namespace, or over all of them."""
        root = f"/apis/{self.group}/v1" if self.group else "/api/v1"
        return f"{root}/namespaces/{namespace}/{self.name}" if namespace else f"{root}/{self.name}"

    def __str__(self) -> str:
        return self.name


SERVICES: ResourceKind[Service] = ResourceKind("services", "", Service)
ENDPOINT_SLICES: ResourceKind[EndpointSlice] = ResourceKind(
    "endpointslices", "discovery.k8s.io", EndpointSlice
)
NODES: ResourceKind[Node] = ResourceKind("nodes", "", Node)
NAMESPACES: ResourceKind[Namespace] = ResourceKind("namespaces", "", Namespace)
PODS: ResourceKind[Pod] = ResourceKind("pods", "", Pod)
INGRESSES: ResourceKind[Ingress] = ResourceKind("ingresses", "networking.k8s.io", Ingress)


class ListMetadata(APIObject, frozen=True):
    """Metadata of one page of a list."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class VersionMetadata(APIObject, frozen=True):
    """The resource version of an object."""

    resource_version: str = ""


class Versioned(APIObject, frozen=True):
    """The one thing about an object that a watch needs to go on after it."""

    metadata: VersionMetadata = VersionMetadata()


class Status(APIObject, frozen=True):
    """The API's way to say what went wrong."""

    message: str = ""
    reason: str = ""
    code: int = 0
