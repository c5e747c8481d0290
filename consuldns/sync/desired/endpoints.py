"""The endpoints of a service, put together from its slices.

A slice holds some endpoints of one address family, and while slices are rebalanced an endpoint may
be in two of them: what counts is the union. Pods of one service may listen on different ports (a
named target port), and then are in slices with different ports; so an endpoint is an address with
its ports.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from consuldns import descriptor, names
from consuldns.descriptor import Port
from consuldns.names import MAX_LABEL
from consuldns.sync.desired import addresses
from consuldns.sync.kubernetes.objects import (
    MANAGED_BY,
    Conditions,
    Endpoint,
    EndpointSlice,
    ServiceKey,
)

CONTROLLER = "endpointslice-controller.k8s.io"


class EndpointState(IntEnum):
    """How fit an endpoint is, the fittest first: of two opinions the better one counts."""

    READY = 0
    SERVING = 1  # being shut down, but still answering
    NOT_READY = 2
    GONE = 3  # being shut down, and answering no more


@dataclass(frozen=True, slots=True)
class JoinedEndpoint:
    """An endpoint. `is_pod`: the cluster's own controller says that it is a pod of the namespace.

    Anyone who may write slices in the namespace can forge that; see `reverse_names` for what
    follows.
    """

    address: str
    ports: tuple[Port, ...]
    state: EndpointState
    hostname: str = ""
    pod: str = ""
    node: str = ""
    zone: str = ""
    is_pod: bool = False


def state(conditions: Conditions | None, *, publish_not_ready: bool) -> EndpointState:
    """What the conditions mean. Unknown readiness is ready, unknown serving is as ready."""
    if publish_not_ready or conditions is None or conditions.ready in (None, True):
        return EndpointState.READY
    if not conditions.terminating:
        return EndpointState.NOT_READY
    return EndpointState.SERVING if conditions.serving else EndpointState.GONE


@dataclass(frozen=True)
class Joined:
    """The endpoints of all slices, in the order of their addresses, and what is wrong with them."""

    endpoints: tuple[JoinedEndpoint, ...]
    problems: tuple[str, ...] = ()


def join(
    slices: Iterable[EndpointSlice], service: ServiceKey, *, publish_not_ready: bool
) -> Joined:
    """The endpoints of all slices."""
    joined: dict[tuple[str, tuple[Port, ...]], JoinedEndpoint] = {}
    bad: dict[str, set[str]] = {}  # texts by what is wrong with them
    # In the order of names: which of two slices describes an endpoint must not depend on chance.
    for each in sorted(slices, key=lambda slice_: slice_.metadata.name):
        if each.address_type not in ("IPv4", "IPv6"):
            # FQDN is deprecated and never was implemented.
            bad.setdefault("has no addresses: it is of another type", set()).add(each.metadata.name)
            continue
        ports = _ports(each, bad)
        is_managed = (each.metadata.labels or {}).get(MANAGED_BY) == CONTROLLER
        for endpoint in each.endpoints or ():
            fitness = state(endpoint.conditions, publish_not_ready=publish_not_ready)
            for address in _addresses(endpoint, bad):
                key = (address, ports)
                new = _joined(endpoint, address, ports, fitness, is_managed, service[0])
                if key not in joined or _rank(new) < _rank(joined[key]):
                    joined[key] = new
    problems = (
        f"{addresses.listed(texts)} in its EndpointSlices {why}" for why, texts in bad.items()
    )
    return Joined(tuple(joined[key] for key in sorted(joined)), tuple(sorted(problems)))


def _rank(endpoint: JoinedEndpoint) -> tuple[EndpointState, bool]:
    """Of two opinions the fitter one counts; of equal ones that of the cluster's controller."""
    return endpoint.state, not endpoint.is_pod


def _joined(
    endpoint: Endpoint,
    address: str,
    ports: tuple[Port, ...],
    fitness: EndpointState,
    is_managed: bool,
    namespace: str,
) -> JoinedEndpoint:
    target = endpoint.target_ref
    is_pod = target is not None and target.kind == "Pod" and target.namespace == namespace
    return JoinedEndpoint(
        address,
        ports,
        fitness,
        hostname=endpoint.hostname or "",
        pod=target.name if target is not None and is_pod else "",
        node=endpoint.node_name or "",
        zone=endpoint.zone or "",
        is_pod=is_managed and is_pod,
    )


def _ports(each: EndpointSlice, bad: dict[str, set[str]]) -> tuple[Port, ...]:
    ports = []
    for given in each.ports or ():
        port = (given.name or "", given.protocol or "TCP", given.port or 0)
        if descriptor.is_port(port):
            ports.append(port)
        else:
            why = "is a port that cannot be used: its name, protocol or number is not a port's"
            bad.setdefault(why, set()).add(":".join(map(str, port)))
    return tuple(sorted(ports))


def _addresses(endpoint: Endpoint, bad: dict[str, set[str]]) -> list[str]:
    usable = []
    for text in endpoint.addresses:
        try:
            usable.append(str(addresses.address(text)))
        except ValueError as error:
            bad.setdefault(str(error), set()).add(text)
    return usable


def served(endpoints: Iterable[JoinedEndpoint], *, serve_terminating: bool) -> EndpointState:
    """The worst state of endpoints that are served: SERVING only while no other one is ready."""
    if serve_terminating and not is_up(endpoints, serve_terminating=False):
        return EndpointState.SERVING
    return EndpointState.READY


def label_by_name(endpoint: JoinedEndpoint, *, pod_names: bool) -> str:
    """The endpoint's label, if it has one that is not its address; empty if it is.

    Its hostname, else, if that is set, the name of its pod. That may be too long, or have dots.
    """
    if endpoint.hostname:
        return endpoint.hostname
    fits = pod_names and len(endpoint.pod) <= MAX_LABEL and "." not in endpoint.pod
    return endpoint.pod if fits else ""


def label(endpoint: JoinedEndpoint, *, pod_names: bool) -> str:
    """The endpoint's label below the nested name of its service, as in CoreDNS."""
    if by_name := label_by_name(endpoint, pod_names=pod_names):
        return by_name
    address = names.parse_address(endpoint.address)
    assert address is not None  # of the others none is joined
    return names.dashed(address).decode()


def is_up(endpoints: Iterable[JoinedEndpoint], *, serve_terminating: bool) -> bool:
    """Whether there is an endpoint to send anything to."""
    worst = EndpointState.SERVING if serve_terminating else EndpointState.READY
    return any(endpoint.state <= worst for endpoint in endpoints)
