"""Denials by closest encloser are what the resolver would say, whatever was asked before."""

from collections.abc import Sequence

import dns.name
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.dns.policy import ForwardPolicy, MessagePolicy, Policy
from consuldns.dns.question import Type
from consuldns.names import Labels, is_valid, parse_name
from consuldns.sockets import HostPort
from consuldns.views import keys, model, updates
from tests.dns import test_kubernetes_properties as of_kubernetes
from tests.dns import test_properties as of_consul
from tests.server.one_worker import Worker
from tests.support import kubernetes_data
from tests.support.catalog import Catalog
from tests.wire.packets import opt, query_packet

EXTRA = [b"x", b"nothing", b"9", b"77", b"addr", b"ns", b"abcd", b"0a000001", b"svc", b"a.b"]
# Above this are what random names are asked for, in real life and here.
BASES = [
    *("service.consul", "consul", "dc1.consul", "service.dc1.consul", "node.consul"),
    *("db.service.consul", "v1.web.service.consul", "service.dc9.consul", "connect.dc9.consul"),
    *("dc1.dc.consul", "service.dc1.dc.consul", "web.service.dc1.dc.consul", "node.dc1.dc.consul"),
    *(
        "svc.dc1.consul",
        "svc.dc1.dc.consul",
        "default.svc.dc1.consul",
        "query.dc9.consul",
        "_tcp.service.consul",
    ),
    *("10.in-addr.arpa", "0.10.in-addr.arpa", "0.0.10.in-addr.arpa", "d.f.ip6.arpa"),
    *("8.10.in-addr.arpa", "168.192.in-addr.arpa", "7.0.0.10.in-addr.arpa"),
]
TYPES = [Type.A, Type.AAAA, Type.SRV, Type.PTR, Type.ANY, Type.SOA, Type.OPT, Type.AXFR, 65, 128]


@st.composite
def below(draw: st.DrawFn, name: Labels) -> Labels:
    """A name near another one: other labels in front of one of those above it."""
    words = [*EXTRA, *name, *(word.encode() for word in of_consul.PLAIN)]
    left = draw(st.lists(st.sampled_from(words), max_size=3))
    base = draw(st.one_of(st.integers(0, len(name) - 1), st.sampled_from(BASES)))
    above = name[base:] if isinstance(base, int) else tuple(base.encode().split(b"."))
    return (*left, *above)


def assert_equal(
    catalog: Catalog, policy: Policy, names: Sequence[Labels], types: Sequence[int]
) -> None:
    """A worker that was asked everything before says what one says that was asked nothing."""
    views = catalog.views()
    warm = Worker(views, policy=policy)
    for name, type_ in [(name, type_) for name in names for type_ in types]:
        packet = query_packet(name, type_, edns=opt(4096))
        for _ in range(2):
            reply = warm.reply(packet)
        fresh = Worker(views, policy=policy).reply(packet)
        assert reply.rcode() == fresh.rcode(), (name, type_)
        assert reply.flags == fresh.flags
        assert reply.authority == fresh.authority
        assert {each.name: set(each) for each in reply.answer} == {
            each.name: set(each) for each in fresh.answer
        } or len(fresh.answer) > 1
        assert reply.question == fresh.question


@given(st.data(), of_consul.worlds, of_consul.policies)
def test_names_of_consul(
    st_data: st.DataObject, world: tuple[Catalog, Labels], policy: Policy
) -> None:
    catalog, name = world
    names = [
        n
        for n in (name, *st_data.draw(st.lists(below(name), min_size=4, max_size=8)))
        if is_valid(n)
    ]
    assert_equal(catalog, policy, names, [Type.A, st_data.draw(st.sampled_from(TYPES))])


