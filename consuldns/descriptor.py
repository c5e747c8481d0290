"""What is kept in Consul's KV tree about the services of Kubernetes clusters.

    consuldns/k8s/<cluster>/meta                   ClusterRecord
    consuldns/k8s/<cluster>/svc/<namespace>/<name> Descriptor
    consuldns/k8s/<cluster>/ep/<namespace>/<name>  DescribedEndpoints, if they are to have names
    consuldns/k8s/<cluster>/leader                 the lock of the sync worker
    consuldns/k8s-names/<flat name>                which service has the flat name

The sync worker writes these and the resolver reads them; the instances of the same services are in
the catalog. A descriptor says what the catalog cannot: that a service exists without instances, its
addresses, its ports by name, where an ExternalName leads. It holds no counts, times or versions of
objects, so that it is rewritten only when one of those changes.

An instance says in its metadata what it is; its ports, which may be more than one value takes, are
in `k8s-ports`, `k8s-ports-2`, `k8s-ports-3` and so on, each a list `name:protocol:number,...`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import msgspec

from consuldns.names import MAX_PORT, parse_port

ROOT = "consuldns/k8s/"
NAMES = "consuldns/k8s-names/"

# Consul's limits for metadata, measured with 1.8.7: more, or another key, and the registration is
# refused as a whole. The length of a value is in bytes.
MAX_META = 64  # pairs
MAX_META_VALUE = 512  # bytes
META_KEY = re.compile(r"(?!consul-)[A-Za-z0-9_-]{1,128}")  # `consul-` is for Consul's own use

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
UID = "k8s-uid"
NODE = "k8s-node"
ZONE = "k8s-zone"
CLUSTER_IP = "k8s-cluster-ip"
PORTS = "k8s-ports"  # and `k8s-ports-<n>`
PORT_NUMBER = "port-"  # `port-<name>`: the service's own number of the port, as of consul-k8s
OWN = frozenset(
    (
        *(SOURCE, NAMESPACE, REFERENCE_KIND, REFERENCE_NAME, CLUSTER),
        *(HOSTNAME, LABEL, POD, UID, NODE, ZONE, CLUSTER_IP),
    )
)
NODE_CLUSTER = "consuldns-cluster"  # on the node that all instances of a cluster are on

EndpointMode = Literal["vip", "endpoints", "both"]
"""What a service with a cluster IP may be chosen to be in the catalog."""

Mode = Literal[EndpointMode, "node-port", "load-balancer", "external-ips", "ingress", "name"]
"""What the instances of a service in the catalog are."""

ReverseTarget = Literal["flat", "nested"]
"""Which of a service's names an address points to."""

FLAT: ReverseTarget = "flat"
NESTED: ReverseTarget = "nested"
NONE: Literal["none"] = "none"

CLUSTER_DOMAIN = "cluster.local"  # Kubernetes' default


# --- paths ---------------------------------------------------------------------------------------


class RecordKey(NamedTuple):
    """The key of a cluster's record."""

    cluster: str

    @property
    def path(self) -> str:
        """Where the key is."""
        return f"{root(self.cluster)}meta"


class LeaderKey(NamedTuple):
    """The lock, which the leader's session holds."""

    cluster: str

    @property
    def path(self) -> str:
        """Where the key is."""
        return f"{root(self.cluster)}leader"


class DescriptorKey(NamedTuple):
    """The key that describes one service."""

    cluster: str
    namespace: str
    name: str

    @property
    def path(self) -> str:
        """Where the key is."""
        return f"{root(self.cluster)}svc/{self.namespace}/{self.name}"


class EndpointsKey(NamedTuple):
    """A key that describes endpoints of one service; `part` is empty for the first of several."""

    cluster: str
    namespace: str
    name: str
    part: str = ""

    @property
    def path(self) -> str:
        """Where the key is."""
        path = f"{root(self.cluster)}ep/{self.namespace}/{self.name}"
        return f"{path}/{self.part}" if self.part else path


class NameKey(NamedTuple):
    """The key of a flat name, in lower case: names are the same in either case."""

    flat: str

    @property
    def path(self) -> str:
        """Where the key is."""
        return f"{NAMES}{self.flat}"


AnyKey = RecordKey | LeaderKey | DescriptorKey | EndpointsKey | NameKey


def root(cluster: str) -> str:
    """The folder of a cluster."""
    return f"{ROOT}{cluster}/"


