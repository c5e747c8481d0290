"""From Consul's records to views. Pure and total: a record that makes no sense is left out."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeVar

from msgspec.structs import replace

from consuldns import descriptor, durations, names, reverse_layout, untrusted
from consuldns.consul.http import replies, unread
from consuldns.consul.http.unread import UnreadRecord
from consuldns.descriptor import (
    CLUSTER_DOMAIN,
    ClusterRecord,
    DescribedEndpoints,
    Descriptor,
    DescriptorKey,
    EndpointsKey,
    RecordKey,
)
from consuldns.names import MAX_LABEL, MAX_PORT, MAX_TTL, MAX_WEIGHT, Labels, parse_address
from consuldns.untrusted import MAX_UINT64, Unread, Unreadable
from consuldns.views import model, reverse_names
from consuldns.views.clusters import Cluster, Clusters, EndpointGroup, Port, Service
from consuldns.views.model import Health
from consuldns.views.zone_records import ZoneName, ZoneNames, ZoneRecords
from consuldns.zone_documents import document, layout
from consuldns.zone_documents.document import DocumentError

_HOST_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")
MAX_CHECK_TEXT = 100  # characters
# Of a zone that is read again, only what changed is parsed: that takes 60 us, a look-up under 1.
MAX_DOCUMENTS = 200_000
MAX_FAILING = 5  # checks of an instance that are named


def services(index: int, tags: Mapping[str, Iterable[str]]) -> model.Services:
    """The names of all services, and every tag that any of them has."""
    return model.Services(
        index=index,
        names=tuple(sorted(tags)),
        tags=tuple(sorted({tag for each in tags.values() for tag in each})),
    )


def nodes(index: int, records: Iterable[replies.Node]) -> model.Nodes:
    """All nodes, in Consul's order."""
    return model.Nodes(index=index, nodes=tuple(node(record) for record in records))


def node(record: replies.Node) -> model.Node:
    """A node."""
    return model.Node(
        name=record.name,
        id=record.id,
        address=record.address,
        datacenter=record.datacenter,
        tagged_addresses=record.tagged_addresses or {},
        meta=record.meta or {},
    )


def instances(index: int, records: Iterable[replies.HealthEntry]) -> model.Instances:
    """The instances of a service, in Consul's order (node, then id)."""
    return model.Instances(index=index, instances=tuple(_instance(record) for record in records))


def _instance(record: replies.HealthEntry) -> model.Instance:
    service = record.service
    weights, ports = service.weights or replies.Weights(), service.ports or ()
    return model.Instance(
        node=node(record.node),
        id=service.id,
        service=service.name,
        address=service.address,
        port=service.port or next((each.port for each in ports if each.default), 0),
        tags=service.tags or (),
        meta=service.meta or {},
        tagged_addresses=_tagged_addresses(service),
        weight_passing=_weight(weights.passing),
        weight_warning=_weight(weights.warning),
        health=health(check.status for check in record.checks or ()),
        failing=failing(record.node.name, record.checks or ()),
        ports={each.name: each.port for each in ports},
    )


def query_result(
    executed: replies.ExecutedQuery, records: Iterable[replies.HealthEntry]
) -> model.QueryResult:
    """The result of a prepared query. Its server has filtered the instances, and ordered them."""
    return model.QueryResult(
        index=0,
        instances=tuple(_instance(record) for record in records),
        service=executed.service,
        datacenter=executed.datacenter,
        ttl=_seconds(executed.dns.ttl),
    )


def _seconds(text: str) -> int | None:
    """A TTL in whole seconds, None if the query sets none, or one that makes no sense."""
    try:
        seconds = int(durations.parse_duration(text))
    except ValueError:
        return None
    return seconds if 0 < seconds <= MAX_TTL else None


def failing(node: str, checks: Iterable[replies.Check]) -> tuple[str, ...]:
    """The checks that do not pass, "node/check: status" each, for `query --explain`."""
    bad = [check for check in checks if check.status != "passing"]
    return tuple(
        f"{node}/{str(check.name)[:MAX_CHECK_TEXT]}: {check.status[:MAX_CHECK_TEXT]}"
        for check in bad[:MAX_FAILING]
    )


def _tagged_addresses(service: replies.Service) -> dict[str, model.ServiceAddress]:
    """The tagged addresses, none if all say what the address says: agents add such by themselves.

    Not one by one: a tag for IPv6 counts against one for IPv4 even if it repeats the address.
    """
    tagged = service.tagged_addresses or {}
    own = (service.address, service.port)
    if all((each.address, each.port) == own for each in tagged.values()):
        return {}
    return {tag: model.ServiceAddress(each.address, each.port) for tag, each in tagged.items()}


