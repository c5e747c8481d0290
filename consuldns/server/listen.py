"""The sockets that the control process opens once and hands to its workers."""

import errno
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from enum import Enum
from typing import Any

import msgspec

from consuldns.errors import ConfigError, StartupError

# 4 MB hold 5,000 waiting queries and more, such as come while a worker is being replaced. The
# kernel grants at most net.core.rmem_max.
_RECEIVE_BUFFER = 4 * 1024 * 1024
_BACKLOG = 1024

# Linux: never let the path MTU that ICMP messages claim split our replies (RFC 9715 3.1). Python
# has no names for these before 3.14, and elsewhere these numbers are other options.
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_OMIT = 10, 23, 5

_REASONS = {
    errno.EADDRINUSE: "another program listens there ('ss -lntup' names it); stop it, or choose "
    "another address with --listen",
    errno.EACCES: "ports below 1024 need the capability CAP_NET_BIND_SERVICE (or root); choose "
    "another port with --listen, such as 8600",
    errno.EADDRNOTAVAIL: "this host does not have the address; see 'ip address'",
    errno.EAFNOSUPPORT: "this host does not speak that version of IP",
}


class Transport(Enum):
    """How queries come to a listener. DNS over TLS will be a third (ADR 21)."""

    UDP = "udp"
    TCP = "tcp"


class Listener(msgspec.Struct, frozen=True):
    """A socket that queries come to, as control opens it and a worker serves it.

    `address` is the one that was configured. In a message between the two, the socket is the number
    of its file descriptor, which the worker inherits.
    """

    transport: Transport
    socket: socket.socket
    address: str


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:8600` or `[::1]:8600`; ConfigError for anything else."""
    host, colon, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    if is_bracketed:
        host = host[1:-1]
    is_complete = bool(host and colon and port.isascii() and port.isdigit())
    if not is_complete or int(port) > 65535 or (":" in host and not is_bracketed):
        raise ConfigError(
            f"not an address to listen on: {text!r}",
            hint="write ADDRESS:PORT, such as 127.0.0.1:8600 or [::1]:8600",
        )
    return host, int(port)


def listen(addresses: Sequence[str], workers: int) -> list[tuple[Listener, ...]]:
    """The listeners of each worker: a UDP and a TCP socket at each address.

    All workers share the TCP sockets. Each has UDP sockets of its own where the kernel spreads
    datagrams over them: what is queued for a worker that dies then waits for the next one.
    StartupError says which address is unavailable, why, and what to do.
    """
    listeners: list[list[Listener]] = [[] for _ in range(workers)]
    with ExitStack() as opened:
        for address in addresses:
            family, place = _resolve(address)
            # TCP first: UDP sockets of the same user share a port without an error, so only the
            # TCP port tells that another server of ours is running.
            tcp = opened.enter_context(_open_tcp(address, family, place))
            place = (place[0], tcp.getsockname()[1], *place[2:])  # port 0: the one we got
            udp = [
                opened.enter_context(_open_udp(address, family, place))
                for _ in range(workers if _spreads_datagrams() else 1)
            ]
            for number, own in enumerate(listeners):
                own.append(Listener(Transport.UDP, udp[number % len(udp)], address))
                own.append(Listener(Transport.TCP, tcp, address))
        opened.pop_all()
    return [tuple(own) for own in listeners]


def _spreads_datagrams() -> bool:
    """Whether sockets bound to one UDP port each get a share of its clients.

    Linux does that with SO_REUSEPORT. macOS and the BSDs have the option too, but deliver
    everything to one of the sockets; there, all workers read from a single one.
    """
    return sys.platform == "linux" and hasattr(socket, "SO_REUSEPORT")


def _resolve(address: str) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    host, port = parse_address(address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise StartupError(f"cannot listen on {address}: no such address ({error})") from error
    family, _, _, _, place = found[0]
    return family, place


def _open_tcp(address: str, family: socket.AddressFamily, place: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        _set_common_options(listener)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _startup_error(address, "TCP", error) from error
    return listener


def _open_udp(address: str, family: socket.AddressFamily, place: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_DGRAM)
    try:
        _set_common_options(listener)
        if _spreads_datagrams():
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _enlarge_receive_buffer(listener)
        _ignore_path_mtu(listener)
        listener.bind(place)
    except OSError as error:
        listener.close()
        raise _startup_error(address, "UDP", error) from error
    return listener


def _set_common_options(listener: socket.socket) -> None:
    listener.setblocking(False)
    if listener.family == socket.AF_INET6:
        # Else [::] would take the IPv4 port as well, and clients would show as ::ffff:192.0.2.1.
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


def _enlarge_receive_buffer(listener: socket.socket) -> None:
    # Linux grants less without an error, macOS refuses what is over its limit.
    with suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)


def _ignore_path_mtu(listener: socket.socket) -> None:
    if sys.platform != "linux":
        return  # replies of 1,232 bytes are rarely split anyway
    with suppress(OSError):  # an old kernel, or a sandbox that knows few options
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_OMIT)
        else:
            listener.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_OMIT)


def _startup_error(address: str, protocol: str, error: OSError) -> StartupError:
    reason = _REASONS.get(error.errno or 0, error.strerror)
    return StartupError(f"cannot listen on {address} ({protocol}): {reason}")