@given(st.data(), of_kubernetes.worlds(), of_kubernetes.policies)
def test_names_of_kubernetes(
    st_data: st.DataObject, world: tuple[Catalog, Labels], policy: Policy
) -> None:
    catalog, name = world
    names = [
        n
        for n in (name, *st_data.draw(st.lists(below(name), min_size=4, max_size=8)))
        if is_valid(n)
    ]
    assert_equal(catalog, policy, names, [Type.A, st_data.draw(st.sampled_from(TYPES))])


CATALOG = Catalog(
    register=[
        {
            "Node": "n1.rack",
            "ID": "abcd0000-1111",
            "Address": "10.0.0.1",
            "Service": {"Service": "web", "Port": 80, "Tags": ["v1.2", "blue"]},
        },
        {
            "Node": "n2",
            "Address": "10.0.0.2",
            "Service": {"Service": "a.b", "Port": 80, "Tags": ["green"]},
        },
        *kubernetes_data.registrations(
            [{"namespace": "default", "name": "db", "cluster_ips": ["10.8.0.1"]}]
        ),
    ],
    kv={
        **kubernetes_data.keys(
            [{"namespace": "default", "name": "db", "cluster_ips": ["10.8.0.1"]}], []
        ),
        "0.7.9.10.IN-ADDR.ARPA/10.9.7.3": "web.service.dc1.consul",
    },
)


@pytest.mark.parametrize(
    ("first", "name", "rcode"),
    [
        ("x.consul", "7f000001.addr.x.consul", "NOERROR"),
        ("x.consul", "dc1.consul", "NOERROR"),
        ("x.consul", "ns.consul", "NOERROR"),
        ("x.consul", "service.consul", "NOERROR"),
        ("x.consul", "_web._tcp.consul", "NOERROR"),
        ("x.consul", "web.service.dc9.consul", "NXDOMAIN"),
        ("x.dc1.consul", "svc.dc1.consul", "NOERROR"),
        ("x.web.service.dc1.dc.consul", "web.service.dc1.dc.consul", "NOERROR"),
        ("x.service.dc1.dc.consul", "web.service.dc1.dc.consul", "NOERROR"),
        ("x.node.dc1.dc.consul", "n2.node.dc1.dc.consul", "NOERROR"),
        ("x.dc.consul", "dc1.dc.consul", "NOERROR"),
        ("x.dc1.dc.consul", "service.dc1.dc.consul", "NOERROR"),
        ("x.svc.dc1.dc.consul", "db.default.svc.dc1.dc.consul", "NOERROR"),
        ("x.default.svc.dc1.dc.consul", "db.default.svc.dc1.dc.consul", "NOERROR"),
        ("x.ns.consul", "ns.consul", "NOERROR"),
        ("x.service.consul", "web.service.consul", "NOERROR"),
        ("x.service.consul", "b.service.consul", "NOERROR"),
        ("x.service.consul", "default.service.consul", "NOERROR"),
        ("x.service.consul", "_tcp.service.consul", "NOERROR"),
        ("x.web.service.consul", "blue.web.service.consul", "NOERROR"),
        ("x.web.service.consul", "2.web.service.consul", "NOERROR"),
        ("x.web.service.consul", "v1.2.web.service.consul", "NOERROR"),
        ("x.2.web.service.consul", "v1.2.web.service.consul", "NOERROR"),
        ("x.web.service.consul", "green.web.service.consul", "NXDOMAIN"),
        ("x.node.consul", "rack.node.consul", "NOERROR"),
        ("x.node.consul", "abcd.node.consul", "NOERROR"),
        ("x.node.consul", "abff.node.consul", "NXDOMAIN"),
        ("x.rack.node.consul", "n1.rack.node.consul", "NOERROR"),
        ("x.svc.dc1.consul", "default.svc.dc1.consul", "NOERROR"),
        ("x.default.svc.dc1.consul", "db.default.svc.dc1.consul", "NOERROR"),
        ("7.10.in-addr.arpa", "9.10.in-addr.arpa", "NOERROR"),
        ("7.10.in-addr.arpa", "3.7.9.10.in-addr.arpa", "NOERROR"),
        ("6.9.10.in-addr.arpa", "3.7.9.10.in-addr.arpa", "NOERROR"),
        ("8.7.9.10.in-addr.arpa", "3.7.9.10.in-addr.arpa", "NOERROR"),
        ("x.10.in-addr.arpa", "1.0.0.10.in-addr.arpa", "NOERROR"),
        ("9.0.0.10.in-addr.arpa", "2.0.0.10.in-addr.arpa", "NOERROR"),
        ("9.10.in-addr.arpa", "1.0.8.10.in-addr.arpa", "NOERROR"),
    ],
)
def test_what_exists_is_not_denied(first: str, name: str, rcode: str) -> None:
    worker = Worker(CATALOG.views())
    for each in (first, first):
        worker.ask(query_packet(each))
    assert worker.reply(query_packet(name, Type.ANY)).rcode().name == rcode


