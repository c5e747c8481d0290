"""Settings of `[sync]` that have no effect as they are: with one another, or in this cluster.

Each is valid by itself, so nothing is refused; but the operator expects it to do something.
"""

import re
from collections.abc import Collection, Iterable, Iterator

from consuldns.config.sync import SyncSettings
from consuldns.sync.desired import annotations
from consuldns.sync.desired.addresses import listed, shown
from consuldns.sync.kubernetes.objects import Service

_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")  # of one label, RFC 1123 section 2.1
_IN_CATALOG = ("endpoints", "both")


def settings(
    sync: SyncSettings, services: Iterable[Service], namespaces: Collection[str]
) -> tuple[str, ...]:
    """What has no effect, in words. `namespaces` are those of the cluster, none: not known."""
    known = list(services)
    found = [*_of_scope(sync, namespaces), *_of_types(sync), *_of_reverse(sync, known)]
    if sync.label_selector and not known and not found:
        found.append("nothing is synced, because no service matches label_selector")
    if sync.prefix and not _PREFIX.fullmatch(sync.prefix):
        found.append(f"prefix {shown(sync.prefix)} makes flat names that are not host names")
    if sync.context and sync.kube_api:
        found.append("context has no effect, because kube_api is set")
    return tuple(found)


def _of_scope(sync: SyncSettings, namespaces: Collection[str]) -> Iterator[str]:
    allowed, denied = set(sync.allow_namespaces), set(sync.deny_namespaces)
    if "*" in denied:
        yield "nothing is synced, because deny_namespaces has *"
    elif not allowed:
        yield "nothing is synced, because allow_namespaces is empty"
    elif allowed <= denied:
        yield "nothing is synced, because deny_namespaces has all of allow_namespaces"
    elif both := allowed & denied:
        yield f"allow_namespaces: {listed(both)} has no effect, because deny_namespaces has it, too"
    if "*" in allowed and len(allowed) > 1:
        yield f"allow_namespaces: {listed(allowed - {'*'})} has no effect beside *"
    for name, given in (("allow_namespaces", allowed), ("deny_namespaces", denied)):
        unknown = given - {"*"} - set(namespaces)
        if namespaces and unknown:
            yield f"{name}: the cluster has no namespace {listed(unknown)}"
    if not sync.types:
        yield "nothing is synced, because types is empty"


def _of_types(sync: SyncSettings) -> Iterator[str]:
    missing = (
        ("ClusterIP", "ingress", sync.ingress != "off"),
        ("NodePort", "node_port_addresses", sync.node_port_addresses != "external-first"),
        ("LoadBalancer", "load_balancer_endpoints", sync.load_balancer_endpoints),
        ("LoadBalancer", 'reverse = "load-balancer"', "load-balancer" in sync.reverse),
    )
    for type_, name, is_set in missing:
        if is_set and sync.types and type_ not in sync.types:
            yield f"{name} has no effect, because types does not include {type_}"
    if sync.load_balancer_endpoints and "load-balancer" in sync.reverse:
        yield 'reverse = "load-balancer" has no effect, because of load_balancer_endpoints'


def _of_reverse(sync: SyncSettings, services: Iterable[Service]) -> Iterator[str]:
    of_endpoints = "headless" in sync.reverse or "endpoints" in sync.reverse
    if "manual" in sync.reverse and not of_endpoints:
        yield 'reverse = "manual" has no effect without "headless" or "endpoints"'
    if sync.reverse_verify_pods and not of_endpoints:
        yield 'reverse_verify_pods has no effect, because reverse has no "headless" or "endpoints"'
    if sync.reverse_target != "flat" and not sync.reverse:
        yield "reverse_target has no effect, because reverse is empty"
    if "endpoints" in sync.reverse and not _has_endpoints(sync, services):
        yield (
            f'reverse = "endpoints" has no effect: mode is {sync.mode}, and no service has an '
            "annotation service-mode that says endpoints or both"
        )


def _has_endpoints(sync: SyncSettings, services: Iterable[Service]) -> bool:
    if sync.mode in _IN_CATALOG or sync.load_balancer_endpoints:
        return True
    overrides = (annotations.read(each.metadata.annotations) for each in services)
    return any(each.mode in _IN_CATALOG for each in overrides)
