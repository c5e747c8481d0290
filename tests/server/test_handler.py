"""Parking: queries that wait for views, and what becomes of them. Views that change or grow old."""

import logging
from dataclasses import replace

import pytest

from consuldns.dns.answer import Answer
from consuldns.dns.forwarded import Forwarded, Needs
from consuldns.dns.policy import Policy
from consuldns.dns.question import Question
from consuldns.server import handler
from consuldns.server.handler import Pending, Unanswered
from consuldns.server.listen import Transport
from consuldns.views import keys, model, updates
from consuldns.views.store import Views, ViewStore
from tests.server.one_worker import CATALOG, Worker
from tests.wire.packets import AAAA, A, opt, parse, query_packet, records

DATACENTERS = keys.DatacenterList()
ZONES = keys.ZoneList()
SERVICES = keys.ServiceList("dc1")
NODES = keys.NodeList("dc1")
WEB = keys.ServiceInstances("dc1", "web")
QUERY = query_packet(edns=opt())
DENIED = query_packet("nope.service.consul", edns=opt())


def without(*missing: keys.ViewKey) -> Worker:
    """A worker that knows the whole catalog but for these views."""
    worker = Worker(CATALOG.views())
    for key in missing:
        worker.store.forget(key)
    return worker


def tell(worker: Worker, key: Pending) -> None:
    """Give the worker the catalog's view of this key."""
    assert isinstance(key, keys.Key)
    worker.handler.receive(updates.Replaced(key, CATALOG.views().read(key)))


def summary(reply: bytes | Unanswered) -> tuple[str, int, list[tuple[int, str | None]]]:
    """rcode, number of answers, extended errors."""
    message = parse(reply)
    errors = [(int(error.code), error.text) for error in message.options]
    return message.rcode().name, len(records(message.answer)), errors


class TestParking:
    def test_a_query_waits_for_its_view(self) -> None:
        worker = without(WEB)
        assert worker.ask(QUERY) is Unanswered.PENDING
        assert worker.needed == [WEB]
        assert worker.late == []
        tell(worker, WEB)
        assert [summary(reply) for reply in worker.late] == [("NOERROR", 3, [])]
        assert worker.handler.pending_count == 0
        assert summary(worker.ask(QUERY)) == ("NOERROR", 3, [])

    def test_a_view_is_asked_for_once(self) -> None:
        worker = without(WEB)
        for packet in (QUERY, query_packet(), query_packet("WEB.service.consul", 33)):
            assert worker.ask(packet, Transport.TCP) is Unanswered.PENDING
        assert worker.needed == [WEB]
        tell(worker, WEB)
        assert [len(records(parse(reply).answer)) for reply in worker.late] == [3, 3, 3]

    def test_one_view_after_the_other(self) -> None:
        worker = Worker(ViewStore())
        assert worker.ask(QUERY) is Unanswered.PENDING
        while not worker.late:
            tell(worker, worker.needed[-1])
        assert [summary(reply) for reply in worker.late] == [("NOERROR", 3, [])]
        assert worker.needed[0] == ZONES
        assert worker.needed[-1] == WEB
        assert len(set(worker.needed)) == len(worker.needed)

    def test_other_views_do_not_wake_it(self) -> None:
        worker = without(WEB)
        worker.ask(QUERY)
        tell(worker, NODES)
        assert worker.late == []

    def test_other_queries_are_not_held_up(self) -> None:
        worker = without(WEB)
        worker.ask(QUERY)
        assert summary(worker.ask(DENIED)) == ("NXDOMAIN", 0, [])

    def test_nothing_known_at_all(self) -> None:
        worker = Worker(ViewStore())
        assert worker.ask(DENIED) is Unanswered.PENDING
        worker.handler.receive(updates.Unavailable(ZONES, "Consul cannot be reached"))
        assert [summary(reply) for reply in worker.late] == [
            ("SERVFAIL", 0, [(14, "Consul cannot be reached")])
        ]

    def test_a_view_that_cannot_be_had(self) -> None:
        worker = without(WEB)
        worker.ask(QUERY)
        worker.handler.receive(updates.Unavailable(WEB, "no leader"))
        failed = ("SERVFAIL", 0, [(23, "no leader")])
        assert [summary(reply) for reply in worker.late] == [failed]
        # For a second control is not asked again, whatever clients ask.
        assert summary(worker.ask(QUERY)) == failed
        assert worker.needed == [WEB]
        worker.now += handler.RETRY_SECONDS
        worker.handler.time_out()
        assert worker.ask(QUERY) is Unanswered.PENDING
        assert worker.needed == [WEB, WEB]

    def test_time_is_up(self) -> None:
        worker = without(WEB)
        worker.ask(QUERY)
        worker.now += 1
        worker.ask(QUERY)
        worker.handler.time_out()
        assert worker.late == []
        worker.now += handler.PENDING_SECONDS - 1
        worker.handler.time_out()
        assert [summary(reply)[0] for reply in worker.late] == ["SERVFAIL"] * 2
        assert worker.handler.pending_count == 0
        assert worker.handler.counters.timed_out == 2
        assert worker.ask(QUERY) is Unanswered.PENDING
        assert worker.needed == [WEB, WEB]

    def test_the_number_is_bounded(self) -> None:
        worker = without(WEB)
        for _ in range(handler.MAX_PENDING):
            assert worker.ask(QUERY) is Unanswered.PENDING
        assert summary(worker.ask(QUERY))[0] == "SERVFAIL"
        assert worker.handler.counters.overload == 1
        tell(worker, WEB)
        assert len(worker.late) == handler.MAX_PENDING

    def test_control_that_answers_at_once(self) -> None:
        worker = Worker(ViewStore(), need=lambda key: tell(worker, key))
        assert worker.ask(QUERY) is Unanswered.PENDING
        assert [summary(reply) for reply in worker.late] == [("NOERROR", 3, [])]
        assert worker.handler.pending_count == 0