def denials(worker: Worker) -> list[str]:
    """The names that denials are kept below."""
    found = []
    for wire in worker.handler._cache._denials._by_name:
        name, _ = dns.name.from_wire(wire + b"\0", 0)
        found.append(name.to_text())
    return found


@pytest.mark.parametrize(
    ("name", "encloser"),
    [
        ("x.consul", "consul."),
        ("y.x.consul", "consul."),
        ("x.dc1.consul", "dc1.consul."),
        ("web.service.dc9.consul", "consul."),
        ("x.service.consul", "service.consul."),
        ("y.x.service.dc1.consul", "service.dc1.consul."),
        ("y.x.web.service.consul", "web.service.consul."),
        ("x.blue.web.service.consul", "blue.web.service.consul."),
        ("y.x.node.consul", "node.consul."),
        ("x.rack.node.dc1.consul", "rack.node.dc1.consul."),
        ("x.default.svc.dc1.consul", "default.svc.dc1.consul."),
        ("4.3.2.10.in-addr.arpa", "10.in-addr.arpa."),
        ("4.3.0.10.in-addr.arpa", "0.10.in-addr.arpa."),
        ("9.0.0.10.in-addr.arpa", "0.0.10.in-addr.arpa."),
        ("nonsense.10.in-addr.arpa", "10.in-addr.arpa."),
        (".".join("1" * 30 + "df") + ".ip6.arpa", "d.f.ip6.arpa."),
    ],
)
def test_one_denial_is_kept_for_all_random_names(name: str, encloser: str) -> None:
    worker = Worker(CATALOG.views())
    assert worker.reply(query_packet(name)).rcode().name == "NXDOMAIN"
    assert denials(worker) == [encloser]
    misses = worker.handler.counters.misses
    assert worker.reply(query_packet(name.upper())).rcode().name == "NXDOMAIN"
    assert worker.handler.counters.misses == misses


def test_a_denial_goes_with_the_lists_that_it_came_from() -> None:
    worker = Worker(CATALOG.views())
    worker.ask(query_packet("x.service.consul"))
    assert denials(worker)
    services = model.Services(99, ("x",), ())
    worker.handler.receive(updates.Replaced(keys.ServiceList("dc1"), services))
    assert not denials(worker)
    worker.ask(query_packet("x.service.consul"))
    assert worker.needed == [keys.ServiceInstances("dc1", "x")]


def test_a_denial_that_is_in_use_stays_and_keeps_its_views() -> None:
    worker = Worker(CATALOG.views())
    worker.ask(query_packet("x.service.consul"))
    assert keys.ServiceList("dc1") in worker.handler.rotate()
    worker.ask(query_packet("y.service.consul"))
    assert keys.ServiceList("dc1") in worker.handler.rotate()
    assert denials(worker)
    worker.handler.rotate()
    assert not denials(worker)
    assert worker.handler.rotate() == ()


def test_denials_from_old_data_say_so() -> None:
    worker = Worker(CATALOG.views())
    packet = query_packet("x.service.consul", edns=opt())
    assert not worker.reply(packet).options
    worker.handler.receive(updates.Contact(False))
    assert [option.code for option in worker.reply(packet).options] == [19]


