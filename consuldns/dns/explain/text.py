"""Readings, findings and views in words, for the one who asks how a name is read."""

from ipaddress import ip_address

from consuldns.dns import grammar
from consuldns.dns.answer import (
    Address,
    Outcome,
    Record,
    ServiceTarget,
    StartOfAuthority,
    Target,
    Text,
)
from consuldns.dns.grammar import Lookup
from consuldns.dns.kubernetes import consul_k8s
from consuldns.dns.question import Type
from consuldns.dns.request import Finding, Request
from consuldns.names import Labels, format_name
from consuldns.views.clusters import Namespaces
from consuldns.views.keys import ViewKey

EMPTY_NON_TERMINAL = "it exists, since there are names below it; no records"


def type_name(type_: int) -> str:
    """`A`, or `TYPE666` (RFC 3597)."""
    try:
        return Type(type_).name
    except ValueError:
        return f"TYPE{type_}"


def record_text(record: Record) -> str:
    """A record as in a zone file (RFC 1035 section 5.1)."""
    owner = format_name(record.owner)
    return f"{owner} {record.ttl} IN {type_name(record.type)} {_data(record)}"


def _data(record: Record) -> str:
    match record.data:
        case Address(packed):
            return str(ip_address(packed))
        case Target(name):
            return format_name(name)
        case ServiceTarget(priority, weight, port, name):
            return f"{priority} {weight} {port} {format_name(name)}"
        case Text(strings):
            return " ".join(f'"{string.decode(errors="backslashreplace")}"' for string in strings)
        case StartOfAuthority() as soa:
            mname, rname = format_name(soa.mname), format_name(soa.rname)
            times = f"{soa.refresh} {soa.retry} {soa.expire} {soa.minimum}"
            return f"{mname} {rname} {soa.serial} {times}"


def reading(lookup: Lookup) -> str:
    """What a reading takes the name for."""
    match lookup:
        case grammar.KubernetesName(path, datacenter):
            return f"Kubernetes: {_kubernetes(path)}{_in(datacenter)}"
        case grammar.ClusterName(path):
            return f"Kubernetes: {_kubernetes(path)}, in the cluster that the zone is of"
        case grammar.DottedServiceName(parts, datacenter):
            return f"service with dots in its name: {_text(b'.'.join(parts))}{_in(datacenter)}"
        case grammar.SeveralTags(service, tags, datacenter):
            each = " and ".join(map(_text, tags))
            return f"service {_text(service)} with tags {each}{_in(datacenter)}"
        case grammar.Apex():
            return "the domain itself"
        case grammar.NameServer():
            return "the name server of the domain"
        case _:
            return f"Consul: {_reading_of_consul(lookup)}{_in(getattr(lookup, 'datacenter', None))}"


def _reading_of_consul(lookup: Lookup) -> str:
    match lookup:
        case grammar.ServiceName(service, tag, _, srv_only):
            name = f"service {_text(service)}{'' if tag is None else f' with tag {_text(tag)}'}"
            return f"{name}, the keyword left out" if srv_only else name
        case grammar.NodeName(node):
            return f"node {_text(node)}"
        case grammar.AddressName(packed):
            return f"the address {ip_address(packed)}, spelt by the name itself"
        case grammar.DatacenterNonTerminal():
            return "above all names of a kind, or of a datacenter"
        case grammar.TagNonTerminal(tag):
            return f"above names with tag {_text(tag)}"
        case grammar.DottedTagNonTerminal(service, suffix):
            return f"above a tag of service {_text(service)} that ends in {_text(b'.' + suffix)}"
    raise AssertionError(lookup)


def _kubernetes(path: Labels) -> str:
    match path:
        case ():
            return "the zone itself"
        case (namespace, b"svc"):
            return f"namespace {_text(namespace)}"
        case (service, namespace, b"svc"):
            return f"service {_text(service)} in namespace {_text(namespace)}"
        case (label, service, namespace, b"svc"):
            part = "ports" if label.startswith(b"_") else "endpoint"
            where = f"service {_text(service)} in namespace {_text(namespace)}"
            return f"{part} {_text(label)} of {where}"
        case (port, protocol, service, namespace, b"svc"):
            where = f"service {_text(service)} in namespace {_text(namespace)}"
            return f"port {_text(port + b'.' + protocol)} of {where}"
        case (address, namespace, b"pod"):
            return f"pod {_text(address)} in namespace {_text(namespace)}"
    return _text(b".".join(path))


def _in(datacenter: bytes | None) -> str:
    return "" if datacenter is None else f", datacenter {_text(datacenter)}"


def _text(label: bytes) -> str:
    return f'"{label.decode(errors="backslashreplace")}"'


