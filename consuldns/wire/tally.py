"""What was answered, counted by zone, type and rcode.

Each kind of answer has a list of two numbers, over UDP and over TCP, which every cached response
holds: so a hit counts with one addition, and labels are made at a scrape only.
"""

from collections.abc import Iterator

from consuldns.dns.question import Type
from consuldns.wire.decode import Rcode

Counter = list[int]  # over UDP, over TCP

DROPPED = "dropped"  # in place of a zone: none of ours, as CoreDNS has it
OTHER = "other"  # in place of a type that this server has no name for

_TYPES = {each.value: each.name for each in Type}


class Tally:
    """The counters of one worker."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, str, int], Counter] = {}

    def counter(self, zone: str, type_: int, rcode: int) -> Counter:
        """Where such answers are counted; no value of it is one that a client could choose."""
        key = (zone or DROPPED, _TYPES.get(type_, OTHER), rcode)
        return self._counters.setdefault(key, [0, 0])

    def __iter__(self) -> Iterator[tuple[str, str, str, str, int]]:
        """Zone, type, rcode, protocol, count."""
        for (zone, type_, rcode), counts in self._counters.items():
            for protocol, count in zip(("udp", "tcp"), counts, strict=True):
                if count:
                    yield zone, type_, Rcode(rcode).name, protocol, count
