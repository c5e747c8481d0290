"""Which clients' queries may be forwarded: a server that asks others for anybody is abused.

(RFC 5358: recursion for everybody is what reflection attacks use.)
"""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Self

from consuldns.dns.policy import ForwardPolicy

_MAX_KNOWN = 10_000  # addresses


class Clients:
    """Networks whose clients may have names of others looked up. Addresses are packed, or text."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ip_network(each) for each in networks]
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
        found = ip_address(text_or_octets)
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found.version == each.version and found in each for each in self._networks)
