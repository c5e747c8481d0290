"""What holds for every catalog, name and type."""

from hypothesis import example, given
from hypothesis import strategies as st

from consuldns.dns.answer import Answer, Outcome
from consuldns.dns.grammar.meanings import AddressName
from consuldns.dns.grammar.parse import interpretations
from consuldns.dns.policy import Policy
from consuldns.dns.question import Question, Type
from consuldns.dns.resolver import resolve
from consuldns.names import Labels, fold, is_below, is_valid, parse_name
from consuldns.views.store import ViewStore
from tests.support.catalog import Catalog, Payload
from tests.support.closest_encloser import assert_it_holds
from tests.support.properties import examples

# Few labels, so that names are met often; odd ones, so that they are met at all.
PLAIN = ["db", "web", "foo", "a", "v1", "2", "_tcp", "_db", "tcp", "dc1"]
ODD = [
    *("service", "node", "addr", "query", "dc2", "dc9", "_x", "ns", "7f000001", "ab", "abcd"),
    *("x" * 63, "..", "sp ace", "ü", ""),
]
words = st.one_of(*[st.sampled_from(PLAIN)] * 5, st.sampled_from(ODD))
dotted = st.one_of(words, st.lists(words, min_size=2, max_size=3).map(".".join))
addresses = st.sampled_from(
    [
        *("10.0.0.1", "10.0.1.2", "127.0.0.1", "203.0.113.9", "fd00::1", "2001:db8::1", ""),
        *("db.service.consul", "web.service.dc1.consul.", "foo.node.consul", "www.example.net"),
        *("fe80::1%eth0", "a..b", "::ffff:10.0.0.1"),
    ]
)
numbers = st.sampled_from([0, 1, 80, 65535, 65536, -1])


statuses = st.sampled_from(["passing", "passing", "warning", "critical", "other"])


@st.composite
def service_payloads(draw: st.DrawFn) -> Payload:
    return {
        "ID": draw(words),
        "Service": draw(st.one_of(words, words, dotted)),
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
    if draw(st.integers(0, 3)):
        payload["Service"] = draw(service_payloads())
        payload["Checks"] = draw(st.lists(st.fixed_dictionaries({"Status": statuses}), max_size=1))
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
    register=st.lists(register_payloads(), min_size=1, max_size=4),
    kv=st.dictionaries(
        st.builds("{}/{}".format, st.one_of(dotted, reverse_names), addresses), dotted, max_size=3
    ),
)
policies = st.builds(
    Policy,
    alt_domains=st.sampled_from([(), ((b"alt",),), ((b"a", b"dc1", b"consul"), (b"x",))]),
    only_passing=st.booleans(),
    node_ttl=st.sampled_from([0, 7]),
    service_ttl=st.just({"*": 5, "d*": 9}),
)
labels = st.one_of(
    words.filter(bool).map(str.encode), st.binary(min_size=1, max_size=63).map(bytes.lower)
)
domains = st.sampled_from([(b"consul",), (b"alt",), (b"a", b"dc1", b"consul"), (b"example",)])
strange_names = st.builds(
    lambda left, domain: (*left, *domain), st.lists(labels, max_size=6), domains
)


@st.composite
def names_of(draw: st.DrawFn, catalog: Catalog) -> Labels:
    """A name that says something about the catalog, or a label more or less, or anything."""
    payloads = [p for p in catalog.register if "Service" in p]
    if not payloads or draw(st.integers(0, 4)) == 0:
        return draw(st.one_of(strange_names, reverse_names.map(parse_name)).filter(is_valid))
    payload = draw(st.sampled_from(payloads))
    service = payload["Service"]
    tag = draw(st.sampled_from([*service["Tags"], "tcp"]))
    form = draw(
        st.sampled_from(
            [
                f"{service['Service']}.service",
                *[f"{tag}.{service['Service']}.service"] * 3,
                f"_{service['Service']}._{tag}.service",
                f"_{service['Service']}._{tag}",
                f"{tag}.{service['Service']}",
                f"{payload['Node']}.node",
            ]
        )
    )
    is_local = payload["Datacenter"] == "dc1"
    datacenter: tuple[str, ...] = (payload["Datacenter"], *draw(st.sampled_from([(), (), ("dc",)])))
    where = (form, *(() if is_local and draw(st.booleans()) else datacenter), "consul")
    whole = tuple(label.encode() for label in ".".join(where).split("."))
    name = fold((*draw(st.lists(labels, max_size=1)), *whole))
    return name if is_valid(name) else whole[-1:]


