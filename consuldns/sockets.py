"""Addresses to listen on, and why one is unavailable: the same for DNS, admin and agent."""

import errno
import socket

import msgspec

from consuldns.errors import StartupError
from consuldns.names import MAX_PORT, parse_address, parse_port

BACKLOG = 1024  # connections that the kernel keeps for us; beyond, clients try again after a second

_REASONS = {
    errno.EADDRINUSE: "another program listens there ('ss -lntup' names it); stop it, or choose "
    "another address with {option}, for example {another}",
    errno.EACCES: "ports below 1024 need the capability CAP_NET_BIND_SERVICE (or root); choose "
    "another port with {option}, for example {another}",
    errno.EADDRNOTAVAIL: "this host does not have the address ('ip address' lists those it has); "
    "choose another address with {option}",
    errno.EAFNOSUPPORT: "this host does not support that version of IP; choose another "
    "address with "
    "{option}",
}


class HostPort(msgspec.Struct, frozen=True):
    """An IP address and a port, as sockets are bound to. Port 0: any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def family(self) -> socket.AddressFamily:
        """Which version of IP it is."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET


def parse_host_port(text: str) -> HostPort:
    """`127.0.0.1:8600` or `[::1]:8600`. Raises ValueError: "must be ..."."""
    host, _, port = text.rpartition(":")
    address = parse_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    if address is None or (":" in host) != host.startswith("["):
        raise ValueError(f"must be an IP address and a port such as 127.0.0.1:8600, not {text!r}")
    try:
        return HostPort(str(address), parse_port(port))
    except ValueError as error:
        raise ValueError(f"must end in a port from 1 to {MAX_PORT}, not {text!r}") from error


def is_own_address(host: str) -> bool:
    """Whether this host has the address, so that what is sent there comes back here."""
    family = HostPort(host, 0).family
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def listen_tcp(address: HostPort, *, option: str, what: str = "consuldns") -> socket.socket:
    """A TCP socket that listens and does not block.

    Raises StartupError in the words of `what` (who wants to listen) and `option` (the command line
    option that chooses the address).
    """
    # Named TCP, because asyncio sets TCP_NODELAY only then; without it a reply takes 40 ms.
    listener = socket.socket(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        set_common_options(listener)
        listener.bind((address.host, address.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise startup_error(address, "TCP", error, option=option, what=what) from error
    return listener


def set_common_options(listener: socket.socket) -> None:
    """What a socket needs before it is bound, whatever comes to it."""
    listener.setblocking(False)
    if listener.family == socket.AF_INET6:
        # Else [::] would take the IPv4 port as well, and clients would show as ::ffff:192.0.2.1.
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


def startup_error(
    address: HostPort, protocol: str, error: OSError, *, option: str, what: str = "consuldns"
) -> StartupError:
    """What is wrong with an address, and how to mend it."""
    reason = _REASONS.get(error.errno or 0, "{problem}; choose another address with {option}")
    port = address.port
    another = HostPort(address.host, port + 1 if 1024 <= port < MAX_PORT else 8000 + port % 1024)
    return StartupError(
        f"{what} cannot listen on {address} ({protocol}): "
        + reason.format(option=option, another=another, problem=error.strerror or error)
    )
