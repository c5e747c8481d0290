"""The addresses at which a NodePort service is found: those of nodes.

Kubernetes takes connections to a node port on every node, and sends them on to where an endpoint
is; with `externalTrafficPolicy: Local` a node drops those that it has no endpoint for. So we name
the nodes that run an endpoint, as consul-k8s does, and all of them only if it is not known which
do and the policy allows it.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address

from consuldns.config.sync import NodePortAddresses
from consuldns.names import IPAddress, parse_address
from consuldns.sync.desired import addresses
from consuldns.sync.desired.endpoints import EndpointState, JoinedEndpoint
from consuldns.sync.kubernetes.objects import Node, NodeAddress, Service

FAMILIES = ("IPv4", "IPv6")
TYPES: dict[NodePortAddresses, tuple[str, ...]] = {
    "external-first": ("ExternalIP", "InternalIP"),
    "external-only": ("ExternalIP",),
    "internal-only": ("InternalIP",),
}


def family(address: IPAddress) -> str:
    """Kubernetes' word for an address's family."""
    return "IPv4" if isinstance(address, IPv4Address) else "IPv6"


def families(service: Service) -> tuple[str, ...]:
    """The families of a service: as it says, else those of its addresses, else both."""
    said = [each for each in FAMILIES if each in (service.spec.ip_families or ())]
    parsed = (parse_address(text) for text in service.cluster_ips)
    found = {family(each) for each in parsed if each is not None}
    return tuple(said or [each for each in FAMILIES if each in found] or FAMILIES)


def choose(
    service: Service,
    endpoints: Sequence[JoinedEndpoint],
    nodes: Mapping[str, Node],
    types: tuple[str, ...],
) -> tuple[list[tuple[str, IPAddress]], list[str]]:
    """Names of nodes with an address, for each family of the service, and what is wrong.

    Of each node the first address of the first of these types that has the family. In the order of
    families and names: it does not depend on the order of a node's addresses of other families.
    """
    ready = [each for each in endpoints if each.state is EndpointState.READY]
    if not ready:
        return [], []
    found: list[tuple[str, IPAddress]] = []
    problems: list[str] = []
    for wanted in families(service):
        for name in _serving(service, wanted, ready, nodes):
            usable, bad = _read(nodes[name].status.addresses or (), types)
            problems += [f"{each} of node {name} is skipped: it {why}" for each, why in bad]
            found += [(name, each) for each in usable if family(each) == wanted][:1]
    if not found:
        problems.append(_reason(service, ready, types))
    return found, list(dict.fromkeys(problems))


def _serving(
    service: Service, wanted: str, ready: Sequence[JoinedEndpoint], nodes: Mapping[str, Node]
) -> list[str]:
    """The ready nodes that are to be named for the service in this family, in order.

    Where no endpoint is of the family (slices written by hand often have one only), those of the
    other say where the service runs.
    """
    running = {each.node for each in ready if _family_of(each) == wanted and each.node}
    running = running or {each.node for each in ready if each.node}
    if not running and service.spec.external_traffic_policy != "Local":
        running = set(nodes)
    return [name for name in sorted(running & nodes.keys()) if nodes[name].is_ready]


def _family_of(endpoint: JoinedEndpoint) -> str:
    address = parse_address(endpoint.address)
    return family(address) if address is not None else ""


@lru_cache(maxsize=16384)  # every NodePort service asks for the same nodes
def _read(
    given: tuple[NodeAddress, ...], types: tuple[str, ...]
) -> tuple[tuple[IPAddress, ...], tuple[tuple[str, str], ...]]:
    """A node's addresses of these types in their order; what cannot be used, with the reason."""
    usable: list[IPAddress] = []
    bad: list[tuple[str, str]] = []
    for type_, text in ((t, each.address) for t in types for each in given if each.type == t):
        try:
            usable.append(addresses.address(text))
        except ValueError as error:
            bad.append((f"{type_} {addresses.shown(text)}", str(error)))
    return tuple(usable), tuple(bad)


def _reason(service: Service, ready: Sequence[JoinedEndpoint], types: Sequence[str]) -> str:
    if service.spec.external_traffic_policy == "Local" and not any(each.node for each in ready):
        return "externalTrafficPolicy is Local, but no endpoint has the name of its node"
    wanted = " or ".join(families(service))
    return f"no ready node that it can be reached at has an {wanted} address ({' or '.join(types)})"
