"""Which networks hold one of some addresses: the empty non-terminals of the reverse trees."""

from bisect import bisect_left
from collections.abc import Iterable


class Networks:
    """Addresses, sorted, so that a prefix is looked up without a table of all prefixes.

    A table would hold up to 31 entries for each IPv6 address.
    """

    def __init__(self, addresses: Iterable[bytes]) -> None:
        self._by_size: dict[int, list[bytes]] = {}
        for packed in sorted(addresses):
            self._by_size.setdefault(len(packed), []).append(packed)

    def hold(self, size: int, prefix: str) -> bool:
        """Whether an address of `size` octets begins with these hexadecimal digits."""
        addresses = self._by_size.get(size, [])
        lowest = bytes.fromhex(prefix.ljust(2 * size, "0"))
        position = bisect_left(addresses, lowest)
        return position < len(addresses) and addresses[position].hex().startswith(prefix)
