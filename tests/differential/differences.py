"""The differences from Consul that docs/consul-differences.md names, as code.

Each is a rewriting of what Consul says into what this server must say, as narrow as it can be,
worked out from the question, the catalog and Consul's own replies, never from ours. They are
applied in the order of the table. So our reply is always held against a whole expectation: an
unnamed difference fails however small it is, and so does a named one that is not there.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import dns.name

from consuldns.names import Labels, address_of, is_below
from tests.differential.existence import DOMAIN
from tests.differential.questions import IN, TYPES, Question, Transport
from tests.differential.replies import SERIAL_IS_A_CLOCK, Record, Reply
from tests.differential.world import DOTTED, ESCAPED, TAGS, World, split_name

SOA_DATA = f"ns.consul. hostmaster.consul. {SERIAL_IS_A_CLOCK} 3600 600 86400 0"
MAX_ALIASES = 3
OUR_ADDRESS = frozenset({Record("ns.consul.", "A", 0, "IN", "127.0.0.1")})
ARPA: Labels = (b"arpa",)
NOTHING: frozenset[Record] = frozenset()
MAX_PORT = 0xFFFF


@dataclass(frozen=True)
class Expected:
    """What a reply must be. A section that is None is not compared.

    `denial_has_soa` is of no meaning where there is an answer.
    """

    rcode: str
    authoritative: bool
    denial_has_soa: bool
    answer: frozenset[Record] | None
    additional: frozenset[Record] | None


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

    def owned(self, records: frozenset[Record] | None, *types: str) -> frozenset[Record]:
        """The records of these types at the name that is asked."""
        owner = text_of(self.name)
        return frozenset(r for r in records or () if r.owner == owner and r.type in types)


Rewriting = Callable[[Case, Expected], Expected | None]


@dataclass(frozen=True)
class Difference:
    """A named difference: what it makes of a reply, None (or the same) if it does not apply.

    After one `for_good` no other is looked at.
    """

    name: str
    rewrite: Rewriting
    for_good: bool = False


def expect(case: Case, *, follow: bool = True) -> tuple[tuple[str, ...], Expected]:
    """The names of the differences that apply, and the reply that they leave.

    Without `follow` what an alias leads to stays as Consul gives it.
    """
    expected = from_reply(case.consul)
    applied: list[str] = []
    for difference in DIFFERENCES:
        if difference is ALIAS_CHAINS and not follow:
            continue
        changed = difference.rewrite(case, expected)
        if changed is not None and changed != expected:
            applied.append(difference.name)
            expected = changed
            if difference.for_good:
                break
    return tuple(applied), expected


def from_reply(reply: Reply | None) -> Expected:
    """A reply as it is."""
    if reply is None:
        return SILENCE
    has_soa = any(record.type == "SOA" for record in reply.authority)
    return Expected(reply.rcode, "AA" in reply.flags, has_soa, reply.answer, reply.additional)


SILENCE = Expected("no reply", False, False, NOTHING, NOTHING)
REFUSED = replace(SILENCE, rcode="REFUSED")
FORMERR = replace(SILENCE, rcode="FORMERR")
NODATA = Expected("NOERROR", True, True, NOTHING, NOTHING)
NXDOMAIN = replace(NODATA, rcode="NXDOMAIN")


def _answered(answer: frozenset[Record], additional: frozenset[Record] = NOTHING) -> Expected:
    return replace(NODATA, answer=answer, additional=additional)


def _other_classes(case: Case, reply: Expected) -> Expected | None:
    return REFUSED if case.question.class_ != IN else None


def _types_that_are_no_data(case: Case, reply: Expected) -> Expected | None:
    return FORMERR if case.asks(*NO_DATA) else None


def _transfers(case: Case, reply: Expected) -> Expected | None:
    return REFUSED if case.asks("AXFR", "IXFR") else None


def _partial_answers(case: Case, reply: Expected) -> Expected | None:
    if case.question.class_ != IN or case.question.transport is Transport.TCP:
        return None
    whole = from_reply(case.world.ask(case.question.name, case.question.type))
    is_part = reply is SILENCE or (reply.answer or NOTHING) <= (whole.answer or NOTHING)
    return whole if is_part else None


def _read_otherwise(difference: str) -> Rewriting:
    """What Consul denies because of the difference, it says if asked in another way."""

    def rewrite(case: Case, reply: Expected) -> Expected | None:
        if not case.in_domain or reply.rcode != "NXDOMAIN":
            return None
        # SOA, NS and TXT are found for everything: see those differences.
        type_ = "MX" if case.asks("SOA", "NS", "TXT") else case.question.type
        type_ = "TXT" if case.asks("TXT") and case.has_form(b"node") else type_
        answered = case.world.ask_otherwise(difference, case.question.name, type_)
        return None if answered is None else from_reply(answered)

    return rewrite


def _own_name_in_another_spelling(case: Case, reply: Expected) -> Expected | None:
    """An address that is the asked name stands for the node's; Consul compares them by octets."""
    if case.world.spelling(case.question.name) == case.question.name or not case.in_domain:
        return None
    return from_reply(case.ask(case.question.type))


