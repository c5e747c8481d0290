"""Where the KV tree has the name that an address points to: one key an address, in folders.

    0.70.254.10.IN-ADDR.ARPA/10.254.70.176                 the folder of a /24
    0.<16 nibbles, reversed>.IP6.ARPA/fd00::1              that of a /64

The folders are at the root of the tree, each named like a reverse zone with the literal host label
`0` before it. The sync worker writes keys in this layout; the resolver also reads folders that
people made, which have the zone's own name, in either case, perhaps with a final dot.
"""

from ipaddress import IPv4Address

from consuldns import names
from consuldns.names import IN_ADDR_ARPA, IP6_ARPA, IPAddress, Labels

PREFIX = "0."  # every key of the layout begins with the literal host label
_HOST = b"0"
_IPV4_LABELS, _IPV6_LABELS = 5, 18  # of the names of a /24 and of a /64


def key(address: IPAddress) -> str:
    """The key of an address."""
    return f"{folder(address)}/{address}"


def folder(address: IPAddress) -> str:
    """The folder that the key of an address is in."""
    if isinstance(address, IPv4Address):
        a, b, c, _ = address.packed
        return f"{PREFIX}{c}.{b}.{a}.IN-ADDR.ARPA"
    nibbles = ".".join(reversed(address.packed[:8].hex()))
    return f"{PREFIX}{nibbles}.IP6.ARPA"


def is_key(path: str) -> bool:
    """Whether a key may be one of this layout."""
    return path.startswith(PREFIX)


def address_in(path: str) -> str:
    """The address in the path of a key, as it is written there; whatever comes last, if none is."""
    return path.rpartition("/")[2]


def folder_name(folder: str) -> Labels | None:
    """The folded name of a folder that is named like a reverse zone, None for any other."""
    try:
        name = names.fold(names.parse_name(folder.rstrip("/")))
    except ValueError:
        return None
    is_reverse = names.is_below(name, IN_ADDR_ARPA) or names.is_below(name, IP6_ARPA)
    return name if is_reverse and len(name) > 2 else None


def apex(name: Labels) -> Labels:
    """The zone that a folder with this folded name stands for, without the literal host label.

    `0.70.254.10.in-addr.arpa` is the zone `70.254.10.in-addr.arpa`.
    """
    is_host = len(name) == _zone_labels(name) + 1 and name[0] == _HOST
    return name[1:] if is_host else name


def folder_around(name: Labels) -> Labels | None:
    """The folded name of the folder that has the keys of addresses at or below a reverse name.

    None for the name of a network that is larger than a folder's.
    """
    labels = _zone_labels(name)
    return (_HOST, *name[-labels:]) if len(name) >= labels else None


def _zone_labels(name: Labels) -> int:
    return _IPV4_LABELS if names.is_below(name, IN_ADDR_ARPA) else _IPV6_LABELS
