"""Limits of replies over UDP: who has one, and what is sent instead."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.dns.policy import Policy, RateLimitPolicy
from consuldns.server.clients import Networks, packed
from consuldns.server.cookies import Cookies
from consuldns.server.handler import Unanswered
from consuldns.server.rate_limit import RUN, RateLimiter
from tests.server.one_worker import Worker
from tests.wire.packets import opt, option, parse, query_packet

VICTIM = packed("192.0.2.7")
LIMIT = 5


class Limited:
    """A limiter with a clock that the test moves, in front of a worker."""

    def __init__(self, exempt: tuple[str, ...] = ("10.0.0.0/8",)) -> None:
        self.now = 100.0
        self.worker = Worker(policy=Policy())
        policy = RateLimitPolicy(LIMIT, exempt)
        self.cookies = Cookies(b"secret", 1232, lambda: self.now)
        self.worker.handler.cookies = self.cookies
        self.limiter = RateLimiter(policy, self.cookies, lambda: self.now)

    def ask(self, packet: bytes, address: bytes = VICTIM) -> bytes | None:
        """What the client gets."""
        reply = self.worker.ask(packet)
        assert not isinstance(reply, Unanswered)
        self.limiter.note(1)
        return self.limiter.limit(address, packet, reply)


@pytest.mark.parametrize("edns", [b"", opt()], ids=["plain", "EDNS"])
def test_beyond_the_limit_half_are_dropped_and_half_truncated(edns: bytes) -> None:
    limited = Limited()
    packet = query_packet(edns=edns)
    replies = [limited.ask(packet) for _ in range(2 * LIMIT + 2 * RUN)]
    whole = 2 * LIMIT  # those before the first that was counted are not
    assert all(reply and len(parse(reply).answer) == 1 for reply in replies[:whole])
    assert replies[whole : whole + RUN] == [None] * RUN
    for reply in replies[whole + RUN :]:
        assert reply is not None
        assert len(reply) <= len(packet)
        message: Any = parse(reply)
        assert message.flags & 0x0200, "TC"
        assert message.question == parse(packet).question
        assert not message.answer
        assert (message.edns == 0) == bool(edns)


def test_each_network_and_each_answer_has_a_limit_of_its_own() -> None:
    limited = Limited()
    web, many = query_packet(), query_packet("many.service.consul.")
    while limited.ask(web) is not None:
        pass
    assert limited.ask(many) is not None
    assert limited.ask(web, packed("192.0.2.99")) is None, "the same network"
    assert limited.ask(web, packed("192.0.3.1")) is not None
    assert limited.ask(web, packed("::ffff:192.0.2.1")) is None, "the same client over IPv6"
    assert limited.ask(web, packed("2001:db8::1")) is not None
    assert limited.ask(web, packed("10.1.1.1")) is not None, "exempt"


def test_denials_of_random_names_count_as_one() -> None:
    limited = Limited()
    names = (f"x{number}.service.consul." for number in range(500))
    answered = sum(limited.ask(query_packet(name)) is not None for name in names)
    assert answered < 500 * 0.6


def test_a_second_later_it_begins_anew() -> None:
    limited = Limited()
    while limited.ask(query_packet()) is not None:
        pass
    limited.now += 1
    assert limited.ask(query_packet()) is not None


def test_errors_without_a_question_are_dropped() -> None:
    limited = Limited()
    malformed = query_packet()[:-1]
    replies = [limited.ask(malformed) for _ in range(200)]
    assert replies[-1] is None
    assert limited.ask(query_packet()) is not None


def test_zero_octets_in_a_name_are_part_of_it() -> None:
    limited = Limited()
    packet = query_packet((b"a\0b", b"service", b"consul"))
    replies = {reply for reply in (limited.ask(packet) for _ in range(200)) if reply is not None}
    for reply in replies:
        assert parse(reply).question == parse(packet).question


def test_what_is_counted_is_bounded() -> None:
    limited = Limited(exempt=())
    packet = query_packet()
    for number in range(50_000):
        limited.ask(packet, number.to_bytes(3) + b"\1")
    assert len(limited.limiter._counts) == 20_001
    assert len(limited.limiter._exempt._known) <= 10_000


def test_those_that_are_not_counted_by_themselves_share_a_limit() -> None:
    limited = Limited(exempt=())
    packet = query_packet()
    for number in range(20_000 + 3 * LIMIT):
        limited.ask(packet, number.to_bytes(3) + b"\1")
    assert limited.ask(packet, packed("203.0.113.1")) is None


@pytest.mark.parametrize("edns", [b"", opt(), opt(4096)], ids=["plain", "EDNS", "4096"])
def test_no_reply_is_more_than_ten_times_as_long_as_its_query(edns: bytes) -> None:
    limited = Limited()
    packet = query_packet("many.service.consul.", edns=edns)
    reply = limited.ask(packet)
    assert reply is not None
    message = parse(reply)
    assert len(reply) <= 10 * len(packet)
    if edns:
        assert message.flags & 0x0200, "TC"
        assert not message.answer
    whole = limited.ask(packet, packed("10.1.1.1"))
    assert whole is not None
    assert parse(whole).answer, "exempt"
    small = limited.ask(query_packet(edns=edns))
    assert small is not None
    assert len(parse(small).answer) == 1


def test_a_client_whose_cookie_is_valid_has_no_limit() -> None:
    limited = Limited()

    def ask(cookie: bytes, address: bytes = VICTIM) -> Any:
        edns = opt(options=option(10, cookie))
        reply = limited.ask(query_packet("many.service.consul.", edns=edns), address)
        return None if reply is None else parse(reply)

    first = ask(b"\1" * 8)
    assert first.flags & 0x0200
    assert not first.answer
    (given,) = first.options
    cookie = given.client + given.server
    assert len(cookie) == 24
    for _ in range(LIMIT + 2 * RUN):
        assert ask(cookie).answer
    assert not ask(cookie, packed("192.0.2.8")).answer, "another client's"
    refused = [ask(b"\1" * 8) for _ in range(LIMIT + RUN)]
    assert None in refused


def test_zero_is_no_limit() -> None:
    assert Worker(policy=Policy(rate_limit=RateLimitPolicy(0))).handler.limiter is None
    assert Worker(policy=Policy()).handler.limiter is not None


ADDRESSES = st.one_of(
    st.ip_addresses(),
    *(st.ip_addresses(network=each) for each in ("10.0.0.0/30", "172.0.0.0/11", "fe80::/9")),
)


@given(ADDRESSES, st.sets(st.ip_addresses(network="10.0.0.0/29"), max_size=5))
def test_networks_hold_what_ipaddress_says(address: Any, hosts: set[Any]) -> None:
    texts = [f"{host}/32" for host in hosts] + ["172.16.0.0/12", "fe80::/10", "::1/128"]
    expected = any(
        address.version == each.version and address in each for each in map(ip_network, texts)
    )
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is None:
        assert (address.packed in Networks(texts)) is expected
    for host in hosts:
        assert ip_address(str(host)).packed in Networks(texts)
