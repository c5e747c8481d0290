"""Text for interpretations, findings and views: what `query --explain` shows."""

from ipaddress import ip_address

from consuldns.dns.answer import (
    Address,
    Outcome,
    RawData,
    Record,
    ServiceTarget,
    StartOfAuthority,
    Target,
    Text,
)
from consuldns.dns.explain.reasons import quoted, sentence
from consuldns.dns.finder import Finding, Reason
from consuldns.dns.grammar import meanings
from consuldns.dns.grammar.kubernetes import Form, RecordRequest
from consuldns.dns.grammar.meanings import Interpretation, Tenancy
from consuldns.dns.question import Type
from consuldns.names import format_name
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
        case RawData(content):
            return f"\\# {len(content)} {content.hex()}"


def interpretation(meaning: Interpretation) -> str:
    """What an interpretation takes the name for."""
    match meaning:
        case meanings.KubernetesName(asked, datacenter):
            return f"Kubernetes: {_kubernetes(asked)}{_in(datacenter)}"
        case meanings.ClusterName(asked):
            return f"Kubernetes: {_kubernetes(asked)}, in the cluster that the zone is of"
        case meanings.DottedServiceName(parts, datacenter):
            return f"service with dots in its name: {quoted(b'.'.join(parts))}{_in(datacenter)}"
        case meanings.SeveralTags(service, tags, datacenter):
            each = " and ".join(map(quoted, tags))
            return f"service {quoted(service)} with tags {each}{_in(datacenter)}"
        case meanings.NetworkNonTerminal():
            return "above the addresses of a network"
    if type(meaning) in FIXED:
        return FIXED[type(meaning)]
    return f"Consul: {_of_consul(meaning)}{_in(getattr(meaning, 'datacenter', None))}"


FIXED: dict[type[Interpretation], str] = {
    meanings.Apex: "the zone itself",
    meanings.NameServer: "the name server of the domain",
    meanings.RecordName: "a name of a zone in the KV tree",
    meanings.AddressKey: "a key of the KV tree",
    meanings.AddressOfKubernetes: "a Kubernetes service",
    meanings.AddressOfNode: "a node",
    meanings.AddressOfService: "an instance of a service",
}


def _of_consul(meaning: Interpretation) -> str:
    match meaning:
        case meanings.ServiceName(service, tag, _, srv_only):
            name = f"service {quoted(service)}{'' if tag is None else f' with tag {quoted(tag)}'}"
            return f"{name}, the keyword left out" if srv_only else name
        case meanings.ConnectName(service):
            return f"service mesh endpoints of {quoted(service)}"
        case meanings.IngressName(service):
            return f"ingress gateways of {quoted(service)}"
        case meanings.QueryName(query):
            return f"prepared query {quoted(query)}"
        case meanings.NodeName(node):
            return f"node {quoted(node)}"
        case meanings.AddressName(packed):
            return f"the address {ip_address(packed)}, spelled by the name itself"
        case meanings.DatacenterNonTerminal():
            return "above all names of a kind, or of a datacenter"
        case meanings.TagNonTerminal(tag):
            return f"above names with tag {quoted(tag)}"
        case meanings.DottedTagNonTerminal(service, suffix):
            return f"above a tag of service {quoted(service)} that ends in {quoted(b'.' + suffix)}"
    return _of_later_versions(meaning)


def _of_later_versions(meaning: Interpretation) -> str:
    match meaning:
        case meanings.TenantServiceName(service, tag, _, tenancy):
            name = f"service {quoted(service)}{'' if tag is None else f' with tag {quoted(tag)}'}"
            return f"{name}{_tenancy(tenancy)}"
        case meanings.PeerNodeName(node, peer):
            return f"node {quoted(node)}, peer {quoted(peer)}"
        case meanings.PartitionNodeName(node, _, partition):
            return f"node {quoted(node)}, partition {quoted(partition)}"
        case meanings.VirtualName(service, _, tenancy):
            return f"virtual address of {quoted(service)}{_tenancy(tenancy)}"
        case meanings.ProtocolName(service, _, is_whole):
            name = f"service {quoted(service)}, by service and protocol"
            return name if is_whole else f"above {name}"
        case meanings.PortName(port, service):
            return f"port {quoted(port)} of service {quoted(service)}"
        case meanings.LocalityNonTerminal():
            return "above names that say where"
    raise AssertionError(meaning)


def _tenancy(tenancy: Tenancy) -> str:
    parts = {
        "peer": tenancy.peer,
        "namespace": tenancy.namespace,
        "partition": tenancy.partition,
        "sameness group": tenancy.group,
    }
    return "".join(f", {kind} {quoted(value)}" for kind, value in parts.items() if value)


FORMS: dict[Form, str] = {
    Form.ZONE: "the zone itself",
    Form.NAMESPACE: "namespace {namespace}",
    Form.SERVICE: "service {service} in namespace {namespace}",
    Form.ENDPOINT: "endpoint {left} of service {service} in namespace {namespace}",
    Form.PROTOCOL: "ports {left} of service {service} in namespace {namespace}",
    Form.PORT: "port {left} of service {service} in namespace {namespace}",
    Form.BELOW_SERVICE: "{left} below service {service} in namespace {namespace}",
    Form.POD_NAMESPACE: "pods in namespace {namespace}",
    Form.POD: "pod {pod} in namespace {namespace}",
    Form.BELOW_POD: "{left} below pod {pod} in namespace {namespace}",
}


def _kubernetes(asked: RecordRequest) -> str:
    return FORMS.get(asked.form, "{left}").format(
        namespace=quoted(asked.namespace),
        service=quoted(asked.service),
        pod=quoted(asked.pod),
        left=quoted(b".".join(asked.left)),
    )


def _in(datacenter: bytes | None) -> str:
    return "" if datacenter is None else f", datacenter {quoted(datacenter)}"


def result(finding: Finding, type_: int) -> str:
    """What was found for an interpretation, and if nothing, why."""
    reasons = [sentence(each) for each in finding.why]
    match finding.outcome:
        case Outcome.ANSWER if finding.why and finding.why[0].reason is Reason.POINTS_TO:
            return reasons[0]
        case Outcome.ANSWER:
            count = sum(len(each.records) for each in finding.groups)
            return ", ".join([f"{count} record{'' if count == 1 else 's'}", *reasons])
        case Outcome.NODATA if finding.is_empty_non_terminal:
            return EMPTY_NON_TERMINAL
        case Outcome.NODATA:
            return f"it exists, but has no record of type {type_name(type_)}"
    return "; ".join(reasons)


def view(key: ViewKey) -> str:
    """What a view is of."""
    return key.label