worlds = catalogs.flatmap(lambda catalog: st.tuples(st.just(catalog), names_of(catalog)))
types = st.one_of(st.sampled_from([int(each) for each in Type]), st.integers(0, 65535))

# One type of each kind that a name is treated by.
KINDS = (Type.A, Type.AAAA, Type.ANY, Type.SRV, Type.TXT, Type.SOA, Type.NS, Type.PTR, 15)


def ask(name: Labels, type_: int, views: ViewStore, policy: Policy) -> Answer:
    answer = resolve(Question(name, type_), views, policy)
    assert isinstance(answer, Answer), "the catalog holds every view"
    return answer


@given(worlds, policies, types)
def test_every_answer_can_be_sent(
    world: tuple[Catalog, Labels], policy: Policy, type_: int
) -> None:
    catalog, name = world
    answer = ask(name, type_, catalog.views(), policy)
    sections = [(*c.records, *c.additional, *c.optional_additional) for c in answer.groups]
    for record in (*answer.authority, *(record for section in sections for record in section)):
        assert is_valid(record.owner)
        assert 0 <= record.ttl < 2**31
    assert (answer.outcome is Outcome.ANSWER) == any(c.records for c in answer.groups)
    if answer.outcome in (Outcome.NODATA, Outcome.NXDOMAIN):
        (soa,) = answer.authority
        assert soa.type == Type.SOA
        assert is_below(name, fold(soa.owner))


@examples(400)
@given(worlds, policies)
def test_a_name_exists_for_every_type_or_for_none_and_so_does_what_is_above_it(
    world: tuple[Catalog, Labels], policy: Policy
) -> None:
    catalog, name = world
    views = catalog.views()
    exists_below = False
    for above in (name[start:] for start in range(len(name))):
        outcomes = {ask(above, type_, views, policy).outcome for type_ in KINDS}
        if Outcome.REFUSED in outcomes:
            break  # above our zone
        exists = Outcome.NXDOMAIN not in outcomes
        assert exists or outcomes == {Outcome.NXDOMAIN}, above
        assert exists or not exists_below, f"something exists below {above}"
        exists_below = exists_below or (exists and not _is_address_anywhere(above, policy))


def _is_address_anywhere(name: Labels, policy: Policy) -> bool:
    # Consul answers <hex>.addr.<anything>; that such an <anything> exists is more than can be said.
    domain = policy.domains.longest_of(name)
    if domain is None:
        return False
    return any(isinstance(r, AddressName) for r in interpretations(name[: len(name) - len(domain)]))


@given(worlds, policies)
@example((Catalog(), (b"tcp", b"service", b"dc1", b"consul")), Policy())
def test_closest_enclosers(world: tuple[Catalog, Labels], policy: Policy) -> None:
    catalog, name = world
    views = catalog.views()
    answer = ask(name, Type.A, views, policy)
    labels = [word.encode() for word in (*PLAIN, *ODD) if 0 < len(word.encode()) <= 63]
    assert_it_holds(name, answer, views, policy, labels)


@given(worlds, types)
def test_records_of_an_answer_are_distinct(world: tuple[Catalog, Labels], type_: int) -> None:
    catalog, name = world
    answer = ask(name, type_, catalog.views(), Policy())
    if not answer.exclusive:
        records = [record for each in answer.groups for record in each.records]
        assert len(records) == len(set(records))