def _start_of_authority_below_the_apex(case: Case, reply: Expected) -> Expected | None:
    if not (case.in_domain and case.name != DOMAIN and case.asks("SOA", "NS")):
        return None
    return from_reply(case.ask("MX"))


def _apex(case: Case, reply: Expected) -> Expected | None:
    if not (case.in_domain and case.name == DOMAIN) or case.asks("SOA", "NS"):
        return None
    if not case.asks("ANY"):
        return NODATA
    servers = case.world.ask(DOMAIN, "SOA")
    if servers is None:
        return None
    return _answered(servers.answer | servers.authority, servers.additional)


def _name_server(case: Case, reply: Expected) -> Expected | None:
    """`ns.consul` is in the SOA of the domain: it is there, at the address that we listen at."""
    if not case.in_domain or case.name != (b"ns", *DOMAIN):
        return None
    return _answered(OUR_ADDRESS) if case.asks("A", "ANY") else NODATA


def _text_of_a_service(case: Case, reply: Expected) -> Expected | None:
    if not (case.has_form(b"service") and case.asks("TXT")):
        return None
    return from_reply(case.ask("MX"))


def _alias_beside_addresses(case: Case, reply: Expected) -> Expected | None:
    """A name has either an alias or other data (RFC 1034 section 3.6.2)."""
    if not case.in_domain or not case.owned(reply.answer, "CNAME"):
        return None
    for family in ("A", "AAAA"):
        answered = case.ask(family)
        if answered is not None and case.owned(answered.answer, "A", "AAAA"):
            return replace(NODATA, additional=reply.additional)
    return None


def _alias_of_a_node(case: Case, reply: Expected) -> Expected | None:
    if not case.has_form(b"node") or case.asks("A", "AAAA", "ANY", "TXT"):
        return None
    everything = case.ask("ANY")
    alias = case.owned(everything.answer, "CNAME") if everything else NOTHING
    return _answered(alias) if alias else None


def _what_an_alias_leads_to(case: Case, reply: Expected) -> Expected | None:
    alias = case.owned(reply.answer, "CNAME") if case.in_domain else NOTHING
    if not alias:
        return None
    reached = NOTHING if case.asks("CNAME") else _follow(case, alias, case.question.type)
    texts = case.owned(reply.answer, "TXT") if case.asks("ANY") else NOTHING
    return replace(reply, answer=alias | texts | reached)


def _what_a_target_leads_to(case: Case, reply: Expected) -> Expected | None:
    """Consul gives at most three addresses of a hostname that SRV points at."""
    targets = {r.data.split(" ")[3]: r for r in reply.answer or () if r.type == "SRV"}
    additional = reply.additional or NOTHING
    for target, pointer in targets.items():
        if is_below(labels_of(target), DOMAIN) and case.world.is_address(labels_of(target)):
            reached = _follow(case, frozenset({replace(pointer, data=target)}), TYPES["ANY"])
            if {r for r in additional if r.owner == target and r.type != "TXT"} <= reached:
                additional |= reached
    return replace(reply, additional=additional)


def _follow(case: Case, alias: frozenset[Record], type_: int) -> frozenset[Record]:
    """The further aliases in the domain, and the addresses at the end if their type is asked."""
    found: frozenset[Record] = NOTHING
    visited = [case.name]
    while alias:
        (target,) = [labels_of(record.data) for record in alias]
        if target in visited or len(visited) > MAX_ALIASES or not is_below(target, DOMAIN):
            break
        visited.append(target)
        question = Question(target, type_, Transport.TCP)
        consul = case.world.ask_best(target, type_)
        next_case = Case(question, case.world, consul, None)
        _, reached = expect(next_case, follow=False)
        alias = next_case.owned(reached.answer, "CNAME")
        addresses = next_case.owned(reached.answer, "A", "AAAA")
        found |= alias | {r for r in addresses if next_case.asks(r.type, "ANY")}
    return found


