"""What was found, as plain data: the resolver's result, before it becomes a message.

An answer is made of record groups: one for each instance (or node, or key) that has something to
say. A group keeps together what belongs together: an SRV record and the addresses of its target.
The wire layer orders the groups, drops the last ones when a message is too small for all, and drops
nothing in between.

These are structures, since they are made for each query that the table does not know: a dataclass
takes five times as long.
"""

from enum import Enum
from typing import Protocol

import msgspec

from consuldns.dns.question import Type
from consuldns.names import Labels
from consuldns.views.keys import ViewKey


class Outcome(Enum):
    """How a question ended. The wire layer turns each into an rcode; nothing else does."""

    ANSWER = "answer"  # NOERROR with records
    NODATA = "nodata"  # NOERROR, the name exists, no record of that type (RFC 2308 2.2)
    NXDOMAIN = "nxdomain"  # nothing at the name and nothing below it (RFC 8020)
    REFUSED = "refused"  # not our zone, class or operation
    FORMERR = "formerr"  # a question that is not valid, such as type OPT
    SERVFAIL = "servfail"  # the data are unavailable now


class ExtendedError(Enum):
    """Extended DNS errors that are given (RFC 8914), as (code)."""

    STALE_ANSWER = 3
    NOT_READY = 14
    STALE_NXDOMAIN_ANSWER = 19
    NOT_AUTHORITATIVE = 20
    NOT_SUPPORTED = 21
    NETWORK_ERROR = 23
    INVALID_QUERY_TYPE = 30  # RFC 9824 section 8


class Address(msgspec.Struct, frozen=True):
    """A or AAAA: the packed address, 4 or 16 octets."""

    packed: bytes


class Target(msgspec.Struct, frozen=True):
    """CNAME, NS or PTR: a name, in the spelling of its source."""

    name: Labels


class ServiceTarget(msgspec.Struct, frozen=True):
    """SRV (RFC 2782)."""

    priority: int
    weight: int
    port: int
    name: Labels


class Text(msgspec.Struct, frozen=True):
    """TXT: character strings; the wire layer splits those over 255 octets."""

    strings: tuple[bytes, ...]


class StartOfAuthority(msgspec.Struct, frozen=True):
    """SOA (RFC 1035 3.3.13). Seconds, but for the serial."""

    mname: Labels
    rname: Labels
    serial: int
    refresh: int
    retry: int
    expire: int
    minimum: int


class RawData(msgspec.Struct, frozen=True):
    """The data of any other type in wire format, all names written out (RFC 3597)."""

    content: bytes


Data = Address | Target | ServiceTarget | Text | StartOfAuthority | RawData


class Record(msgspec.Struct, frozen=True):
    """A resource record of class IN. An owner that folds to the question's name is sent as asked.

    `ttl` in seconds, 0 to 2^31-1 (RFC 2181 section 8).
    """

    owner: Labels
    type: int
    ttl: int
    data: Data


class RecordGroup(msgspec.Struct, frozen=True):
    """What one instance adds: to the answer section, and to the additional section.

    `additional` holds what clients need next (addresses of a target), `optional_additional` what
    Consul adds beside it (node metadata as TXT), which goes first when a message is too small.
    `weight` is how often the group ought to be the first, if the order goes by weights.
    """

    records: tuple[Record, ...]
    additional: tuple[Record, ...] = ()
    optional_additional: tuple[Record, ...] = ()
    weight: int = 1


class LabelSet(Protocol):
    """Labels that can be looked up: a dictionary by label, for one."""

    def __contains__(self, label: bytes, /) -> bool:
        """Whether the folded label is among them."""


class ClosestEncloser(msgspec.Struct, frozen=True):
    """The longest name above a missing one that exists (RFC 4592 section 3.3.1).

    Nothing is at or below the name that is one label longer (RFC 8020), unless one of `labels` has
    that label (folded): together they have at least every label that exists directly below `name`.
    Nothing is said of names with the label `unless` below `name`. (`name` itself may be missing
    where Consul says so: a service without a healthy instance.)
    """

    name: Labels
    labels: tuple[LabelSet, ...]
    unless: bytes = b""


class Answer(msgspec.Struct, frozen=True):
    """The result of a question.

    `dependencies` are the views that it was made from: when one is replaced, the answer is void.
    `exclusive`: exactly one of the groups is to be sent, a random one (two CNAMEs at one name are
    not valid DNS). Otherwise all are sent, in an order that is to be shuffled when `shuffled` is
    set, by weight if `by_weight` is. NODATA may have a group without records, for its
    `optional_additional` (metadata of a node). `authoritative`, `recursion_available` and
    `authentic_data` are the header's AA, RA and AD. `is_recursive`: made from replies of upstream
    servers, whose TTLs run down, or in want of them. `closest_encloser` goes with NXDOMAIN, where
    it is known. `is_computed`: made of the name alone, of which clients can make up any number.
    `zone` is what metrics have for the zone, empty for none of ours.
    """

    outcome: Outcome
    groups: tuple[RecordGroup, ...] = ()
    authority: tuple[Record, ...] = ()
    dependencies: frozenset[ViewKey] = frozenset()
    exclusive: bool = False
    shuffled: bool = True
    by_weight: bool = False
    authoritative: bool = True
    recursion_available: bool = False
    authentic_data: bool = False
    is_recursive: bool = False
    extended_error: ExtendedError | None = None
    error_text: str = ""
    closest_encloser: ClosestEncloser | None = None
    is_computed: bool = False
    zone: str = ""


def address_type(packed: bytes) -> Type:
    """A for 4 octets, AAAA for 16."""
    return Type.A if len(packed) == 4 else Type.AAAA
