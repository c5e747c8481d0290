"""Clients by their addresses and networks.

Queries are forwarded for some networks only: a server that asks others for anybody is abused (RFC
5358: recursion for everybody is what reflection attacks use).
"""

from collections import defaultdict
from collections.abc import Iterable
from ipaddress import ip_network
from socket import AF_INET, AF_INET6, inet_pton
from typing import Self

from consuldns.dns.policy import ForwardPolicy

# Octets of the network that a client belongs to, by those of an address: /24 and /56.
NETWORK_OCTETS = {4: 3, 16: 7}

_MAX_KNOWN = 10_000  # addresses
_MAPPED = b"\0" * 10 + b"\xff\xff"  # before an IPv4 address that a socket of IPv6 has (RFC 4291)


def packed(host: str) -> bytes:
    """The address of a client, as sockets give it: an IPv6 address may have a scope."""
    return inet_pton(AF_INET6 if ":" in host else AF_INET, host.partition("%")[0])


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
        self._known: dict[bytes, bool] = {}
        for each in map(ip_network, networks):
            shift = each.max_prefixlen - each.prefixlen
            octets = each.max_prefixlen // 8
            self._prefixes[octets][shift].add(int(each.network_address) >> shift)

    def __contains__(self, address: bytes) -> bool:
        """Whether an address is in one of the networks."""
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            known = self._known[address] = self._holds(unmapped(address))
        return known

    def _holds(self, address: bytes) -> bool:
        number = int.from_bytes(address)
        prefixes = self._prefixes[len(address)]
        return any(number >> shift in networks for shift, networks in prefixes.items())


class Clients:
    """Networks whose clients may have names of others looked up. Addresses are packed, or text."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = Networks(networks)

    @classmethod
    def of(cls, policy: ForwardPolicy) -> Self | None:
        """None if there is nothing to look up."""
        return cls(policy.clients) if policy.upstreams else None

    def may_recurse(self, address: bytes | str) -> bool:
        """Whether the client at an address is in one of the networks."""
        return (packed(address) if isinstance(address, str) else address) in self._networks
