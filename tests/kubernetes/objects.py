"""Objects of the Kubernetes API for tests: recorded ones, and short ways to write others."""

import json
from pathlib import Path
from typing import Any

from tests.kubernetes.api_server import ApiServer, Object

RECORDINGS = Path(__file__).parent / "recordings"


def recording(name: str) -> list[dict[str, Any]]:
    """The exchanges of a recording."""
    exchanges: list[dict[str, Any]] = json.loads((RECORDINGS / f"{name}.json").read_text())
    return exchanges


def recorded_objects(name: str) -> list[Object]:
    """The objects of a recorded list, all its pages together."""
    return [item for each in recording(name) for item in each["response"]["body"]["items"]]


def load_recordings(server: ApiServer) -> None:
    """The recorded cluster: the services of the proof of concept, and a few more."""
    for resource, name in (
        ("services", "list-services-paged"),
        ("endpointslices", "list-endpointslices"),
        ("nodes", "list-nodes"),
        ("pods", "list-pods"),
    ):
        for object_ in recorded_objects(name):
            server.put(resource, object_)


def service(
    name: str,
    ip: str | list[str] = "",
    *,
    namespace: str = "default",
    ports: list[Object] | None = None,
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    created: str = "2026-01-01T00:00:00Z",
    uid: str = "",
    status: Object | None = None,
    **spec: Any,
) -> Object:
    """A Service; `ip` is its cluster IP (several for both families), or None for headless."""
    ips = [ip] if isinstance(ip, str) else ip
    metadata: Object = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"uid-{namespace}-{name}",
        "creationTimestamp": created,
    }
    if annotations:
        metadata["annotations"] = annotations
    if labels:
        metadata["labels"] = labels
    addresses = {"clusterIP": ips[0], "clusterIPs": ips} if ips[0] else {}
    return {
        "metadata": metadata,
        "spec": {
            "type": "ClusterIP",
            "ports": [{"port": 80, "protocol": "TCP"}] if ports is None else ports,
            **addresses,
            **spec,
        },
        "status": status or {"loadBalancer": {}},
    }


def endpoint(
    *addresses: str,
    ready: bool | None = True,
    serving: bool | None = None,
    terminating: bool | None = None,
    pod: str = "",
    hostname: str = "",
    node: str = "",
    namespace: str = "default",
) -> Object:
    """An endpoint of a slice; with `pod` it stands for one."""
    conditions = {"ready": ready, "serving": serving, "terminating": terminating}
    each: Object = {
        "addresses": list(addresses),
        "conditions": {name: value for name, value in conditions.items() if value is not None},
    }
    if pod:
        each["targetRef"] = {"kind": "Pod", "namespace": namespace, "name": pod}
    if hostname:
        each["hostname"] = hostname
    if node:
        each["nodeName"] = node
    return each


def slice_(
    service_name: str,
    *endpoints: Object,
    name: str = "",
    namespace: str = "default",
    ports: list[Object] | None = None,
    family: str = "IPv4",
    managed: bool = True,
) -> Object:
    """An EndpointSlice of a service."""
    labels = {"kubernetes.io/service-name": service_name}
    if managed:
        labels["endpointslice.kubernetes.io/managed-by"] = "endpointslice-controller.k8s.io"
    return {
        "metadata": {
            "name": name or f"{service_name}-1",
            "namespace": namespace,
            "uid": f"uid-{namespace}-{name or service_name}",
            "labels": labels,
        },
        "addressType": family,
        "endpoints": list(endpoints),
        "ports": [{"name": "", "protocol": "TCP", "port": 80}] if ports is None else ports,
    }


def ingress(
    name: str,
    *rules: Object,
    namespace: str = "default",
    secure: tuple[str, ...] = (),
    addresses: tuple[Object, ...] = (),
) -> Object:
    """An Ingress; `secure` are the hosts under TLS, `addresses` those of its load balancer."""
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{namespace}-{name}"},
        "spec": {"rules": list(rules), "tls": [{"hosts": [host]} for host in secure]},
        "status": {"loadBalancer": {"ingress": list(addresses)}},
    }


def rule(host: str, service_name: str, *, path: str = "/") -> Object:
    """A rule of an Ingress: a path of a host leads to a service."""
    backend = {"service": {"name": service_name, "port": {"number": 80}}}
    # Only of this type may a path be empty.
    paths = [{"path": path, "pathType": "ImplementationSpecific", "backend": backend}]
    return {**({"host": host} if host else {}), "http": {"paths": paths}}


def node(name: str, internal: str, external: str = "", *, ready: bool = True) -> Object:
    """A Node."""
    addresses = [{"type": "InternalIP", "address": internal}]
    if external:
        addresses.append({"type": "ExternalIP", "address": external})
    return {
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "status": {
            "addresses": addresses,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }
