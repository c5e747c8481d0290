"""Answers the names of Kubernetes services, as the Kubernetes DNS specification 1.1.0 says.

    redis.default.svc.dc1.consul          `redis.default.svc` in the default zone, `<dc>.D`
    redis.default.service.consul          the same
    redis.default.svc.cluster.local       the same in a zone of the cluster's own

Which services there are is in memory (`Clusters`); the endpoints of a service are instances in the
catalog, a view of their own, or described beside the service. Where the specification leaves a
choice, CoreDNS decided it, except that empty non-terminals exist (RFC 8020).
"""

from collections.abc import Callable
from functools import lru_cache

import msgspec
from msgspec.structs import replace

from consuldns import descriptor, names
from consuldns.dns import records, zones
from consuldns.dns.answer import Outcome, RecordGroup, address_type
from consuldns.dns.finder import (
    EMPTY_NON_TERMINAL,
    NODATA,
    Finding,
    Reason,
    Request,
    Why,
    found,
    missing,
    missing_below,
)
from consuldns.dns.grammar.kubernetes import KUBERNETES_KINDS, Form, RecordRequest
from consuldns.dns.grammar.meanings import ClusterName, KubernetesName
from consuldns.dns.kubernetes import consul_k8s, external_names, targets
from consuldns.dns.kubernetes.targets import ResolvedEndpoint
from consuldns.dns.question import Type
from consuldns.names import Labels
from consuldns.views.clusters import Namespaces, Port, Service

SPECIFICATION = b"1.1.0"
SPECIFICATION_TTL = 28800  # seconds, as in CoreDNS
ALIASED = frozenset((Type.A, Type.AAAA, Type.CNAME, Type.ANY))  # what an alias is given for
# Looked up once: a member of an Enum costs 75 ns each time on CPython 3.11.
_BELOW_SERVICE, _ENDPOINT, _SERVICE = Form.BELOW_SERVICE, Form.ENDPOINT, Form.SERVICE
_NXDOMAIN, _NO_NAMESPACE = Outcome.NXDOMAIN, Reason.NO_NAMESPACE
NO_CLUSTER = missing(Reason.NO_CLUSTER)
FORMS_OF_CONSUL_K8S = frozenset(
    (Form.NAMESPACE, Form.SERVICE, Form.ENDPOINT, Form.PROTOCOL, Form.PORT, Form.BELOW_SERVICE)
)
OF_CONSUL_K8S = (Why(Reason.OF_CONSUL_K8S),)


class Tree(msgspec.Struct, frozen=True):
    """The names below `svc.Z`, a name of `levels` labels. `is_shared` by all clusters."""

    namespaces: Namespaces
    datacenter: str
    levels: int
    is_shared: bool


def find(name: KubernetesName, request: Request) -> Finding:
    """A name of the default zone, where the services of all clusters are."""
    datacenter = request.datacenter(name.datacenter)
    if datacenter is None:
        return request.no_datacenter(name.datacenter)
    clusters = request.views.clusters(datacenter)
    levels = request.levels(name.datacenter)
    if clusters.clusters:
        tree = Tree(clusters.all_namespaces, datacenter, levels, True)
        finding = FINDERS[name.asked.form](name.asked, tree, request)
    else:
        # `service.D` exists even so, `svc.<dc>.D` does not.
        is_by_service = request.name[-levels] == b"service"
        finding = _no_cluster(levels) if is_by_service else NO_CLUSTER
    if finding.outcome is not _NXDOMAIN:
        return finding
    may_be_there = name.asked.form in FORMS_OF_CONSUL_K8S or name.asked.left == (b"svc",)
    if not may_be_there or not consul_k8s.is_used(datacenter, request):
        return finding
    other = _of_consul_k8s(name.asked, datacenter, request)
    if other.outcome is not Outcome.NXDOMAIN or not clusters.clusters:
        return other
    return replace(other, why=(*finding.why, *other.why))


@lru_cache(maxsize=128)
def _no_cluster(existing: int) -> Finding:
    return replace(NO_CLUSTER, existing=existing)


def _of_consul_k8s(asked: RecordRequest, datacenter: str, request: Request) -> Finding:
    """What consul-k8s has synced at a name of one of its forms."""
    if asked.form is Form.KIND:
        return EMPTY_NON_TERMINAL
    if asked.form is Form.NAMESPACE:
        if consul_k8s.may_have_namespace(asked.namespace, datacenter, request):
            return EMPTY_NON_TERMINAL
        return missing(Reason.NO_NAMESPACE_OF_CONSUL_K8S, asked.namespace)
    if asked.form is Form.BELOW_SERVICE:
        return missing(Reason.NOT_A_SERVICE_NAME)
    reached = consul_k8s.targets_of(asked.service, asked.namespace, datacenter, request)
    if isinstance(reached, Finding):
        return reached
    name, endpoints = reached
    chosen = _choose(asked, endpoints, request)
    if not isinstance(chosen, Finding):
        return _answer(asked, chosen, OF_CONSUL_K8S, request)
    if chosen.outcome is Outcome.NXDOMAIN:
        return missing(Reason.NO_PORT_OF_CONSUL_K8S, (name,))
    return chosen


