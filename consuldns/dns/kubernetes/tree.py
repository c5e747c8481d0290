"""Answers the names of Kubernetes services, as the Kubernetes DNS specification 1.1.0 says.

    redis.default.svc.dc1.consul          path `redis.default.svc` in the default zone, `<dc>.D`
    redis.default.service.consul          the same path
    redis.default.svc.cluster.local       the same path in a zone of the cluster's own

Which services there are is in memory (`Clusters`); the endpoints of a service are instances in the
catalog, a view of their own, or described beside the service. Where the specification leaves a
choice, CoreDNS decided it, except that empty non-terminals exist (RFC 8020).
"""

from dataclasses import replace

from consuldns import descriptor, names
from consuldns.dns import records, zones
from consuldns.dns.answer import Outcome, RecordGroup, address_type
from consuldns.dns.grammar import ClusterName, KubernetesName
from consuldns.dns.kubernetes import consul_k8s, external_names, targets
from consuldns.dns.kubernetes.targets import ResolvedEndpoint
from consuldns.dns.question import Type
from consuldns.dns.request import EMPTY_NON_TERMINAL, NODATA, NXDOMAIN, Finding, Request, found
from consuldns.names import Labels
from consuldns.views.clusters import Namespaces, Port, Service

SPECIFICATION = b"1.1.0"
SPECIFICATION_TTL = 28800  # seconds, as in CoreDNS
ALIASED = frozenset((Type.A, Type.AAAA, Type.CNAME, Type.ANY))  # what an alias is given for
UNKNOWN_CLUSTER = Finding(Outcome.SERVFAIL)


def find(lookup: KubernetesName, request: Request) -> Finding:
    """A name of the default zone, where the services of all clusters are."""
    datacenter = request.datacenter(lookup.datacenter)
    if datacenter is None:
        return NXDOMAIN
    clusters = request.reading.clusters(datacenter)
    finding = NXDOMAIN
    if clusters.clusters:
        finding = _in_tree(lookup.path, clusters.all_namespaces, datacenter, request)
    if finding is NXDOMAIN and lookup.path[-1] == b"svc":
        return _of_consul_k8s(lookup.path[:-1], datacenter, request)
    return finding


def _of_consul_k8s(labels: Labels, datacenter: str, request: Request) -> Finding:
    match labels:
        case ():
            return EMPTY_NON_TERMINAL if consul_k8s.is_used(datacenter, request) else NXDOMAIN
        case (namespace,):
            is_there = consul_k8s.may_have_namespace(namespace, datacenter, request)
            return EMPTY_NON_TERMINAL if is_there else NXDOMAIN
        case (*left, service, namespace):
            found = consul_k8s.targets_of(service, namespace, datacenter, request)
            return _choose(tuple(left), found, request)
    return NXDOMAIN


def find_in_zone(lookup: ClusterName, request: Request) -> Finding:
    """A name of a cluster's own zone.

    Nothing can be said of a cluster that is not in Consul, or only in part: its first sync goes on.
    """
    if not lookup.path:
        return zones.find_at_apex(request.zone, request)
    datacenter = request.reading.datacenters().local
    clusters = request.reading.clusters(datacenter)
    if request.zone.cluster not in clusters.complete:
        return UNKNOWN_CLUSTER
    namespaces = clusters.namespaces_of[request.zone.cluster]
    return _in_tree(lookup.path, namespaces, datacenter, request)


def names_of(service: Service, datacenter: str, request: Request) -> list[Labels]:
    """The names that a reverse name of the service may point to, best first.

    Flat or nested first, as its descriptor says. Not every one of them need lead to it: another
    cluster may have a service of that name.
    """
    domain, own_zones = request.policy.domain, request.policy.kubernetes.zones
    path = (names.fold_text(service.name), names.fold_text(service.namespace), b"svc")
    flat = [records.service_name(service.flat, datacenter, domain)] if service.flat else []
    nested = [records.valid((*path, datacenter.encode(), *domain))]
    nested += [records.valid((*path, *z)) for z, c in own_zones.items() if c == service.cluster]
    ordered = flat + nested if service.reverse == descriptor.FLAT else nested + flat
    return [name for name in ordered if name is not None]


def _in_tree(path: Labels, namespaces: Namespaces, datacenter: str, request: Request) -> Finding:
    rest = path[:-1]
    match path[-1]:
        case b"svc":
            return _service(rest, namespaces, datacenter, request) if rest else EMPTY_NON_TERMINAL
        case b"pod":
            return _pod(rest, namespaces, datacenter, request) if rest else EMPTY_NON_TERMINAL
        case b"dns":
            return _dns(rest, request)
        case b"dns-version" if not rest:
            version = records.text(request.name, SPECIFICATION_TTL, SPECIFICATION)
            is_asked = request.type in (Type.TXT, Type.ANY)
            return found([RecordGroup((version,))] if is_asked else [])
    return NXDOMAIN


def _dns(rest: Labels, request: Request) -> Finding:
    if rest == (b"ns",):
        return zones.find_own_addresses(request, request.policy.kubernetes.ttl)
    return NXDOMAIN if rest else EMPTY_NON_TERMINAL


