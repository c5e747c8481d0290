"""Finds the services that HashiCorp's own consul-k8s has synced, which writes no descriptors.

Its instances are endpoints, addresses of nodes or of load balancers, or hosts of Ingresses, on a
node that says where it comes from. They tell their namespace (`external-k8s-ns`) and their pod
(`external-k8s-ref-name`), but not the service's Kubernetes name: that is the name in the catalog,
with or without `-<namespace>` at its end, after a prefix that is a setting here; a name that an
annotation gives has neither. So a service is found if the catalog has one of these names and an
instance of it has the namespace; headless or not, it leads to its instances. A namespace is known
by services that end in its name.

An instance has one port number, its own. Metadata have the names of all ports, but with the numbers
of the service, which are often not those of an endpoint or of a node.
"""

from collections.abc import Iterator

from consuldns import descriptor, names
from consuldns.dns import consul_rules
from consuldns.dns.finder import Finding, Reason, Request, missing
from consuldns.dns.kubernetes import targets
from consuldns.dns.kubernetes.targets import ResolvedEndpoint
from consuldns.views.clusters import Port
from consuldns.views.model import Instance


def is_used(datacenter: str, request: Request) -> bool:
    """Whether there are services of consul-k8s at all."""
    return request.views.nodes(datacenter).of_consul_k8s


def may_have_namespace(namespace: bytes, datacenter: str, request: Request) -> bool:
    """Whether a service is named as those of the namespace are."""
    if not is_used(datacenter, request):
        return False
    return namespace in request.views.services(datacenter).after_dashes


def targets_of(
    service: bytes, namespace: bytes, datacenter: str, request: Request
) -> tuple[bytes, list[ResolvedEndpoint]] | Finding:
    """The healthy instances of a service of consul-k8s, or why there is none.

    With the service's name in the catalog. All names are folded.
    """
    present = []
    candidates = catalog_names(service, namespace, request)
    for name in candidates:
        view = request.all_instances(datacenter, name)
        if view is None:
            continue
        present.append(name)
        instances = [each for each in request.healthy(view) if _is_in(namespace, each)]
        if instances:
            at_addresses = [place for each in instances if (place := _place(each)) is not None]
            return name, [*targets.group(at_addresses), *_at_hostnames(instances)]
    if present:
        return missing(Reason.NO_INSTANCE_OF_CONSUL_K8S, tuple(present))
    return missing(Reason.NO_SERVICE_OF_CONSUL_K8S, candidates)


def catalog_names(service: bytes, namespace: bytes, request: Request) -> tuple[bytes, ...]:
    """The names (folded) under which consul-k8s may have put the service into the catalog."""
    names_: list[bytes] = []
    for prefix in request.policy.kubernetes.consul_k8s_prefixes:
        name = names.fold_text(prefix) + service
        names_ += (name + b"-" + namespace, name)
    return tuple(dict.fromkeys((*names_, service)))


def _is_in(namespace: bytes, instance: Instance) -> bool:
    meta = instance.meta
    return (
        meta.get(descriptor.SOURCE) == descriptor.KUBERNETES
        and names.fold_text(meta.get(descriptor.NAMESPACE, "")) == namespace
        and not instance.is_marked
        and consul_rules.endpoint(instance.address) is not None
    )


def _at_hostnames(instances: list[Instance]) -> Iterator[ResolvedEndpoint]:
    """Those that have a hostname: of a load balancer, or of an Ingress."""
    for instance in instances:
        alias = consul_rules.endpoint(instance.address)
        if isinstance(alias, tuple):
            yield ResolvedEndpoint(b"", (), _ports(instance), alias)


def _place(instance: Instance) -> tuple[bytes, bytes, tuple[Port, ...]] | None:
    """Label, packed address and ports; None if the instance has a hostname."""
    address = names.registered_address(instance.address)
    if address is None:
        return None
    pod = names.fold_text(instance.meta.get(descriptor.REFERENCE_NAME, ""))
    is_pod = instance.meta.get(descriptor.REFERENCE_KIND) == "Pod"
    has_label = is_pod and b"." not in pod and 0 < len(pod) <= names.MAX_LABEL
    return pod if has_label else names.dashed(address), address.packed, _ports(instance)


def _ports(instance: Instance) -> tuple[Port, ...]:
    """The instance's own port, under each name that it surely has; its protocol is not known.

    That is the only name there is, or those whose number is the same.
    """
    if not 0 < instance.port <= names.MAX_PORT:
        return ()
    numbers = {
        key.removeprefix(descriptor.PORT_NUMBER): value
        for key, value in instance.meta.items()
        if key.startswith(descriptor.PORT_NUMBER) and value.isascii() and value.isdecimal()
    }
    own = [name for name, number in numbers.items() if number == str(instance.port)]
    chosen = [*numbers] if len(numbers) == 1 else own
    return tuple(Port(name, "TCP", instance.port) for name in chosen or [""])