def _computed_address_of_another_type(case: Case, reply: Expected) -> Expected | None:
    if not case.has_form(b"addr") or case.asks("ANY"):
        return None
    fitting = frozenset(r for r in reply.answer or () if case.asks(r.type))
    return replace(reply, answer=fitting)


def _srv_without_the_keyword(case: Case, reply: Expected) -> Expected | None:
    """`_db._tcp.consul` is there for SRV only: NODATA for other types; ANY finds the SRV."""
    if b"service" in case.name or not case.has_form(b"service") or case.asks("SRV"):
        return None
    answered = from_reply(case.ask("SRV"))
    if answered.rcode != "NOERROR":
        return None
    return answered if case.asks("ANY") else NODATA


def _ports_that_are_none(case: Case, reply: Expected) -> Expected | None:
    """Consul takes any number as a port and sends it modulo 65536."""
    wrapped = {
        str(instance.port & MAX_PORT)
        for _, instance in case.world.catalog.instances()
        if not 0 <= instance.port <= MAX_PORT
    }
    left = frozenset(
        r for r in reply.answer or () if r.type != "SRV" or r.data.split(" ")[2] not in wrapped
    )
    if left == reply.answer:
        return None
    return replace(reply, answer=left, additional=None) if left else NODATA


def _reverse_name_in_kv(case: Case, reply: Expected) -> Expected | None:
    targets = case.world.reverse.keys.get(case.name)
    if not case.is_reverse or targets is None:
        return None
    owner = text_of(case.name)
    records = frozenset(Record(owner, "PTR", 0, "IN", target) for target in targets)
    return _answered(records)


def _unsendable_target(case: Case, reply: Expected) -> Expected | None:
    """Consul keeps silent if the name of what it found is none for the DNS."""
    return REFUSED if case.is_reverse and reply is SILENCE else None


def _reverse_name_of_another_type(case: Case, reply: Expected) -> Expected | None:
    if not case.is_reverse or case.asks("PTR", "ANY") or not case.owned(reply.answer, "PTR"):
        return None
    return NODATA


def _reverse_name_of_no_address(case: Case, reply: Expected) -> Expected | None:
    """Consul reads the 32 labels next to `ip6.arpa`, and does not mind more of them."""
    found = case.is_reverse and case.owned(reply.answer, "PTR")
    return REFUSED if found and address_of(case.name) is None else None


def _target_with_backslashes(case: Case, reply: Expected) -> Expected | None:
    """Consul takes a name of its catalog for presentation form: backslashes vanish."""
    answer = reply.answer or NOTHING
    for _, instance in case.world.catalog.instances():
        if "\\" in instance.service:
            wrong = instance.service.replace("\\", "").lower() + ".service."
            right = instance.service.replace("\\", "\\\\").lower() + ".service."
            answer = frozenset(replace(r, data=r.data.replace(wrong, right)) for r in answer)
    return replace(reply, answer=answer) if case.is_reverse else None


def _oddly_spelled_address(case: Case, reply: Expected) -> Expected | None:
    """Consul compares the text of addresses: it does not find `2001:DB8:0::1`."""
    missed = case.is_reverse and reply.rcode in ("SERVFAIL", "REFUSED")
    if not missed or case.name not in case.world.reverse.oddly_spelled:
        return None
    target = text_of(case.world.reverse.targets[case.name])
    pointer = Record(text_of(case.name), "PTR", 0, "IN", target)
    return _answered(frozenset({pointer}))


def _reverse_miss(case: Case, reply: Expected) -> Expected | None:
    """REFUSED outside of our reverse zones, an honest denial inside."""
    if not case.is_reverse or reply.rcode not in ("SERVFAIL", "REFUSED"):
        return None
    if case.world.reverse.zone_of(case.name) is None:
        return REFUSED
    return NODATA if case.world.reverse.exists(case.name) else NXDOMAIN


def _reverse_apex(case: Case, reply: Expected) -> Expected | None:
    """SOA and NS of a reverse zone; an address that we know outside of them is one of its own."""
    if not case.is_reverse or not case.asks("SOA", "NS", "ANY"):
        return None
    reverse = case.world.reverse
    known_outside = case.name in reverse.names and reverse.zone_of(case.name) is None
    if case.name not in reverse.zones and not known_outside:
        return None
    owner = text_of(case.name)
    own = case.owned(reply.answer, "PTR")
    if case.asks("NS", "ANY"):
        own |= {Record(owner, "NS", 0, "IN", "ns.consul.")}
    if case.asks("SOA", "ANY"):
        own |= {Record(owner, "SOA", 0, "IN", SOA_DATA)}
    return _answered(own, OUR_ADDRESS)


