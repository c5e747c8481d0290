"""Finds the services that HashiCorp's own consul-k8s has synced, which writes no descriptors.

Its instances are endpoints, on a node that says where it comes from. They tell their namespace
(`external-k8s-ns`) and their pod (`external-k8s-ref-name`), but not the service's Kubernetes name:
that is the name in the catalog, with or without `-<namespace>` at its end. So a service is found if
the catalog has one of these names and an instance of it the namespace; headless or not, it leads to
its endpoints. A namespace is known by services that end in its name.
"""

from consuldns import descriptor, names
from consuldns.dns import endpoints
from consuldns.dns.endpoints import Target
from consuldns.dns.request import Request
from consuldns.views.clusters import Port
from consuldns.views.model import Instance

PORT = "port-"  # metadata `port-<name>`: its number


def is_used(datacenter: str, request: Request) -> bool:
    """Whether there are services of consul-k8s at all."""
    return request.reading.nodes(datacenter).of_consul_k8s


def may_have_namespace(namespace: bytes, datacenter: str, request: Request) -> bool:
    """Whether a service is named as those of the namespace are."""
    if not is_used(datacenter, request):
        return False
    return namespace in request.reading.services(datacenter).after_dashes


def targets_of(service: bytes, namespace: bytes, datacenter: str, request: Request) -> list[Target]:
    """The healthy endpoints of a service of consul-k8s (names folded), none if there is none."""
    if not is_used(datacenter, request):
        return []
    for name in (service + b"-" + namespace, service):
        instances = [
            instance
            for instance in request.instances(datacenter, name)
            if _is_in(namespace, instance)
        ]
        if instances:
            return endpoints.group(_place(instance) for instance in instances)
    return []


def _is_in(namespace: bytes, instance: Instance) -> bool:
    meta = instance.meta
    return (
        meta.get(descriptor.SOURCE) == descriptor.KUBERNETES
        and names.fold_text(meta.get(descriptor.NAMESPACE, "")) == namespace
        and descriptor.CLUSTER not in meta
        and names.parse_address(instance.address) is not None
    )


def _place(instance: Instance) -> tuple[bytes, bytes, tuple[Port, ...]]:
    address = names.parse_address(instance.address)
    assert address is not None
    pod = names.fold_text(instance.meta.get(descriptor.REFERENCE_NAME, ""))
    is_pod = instance.meta.get(descriptor.REFERENCE_KIND) == "Pod"
    has_label = is_pod and b"." not in pod and 0 < len(pod) <= names.MAX_LABEL
    return pod if has_label else names.dashed(address), address.packed, _ports(instance)


def _ports(instance: Instance) -> tuple[Port, ...]:
    """Named ports, of which the protocol is not known; without any, the instance's own port."""
    named = [
        Port(key.removeprefix(PORT), "TCP", int(value))
        for key, value in instance.meta.items()
        if key.startswith(PORT) and value.isascii() and value.isdecimal() and int(value) <= 65535
    ]
    if named or not 0 < instance.port <= 65535:
        return tuple(named)
    return (Port("", "TCP", instance.port),)
