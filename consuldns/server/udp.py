"""DNS over UDP: read what has come, answer it, go back to the event loop.

Reading from the socket when the loop says that it is readable takes a quarter of the time that
asyncio's datagram transport takes for a query, and cannot grow a buffer: a reply that the kernel
does not take at once is lost, as a packet may be, and counted.
"""

import asyncio
import logging
import socket
from functools import partial
from time import perf_counter_ns
from typing import Any

from consuldns.incidents import FloodLog
from consuldns.server.handler import Handler
from consuldns.server.listen import Transport
from consuldns.server.query_log import Exchange
from consuldns.server.wildcard import replying_as_asked

_BATCH = 64  # packets until the loop gets its turn
_MAX_QUERY = 4096  # bytes; what is longer is cut, and is not a query

# Ports of services that answer anything with something: a reply to them would begin a loop, or be
# an attack on somebody (echo, discard, daytime, quotd, chargen, time). Port 0 cannot be sent to.
_NEVER_CLIENTS = frozenset({0, 7, 9, 13, 17, 19, 37})

_TRANSPORT = Transport.UDP.value  # counters are by its name

_log = logging.getLogger(__name__)


class UdpServer:
    """Answers the queries that come to one socket. The socket stays open whatever happens."""

    def __init__(
        self, listener: socket.socket, handler: Handler, loop: asyncio.AbstractEventLoop
    ) -> None:
        listener.setblocking(False)
        self._socket = replying_as_asked(listener)
        self._handler = handler
        self._loop = loop
        self._flood_log = FloodLog(_log, loop.time)

    def start(self) -> None:
        """Answer from now on."""
        self._loop.add_reader(self._socket.fileno(), self.drain)

    def stop(self) -> None:
        """Answer no more; the socket is left to its owner."""
        self._loop.remove_reader(self._socket.fileno())

    def drain(self) -> None:  # noqa: C901 - the hot path: each call would cost 2 % of a hit
        """Answer what has come, at most a batch of it."""
        receive, send = self._socket.recvfrom, self._socket.sendto
        find, log = self._handler.find, self._handler.query_log
        counters = self._handler.counters
        queries = counters.queries
        hits = spent = size = began = 0
        for _ in range(_BATCH):
            try:
                packet, client = receive(_MAX_QUERY)
            except BlockingIOError:
                break
            except OSError as error:
                self._flood_log.warning("receive", "cannot receive over UDP: %s", error)
                break
            queries[_TRANSPORT] += 1
            if client[1] in _NEVER_CLIENTS:
                counters.dropped += 1
                continue
            if not hits or log is not None:
                began = perf_counter_ns()
            reply = find(packet, False)
            if reply is None:
                self._answer(packet, client)
                continue
            try:
                send(reply, client)
            except OSError as error:
                self._not_sent(error)
            if not hits or log is not None:
                spent, size = perf_counter_ns() - began, len(reply)
                if log is not None:
                    log.note(Exchange(packet, reply, client, Transport.UDP, spent))
            hits += 1
        if hits:
            self._handler.durations.observe(spent, size, hits)

    def _answer(self, packet: bytes, client: Any) -> None:
        send = partial(self._send, client)
        if self._handler.query_log is not None:
            send = partial(self._send_and_log, client, packet, perf_counter_ns())
        reply = self._handler.handle(packet, Transport.UDP, send)
        if isinstance(reply, bytes):
            send(reply)

    def _send_and_log(self, client: Any, packet: bytes, began: int, reply: bytes) -> None:
        self._send(client, reply)
        log = self._handler.query_log
        if log is not None:
            log.note(Exchange(packet, reply, client, Transport.UDP, perf_counter_ns() - began))

    def _send(self, client: Any, reply: bytes) -> None:
        try:
            self._socket.sendto(reply, client)
        except OSError as error:
            self._not_sent(error)

    def _not_sent(self, error: OSError) -> None:
        """No route, full buffer or firewall: drop this reply and carry on."""
        self._handler.counters.send_errors += 1
        self._flood_log.warning("send", "cannot send a reply over UDP: %s", error)
