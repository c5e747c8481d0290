"""Where the worker writes, and how it knows what is its own.

Proof of ownership is never a name or a tag that somebody else might use, too: instances are ours on
the cluster's own node, which carries the cluster's UID; a reverse key (whose value is exactly the
name that it points to, and nothing else) by 64 bits of Flags; a claimed name likewise; a descriptor
by its path below our own lock.
"""

from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv4Address

from consuldns import descriptor, names, registration
from consuldns.names import IPAddress, Labels

NAMES = "consuldns/k8s-names/"
REVERSE = "0."  # every reverse key begins with the host label of the layout

NODE_ADDRESS = "192.0.2.1"  # TEST-NET-1 (RFC 5737): a loopback address would get a PTR of ours
CLUSTER_UID = "consuldns-cluster-uid"
FORMER_UIDS = "consuldns-former-cluster-uids"
API_MARK = "consuldns-kubernetes-api"

_MARK = 0x4B38  # "K8"; below 2^15, so that the number stays positive for whoever reads 64 bits


def flags(uid: str) -> int:
    """The KV Flags of what the cluster with this UID owns: a mark and 48 bits of a hash."""
    return _MARK << 48 | int.from_bytes(blake2b(uid.encode(), digest_size=6).digest(), "big")


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
        return f"k8s-{self.cluster}"

    @property
    def flags(self) -> int:
        """The Flags of our keys."""
        return flags(self.uid)

    @property
    def all_flags(self) -> frozenset[int]:
        """The Flags of keys that are ours to change."""
        return frozenset(map(flags, (self.uid, *self.former)))

    @property
    def root(self) -> str:
        """The folder of this cluster."""
        return f"{descriptor.ROOT}{self.cluster}/"

    @property
    def leader_key(self) -> str:
        """The lock, which the leader's session holds."""
        return f"{self.root}leader"

    @property
    def record_key(self) -> str:
        """What there is to know about the cluster as a whole."""
        return f"{self.root}meta"

    def descriptor_key(self, namespace: str, name: str) -> str:
        """What there is to know about one service."""
        return f"{self.root}svc/{namespace}/{name}"

    def endpoints_key(self, namespace: str, name: str, part: int = 0) -> str:
        """The ready endpoints of one service, or a part of them."""
        path = f"{self.root}ep/{namespace}/{name}"
        return f"{path}/{part}" if part else path

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

    def node_registration(self) -> registration.Node:
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
        return registration.Node(self.node, NODE_ADDRESS, meta)


def reverse_key(address: IPAddress) -> str:
    """The key of an address: `0.70.254.10.IN-ADDR.ARPA/10.254.70.176`.

    For IPv6 the folder is that of the /64: `0.<16 nibbles, reversed>.IP6.ARPA/<address>`.
    """
    if isinstance(address, IPv4Address):
        a, b, c, _ = address.packed
        return f"0.{c}.{b}.{a}.IN-ADDR.ARPA/{address}"
    nibbles = ".".join(reversed(address.packed[:8].hex()))
    return f"0.{nibbles}.IP6.ARPA/{address}"
