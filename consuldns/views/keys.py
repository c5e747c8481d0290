"""The names of the views: what can be watched on its own.

Keys are small frozen values: they are dictionary keys in the store and travel between processes. A
key knows the type of its view. Datacenter and service names are those of Consul; a service's is in
lower case, because Consul looks services up without regard to case.

Where each view comes from is in `consul.kinds`.
"""

import re
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

import msgspec

from consuldns.views import model, reverse_names, zone_records
from consuldns.views.base import View
from consuldns.views.clusters import Clusters

V = TypeVar("V", bound=View, covariant=True)


class Key(msgspec.Struct, Generic[V], frozen=True, array_like=True, tag=True):
    """The name of a view of type V. `words` is a template of what it is called in texts."""

    words: ClassVar[str]

    @property
    def label(self) -> str:
        """The view in words, for logs and `--explain`: "the services of dc1"."""
        return self.words.format_map(msgspec.structs.asdict(self))

    def datacenter_or(self, local: str) -> str:
        """The datacenter that it is of: the agent's own, if the key names none."""
        return str(getattr(self, "datacenter", local))

    def is_in(self, local: str) -> bool:
        """Whether it is of the agent's own datacenter."""
        return self.datacenter_or(local) == local


MAX_GUESS = 128  # characters of a name
_GUESSABLE = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", re.ASCII)


def is_guessable(name: str) -> bool:
    """Whether a view may have this name although no list holds it (ADR 22), in lower case.

    Such a name is from a query, and becomes a part of a URL. Consul's own names are of letters,
    digits, dashes, dots and underscores; others can be used if they are listed.
    """
    return len(name) <= MAX_GUESS and bool(_GUESSABLE.fullmatch(name)) and ".." not in name


class DatacenterList(Key[model.Datacenters], frozen=True):
    """Which datacenters exist, and which is ours."""

    words = "the datacenters"


class ServiceList(Key[model.Services], frozen=True):
    """Names and tags of all services of a datacenter."""

    words = "the services of {datacenter}"
    datacenter: str


class NodeList(Key[model.Nodes], frozen=True):
    """All nodes of a datacenter."""

    words = "the nodes of {datacenter}"
    datacenter: str


class ServiceInstances(Key[model.Instances], frozen=True):
    """The instances of one service."""

    words = "the instances of {service!r} in {datacenter}"
    datacenter: str
    service: str


class ConnectInstances(Key[model.Instances], frozen=True):
    """What accepts connections of the service mesh for a service: proxies, native instances."""

    words = "the mesh endpoints of {service!r} in {datacenter}"
    datacenter: str
    service: str


class TenantInstances(Key[model.Instances], frozen=True):
    """The instances of a service elsewhere than in the default namespace of a datacenter.

    `kind` is `service`, or `connect`: what accepts connections of the service mesh for it. Of
    `peer`, `namespace`, `partition` and `group` (a sameness group) those that are empty are not
    asked for.
    """

    words = (
        "the {kind} instances of {service!r} in {peer}{namespace}{partition}{group} of {datacenter}"
    )
    datacenter: str
    service: str
    kind: str = "service"
    peer: str = ""
    namespace: str = ""
    partition: str = ""
    group: str = ""


class PeerNodes(Key[model.PeerNodes], frozen=True):
    """The nodes of a peer."""

    words = "the nodes of {peer}, a peer of {datacenter}"
    datacenter: str
    peer: str


class PartitionNode(Key[model.PeerNodes], frozen=True):
    """A node of another partition: one, or none."""

    words = "the node {node!r} in partition {partition!r} of {datacenter}"
    datacenter: str
    node: str
    partition: str


class PeerList(Key[model.Peers], frozen=True):
    """The clusters that this one is peered with, as far as the token may read them."""

    words = "the peers of {datacenter}"
    datacenter: str


class IngressInstances(Key[model.Instances], frozen=True):
    """The ingress gateways that expose a service."""

    words = "the ingress gateways of {service!r} in {datacenter}"
    datacenter: str
    service: str


class PreparedQueryList(Key[model.PreparedQueries], frozen=True):
    """The definitions of prepared queries, those that the token may read."""

    words = "the prepared queries of {datacenter}"
    datacenter: str


class PreparedQueryResult(Key[model.QueryResult], frozen=True):
    """The result of a prepared query, by name or id, executed in a datacenter."""

    words = "the result of the prepared query {query!r} in {datacenter}"
    datacenter: str
    query: str


class ReverseZoneList(Key[reverse_names.ReverseZones], frozen=True):
    """The folders of the KV tree that hold reverse names."""

    words = "the reverse zones of the KV tree"


class ReverseZone(Key[reverse_names.ReverseEntries], frozen=True):
    """The reverse names of one folder, spelled as in the KV tree, without a final slash."""

    words = "the KV folder {folder}"
    folder: str


class ZoneList(Key[zone_records.ZoneNames], frozen=True):
    """The zones that people keep in the KV tree."""

    words = "the zones of the KV tree"


class ZoneContents(Key[zone_records.ZoneRecords], frozen=True):
    """The records of one of them, by the name of its folder."""

    words = "the records of the zone {zone}"
    zone: str


class ServiceAddresses(Key[reverse_names.AddressIndex], frozen=True):
    """Which service has an address, for PTR."""

    words = "the addresses of all services of {datacenter}"
    datacenter: str


class ClusterList(Key[Clusters], frozen=True):
    """The Kubernetes clusters and their services."""

    words = "the Kubernetes clusters of {datacenter}"
    datacenter: str


if TYPE_CHECKING:
    ViewKey = Key[View]
else:  # what msgspec decodes: it tells them apart by their tags
    ViewKey = (
        DatacenterList
        | ServiceList
        | NodeList
        | ServiceInstances
        | ConnectInstances
        | IngressInstances
        | TenantInstances
        | PeerNodes
        | PartitionNode
        | PeerList
        | PreparedQueryList
        | PreparedQueryResult
        | ReverseZoneList
        | ReverseZone
        | ZoneList
        | ZoneContents
        | ServiceAddresses
        | ClusterList
    )