def _kubernetes_name(case: Case, reply: Expected) -> Expected | None:
    """A service of a cluster, if Consul has nothing of that name."""
    clusters = case.world.clusters
    if not case.in_domain or not clusters.has_data(case.name):
        return None
    is_there = reply.rcode == "NOERROR" and case.world.existence.exists(case.name)
    if is_there or reply.answer:
        return None
    type_ = next(name for name, number in TYPES.items() if number == case.question.type)
    return _answered(*clusters.answer(case.name, type_))


def _empty_non_terminals(case: Case, reply: Expected) -> Expected | None:
    """A name above others is there (RFC 8020)."""
    if not case.in_domain or reply.rcode != "NXDOMAIN":
        return None
    is_above = case.world.existence.is_empty_non_terminal(case.name)
    return NODATA if is_above or case.world.clusters.exists(case.name) else None


def _names_that_are_not_there(case: Case, reply: Expected) -> Expected | None:
    """Consul does not look for a node unless an address or text is asked for."""
    if not case.in_domain or reply.rcode != "NOERROR" or reply.answer:
        return None
    exists = case.world.existence.exists(case.name) or case.world.clusters.exists(case.name)
    return None if exists else NXDOMAIN


def _denial_without_soa(case: Case, reply: Expected) -> Expected | None:
    """Whoever is denied something may remember that for as long as the SOA says."""
    empty = reply.rcode in ("NOERROR", "NXDOMAIN") and not reply.answer
    return replace(reply, denial_has_soa=True) if empty else None


def text_of(name: Labels) -> str:
    """A folded name as dnspython writes it."""
    return dns.name.Name((*name, b"")).to_text()


def labels_of(text: str) -> Labels:
    """The labels of a name that dnspython wrote."""
    return dns.name.from_text(text).labels[:-1]


# Never stored as records: RFC 6895 section 3.1, NXNAME of RFC 9824.
NO_DATA = ("TYPE0", "OPT", "NXNAME", "TKEY", "TSIG")

ALIAS_CHAINS = Difference("what-an-alias-leads-to", _what_an_alias_leads_to)
DIFFERENCES = (
    Difference("types-that-are-no-data", _types_that_are_no_data, for_good=True),
    Difference("transfers-are-refused", _transfers, for_good=True),
    Difference("other-classes", _other_classes, for_good=True),
    Difference("partial-answers", _partial_answers),
    Difference("own-names-in-another-spelling", _own_name_in_another_spelling),
    Difference("soa-and-ns-below-the-apex", _start_of_authority_below_the_apex),
    Difference(ESCAPED, _read_otherwise(ESCAPED)),
    Difference("kubernetes-names", _kubernetes_name, for_good=True),
    Difference(DOTTED, _read_otherwise(DOTTED)),
    Difference(TAGS, _read_otherwise(TAGS)),
    Difference("apex", _apex),
    Difference("name-of-the-name-server", _name_server),
    Difference("text-of-a-service", _text_of_a_service),
    Difference("alias-beside-addresses", _alias_beside_addresses),
    Difference("alias-of-a-node", _alias_of_a_node),
    ALIAS_CHAINS,
    Difference("computed-address-of-another-type", _computed_address_of_another_type),
    Difference("srv-without-the-keyword", _srv_without_the_keyword),
    Difference("partial-answers", _what_a_target_leads_to),
    Difference("ports-that-are-none", _ports_that_are_none),
    Difference("reverse-names-in-kv", _reverse_name_in_kv),
    Difference("unsendable-targets", _unsendable_target),
    Difference("escaped-names", _target_with_backslashes),
    Difference("reverse-names-of-no-address", _reverse_name_of_no_address),
    Difference("addresses-in-another-spelling", _oddly_spelled_address),
    Difference("reverse-names-of-another-type", _reverse_name_of_another_type),
    Difference("reverse-misses", _reverse_miss),
    Difference("reverse-apex", _reverse_apex),
    Difference("empty-non-terminals", _empty_non_terminals),
    Difference("names-that-are-not-there", _names_that_are_not_there),
    Difference("nodata-with-soa", _denial_without_soa),
)

# Named as well, but not to be seen in what is compared, and why.
NOT_COMPARED = {
    "soa-serial": "the serial is masked: Consul's is the time",
    "long-texts": "Consul does not reply, and to wait for that takes seconds",
    "duplicate-records": "sections are compared as sets",
    "alt-domain-in-answers": "one domain is served",
    "reverse-names-of-clusters": "no address of a cluster is asked for",
}
