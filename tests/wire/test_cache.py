"""The response cache: one entry for a question in any case, rotation, what is dropped when."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from consuldns.dns.answer import Answer, Outcome
from consuldns.dns.policy import MessagePolicy
from consuldns.views import keys
from consuldns.wire import generations
from consuldns.wire.cache import ResponseCache
from consuldns.wire.decode import Query, read_query
from consuldns.wire.entry import MAX_ORDERS
from consuldns.wire.tally import Tally
from tests.wire import made_answers, packets
from tests.wire.made_answers import SERVICES, WEB_INSTANCES
from tests.wire.packets import opt, option, parse, query_packet, records

PADDED = opt(options=option(12, b"12345678"))


def new_cache() -> ResponseCache:
    return ResponseCache(Random(1), Tally())


def entries(cache: ResponseCache) -> int:
    """Questions in the fresh generations of both parts."""
    return len(cache._positive.fresh.entries) + len(cache._negative.fresh.entries)


def teach(cache: ResponseCache, packet: bytes, answer: Answer, *, over_tcp: bool = False) -> bytes:
    """Put an answer into the cache, and ask until every order of it is compiled."""
    query = packets.as_query(packet)
    reply = cache.find_for(query, over_tcp) or cache.add(query, answer, over_tcp=over_tcp)
    for _ in range(MAX_ORDERS):
        assert cache.find_for(query, over_tcp) is not None
    return reply


def test_every_spelling_id_and_flag_shares_an_entry() -> None:
    cache = new_cache()
    teach(cache, query_packet(), made_answers.addresses(1))
    reply = cache.find(b"\xab\xcd" + query_packet("WEB.Service.CONSUL", flags=0x0690)[2:], False)
    message = parse(reply)
    assert message.id == 0xABCD
    assert message.flags == packets.QR | packets.AA
    assert str(message.question[0].name) == "WEB.Service.CONSUL."
    assert records(message.answer) == ["WEB.Service.CONSUL. 0 A 10.0.0.1"]


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(query_packet("web.service.consu"), id="another name"),
        pytest.param(query_packet(type_=packets.AAAA), id="another type"),
        pytest.param(query_packet(class_=3), id="another class"),
        pytest.param(query_packet() + b"x", id="an octet behind"),
        pytest.param(query_packet()[:-1], id="an octet less"),
        pytest.param(query_packet(edns=opt(1400)), id="an OPT record not seen yet"),
        pytest.param(query_packet(edns=opt(), flags=packets.QR), id="a reply"),
        pytest.param(query_packet(flags=0x2000), id="another opcode"),
        pytest.param(packets.header(questions=2) + packets.question(), id="two questions"),
        pytest.param(query_packet(edns=opt(options=option(10, b"x", length=2))), id="bad option"),
        pytest.param(query_packet(edns=opt(options=option(10, b"x" * 9)))[:-1], id="OPT cut short"),
        pytest.param(b"", id="nothing"),
        pytest.param(packets.header(), id="no question"),
        pytest.param(packets.header() + b"\3web", id="no end"),
    ],
)
def test_what_is_unusual_is_not_found(packet: bytes) -> None:
    cache = new_cache()
    teach(cache, query_packet(), made_answers.addresses(1))
    teach(cache, query_packet(edns=PADDED), made_answers.addresses(1))
    assert cache.find(packet, False) is None


def test_types_that_differ_in_the_case_bit_only() -> None:
    cache = new_cache()
    teach(cache, query_packet(type_=97), made_answers.NODATA)
    assert cache.find(query_packet(type_=65), False) is None


def test_a_name_with_a_zero_octet_is_never_kept() -> None:
    cache = new_cache()
    packet = query_packet((b"a\0b", b"consul"))
    assert parse(cache.add(packets.as_query(packet), made_answers.NXDOMAIN, over_tcp=False))
    assert entries(cache) == 0
    assert cache.find(packet, False) is None


def test_options_of_one_length_share_an_opt() -> None:
    cache = new_cache()
    teach(cache, query_packet(edns=PADDED), made_answers.addresses(1))
    other = query_packet(edns=opt(options=option(12, b"abcdefgh")))
    message = parse(cache.find(other, False))
    assert (message.edns, message.payload, message.options) == (0, 1232, ())
    longer = query_packet(edns=opt(options=option(12, b"abcdefgh" * 2)))
    assert cache.find(longer, False) is None


def test_queries_with_a_cookie_are_known_without_it() -> None:
    cache = new_cache()
    packet = query_packet(edns=opt(options=option(10, b"12345678")))
    teach(cache, packet, made_answers.addresses(1))
    assert cache.find(packet, False) is None
    assert cache.find(query_packet(edns=opt()), False) is not None


def test_dnssec_ok_is_copied() -> None:
    cache = new_cache()
    for flags in (0, 0x8000, 0x4000):
        packet = query_packet(edns=opt(flags=flags))
        teach(cache, packet, made_answers.addresses(1))
        assert parse(cache.find(packet, False)).ednsflags == flags & 0x8000


def test_several_options_go_the_slow_way() -> None:
    cache = new_cache()
    packet = query_packet(edns=opt(options=option(10, b"12345678") + option(12)))
    teach(cache, packet, made_answers.addresses(1))
    assert cache.find(packet, False) is None


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_each_instance_comes_first_equally_often(count: int) -> None:
    cache = new_cache()
    packet = query_packet()
    teach(cache, packet, made_answers.addresses(count))
    replies = [records(parse(cache.find(packet, False)).answer) for _ in range(count * 5)]
    assert {tuple(sorted(reply)) for reply in replies} == {tuple(sorted(replies[0]))}
    assert set(Counter(reply[0] for reply in replies).values()) == {5}


def test_every_instance_of_many_comes_first_in_time() -> None:
    cache = new_cache()
    packet = query_packet(edns=opt())
    cache.add(packets.as_query(packet), made_answers.addresses(30), over_tcp=False)
    first = set()
    for _ in range(60):
        for _ in range(10):
            reply = cache.find(packet, False)
            if reply is None:
                reply = cache.find_for(packets.as_query(packet), False)
            first.add(records(parse(reply).answer)[0])
        cache.rotate()
    assert len(first) == 30


def test_an_order_that_matters_is_kept() -> None:
    cache = new_cache()
    packet = query_packet()
    teach(cache, packet, made_answers.addresses(5, shuffled=False))
    for _ in range(10):
        reply = cache.find(packet, False)
        assert [r[-1] for r in records(parse(reply).answer)] == list("12345")


def test_each_transport_and_size_gets_what_it_can_hold() -> None:
    cache = new_cache()
    answer = made_answers.service(30)
    plain, small, large = (
        query_packet(type_=packets.SRV, edns=edns) for edns in (b"", opt(512), opt(4096))
    )
    for packet in (plain, small, large):
        teach(cache, packet, answer)
        teach(cache, packet, answer, over_tcp=True)
    sizes = {
        (packet, tcp): len(records(parse(cache.find(packet, tcp)).answer))
        for packet in (plain, small, large)
        for tcp in (False, True)
    }
    assert sizes[plain, True] == sizes[small, True] == sizes[large, True] == 30
    assert sizes[small, False] <= sizes[plain, False] < sizes[large, False] < 30


def test_replies_are_counted_by_what_they_are() -> None:
    tally = Tally()
    cache = ResponseCache(Random(1), tally)
    packet, other = query_packet(), query_packet("x.service.consul", 4242)
    denied = replace(made_answers.NXDOMAIN, zone="consul.")
    cache.add(packets.as_query(packet), denied, over_tcp=False)
    cache.find_for(packets.as_query(packet), True)
    cache.find(packet, False)
    cache.add(packets.as_query(other), made_answers.REFUSED, over_tcp=True)
    assert sorted(tally) == [
        ("consul.", "A", "NXDOMAIN", "tcp", 1),
        ("consul.", "A", "NXDOMAIN", "udp", 2),
        ("dropped", "other", "REFUSED", "tcp", 1),
    ]


class TestDropping:
    def test_exactly_the_answers_of_a_view_go(self) -> None:
        cache = new_cache()
        denied = query_packet("nope.service.consul")
        teach(cache, query_packet(), made_answers.addresses(1))
        teach(cache, denied, made_answers.NXDOMAIN)
        cache.drop(keys.ServiceInstances("dc1", "other"))
        assert entries(cache) == 2
        cache.drop(WEB_INSTANCES)
        assert cache.find(query_packet(), False) is None
        assert cache.find(denied, False) is not None
        cache.drop(SERVICES)
        assert entries(cache) == 0

    def test_in_the_previous_generation_too(self) -> None:
        cache = new_cache()
        teach(cache, query_packet(), made_answers.addresses(1))
        cache.rotate()
        cache.drop(WEB_INSTANCES)
        assert cache.find(query_packet(), False) is None

    def test_an_answer_from_other_views_stays(self) -> None:
        cache = new_cache()
        packet = query_packet()
        teach(cache, packet, made_answers.addresses(1))
        other = keys.ServiceInstances("dc2", "web")
        moved = Answer(Outcome.NODATA, dependencies=frozenset({other}))
        cache.add(packets.as_query(packet), moved, over_tcp=False)
        cache.drop(WEB_INSTANCES)
        assert entries(cache) == 1
        cache.drop(other)
        assert entries(cache) == 0

    def test_clear(self) -> None:
        cache = new_cache()
        teach(cache, query_packet(), made_answers.addresses(1))
        cache.set_messages(MessagePolicy())
        assert entries(cache) == 0

    def test_servfail_is_never_kept(self) -> None:
        cache = new_cache()
        failed = Answer(Outcome.SERVFAIL, authoritative=False)
        cache.add(packets.as_query(query_packet()), failed, over_tcp=False)
        assert entries(cache) == 0


class TestGenerations:
    def test_what_is_asked_for_stays(self) -> None:
        cache = new_cache()
        other = query_packet("db.service.consul")
        teach(cache, query_packet(), made_answers.addresses(1))
        teach(cache, other, made_answers.addresses(1))
        for _ in range(3):
            cache.rotate()
            assert cache.find(query_packet(), False) is not None
        assert cache.find(other, False) is None

    def test_views_that_answers_came_from_are_told(self) -> None:
        cache = new_cache()
        assert cache.rotate() == ()
        teach(cache, query_packet(), made_answers.addresses(1))
        assert set(cache.rotate()) == {SERVICES, WEB_INSTANCES}
        cache.find(query_packet(), False)
        assert set(cache.rotate()) == {SERVICES, WEB_INSTANCES}
        assert cache.rotate() == ()

    def test_random_names_do_not_drive_out_what_exists(self) -> None:
        cache = new_cache()
        packets_that_exist = [query_packet(f"s{n}.service.consul") for n in range(10)]
        for packet in packets_that_exist:
            teach(cache, packet, made_answers.addresses(1))
        for n in range(5000):
            packet = query_packet(f"random-{n}.service.consul")
            cache.add(packets.as_query(packet), made_answers.NXDOMAIN, over_tcp=False)
        assert entries(cache) <= 10 + 2000
        for packet in packets_that_exist:
            assert cache.find(packet, False) is not None

    def test_a_full_generation_takes_no_more_and_loses_none(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(generations, "_MAX_MEMORY", 4_000_000)  # an eighth: seconds less
        cache = new_cache()
        large = made_answers.service(2000)
        names = [f"s{n}.service.consul" for n in range(40)]
        for name in names:
            packet = query_packet(name, packets.SRV)
            cache.add(packets.as_query(packet), large, over_tcp=True)
        assert 5 < entries(cache) < 40
        kept = entries(cache)
        cache.rotate()
        found = [
            cache.find_for(packets.as_query(query_packet(name, packets.SRV)), True)
            for name in names
        ]
        assert len([reply for reply in found if reply]) == kept


class TestStale:
    def test_replies_say_so_with_opt_only(self) -> None:
        cache = new_cache()
        plain, edns = query_packet(), query_packet(edns=opt())
        denied = query_packet("nope.service.consul", edns=opt())
        teach(cache, plain, made_answers.addresses(2))
        teach(cache, edns, made_answers.addresses(2))
        teach(cache, denied, made_answers.NXDOMAIN)
        cache.mark_stale(True)
        assert parse(cache.find(plain, False)).options == ()
        assert parse(cache.find(edns, False)).options[0].to_text() == "EDE 3 (Stale Answer)"
        assert parse(cache.find(denied, False)).options[0].to_text().startswith("EDE 19 ")
        cache.mark_stale(False)
        assert parse(cache.find(edns, False)).options == ()


@given(
    spelling=st.lists(st.booleans(), min_size=18, max_size=18),
    identity=st.binary(min_size=2, max_size=2),
    edns=st.sampled_from([b"", opt(), opt(512), opt(4096, flags=0x8000), PADDED]),
    count=st.integers(0, 40),
    over_tcp=st.booleans(),
    stale=st.booleans(),
)
def test_a_hit_is_the_slow_reply_but_for_the_order(
    spelling: list[bool], identity: bytes, edns: bytes, count: int, over_tcp: bool, stale: bool
) -> None:
    name = "".join(
        c.upper() if up else c for c, up in zip("web.service.consul", spelling, strict=True)
    )
    packet = identity + query_packet(name, edns=edns)[2:]
    cache = new_cache()
    cache.mark_stale(stale)
    slow = teach(cache, packet, made_answers.addresses(count), over_tcp=over_tcp)
    hit = cache.find(packet, over_tcp)
    assert hit is not None
    assert len(hit) == len(slow)
    first, second = parse(slow), parse(hit)
    if not first.flags & packets.TC:
        assert sorted(records(first.answer)) == sorted(records(second.answer))
    assert first.question[0].to_text() == second.question[0].to_text() == f"{name}. IN A"
    assert (first.id, first.flags, first.options) == (second.id, second.flags, second.options)


@given(st.binary(max_size=60), st.binary(max_size=20), st.booleans())
def test_no_packet_that_is_none_hits(middle: bytes, tail: bytes, over_tcp: bool) -> None:
    cache = new_cache()
    teach(cache, query_packet(edns=PADDED), made_answers.addresses(1))
    for packet in (
        middle + tail,
        packets.header() + middle + tail,
        packets.header() + packets.question() + tail,
        packets.header(additional=1) + packets.question() + tail,
        packets.header(additional=1) + packets.question() + PADDED[:15] + tail,
    ):
        if cache.find(packet, over_tcp) is not None:
            query = read_query(packet)
            assert isinstance(query, Query)
            assert query.key == packets.question()


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.booleans(), st.none() | st.integers(1, 9)), max_size=20
    ),
    st.integers(0, 10),
    st.booleans(),
)
def test_exactly_what_has_expired_goes(
    added: list[tuple[int, bool, int | None]], now: int, rotated: bool
) -> None:
    """In both parts and generations, and whatever answer a question had before."""
    cache = new_cache()
    lifetimes: dict[bytes, int | None] = {}
    for number, exists, expires_at in added:
        packet = query_packet(f"n{number}.service.consul")
        query = packets.as_query(packet)
        if cache.find_for(query, False) is not None:
            cache.drop(SERVICES)
            lifetimes.clear()
        answer = made_answers.addresses(1) if exists else made_answers.NXDOMAIN
        cache.add(query, answer, over_tcp=False, expires_at=expires_at)
        lifetimes[packet] = expires_at
    if rotated:
        cache.rotate()
    cache.expire(now)
    for packet, expires_at in lifetimes.items():
        is_kept = expires_at is None or expires_at > now
        assert (cache.find(packet, False) is not None) == is_kept
        assert (cache.find_for(packets.as_query(packet), False) is not None) == is_kept


@pytest.mark.parametrize("weights", [(9, 1), (1, 1, 8), (0, 5, 5)])
def test_the_first_address_goes_by_weight(weights: tuple[int, ...]) -> None:
    cache = new_cache()
    plain = made_answers.addresses(len(weights))
    groups = tuple(
        replace(group, weight=weight) for group, weight in zip(plain.groups, weights, strict=True)
    )
    query = packets.as_query(query_packet())
    cache.add(query, replace(plain, groups=groups, by_weight=True), over_tcp=False)
    firsts: Counter[str] = Counter()
    for _ in range(250):
        for _ in range(MAX_ORDERS):
            firsts[records(parse(cache.find_for(query, False)).answer)[0]] += 1
        cache.rotate()
    shares = [firsts[f"web.service.consul. 0 A 10.0.0.{n}"] / 2000 for n in range(1, 4)]
    for weight, share in zip(weights, shares, strict=False):
        assert share == pytest.approx(weight / sum(weights), abs=0.05)
