"""What is kept in Consul's KV tree about the services of Kubernetes clusters.

    consuldns/k8s/<cluster>/meta                   ClusterRecord
    consuldns/k8s/<cluster>/svc/<namespace>/<name> Descriptor
    consuldns/k8s/<cluster>/ep/<namespace>/<name>  DescribedEndpoints, if they are to have names
    consuldns/k8s/<cluster>/leader                 the lock of the sync worker

The sync worker writes these and the resolver reads them; the instances of the same services are in
the catalog. A descriptor says what the catalog cannot: that a service exists without instances, its
addresses, its ports by name, where an ExternalName leads. It holds no counts, times or versions of
objects, so that it is rewritten only when one of those changes.
"""

import msgspec

ROOT = "consuldns/k8s/"

# Metadata by which an instance in the catalog tells what it is, under the names of consul-k8s.
NAMESPACE = "external-k8s-ns"
REFERENCE_KIND = "external-k8s-ref-kind"  # ours: Service; of consul-k8s: Pod, of the endpoint
REFERENCE_NAME = "external-k8s-ref-name"
SOURCE = "external-source"
KUBERNETES = "kubernetes"
# The same, of our own.
CLUSTER = "k8s-cluster"
HOSTNAME = "k8s-hostname"
LABEL = "k8s-label"  # of an endpoint without a hostname, if it is not its address: the pod's name
POD = "k8s-target"
PORTS = "k8s-ports"  # `name:protocol:port,...`
NODE_CLUSTER = "consuldns-cluster"  # on the node that all instances of a cluster are on


class DescribedPort(msgspec.Struct, frozen=True, rename="camel"):
    """A port of a descriptor."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    node_port: int = 0
    app_protocol: str = ""


class Descriptor(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What there is to know about a service, as it is kept in the KV tree (JSON).

    `flat` is its flat name, empty if it has none. `mode` says what its instances in the catalog
    are: `vip`, `endpoints`, `both`, `node-port`, `load-balancer`, `ingress` or `name`.
    """

    v: int = 1
    uid: str
    type: str
    flat: str
    mode: str
    headless: bool
    cluster_ips: tuple[str, ...] = msgspec.field(name="clusterIPs")
    families: tuple[str, ...]
    ports: tuple[DescribedPort, ...]
    external_name: str
    publish_not_ready: bool


class EndpointGroup(msgspec.Struct, frozen=True):
    """Endpoints that have the same ports, each as (name, protocol, number).

    An endpoint is its address and its label; the label is empty if it is the address with dashes.
    """

    ports: tuple[tuple[str, str, int], ...]
    endpoints: tuple[tuple[str, str], ...]


class DescribedEndpoints(msgspec.Struct, frozen=True):
    """Ready endpoints of a service, as they are kept in the KV tree (JSON).

    Only of services whose endpoints are not in the catalog. Those of a large service are spread
    over several keys, `.../<name>`, `.../<name>/1` and so on; together they are all.
    """

    groups: tuple[EndpointGroup, ...]
    v: int = 1


class ClusterRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know about a cluster, as it is kept in the KV tree (JSON).

    The first sync of a cluster writes it last: where it is missing, services may be missing, too.
    """

    v: int = 1
    cluster_uid: str
    zone: str
    version: str
    namespaces: tuple[str, ...]
