"""dig's habits: `@server`, `-p`, `-x`, `-t`, `+short`, names and types in any order.

A word is taken for a type if it is one and another word is left to be the name.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from consuldns.config.values import HOST_PORT
from consuldns.names import Labels, parse_address, parse_name, reverse_name
from consuldns.sockets import HostPort

# Switches of dig that are meaningful here; those of dig that change nothing else are ignored.
IGNORED = frozenset(
    {"recurse", "edns", "cmd", "comments", "stats", "question", "answer", "authority", "all"}
)
NO_PORT = 0


class Transport(Enum):
    """How a query is sent."""

    UDP_THEN_TCP = "UDP, and TCP if the reply is truncated"
    TCP = "TCP"
    UDP = "UDP alone"


@dataclass(frozen=True, slots=True)
class Words:
    """What was asked for. `server` is None if none was named; a port of 0 if none was."""

    name: Labels
    type: int
    server: HostPort | None
    is_short: bool
    transport: Transport


@dataclass(slots=True)
class _Switches:
    is_short: bool = False
    transport: Transport = Transport.UDP_THEN_TCP


def read_words(words: Sequence[str], type_: str | None, *, is_reverse: bool) -> Words:
    """The words of a command line. `type_` is that of `-t`. Raises ValueError."""
    switches, server, rest = _Switches(), None, []
    for word in words:
        if word.startswith("@"):
            server = _server(word[1:])
        elif word.startswith("+"):
            _switch(word[1:], switches)
        else:
            rest.append(word)
    name, found_type = _name_and_type(rest, type_)
    labels, number = _question(name, found_type, is_reverse=is_reverse)
    return Words(labels, number, server, switches.is_short, switches.transport)


def _switch(text: str, switches: _Switches) -> None:
    is_on = not text.startswith("no")
    name = text if is_on else text[2:]
    match name:
        case "short":
            switches.is_short = is_on
        case "tcp" | "vc":
            switches.transport = Transport.TCP if is_on else Transport.UDP_THEN_TCP
        case "ignore":
            switches.transport = Transport.UDP if is_on else Transport.UDP_THEN_TCP
        case _ if name not in IGNORED:
            raise ValueError(f"not a switch that is known here: +{text} (+short, +tcp, +ignore)")


def _name_and_type(words: list[str], type_: str | None) -> tuple[str, str | None]:
    names = list(words)
    if type_ is None and len(words) > 1:
        for word in reversed(words):
            if _is_type(word):
                type_ = word
                names.remove(word)
                break
        else:
            raise ValueError(f"not a type of records: {words[1]!r}")
    if len(names) > 1:
        raise ValueError(f"one name only, not {' and '.join(map(repr, names))}")
    return (names[0] if names else "."), type_ or (None if names else "NS")


def _is_type(word: str) -> bool:
    from consuldns.wire.client import type_number

    try:
        type_number(word)
    except ValueError:
        return False
    return True


def _question(name: str, type_: str | None, *, is_reverse: bool) -> tuple[Labels, int]:
    from consuldns.wire.client import type_number

    address = parse_address(name)
    if is_reverse and address is None:
        raise ValueError(f"not an IP address: {name!r}")
    if address is not None and (is_reverse or type_ is None):
        return reverse_name(address), type_number(type_ or "PTR")
    return parse_name(name), type_number(type_ or "A")


def _server(text: str) -> HostPort:
    """`127.0.0.1`, `[::1]:53`, `dns.example.net`, `dns.example.net:8600`. Raises ValueError."""
    if parse_address(text) is not None:
        return HostPort(text, NO_PORT)
    try:
        return HOST_PORT.read(text)
    except ValueError:
        pass
    host, colon, port = text.partition(":")
    if colon and not (port.isascii() and port.isdecimal() and int(port) < 1 << 16):
        raise ValueError(f"not a server: {text!r} (an address or a name, and a port)")
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise ValueError(f"no address for the server {host!r}: {error.strerror}") from error
    return HostPort(str(found[0][4][0]), int(port or NO_PORT))