def _weight(weight: int) -> int:
    # Consul itself takes 0 and 70000 for 1 when an instance is registered (measured on 1.8.7).
    return weight if 1 <= weight <= MAX_WEIGHT else 1


def health(statuses: Iterable[str]) -> Health:
    """The worst of the checks of an instance and of its node; see model.Health."""
    found = set(statuses)
    if "critical" in found:
        return Health.CRITICAL
    if found - {"passing", "warning"}:
        return Health.UNKNOWN
    return Health.WARNING if "warning" in found else Health.PASSING


def reverse_zones(index: int, keys: Iterable[str]) -> reverse_names.ReverseZones:
    """The folders at the root of the KV tree that are named like reverse zones."""
    folders = (key[:-1] for key in keys if key.endswith("/"))
    return reverse_names.ReverseZones(
        index=index,
        folders=tuple(sorted(name for name in folders if reverse_layout.folder_name(name))),
    )


def clusters(
    index: int, records: Iterable[replies.KeyValue], unreadable: Iterable[Unread] = ()
) -> tuple[Clusters, list[UnreadRecord]]:
    """The Kubernetes clusters of the keys below `descriptor.ROOT`, and the keys that are bad.

    Keys that are named like none of ours are not looked at. `unreadable`: see `unread.keys`.
    """
    namespaces: dict[str, set[str]] = {}
    domains: dict[str, str] = {}
    services: dict[str, list[Service]] = {}
    endpoints: dict[tuple[str, str, str], list[EndpointGroup]] = {}
    bad = unread.keys(unreadable, _listed)
    for record in records:
        key = descriptor.parse_path(record.key)
        try:
            match key:
                case RecordKey(cluster):
                    found = _decode(record, ClusterRecord)
                    namespaces[cluster] = set(filter(_is_label, found.namespaces))
                    domains[cluster] = found.domain
                case DescriptorKey(cluster, namespace, name):
                    service = _service(cluster, namespace, name, _decode(record, Descriptor))
                    services.setdefault(cluster, []).append(service)
                case EndpointsKey(cluster, namespace, name):
                    groups = _endpoint_groups(_decode(record, DescribedEndpoints))
                    endpoints.setdefault((cluster, namespace, name), []).extend(groups)
        except (Unreadable, ValueError) as error:
            bad.append(unread.key_named(record.key, error, _listed(record.key) or ""))
    found_clusters = tuple(
        Cluster(
            name,
            tuple(sorted(namespaces.get(name, ()))),
            tuple(
                replace(each, endpoints=tuple(found)) if found is not None else each
                for each in services.get(name, ())
                for found in (endpoints.get((name, each.namespace, each.name)),)
            ),
            is_complete=name in namespaces,
            domain=domains.get(name, CLUSTER_DOMAIN),
        )
        for name in sorted(namespaces.keys() | services.keys())
    )
    return Clusters(index, found_clusters), bad


def _listed(path: str) -> str | None:
    """What `names_listed` has for a key's service, or its cluster; None: not ours."""
    match descriptor.parse_path(path):
        case DescriptorKey(cluster, namespace, name) | EndpointsKey(cluster, namespace, name):
            return f"{cluster}/{namespace}/{name}"
        case RecordKey(cluster):
            return f"{cluster}/"
    return None


Document = TypeVar("Document", ClusterRecord, Descriptor, DescribedEndpoints)


def _decode(record: replies.KeyValue, kind: type[Document]) -> Document:
    """The JSON document in a key. Raises Unreadable, or ValueError for its version."""
    document = untrusted.read_as(record.value or b"", kind)
    if document.v != 1:
        raise ValueError(f"it has version {document.v}")
    return document


def _service(cluster: str, namespace: str, name: str, described: Descriptor) -> Service:
    if not (_is_label(namespace) and _is_label(name)):
        raise ValueError("its namespace or name is not a DNS label")
    return Service(
        cluster=cluster,
        namespace=namespace,
        name=name,
        flat=described.flat,
        mode=described.mode,
        is_headless=described.headless,
        cluster_ips=described.cluster_ips,
        ports=tuple(
            Port(port.name, port.protocol, port.port)
            for port in described.ports
            if 0 <= port.port <= MAX_PORT
        ),
        external_name=described.external_name,
        reverse=described.reverse,
    )