def find_in_zone(name: ClusterName, request: Request) -> Finding:
    """A name of a cluster's own zone.

    Nothing can be said of a cluster that is not in Consul, or only in part: its first sync goes on.
    """
    zone = request.zone
    if name.asked.form is Form.ZONE:
        return zones.find_at_apex(zone, request)
    datacenter = request.views.datacenters().local
    clusters = request.views.clusters(datacenter)
    if zone.cluster not in clusters.complete:
        return Finding(Outcome.SERVFAIL, why=(Why(Reason.NOT_SYNCED, (zone.cluster,)),))
    namespaces = clusters.namespaces_of[zone.cluster]
    tree = Tree(namespaces, datacenter, len(zone.apex) + 1, is_shared=False)
    return FINDERS[name.asked.form](name.asked, tree, request)


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


def _kind(asked: RecordRequest, tree: Tree, request: Request) -> Finding:
    return EMPTY_NON_TERMINAL


def _version(asked: RecordRequest, tree: Tree, request: Request) -> Finding:
    version = records.text(request.name, SPECIFICATION_TTL, SPECIFICATION)
    return found([RecordGroup((version,))] if request.type in (Type.TXT, Type.ANY) else [])


def _name_server(asked: RecordRequest, tree: Tree, request: Request) -> Finding:
    return zones.find_own_addresses(request, request.policy.kubernetes.ttl)


def _other(asked: RecordRequest, tree: Tree, request: Request) -> Finding:
    kind = asked.left[-1]
    if kind in KUBERNETES_KINDS:
        return missing(Reason.NO_KUBERNETES_NAME)
    return missing(Reason.NO_KUBERNETES_KIND, label=kind, among=KUBERNETES_KINDS)


def _namespace(asked: RecordRequest, tree: Tree, request: Request) -> Finding:
    if asked.namespace in tree.namespaces:
        return EMPTY_NON_TERMINAL
    return _no_namespace(asked, tree)


def _no_namespace(asked: RecordRequest, tree: Tree) -> Finding:
    names_ = tree.namespaces
    return missing_below(tree.levels, names_, _NO_NAMESPACE, asked.namespace, names_)


def _service(asked: RecordRequest, tree: Tree, request: Request) -> Finding:
    """A service, or an endpoint or a port of it."""
    services = tree.namespaces.get(asked.namespace)
    if services is None:
        return _no_namespace(asked, tree)
    service = services.get(asked.service)
    if service is None:
        reason = Reason.NO_SERVICE_IN_NAMESPACE
        return missing_below(tree.levels + 1, services, reason, asked.service, services)
    why = _of_cluster(service.cluster) if tree.is_shared else ()
    if service.external_name:
        if asked.left:
            return missing(Reason.BELOW_EXTERNAL_NAME)
        return _alias(service, why, tree.datacenter, request)
    if asked.form is _BELOW_SERVICE:
        return missing(Reason.NOT_A_SERVICE_NAME)
    if asked.form is _ENDPOINT:
        reached = targets.endpoints_at(asked.endpoint, service, tree.datacenter, request)
    else:
        reached = targets.targets_of(service, tree.datacenter, request)
    if not reached and asked.form is _SERVICE:
        is_headless = service.is_headless
        return missing(Reason.NO_READY_ENDPOINT if is_headless else Reason.HIDDEN_SINCE_EMPTY)
    chosen = reached if asked.form is _SERVICE else _choose(asked, reached, request)
    return chosen if isinstance(chosen, Finding) else _answer(asked, chosen, why, request)


@lru_cache(maxsize=1024)
def _of_cluster(cluster: str) -> tuple[Why, ...]:
    return (Why(Reason.OF_CLUSTER, (cluster,)),)


