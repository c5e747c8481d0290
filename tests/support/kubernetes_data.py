"""Kubernetes services as they are in Consul: written out from a few fields each.

    {namespace = "testns", name = "svc1", cluster_ips = ["10.0.0.100"], ports = ["http:TCP:80"]}

Fields, with defaults: `cluster` ("kubernetes"), `flat` (the name), `mode` ("vip", "endpoints" if
headless, "name" if external), `headless` (false), `cluster_ips` ([]), `ports` ([]), `external_name`
(""), `reverse` ("flat"), `endpoints` ([]), `described` (false; true: they are described in the KV
tree). An endpoint is a table of `address`, `hostname` (""), `ready` (true), `pod` ("") and `ports`
(those of the service). `domain` is that of the whole cluster ("cluster.local").
"""

from typing import Any

import msgspec

from consuldns import descriptor
from consuldns.descriptor import (
    ClusterRecord,
    DescribedEndpointGroup,
    DescribedEndpoints,
    DescribedPort,
    Descriptor,
)

Payload = dict[str, Any]

NODE_ADDRESS = "192.0.2.1"


def keys(services: list[Payload], namespaces: list[str]) -> dict[str, str]:
    """Descriptors and cluster records: keys with their values."""
    clusters = {service.get("cluster", "kubernetes") for service in services}
    domains = {s.get("cluster", "kubernetes"): s["domain"] for s in services if "domain" in s}
    found = {
        f"{descriptor.ROOT}{cluster}/meta": _json(
            ClusterRecord(
                cluster_uid=f"uid-{cluster}",
                zone="dc1.consul",
                version="1",
                namespaces=tuple(namespaces),
                domain=domains.get(cluster, descriptor.CLUSTER_DOMAIN),
            )
        )
        for cluster in clusters
    }
    for service in services:
        path = (
            f"{service.get('cluster', 'kubernetes')}/svc/{service['namespace']}/{service['name']}"
        )
        found[descriptor.ROOT + path] = _json(_descriptor(service))
        if service.get("described"):
            path = path.replace("/svc/", "/ep/", 1)
            found[descriptor.ROOT + path] = _json(_described_endpoints(service))
    return found


def registrations(services: list[Payload]) -> list[Payload]:
    """The instances, as bodies of PUT /v1/catalog/register."""
    return [payload for service in services for payload in _registrations(service)]


def _json(document: msgspec.Struct) -> str:
    return msgspec.json.encode(document).decode()


def _descriptor(service: Payload) -> Descriptor:
    external_name = service.get("external_name", "")
    ports = (port.split(":") for port in service.get("ports", []))
    return Descriptor(
        uid=f"uid-{service['name']}",
        type="ExternalName" if external_name else "ClusterIP",
        flat=str(service.get("flat", service["name"])),
        mode=_mode(service),
        headless=service.get("headless", False),
        cluster_ips=tuple(service.get("cluster_ips", ())),
        families=(),
        ports=tuple(DescribedPort(int(number), name, proto) for name, proto, number in ports),
        external_name=external_name,
        publish_not_ready=False,
        reverse=service.get("reverse", descriptor.FLAT),
    )


def _described_endpoints(service: Payload) -> DescribedEndpoints:
    groups: dict[tuple[tuple[str, str, int], ...], list[tuple[str, str]]] = {}
    for endpoint in service.get("endpoints", []):
        if endpoint.get("ready", True):
            texts: list[str] = endpoint.get("ports") or service.get("ports", [])
            split = (text.split(":") for text in texts)
            ports = tuple((name, protocol, int(number)) for name, protocol, number in split)
            place = (endpoint["address"], endpoint.get("hostname", ""))
            groups.setdefault(ports, []).append(place)
    return DescribedEndpoints(tuple(DescribedEndpointGroup(p, tuple(e)) for p, e in groups.items()))


def _mode(service: Payload) -> str:
    default = "endpoints" if service.get("headless") else "vip"
    return str(service.get("mode", "name" if service.get("external_name") else default))


def _registrations(service: Payload) -> list[Payload]:
    endpoints = service.get("endpoints", [])
    if not service.get("flat", service["name"]):
        return []
    mode = _mode(service)
    found = []
    if mode in ("vip", "both"):
        is_up = any(endpoint.get("ready", True) for endpoint in endpoints)
        status = "passing" if is_up else "warning"
        addresses = service.get("cluster_ips", [])
        found += [_registration(service, {"address": each}, status) for each in addresses]
    if mode in ("endpoints", "both"):
        for endpoint in endpoints:
            status = "passing" if endpoint.get("ready", True) else "critical"
            found.append(_registration(service, endpoint, status))
    return found


def _registration(service: Payload, place: Payload, status: str) -> Payload:
    cluster = service.get("cluster", "kubernetes")
    flat = service.get("flat", service["name"])
    ports: list[str] = place.get("ports") or service.get("ports", [])
    meta = {
        descriptor.SOURCE: descriptor.KUBERNETES,
        descriptor.NAMESPACE: service["namespace"],
        descriptor.REFERENCE_KIND: "Service",
        descriptor.REFERENCE_NAME: service["name"],
        descriptor.CLUSTER: cluster,
        descriptor.HOSTNAME: place.get("hostname", ""),
        descriptor.POD: place.get("pod", ""),
        descriptor.PORTS: ",".join(ports),
    }
    id_ = f"{cluster}/{service['namespace']}/{service['name']}/{place['address']}"
    return {
        "Node": f"k8s-{cluster}",
        "Address": NODE_ADDRESS,
        "NodeMeta": {
            descriptor.SOURCE: descriptor.KUBERNETES,
            descriptor.NODE_CLUSTER: cluster,
        },
        "Service": {
            "ID": id_,
            "Service": flat,
            "Address": place["address"],
            "Port": int(ports[0].split(":")[2]) if ports else 0,
            "Meta": {key: value for key, value in meta.items() if value},
        },
        "Checks": [{"CheckID": f"ready/{id_}", "ServiceID": id_, "Status": status}],
    }
