"""The kinds of views: where each comes from, what keeps it right, what proves that it exists.

A kind is a key (`views.keys`), a view (`views.model`) and a row of `KINDS`. Everything that depends
on what kind a view is of asks its row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar, cast

from consuldns import descriptor
from consuldns.consul import proofs, responses
from consuldns.consul.http.blocking import Request
from consuldns.consul.http.client import Reply
from consuldns.consul.responses import Decoded
from consuldns.errors import BadResponse
from consuldns.views import keys, model, reverse_names
from consuldns.views.clusters import Clusters
from consuldns.views.keys import Key, ViewKey
from consuldns.views.model import AnyView
from consuldns.views.store import Views
from consuldns.views.zone_records import ZoneNames, ZoneRecords
from consuldns.zone_documents import layout

K = TypeVar("K", bound=ViewKey, contravariant=True)
V = TypeVar("V", bound=AnyView)


PROBED_NAMES = 200  # of a zone; Consul needs 10 us for each that is read, 0.4 us to pass over it


class Kept(Enum):
    """How views of a kind are kept; those of other datacenters are all read on demand."""

    ALWAYS = "always, by a blocking query"
    POLLED = "always, read every now and then"
    ON_DEMAND = "while it is being asked for"
    IN_BACKGROUND = "always, put together from other views"
    IF_ALLOWED = "always, as far as it can be read"


class Area(Enum):
    """What shows that a view may have changed."""

    SERVICES = "the lists of services, nodes and checks"
    KEYS = "the KV tree"
    ZONES = "the zones of the KV tree"
    AGE = "its age"


@dataclass(frozen=True, slots=True)
class Place:
    """Where to read a view: the agent's own datacenter, and Consul's spelling of its name there.

    `is_sorted`: the instances nearest to the agent first.
    """

    local: str
    spelling: str = ""
    is_sorted: bool = False


@dataclass(frozen=True)
class Kind(Generic[K, V]):
    """What is to be known of a kind of view.

    `request` and `decode` raise nothing but BadResponse, if not even a part of the reply can be
    read; a view that is put together from others has neither. `proof` raises MissingView if the
    list that names the view is not known yet, NotFound if the list lacks it, and gives Consul's
    spelling of it: a name from a query gets no further. `is_guess`: no list names the view, and
    there may be one all the same; such are read at a limited rate (ADR 22). For a list, `members`
    has the view of each name that it lists, if there are such, and `invalidates` the area of views
    that may have changed whenever the list has moved. `is_empty`: the reply has nothing in it,
    which the proof denies. `may_be_unsupported`: 400 is how a Consul says that it has no such
    thing as peers or namespaces. `probe`, for a view that takes long to read: a request whose index
    is that of the view if it has not changed; None if reading it is as quick.
    """

    kept: Kept
    request: Callable[[K, Place], Request] | None = None
    decode: Callable[[K, int, bytes], Decoded[V]] | None = None
    proof: Callable[[K, Views], str] = lambda _key, _views: ""
    is_guess: Callable[[K, Views], bool] = lambda _key, _views: False
    invalidated_by: Area = Area.AGE
    invalidates: Area | None = None
    members: Callable[[str, str], ViewKey] | None = None
    nothing: V | None = None
    may_be_unsupported: bool = False
    is_empty: Callable[[V, Reply], bool] = lambda _view, _reply: False
    probe: Callable[[K, Place, V], Request | None] = lambda _key, _place, _view: None


@dataclass(frozen=True, slots=True)
class Source(Generic[V]):
    """How to read one view."""

    key: Key[V]
    request: Request
    decode: Callable[[int, bytes], Decoded[V]]

    def view_of(self, reply: Reply) -> Decoded[V]:
        """The view. Raises BadResponse if not even a part of it can be read."""
        return self.decode(reply.index, reply.body)


def kind_of(key: Key[V]) -> Kind[Key[V], V]:
    """The row of a view."""
    return cast(Kind[Key[V], V], KINDS[type(key)])


def kept(key: ViewKey, local: str) -> Kept:
    """How a view is kept."""
    return kind_of(key).kept if key.is_in(local) else Kept.ON_DEMAND


def area(key: ViewKey, local: str) -> Area:
    """What shows that a view may have changed: of another datacenter, nothing but its age."""
    return kind_of(key).invalidated_by if key.is_in(local) else Area.AGE


def source(key: Key[V], place: Place) -> Source[V]:
    """How to read a view that is known to exist. Raises BadResponse if it is not read by itself."""
    kind = kind_of(key)
    request, decode = kind.request, kind.decode
    if request is None or decode is None:
        raise BadResponse(f"{key.label}: not read by one request")
    return Source(key, request(key, place), lambda index, body: decode(key, index, body))


def is_guess(key: ViewKey, views: Views) -> bool:
    """Whether no list names the view, but Consul may know it. Raises MissingView."""
    return kind_of(key).is_guess(key, views)


def failing_checks(datacenter: str) -> Request:
    """All checks that are not passing: what changes in it shows every change of a status.

    Filtered in the server, since 100,000 passing checks are 40 MB.
    """
    query = {"filter": 'Status != "passing"', "dc": datacenter}
    return Request(("v1", "health", "state", "any"), query)


def _tenancy_of(key: keys.TenantInstances) -> dict[str, str]:
    """The parameters of a request."""
    if key.peer:
        return {"peer": key.peer}
    names = {
        "ns": key.namespace or "default",
        "partition": key.partition,
        "sg": key.group,
        "dc": key.datacenter,
    }
    return {name: value for name, value in names.items() if value}


def _is_empty_tree(_: object, reply: Reply) -> bool:
    """Whether there is no key at all, readable or not."""
    return reply.is_missing or reply.body.strip() in (b"[]", b"null")


def _probe_zone(key: keys.ZoneContents, place: Place, view: ZoneRecords) -> Request | None:
    """The keys of a zone, without their values, and those that begin alike as one.

    The index is that of the newest key below the prefix, or of the last that was removed.
    """
    if len(view.names) < PROBED_NAMES:
        return None
    separator = view.most_common_start
    return Request(
        ("v1", "kv", *layout.ROOT.split("/"), key.zone, ""),
        {"keys": "", "separator": separator, "dc": place.local},
        may_be_missing=True,
    )


KINDS: Mapping[type[ViewKey], Kind[Any, Any]] = {
    keys.DatacenterList: Kind(
        kept=Kept.POLLED,  # it cannot block, and hardly ever changes
        request=lambda _, __: Request(("v1", "catalog", "datacenters")),
        decode=responses.datacenters,
    ),
    keys.ServiceList: Kind[keys.ServiceList, model.Services](
        kept=Kept.ALWAYS,
        request=lambda key, _: Request(("v1", "catalog", "services"), {"dc": key.datacenter}),
        decode=responses.services,
        proof=proofs.of_known_datacenter,
        invalidates=Area.SERVICES,
        members=lambda local, name: keys.ServiceInstances(local, name.lower()),
    ),
    keys.NodeList: Kind[keys.NodeList, model.Nodes](
        kept=Kept.ALWAYS,
        request=lambda key, _: Request(("v1", "catalog", "nodes"), {"dc": key.datacenter}),
        decode=responses.nodes,
        proof=proofs.of_known_datacenter,
        invalidates=Area.SERVICES,
    ),
    # The name of a service becomes a part of the path: Consul's own spelling, never a query's.
    keys.ServiceInstances: Kind[keys.ServiceInstances, model.Instances](
        kept=Kept.ON_DEMAND,
        request=lambda key, place: Request(
            ("v1", "health", "service", place.spelling),
            {"dc": key.datacenter, **({"near": "_agent"} if place.is_sorted else {})},
        ),
        decode=responses.instances_of,
        proof=proofs.of_listed_service,
        invalidated_by=Area.SERVICES,
        nothing=model.Instances(0, ()),
        is_empty=lambda view, _: not view.instances,
    ),
    # What these two hold changes with configuration entries as well, which no list shows.
    keys.ConnectInstances: Kind[keys.ConnectInstances, model.Instances](
        kept=Kept.ON_DEMAND,
        request=lambda key, place: Request(
            ("v1", "health", "connect", place.spelling), {"dc": key.datacenter}
        ),
        decode=responses.instances,
        proof=proofs.service_or_guess,
        is_guess=proofs.is_not_a_service,
        nothing=model.Instances(0, ()),
    ),
    keys.IngressInstances: Kind[keys.IngressInstances, model.Instances](
        kept=Kept.ON_DEMAND,
        request=lambda key, place: Request(
            ("v1", "health", "ingress", place.spelling), {"dc": key.datacenter}
        ),
        decode=responses.instances,
        proof=proofs.service_or_guess,
        is_guess=proofs.is_not_a_service,
        nothing=model.Instances(0, ()),
    ),
    keys.PeerList: Kind[keys.PeerList, model.Peers](
        kept=Kept.IF_ALLOWED,
        request=lambda _, __: Request(("v1", "peerings"), blocks=False),
        decode=responses.peers,
        proof=proofs.of_known_datacenter,
        nothing=model.Peers(0),
    ),
    # A Consul without namespaces refuses them, and ignores the others: so one is always sent.
    keys.TenantInstances: Kind[keys.TenantInstances, model.Instances](
        kept=Kept.ON_DEMAND,
        request=lambda key, place: Request(
            ("v1", "health", key.kind, place.spelling),
            _tenancy_of(key),
        ),
        decode=responses.instances,
        proof=proofs.in_tenancy,
        is_guess=lambda _, __: True,
        nothing=model.Instances(0, ()),
        may_be_unsupported=True,
    ),
    keys.PeerNodes: Kind[keys.PeerNodes, model.PeerNodes](
        kept=Kept.ON_DEMAND,
        request=lambda key, _: Request(("v1", "catalog", "nodes"), {"peer": key.peer}),
        decode=responses.peer_nodes,
        proof=proofs.of_listed_peer,
        nothing=model.PeerNodes(0, ()),
    ),
    # As for instances, one that knows no namespaces is made to refuse them.
    keys.PartitionNode: Kind[keys.PartitionNode, model.PeerNodes](
        kept=Kept.ON_DEMAND,
        request=lambda key, place: Request(
            ("v1", "catalog", "node", place.spelling),
            {"ns": "default", "partition": key.partition, "dc": key.datacenter},
        ),
        decode=responses.partition_node,
        proof=proofs.in_partition,
        is_guess=lambda _, __: True,
        nothing=model.PeerNodes(0, ()),
        may_be_unsupported=True,
    ),
    keys.PreparedQueryList: Kind[keys.PreparedQueryList, model.PreparedQueries](
        kept=Kept.IF_ALLOWED,
        request=lambda key, _: Request(("v1", "query"), {"dc": key.datacenter}),
        decode=responses.prepared_queries,
        proof=proofs.of_known_datacenter,
        nothing=model.PreparedQueries(0),
    ),
    # An execution does not block. A template answers names that nothing lists.
    keys.PreparedQueryResult: Kind[keys.PreparedQueryResult, model.QueryResult](
        kept=Kept.ON_DEMAND,
        request=lambda key, place: Request(
            ("v1", "query", place.spelling, "execute"),
            {"dc": key.datacenter},
            may_be_missing=True,
            blocks=False,
        ),
        decode=responses.query_result,
        proof=proofs.query_or_guess,
        is_guess=lambda key, views: not proofs.is_listed_query(key, views),
        nothing=responses.NO_QUERY,
    ),
    # One request lists the root's folders. It wakes on every change anywhere in the tree, of values
    # as well (measured on 1.8.7), and so shows when a zone may have changed.
    keys.ReverseZoneList: Kind(
        kept=Kept.ALWAYS,
        request=lambda _, place: Request(
            ("v1", "kv", ""),
            {"keys": "", "separator": "/", "dc": place.local},
            may_be_missing=True,
        ),
        decode=responses.reverse_zones,
        invalidates=Area.KEYS,
        members=lambda _, name: keys.ReverseZone(name),
        nothing=reverse_names.ReverseZones(0, ()),
    ),
    # Keys that name no address are keys all the same: a zone of such is not empty.
    keys.ReverseZone: Kind[keys.ReverseZone, reverse_names.ReverseEntries](
        kept=Kept.ON_DEMAND,
        request=lambda key, place: Request(
            ("v1", "kv", key.folder, ""), {"recurse": "", "dc": place.local}, may_be_missing=True
        ),
        decode=responses.reverse_entries,
        proof=proofs.of_listed_folder,
        invalidated_by=Area.KEYS,
        nothing=reverse_names.ReverseEntries(0, ()),
        is_empty=_is_empty_tree,
    ),
    # As above: it wakes on every change below the folder of all zones.
    keys.ZoneList: Kind[keys.ZoneList, ZoneNames](
        kept=Kept.ALWAYS,
        request=lambda _, place: Request(
            ("v1", "kv", *layout.ROOT.split("/"), ""),
            {"keys": "", "separator": "/", "dc": place.local},
            may_be_missing=True,
        ),
        decode=responses.zone_names,
        invalidates=Area.ZONES,
        members=lambda _, name: keys.ZoneContents(name),
        nothing=ZoneNames(0),
    ),
    keys.ZoneContents: Kind[keys.ZoneContents, ZoneRecords](
        kept=Kept.ON_DEMAND,
        request=lambda key, place: Request(
            ("v1", "kv", *layout.ROOT.split("/"), key.zone, ""),
            {"recurse": "", "dc": place.local},
            may_be_missing=True,
        ),
        decode=responses.zone_records,
        proof=proofs.of_listed_zone,
        invalidated_by=Area.ZONES,
        nothing=ZoneRecords(0),
        is_empty=_is_empty_tree,
        probe=_probe_zone,
    ),
    keys.ServiceAddresses: Kind(kept=Kept.IN_BACKGROUND),
    # All clusters with all their services in one request: see ADR 6.
    keys.ClusterList: Kind[keys.ClusterList, Clusters](
        kept=Kept.ALWAYS,
        request=lambda key, _: Request(
            ("v1", "kv", *descriptor.ROOT.split("/")),
            {"recurse": "", "dc": key.datacenter},
            may_be_missing=True,
        ),
        decode=responses.clusters,
        proof=proofs.of_known_datacenter,
        nothing=Clusters(0, ()),
    ),
}
