"""The differences from Consul that docs/consul-differences.md names, as code.

Each is a rewriting of what Consul says into what this server must say, as narrow as it can be,
worked out from the question, the catalog and Consul's own replies, never from ours. They are
applied in the order of the table. So our reply is always held against a whole expectation: an
unnamed difference fails however small it is, and so does a named one that is not there.
"""

from dataclasses import replace

from consuldns.names import is_below
from tests.differential import reverse_differences
from tests.differential.case import (
    BADVERS,
    FORMERR,
    NOTHING,
    NOTIMP,
    REFUSED,
    SILENCE,
    Case,
    Difference,
    Expected,
    Rewriting,
    answered,
    from_reply,
    labels_of,
    renamed,
)
from tests.differential.existence import DOMAIN
from tests.differential.questions import IN, QUERY, TYPES, Question, Transport
from tests.differential.replies import Record
from tests.differential.world import DOTTED, ESCAPED, TAGS, split_name

MAX_ALIASES = 3
MAX_PORT = 0xFFFF


def expect(case: Case, *, follow: bool = True) -> tuple[tuple[str, ...], Expected]:
    """The names of the differences that apply, and the reply that they leave.

    Without `follow` what an alias leads to stays as Consul gives it.
    """
    plain = _without_explicit_datacenter(case)
    if plain is not None:
        names, expected = expect(plain, follow=follow)
        if "kubernetes-names" in names:  # their targets are made as the question is
            result = renamed(expected, plain.name[-2:], case.name[-3:], is_below=True)
        else:
            result = renamed(expected, plain.name, case.name)
        if case.world.is_address(plain.name):
            # Consul's guard against loops compares spellings: of this one nothing can be known.
            return (), from_reply(case.ours)
        return () if result == from_reply(case.consul) else (EXPLICIT, *names), result
    expected = from_reply(case.consul)
    applied: list[str] = []
    for difference in DIFFERENCES:
        if difference is ALIAS_CHAINS and not follow:
            continue
        changed = difference.rewrite(case, expected)
        if changed is not None and changed != expected:
            applied.append(difference.name)
            expected = changed
        if changed is not None and difference.for_good:
            break
    return tuple(applied), expected


def _without_explicit_datacenter(case: Case) -> Case | None:
    """The same question with `<dc>` in place of `<dc>.dc`, which this version of Consul lacks."""
    name = case.question.name
    if len(name) < 3 or case.name[-2:] != (b"dc", *DOMAIN):
        return None
    question = replace(case.question, name=(*name[:-2], name[-1]))
    return replace(case, question=question, consul=case.world.ask(question.name, question.type))


def _other_classes(case: Case, reply: Expected) -> Expected | None:
    return REFUSED if case.question.class_ != IN else None


def _other_operations(case: Case, reply: Expected) -> Expected | None:
    return NOTIMP if case.question.opcode != QUERY else None


def _versions_of_edns(case: Case, reply: Expected) -> Expected | None:
    has_edns = case.question.transport is not Transport.UDP
    return BADVERS if has_edns and case.question.edns_version else None


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
        reply_to_other = case.world.ask_otherwise(difference, case.question.name, type_)
        return None if reply_to_other is None else from_reply(reply_to_other)

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
        return case.nodata()
    return answered({case.start_of_authority, case.name_server}, case.our_address)


def _name_servers(case: Case, reply: Expected) -> Expected | None:
    """The name server of the domain is `ns.consul`, at the address that we listen at."""
    if case.in_domain and case.name == (b"ns", *DOMAIN):
        return answered(case.our_address) if case.asks("A", "ANY") else case.nodata()
    if case.in_domain and case.name == DOMAIN and case.asks("SOA", "NS"):
        own = case.start_of_authority if case.asks("SOA") else case.name_server
        return answered({own}, case.our_address)
    return None


def _above_a_protocol(case: Case, reply: Expected) -> Expected | None:
    """`_tcp.query` exists, since `_<query>._tcp.query` may."""
    if not case.has_form(b"query") or reply.rcode != "NXDOMAIN":
        return None
    left = case.name[: case.name.index(b"query")]
    is_protocol = len(left) == 1 and left[0].startswith(b"_") and b"." not in left[0]
    return case.nodata() if is_protocol else None


def _text_of_a_service(case: Case, reply: Expected) -> Expected | None:
    if not (case.stands_for_instances and case.asks("TXT")):
        return None
    _, parts, _ = split_name(case.name)
    if b"consul" in parts[-1:] or b"_consul" in parts[-2:-1]:
        return from_reply(case.ours)  # Consul's own service alone has metadata that become texts
    return from_reply(case.ask("MX"))


