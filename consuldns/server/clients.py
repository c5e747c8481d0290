"""Which clients' queries may be forwarded: a server that asks others for anybody is abused.

(RFC 5358: recursion for everybody is what reflection attacks use.)
"""

from collections import defaultdict
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Self

from consuldns.dns.policy import ForwardPolicy

_MAX_KNOWN = 10_000  # addresses
_MAPPED = b"\0" * 10 + b"\xff\xff"  # before an IPv4 address that a socket of IPv6 has (RFC 4291)


def unmapped(address: bytes) -> bytes:
    """A packed address; the IPv4 address in one of IPv6's that stands for it."""
    return address[12:] if len(address) == 16 and address.startswith(_MAPPED) else address


class Networks:
    """A set of networks. A packed address is looked up once for each length of prefix in it."""

    def __init__(self, networks: Iterable[str]) -> None:
        # By octets of an address, then by bits that do not count: the numbers of the networks.
        self._prefixes: dict[int, dict[int, set[int]]] = {
            4: defaultdict(set),
            16: defaultdict(set),
        }
        for each in map(ip_network, networks):
            shift = each.max_prefixlen - each.prefixlen
            octets = each.max_prefixlen // 8
            self._prefixes[octets][shift].add(int(each.network_address) >> shift)

    def __contains__(self, address: bytes) -> bool:
        """Whether an address is in one of the networks."""
        address = unmapped(address)
        number = int.from_bytes(address)
        for shift, prefixes in self._prefixes[len(address)].items():
            if number >> shift in prefixes:
                return True
        return False


class Clients:
    """Networks whose clients may have names of others looked up. Addresses are packed, or text."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = Networks(networks)
        self._known: dict[bytes | str, bool] = {}

    @classmethod
    def of(cls, policy: ForwardPolicy) -> Self | None:
        """None if there is nothing to look up."""
        return cls(policy.clients) if policy.upstreams else None

    def may_recurse(self, address: bytes | str) -> bool:
        """Whether the client at an address is in one of the networks."""
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            known = self._known[address] = self._is_within(address)
        return known

    def _is_within(self, address: bytes | str) -> bool:
        text_or_octets = address.partition("%")[0] if isinstance(address, str) else address
        return ip_address(text_or_octets).packed in self._networks
