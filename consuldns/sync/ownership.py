"""Where the worker writes, and how it knows what is its own.

Proof of ownership is never a name or a tag that somebody else might use, too: instances are ours on
the cluster's own node, which carries the cluster's UID; a reverse key (whose value is exactly the
name that it points to, and nothing else) by 64 bits of Flags; a claimed name likewise; a descriptor
by its path below our own lock.

The owner is a cluster (its UID) under a name: one cluster may be synced under two names, and a
cluster that was restored from a snapshot has the UID of its model. A worker leaves alone what was
written under another name, although the UID is the same (ADR 13).
"""

from dataclasses import dataclass
from hashlib import blake2b

from consuldns import descriptor, names
from consuldns.consul import operations
from consuldns.descriptor import DescriptorKey, EndpointsKey, LeaderKey, RecordKey
from consuldns.names import Labels

NODE_ADDRESS = "192.0.2.1"  # TEST-NET-1 (RFC 5737): a loopback address would get a PTR of ours
CLUSTER_UID = "consuldns-cluster-uid"
FORMER_UIDS = "consuldns-former-cluster-uids"
API_MARK = "consuldns-kubernetes-api"

_MARK = 0x4B38  # "K8"; below 2^15, so that it stays positive when read as a signed 64-bit number


def flags(uid: str, cluster: str) -> int:
    """The KV Flags of what is written for the cluster with this UID, under this name.

    A mark of 16 bits and a hash of 48.
    """
    return _marked(f"{uid}/{cluster}")


def unnamed_flags(uid: str) -> int:
    """The Flags of earlier versions, which did not tell the names of one cluster apart."""
    return _marked(uid)


def _marked(owner: str) -> int:
    return _MARK << 48 | int.from_bytes(blake2b(owner.encode(), digest_size=6).digest(), "big")


def node_of(cluster: str) -> str:
    """The node of the catalog that all instances of a cluster are on."""
    return f"k8s-{cluster}"


@dataclass(frozen=True)
class Identity:
    """Which cluster, in which datacenter of Consul.

    `uid` is that of the namespace kube-system, which lives as long as the cluster; `former` are
    those of clusters whose entries were taken over (`--adopt`). `api` stands for the API server,
    where the UID cannot be read (see `cluster_uid`). `domain` is Consul's, `zone` that
    of the nested names; neither ends in a dot.
    """

    cluster: str
    uid: str
    datacenter: str
    domain: str
    zone: str
    former: tuple[str, ...] = ()
    api: str = ""

    @property
    def node(self) -> str:
        """The node of the catalog that all instances are on."""
        return node_of(self.cluster)

    @property
    def flags(self) -> int:
        """The Flags of our keys."""
        return flags(self.uid, self.cluster)

    @property
    def all_flags(self) -> frozenset[int]:
        """The Flags of keys that are ours to change."""
        return frozenset(flags(uid, self.cluster) for uid in self.uids)

    @property
    def unnamed_flags(self) -> frozenset[int]:
        """The Flags of keys that an earlier version wrote for this cluster, under whatever name."""
        return frozenset(map(unnamed_flags, self.uids))

    @property
    def uids(self) -> tuple[str, ...]:
        """The UID, and those of clusters whose entries were taken over."""
        return (self.uid, *self.former)

    def is_same_cluster(self, node: operations.Node) -> bool:
        """Whether a node is that of this cluster under another name."""
        known = {node.meta.get(CLUSTER_UID, ""), *former_uids(node)}
        return node.name != self.node and not known.isdisjoint(self.uids)

    @property
    def root(self) -> str:
        """The folder of this cluster."""
        return descriptor.root(self.cluster)

    @property
    def leader_key(self) -> str:
        """The lock, which the leader's session holds."""
        return LeaderKey(self.cluster).path

    @property
    def record_key(self) -> str:
        """What there is to know about the cluster as a whole."""
        return RecordKey(self.cluster).path

    def descriptor_key(self, namespace: str, name: str) -> str:
        """What there is to know about one service."""
        return DescriptorKey(self.cluster, namespace, name).path

    def endpoints_key(self, namespace: str, name: str, part: int = 0) -> str:
        """The ready endpoints of one service, or a part of them."""
        return EndpointsKey(self.cluster, namespace, name, str(part or "")).path

    def flat(self, name: str) -> str:
        """The full name of a flat name, without a final dot."""
        return f"{name}.service.{self.datacenter}.{self.domain}"

    def nested(self, namespace: str, name: str) -> str:
        """The full nested name of a service, without a final dot."""
        return f"{name}.{namespace}.svc.{self.zone}"

    def holds(self, name: Labels) -> bool:
        """Whether a folded name is one that we answer: an alias to it could lead in a circle."""
        zones = (names.fold(names.parse_name(zone)) for zone in (self.domain, self.zone))
        return any(names.is_below(name, zone) for zone in zones)

    def node_registration(self) -> operations.Node:
        """The node as it should be in the catalog."""
        meta = {
            descriptor.SOURCE: descriptor.KUBERNETES,
            descriptor.NODE_CLUSTER: self.cluster,
            CLUSTER_UID: self.uid,
        }
        if self.former:
            meta[FORMER_UIDS] = ",".join(self.former)
        if self.api:
            meta[API_MARK] = self.api
        return operations.Node(self.node, NODE_ADDRESS, meta)


def former_uids(node: operations.Node) -> tuple[str, ...]:
    """The UIDs of clusters whose entries were taken over, as a cluster's node has them."""
    return tuple(each for each in node.meta.get(FORMER_UIDS, "").split(",") if each)


def is_of_consul_k8s(node: operations.Node) -> bool:
    """Whether consul-k8s made the node: it comes from Kubernetes, and not by us."""
    is_of_kubernetes = node.meta.get(descriptor.SOURCE) == descriptor.KUBERNETES
    return is_of_kubernetes and descriptor.NODE_CLUSTER not in node.meta