def labels_of(name: bytes) -> bytes:
    """A query for a name in wire format, whatever it is."""
    return b"\0\1\1\0\0\1\0\0\0\0\0\0" + name + b"\0\0\1\0\1"


BELOW_SERVICE = b"\x07service\x06consul"


@pytest.mark.parametrize(
    ("name", "rcode"),
    [
        pytest.param(b"\x03a\0b" + BELOW_SERVICE, "NXDOMAIN", id="a zero octet in a label"),
        pytest.param(b"\x01\0" + BELOW_SERVICE, "NXDOMAIN", id="nothing but a zero octet"),
        pytest.param(b"\x03a.b" + BELOW_SERVICE, "NXDOMAIN", id="a dot in a label"),
        pytest.param(b"\x40" + b"a" * 64 + BELOW_SERVICE, "FORMERR", id="a label too long"),
        pytest.param(b"\xc0\x0c" + BELOW_SERVICE, "FORMERR", id="a pointer"),
        pytest.param(b"\x05ab" + BELOW_SERVICE, "FORMERR", id="a label across the next one"),
        pytest.param((b"\x3f" + b"a" * 63) * 4 + BELOW_SERVICE, "FORMERR", id="a name too long"),
        pytest.param(b"\x3f" + b"a" * 63 + BELOW_SERVICE, "NXDOMAIN", id="the longest label"),
        pytest.param(
            (b"\x3f" + b"a" * 63) * 3 + b"\x2d" + b"a" * 45 + BELOW_SERVICE,
            "NXDOMAIN",
            id="the longest name",
        ),
    ],
)
def test_odd_names(name: bytes, rcode: str) -> None:
    """A second time from the cache, and the same as without one."""
    worker = Worker(CATALOG.views())
    for length in range(1, 64):
        worker.ask(query_packet("x" * length + ".service.consul"))
    first, *others = (worker.ask(labels_of(name)) for _ in range(3))
    assert all(each == first for each in others)
    assert first == Worker(CATALOG.views()).ask(labels_of(name))
    assert isinstance(first, bytes)
    assert dns.rcode.to_text(dns.rcode.Rcode(first[3] & 0xF)) == rcode


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_packet_that_ends_early(cut: int) -> None:
    worker = Worker(CATALOG.views())
    packet = query_packet("x.service.consul", edns=opt())
    for each in (packet, packet):
        worker.ask(each)
    assert worker.ask(packet[:-cut]) == Worker(CATALOG.views()).ask(packet[:-cut])


def test_replies_without_compression_and_with_long_names_of_servers() -> None:
    long = (b"a" * 63, b"b" * 63, b"c" * 63)
    for policy in (
        Policy(messages=MessagePolicy(disable_compression=True)),
        Policy(name_servers=((b"x", b"y", b"service", b"consul"),)),
        Policy(name_servers=(long,)),
    ):
        names = [parse_name(each) for each in ("q.service.consul", "q.x.y.service.consul")]
        assert_equal(CATALOG, policy, names * 2, [Type.A])
        worker = Worker(CATALOG.views(), policy=policy)
        worker.ask(query_packet("q.service.consul"))
        assert denials(worker) == ([] if policy.name_servers == (long,) else ["service.consul."])


def test_zones_that_are_forwarded_are_not_denied() -> None:
    upstreams: dict[Labels, tuple[HostPort, ...]] = {
        (b"corp", b"service", b"consul"): (HostPort("127.0.0.1", 53),)
    }
    worker = Worker(CATALOG.views(), policy=Policy(forward=ForwardPolicy(upstreams=upstreams)))
    assert worker.reply(query_packet("x.service.consul")).rcode().name == "NXDOMAIN"
    assert worker.reply(query_packet("www.corp.service.consul")).rcode().name == "REFUSED"
