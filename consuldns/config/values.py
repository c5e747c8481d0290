"""Kinds of values that settings have: how each is parsed, and how it is formatted.

A kind accepts the values of TOML (numbers, booleans, lists, tables) as well as strings, because the
environment and the command line have only strings. A value that is not valid raises a ValueError
that says what was expected.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Generic, TypeVar, get_args
from urllib.parse import urlsplit

import msgspec

from consuldns.durations import exact_seconds, shortest
from consuldns.names import (
    IN_ADDR_ARPA,
    IP6_ARPA,
    Labels,
    fold,
    parse_address,
    parse_name,
    reverse_name,
)
from consuldns.sockets import HostPort, parse_host_port

T = TypeVar("T")

LONGEST_DURATION = timedelta(seconds=2**31 - 1)  # the largest TTL, RFC 2181 section 8
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123 section 2.1
# The words of Go's strconv.ParseBool, which reads Consul's own environment variables.
_BOOLEANS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


class Secret(msgspec.Struct, frozen=True):
    """A string that is never printed: only `reveal` returns it. Empty means none."""

    _text: str = ""

    def reveal(self) -> str:
        """The string itself, for the one place that sends it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "***" if self._text else ""

    __str__ = __repr__


DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of value: its name in the reference, and its parser."""

    name: str
    read: Callable[[Any], T]


# --- reading -------------------------------------------------------------------------------------


def _text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise ValueError(f"must be a string in quotes, not {raw!r}")
    return raw.strip()


def _boolean(raw: Any) -> bool:
    value = raw if isinstance(raw, bool) else _BOOLEANS.get(str(raw).lower())
    if value is None:
        raise ValueError(f"must be true or false, not {raw!r}")
    return value


def whole_number(least: int, most: int) -> Kind[int]:
    """Whole numbers from `least` to `most`."""

    def read(raw: Any) -> int:
        number = int(raw) if isinstance(raw, str) and raw.strip().isdecimal() else raw
        if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, not {raw!r}")
        return number

    return Kind(f"number, {least} to {most}", read)


def read_duration(raw: Any) -> timedelta:
    """Consul's durations: `10s`, `1h30m`, `500ms`; a bare whole number is seconds."""
    text = f"{raw}s" if isinstance(raw, int) and not isinstance(raw, bool) else raw
    try:
        if not isinstance(text, str) or text[:1] in ("+", "-"):
            raise ValueError("a sign")
        seconds = exact_seconds(f"{text}s" if text.isdecimal() else text)
    except ValueError as error:
        raise ValueError(
            f'must be a duration such as "10s", "5m" or "1h30m", not {raw!r}'
        ) from error
    if (seconds * 1000).denominator != 1:
        raise ValueError(f"must be whole milliseconds, not {raw!r}")
    if seconds > LONGEST_DURATION.total_seconds():
        raise ValueError(f"must be at most {LONGEST_DURATION.total_seconds():.0f}s, not {raw!r}")
    return timedelta(milliseconds=int(seconds * 1000))


def read_host_port(raw: Any) -> HostPort:
    """`127.0.0.1:8600` or `[::1]:8600`."""
    return parse_host_port(_text(raw))


def _upstream(raw: Any) -> HostPort:
    """The address of a DNS server: `10.0.0.2`, `10.0.0.2:5353`, `[fd00::2]:53`."""
    address = parse_address(_text(raw))
    return HostPort(str(address), DNS_PORT) if address is not None else read_host_port(raw)


def read_url(raw: Any) -> str:
    """The base URL of Consul's HTTP API; a bare `host:port` is plain HTTP, as for Consul itself."""
    text = _text(raw)
    if text.startswith("unix:"):
        if not text.startswith("unix:///"):
            raise ValueError(f"must have the whole path of a socket, as unix:///run/x, not {raw!r}")
        return text
    url = urlsplit(text if "://" in text else f"http://{text}")
    try:
        port = url.port
    except ValueError:
        port = 0
    if url.scheme not in ("http", "https") or not url.hostname or port == 0:
        raise ValueError(f"must be a URL such as http://127.0.0.1:8500, not {raw!r}")
    if url.username or url.path not in ("", "/") or url.query or url.fragment:
        raise ValueError("must be scheme, host and port only")
    return f"{url.scheme}://{url.netloc}"


_HOST_LABEL = re.compile(rb"[A-Za-z0-9_-]+")


def _domain(raw: Any) -> str:
    text = _text(raw)
    try:
        name = parse_name(text)
    except ValueError:
        name = ()
    if not name or not all(_HOST_LABEL.fullmatch(label) for label in name):
        raise ValueError(f"must be a DNS name such as consul, not {raw!r}")
    return text.rstrip(".").lower()


def _datacenter(raw: Any) -> str:
    # Consul's own rule; the name becomes a label and a parameter of requests.
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}", _text(raw)):
        raise ValueError(f"must be a name of letters, digits, - and _, not {raw!r}")
    return _text(raw).lower()


def _address(raw: Any) -> str:
    address = parse_address(_text(raw))
    if address is None:
        raise ValueError(f"must be an IP address, not {raw!r}")
    return str(address)


def _network(raw: Any) -> str:
    try:
        return str(ip_network(_text(raw)))
    except ValueError as error:
        raise ValueError(f"must be a network such as 10.0.0.0/8, not {raw!r} ({error})") from error