def result(lookup: Lookup, finding: Finding, request: Request) -> str:
    """What a reading found, and if nothing, why."""
    match finding.outcome:
        case Outcome.ANSWER:
            count = sum(len(each.records) for each in finding.groups)
            return f"{count} record{'' if count == 1 else 's'}{_of_cluster(lookup, request)}"
        case Outcome.NODATA if finding.is_empty_non_terminal:
            return EMPTY_NON_TERMINAL
        case Outcome.NODATA:
            return f"it exists, but has no record of type {type_name(request.type)}"
        case Outcome.SERVFAIL:
            return f"the cluster {request.zone.cluster!r} is not synced: nothing can be said"
    return _missing(lookup, request)


def _of_cluster(lookup: Lookup, request: Request) -> str:
    """Which cluster a service is of: several may have the namespace."""
    if not isinstance(lookup, grammar.KubernetesName) or len(lookup.path) < 3:
        return ""
    if lookup.path[-1] != b"svc":
        return ""
    datacenter = request.datacenter(lookup.datacenter) or ""
    namespaces = request.reading.clusters(datacenter).all_namespaces
    service = namespaces.get(lookup.path[-2], {}).get(lookup.path[-3])
    return ", synced by consul-k8s" if service is None else f", of cluster {service.cluster!r}"


def _missing(lookup: Lookup, request: Request) -> str:
    """Why a reading found nothing."""
    label = getattr(lookup, "datacenter", None)
    datacenter = request.datacenter(label)
    if datacenter is None:
        return f"there is no datacenter {_text(label or b'')}"
    match lookup:
        case grammar.ServiceName(service, tag):
            return _missing_service(service, () if tag is None else (tag,), datacenter, request)
        case grammar.SeveralTags(service, tags):
            return _missing_service(service, tags, datacenter, request)
        case grammar.NodeName():
            return "there is no such node"
        case grammar.DottedServiceName():
            return "there is no such service, or no healthy instance with what is left of it as tag"
        case grammar.KubernetesName(path):
            return _missing_in_clusters(path, datacenter, request)
        case grammar.ClusterName(path):
            namespaces = request.reading.clusters(datacenter).namespaces_of[request.zone.cluster]
            return _missing_in_cluster(path, namespaces)
    return "there is none"


def _missing_service(service: bytes, tags: Labels, datacenter: str, request: Request) -> str:
    services = request.reading.services(datacenter)
    if service not in services.by_name:
        return f"there is no service {_text(service)}"
    for tag in tags:
        if tag not in services.folded_tags:
            return f"no service has the tag {_text(tag)}"
    every = request.reading.instances(datacenter, services.by_name[service]).instances
    healthy = request.instances(datacenter, service)
    if not healthy:
        return f"none of its {len(every)} instances is healthy"
    return f"none of its {len(healthy)} healthy instances has {' and '.join(map(_text, tags))}"


def _missing_in_clusters(path: Labels, datacenter: str, request: Request) -> str:
    """`path` is left of the default zone, which has what consul-k8s has synced, too."""
    clusters = request.reading.clusters(datacenter)
    reason = "no Kubernetes cluster is in Consul"
    if clusters.clusters:
        reason = _missing_in_cluster(path, clusters.all_namespaces)
    if len(path) < 3 or path[-1] != b"svc" or not consul_k8s.is_used(datacenter, request):
        return reason
    candidates = consul_k8s.catalog_names(path[-3], path[-2], request)
    listed = request.reading.services(datacenter).by_name
    present = [_text(name) for name in candidates if name in listed]
    if present:
        what = "no healthy instance in the namespace"
        if len(path) > len((b"service", b"namespace", b"svc")):
            what = "no such endpoint or port that is healthy"
        return f"{reason}; of consul-k8s, {' or '.join(present)} has {what}"
    return f"{reason}; nor has consul-k8s synced {' or '.join(map(_text, candidates))}"


def _missing_in_cluster(path: Labels, namespaces: Namespaces) -> str:
    """`path` is left of the zone."""
    labels, kind = path[:-1], path[-1]
    if kind not in grammar.KUBERNETES_KINDS:
        return f"{_text(kind)} is none of svc, pod and dns"
    if kind == b"pod":
        return "there is no such pod, or names of pods are disabled"
    if kind != b"svc" or not labels:
        return "there is no such name"
    if labels[-1] not in namespaces:
        return f"there is no namespace {_text(labels[-1])}"
    service = namespaces[labels[-1]].get(labels[-2])
    if service is None:
        return f"the namespace has no service {_text(labels[-2])}"
    if service.external_name and len(labels) == 2:
        return (
            f"its external name {service.external_name!r} leads to no name that an alias can have"
        )
    if service.external_name:
        return "the service is an ExternalName, which has no names below it"
    if service.is_headless and len(labels) == 2:
        return "the service is headless, and no endpoint of it is ready"
    return "the service has no such endpoint or port that is ready"


def view(key: ViewKey) -> str:
    """A view, in words."""
    return key.label
