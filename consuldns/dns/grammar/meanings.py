"""What a name may mean: parsed names, as `parse` makes them and the finders take them."""

import msgspec

from consuldns.dns.grammar.kubernetes import RecordRequest
from consuldns.names import Labels

# RFC 2782 wants a protocol; Consul takes `_tcp`, and an empty tag, for "whatever the tag".
ANY_TAG = frozenset((b"tcp", b""))


PROTOCOLS = frozenset((b"_tcp", b"_udp"))


class Tenancy(msgspec.Struct, frozen=True):
    """Where a name is to be found, beside its datacenter; empty is the default of each.

    `peer` is a cluster that this one is peered with. The others are of Consul Enterprise.
    """

    peer: bytes = b""
    namespace: bytes = b""
    partition: bytes = b""
    group: bytes = b""


class _Interpretation(msgspec.Struct, frozen=True):
    """What a name may mean. (A structure is made in a fifth of a dataclass's time.)"""


class Apex(_Interpretation, frozen=True):
    """The domain itself."""


class NameServer(_Interpretation, frozen=True):
    """`ns.D`: this server, named by the SOA of every zone."""


class RecordName(_Interpretation, frozen=True):
    """A name of a zone in the KV tree: its labels left of that zone."""

    labels: Labels


class ServiceName(_Interpretation, frozen=True):
    """`[<tag>.]<service>.service[.<dc>].D` and the RFC 2782 forms of it.

    `datacenter` None is that of the agent. `srv_only`: the keyword is missing, which SRV alone may.
    """

    service: bytes
    tag: bytes | None
    datacenter: bytes | None
    srv_only: bool = False


class TenantServiceName(_Interpretation, frozen=True):
    """`[<tag>.]<service>.service.<peer>.peer.D`, or with `.ns`, `.ap`, `.sg`, `.dc` after it."""

    service: bytes
    tag: bytes | None
    datacenter: bytes | None
    tenancy: Tenancy


class PeerNodeName(_Interpretation, frozen=True):
    """`<node>.node.<peer>.peer.D`."""

    node: bytes
    peer: bytes


class PartitionNodeName(_Interpretation, frozen=True):
    """`<node>.node.<partition>.ap[.<datacenter>.dc].D`."""

    node: bytes
    datacenter: bytes | None
    partition: bytes


class VirtualName(_Interpretation, frozen=True):
    """`<service>.virtual[.<peer>].D`: the virtual address that the mesh has for a service."""

    service: bytes
    datacenter: bytes | None
    tenancy: Tenancy


class ProtocolName(_Interpretation, frozen=True):
    """`_<anything>._<protocol>.<service>.service[.<dc>].D` as RFC 2782 has it, and above that."""

    service: bytes
    datacenter: bytes | None
    is_whole: bool


class PortName(_Interpretation, frozen=True):
    """`<port>.port.<service>.service…`, `<service>.service.<port>.port…`: a named port."""

    port: bytes
    service: bytes
    datacenter: bytes | None


class LocalityNonTerminal(_Interpretation, frozen=True):
    """`[<value>.]<kind>.D`: above names that say where, such as `west.peer.consul`."""

    value: bytes
    kind: bytes


class ConnectName(_Interpretation, frozen=True):
    """`[<ignored>.]<service>.connect[.<dc>].D`: what accepts mesh connections for a service."""

    service: bytes
    datacenter: bytes | None


class IngressName(_Interpretation, frozen=True):
    """`[<ignored>.]<service>.ingress[.<dc>].D`: the ingress gateways that expose a service."""

    service: bytes
    datacenter: bytes | None


class QueryName(_Interpretation, frozen=True):
    """`<query>.query[.<dc>].D`, or `_<query>._tcp.query`: a prepared query, by its name or id.

    A name may hold dots.
    """

    query: bytes
    datacenter: bytes | None


class NodeName(_Interpretation, frozen=True):
    """`<node>.node[.<dc>].D`: a node's name, which may hold dots, or (the beginning of) its id."""

    node: bytes
    datacenter: bytes | None


class AddressName(_Interpretation, frozen=True):
    """`<hexadecimal>.addr.D`: an address as a name, so that SRV can point at it."""

    packed: bytes


class DatacenterNonTerminal(_Interpretation, frozen=True):
    """`<dc>.D`, `service[.<dc>].D` and the like: exists if the datacenter does (None always)."""

    datacenter: bytes | None


class TagNonTerminal(_Interpretation, frozen=True):
    """`_<tag>[.service][.<dc>].D`: exists if `_<service>._<tag>` may exist below it."""

    tag: bytes
    datacenter: bytes | None


class DottedTagNonTerminal(_Interpretation, frozen=True):
    """`2.db.service.D`: exists if `db` has a tag `v1.2`."""

    service: bytes
    suffix: bytes
    datacenter: bytes | None


class KubernetesName(_Interpretation, frozen=True):
    """`<svc>.<ns>.svc.<dc>.D` and all of the Kubernetes DNS specification; the same by `service`.

    `asked` is what stands left of the zone, `redis.default.svc`; `<svc>.<ns>.service…` has the
    same.
    """

    asked: RecordRequest
    datacenter: bytes | None


class ClusterName(_Interpretation, frozen=True):
    """A name in a zone of a Kubernetes cluster. `asked` is what stands left of the zone."""

    asked: RecordRequest


class DottedServiceName(_Interpretation, frozen=True):
    """`[<tag>.]a.b.c.service[.<dc>].D`: a service `a.b.c`, or above one, `b.c.service…`."""

    parts: Labels
    datacenter: bytes | None


class SeveralTags(_Interpretation, frozen=True):
    """`<tag>.<tag>.<service>.service[.<dc>].D`: instances that have all the tags."""

    service: bytes
    tags: Labels
    datacenter: bytes | None


class AddressKey(_Interpretation, frozen=True):
    """A whole address in a reverse tree (packed): what a key of the KV tree says of it."""

    packed: bytes


class AddressOfKubernetes(_Interpretation, frozen=True):
    """A whole address in a reverse tree (packed), as that of a Kubernetes service."""

    packed: bytes


class AddressOfNode(_Interpretation, frozen=True):
    """A whole address in a reverse tree (packed), as that of a node."""

    packed: bytes


class AddressOfService(_Interpretation, frozen=True):
    """A whole address in a reverse tree (packed), as that of an instance of a service."""

    packed: bytes


class NetworkNonTerminal(_Interpretation, frozen=True):
    """Above addresses in a reverse tree: exists if the network holds an address that we know.

    `network` is as in `names.network_of`.
    """

    network: tuple[int, str]


Interpretation = (
    Apex
    | NameServer
    | RecordName
    | ServiceName
    | TenantServiceName
    | PeerNodeName
    | PartitionNodeName
    | VirtualName
    | ProtocolName
    | PortName
    | LocalityNonTerminal
    | ConnectName
    | IngressName
    | QueryName
    | NodeName
    | AddressName
    | DatacenterNonTerminal
    | TagNonTerminal
    | DottedTagNonTerminal
    | KubernetesName
    | ClusterName
    | DottedServiceName
    | SeveralTags
    | AddressKey
    | AddressOfKubernetes
    | AddressOfNode
    | AddressOfService
    | NetworkNonTerminal
)
