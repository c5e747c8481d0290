"""Answers names of the service mesh: `<service>.connect`, `<service>.ingress`.

What accepts connections for a service is registered under other names (`web-sidecar-proxy`), so the
service itself need not be known to Consul.
"""

from msgspec.structs import replace

from consuldns.dns.consul.instances import answer
from consuldns.dns.finder import Finding, Reason, Request, Why, missing
from consuldns.dns.grammar import ConnectName, IngressName
from consuldns.names import text_of
from consuldns.views.model import Instances


def find_connect(name: ConnectName, request: Request) -> Finding:
    """The healthy proxies, native instances and terminating gateways of a service."""
    datacenter = request.datacenter(name.datacenter)
    if datacenter is None:
        return request.no_datacenter(name.datacenter)
    service = text_of(name.service)
    if service is None:
        return missing(Reason.NO_CONNECT, label=name.service)
    every = request.views.connect_instances(datacenter, service)
    return _find(name.service, every, datacenter, Reason.NO_CONNECT, request)


def find_ingress(name: IngressName, request: Request) -> Finding:
    """The healthy ingress gateways that expose a service."""
    datacenter = request.datacenter(name.datacenter)
    if datacenter is None:
        return request.no_datacenter(name.datacenter)
    service = text_of(name.service)
    if service is None:
        return missing(Reason.NO_INGRESS, label=name.service)
    every = request.views.ingress_instances(datacenter, service)
    return _find(name.service, every, datacenter, Reason.NO_INGRESS, request)


def _find(
    service: bytes, every: Instances, datacenter: str, reason: Reason, request: Request
) -> Finding:
    every = request.reachable(every, datacenter)
    healthy = request.healthy(every)
    if not every.instances:
        return missing(reason, label=service)
    if not healthy:
        return missing(Reason.NOT_HEALTHY, every.instances)
    finding = answer(healthy, datacenter, request.policy.ttl_of_service(service), request)
    if len(healthy) < len(every.instances):
        return replace(finding, why=(Why(Reason.SOME_UNHEALTHY, (every.instances, healthy)),))
    return finding