def _choose(
    asked: RecordRequest, reached: list[ResolvedEndpoint], request: Request
) -> list[ResolvedEndpoint] | Finding:
    """What of a service's targets is asked for, at least one."""
    match asked.form:
        case Form.SERVICE:
            return reached
        case Form.ENDPOINT:
            chosen = [target for target in reached if target.label == asked.endpoint]
            labels = [target.label for target in reached if target.label]
            return chosen or missing(Reason.NO_ENDPOINT, label=asked.endpoint, among=labels)
        case Form.PORT:
            chosen = [_with_ports(target, asked) for target in reached]
            chosen = [target for target in chosen if target.ports]
            return chosen or missing(Reason.NO_PORT)
        case Form.PROTOCOL:
            has_port = any(_has_port(port, asked) for each in reached for port in each.ports)
            return EMPTY_NON_TERMINAL if has_port else missing(Reason.NO_PORT)
    return missing(Reason.NOT_A_SERVICE_NAME)


def _has_port(port: Port, asked: RecordRequest) -> bool:
    """Whether it is the port that is asked for, by name if there is one, and protocol.

    A port without a name is none of these.
    """
    if not port.name or asked.protocol != names.fold_text(port.protocol):
        return False
    return asked.form is Form.PROTOCOL or asked.port == names.fold_text(port.name)


def _with_ports(target: ResolvedEndpoint, asked: RecordRequest) -> ResolvedEndpoint:
    return target.with_ports(tuple(port for port in target.ports if _has_port(port, asked)))


def _answer(
    asked: RecordRequest, chosen: list[ResolvedEndpoint], why: tuple[Why, ...], request: Request
) -> Finding:
    if request.type == Type.SRV:
        return _locations(chosen, request.name[len(asked.left) :], why, request)
    return _addresses(chosen, why, request)


def _addresses(reached: list[ResolvedEndpoint], why: tuple[Why, ...], request: Request) -> Finding:
    """The addresses, or one of the aliases if there is none: an alias is alone at its name."""
    ttl = request.policy.kubernetes.ttl
    distinct = dict.fromkeys(packed for target in reached for packed in target.addresses)
    if not distinct and request.type in ALIASED:
        aliases = {names.fold(target.alias): target.alias for target in reached if target.alias}
        aliases.pop(request.name, None)
        every = [records.alias(request.name, ttl, each) for each in aliases.values()]
        return found([RecordGroup((alias,)) for alias in every], exclusive=True, why=why)
    wanted = [p for p in distinct if request.type in (Type.ANY, address_type(p))]
    return found([RecordGroup((records.address(request.name, ttl, p),)) for p in wanted], why=why)


def _locations(
    targets: list[ResolvedEndpoint], base: Labels, why: tuple[Why, ...], request: Request
) -> Finding:
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
    return found(groups, why=why)


def _alias(service: Service, why: tuple[Why, ...], datacenter: str, request: Request) -> Finding:
    """CNAME for addresses; nothing else, as in CoreDNS; nothing at all if it leads nowhere.

    No name is an alias of itself, as in CoreDNS either.
    """
    target = external_names.target_of(service, datacenter, request)
    if target is None:
        return missing(Reason.NAMES_NO_TARGET, service.external_name)
    if request.type not in ALIASED or names.fold(target) == request.name:
        return NODATA
    alias = records.alias(request.name, request.policy.kubernetes.ttl, target)
    return found([RecordGroup((alias,))], why=why)


def _pod(asked: RecordRequest, tree: Tree, request: Request) -> Finding:
    """`<address with dashes>.<namespace>.pod`, and what is above and below it."""
    policy = request.policy.kubernetes
    if policy.pods == "disabled":
        return missing(Reason.PODS_DISABLED)
    if asked.namespace not in tree.namespaces:
        return missing(Reason.NO_NAMESPACE, label=asked.namespace, among=tree.namespaces)
    if asked.form is Form.POD_NAMESPACE:
        return EMPTY_NON_TERMINAL
    address = names.undashed(asked.pod)
    if address is None or asked.form is Form.BELOW_POD:
        return missing(Reason.NOT_A_POD_NAME)
    is_checked = policy.pods == "verified"
    if is_checked and not targets.is_pod(address, asked.namespace, tree.datacenter, request):
        return missing(Reason.NO_POD)
    if request.type not in (Type.ANY, address_type(address.packed)):
        return NODATA
    return found([RecordGroup((records.address(request.name, policy.ttl, address.packed),))])


# Who answers a name of each form; the zone itself is answered before.
FINDERS: dict[Form, Callable[[RecordRequest, Tree, Request], Finding]] = {
    Form.KIND: _kind,
    Form.NAMESPACE: _namespace,
    Form.SERVICE: _service,
    Form.ENDPOINT: _service,
    Form.PROTOCOL: _service,
    Form.PORT: _service,
    Form.BELOW_SERVICE: _service,
    Form.POD_NAMESPACE: _pod,
    Form.POD: _pod,
    Form.BELOW_POD: _pod,
    Form.NAME_SERVER: _name_server,
    Form.VERSION: _version,
    Form.OTHER: _other,
}
