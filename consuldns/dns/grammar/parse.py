"""What the labels of a name mean: text analysis alone, nothing is looked up.

    primary.db.service.dc1 . consul        labels, left of the domain
    '--parts-'  kind  'locality'

Consul walks the labels from the right; the first keyword splits them. What is left of it says what
is looked for, what is right of it says where (`locality`). For SRV the keyword
`service` may be left out if a label begins with an underscore.

A name can be interpreted in more than one way, so `interpretations` gives a list, best first: the
first one that finds something is the answer, and the name exists if any finds that it exists. Names
that exist only because names exist below them (empty non-terminals, RFC 8020) are interpretations
as well: the `...NonTerminal` ones. None depends on the type of the question, so that no name exists
for one type and not for another.

Consul's own interpretations come first, so that nothing which Consul answers changes; then those
that Consul refuses: nested Kubernetes names, services with dots in their names, several tags.

A name is parsed here and nowhere else: what a finder needs of it is a field.
"""

from consuldns import names
from consuldns.dns.grammar import locality
from consuldns.dns.grammar.kubernetes import KUBERNETES_KINDS, of_kubernetes
from consuldns.dns.grammar.locality import Locality
from consuldns.dns.grammar.meanings import (
    ANY_TAG,
    PROTOCOLS,
    AddressKey,
    AddressName,
    AddressOfKubernetes,
    AddressOfNode,
    AddressOfService,
    Apex,
    ConnectName,
    DatacenterNonTerminal,
    DottedServiceName,
    DottedTagNonTerminal,
    IngressName,
    Interpretation,
    KubernetesName,
    LocalityNonTerminal,
    NameServer,
    NetworkNonTerminal,
    NodeName,
    PartitionNodeName,
    PeerNodeName,
    PortName,
    ProtocolName,
    QueryName,
    ServiceName,
    SeveralTags,
    TagNonTerminal,
    Tenancy,
    TenantServiceName,
    VirtualName,
)
from consuldns.names import Labels

KEYWORDS = frozenset((b"service", b"connect", b"virtual", b"ingress", b"node", b"query", b"addr"))


class _Underscored:
    """Every label that begins with an underscore, as in the forms of RFC 2782."""

    def __contains__(self, label: bytes, /) -> bool:
        return label[:1] == b"_"


# Labels that may exist below any name of Consul's: keywords, kinds of localities, and tags, which
# are not listed with underscores.
ALWAYS_BELOW = (KEYWORDS.union(locality.KINDS), _Underscored())

_BEFORE_DATACENTERS = KUBERNETES_KINDS | {b"service"}


def of_reverse(name: Labels, *, is_apex: bool) -> list[Interpretation]:
    """What a whole folded name in a reverse tree can mean, the first to be believed first."""
    address = names.address_of(name)
    if address is not None:
        packed = address.packed
        found: list[Interpretation] = [
            AddressKey(packed),
            AddressOfKubernetes(packed),
            AddressOfNode(packed),
            AddressOfService(packed),
        ]
        return [*found, Apex()] if is_apex else found
    if is_apex:
        return [Apex()]
    network = names.network_of(name)
    return [] if network is None else [NetworkNonTerminal(network)]


def interpretations(labels: Labels) -> list[Interpretation]:
    """What the folded labels left of the domain can mean, best first; empty: nothing at all."""
    if not labels:
        return [Apex()]
    if b"." in b"".join(labels):
        return []  # nothing that Consul names has a dot in a label: there it parts tags
    return of_consul(labels) + nested(labels)


def anywhere_below(name: Labels, domain: Labels) -> bytes:
    """The label that makes names exist wherever it is below a folded name: `<hexadecimal>.addr`.

    Unless a keyword stands right of it.
    """
    return b"" if KEYWORDS.intersection(name[: len(name) - len(domain)]) else b"addr"


def of_consul(labels: Labels) -> list[Interpretation]:
    """How Consul itself interprets the labels, at least one."""
    found: list[Interpretation] = []
    underscored = False
    for position in range(len(labels) - 1, -1, -1):
        label = labels[position]
        if label in KEYWORDS:
            return found + _with_keyword(label, labels[:position], labels[position + 1 :])
        if not underscored and label[0] == ord("_"):
            underscored = True
            found += _without_keyword(labels[: position + 1], labels[position + 1 :])
    if labels == (b"ns",):
        found.append(NameServer())
    if len(labels) == 1:
        found.append(DatacenterNonTerminal(labels[0]))
    if labels[-1] in locality.NON_TERMINALS and len(labels) <= 2 and labels != (b"ns",):
        found.append(LocalityNonTerminal(labels[0] if len(labels) > 1 else b"", labels[-1]))
    return found


