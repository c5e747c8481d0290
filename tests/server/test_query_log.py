"""The query log: what is logged, and how it looks."""

import logging
import re

import dns.message
import pytest

from consuldns.logs import Logged
from consuldns.server.listen import Transport
from consuldns.server.query_log import Exchange, QueryLog, QueryLogPolicy
from tests.server.one_worker import Worker
from tests.wire.packets import opt, query_packet

CLIENT = ("127.0.0.1", 40212)


def lines(
    caplog: pytest.LogCaptureFixture, kind: Logged, *packets: bytes, sample: int = 1
) -> list[str]:
    """What is logged of these queries."""
    log, worker = QueryLog(QueryLogPolicy(kind, sample)), Worker()
    with caplog.at_level(logging.INFO, "consuldns.queries"):
        for packet in packets:
            reply = worker.ask(packet)
            assert isinstance(reply, bytes)
            log.note(Exchange(packet, reply, CLIENT, Transport.UDP, 21_000))
    return [record.getMessage() for record in caplog.records]


FOUND = query_packet("Web.service.consul", edns=opt())
DENIED = query_packet("nope.service.consul")
EMPTY = query_packet("web.service.consul", 28)
REFUSED = query_packet("www.example.net", 4242, class_=3)
STATUS = query_packet(flags=0x1000)


def test_a_line_is_in_the_common_format(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = lines(caplog, "all", FOUND)
    assert re.fullmatch(
        r'127\.0\.0\.1:40212 - \d+ "A IN web\.service\.consul\. udp \d+ false \d+" '
        r"NOERROR qr,aa(,rd)? \d+ 0\.000021s",
        line,
    )


@pytest.mark.parametrize(("kind", "count"), [("all", 4), ("denials", 2), ("errors", 1), ("off", 4)])
def test_which_are_logged(caplog: pytest.LogCaptureFixture, kind: Logged, count: int) -> None:
    assert len(lines(caplog, kind, FOUND, DENIED, EMPTY, REFUSED)) == count


def test_unknown_types_and_classes_have_numbers(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = lines(caplog, "all", REFUSED)
    assert '"TYPE4242 CH www.example.net. udp ' in line
    assert " REFUSED qr" in line


def test_a_sample(caplog: pytest.LogCaptureFixture) -> None:
    assert len(lines(caplog, "all", *[FOUND] * 10, sample=5)) == 2


def test_what_is_not_a_query_has_no_line(caplog: pytest.LogCaptureFixture) -> None:
    assert lines(caplog, "all", STATUS) == []


def test_addresses_of_ipv6_are_in_brackets(caplog: pytest.LogCaptureFixture) -> None:
    reply = Worker().ask(FOUND)
    assert isinstance(reply, bytes)
    assert dns.message.from_wire(reply)
    with caplog.at_level(logging.INFO, "consuldns.queries"):
        log = QueryLog(QueryLogPolicy("all"))
        log.note(Exchange(FOUND, reply, ("::1", 53, 0, 0), Transport.TCP, 1))
    assert caplog.records[0].getMessage().startswith("[::1]:53 - ")
