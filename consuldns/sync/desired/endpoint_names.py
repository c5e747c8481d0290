"""The endpoints that have names although they are not in the catalog, as keys of the KV tree.

The catalog has the endpoints of headless services, and of those in mode `endpoints` or `both`; what
there is to know of their names is in the metadata there. Those of other services are described
under `consuldns/k8s/<cluster>/ep/<namespace>/<service>`, if the setting `endpoint_names` is on: one
key, which is rewritten when an endpoint becomes ready or ceases to be. See ADR 16.

A value of the KV tree has at most 512 KiB, and all of it goes through Raft when a part changes. So
a large service has several keys, and an address belongs to the same one whatever others do.
"""

from collections.abc import Iterable
from zlib import crc32

import msgspec

from consuldns.config.sync import SyncSettings
from consuldns.consul.operations import Key
from consuldns.descriptor import DescribedEndpointGroup, DescribedEndpoints, Port
from consuldns.sync.desired import endpoints
from consuldns.sync.desired.endpoints import JoinedEndpoint
from consuldns.sync.desired.registrations import ServiceContext
from consuldns.sync.ownership import Identity

PART = 500  # endpoints in a key at most, on average: 10 KB, 55 with IPv6 and the longest names


def are_in_catalog(context: ServiceContext) -> bool:
    """Whether the endpoints are instances."""
    return bool(context.flat) and context.mode in ("endpoints", "both")


def have_names(context: ServiceContext, settings: SyncSettings) -> bool:
    """Whether each ready endpoint has a name below that of the service."""
    return are_described(context, settings) or are_in_catalog(context)


def are_described(context: ServiceContext, settings: SyncSettings) -> bool:
    """Whether the endpoints are in the KV tree: those that the catalog does not have.

    An ExternalName is an alias, and has nothing below it.
    """
    is_external = context.service.is_external_name
    return settings.endpoint_names and not (is_external or are_in_catalog(context))


def keys(context: ServiceContext, settings: SyncSettings, identity: Identity) -> tuple[Key, ...]:
    """The keys that describe the ready endpoints; none if the catalog has them.

    In the order of writing. When a service grows into more keys, those that are new come first, so
    that no endpoint is ever in none of them.
    """
    if not are_described(context, settings):
        return ()
    worst = endpoints.served(context.endpoints, serve_terminating=settings.serve_terminating)
    ready = [endpoint for endpoint in context.endpoints if endpoint.state <= worst]
    parts: list[list[JoinedEndpoint]] = [[] for _ in range(count_of_parts(len(ready)))]
    for endpoint in ready:
        parts[crc32(endpoint.address.encode()) % len(parts)].append(endpoint)
    paths = (identity.endpoints_key(*context.service.key, part) for part in range(len(parts)))
    found = [
        Key(path, document(part, settings), identity.flags)
        for path, part in zip(paths, parts, strict=True)
    ]
    return tuple(reversed(found))


def count_of_parts(ready: int) -> int:
    """How many keys so many endpoints are spread over: a power of two.

    When it doubles, each key gives half of its endpoints to one new key, and no other moves.
    """
    parts = 1
    while ready > PART * parts:
        parts *= 2
    return parts


def document(part: Iterable[JoinedEndpoint], settings: SyncSettings) -> bytes:
    """The value of a key: equal for equal endpoints, in whichever slices they are."""
    groups: dict[tuple[Port, ...], set[tuple[str, str]]] = {}
    for endpoint in part:
        label = endpoints.label_by_name(endpoint, pod_names=settings.pod_names)
        groups.setdefault(endpoint.ports, set()).add((endpoint.address, label))
    described = (
        DescribedEndpointGroup(ports, tuple(sorted(groups[ports]))) for ports in sorted(groups)
    )
    return msgspec.json.encode(DescribedEndpoints(tuple(described)))
