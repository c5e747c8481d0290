"""Where each view comes from: the request of a key, and how its reply becomes the view."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from consuldns import descriptor
from consuldns.consul import decoders
from consuldns.consul.http import replies, unread
from consuldns.consul.http.blocking import Request
from consuldns.consul.http.client import Reply
from consuldns.consul.http.unread import UnreadRecord
from consuldns.untrusted import Unread
from consuldns.views import keys
from consuldns.views.keys import ViewKey
from consuldns.views.model import AnyView

Decoded = tuple[AnyView, Sequence[UnreadRecord]]
"""A view, and the records that are missing in it because they cannot be read."""


@dataclass(frozen=True, slots=True)
class Source:
    """A request, and what makes a view of its reply's index and body; `name` is for people."""

    name: str
    request: Request
    decode: Callable[[int, bytes], Decoded]

    def view_of(self, reply: Reply) -> Decoded:
        """The view. Raises BadResponse if not even a part of it can be read."""
        return self.decode(reply.index, reply.body)


def service_list(datacenter: str) -> Source:
    """All services with their tags."""

    def decode(index: int, body: bytes) -> Decoded:
        tags, bad = replies.decode_service_tags(body)
        return decoders.services(index, tags), [unread.service_record(each) for each in bad]

    request = Request(("v1", "catalog", "services"), _of(datacenter))
    return Source(f"list of services of {datacenter}", request, decode)


def node_list(datacenter: str) -> Source:
    """All nodes."""

    def decode(index: int, body: bytes) -> Decoded:
        records, bad = replies.decode_records(body, replies.NODES)
        return decoders.nodes(index, records), [unread.node_record(each) for each in bad]

    request = Request(("v1", "catalog", "nodes"), _of(datacenter))
    return Source(f"list of nodes of {datacenter}", request, decode)


def service_instances(datacenter: str, service: str) -> Source:
    """The instances of a service. `service` must be known to exist: it becomes part of a URL."""

    def decode(index: int, body: bytes) -> Decoded:
        records, bad = replies.decode_records(body, replies.HEALTH_ENTRIES)
        return decoders.instances(index, records), [unread.instance_record(each) for each in bad]

    request = Request(("v1", "health", "service", service), _of(datacenter))
    return Source(f"instances of {service!r} in {datacenter}", request, decode)


def reverse_zone_list(datacenter: str) -> Source:
    """The reverse zones in the KV tree: one request lists the root's folders.

    It wakes on every change anywhere in the tree, of values as well (measured on 1.8.7).
    """

    def decode(index: int, body: bytes) -> Decoded:
        return decoders.reverse_zones(index, replies.decode_list(body, str) if body else []), ()

    query = {"keys": "", "separator": "/", **_of(datacenter)}
    request = Request(("v1", "kv", ""), query, may_be_missing=True)
    return Source("reverse zones in the KV tree", request, decode)


def cluster_list(datacenter: str) -> Source:
    """The Kubernetes clusters with all their services, in one request: see ADR 6."""

    def decode(index: int, body: bytes) -> Decoded:
        return decoders.clusters(index, *_key_values(body))

    path = ("v1", "kv", *descriptor.ROOT.split("/"))
    request = Request(path, {"recurse": "", **_of(datacenter)}, may_be_missing=True)
    return Source(f"Kubernetes clusters in the KV tree of {datacenter}", request, decode)


def reverse_zone(datacenter: str, folder: str) -> Source:
    """A reverse zone. `folder` must be known to exist."""

    def decode(index: int, body: bytes) -> Decoded:
        return decoders.reverse_entries(index, folder, *_key_values(body))

    request = Request(("v1", "kv", folder, ""), {"recurse": "", **_of(datacenter)}, True)
    return Source(f"reverse zone {folder!r} in the KV tree", request, decode)


def failing_checks(datacenter: str) -> Request:
    """All checks that are not passing: what changes in it tells of every change of a status.

    Filtered in the server, since 100,000 passing checks are 40 MB.
    """
    query = {"filter": 'Status != "passing"', **_of(datacenter)}
    return Request(("v1", "health", "state", "any"), query)


def source_of(key: ViewKey, local: str, name: str = "") -> Source:
    """The source of a view that is read when needed; `name` is Consul's spelling of a service."""
    match key:
        case keys.ServiceList(datacenter):
            return service_list(datacenter)
        case keys.NodeList(datacenter):
            return node_list(datacenter)
        case keys.ClusterList(datacenter):
            return cluster_list(datacenter)
        case keys.ServiceInstances(datacenter):
            return service_instances(datacenter, name)
        case keys.ReverseZone(folder):
            return reverse_zone(local, folder)
    raise AssertionError(f"{key} is not read by itself")


def _key_values(body: bytes) -> tuple[list[replies.KeyValue], list[Unread]]:
    """Keys with their values. No body is how a 404 comes here."""
    if not body:
        return [], []
    return replies.decode_records(body, replies.KEY_VALUES)


def _of(datacenter: str) -> Mapping[str, str]:
    return {"dc": datacenter}
