"""DNS over UDP: read what has come, answer it, go back to the event loop.

Reading from the socket when the loop says that it is readable takes a quarter of the time that
asyncio's datagram transport takes for a query, and cannot grow a buffer: a reply that the kernel
does not take at once is lost, as a packet may be, and counted.
"""

import asyncio
import logging
import socket
from functools import partial
from ipaddress import ip_address
from time import perf_counter_ns
from typing import Any

from consuldns.incidents import FloodLog
from consuldns.server.batch import MAX_QUERY, REFUSED, ROOM, SIZE, Batch, Unsupported
from consuldns.server.clients import packed
from consuldns.server.handler import Handler
from consuldns.server.listen import Transport
from consuldns.server.overload import Overload
from consuldns.server.query_log import Exchange
from consuldns.server.rate_limit import AMPLIFICATION, RateLimiter
from consuldns.server.wildcard import WildcardSocket, replying_as_asked

# Ports of services that answer anything with something: a reply to them would begin a loop, or be
# an attack on somebody (echo, discard, daytime, quotd, chargen, time). Port 0 cannot be sent to.
_NEVER_CLIENTS = frozenset({0, 7, 9, 13, 17, 19, 37})
_NEVER_CLIENTS_RAW = frozenset(map(socket.htons, _NEVER_CLIENTS))

_TRANSPORT = Transport.UDP.value  # counters are by its name

_log = logging.getLogger(__name__)


