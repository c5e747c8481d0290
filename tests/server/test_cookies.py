"""DNS cookies: what is valid, for whom, and how replies carry them (RFC 7873, RFC 9018)."""

from typing import Any

import dns.edns
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.dns.answer import ExtendedError
from consuldns.server.clients import packed
from consuldns.server.cookies import Cookies
from consuldns.server.handler import Unanswered
from consuldns.views import updates
from consuldns.wire.encode import option as encoded_option
from consuldns.wire.encode import with_options
from tests.server.one_worker import Worker
from tests.wire.packets import opt, option, parse, query_packet

CLIENT = b"\x24\x64\xc4\xab\xcf\x10\xc9\x57"
OURS, OTHER = packed("198.51.100.100"), packed("203.0.113.203")
EDNS_COOKIE = 10


class Server:
    """Cookies in front of a worker, with a clock that the test moves."""

    def __init__(self, secret: bytes = b"secret", max_udp_size: int = 1232) -> None:
        self.now = 1_559_731_985.0
        self.cookies = Cookies(secret, max_udp_size, lambda: self.now)
        self.worker = Worker()
        self.worker.handler.cookies = self.cookies

    def ask(self, packet: bytes, address: bytes = OURS) -> bytes:
        """What the client gets."""
        reply = self.worker.ask(packet, client=address)
        assert not isinstance(reply, Unanswered)
        return reply

    def cookie(self, sent: bytes = CLIENT, address: bytes = OURS) -> bytes:
        """The cookie in the reply to a query with that one."""
        return cookie_in(self.ask(asking(sent), address))

    def accepts(self, cookie: bytes, address: bytes = OURS) -> bool:
        return self.cookies.are_valid(asking(cookie), address)


def asking(cookie: bytes, name: str = "web.service.consul", size: int = 1232) -> bytes:
    return query_packet(name, edns=opt(size, options=option(EDNS_COOKIE, cookie)))


def cookie_in(reply: bytes) -> bytes:
    message: Any = parse(reply)
    (found,) = (each for each in message.options if each.otype == EDNS_COOKIE)
    return bytes(found.client + found.server)


def test_a_reply_has_the_clients_cookie_and_ours() -> None:
    server = Server()
    for _ in range(3 + 2):  # three orders are made, then they are known but for the cookie
        cookie = server.cookie()
        assert len(cookie) == 24
        assert cookie.startswith(CLIENT + b"\1\0\0\0" + int(server.now).to_bytes(4))
        assert server.accepts(cookie)
        assert len(parse(server.ask(asking(cookie))).answer) == 1
    assert server.worker.handler.counters.misses == 3
    assert server.worker.handler.find(asking(CLIENT), False) is None, "it does not know the client"


@pytest.mark.parametrize(
    ("age", "valid", "same"),
    [
        *((0, True, True), (1799, True, True), (1800, True, False), (3600, True, False)),
        *((3601, False, False), (-300, True, True), (-301, False, False)),
    ],
)
def test_age(age: float, valid: bool, same: bool) -> None:
    server = Server()
    cookie = server.cookie()
    server.now += age
    assert server.accepts(cookie) is valid
    assert (server.cookie(cookie) == cookie) is same
    assert server.accepts(server.cookie(cookie))


def test_seconds_may_overflow() -> None:
    server = Server()
    server.now = 2.0**32 - 10
    cookie = server.cookie()
    server.now += 20
    assert server.accepts(cookie)


def test_whose_cookie_is_not_valid() -> None:
    server = Server()
    cookie = server.cookie()
    assert server.accepts(cookie)
    assert server.accepts(cookie, packed("::ffff:198.51.100.100")), "the same client over IPv6"
    assert not server.accepts(cookie, OTHER)
    assert not Server(b"another").accepts(cookie)
    for octet in range(24):
        changed = bytearray(cookie)
        changed[octet] ^= 1
        assert not server.accepts(bytes(changed)), octet
        assert server.accepts(server.cookie(bytes(changed))), "it gets one that is"
    for length in (8, 16, 23, 32, 40):
        assert not server.accepts((cookie + bytes(16))[:length])


@pytest.mark.parametrize("length", [0, 1, 7, 9, 15, 41, 100])
def test_lengths_that_no_cookie_has(length: int) -> None:
    server = Server()
    message: Any = parse(server.ask(asking(bytes(length))))
    assert message.rcode() == 1, "FORMERR"
    assert not message.options


@pytest.mark.parametrize("length", [8, 16, 24, 32, 40])
def test_lengths_that_cookies_have(length: int) -> None:
    assert Server().cookie(CLIENT + bytes(length - 8)).startswith(CLIENT)


def test_among_other_options() -> None:
    server = Server()
    options = option(12, bytes(5)) + option(EDNS_COOKIE, CLIENT) + option(EDNS_COOKIE, b"\2" * 8)
    for _ in range(3):
        reply = server.ask(query_packet(edns=opt(options=options)))
        assert cookie_in(reply).startswith(CLIENT)


def test_without_a_cookie_there_is_none() -> None:
    server = Server()
    for edns in (b"", opt(), opt(options=option(12, b"\0\x0a\0\x08" + CLIENT))):
        for _ in range(2):
            message: Any = parse(server.ask(query_packet(edns=edns)))
            assert not message.options
    looks_like_one = (b"\0\x0a\0\x08abcdefgh", b"service", b"consul")
    assert not parse(server.ask(query_packet(looks_like_one))).options


@pytest.mark.parametrize(
    "size", [*range(0, 1300, 100), 511, 512, 513, 540, 1204, 1220, 1231, 1232, 4096]
)
@pytest.mark.parametrize("name", ["many.service.consul", "web.service.consul", "no.service.consul"])
def test_replies_are_no_longer_than_clients_accept(name: str, size: int) -> None:
    server = Server()
    for _ in range(3):
        for packet in (asking(CLIENT, name, size), query_packet(name, edns=opt(size))):
            assert len(server.ask(packet)) <= min(max(size, 512), 1232)


def test_beside_an_extended_error() -> None:
    server = Server()
    server.worker.handler.receive(updates.Contact(reachable=False))
    for name in ("web.service.consul", "no.service.consul"):
        for _ in range(3):
            message: Any = parse(server.ask(asking(CLIENT, name)))
            assert {each.otype for each in message.options} == {EDNS_COOKIE, 15}


TEXT = st.text(alphabet=st.characters(exclude_categories=("C", "Z")) | st.just(" "), max_size=64)


@given(TEXT, st.sampled_from([None, *ExtendedError]))
def test_an_option_more(text: str, error: ExtendedError | None) -> None:
    message = dns.message.make_response(dns.message.make_query("a.example", "A"))
    message.use_edns(0, payload=1232)
    errors: list[dns.edns.Option] = []
    if error is not None:
        errors = [dns.edns.EDEOption(dns.edns.EDECode.make(error.value), text or None)]
    message.use_edns(0, payload=1232, options=errors)
    if len(text.encode()) <= 64:
        found: Any = parse(with_options(message.to_wire(), encoded_option(10, CLIENT + bytes(16))))
        assert [each.otype for each in found.options] == [15] * len(errors) + [10]
    message.use_edns(-1)
    assert with_options(message.to_wire(), encoded_option(10, CLIENT)) == message.to_wire()
