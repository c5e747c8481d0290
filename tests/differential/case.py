"""A question with what was answered, and what ought to be: what the differences work on."""

from collections.abc import Callable, Set
from dataclasses import dataclass, replace

import dns.name

from consuldns.names import Labels, is_below
from tests.differential.existence import DOMAIN
from tests.differential.questions import IN, TYPES, Question
from tests.differential.replies import SERIAL_IS_A_CLOCK, Record, Reply
from tests.differential.world import World, split_name

ARPA: Labels = (b"arpa",)
NAME_SERVER = "ns.consul."
NOTHING: frozenset[Record] = frozenset()


@dataclass(frozen=True)
class Expected:
    """What a reply must be. A section that is None is not compared.

    `soa` is that in the authority section of a denial; of no meaning where there is an answer.
    """

    rcode: str
    authoritative: bool
    soa: Record | None
    answer: frozenset[Record] | None
    additional: frozenset[Record] | None


SILENCE = Expected("no reply", False, None, NOTHING, NOTHING)
REFUSED = replace(SILENCE, rcode="REFUSED")
FORMERR = replace(SILENCE, rcode="FORMERR")
NOTIMP = replace(SILENCE, rcode="NOTIMP")
BADVERS = replace(SILENCE, rcode="BADVERS")


def from_reply(reply: Reply | None) -> Expected:
    """A reply as it is."""
    if reply is None:
        return SILENCE
    soa = next((record for record in reply.authority if record.type == "SOA"), None)
    return Expected(reply.rcode, "AA" in reply.flags, soa, reply.answer, reply.additional)


@dataclass(frozen=True)
class Case:
    """A question, and what was answered (None: nothing at all)."""

    question: Question
    world: World
    consul: Reply | None
    ours: Reply | None

    @property
    def name(self) -> Labels:
        """The folded name."""
        return self.question.folded

    def ask(self, type_: str | int) -> Reply | None:
        """What Consul says about what the name means here, for a type."""
        return self.world.ask_best(self.question.name, type_)

    def asks(self, *types: str) -> bool:
        """Whether the question is for one of these types."""
        return self.question.type in [TYPES[each] for each in types]

    @property
    def in_domain(self) -> bool:
        """Whether the name is Consul's (and the class the Internet's)."""
        return self.question.class_ == IN and is_below(self.name, DOMAIN)

    @property
    def is_reverse(self) -> bool:
        """Whether the name is one of addresses (and the class the Internet's)."""
        return self.question.class_ == IN and is_below(self.name, ARPA)

    def has_form(self, keyword: bytes) -> bool:
        """Whether this keyword decides what the name means."""
        return self.in_domain and split_name(self.name)[0] == keyword

    @property
    def stands_for_instances(self) -> bool:
        """Whether the name is one of a service, of its proxies or gateways, or a query."""
        return any(map(self.has_form, (b"service", b"connect", b"ingress", b"query")))

    def owned(self, records: frozenset[Record] | None, *types: str) -> frozenset[Record]:
        """The records of these types at the name that is asked."""
        owner = text_of(self.name)
        return frozenset(r for r in records or () if r.owner == owner and r.type in types)

    def nodata(self, additional: frozenset[Record] = NOTHING) -> Expected:
        """NOERROR without an answer (RFC 2308 section 2.2)."""
        return Expected("NOERROR", True, self.start_of_authority, NOTHING, additional)

    def nxdomain(self) -> Expected:
        """RFC 2308 section 2.1."""
        return Expected("NXDOMAIN", True, self.start_of_authority, NOTHING, NOTHING)

    @property
    def start_of_authority(self) -> Record:
        """The SOA record of the zone that the name is in."""
        zone = DOMAIN if self.in_domain else self.world.reverse.zone_of(self.name) or self.name
        ttl = self.world.settings.min_ttl
        data = f"{NAME_SERVER} hostmaster.consul. {SERIAL_IS_A_CLOCK} 3600 600 86400 {ttl}"
        return Record(text_of(zone), "SOA", ttl, "IN", data)

    @property
    def name_server(self) -> Record:
        """The NS record at the name, which is the apex of a zone of ours."""
        ttl = self.world.settings.node_ttl
        return Record(text_of(self.name), "NS", ttl, "IN", NAME_SERVER)

    @property
    def our_address(self) -> frozenset[Record]:
        """Of `ns.consul`: that which we listen at."""
        ttl = self.world.settings.node_ttl
        return frozenset({Record(NAME_SERVER, "A", ttl, "IN", "127.0.0.1")})


Rewriting = Callable[[Case, Expected], Expected | None]


@dataclass(frozen=True)
class Difference:
    """A named difference: what it makes of a reply, None (or the same) if it does not apply.

    After one `for_good` that applies no other is looked at.
    """

    name: str
    rewrite: Rewriting
    for_good: bool = False


def answered(answer: Set[Record], additional: frozenset[Record] = NOTHING) -> Expected:
    """NOERROR with an answer."""
    return Expected("NOERROR", True, None, frozenset(answer), additional)


def renamed(expected: Expected, old: Labels, new: Labels, *, is_below: bool = False) -> Expected:
    """What is expected of another name for the same thing; `is_below`: of all names below as well.

    Then names in the data are renamed, too.
    """
    end, wanted = ("." if is_below else "") + text_of(old), ("." if is_below else "") + text_of(new)

    def text(name: str) -> str:
        is_it = name.endswith(end) if is_below else name == end
        return name.removesuffix(end) + wanted if is_it else name

    def rename(records: frozenset[Record] | None) -> frozenset[Record] | None:
        if records is None:
            return None
        return frozenset(
            replace(r, owner=text(r.owner), data=text(r.data) if is_below else r.data)
            for r in records
        )

    answer, additional = rename(expected.answer), rename(expected.additional)
    return replace(expected, answer=answer, additional=additional)


def text_of(name: Labels) -> str:
    """A folded name as dnspython writes it."""
    return dns.name.Name((*name, b"")).to_text()


def labels_of(text: str) -> Labels:
    """The labels of a name that dnspython wrote."""
    return dns.name.from_text(text).labels[:-1]