class UdpServer:
    """Answers the queries that come to one socket. The socket stays open whatever happens."""

    def __init__(
        self,
        listener: socket.socket,
        handler: Handler,
        loop: asyncio.AbstractEventLoop,
        *,
        by_batch: bool = True,
    ) -> None:
        listener.setblocking(False)
        self._socket = replying_as_asked(listener)
        self._is_loopback = ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback
        self._handler = handler
        self._loop = loop
        self._flood_log = FloodLog(_log, loop.time)
        self._batch = _batch_of(self._socket) if by_batch else None
        self._overload = Overload(listener, loop, self._count_held)

    def start(self) -> None:
        """Answer from now on."""
        if self._batch is not None:
            self._overload.start()
        self._loop.add_reader(self._socket.fileno(), self.drain)

    def stop(self) -> None:
        """Answer no more; the socket is left to its owner."""
        self._loop.remove_reader(self._socket.fileno())
        self._overload.stop()

    def _count_held(self) -> None:
        self._handler.counters.networks_held += 1

    def drain(self) -> None:
        """Answer what has come, at most a batch of it."""
        if self._batch is not None and self._handler.query_log is None:
            self._drain_batch(self._batch)
        else:
            self._drain_singly()

    def _drain_batch(self, batch: Batch) -> None:
        """By calls for all at once. The hot path: what is within the loop is counted in ns."""
        try:
            count = batch.receive()
        except OSError as error:
            self._cannot_receive(error)
            if error.errno in REFUSED:
                self._batch = None
            return
        began = perf_counter_ns()
        self._overload.note(batch, count)
        self._handler.counters.queries[_TRANSPORT] += count
        find, memory, sizes = self._handler.find, batch.memory, batch.sizes
        lengths, ports = batch.lengths, batch.ports
        clients, cookies = self._handler.clients, self._handler.cookies
        limiter = self._limiter(count)
        is_busy = limiter is not None and limiter.is_busy
        first = size = start = 0
        place = batch.replies
        for n in range(count):
            length = lengths[n]
            packet = memory[start : start + length]
            reply = None
            if clients is None or clients.may_recurse(batch.address(n)):
                reply = find(packet, False)
                if reply is None:
                    reply = cookies.find(find, packet, False, batch.address(n))
            if (
                limiter is not None
                and reply is not None
                and (is_busy or len(reply) > AMPLIFICATION * length)
            ):
                reply = self._limited(limiter, batch.address(n), packet, reply)
                if reply is None:
                    self._send_batch(batch, first, n, began, size)
                    first = n + 1
                    start += MAX_QUERY
                    place += ROOM
                    continue
            if reply is None or len(reply) > ROOM or ports[n] in _NEVER_CLIENTS_RAW:
                self._send_batch(batch, first, n, began, size)
                first = n + 1
                self._answer_one(batch, n, packet, reply)
            else:
                size = len(reply)
                memory[place : place + size] = reply
                sizes[n] = size
            start += MAX_QUERY
            place += ROOM
        self._send_batch(batch, first, count, began, size)

    def _send_batch(self, batch: Batch, first: int, end: int, began: int, size: int) -> None:
        """Send the replies that are in a batch; `size` is that of the last one."""
        if first == end:
            return
        problem = batch.send(first, end)
        if problem is not None:
            self._not_sent(problem, batch.unsent)
        self._handler.durations.observe(perf_counter_ns() - began, size, end - first)

    def _answer_one(self, batch: Batch, n: int, packet: bytes, reply: bytes | None) -> None:
        """What needs a call of its own."""
        client = batch.client(n)
        if client[1] in _NEVER_CLIENTS:
            self._handler.counters.dropped += 1
        elif reply is None:
            self._answer(packet, client)
        else:
            began = perf_counter_ns()
            self._send(client, reply)
            self._handler.durations.observe(perf_counter_ns() - began, len(reply))

    def _drain_singly(self) -> None:
        """Where there are no such calls, or each query is logged."""
        receive, log = self._socket.recvfrom, self._handler.query_log
        for _ in range(SIZE):
            try:
                packet, client = receive(MAX_QUERY)
            except BlockingIOError:
                return
            except OSError as error:
                self._cannot_receive(error)
                return
            self._handler.counters.queries[_TRANSPORT] += 1
            if client[1] in _NEVER_CLIENTS:
                self._handler.counters.dropped += 1
                continue
            self._limiter(received=1)
            began = perf_counter_ns()
            clients = self._handler.clients
            reply = None
            if clients is None or clients.may_recurse(client[0]):
                reply = self._handler.find_from(packet, False, packed(client[0]))
            if reply is None:
                self._answer(packet, client)
                continue
            self._send_limited(client, packet, reply)
            spent = perf_counter_ns() - began
            self._handler.durations.observe(spent, len(reply))
            if log is not None:
                log.note(Exchange(packet, reply, client, Transport.UDP, spent))

    def _answer(self, packet: bytes, client: Any) -> None:
        send = partial(self._send_limited, client, packet)
        if self._handler.query_log is not None:
            send = partial(self._send_and_log, client, packet, perf_counter_ns())
        clients = self._handler.clients
        may_recurse = clients is None or clients.may_recurse(client[0])
        reply = self._handler.handle(
            packet, Transport.UDP, send, client=packed(client[0]), may_recurse=may_recurse
        )
        if isinstance(reply, bytes):
            send(reply)

    def _send_and_log(self, client: Any, packet: bytes, began: int, reply: bytes) -> None:
        self._send_limited(client, packet, reply)
        log = self._handler.query_log
        if log is not None:
            log.note(Exchange(packet, reply, client, Transport.UDP, perf_counter_ns() - began))

    def _send_limited(self, client: Any, packet: bytes, reply: bytes) -> None:
        """Send a reply unless the client's network has had too many."""
        limiter = self._limiter()
        found: bytes | None = reply
        if limiter is not None:
            found = self._limited(limiter, packed(client[0]), packet, reply)
        if found is not None:
            self._send(client, found)

    def _limiter(self, received: int = 0) -> RateLimiter | None:
        """What may limit replies, None if nothing does; notes how many queries came."""
        limiter = self._handler.limiter
        if limiter is None or (self._is_loopback and limiter.exempts_loopback):
            return None
        if received:
            limiter.note(received)
        return limiter

    def _limited(
        self, limiter: RateLimiter, address: bytes, packet: bytes, reply: bytes
    ) -> bytes | None:
        found = limiter.limit(address, packet, reply)
        if found is not reply:
            self._handler.counters.rate_limited += 1
        return found

    def _send(self, client: Any, reply: bytes) -> None:
        try:
            self._socket.sendto(reply, client)
        except OSError as error:
            self._not_sent(error)

    def _cannot_receive(self, error: OSError) -> None:
        self._flood_log.warning("receive", "cannot receive over UDP: %s", error)

    def _not_sent(self, error: OSError, count: int = 1) -> None:
        """No route, full buffer or firewall: drop the replies and carry on."""
        self._handler.counters.send_errors += count
        self._flood_log.warning("send", "cannot send a reply over UDP: %s", error)


def _batch_of(listener: socket.socket | WildcardSocket) -> Batch | None:
    try:
        return Batch(listener)
    except Unsupported:
        return None
