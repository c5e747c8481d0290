"""Replies that are ready for packets seen before: right after every change, and bounded."""

import pytest

from consuldns.dns.policy import MessagePolicy, Policy
from consuldns.server.listen import Transport
from consuldns.views import keys, updates
from tests.server.one_worker import CATALOG, Worker
from tests.support.ask import extended_errors
from tests.support.catalog import Catalog
from tests.wire.packets import RD, opt, parse, query_packet, records

WEB = keys.ServiceInstances("dc1", "web")
EDNS = query_packet(edns=opt())


def ready(worker: Worker) -> int:
    return dict(worker.handler.entries())["ready"]


def warm(*packets: bytes, worker: Worker | None = None) -> Worker:
    worker = worker or Worker()
    for packet in packets or (query_packet(), EDNS):
        for _ in range(8):
            worker.ask(packet)
    assert ready(worker)
    return worker


@pytest.mark.parametrize("packet", [query_packet(), EDNS], ids=["plain", "edns"])
def test_a_change_is_answered_at_once(packet: bytes) -> None:
    worker = warm()
    before = records(worker.reply(packet).answer)
    instance = dict(CATALOG.register[0])
    other = Catalog(register=[instance | {"Node": "n9", "Address": "10.9.9.9"}]).views()
    worker.handler.receive(updates.Replaced(WEB, other.read(WEB)))
    after = records(worker.reply(packet).answer)
    assert sorted(map(str, after)) != sorted(map(str, before))
    assert records(Worker(worker.store).reply(packet).answer)


def test_what_was_forgotten_is_not_answered() -> None:
    worker = warm()
    worker.handler.receive(updates.Forgotten(WEB))
    assert worker.handler.find(query_packet(), False) is None


def test_stale_data_are_marked_at_once() -> None:
    worker = warm()
    assert not extended_errors(worker.reply(EDNS))
    worker.handler.receive(updates.Contact(False))
    assert extended_errors(worker.reply(EDNS))
    worker.handler.receive(updates.Contact(True))
    assert not extended_errors(worker.reply(EDNS))


def test_other_settings_take_effect_at_once() -> None:
    worker = warm()
    assert len(worker.reply(query_packet()).answer[0]) == 3
    worker.handler.set_policy(Policy(messages=MessagePolicy(a_record_limit=1)))
    assert len(worker.reply(query_packet()).answer[0]) == 1


def test_what_is_ready_is_in_use() -> None:
    """Hits keep the entry, although they do not touch it."""
    worker = warm()
    misses = worker.handler.counters.misses
    for _ in range(5):
        worker.handler.rotate()
        assert ready(worker) == 0
        for _ in range(3):
            worker.ask(query_packet())
    assert worker.handler.counters.misses == misses


def test_id_flags_and_spelling_are_those_of_the_query() -> None:
    worker = warm()
    for id_ in (0, 1, 65535):
        for flags in (0, RD, 0x10, 0x20, RD | 0x30):
            for name in ("web.service.consul", "WeB.service.CONSUL"):
                packet = id_.to_bytes(2) + query_packet(name, flags=flags)[2:]
                for _ in range(2):
                    reply = worker.reply(packet)
                    assert reply.id == id_
                    assert bool(reply.flags & 0x100) == bool(flags & RD)
                    assert str(reply.question[0].name) == f"{name}."


def test_over_tcp_it_is_another_reply() -> None:
    worker = warm()
    counted = [*worker.handler.tally]
    worker.reply(query_packet(), Transport.TCP)
    assert [*worker.handler.tally] != counted


def test_what_clients_can_vary_does_not_fill_it() -> None:
    worker = warm()
    before = ready(worker)
    for number in range(200):
        cookie = opt(options=b"\x00\x0a\x00\x08" + number.to_bytes(8))
        spelled = "".join(
            c.upper() if number >> n & 1 else c for n, c in enumerate("web.service.consul")
        )
        worker.ask(query_packet(edns=cookie))
        if number:
            worker.ask(query_packet(spelled))
    assert ready(worker) <= before + 1


def test_it_is_bounded() -> None:
    worker = warm()
    for size in range(512, 1400):
        for flags in range(0, 0x80, 0x10):
            for high in (0, 1, 2, 3):
                packet = query_packet(edns=opt(size), flags=flags | high << 8)
                worker.ask(packet)
                worker.ask(packet)
    assert 5_000 < ready(worker) <= 10_000
    assert len(parse(worker.handler.find(EDNS, False) or b"").answer[0]) == 3
