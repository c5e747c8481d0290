"""The sockets that the control process opens once and hands to its workers."""

import logging
import socket
import ssl
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from enum import Enum

import msgspec

from consuldns.errors import ConfigError, StartupError
from consuldns.sockets import HostPort, listen_tcp, set_common_options, startup_error

_log = logging.getLogger(__name__)

# 4 MB hold 5,000 waiting queries and more, such as come while a worker is being replaced. The
# kernel grants at most net.core.rmem_max.
_RECEIVE_BUFFER = 4 * 1024 * 1024
OPTION = "--listen"

TCP_IDLE_SECONDS = 10.0  # how long a connection stays open without a query

# Linux: never let the path MTU that ICMP messages claim split our replies (RFC 9715 3.1). Python
# has no names for these before 3.14, and elsewhere these numbers are other options.
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_OMIT = 10, 23, 5


class Transport(Enum):
    """How queries come to a listener. `TLS` is DNS over TLS (RFC 7858)."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"

    @property
    def is_stream(self) -> bool:
        """Whether messages have a length in front, and may be of any size."""
        return self is not Transport.UDP


_ADOPTED: dict[int, Transport] = {
    socket.SOCK_DGRAM: Transport.UDP,
    socket.SOCK_STREAM: Transport.TCP,
}


class Certificate(msgspec.Struct, frozen=True):
    """Files (PEM) of a certificate with its chain, and of its private key; empty: there is none."""

    file: str = ""
    key: str = ""

    def context(self) -> ssl.SSLContext:
        """What connections are encrypted with: the files as they are now. Raises ConfigError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["dot"])  # RFC 7858 section 3.1, IANA's registry
        try:
            context.load_cert_chain(self.file, self.key)
        except OSError as error:  # ssl.SSLError is one
            reason = error.strerror or str(error)
            raise ConfigError(
                f"{self.file} and {self.key} cannot be used: {reason}",
                where="tls.certificate",
                hint="both are PEM files, and the key belongs to the certificate",
            ) from error
        return context


class Encryption:
    """What new connections are encrypted with: a certificate may be replaced at any time."""

    def __init__(self) -> None:
        self.context: ssl.SSLContext | None = None

    def read(self, certificate: Certificate) -> None:
        """Use the files as they are now; if they cannot be used, what they were before."""
        if not certificate.file:
            return
        try:
            self.context = certificate.context()
        except ConfigError as error:  # control has read them a moment ago
            _log.error("%s", error)


class Listener(msgspec.Struct, frozen=True):
    """A socket that queries come to, as control opens it and a worker serves it.

    `address` is the one that was configured. In a message between the two, the socket is the number
    of its file descriptor, which the worker inherits.
    """

    transport: Transport
    socket: socket.socket
    address: HostPort


def with_tls(
    listeners: Sequence[tuple[Listener, ...]], addresses: Sequence[HostPort]
) -> list[tuple[Listener, ...]]:
    """The listeners of each worker, with a socket for DNS over TLS at each address as well.

    All workers share them. Raises StartupError, as `listen`.
    """
    with ExitStack() as opened:
        more = tuple(
            Listener(
                Transport.TLS,
                opened.enter_context(listen_tcp(address, what="DNS over TLS", option="tls.listen")),
                address,
            )
            for address in _possible(addresses)
        )
        opened.pop_all()
    return [(*own, *more) for own in listeners]


def listen(addresses: Sequence[HostPort], workers: int) -> list[tuple[Listener, ...]]:
    """The listeners of each worker: a UDP and a TCP socket at each address.

    All workers share the TCP sockets. Each has UDP sockets of its own where the kernel spreads
    datagrams over them: what is queued for a worker that dies then waits for the next one.
    StartupError says which address is unavailable, why, and what to do.
    """
    listeners: list[list[Listener]] = [[] for _ in range(workers)]
    with ExitStack() as opened:
        for address in _possible(addresses):
            # TCP first: UDP sockets of the same user share a port without an error, so only the
            # TCP port tells that another server of ours is running.
            tcp = opened.enter_context(listen_tcp(address, option=OPTION))
            bound = HostPort(address.host, tcp.getsockname()[1])  # port 0: the one we got
            udp = [
                opened.enter_context(_open_udp(bound))
                for _ in range(workers if _spreads_datagrams() else 1)
            ]
            for number, own in enumerate(listeners):
                own.append(Listener(Transport.UDP, udp[number % len(udp)], address))
                own.append(Listener(Transport.TCP, tcp, address))
        opened.pop_all()
    return [tuple(own) for own in listeners]


def _possible(addresses: Sequence[HostPort]) -> list[HostPort]:
    """The addresses without `[::]`, if this machine has no IPv6 and there are others.

    Images and manifests listen on both families, wherever they run.
    """
    others = [each for each in addresses if each.host != "::"]
    if not others or len(others) == len(addresses) or _has_ipv6():
        return list(addresses)
    _log.warning("not listening on [::]: this machine has no IPv6")
    return others


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def adopt(sockets: Sequence[socket.socket], workers: int) -> list[tuple[Listener, ...]]:
    """The listeners of each worker, from sockets that were opened for us (socket activation).

    All workers share them. Raises StartupError for one that is neither UDP nor listening TCP.
    """
    listeners = []
    for each in sockets:
        is_ip = each.family in (socket.AF_INET, socket.AF_INET6)
        kind = _ADOPTED.get(each.type)
        if kind is None or not is_ip:
            raise StartupError(
                f"a socket that was handed over is neither UDP nor TCP: {each!r} "
                "(ListenDatagram= and ListenStream= in the socket unit)"
            )
        each.setblocking(False)
        host, port = each.getsockname()[:2]
        listeners.append(Listener(kind, each, HostPort(host, port)))
    if {each.transport for each in listeners} != {Transport.UDP, Transport.TCP}:
        raise StartupError(
            "the sockets that were handed over are not UDP and TCP both "
            "(ListenDatagram= and ListenStream= in the socket unit)"
        )
    return [tuple(listeners) for _ in range(workers)]


def addresses_of(listeners: Sequence[tuple[Listener, ...]]) -> list[str]:
    """The addresses in words: `127.0.0.1:8653 (udp, tcp)`."""
    found: dict[HostPort, list[str]] = {}
    for each in listeners[0]:
        found.setdefault(each.address, []).append(each.transport.value)
    return [f"{address} ({', '.join(kinds)})" for address, kinds in found.items()]


def _spreads_datagrams() -> bool:
    """Whether sockets bound to one UDP port each get a share of its clients.

    Linux does that with SO_REUSEPORT. macOS and the BSDs have the option too, but deliver
    everything to one of the sockets; there, all workers read from a single one.
    """
    return sys.platform == "linux" and hasattr(socket, "SO_REUSEPORT")


def _open_udp(address: HostPort) -> socket.socket:
    listener = socket.socket(address.family, socket.SOCK_DGRAM)
    try:
        set_common_options(listener)
        if _spreads_datagrams():
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _enlarge_receive_buffer(listener)
        _ignore_path_mtu(listener)
        listener.bind((address.host, address.port))
    except OSError as error:
        listener.close()
        raise startup_error(address, "UDP", error, option=OPTION) from error
    return listener


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
