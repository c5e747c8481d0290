"""Whatever Consul sends: nothing ends, no answer is wrong, and it is over when it is over.

A watcher on a Consul whose replies are spoiled, and a worker that gets its messages as they travel
between the processes.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random

import dns.edns
import dns.message
import pytest
from msgspec.structs import replace

from consuldns.consul.http.client import Client
from consuldns.consul.watch.watcher import Watcher
from consuldns.dns.policy import Policy
from consuldns.process import link
from consuldns.server.handler import Handler
from consuldns.server.listen import Transport
from consuldns.views import updates
from consuldns.views.store import ViewStore
from tests.consul import nasty
from tests.consul.faulty_consul import BODIES, CLUSTER, LISTS, ZONE, FaultyConsul, instance, key
from tests.wire.packets import CLIENT, PTR, A, opt, parse, query_packet

BATCHES = 8
ANSWERS = {
    ("web.service.consul", A): "10.1.0.1",
    ("db.service.consul", A): "10.1.0.2",
    ("node-1.node.consul", A): "10.0.0.1",
    ("redis.default.svc.dc1.consul", A): "10.254.0.7",
    ("176.70.254.10.in-addr.arpa", PTR): "pointed.example.com.",
    ("2.0.1.10.in-addr.arpa", PTR): "db.service.dc1.consul.",
}
ABSENT = "nope.service.consul"


class Answering:
    """A worker: what travels to it, and what it answers."""

    def __init__(self) -> None:
        self._decoder = link.worker_decoder()
        self.watcher: Watcher | None = None
        self.handler = Handler(
            ViewStore(),
            Policy(reverse_zones=((b"10", b"in-addr", b"arpa"),)),
            need=self._need,
            randomness=Random(1),
            clock=asyncio.get_running_loop().time,
        )

    def take(self, update: updates.ToWorker) -> None:
        self.handler.receive(self._decoder.decode(link.frame(update)[4:]))  # type: ignore[arg-type]

    def _need(self, view: object) -> None:
        assert self.watcher is not None
        self.watcher.need(view)  # type: ignore[arg-type]

    async def ask(self, name: str, type_: int = A) -> dns.message.Message:
        packet = query_packet(name, type_, edns=opt())
        late: asyncio.Queue[bytes] = asyncio.Queue()
        reply = self.handler.find(packet, False) or self.handler.handle(
            packet, Transport.UDP, late.put_nowait, client=CLIENT
        )
        while not isinstance(reply, bytes):
            self.handler.time_out()
            with contextlib.suppress(TimeoutError):
                reply = await asyncio.wait_for(late.get(), 0.05)
        return parse(reply)

    async def wrong(self, wanted: Mapping[tuple[str, int], str]) -> list[str]:
        """What is not as it should be: answers, and the denial of what does not exist."""
        found = [await self.ask(name, type_) for name, type_ in wanted]
        denial = await self.ask(ABSENT)
        assert self.watcher is not None
        self.watcher.asked(self.handler.rotate())
        problems = [
            f"{name}: {message.rcode().name} {data(message)}"
            for (name, _), address, message in zip(wanted, wanted.values(), found, strict=True)
            if data(message) != {address}
        ]
        if denial.answer or denial.rcode() not in (dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL):
            problems.append(str(denial))
        assert self.handler.counters.failures == 0
        return problems

    async def stale(self, wanted: Mapping[tuple[str, int], str]) -> list[str]:
        """The names whose answers are marked."""
        return [name for name, type_ in wanted if errors(await self.ask(name, type_))]


def data(message: dns.message.Message) -> set[str]:
    return {rdata.to_text() for rrset in message.answer for rdata in rrset}


def errors(message: dns.message.Message) -> list[tuple[int, str | None]]:
    found = (each for each in message.options if isinstance(each, dns.edns.EDEOption))
    return [(int(each.code), each.text) for each in found]


async def until(condition: Callable[[], Awaitable[object]], seconds: float = 30.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)


@asynccontextmanager
async def served(
    prepare: Callable[[FaultyConsul], object] = lambda _: None, connections: int = 0
) -> AsyncIterator[tuple[FaultyConsul, Answering, Watcher]]:
    """A worker that answers everything right; at the end the watcher is still running."""
    async with FaultyConsul.running() as (consul, settings):
        prepare(consul)
        settings = replace(settings, connections=connections or settings.connections)
        client, worker = Client(settings), Answering()
        watcher = worker.watcher = Watcher(client, worker.take)
        running = asyncio.create_task(watcher.run())
        try:
            await until(lambda: is_well(worker, watcher))
            yield consul, worker, watcher
            assert not running.done()
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            await client.aclose()


async def is_well(worker: Answering, watcher: Watcher) -> bool:
    """Whether all is answered, and fresh."""
    if not (watcher.is_ready and watcher.statistics().is_in_contact):
        return False
    return not (await worker.wrong(ANSWERS) or await worker.stale(ANSWERS))


SEEN = ("catalog/services", "catalog/nodes", "kv/", "kv/consuldns/k8s/", "health/service/web")


async def suffers(spoil: nasty.Spoil, *endpoints: str) -> list[str]:
    """What was wrong while the replies were spoiled: nothing."""
    problems: list[str] = []
    async with served() as (consul, worker, watcher):
        consul.spoil(spoil, *endpoints)

        async def seen() -> bool:
            problems.extend(await worker.wrong(ANSWERS))
            return all(consul.spoiled[each] >= 2 for each in set(SEEN) & set(endpoints))

        await until(seen)
        consul.mend()
        try:
            await until(lambda: is_well(worker, watcher))
        except AssertionError:
            problems.append(f"still marked: {await worker.stale(ANSWERS)}")
        problems += await worker.wrong(ANSWERS)
    return problems


def batch(seeds: Mapping[str, object], number: int) -> list[str]:
    return list(seeds)[number::BATCHES]


@pytest.mark.parametrize("number", range(BATCHES))
async def test_spoiled_replies_change_no_answer(
    number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """All endpoints but the probe at once: nothing that is known is denied or lost."""
    names = batch(nasty.REPLIES, number)
    endpoints = {
        # That is how Consul says that there is nothing; of services and nodes it never does.
        "404 with an index": tuple(each for each in LISTS if not each.startswith("kv/")),
    }
    found = await asyncio.gather(
        *(suffers(nasty.REPLIES[name], *endpoints.get(name, LISTS)) for name in names)
    )
    assert {name: set(each) for name, each in zip(names, found, strict=True) if each} == {}
    assert "unexpected error" not in caplog.text


async def with_record(record: bytes) -> list[str]:
    """A bad record beside two good ones, then alone, then gone."""
    problems: list[str] = []
    async with served() as (consul, worker, watcher):
        good = json.dumps(instance("web", "node-1", "10.1.0.1")).encode()
        other = json.dumps(instance("web", "node-2", "10.1.0.3")).encode()
        two = ANSWERS.copy()
        del two["web.service.consul", A]
        consul.spoil(
            lambda _: consul.reply(b"[%b, %b, %b]" % (good, record, other)), "health/service/web"
        )

        async def has_two() -> bool:
            problems.extend(await worker.wrong(two))
            return data(await worker.ask("web.service.consul")) == {"10.1.0.1", "10.1.0.3"}

        await until(has_two)
        if errors(await worker.ask("web.service.consul")):
            problems.append("stale, though the rest is right")
        consul.spoil(lambda _: consul.reply(b"[%b]" % record), "health/service/web")

        async def is_kept() -> bool:
            message = await worker.ask("web.service.consul")
            problems.extend(await worker.wrong(two))
            problems.extend([] if data(message) == {"10.1.0.1", "10.1.0.3"} else [str(message)])
            return bool(errors(message))

        await until(is_kept)
        if not watcher.statistics().views_kept or not watcher.statistics().records_skipped:
            problems.append("not counted")
        consul.mend()
        await until(lambda: is_well(worker, watcher))
    return problems


@pytest.mark.parametrize("number", range(BATCHES))
async def test_a_bad_record_costs_its_neighbours_nothing(number: int) -> None:
    names = batch(nasty.RECORDS, number)
    found = await asyncio.gather(*(with_record(nasty.RECORDS[name]) for name in names))
    assert {name: set(each) for name, each in zip(names, found, strict=True) if each} == {}


@pytest.mark.parametrize("name", nasty.ODD)
async def test_odd_records_break_nothing(name: str) -> None:
    async with served() as (consul, worker, watcher):
        good = json.dumps(instance("web", "node-1", "10.1.0.1")).encode()
        body = b"[%b, %b]" % (good, nasty.ODD[name])
        consul.spoil(lambda _: consul.reply(body), "health/service/web")

        async def seen() -> bool:
            for type_ in (1, 16, 28, 33, 255):
                message = await worker.ask("web.service.consul", type_)
                assert message.rcode() == dns.rcode.NOERROR
            await worker.wrong({})
            return consul.spoiled["health/service/web"] >= 2

        await until(seen)
        assert "10.1.0.1" in data(await worker.ask("web.service.consul"))
        consul.mend()
        await until(lambda: is_well(worker, watcher))
        assert watcher.statistics().records_skipped == 0


@pytest.mark.parametrize("name", nasty.DOCUMENTS)
async def test_a_bad_key_is_kept_as_it_was(name: str, caplog: pytest.LogCaptureFixture) -> None:
    document = nasty.DOCUMENTS[name]
    async with served() as (consul, worker, watcher):
        paths = (f"{CLUSTER}/svc/default/redis", f"{CLUSTER}/svc/default/evil")
        consul.bodies["kv/consuldns/k8s/"] = [
            BODIES["kv/consuldns/k8s/"][0],
            *(key(path, document) for path in paths),
        ]
        consul.change()
        await until(lambda: read_again(worker, watcher))
        assert await worker.wrong(ANSWERS) == []
        # Where a name in the clusters would come first, what they say is part of the answer.
        reverse = "2.0.1.10.in-addr.arpa"
        assert await worker.stale(ANSWERS) == ["redis.default.svc.dc1.consul", reverse]
        lines = [text for text in caplog.messages if "svc/default/evil" in text]
        assert len(lines) == 1
        consul.change()
        await until(lambda: read_again(worker, watcher))
        assert [text for text in caplog.messages if "svc/default/evil" in text] == lines
        consul.bodies["kv/consuldns/k8s/"] = BODIES["kv/consuldns/k8s/"]
        consul.change()
        await until(lambda: is_well(worker, watcher))


async def read_again(worker: Answering, watcher: Watcher) -> bool:
    """Whether a reading with skipped records has come, and its views are told."""
    await worker.wrong(ANSWERS)
    return watcher.statistics().records_skipped >= 2


async def test_a_reverse_key_that_cannot_be_read_is_kept_as_it_was() -> None:
    async with served() as (consul, worker, watcher):
        consul.bodies[f"kv/{ZONE}/"] = [key(f"{ZONE}/10.254.70.176", b"\xff\xfe")]
        consul.change()
        await until(lambda: is_marked(worker, "176.70.254.10.in-addr.arpa", PTR))
        assert await worker.wrong(ANSWERS) == []
        consul.bodies[f"kv/{ZONE}/"] = BODIES[f"kv/{ZONE}/"]
        consul.change()
        await until(lambda: is_well(worker, watcher))


async def is_marked(worker: Answering, name: str, type_: int = A) -> bool:
    await worker.wrong({})
    return bool(errors(await worker.ask(name, type_)))


async def test_what_was_never_read_is_no_denial() -> None:
    async with served() as (consul, worker, _):
        consul.bodies["catalog/services"] = {**BODIES["catalog/services"], "evil": []}
        consul.bodies["health/service/evil"] = []
        consul.spoil(
            lambda _: consul.reply(b"[%b]" % nasty.RECORDS["very deep configuration"]),
            "health/service/evil",
        )

        async def fails() -> bool:
            message = await worker.ask("evil.service.consul")
            return message.rcode() == dns.rcode.SERVFAIL

        await until(fails)
        ((code, text),) = errors(await worker.ask("evil.service.consul"))
        said = "no instance can be decoded: instance 'bad' on node 'node-1': it is nested"
        assert (code, text) == (23, said[:64])
        assert await worker.wrong(ANSWERS) == []


async def test_content_that_changes_without_the_index_is_believed() -> None:
    """As when the token was given a right."""
    async with served() as (consul, worker, watcher):
        more = [*BODIES["health/service/web"], instance("web", "node-2", "10.1.0.3")]
        consul.bodies["health/service/web"] = more
        consul.bodies["catalog/nodes"] = [
            *BODIES["catalog/nodes"],
            {**BODIES["catalog/nodes"][0], "Node": "node-3", "Address": "10.0.0.3"},
        ]
        consul.change(moves=False)

        async def is_seen() -> bool:
            await worker.wrong({})
            return data(await worker.ask("node-3.node.consul")) == {"10.0.0.3"}

        await until(is_seen)

        async def has_both() -> bool:
            await worker.wrong({})
            return data(await worker.ask("web.service.consul")) == {"10.1.0.1", "10.1.0.3"}

        await until(has_both)
        # One less, and no index that moves: not deleted, but hidden.
        consul.bodies["catalog/nodes"] = BODIES["catalog/nodes"][1:]
        consul.change(moves=False)
        await until(lambda: is_marked(worker, "node-2.node.consul"))
        assert data(await worker.ask("node-1.node.consul")) == {"10.0.0.1"}
        assert watcher.statistics().lists_held == 1


async def test_a_loss_that_is_accepted_is_told_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "consuldns.consul")
    async with served() as (consul, worker, watcher):
        first = BODIES["catalog/nodes"]
        more = [{**first[0], "Node": f"n{each}", "Address": f"10.3.0.{each}"} for each in range(65)]
        consul.bodies["catalog/nodes"] = [*first, *more]
        consul.change()

        async def has_all() -> bool:
            return data(await worker.ask("n64.node.consul")) == {"10.3.0.64"}

        await until(has_all)
        consul.bodies["catalog/nodes"] = first
        consul.change()
        await until(lambda: is_marked(worker, "n64.node.consul"))
        assert watcher.statistics().lists_held == 1

        async def is_gone() -> bool:
            return (await worker.ask("n64.node.consul")).rcode() == dns.rcode.NXDOMAIN

        await until(is_gone)
        assert watcher.statistics().losses_accepted == 1
        assert watcher.statistics().lists_held == 0
        assert "65 nodes are gone, confirmed by a second read" in caplog.messages
        await until(lambda: is_well(worker, watcher))


async def test_views_of_a_list_that_is_held_are_read_again() -> None:
    """Of reverse zones, whose keys change while some folders are not believed to be gone."""
    folders = [f"{each}.in-addr.arpa" for each in range(20, 25)]

    def prepare(consul: FaultyConsul) -> None:
        consul.bodies["kv/"] += [f"{folder}/" for folder in folders]
        for folder in folders:
            consul.bodies[f"kv/{folder}/"] = [key(f"{folder}/x", "")]

    # With so few connections no view has a blocking query of its own.
    async with served(prepare, connections=8) as (consul, worker, watcher):
        consul.bodies["kv/"] = [f"{ZONE}/", "consuldns/"]
        consul.change()
        await until(lambda: is_marked(worker, "176.70.254.10.in-addr.arpa", PTR))
        assert watcher.statistics().lists_held == 1
        assert watcher.statistics().views_followed == 0
        consul.bodies[f"kv/{ZONE}/"] = [key(f"{ZONE}/10.254.70.176", "new.example.com")]
        consul.change()

        async def is_new() -> bool:
            await worker.wrong({})
            message = await worker.ask("176.70.254.10.in-addr.arpa", PTR)
            return data(message) == {"new.example.com."}

        await until(is_new, 10)
        assert watcher.statistics().lists_held == 1, "the folders are there, and not listed"


async def test_a_bug_ends_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception that nobody expects, in any of the watcher's tasks."""
    async with served() as (consul, worker, watcher):
        for module, name in (
            ("consuldns.consul.decoders", "nodes"),
            ("consuldns.consul.decoders", "instances"),
            ("consuldns.consul.watch.address_indexer.AddressIndexer", "_publish"),
            ("consuldns.consul.watch.schedule.Schedule", "tick"),
        ):
            with monkeypatch.context() as patch:
                hit = asyncio.Event()

                def fails(*_: object, hit: asyncio.Event = hit, **__: object) -> None:
                    hit.set()
                    raise RuntimeError("a bug")

                patch.setattr(f"{module}.{name}", fails)
                consul.change()
                await asyncio.wait_for(hit.wait(), 20)
                assert await worker.wrong(ANSWERS) == []
            consul.change()
            await until(lambda: is_well(worker, watcher))
    lines = [record for record in caplog.records if "unexpected error" in record.message]
    assert 3 <= len(lines) <= 8
    assert all(record.exc_info for record in lines)