def _service(labels: Labels, namespaces: Namespaces, datacenter: str, request: Request) -> Finding:
    """`[<endpoint> or <port>.<protocol>.]<service>.<namespace>`, or the beginning of it."""
    services = namespaces.get(labels[-1])
    if services is None:
        return NXDOMAIN
    if len(labels) == 1:
        return EMPTY_NON_TERMINAL
    service = services.get(labels[-2])
    if service is None:
        return NXDOMAIN
    left = labels[:-2]
    if service.external_name:
        return NXDOMAIN if left else _alias(service, datacenter, request)
    if len(left) == 1 and left[0][0] != ord("_"):
        found = targets.endpoints_at(left[0], service, datacenter, request)
    else:
        found = targets.targets_of(service, datacenter, request)
    return _choose(left, found, request)


def _choose(left: Labels, reached: list[ResolvedEndpoint], request: Request) -> Finding:
    """What of a service's targets is asked for by the labels left of its name, none or two."""
    base = request.name[len(left) :]
    match left:
        case ():
            chosen = reached
        case (label,) if label[0] != ord("_"):
            chosen = [target for target in reached if target.label == label]
        case (protocol,):
            has_port = any(_has_port(port, None, protocol) for t in reached for port in t.ports)
            return EMPTY_NON_TERMINAL if has_port else NXDOMAIN
        case (name, protocol):
            chosen = [_with_ports(target, name, protocol) for target in reached]
            chosen = [target for target in chosen if target.ports]
        case _:
            return NXDOMAIN
    if not chosen:
        return NXDOMAIN
    if request.type == Type.SRV:
        return _locations(chosen, base, request)
    return _addresses(chosen, request)


def _has_port(port: Port, name: bytes | None, protocol: bytes) -> bool:
    """Whether `_<name>._<protocol>` is the port; a port without a name is none of these."""
    if not port.name or protocol != b"_" + names.fold_text(port.protocol):
        return False
    return name is None or name == b"_" + names.fold_text(port.name)


def _with_ports(target: ResolvedEndpoint, name: bytes, protocol: bytes) -> ResolvedEndpoint:
    ports = tuple(port for port in target.ports if _has_port(port, name, protocol))
    return replace(target, ports=ports)


def _addresses(reached: list[ResolvedEndpoint], request: Request) -> Finding:
    """The addresses, or one of the aliases if there is none: an alias is alone at its name."""
    ttl = request.policy.kubernetes.ttl
    distinct = dict.fromkeys(packed for target in reached for packed in target.addresses)
    if not distinct and request.type in ALIASED:
        aliases = {names.fold(target.alias): target.alias for target in reached if target.alias}
        aliases.pop(request.name, None)
        every = [records.alias(request.name, ttl, each) for each in aliases.values()]
        return found([RecordGroup((alias,)) for alias in every], exclusive=True)
    wanted = [p for p in distinct if request.type in (Type.ANY, address_type(p))]
    return found([RecordGroup((records.address(request.name, ttl, p),)) for p in wanted])


def _locations(targets: list[ResolvedEndpoint], base: Labels, request: Request) -> Finding:
    """An SRV for each distinct port and target, all of the same weight (100 in sum, or 1 each)."""
    ttl = request.policy.kubernetes.ttl
    places = {
        (port.number, target.label, target.alias): target
        for target in targets
        for port in target.ports
    }
    weight = max(1, 100 // max(1, len(places)))
    groups = []
    for (number, label, alias), target in places.items():
        name = alias or ((label, *base) if label else base)
        if not names.is_valid(name):
            continue
        location = records.service(request.name, ttl, weight, number, name, priority=0)
        glue = tuple(records.address(name, ttl, packed) for packed in target.addresses)
        groups.append(RecordGroup((location,), glue))
    return found(groups)


def _alias(service: Service, datacenter: str, request: Request) -> Finding:
    """CNAME for addresses; nothing else, as in CoreDNS; nothing at all if it leads nowhere.

    No name is an alias of itself, as in CoreDNS either.
    """
    target = external_names.target_of(service, datacenter, request)
    if target is None:
        return NXDOMAIN
    if request.type not in ALIASED or names.fold(target) == request.name:
        return NODATA
    alias = records.alias(request.name, request.policy.kubernetes.ttl, target)
    return found([RecordGroup((alias,))])


def _pod(labels: Labels, namespaces: Namespaces, datacenter: str, request: Request) -> Finding:
    """`<address with dashes>.<namespace>`."""
    policy = request.policy.kubernetes
    if policy.pods == "disabled" or labels[-1] not in namespaces or len(labels) > 2:
        return NXDOMAIN
    if len(labels) == 1:
        return EMPTY_NON_TERMINAL
    address = names.undashed(labels[0])
    if address is None:
        return NXDOMAIN
    if policy.pods == "verified" and not targets.is_pod(address, labels[1], datacenter, request):
        return NXDOMAIN
    if request.type not in (Type.ANY, address_type(address.packed)):
        return NODATA
    return found([RecordGroup((records.address(request.name, policy.ttl, address.packed),))])