def _reverse_zone(raw: Any) -> str:
    reverse_zone_names(_text(raw))
    return _text(raw)


def list_of(kind: Kind[T], *, at_least_one: bool = False) -> Kind[tuple[T, ...]]:
    """Several values: a list in TOML, separated by commas in the environment."""

    def read(raw: Any) -> tuple[T, ...]:
        if isinstance(raw, str):
            raw = [part for part in raw.split(",") if part.strip()]
        if not isinstance(raw, list | tuple):
            raise ValueError(f'must be a list such as ["..."], not {raw!r}')
        if at_least_one and not raw:
            raise ValueError("must have at least one entry")
        return tuple(kind.read(each) for each in raw)

    return Kind(f"list of: {kind.name}", read)


def table_of(kind: Kind[T], *, name: "Kind[str] | None" = None) -> Kind[Mapping[str, T]]:
    """Names with a value each: a table in TOML, `name=value,name=value` in the environment."""

    def read(raw: Any) -> Mapping[str, T]:
        if isinstance(raw, str):
            parts = [part.partition("=") for part in raw.split(",") if part.strip()]
            if not all(key.strip() and equals for key, equals, _ in parts):
                raise ValueError(f"must be name=value pairs separated by commas, not {raw!r}")
            pairs = [(key.strip(), value.strip()) for key, _, value in parts]
        elif isinstance(raw, dict):
            pairs = list(raw.items())
        else:
            raise ValueError(f"must be a table, not {raw!r}")
        table: dict[str, T] = {}
        for key, value in pairs:
            key = name.read(key) if name is not None else key
            if key in table:
                raise ValueError(f"sets {key} twice")
            table[key] = kind.read(value)
        return table

    return Kind(f"table of: {kind.name}", read)


def _or_empty(kind: Kind[str]) -> Kind[str]:
    return Kind(kind.name, lambda raw: kind.read(raw) if raw else "")


def one_of(literal: Any) -> Kind[str]:
    """One of the words of a `Literal` type, so that they are written in one place."""
    words: tuple[str, ...] = get_args(literal)

    def read(raw: Any) -> str:
        word = _text(raw)
        if word not in words:
            raise ValueError(f"must be one of {', '.join(words)}, not {raw!r}")
        return word

    return Kind(" | ".join(words), read)


def _dns_label(raw: Any) -> str:
    label = _text(raw)
    if not _DNS_LABEL.fullmatch(label):
        raise ValueError(f"must be letters a-z, digits and hyphens, 63 at most, not {raw!r}")
    return label


TEXT = Kind("string", _text)
DNS_LABEL = Kind("DNS label", _dns_label)
FILE = Kind("file", _text)
SECRET = Kind("secret", lambda raw: Secret(_text(raw)))
BOOLEAN = Kind("boolean", _boolean)
DURATION = Kind("duration", read_duration)
HOST_PORT = Kind("address:port", read_host_port)
OPTIONAL_HOST_PORT: Kind[HostPort | None] = Kind(
    HOST_PORT.name, lambda raw: read_host_port(raw) if raw else None
)
UPSTREAM = Kind("address[:port]", _upstream)
URL = Kind("URL", read_url)
DOMAIN = Kind("DNS name", _domain)
OPTIONAL_DOMAIN = _or_empty(DOMAIN)
DOMAIN_OR_ROOT = Kind(DOMAIN.name, lambda raw: "." if raw == "." else _domain(raw))
DATACENTER = _or_empty(Kind("datacenter name", _datacenter))
ADDRESS = Kind("IP address", _address)
REVERSE_ZONE = Kind("network or reverse name", _reverse_zone)
NETWORK = Kind("network", _network)


def reverse_zone_names(text: str) -> tuple[Labels, ...]:
    """The reverse zones of `10.0.0.0/8`, or of a name such as `10.in-addr.arpa`.

    A network whose length is between two labels is as many zones as it takes: 172.16.0.0/12 is the
    sixteen from 16.172.in-addr.arpa to 31.172.in-addr.arpa. Raises ValueError.
    """
    try:
        if "/" not in text:
            name = fold(parse_name(text))
            if name[-2:] not in (IN_ADDR_ARPA, IP6_ARPA):
                raise ValueError("neither network nor reverse name")
            return (name,)
        network: IPv4Network | IPv6Network = ip_network(text)
    except ValueError as error:
        raise ValueError(f"must be a network such as 10.0.0.0/8, not {text!r} ({error})") from error
    bits = 8 if network.version == 4 else 4  # of one label
    labels = -(-network.prefixlen // bits)
    in_labels = network.max_prefixlen // bits
    return tuple(
        reverse_name(subnet.network_address)[in_labels - labels :]
        for subnet in network.subnets(new_prefix=labels * bits)
    )


# --- writing -------------------------------------------------------------------------------------


def format_value(value: object) -> str:
    """A value in TOML; a secret as ***."""
    match value:
        case None:
            return '""'
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case timedelta():
            return f'"{shortest(value)}"'
        case tuple():
            return "[" + ", ".join(format_value(each) for each in value) + "]"
        case dict():
            pairs = (f"{format_value(k)} = {format_value(v)}" for k, v in value.items())
            return "{ " + ", ".join(pairs) + " }" if value else "{}"
        case _:
            escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
