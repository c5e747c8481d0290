"""Where each view comes from: the request of a key, and how its reply becomes the view."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from consuldns import descriptor
from consuldns.consul import translate, types
from consuldns.consul.blocking import Request
from consuldns.views import keys
from consuldns.views.keys import ViewKey
from consuldns.views.model import AnyView

Decode = Callable[[int, bytes], tuple[AnyView, int]]


@dataclass(frozen=True, slots=True)
class Source:
    """A request, and what makes a view of its reply's index and body, counting bad records."""

    request: Request
    decode: Decode


def service_list(datacenter: str) -> Source:
    """All services with their tags."""

    def decode(index: int, body: bytes) -> tuple[AnyView, int]:
        tags, skipped = types.decode_service_tags(body)
        return translate.services(index, tags), skipped

    return Source(Request(("v1", "catalog", "services"), _of(datacenter)), decode)


def node_list(datacenter: str) -> Source:
    """All nodes."""

    def decode(index: int, body: bytes) -> tuple[AnyView, int]:
        records, skipped = types.NODES.decode(body)
        return translate.nodes(index, records), skipped

    return Source(Request(("v1", "catalog", "nodes"), _of(datacenter)), decode)


def service_instances(datacenter: str, service: str) -> Source:
    """The instances of a service. `service` must be known to exist: it becomes part of a URL."""

    def decode(index: int, body: bytes) -> tuple[AnyView, int]:
        records, skipped = types.HEALTH_ENTRIES.decode(body)
        return translate.instances(index, records), skipped

    return Source(Request(("v1", "health", "service", service), _of(datacenter)), decode)


def reverse_zone_list(datacenter: str) -> Source:
    """The reverse zones in the KV tree: one request lists the root's folders.

    It wakes on every change anywhere in the tree, of values as well (measured on 1.8.7).
    """

    def decode(index: int, body: bytes) -> tuple[AnyView, int]:
        found = types.decode_texts(body) if body else []
        return translate.reverse_zones(index, found), 0

    query = {"keys": "", "separator": "/", **_of(datacenter)}
    return Source(Request(("v1", "kv", ""), query, may_be_missing=True), decode)


def cluster_list(datacenter: str) -> Source:
    """The Kubernetes clusters with all their services, in one request: see ADR 6."""

    def decode(index: int, body: bytes) -> tuple[AnyView, int]:
        records, skipped = types.KEY_VALUES.decode(body) if body else ([], 0)
        view, senseless = translate.clusters(index, records)
        return view, skipped + senseless

    path = ("v1", "kv", *descriptor.ROOT.split("/"))
    return Source(Request(path, {"recurse": "", **_of(datacenter)}, may_be_missing=True), decode)


def reverse_zone(datacenter: str, folder: str) -> Source:
    """A reverse zone. `folder` must be known to exist."""

    def decode(index: int, body: bytes) -> tuple[AnyView, int]:
        records, skipped = types.KEY_VALUES.decode(body) if body else ([], 0)
        return translate.reverse_entries(index, folder, records), skipped

    query = {"recurse": "", **_of(datacenter)}
    return Source(Request(("v1", "kv", folder, ""), query, may_be_missing=True), decode)


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


def _of(datacenter: str) -> Mapping[str, str]:
    return {"dc": datacenter}