def _alias_beside_addresses(case: Case, reply: Expected) -> Expected | None:
    """A name has either an alias or other data (RFC 1034 section 3.6.2)."""
    if not case.in_domain or not case.owned(reply.answer, "CNAME"):
        return None
    for family in ("A", "AAAA"):
        of_family = case.ask(family)
        if of_family is not None and case.owned(of_family.answer, "A", "AAAA"):
            return case.nodata(reply.additional or NOTHING)
    return None


def _alias_of_a_node(case: Case, reply: Expected) -> Expected | None:
    if not case.has_form(b"node") or case.asks("A", "AAAA", "ANY", "TXT"):
        return None
    everything = case.ask("ANY")
    alias = case.owned(everything.answer, "CNAME") if everything else NOTHING
    return answered(alias) if alias else None


def _what_an_alias_leads_to(case: Case, reply: Expected) -> Expected | None:
    alias = case.owned(reply.answer, "CNAME") if case.in_domain else NOTHING
    if not alias:
        return None
    reached = NOTHING if case.asks("CNAME") else _follow(case, alias, case.question.type)
    texts = case.owned(reply.answer, "TXT") if case.asks("ANY") else NOTHING
    if case.stands_for_instances:
        reached = _with_ttl_of(alias, reached)
    return replace(reply, answer=alias | texts | reached)


def _what_a_target_leads_to(case: Case, reply: Expected) -> Expected | None:
    """Consul gives at most three addresses of a hostname that SRV points at."""
    targets = {r.data.split(" ")[3]: r for r in reply.answer or () if r.type == "SRV"}
    additional = reply.additional or NOTHING
    for target, pointer in targets.items():
        if is_below(labels_of(target), DOMAIN) and case.world.is_address(labels_of(target)):
            alias = frozenset({replace(pointer, data=target)})
            reached = _with_ttl_of(alias, _follow(case, alias, TYPES["ANY"]))
            if {r for r in additional if r.owner == target and r.type != "TXT"} <= reached:
                additional |= reached
    return replace(reply, additional=additional)


def _alias_of_itself(case: Case, reply: Expected) -> Expected | None:
    """Beside an SRV that points at the asked name Consul says that this is an alias of itself."""
    additional = reply.additional or NOTHING
    own = {r for r in case.owned(additional, "CNAME") if r.owner == r.data}
    return replace(reply, additional=additional - own) if own else None


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


def _with_ttl_of(alias: frozenset[Record], reached: frozenset[Record]) -> frozenset[Record]:
    """A service gives its TTL to what it leads to."""
    (ttl,) = {record.ttl for record in alias}
    return frozenset(replace(record, ttl=ttl) for record in reached)


def _computed_address_of_another_type(case: Case, reply: Expected) -> Expected | None:
    if not case.has_form(b"addr") or case.asks("ANY"):
        return None
    fitting = frozenset(r for r in reply.answer or () if case.asks(r.type))
    return replace(reply, answer=fitting)


def _srv_without_the_keyword(case: Case, reply: Expected) -> Expected | None:
    """`_db._tcp.consul` is there for SRV only: NODATA for other types; ANY finds the SRV."""
    if b"service" in case.name or not case.has_form(b"service") or case.asks("SRV"):
        return None
    found = from_reply(case.ask("SRV"))
    if found.rcode != "NOERROR":
        return None
    return found if case.asks("ANY") else case.nodata()


def _by_protocol(case: Case, reply: Expected) -> Expected | None:
    """`_x._tcp.<service>.service` is SRV of the service, if nothing else has the name."""
    if not case.in_domain or reply.rcode != "NXDOMAIN" or len(case.name) < 5:
        return None
    if not case.world.existence.is_by_protocol(case.name):
        return None
    plain = from_reply(case.world.ask_best(case.question.name[2:], "SRV"))
    if plain.rcode != "NOERROR" or not case.asks("SRV", "ANY"):
        return case.nodata()
    return renamed(plain, case.name[2:], case.name)


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
    return replace(reply, answer=left, additional=None) if left else case.nodata()


def _kubernetes_name(case: Case, reply: Expected) -> Expected | None:
    """A service of a cluster, if Consul has nothing of that name."""
    clusters = case.world.clusters
    if not case.in_domain or not clusters.has_data(case.name):
        return None
    is_there = reply.rcode == "NOERROR" and case.world.existence.exists(case.name)
    if is_there or reply.answer:
        return None
    type_ = next(name for name, number in TYPES.items() if number == case.question.type)
    records, additional = clusters.answer(case.name, type_)
    return answered(records, additional) if records else case.nodata()


