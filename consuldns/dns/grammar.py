"""What the labels of a name mean: text analysis alone, nothing is looked up.

    primary.db.service.dc1 . consul        labels, left of the domain
    '--parts-'  kind  'locality'

Consul walks the labels from the right; the first keyword splits them. What is left of it says what
is looked for, what is right of it says where: nothing, or a datacenter. For SRV the keyword
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

import msgspec

from consuldns import names
from consuldns.dns.kubernetes_grammar import KUBERNETES_KINDS, RecordRequest, of_kubernetes
from consuldns.names import Labels

KEYWORDS = frozenset((b"service", b"connect", b"virtual", b"ingress", b"node", b"query", b"addr"))

# RFC 2782 wants a protocol; Consul takes `_tcp`, and an empty tag, for "whatever the tag".
ANY_TAG = frozenset((b"tcp", b""))


class _Underscored:
    """Every label that begins with an underscore, as in the forms of RFC 2782."""

    def __contains__(self, label: bytes, /) -> bool:
        return label[:1] == b"_"


# Labels that may exist below any name of Consul's: keywords, `ns`, and tags, which are not listed
# with underscores.
ALWAYS_BELOW = (KEYWORDS | {b"ns"}, _Underscored())


class _Interpretation(msgspec.Struct, frozen=True):
    """What a name may mean. (A structure is made in a fifth of a dataclass's time.)"""


class Apex(_Interpretation, frozen=True):
    """The domain itself."""


class NameServer(_Interpretation, frozen=True):
    """`ns.D`: this server, named by the SOA of every zone."""


class ServiceName(_Interpretation, frozen=True):
    """`[<tag>.]<service>.service[.<dc>].D` and the RFC 2782 forms of it.

    `datacenter` None is that of the agent. `srv_only`: the keyword is missing, which SRV alone may.
    """

    service: bytes
    tag: bytes | None
    datacenter: bytes | None
    srv_only: bool = False


class ConnectName(_Interpretation, frozen=True):
    """`[<ignored>.]<service>.connect[.<dc>].D`: what accepts mesh connections for a service."""

    service: bytes
    datacenter: bytes | None


class IngressName(_Interpretation, frozen=True):
    """`[<ignored>.]<service>.ingress[.<dc>].D`: the ingress gateways that expose a service."""

    service: bytes
    datacenter: bytes | None


class QueryName(_Interpretation, frozen=True):
    """`<query>.query[.<dc>].D`, or `_<query>._tcp.query`: a prepared query, by its name or id.

    A name may hold dots.
    """

    query: bytes
    datacenter: bytes | None


class NodeName(_Interpretation, frozen=True):
    """`<node>.node[.<dc>].D`: a node's name, which may hold dots, or (the beginning of) its id."""

    node: bytes
    datacenter: bytes | None


class AddressName(_Interpretation, frozen=True):
    """`<hexadecimal>.addr.D`: an address as a name, so that SRV can point at it."""

    packed: bytes


class DatacenterNonTerminal(_Interpretation, frozen=True):
    """`<dc>.D`, `service[.<dc>].D` and the like: exists if the datacenter does (None always)."""

    datacenter: bytes | None


class TagNonTerminal(_Interpretation, frozen=True):
    """`_<tag>[.service][.<dc>].D`: exists if `_<service>._<tag>` may exist below it."""

    tag: bytes
    datacenter: bytes | None


class DottedTagNonTerminal(_Interpretation, frozen=True):
    """`2.db.service.D`: exists if `db` has a tag `v1.2`."""

    service: bytes
    suffix: bytes
    datacenter: bytes | None


class KubernetesName(_Interpretation, frozen=True):
    """`<svc>.<ns>.svc.<dc>.D` and all of the Kubernetes DNS specification; the same by `service`.

    `asked` is what stands left of the zone, `redis.default.svc`; `<svc>.<ns>.service…` has the
    same.
    """

    asked: RecordRequest
    datacenter: bytes | None


class ClusterName(_Interpretation, frozen=True):
    """A name in a zone of a Kubernetes cluster. `asked` is what stands left of the zone."""

    asked: RecordRequest


class DottedServiceName(_Interpretation, frozen=True):
    """`[<tag>.]a.b.c.service[.<dc>].D`: a service `a.b.c`, or above one, `b.c.service…`."""

    parts: Labels
    datacenter: bytes | None


class SeveralTags(_Interpretation, frozen=True):
    """`<tag>.<tag>.<service>.service[.<dc>].D`: instances that have all the tags."""

    service: bytes
    tags: Labels
    datacenter: bytes | None


class AddressKey(_Interpretation, frozen=True):
    """A whole address in a reverse tree (packed): what a key of the KV tree says of it."""

    packed: bytes


class AddressOfKubernetes(_Interpretation, frozen=True):
    """A whole address in a reverse tree (packed), as that of a Kubernetes service."""

    packed: bytes


class AddressOfNode(_Interpretation, frozen=True):
    """A whole address in a reverse tree (packed), as that of a node."""

    packed: bytes


class AddressOfService(_Interpretation, frozen=True):
    """A whole address in a reverse tree (packed), as that of an instance of a service."""

    packed: bytes


class NetworkNonTerminal(_Interpretation, frozen=True):
    """Above addresses in a reverse tree: exists if the network holds an address that we know.

    `network` is as in `names.network_of`.
    """

    network: tuple[int, str]


Interpretation = (
    Apex
    | NameServer
    | ServiceName
    | ConnectName
    | IngressName
    | QueryName
    | NodeName
    | AddressName
    | DatacenterNonTerminal
    | TagNonTerminal
    | DottedTagNonTerminal
    | KubernetesName
    | ClusterName
    | DottedServiceName
    | SeveralTags
    | AddressKey
    | AddressOfKubernetes
    | AddressOfNode
    | AddressOfService
    | NetworkNonTerminal
)


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
    return found


def nested(labels: Labels) -> list[Interpretation]:
    """The interpretations that Consul refuses; at least one label."""
    found: list[Interpretation] = []
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
    if len(parts) > 2:
        found.append(SeveralTags(parts[-1], parts[:-1], datacenter))
    return found


def _with_keyword(keyword: bytes, parts: Labels, locality: Labels) -> list[Interpretation]:
    if keyword == b"addr" and parts:
        # Consul answers whatever the locality is, and so many labels of it.
        packed = _hexadecimal_address(parts[0]) if len(parts) == 1 else None
        return [] if packed is None else [AddressName(packed)]
    if len(locality) > 1:
        return []
    datacenter = locality[0] if locality else None
    if not parts:
        return [DatacenterNonTerminal(datacenter)]
    if keyword == b"service":
        return _service(parts, datacenter, srv_only=False)
    if keyword == b"node":
        return [NodeName(b".".join(parts), datacenter)]
    if keyword == b"connect":
        return [ConnectName(parts[-1], datacenter)]
    if keyword == b"ingress":
        return [IngressName(parts[-1], datacenter)]
    if keyword == b"query":
        return _query(parts, datacenter)
    return []


def _query(parts: Labels, datacenter: bytes | None) -> list[Interpretation]:
    """Consul takes `_<query>._<anything>` for RFC 2782 (from 1.15 on)."""
    is_underscored = all([label[0] == ord("_") for label in parts])
    if is_underscored and len(parts) == 2:
        return [QueryName(parts[0][1:], datacenter)]
    if is_underscored and len(parts) == 1:  # above such a name
        return [DatacenterNonTerminal(datacenter)]
    return [QueryName(b".".join(parts), datacenter)]


def _without_keyword(parts: Labels, locality: Labels) -> list[Interpretation]:
    if len(locality) > 1:
        return []
    return _service(parts, locality[0] if locality else None, srv_only=True)


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
