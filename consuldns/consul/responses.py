"""From the body of a response to a view, and the records that are missing in it.

No body is how a 404 comes here: the KV store says "nothing" so. What cannot be read at all raises
BadResponse.
"""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from consuldns.consul import decoders
from consuldns.consul.http import replies, unread
from consuldns.consul.http.unread import UnreadRecord
from consuldns.errors import BadResponse
from consuldns.untrusted import Unread
from consuldns.views import keys, model, reverse_names
from consuldns.views.clusters import Clusters
from consuldns.views.model import AnyView
from consuldns.views.zone_records import ZoneNames, ZoneRecords

V = TypeVar("V", bound=AnyView)

Decoded = tuple[V, Sequence[UnreadRecord]]
"""A view, and the records that are missing in it because they cannot be read."""

NO_QUERY = model.QueryResult(0, (), exists=False)


def datacenters(_: object, index: int, body: bytes) -> Decoded[model.Datacenters]:
    """All datacenters that Consul knows."""
    names = replies.decode_list(body, str)
    if not names:
        raise BadResponse("an empty list of datacenters, which Consul never has")
    return model.Datacenters(index, "", tuple(names)), ()


def services(_: object, index: int, body: bytes) -> Decoded[model.Services]:
    """Names and tags of all services."""
    tags, bad = replies.decode_service_tags(body)
    return decoders.services(index, tags), list(map(unread.service_record, bad))


def nodes(_: object, index: int, body: bytes) -> Decoded[model.Nodes]:
    """All nodes."""
    records, bad = replies.decode_records(body, replies.NODES)
    return decoders.nodes(index, records), list(map(unread.node_record, bad))


def peer_nodes(_: object, index: int, body: bytes) -> Decoded[model.PeerNodes]:
    """The nodes of a peer."""
    view, bad = nodes(_, index, body)
    return model.PeerNodes(index, view.nodes), bad


def partition_node(_: object, index: int, body: bytes) -> Decoded[model.PeerNodes]:
    """The reply has the node beside its services, or is null."""
    found = replies.decode_optional(body, dict[str, msgspec.Raw])
    return peer_nodes(_, index, b"[" + bytes(found["Node"]) + b"]" if found else b"[]")


def instances_of(key: keys.ServiceInstances, index: int, body: bytes) -> Decoded[model.Instances]:
    """The instances of a service. Raises BadResponse if any is of another service.

    Consul never answers so; a proxy that mixes up responses does.
    """
    view, bad = instances(key, index, body)
    for each in view.instances:
        if each.service.lower() != key.service:
            raise BadResponse(f"an instance of {each.service!r}, which was not asked for")
    return view, bad


def instances(_: object, index: int, body: bytes) -> Decoded[model.Instances]:
    """Instances, of whatever service."""
    records, bad = replies.decode_records(body, replies.HEALTH_ENTRIES)
    return decoders.instances(index, records), list(map(unread.instance_record, bad))


def prepared_queries(_: object, index: int, body: bytes) -> Decoded[model.PreparedQueries]:
    """Names and IDs of the prepared queries."""
    records, bad = replies.decode_records(body, replies.QUERY_DEFINITIONS)
    queries = model.PreparedQueries(
        index,
        names=tuple(sorted(each.name for each in records if each.name)),
        ids=tuple(sorted(each.id for each in records)),
    )
    return queries, list(map(unread.query_record, bad))


def peers(_: object, index: int, body: bytes) -> Decoded[model.Peers]:
    """The names of the peers."""
    records, bad = replies.decode_records(body, replies.PEERINGS)
    return model.Peers(index, tuple(sorted(each.name for each in records))), [
        unread.peer_record(each) for each in bad
    ]


def query_result(_: object, __: int, body: bytes) -> Decoded[model.QueryResult]:
    """What the execution of a prepared query found; no body if there is no such query."""
    if not body:
        return NO_QUERY, ()
    executed = replies.decode(body, replies.ExecutedQuery)
    records, bad = replies.decode_records(bytes(executed.nodes), replies.HEALTH_ENTRIES)
    return decoders.query_result(executed, records), list(map(unread.instance_record, bad))


def reverse_zones(_: object, index: int, body: bytes) -> Decoded[reverse_names.ReverseZones]:
    """The folders of reverse zones among all keys at the root."""
    return decoders.reverse_zones(index, replies.decode_list(body, str) if body else []), ()


def reverse_entries(
    key: keys.ReverseZone, index: int, body: bytes
) -> Decoded[reverse_names.ReverseEntries]:
    """The reverse names in a folder."""
    return decoders.reverse_entries(index, key.folder, *_key_values(body))


def zone_names(_: object, index: int, body: bytes) -> Decoded[ZoneNames]:
    """The folders of zones."""
    return decoders.zone_names(index, replies.decode_list(body, str) if body else [])


def zone_records(key: keys.ZoneContents, index: int, body: bytes) -> Decoded[ZoneRecords]:
    """The records of a zone."""
    return decoders.zone_records(index, key.zone, *_key_values(body))


def clusters(_: object, index: int, body: bytes) -> Decoded[Clusters]:
    """All Kubernetes clusters with their services."""
    return decoders.clusters(index, *_key_values(body))


def _key_values(body: bytes) -> tuple[list[replies.KeyValue], list[Unread]]:
    return replies.decode_records(body, replies.KEY_VALUES) if body else ([], [])