def _endpoint_groups(described: DescribedEndpoints) -> list[EndpointGroup]:
    """The endpoints whose labels make sense: the KV tree is open to others.

    Addresses are looked at when one is asked for: of 10,000 that would take 80 ms, at each change.
    """
    return [
        EndpointGroup(
            tuple(Port(*port) for port in group.ports if 0 <= port[2] <= MAX_PORT),
            tuple(
                (address, label)
                for address, label in group.endpoints
                if not label or _is_label(label)
            ),
        )
        for group in described.groups
    ]


def _is_label(text: str) -> bool:
    return "." not in text and 0 < len(text.encode()) <= MAX_LABEL


def reverse_entries(
    index: int,
    folder: str,
    records: Iterable[replies.KeyValue],
    unreadable: Iterable[Unread] = (),
) -> tuple[reverse_names.ReverseEntries, list[UnreadRecord]]:
    """The reverse names in a folder: `<folder>/<address>`, one target a line; and the bad keys.

    Keys that name no address are not looked at. `unreadable`: see `unread.keys`.
    """

    def listed(key: str) -> str | None:
        address = key.removeprefix(folder + "/")
        return address if parse_address(address) is not None else None

    entries: list[reverse_names.ReverseEntry] = []
    bad = unread.keys(unreadable, listed)
    for record in records:
        address = listed(record.key)
        if address is None:
            continue
        try:
            targets, wrong = _targets(record)
            entry = reverse_names.ReverseEntry(address, targets, _flags(record))
        except (Unreadable, ValueError) as error:
            bad.append(unread.key_named(record.key, error, address))
        else:
            entries += [entry] if targets or wrong else []
            if wrong:
                reason = f"its value is not a host name: {wrong[0][:MAX_CHECK_TEXT]!r}"
                bad.append(unread.key_named(record.key, reason, address))
    return reverse_names.ReverseEntries(index=index, entries=tuple(entries)), bad


def _targets(record: replies.KeyValue) -> tuple[tuple[str, ...], list[str]]:
    """The host names in the value, one a line, and the lines that are none."""
    lines = [line.strip().removesuffix(".") for line in (record.value or b"").decode().splitlines()]
    wrong = [line for line in lines if line and not _HOST_NAME.fullmatch(line)]
    return tuple(line for line in lines if line and line not in wrong), wrong


def _flags(record: replies.KeyValue) -> int:
    if not 0 <= record.flags <= MAX_UINT64:
        raise ValueError("its flags are not a number of 64 bits")
    return record.flags


def zone_names(index: int, folders: Iterable[str]) -> tuple[ZoneNames, list[UnreadRecord]]:
    """The zones that people keep in the KV tree, by their folders; and the bad ones."""
    zones: list[str] = []
    bad: list[UnreadRecord] = []
    for folder in folders:
        split = layout.split(folder)
        if split is None:
            continue
        name, _ = split
        try:
            layout.zone_of(name)
        except ValueError as error:
            bad.append(unread.key_named(folder, error, name))
        else:
            zones.append(name)
    return ZoneNames(index, tuple(sorted(zones))), bad


def zone_records(
    index: int,
    folder: str,
    records: Iterable[replies.KeyValue],
    unreadable: Iterable[Unread] = (),
) -> tuple[ZoneRecords, list[UnreadRecord]]:
    """The names of a zone; and the keys whose documents cannot be used.

    Keys without a value, such as folders, are not looked at.
    """
    prefix, zone = f"{layout.ROOT}/{folder}/", layout.zone_of(folder)

    def listed(key: str) -> str | None:
        if not key.startswith(prefix) or key.endswith("/"):
            return None
        try:
            return names.format_name(names.fold(layout.labels_of(key.removeprefix(prefix), zone)))
        except ValueError:
            return key  # the name of nothing

    found: dict[Labels, ZoneName] = {}
    bad = unread.keys(unreadable, listed)
    for record in records:
        if not record.value or not record.key.startswith(prefix) or record.key.endswith("/"):
            continue
        try:
            folded, name = _zone_name(record.key[len(prefix) :], record.value, zone)
            if found.setdefault(folded, name) is not name:
                raise ValueError("another key has the same name")
        except (ValueError, DocumentError) as error:
            bad.append(unread.key_named(record.key, error, listed(record.key) or record.key))
    return ZoneRecords.of(index, found), bad


@lru_cache(maxsize=MAX_DOCUMENTS)
def _zone_name(path: str, content: bytes, zone: Labels) -> tuple[Labels, ZoneName]:
    labels = layout.labels_of(path, zone)
    return names.fold(labels), document.read(content, labels, zone)