class TestChanges:
    def test_a_change_is_answered_at_once(self) -> None:
        worker = without()
        for _ in range(20):
            assert summary(worker.ask(QUERY)) == ("NOERROR", 3, [])
        view = CATALOG.views().read(WEB)
        assert isinstance(view, model.Instances)
        worker.handler.receive(updates.Replaced(WEB, model.Instances(9, view.instances[:1])))
        assert summary(worker.ask(QUERY)) == ("NOERROR", 1, [])

    def test_an_outdated_view_is_asked_for_again(self) -> None:
        worker = without()
        worker.ask(QUERY)
        worker.handler.receive(updates.Outdated((WEB,)))
        assert worker.ask(QUERY) is Unanswered.PENDING
        assert worker.needed == [WEB]
        worker.handler.receive(updates.Current(WEB))
        assert [summary(reply) for reply in worker.late] == [("NOERROR", 3, [])]

    def test_an_outdated_view_is_better_than_none(self) -> None:
        worker = without()
        worker.handler.receive(updates.Outdated((WEB,)))
        worker.ask(QUERY)
        worker.handler.receive(updates.Unavailable(WEB, "no leader"))
        stale = ("NOERROR", 3, [(3, "no leader")])
        assert [summary(reply) for reply in worker.late] == [stale]
        assert summary(worker.ask(QUERY)) == stale
        tell(worker, WEB)
        assert summary(worker.ask(QUERY)) == ("NOERROR", 3, [])

    def test_an_outdated_view_is_used_when_control_is_silent(self) -> None:
        worker = without()
        worker.handler.receive(updates.Outdated((SERVICES,)))
        worker.ask(DENIED)
        worker.now += handler.PENDING_SECONDS
        worker.handler.time_out()
        assert [summary(reply) for reply in worker.late] == [
            ("NXDOMAIN", 0, [(19, "timed out waiting for Consul")])
        ]

    def test_instances_that_there_were_are_better_than_a_long_wait(self) -> None:
        worker = without()
        worker.handler.receive(updates.Outdated((WEB,)))
        worker.ask(QUERY)
        worker.now += handler.OUTDATED_SECONDS
        worker.handler.time_out()
        stale = ("NOERROR", 3, [(3, "timed out waiting for Consul")])
        assert [summary(reply) for reply in worker.late] == [stale]
        assert summary(worker.ask(QUERY)) == stale, "nobody else waits"
        tell(worker, WEB)
        assert summary(worker.ask(QUERY)) == ("NOERROR", 3, [])

    def test_a_query_may_wait_for_another_view_after_an_old_one(self) -> None:
        worker = without(NODES)
        worker.handler.receive(updates.Outdated((WEB,)))
        worker.ask(query_packet("n1.node.consul"))
        worker.ask(QUERY)
        worker.now += handler.OUTDATED_SECONDS
        worker.handler.time_out()
        assert len(worker.late) == 1
        assert worker.handler.pending_count == 1

    def test_news_end_the_pause_after_unavailable(self) -> None:
        worker = without()
        worker.handler.receive(updates.Unavailable(WEB, "no leader"))
        worker.handler.receive(updates.Outdated((WEB,)))
        assert worker.ask(QUERY) is Unanswered.PENDING

    def test_a_forgotten_view_is_asked_for_again(self) -> None:
        worker = without()
        worker.ask(QUERY)
        worker.handler.receive(updates.Forgotten(WEB))
        assert worker.ask(QUERY) is Unanswered.PENDING

    def test_answers_are_marked_while_consul_is_silent(self) -> None:
        worker = without()
        for _ in range(10):
            worker.ask(QUERY)
        worker.handler.receive(updates.Contact(False))
        assert summary(worker.ask(QUERY)) == ("NOERROR", 3, [(3, None)])
        assert summary(worker.ask(DENIED)) == ("NXDOMAIN", 0, [(19, None)])
        assert parse(worker.ask(query_packet())).edns == -1
        worker.handler.receive(updates.Contact(True))
        assert summary(worker.ask(QUERY)) == ("NOERROR", 3, [])

    def test_views_asked_for_are_told(self) -> None:
        worker = without()
        worker.ask(QUERY)
        assert set(worker.handler.rotate()) == {ZONES, DATACENTERS, WEB}
        assert worker.handler.rotate() == ()

    def test_settings_change(self) -> None:
        worker = without()
        worker.ask(QUERY)
        worker.handler.set_policy(replace(Policy(), service_ttl={"*": 30}))
        assert parse(worker.ask(QUERY)).answer[0].ttl == 30


