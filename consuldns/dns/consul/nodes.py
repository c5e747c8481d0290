"""Answers node names and names of addresses. The health of a node does not matter here."""

from msgspec.structs import replace

from consuldns.dns import consul_rules, records
from consuldns.dns.answer import Outcome, Record, RecordGroup, address_type
from consuldns.dns.finder import (
    EMPTY_NON_TERMINAL,
    NODATA,
    Finding,
    Reason,
    Request,
    found,
    missing,
    missing_below,
)
from consuldns.dns.grammar.meanings import AddressName, NodeName
from consuldns.dns.question import Type
from consuldns.views.model import Node, Nodes

_NXDOMAIN = Outcome.NXDOMAIN
_COMPUTED_NODATA = Finding(Outcome.NODATA, is_computed=True)


def find(name: NodeName, request: Request) -> Finding:
    """The address of a node, and its metadata as TXT."""
    datacenter = request.datacenter(name.datacenter)
    if datacenter is None:
        return request.no_datacenter(name.datacenter)
    nodes = request.views.nodes(datacenter)
    finding = find_among(nodes, name.node, request, datacenter)
    return _missing(name, nodes, request) if finding.outcome is _NXDOMAIN else finding


def find_among(nodes: Nodes, name: bytes, request: Request, datacenter: str = "") -> Finding:
    """The node that a name or the beginning of an id stands for."""
    node = nodes.by_name.get(name) or _by_id(name, nodes)
    if node is not None:
        is_local = not datacenter or datacenter == request.views.datacenters().local
        translated = request.policy.translate_wan_addrs and not is_local
        return _answer(consul_rules.node_over_wan(node) if translated else node, request)
    if name in nodes.name_suffixes:
        return EMPTY_NON_TERMINAL
    return missing(Reason.NO_NODE, label=name, among=nodes.by_name)


def _missing(name: NodeName, nodes: Nodes, request: Request) -> Finding:
    levels = request.levels(name.datacenter)
    below, existing = b"", levels
    for label in reversed(request.name[:-levels]):
        labels = _NodeLabels(nodes, below)
        if label not in labels:
            return missing_below(existing, labels, Reason.NO_NODE, name.node, nodes.by_name)
        below, existing = b"." + label + below, existing + 1
    return missing(Reason.NO_NODE, label=name.node, among=nodes.by_name)


class _NodeLabels:
    """The labels directly below `<suffix>.node`: of names with dots, or of all names and ids."""

    def __init__(self, nodes: Nodes, suffix: bytes) -> None:
        self._nodes = nodes
        self._suffix = suffix  # begins with a dot, or is empty

    def __contains__(self, label: bytes, /) -> bool:
        name, nodes = label + self._suffix, self._nodes
        return (
            name in nodes.by_name or name in nodes.name_suffixes or _by_id(name, nodes) is not None
        )


def find_address(name: AddressName, request: Request) -> Finding:
    """The address that the name itself spells."""
    if request.type not in (Type.ANY, address_type(name.packed)):
        return _COMPUTED_NODATA
    record = records.address(request.name, request.policy.node_ttl, name.packed)
    return replace(found([RecordGroup((record,))]), is_computed=True)


def _by_id(text: bytes, nodes: Nodes) -> Node | None:
    """The node whose id is, or alone begins with, the text.

    Consul drops the last character of an odd number, whatever it is, then the dashes, and wants an
    even number of digits (measured on 1.8.7: `bar` finds an id that begins with `ba`).
    """
    even = text[: len(text) // 2 * 2]
    digits = even.replace(b"-", b"")
    if not digits or len(digits) % 2 or digits.strip(b"0123456789abcdef"):
        return None
    return nodes.with_id_prefix(digits.decode())


def _answer(node: Node, request: Request) -> Finding:
    ttl = request.policy.node_ttl
    meta = records.node_meta(request.name, ttl, node.meta)
    if request.type == Type.TXT:
        return found([RecordGroup((record,)) for record in meta])
    own = _own_records(node, request)
    if request.type == Type.ANY:
        everything = own + meta
        return found([RecordGroup(everything)] if everything else [])
    wants_address = request.type in (Type.A, Type.AAAA)
    is_added = wants_address and request.policy.enable_additional_node_meta_txt
    group = RecordGroup(own, optional_additional=meta if is_added else ())
    if own:
        return found([group])
    # Consul sends the metadata even if it has no address to send.
    return Finding(Outcome.NODATA, (group,)) if group.optional_additional else NODATA


def _own_records(node: Node, request: Request) -> tuple[Record, ...]:
    """The node's address of the family that is asked, or its alias, which answers every type."""
    ttl = request.policy.node_ttl
    endpoint = consul_rules.endpoint(consul_rules.node_address(node, Type.ANY))
    if isinstance(endpoint, tuple):
        return (records.alias(request.name, ttl, endpoint),)
    if request.type != Type.ANY:
        endpoint = consul_rules.endpoint(consul_rules.node_address(node, request.type))
    if isinstance(endpoint, bytes) and request.type in (Type.ANY, address_type(endpoint)):
        return (records.address(request.name, ttl, endpoint),)
    return ()
