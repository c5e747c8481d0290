"""Answers names of the service mesh: `<service>.connect`, `<service>.ingress`.

What accepts connections for a service is registered under other names (`web-sidecar-proxy`), so the
service itself need not be known to Consul.
"""

from collections.abc import Callable

from msgspec.structs import replace

from consuldns.dns.consul.instances import answer
from consuldns.dns.finder import Finding, Reason, Request, Why, missing
from consuldns.dns.grammar.meanings import ConnectName, IngressName
from consuldns.names import text_of
from consuldns.views.keys import is_guessable
from consuldns.views.model import Instances


def find_connect(name: ConnectName, request: Request) -> Finding:
    """The healthy proxies, native instances and terminating gateways of a service."""
    read = request.views.connect_instances
    return _find(name.service, name.datacenter, read, Reason.NO_CONNECT, request)


def find_ingress(name: IngressName, request: Request) -> Finding:
    """The healthy ingress gateways that expose a service."""
    read = request.views.ingress_instances
    return _find(name.service, name.datacenter, read, Reason.NO_INGRESS, request)


def _find(
    label: bytes,
    datacenter_label: bytes | None,
    read: Callable[[str, str], Instances],
    reason: Reason,
    request: Request,
) -> Finding:
    datacenter, service = request.datacenter(datacenter_label), text_of(label)
    if datacenter is None:
        return request.no_datacenter(datacenter_label)
    is_listed = request.views.listed_service(datacenter, label) is not None
    if service is None or not (is_listed or is_guessable(service)):
        return missing(reason, label=label)
    every = request.reachable(read(datacenter, service), datacenter)
    healthy = request.healthy(every)
    if not every.instances:
        return missing(reason, label=label)
    if not healthy:
        return missing(Reason.NOT_HEALTHY, every.instances)
    finding = answer(healthy, datacenter, request.policy.ttl_of_service(label), request)
    if len(healthy) < len(every.instances):
        return replace(finding, why=(Why(Reason.SOME_UNHEALTHY, (every.instances, healthy)),))
    return finding