def _empty_non_terminals(case: Case, reply: Expected) -> Expected | None:
    """A name above others is there (RFC 8020)."""
    if not case.in_domain or reply.rcode != "NXDOMAIN":
        return None
    is_above = case.world.existence.is_empty_non_terminal(case.name)
    return case.nodata() if is_above or case.world.clusters.exists(case.name) else None


def _names_that_are_not_there(case: Case, reply: Expected) -> Expected | None:
    """Consul does not look for a node unless an address or text is asked for."""
    if not case.in_domain or reply.rcode != "NOERROR" or reply.answer:
        return None
    exists = case.world.existence.exists(case.name) or case.world.clusters.exists(case.name)
    return None if exists else case.nxdomain()


def _denial_without_soa(case: Case, reply: Expected) -> Expected | None:
    """Whoever is denied something may remember that for as long as the SOA says."""
    empty = reply.rcode in ("NOERROR", "NXDOMAIN") and not reply.answer
    return replace(reply, soa=case.start_of_authority) if empty else None


# Never stored as records: RFC 6895 section 3.1, NXNAME of RFC 9824.
NO_DATA = ("TYPE0", "OPT", "NXNAME", "TKEY", "TSIG")

EXPLICIT = "explicit-localities"  # whatever else applies to the name without them does as well
ALIAS_CHAINS = Difference("what-an-alias-leads-to", _what_an_alias_leads_to)
DIFFERENCES = (
    Difference("other-operations", _other_operations, for_good=True),
    Difference("versions-of-edns", _versions_of_edns, for_good=True),
    Difference("types-that-are-not-data", _types_that_are_no_data, for_good=True),
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
    Difference("name-servers", _name_servers),
    Difference("prepared-queries-with-a-protocol", _above_a_protocol),
    Difference("text-of-a-service", _text_of_a_service),
    Difference("alias-beside-addresses", _alias_beside_addresses),
    Difference("alias-of-a-node", _alias_of_a_node),
    ALIAS_CHAINS,
    Difference("computed-address-of-another-type", _computed_address_of_another_type),
    Difference("srv-without-the-keyword", _srv_without_the_keyword),
    Difference("srv-of-a-service-and-protocol", _by_protocol),
    Difference("partial-answers", _what_a_target_leads_to),
    Difference("what-an-alias-leads-to", _alias_of_itself),
    Difference("invalid-ports", _ports_that_are_none),
    Difference("reverse-names-in-kv", reverse_differences.name_in_kv),
    Difference("reverse-names-of-marked-instances", reverse_differences.marked_instance),
    Difference("unsendable-targets", reverse_differences.unsendable_target),
    Difference("escaped-names", reverse_differences.target_with_backslashes),
    Difference("reverse-names-without-an-address", reverse_differences.no_address),
    Difference("addresses-in-another-spelling", reverse_differences.oddly_spelled_address),
    Difference("reverse-names-of-another-type", reverse_differences.another_type),
    Difference("reverse-misses", reverse_differences.miss),
    Difference("reverse-apex", reverse_differences.apex),
    Difference("empty-non-terminals", _empty_non_terminals),
    Difference("names-that-do-not-exist", _names_that_are_not_there),
    Difference("nodata-with-soa", _denial_without_soa),
)

# Named as well, but not to be seen in what is compared, and why.
NOT_COMPARED = {
    "soa-serial": "the serial is masked: Consul's is the time",
    "long-texts": "Consul does not reply, and to wait for that takes seconds",
    "duplicate-records": "sections are compared as sets",
    "alt-domain-in-answers": "one domain is served",
    "reverse-names-of-clusters": "no address of a cluster is asked for",
    "order-of-prepared-queries": "sections are compared as sets",
    "records-from-registration": "no instance has such metadata",
    "texts-that-are-no-address": "no instance has such an address",
    "zones-of-the-kv-tree": "compared with NSD: tests/conformance/test_zones_of_the_kv_tree.py",
    "virtual-addresses": "no such names are asked for: tests/end_to_end/test_later_versions.py",
    "limited-guesses": "fewer such names are asked for than the limit",
    "forwarding": "no upstream server is set",
    "aliases-to-other-domains": "no upstream server is set",
    "ds-of-own-zones": "no upstream server is set",
    "size-of-replies": "replies that are not whole are compared with those over TCP",
}
