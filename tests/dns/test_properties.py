"""What holds for every catalog, name and type."""

from hypothesis import given
from hypothesis import strategies as st

from consuldns.dns.answer import Answer, Outcome
from consuldns.dns.grammar import AddressName, readings
from consuldns.dns.policy import Policy
from consuldns.dns.question import Question, Type
from consuldns.dns.resolver import resolve
from consuldns.names import Labels, fold, is_below, is_valid, parse_name
from consuldns.views.store import ViewStore
from tests.support.catalog import Catalog, Payload

# Few labels, so that names are met often; odd ones, so that they are met at all.
WORDS = [
    *("db", "web", "_tcp", "_db", "tcp", "v1", "2", "foo", "a", "service", "node", "addr", "query"),
    *("dc1", "dc2", "dc9", "_x", "ns", "7f000001", "ab", "abcd", "x" * 63, "..", "sp ace", "ü", ""),
]
words = st.sampled_from(WORDS)
dotted = st.one_of(words, st.lists(words, min_size=2, max_size=3).map(".".join))
addresses = st.sampled_from(
    [
        *("10.0.0.1", "10.0.1.2", "127.0.0.1", "203.0.113.9", "fd00::1", "2001:db8::1", ""),
        *("db.service.consul", "web.service.dc1.consul.", "foo.node.consul", "www.example.net"),
        *("fe80::1%eth0", "a..b", "::ffff:10.0.0.1"),
    ]
)
numbers = st.sampled_from([0, 1, 80, 65535, 65536, -1])


@st.composite
def service_payloads(draw: st.DrawFn) -> Payload:
    return {
        "ID": draw(words),
        "Service": draw(dotted),
        "Address": draw(addresses),
        "Port": draw(numbers),
        "Tags": draw(st.lists(dotted, max_size=3)),
        "TaggedAddresses": draw(
            st.dictionaries(
                st.sampled_from(["lan_ipv4", "lan_ipv6", "wan"]),
                st.fixed_dictionaries({"Address": addresses, "Port": numbers}),
            )
        ),
        "Weights": {"Passing": draw(numbers), "Warning": draw(numbers)},
    }


@st.composite
def register_payloads(draw: st.DrawFn) -> Payload:
    payload: Payload = {
        "Node": draw(dotted),
        "ID": draw(st.sampled_from(["", "abcd0000-1111", "abff"])),
        "Address": draw(addresses),
        "Datacenter": draw(st.sampled_from(["dc1", "dc2"])),
        "NodeMeta": draw(st.dictionaries(words, words, max_size=2)),
        "TaggedAddresses": draw(
            st.dictionaries(st.sampled_from(["lan_ipv4", "lan_ipv6"]), addresses)
        ),
    }
    if draw(st.booleans()):
        payload["Service"] = draw(service_payloads())
        status = draw(st.sampled_from(["passing", "warning", "critical", "other"]))
        payload["Checks"] = [{"Status": status}]
    return payload


reverse_names = st.sampled_from(
    [
        *("1.0.0.10.in-addr.arpa", "0.0.10.in-addr.arpa", "0.0.0.10.in-addr.arpa"),
        *("10.in-addr.arpa", "in-addr.arpa", "9.113.0.203.in-addr.arpa", "0.203.in-addr.arpa"),
        *(
            "x.1.0.0.10.in-addr.arpa",
            "0.0.d.f.ip6.arpa",
            ".".join("1" + "0" * 29 + "df") + ".ip6.arpa",
        ),
    ]
)
catalogs = st.builds(
    Catalog,
    datacenters=st.just(["dc1", "dc2"]),
    register=st.lists(register_payloads(), max_size=5),
    kv=st.dictionaries(
        st.builds("{}/{}".format, st.one_of(dotted, reverse_names), addresses), dotted, max_size=3
    ),
)
policies = st.builds(
    Policy,
    alt_domain=st.sampled_from([None, (b"alt",), (b"a", b"dc1", b"consul")]),
    only_passing=st.booleans(),
    node_ttl=st.sampled_from([0, 7]),
    service_ttl=st.just({"*": 5, "d*": 9}),
)
labels = st.one_of(
    words.filter(bool).map(str.encode), st.binary(min_size=1, max_size=63).map(bytes.lower)
)
domains = st.sampled_from([(b"consul",), (b"alt",), (b"a", b"dc1", b"consul"), (b"example",)])
domain_names = st.builds(
    lambda left, domain: (*left, *domain), st.lists(labels, max_size=6), domains
)
question_names: st.SearchStrategy[Labels] = st.one_of(
    domain_names, reverse_names.map(parse_name)
).filter(is_valid)
types = st.one_of(st.sampled_from([int(each) for each in Type]), st.integers(0, 65535))

# One type of each kind that a name is treated by.
KINDS = (Type.A, Type.AAAA, Type.ANY, Type.SRV, Type.TXT, Type.SOA, Type.NS, Type.PTR, 15)


def ask(name: Labels, type_: int, views: ViewStore, policy: Policy) -> Answer:
    answer = resolve(Question(name, type_), views, policy)
    assert isinstance(answer, Answer), "the catalog holds every view"
    return answer


@given(catalogs, policies, question_names, types)
def test_every_answer_can_be_sent(
    catalog: Catalog, policy: Policy, name: Labels, type_: int
) -> None:
    answer = ask(name, type_, catalog.views(), policy)
    sections = [(*c.records, *c.additional, *c.extra) for c in answer.contributions]
    for record in (*answer.authority, *(record for section in sections for record in section)):
        assert is_valid(record.owner)
        assert 0 <= record.ttl < 2**31
    assert (answer.outcome is Outcome.ANSWER) == any(c.records for c in answer.contributions)
    if answer.outcome in (Outcome.NODATA, Outcome.NXDOMAIN):
        (soa,) = answer.authority
        assert soa.type == Type.SOA
        assert is_below(name, fold(soa.owner))


@given(catalogs, policies, question_names, st.integers(1, 3))
def test_a_name_exists_for_every_type_or_for_none_and_none_exists_below_none(
    catalog: Catalog, policy: Policy, name: Labels, up: int
) -> None:
    views = catalog.views()
    outcomes = {ask(name, type_, views, policy).outcome for type_ in KINDS}
    if Outcome.NXDOMAIN in outcomes:
        assert outcomes == {Outcome.NXDOMAIN}
        return
    if Outcome.REFUSED in outcomes or _is_address_anywhere(name, policy):
        return
    above = name[up:]
    outcome = ask(above, Type.A, views, policy).outcome
    assert outcome is not Outcome.NXDOMAIN, f"{above} exists above {name}"


def _is_address_anywhere(name: Labels, policy: Policy) -> bool:
    # Consul answers <hex>.addr.<anything>; that such an <anything> exists is more than can be said.
    domain = policy.domains.longest_of(name)
    if domain is None:
        return False
    return any(isinstance(r, AddressName) for r in readings(name[: len(name) - len(domain)]))


@given(catalogs, question_names, types)
def test_records_of_an_answer_are_distinct(catalog: Catalog, name: Labels, type_: int) -> None:
    answer = ask(name, type_, catalog.views(), Policy())
    if not answer.pick_one:
        records = [record for each in answer.contributions for record in each.records]
        assert len(records) == len(set(records))
