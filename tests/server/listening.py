"""Listeners as control opens them, closed at the end of a test."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from consuldns.server.listen import Listener, Transport, listen
from consuldns.sockets import HostPort


@contextmanager
def listening(addresses: Sequence[str], workers: int = 1) -> Iterator[list[tuple[Listener, ...]]]:
    """The listeners of each worker."""
    listeners = listen([address_of(each) for each in addresses], workers)
    try:
        yield listeners
    finally:
        for each in {listener.socket for worker in listeners for listener in worker}:
            each.close()


def address_of(text: str) -> HostPort:
    """The address, whose port may be 0 here."""
    host, _, port = text.rpartition(":")
    return HostPort(host.strip("[]"), int(port))


def sockets(worker: tuple[Listener, ...], transport: Transport) -> list[socket.socket]:
    """The sockets of a worker for this transport."""
    return [each.socket for each in worker if each.transport is transport]


@contextmanager
def listening_socket(transport: Transport, address: str = "127.0.0.1:0") -> Iterator[socket.socket]:
    """The only socket for this transport of a single worker."""
    with listening([address]) as (worker,):
        (each,) = sockets(worker, transport)
        yield each