def parse_path(path: str) -> AnyKey | None:
    """What a path is the key of, None if it is not one of ours."""
    if path.startswith(NAMES):
        return NameKey(path.removeprefix(NAMES))
    if not path.startswith(ROOT):
        return None
    match path.removeprefix(ROOT).split("/"):
        case [cluster, "meta"]:
            return RecordKey(cluster)
        case [cluster, "leader"]:
            return LeaderKey(cluster)
        case [cluster, "svc", namespace, name]:
            return DescriptorKey(cluster, namespace, name)
        case [cluster, "ep", namespace, name, *part] if len(part) < 2:
            return EndpointsKey(cluster, namespace, name, *part)
    return None


class NameOwner(NamedTuple):
    """Who has a flat name: the value of its key. Without a namespace: several share the name."""

    cluster: str
    namespace: str
    name: str

    @property
    def value(self) -> bytes:
        """What the key holds."""
        return "/".join(self).encode()


def parse_owner(value: bytes) -> NameOwner:
    """Who a value says has the name; what others wrote may be anything."""
    cluster, _, service = value.decode(errors="replace").partition("/")
    namespace, _, name = service.partition("/")
    return NameOwner(cluster, namespace, name)


# --- metadata ------------------------------------------------------------------------------------


def is_marked(meta: Mapping[str, str], node_meta: Mapping[str, str]) -> bool:
    """Whether an instance with this metadata, on a node with that, was written for a cluster."""
    return CLUSTER in meta or NODE_CLUSTER in node_meta


Port = tuple[str, str, int]
"""Name (may be empty), protocol and number of a port."""

_PORT_NAME = re.compile(r"([A-Za-z0-9_-]{1,63})?")
_PROTOCOL = re.compile(r"[A-Z]{1,8}")
_PORTS_KEY = re.compile(rf"{PORTS}(-[1-9][0-9]?)?")


def is_own(key: str) -> bool:
    """Whether the key of an instance's metadata is reserved for the worker."""
    return key in OWN or _PORTS_KEY.fullmatch(key) is not None


def is_port(port: Port) -> bool:
    """Whether a port can be written: Kubernetes allows no other, but what it sends is not ours."""
    name, protocol, number = port
    has_number = 0 < number <= MAX_PORT
    return bool(has_number and _PORT_NAME.fullmatch(name) and _PROTOCOL.fullmatch(protocol))


def write_ports(ports: Iterable[Port], room: int) -> tuple[dict[str, str], int]:
    """Metadata that hold the ports in their order, of at most `room` pairs, and how many are left.

    A hundred ports with the longest names that Kubernetes allows take 17 pairs. The reader
    finds either an endpoint's own number or none; never another's.
    """
    values: list[str] = []
    left = 0
    for name, protocol, number in ports:
        part = f"{name}:{protocol}:{number}"
        if values and len(values[-1]) + 1 + len(part) <= MAX_META_VALUE:
            values[-1] += f",{part}"
        elif len(values) < room:
            values.append(part)
        else:
            left += 1
    return {_ports_key(n): value for n, value in enumerate(values, 1)}, left


def read_ports(meta: Mapping[str, str]) -> tuple[Port, ...]:
    """The ports that `write_ports` wrote; what is not of that form is left out."""
    ports: list[Port] = []
    for n in range(1, MAX_META + 1):
        value = meta.get(_ports_key(n))
        if value is None:
            break
        for part in value.split(","):
            name, _, rest = part.partition(":")
            protocol, _, number = rest.partition(":")
            try:
                port = (name, protocol, parse_port(number))
            except ValueError:
                continue
            if is_port(port):
                ports.append(port)
    return tuple(ports)


def write_label(hostname: str, label: str) -> dict[str, str]:
    """Metadata that say which label an endpoint has, `label` empty if it is its address."""
    return {HOSTNAME: hostname, LABEL: label if label != hostname else ""}


def read_label(meta: Mapping[str, str]) -> str:
    """The label of an endpoint, empty if it is its address."""
    return meta.get(HOSTNAME) or meta.get(LABEL, "")


def _ports_key(n: int) -> str:
    return PORTS if n == 1 else f"{PORTS}-{n}"


# --- values --------------------------------------------------------------------------------------


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
    are, a `Mode`. `reverse` says which name its cluster IPs point to if no key says so, a
    `ReverseTarget`, or `none` (they point nowhere, or only where the key does); older workers did
    not write it. Both are read as any text: a later worker may know more words.
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
    reverse: str = FLAT


class DescribedEndpointGroup(msgspec.Struct, frozen=True):
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

    groups: tuple[DescribedEndpointGroup, ...]
    v: int = 1


class ClusterRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to know about a cluster, as it is kept in the KV tree (JSON).

    The first sync of a cluster writes it last: where it is missing, services may be missing, too.
    `domain` is the one that the cluster's own DNS has its names under.
    """

    v: int = 1
    cluster_uid: str
    zone: str
    version: str
    namespaces: tuple[str, ...]
    domain: str = CLUSTER_DOMAIN
