"""What the labels of a name mean: text analysis alone, nothing is looked up.

    primary.db.service.dc1 . consul        labels, left of the domain
    '--parts-'  kind  'locality'

Consul walks the labels from the right; the first keyword splits them. What is left of it says what
is looked for, what is right of it says where: nothing, or a datacenter. For SRV the keyword
`service` may be left out if a label begins with an underscore.

A name can be read in more than one way, so `readings` gives a list, best first: the first reading
that finds something is the answer, and the name exists if any reading finds that it exists. Names
that exist only because names exist below them (empty non-terminals, RFC 8020) are readings as well:
the `...Branch` ones. Readings do not depend on the type that is asked, so that no name exists for
one type and not for another.

Consul's own readings come first, so that nothing which Consul answers changes; then those that
Consul refuses: nested Kubernetes names, services with dots in their names, several tags.
"""

import msgspec

from consuldns.names import Labels

KEYWORDS = frozenset((b"service", b"connect", b"virtual", b"ingress", b"node", b"query", b"addr"))

# What the last label left of a Kubernetes zone can be.
KUBERNETES_KINDS = frozenset((b"svc", b"pod", b"dns", b"dns-version"))

# RFC 2782 wants a protocol; Consul takes `_tcp`, and an empty tag, for "whatever the tag".
ANY_TAG = frozenset((b"tcp", b""))


class _Lookup(msgspec.Struct, frozen=True):
    """A meaning of a name. (A structure is made in a fifth of a dataclass's time.)"""


class Apex(_Lookup, frozen=True):
    """The domain itself."""


class NameServer(_Lookup, frozen=True):
    """`ns.D`: this server, named by the SOA of every zone."""


class ServiceName(_Lookup, frozen=True):
    """`[<tag>.]<service>.service[.<dc>].D` and the RFC 2782 forms of it.

    `datacenter` None is that of the agent. `srv_only`: the keyword is missing, which SRV alone may.
    """

    service: bytes
    tag: bytes | None
    datacenter: bytes | None
    srv_only: bool = False


class NodeName(_Lookup, frozen=True):
    """`<node>.node[.<dc>].D`: a node's name, which may hold dots, or (the beginning of) its id."""

    node: bytes
    datacenter: bytes | None


class AddressName(_Lookup, frozen=True):
    """`<hexadecimal>.addr.D`: an address as a name, so that SRV can point at it."""

    packed: bytes


class DatacenterNonTerminal(_Lookup, frozen=True):
    """`<dc>.D`, `service[.<dc>].D` and the like: exists if the datacenter does (None always)."""

    datacenter: bytes | None


class TagNonTerminal(_Lookup, frozen=True):
    """`_<tag>[.service][.<dc>].D`: exists if `_<service>._<tag>` may exist below it."""

    tag: bytes
    datacenter: bytes | None


class DottedTagNonTerminal(_Lookup, frozen=True):
    """`2.db.service.D`: exists if `db` has a tag `v1.2`."""

    service: bytes
    suffix: bytes
    datacenter: bytes | None


class KubernetesName(_Lookup, frozen=True):
    """`<svc>.<ns>.svc.<dc>.D` and all of the Kubernetes DNS specification; the same by `service`.

    `path` is what is left of the zone, `redis.default.svc`; `<svc>.<ns>.service…` has the same.
    """

    path: Labels
    datacenter: bytes | None


class ClusterName(_Lookup, frozen=True):
    """A name in a zone of a Kubernetes cluster. `path` is what is left of the zone."""

    path: Labels


class DottedServiceName(_Lookup, frozen=True):
    """`[<tag>.]a.b.c.service[.<dc>].D`: a service `a.b.c`, or above one, `b.c.service…`."""

    parts: Labels
    datacenter: bytes | None


class SeveralTags(_Lookup, frozen=True):
    """`<tag>.<tag>.<service>.service[.<dc>].D`: instances that have all the tags."""

    service: bytes
    tags: Labels
    datacenter: bytes | None


Lookup = (
    Apex
    | NameServer
    | ServiceName
    | NodeName
    | AddressName
    | DatacenterNonTerminal
    | TagNonTerminal
    | DottedTagNonTerminal
    | KubernetesName
    | ClusterName
    | DottedServiceName
    | SeveralTags
)


def readings(labels: Labels) -> list[Lookup]:
    """What the folded labels left of the domain can mean, best first; empty: nothing at all."""
    if not labels:
        return [Apex()]
    if any(b"." in label for label in labels):
        return []  # nothing that Consul names has a dot in a label: there it parts tags
    return of_consul(labels) + nested(labels)


def of_consul(labels: Labels) -> list[Lookup]:
    """How Consul itself reads the labels, at least one."""
    found: list[Lookup] = []
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


def nested(labels: Labels) -> list[Lookup]:
    """The readings that Consul refuses; at least one label."""
    found: list[Lookup] = []
    if len(labels) > 1 and labels[-2] in KUBERNETES_KINDS:
        found.append(KubernetesName(labels[:-1], labels[-1]))
    if labels[-1] == b"service":
        parts, datacenter = labels[:-1], None
    elif len(labels) > 1 and labels[-2] == b"service" and labels[-1] not in KEYWORDS:
        parts, datacenter = labels[:-2], labels[-1]
    else:
        return found
    if parts:
        found.append(KubernetesName((*parts, b"svc"), datacenter))
        found.append(DottedServiceName(parts, datacenter))
    if len(parts) > 2:
        found.append(SeveralTags(parts[-1], parts[:-1], datacenter))
    return found


def _with_keyword(keyword: bytes, parts: Labels, locality: Labels) -> list[Lookup]:
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
    return []


def _without_keyword(parts: Labels, locality: Labels) -> list[Lookup]:
    if len(locality) > 1:
        return []
    return _service(parts, locality[0] if locality else None, srv_only=True)


def _service(parts: Labels, datacenter: bytes | None, *, srv_only: bool) -> list[Lookup]:
    """Readings of what is left of `service`; at least one label."""
    name, tags = parts[-1], parts[:-1]
    if not tags:
        alone = ServiceName(name, None, datacenter, srv_only)
        return [alone, TagNonTerminal(name[1:], datacenter)] if name[0] == ord("_") else [alone]
    tag = b".".join(tags)
    branch = DottedTagNonTerminal(name, tag, datacenter)
    if len(parts) == 2 and name[0] == tag[0] == ord("_"):
        wanted = None if name[1:] in ANY_TAG else name[1:]
        return [ServiceName(tag[1:], wanted, datacenter, srv_only), branch]
    return [ServiceName(name, tag, datacenter, srv_only), branch]


def _hexadecimal_address(label: bytes) -> bytes | None:
    if len(label) not in (8, 32) or label.strip(b"0123456789abcdef"):
        return None
    return bytes.fromhex(label.decode())
