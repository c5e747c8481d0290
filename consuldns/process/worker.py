"""A worker process: answers queries from the views that control sends.

Started by control (`process.workers`) with the sockets that it is to serve and one end of the link.
It begins to answer once it has been sent everything, so that a worker that replaces another never
gives an answer for lack of data. When the link ends, control is gone, and the worker ends too: a
supervisor that starts control again finds no strangers on its ports.
"""

import asyncio
import gc
import logging
import socket
from collections.abc import Callable
from dataclasses import asdict
from random import Random
from signal import Signals

from consuldns import logs, signals
from consuldns.dns.forwarded import ForwardedQuestion
from consuldns.dns.resolver import resolve
from consuldns.forward.forwarder import Forwarder
from consuldns.process import link
from consuldns.server.handler import Handler, Pending
from consuldns.server.listen import Encryption, Listener, Transport
from consuldns.server.query_log import QueryLog
from consuldns.server.tcp import TcpServer
from consuldns.server.udp import UdpServer
from consuldns.views import updates
from consuldns.views.store import ViewStore

_log = logging.getLogger(__name__)

ASKED_SECONDS = 2.0  # between reports of the views in use
TIME_OUT_SECONDS = 0.1  # between looks for pending queries whose time is up

_START_IS_FIRST = "Start is the first message"


class Worker:
    """The worker's life: catching up, serving, finishing."""

    def __init__(self, link_end: socket.socket) -> None:
        self._link_end = link_end
        self._listeners: tuple[Listener, ...] = ()
        self._handler: Handler | None = None
        self._forwarder: Forwarder | None = None
        self._encryption = Encryption()
        self._link: link.Link[link.ToWorker] | None = None
        self._caught_up = asyncio.Event()
        self._end = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM or the end of the link."""
        loop = asyncio.get_running_loop()
        signals.handle({Signals.SIGTERM: self._end.set, Signals.SIGUSR1: self._log_figures})
        _, self._link = await loop.create_connection(
            lambda: link.Link(link.worker_decoder(), self._receive, self._end.set),
            sock=self._link_end,
        )
        await _either(self._caught_up, self._end)
        if self._end.is_set():
            return
        assert self._handler is not None
        # What came at the start lives long: keep the collector from walking it again and again.
        gc.collect()
        gc.freeze()
        await self._serve(self._handler)

    async def _serve(self, handler: Handler) -> None:
        loop = asyncio.get_running_loop()
        udp = [UdpServer(each, handler, loop) for each in self._sockets(Transport.UDP)]
        for server in udp:
            server.start()
        over_tcp = TcpServer(handler).serve(self._sockets(Transport.TCP))
        over_tls = TcpServer(handler, encryption=self._encryption).serve(
            self._sockets(Transport.TLS)
        )
        async with asyncio.TaskGroup() as tasks:
            background = [
                *map(tasks.create_task, (over_tcp, over_tls)),
                tasks.create_task(_every(ASKED_SECONDS, self._report_asked)),
                tasks.create_task(_every(TIME_OUT_SECONDS, handler.time_out)),
            ]
            self._send(link.Serving())
            await self._end.wait()
            for server in udp:
                server.stop()
            for task in background:
                task.cancel()
        if self._link is not None:
            self._link.close()
        gc.freeze()  # so that the interpreter's end does not walk it, either

    def _sockets(self, transport: Transport) -> list[socket.socket]:
        return [each.socket for each in self._listeners if each.transport is transport]

    def _receive(self, message: link.ToWorker) -> None:
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("received %s", link.describe(message))
        match message:
            case link.Ping():
                self._send(link.Pong(self._counters()))
            case link.Start(listeners, policy, log_level, log_format, query_log, files, secret):
                logs.configure(log_level, log_format)
                self._encryption.read(files)
                self._listeners = listeners
                self._forwarder = Forwarder(policy.forward, self._reply_arrived)
                self._handler = Handler(
                    ViewStore(),
                    policy,
                    resolve=resolve,
                    forwarded=self._forwarder,
                    need=self._need,
                    randomness=Random(),
                    clock=asyncio.get_running_loop().time,
                    cookie_secret=secret,
                )
                self._handler.query_log = QueryLog.of(query_log)
            case link.SettingsChanged(policy, log_level, log_format, query_log, files):
                assert self._handler is not None, _START_IS_FIRST
                assert self._forwarder is not None, _START_IS_FIRST
                logs.configure(log_level, log_format)
                self._handler.query_log = QueryLog.of(query_log)
                self._encryption.read(files)
                self._handler.set_policy(policy)
                self._forwarder.set_policy(policy.forward)
            case link.CaughtUp():
                self._caught_up.set()
            case update:
                assert self._handler is not None, _START_IS_FIRST
                self._handler.receive(update)

    def _need(self, awaited: Pending) -> None:
        if isinstance(awaited, ForwardedQuestion):
            assert self._forwarder is not None, _START_IS_FIRST
            self._forwarder.ask(awaited)
        else:
            self._send(updates.Need(awaited))

    def _reply_arrived(self, question: ForwardedQuestion) -> None:
        assert self._handler is not None, _START_IS_FIRST
        self._handler.reply_arrived(question)

    def _report_asked(self) -> None:
        assert self._handler is not None
        keys = self._handler.rotate()
        if keys:
            self._send(updates.Asked(keys))

    def _counters(self) -> dict[str, int]:
        if self._handler is None or self._forwarder is None:
            return {}
        counters = asdict(self._handler.counters) | self._forwarder.statistics()
        queries = counters.pop("queries")
        counters |= {f"queries_{transport}": count for transport, count in queries.items()}
        counters |= {f"entries_{part}": count for part, count in self._handler.entries()}
        counters |= {
            link.ANSWERS + link.SEPARATOR.join(labels): count
            for *labels, count in self._handler.tally
        }
        return counters | dict(self._handler.durations)

    def _log_figures(self) -> None:
        counts = (f"{name}={count}" for name, count in self._counters().items() if count)
        _log.info("SIGUSR1: %s", " ".join(counts) or "nothing yet")

    def _send(self, message: link.ToControl) -> None:
        if self._link is not None:
            self._link.send(link.frame(message))


async def _every(seconds: float, act: Callable[[], object]) -> None:
    while True:
        await asyncio.sleep(seconds)
        act()


async def _either(first: asyncio.Event, second: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in (first, second)]
    _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for each in pending:
        each.cancel()


def run(link_end: socket.socket) -> None:
    """The life of the process (`consuldns worker dns`)."""
    logs.configure()
    asyncio.run(Worker(link_end).run())