class TestFailures:
    def test_a_bug_is_one_servfail(self, caplog: pytest.LogCaptureFixture) -> None:
        def broken(
            question: Question, views: Views, policy: Policy, forwarded: Forwarded | None
        ) -> Answer | Needs:
            raise RuntimeError(f"no answer for type {question.type}")

        worker = Worker(resolve=broken)
        with caplog.at_level(logging.INFO):
            for _ in range(10):
                assert summary(worker.ask(QUERY)) == ("SERVFAIL", 0, [])
            worker.now += 60
            worker.ask(query_packet((b"a\n\x1b[2j", b"consul")))
        assert worker.handler.counters.failures == 11
        assert [record.getMessage() for record in caplog.records] == [
            "answering web.service.consul. type 1: unexpected error, please report it: "
            "RuntimeError: no answer for type 1",
            "answering a\\010\\027[2j.consul. type 1: unexpected error, as before: "
            "RuntimeError: no answer for type 1 (9 more like this before)",
        ]
        assert [bool(record.exc_info) for record in caplog.records] == [True, False]


def test_counters() -> None:
    worker = without()
    counters = worker.handler.counters
    for packet in (QUERY, QUERY, DENIED, b"", query_packet(flags=0x7800)):
        worker.ask(packet)
    worker.ask(QUERY)
    # Three instances come in three orders: three queries until the table knows them all.
    assert counters.misses == 6
    worker.ask(QUERY)
    assert counters.misses == 6
    assert (counters.dropped, counters.rejected, counters.failures) == (1, 1, 0)
    assert sorted(worker.handler.tally) == [
        ("consul.", "A", "NOERROR", "udp", 4),
        ("consul.", "A", "NXDOMAIN", "udp", 1),
        ("dropped", "other", "NOTIMP", "udp", 1),
    ]


def test_names_that_spell_an_address_do_not_fill_the_cache() -> None:
    """Clients can make up any number of them (240,000 had taken 88 MB)."""
    worker = Worker()
    for number in range(5_000):
        for type_ in (A, AAAA):
            worker.ask(query_packet(f"0a00{number:04x}.addr.dc1.consul", type_))
    assert sum(count for part, count in worker.handler.entries() if part != "ready") <= 2_000
    assert len(worker.reply(query_packet("0a00ffff.addr.dc1.consul")).answer) == 1
