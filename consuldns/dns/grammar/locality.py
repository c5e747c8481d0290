"""Where a name of Consul is to be found: what stands right of the keyword.

web.service . dc1                      a datacenter
web.service . dc1.dc                   the same, from Consul 1.14 on
web.service . west.peer                a peered cluster
web.service . team.ns.east.ap.dc1.dc   a namespace and a partition (Enterprise)
web.service . http.port.dc1.dc         a named port, from Consul 1.22 on
"""

import msgspec

from consuldns.dns.grammar.meanings import Tenancy
from consuldns.names import Labels

# In the order in which they may stand.
KINDS = (b"port", b"ns", b"ap", b"dc", b"peer", b"sg")
NON_TERMINALS = (b"ns", b"ap", b"dc", b"peer", b"sg")  # at the end of a name
# Of these a name has one at most: each of them says in which cluster.
_EXCLUSIVE = frozenset((b"dc", b"peer", b"sg"))

NO_TENANCY = Tenancy()


class Locality(msgspec.Struct, frozen=True):
    """A parsed locality. `datacenter` None is that of the agent; `port` is empty without one."""

    datacenter: bytes | None = None
    tenancy: Tenancy = NO_TENANCY
    port: bytes = b""


HERE = Locality()


def of_labels(labels: Labels) -> Locality | None:
    """The locality that folded labels stand for, None if they are none."""
    if not labels:
        return HERE
    if len(labels) == 1:
        return Locality(labels[0])
    if len(labels) % 2:
        return None
    kinds = labels[1::2]
    positions = [KINDS.index(kind) if kind in KINDS else -1 for kind in kinds]
    if -1 in positions or positions != sorted(set(positions)):
        return None
    found = dict(zip(kinds, labels[::2], strict=True))
    if len(_EXCLUSIVE.intersection(found)) > 1:
        return None
    tenancy = Tenancy(
        found.get(b"peer", b""), found.get(b"ns", b""), found.get(b"ap", b""), found.get(b"sg", b"")
    )
    return Locality(found.get(b"dc"), tenancy, found.get(b"port", b""))