def nested(labels: Labels) -> list[Interpretation]:
    """The interpretations that Consul refuses; at least one label."""
    found: list[Interpretation] = []
    if len(labels) > 3 and labels[-1] == b"dc" and labels[-3] in _BEFORE_DATACENTERS:
        labels = labels[:-1]  # `<dc>.dc`, as Consul's own names may end
    if len(labels) > 1 and labels[-2] in KUBERNETES_KINDS:
        found.append(KubernetesName(of_kubernetes(labels[:-1]), labels[-1]))
    if labels[-1] == b"service":
        parts, datacenter = labels[:-1], None
    elif len(labels) > 1 and labels[-2] == b"service" and labels[-1] not in KEYWORDS:
        parts, datacenter = labels[:-2], labels[-1]
    else:
        return found
    if parts:
        found.append(KubernetesName(of_kubernetes((*parts, b"svc")), datacenter))
        found.append(DottedServiceName(parts, datacenter))
    if len(parts) == 3 and parts[1] == b"port":
        found.append(PortName(parts[0], parts[2], datacenter))
    if len(parts) > 2:
        found.append(SeveralTags(parts[-1], parts[:-1], datacenter))
    is_whole = len(parts) == 3 and parts[0][0] == ord("_")
    if (is_whole or len(parts) == 2) and parts[-2] in PROTOCOLS and parts[-1][0] != ord("_"):
        found.append(ProtocolName(parts[-1], datacenter, is_whole))
    return found


def _with_keyword(keyword: bytes, parts: Labels, right: Labels) -> list[Interpretation]:
    if keyword == b"addr" and parts:
        # Consul answers whatever the locality is, and so many labels of it.
        packed = _hexadecimal_address(parts[0]) if len(parts) == 1 else None
        return [] if packed is None else [AddressName(packed)]
    where = locality.of_labels(right)
    if where is None:
        return []
    if keyword == b"virtual" and parts:
        return _virtual(parts, where, is_short=len(right) == 1)
    if where.port or where.tenancy != locality.NO_TENANCY:
        return _in_tenancy(keyword, parts, where)
    if not parts:
        return [DatacenterNonTerminal(where.datacenter)]
    return _in_datacenter(keyword, parts, where.datacenter)


def _in_datacenter(keyword: bytes, parts: Labels, datacenter: bytes | None) -> list[Interpretation]:
    match keyword:
        case b"service":
            return _service(parts, datacenter, srv_only=False)
        case b"node":
            return [NodeName(b".".join(parts), datacenter)]
        case b"connect":
            return [ConnectName(parts[-1], datacenter)]
        case b"ingress":
            return [IngressName(parts[-1], datacenter)]
        case b"query":
            return _query(parts, datacenter)
    return []


def _virtual(parts: Labels, where: Locality, *, is_short: bool) -> list[Interpretation]:
    """`<service>.virtual.<peer>`: alone, a label is a peer here, and not a datacenter."""
    tenancy, datacenter = where.tenancy, where.datacenter
    if is_short:
        tenancy, datacenter = Tenancy(peer=datacenter or b""), None
    return [] if where.port else [VirtualName(parts[-1], datacenter, tenancy)]


def _in_tenancy(keyword: bytes, parts: Labels, where: Locality) -> list[Interpretation]:
    """Names with explicit labels for where, but for a datacenter alone."""
    datacenter, tenancy = where.datacenter, where.tenancy
    if where.port:
        is_plain = keyword == b"service" and len(parts) == 1
        if not is_plain or tenancy != locality.NO_TENANCY:
            return []
        return [PortName(where.port, parts[0], datacenter)]
    if not parts and keyword in (b"service", b"node"):
        value, kind = (tenancy.peer, b"peer") if tenancy.peer else (b"", b"ap")
        return [LocalityNonTerminal(value, kind)]
    if keyword == b"service":
        plain = _service(parts, datacenter, srv_only=False)
        return [
            TenantServiceName(each.service, each.tag, datacenter, tenancy)
            for each in plain
            if isinstance(each, ServiceName)
        ]
    if keyword == b"node" and parts and tenancy.peer:
        return [PeerNodeName(b".".join(parts), tenancy.peer)]
    if keyword == b"node" and parts and tenancy == Tenancy(partition=tenancy.partition):
        return [PartitionNodeName(b".".join(parts), datacenter, tenancy.partition)]
    return []


def _query(parts: Labels, datacenter: bytes | None) -> list[Interpretation]:
    """Consul takes `_<query>._<anything>` for RFC 2782 (from 1.15 on)."""
    is_underscored = all([label[0] == ord("_") for label in parts])
    if is_underscored and len(parts) == 2:
        return [QueryName(parts[0][1:], datacenter)]
    if is_underscored and len(parts) == 1:  # above such a name
        return [DatacenterNonTerminal(datacenter)]
    return [QueryName(b".".join(parts), datacenter)]


def _without_keyword(parts: Labels, right: Labels) -> list[Interpretation]:
    where = locality.of_labels(right)
    if where is None or where.port or where.tenancy != locality.NO_TENANCY:
        return []
    return _service(parts, where.datacenter, srv_only=True)


def _service(parts: Labels, datacenter: bytes | None, *, srv_only: bool) -> list[Interpretation]:
    """Interpretations of what is left of `service`; at least one label."""
    name, tags = parts[-1], parts[:-1]
    if not tags:
        alone = ServiceName(name, None, datacenter, srv_only)
        return [alone, TagNonTerminal(name[1:], datacenter)] if name[0] == ord("_") else [alone]
    tag = b".".join(tags)
    above = DottedTagNonTerminal(name, tag, datacenter)
    if len(parts) == 2 and name[0] == tag[0] == ord("_"):
        wanted = None if name[1:] in ANY_TAG else name[1:]
        return [ServiceName(tag[1:], wanted, datacenter, srv_only), above]
    return [ServiceName(name, tag, datacenter, srv_only), above]


def _hexadecimal_address(label: bytes) -> bytes | None:
    if len(label) not in (8, 32) or label.strip(b"0123456789abcdef"):
        return None
    return bytes.fromhex(label.decode())
