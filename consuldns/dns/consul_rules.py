"""Which instances count, and which of an instance's addresses is given.

The rules are Consul's, as documented and as measured on 1.8.7: an instance with a critical check
does not exist; tagged addresses of the LAN go before plain ones. Those of the WAN are given for
other datacenters, if `translate_wan_addrs` is set.
"""

import re
from functools import lru_cache
from typing import TypeVar

from msgspec.structs import replace

from consuldns import names
from consuldns.dns.question import Type
from consuldns.dns.records import MAX_U16
from consuldns.names import Labels
from consuldns.views.model import Health, Instance, Instances, Node

AnyInstances = TypeVar("AnyInstances", bound=Instances)

_WAN_TAGS = ("wan", "wan_ipv4", "wan_ipv6")
_BEFORE = "before translation"  # no tag of Consul's: the address that `node_over_wan` replaced
_NO_HOSTNAME = re.compile(r"[\s:\[\]]|\A[\d./]*\Z")
VERSIONS = ("ipv4", "ipv6")  # in the names of tagged addresses

Endpoint = bytes | Labels
"""Where something can be reached: a packed address, or a hostname."""


def healthy(view: Instances, *, only_passing: bool) -> tuple[Instance, ...]:
    """The instances that Consul answers with."""
    return view.passing if only_passing else view.usable


def has_tag(instance: Instance, tag: bytes) -> bool:
    """Whether the instance has the tag, compared in lower case."""
    return any(names.fold_text(each) == tag for each in instance.tags)


def has_tag_below(instance: Instance, suffix: bytes) -> bool:
    """Whether a tag of the instance ends in a dot and this suffix."""
    return any(names.fold_text(each).endswith(b"." + suffix) for each in instance.tags)


def weight(instance: Instance) -> int:
    """The weight in SRV (0 to 65535)."""
    if instance.health is Health.PASSING:
        chosen = instance.weight_passing
    else:
        chosen = instance.weight_warning if instance.health is Health.WARNING else 1
    return chosen if 0 <= chosen <= MAX_U16 else min(max(chosen, 0), MAX_U16)


def service_address(instance: Instance, type_: int) -> str:
    """What Consul gives as the address of the service itself; empty: that of its node counts."""
    tagged = instance.tagged_addresses
    if not tagged:
        return instance.address
    four, six = tagged.get("lan_ipv4"), tagged.get("lan_ipv6")
    return _translate(
        instance.address, four.address if four else "", six.address if six else "", type_
    )


def node_address(node: Node, type_: int) -> str:
    """What Consul gives as the address of a node; may be empty or a hostname."""
    tagged = node.tagged_addresses
    return _translate(node.address, tagged.get("lan_ipv4", ""), tagged.get("lan_ipv6", ""), type_)


def _translate(default: str, four: str, six: str, type_: int) -> str:
    """A wants the IPv4 tag, AAAA the IPv6 tag, anything else IPv6 before IPv4."""
    if six and type_ != Type.A:
        return six
    if four and type_ != Type.AAAA:
        return four
    return default


def node_over_wan(node: Node) -> Node:
    """The node as other datacenters reach it (`translate_wan_addrs`), if it says how."""
    tagged = node.tagged_addresses
    lan = {f"lan_{v}": tagged.get(f"wan_{v}") or tagged.get(f"lan_{v}") for v in VERSIONS}
    translated = {tag: each for tag, each in lan.items() if each}
    return replace(
        node,
        address=tagged.get("wan") or node.address,
        tagged_addresses=tagged | translated | {_BEFORE: node.address},
    )


def is_at_node(node: Node, packed: bytes) -> bool:
    """Whether the address is the node's own, so that its name leads there.

    Not if it was translated: here, or by the agent, which does so in its replies as well if it is
    set to (measured on 1.8.7).
    """
    tagged = node.tagged_addresses
    if endpoint(tagged.get(_BEFORE, node.address)) != packed:
        return False
    of_wan = [endpoint(tagged[tag]) for tag in _WAN_TAGS if tag in tagged]
    return (
        _BEFORE not in tagged or packed not in of_wan or endpoint(tagged.get("lan", "")) == packed
    )


def over_wan(instances: AnyInstances) -> AnyInstances:
    """The instances as other datacenters reach them."""
    every = tuple(_instance_over_wan(each) for each in instances.instances)
    return replace(instances, instances=every)


def _instance_over_wan(instance: Instance) -> Instance:
    """With the port, if the instance says how it is reached.

    Consul replaces the LAN addresses by family, and by those of the WAN alone: an instance that
    has `wan` and `lan_ipv4` keeps the latter (measured on 1.8.7).
    """
    tagged = instance.tagged_addresses
    wan = tagged.get("wan")
    lan = {f"lan_{v}": tagged.get(f"wan_{v}") or tagged.get(f"lan_{v}") for v in VERSIONS}
    return replace(
        instance,
        node=node_over_wan(instance.node),
        address=wan.address if wan is not None and wan.address else instance.address,
        port=wan.port if wan is not None and wan.port else instance.port,
        tagged_addresses=tagged | {tag: each for tag, each in lan.items() if each},
    )


def instance_endpoint(instance: Instance, type_: int, asked: Labels) -> Endpoint | None:
    """Where an instance can be reached, None if nowhere that makes sense.

    A service whose address is the very name that is asked (folded) is at its node's address, or
    the name would be an alias of itself.
    """
    text = service_address(instance, type_)
    if text:
        own = endpoint(text)
        if isinstance(own, bytes) or own is None or names.fold(own) != asked:
            return own
    return endpoint(node_address(instance.node, type_))


@lru_cache(maxsize=65536)
def endpoint(text: str) -> Endpoint | None:
    """The packed address or the hostname that Consul's text stands for.

    None for what is neither, such as an address with a port, a scheme, brackets, a zone or a length
    of a prefix.
    """
    address = names.registered_address(text)
    if address is not None:
        return address.packed
    if _NO_HOSTNAME.search(text):
        return None
    try:
        return names.parse_name(text) or None
    except ValueError:
        return None
