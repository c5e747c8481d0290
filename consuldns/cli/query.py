"""`consuldns query`: query a DNS server, and print the reply as dig does."""

import json
import secrets
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from consuldns.cli.dig_arguments import Transport, read_words
from consuldns.cli.options import color, config_option, configuration, setting_option
from consuldns.config.load import Level
from consuldns.config.values import DNS_PORT, HOST_PORT
from consuldns.errors import ConfigError, ConsuldnsError
from consuldns.sockets import HostPort

if TYPE_CHECKING:  # dnslib is behind it, and help and completion must not wait for that
    from consuldns.wire.client import Reply

# The port of Consul's own DNS and of `consuldns dev`.
SERVER = "127.0.0.1:8600"
TRIES = 3
SECONDS = 2.0  # timeout of each try; an answer takes about a thousandth of that

EXIT_ANSWER = 0
EXIT_NO_REPLY = 9  # as dig
EXIT_NODATA = 10
EXIT_OTHER = 13
EXIT_OF_RCODE = {"SERVFAIL": 12, "NXDOMAIN": 11}


class NoReply(ConsuldnsError):
    """The server did not reply."""


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("words", metavar="NAME [TYPE] [@SERVER] [+short] [+tcp]", nargs=-1)
@click.option(
    "--server",
    metavar="ADDR:PORT",
    help="Server to query, as @SERVER.  [default: the first address in 'listen', if that is set, "
    f"else {SERVER}, the port of Consul and of 'consuldns dev']",
)
@click.option("-p", "port", type=click.IntRange(1, 65535), metavar="PORT", help="Its port.")
@click.option("-t", "type_", metavar="TYPE", help="Type of the records, as TYPE.")
@click.option("-x", "is_reverse", is_flag=True, help="Reverse lookup: NAME is an IP address.")
@click.option("--json", "is_json", is_flag=True, help="Print the reply as JSON.")
@click.option(
    "--explain",
    "is_explained",
    is_flag=True,
    help="Explain how consuldns resolves the name, with Consul's data and these settings.",
)
@click.option(
    "--admin-addr",
    metavar="ADDR:PORT",
    help="With --explain: ask the running server that has this admin address, and not Consul.",
)
@setting_option("consul.address", "URL")
@config_option
@click.pass_context
def command(
    context: click.Context,
    words: tuple[str, ...],
    server: str | None,
    port: int | None,
    type_: str | None,
    is_reverse: bool,
    is_json: bool,
    is_explained: bool,
    admin_addr: str | None,
    consul_addr: str | None,
    file: Path | None,
) -> None:
    """Query a DNS server, and print the reply as dig does.

    TYPE is A, AAAA, SRV, TXT, PTR, ANY and so on. The default is A, or PTR if NAME is an IP
    address. Words may be in any order. The query is sent over UDP, and again over TCP if the reply
    is truncated; with +tcp over TCP only. With +short only the data of the records is printed.

    Exit status: 0 answer, 9 no reply, 10 the name exists but has no such records (NODATA), 11 the
    name does not exist (NXDOMAIN), 12 SERVFAIL, 13 REFUSED or any other error.

    With --explain, Consul is read as well (--consul-addr, --config), and every interpretation of
    the name is listed with its result and the reason why it is the answer (marked *) or not. With
    --admin-addr, it is a running server that explains, from the data and the settings that it has.

    Example, while 'consuldns dev' runs: consuldns query monitoring-heapster.service.consul SRV
    """
    from consuldns.wire import client

    try:
        asked = read_words(words, type_, is_reverse=is_reverse)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    address = address_of_server(server, asked.server, port, file)
    query = client.build_query(asked.name, asked.type, id=secrets.randbelow(65536))
    form = _JSON if is_json else _SHORT if asked.is_short else _LONG
    status = _show_reply(query, address, asked.transport, form)
    if is_explained:
        from consuldns.cli import explanation

        click.echo()
        if admin_addr is not None:
            explained = explanation.of_server(asked.name, asked.type, admin_addr)
        else:
            explained = explanation.lines(asked.name, asked.type, consul_addr, file)
        for line in explained:
            click.echo(line)
    context.exit(status)


def address_of_server(
    option: str | None, word: HostPort | None, port: int | None, file: Path | None
) -> HostPort:
    """The server to ask: the one that is named, else the one that is configured here."""
    try:
        named = HOST_PORT.read(option) if option is not None else word
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--server") from error
    if named is not None:
        return HostPort(named.host, port or named.port or DNS_PORT)
    own = _configured(file)
    return HostPort(own.host, port or own.port)


def _configured(file: Path | None) -> HostPort:
    """The first address that `serve` listens on, if it is set; else that of `dev`."""
    try:
        found = configuration(file, {})
    except ConfigError:
        return HOST_PORT.read(SERVER)
    if found.origins["listen"].level is Level.DEFAULT:
        return HOST_PORT.read(SERVER)
    first = found.settings.listen[0]
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    return HostPort(loopback.get(first.host, first.host), first.port)


def _show_reply(query: bytes, server: HostPort, transport: Transport, form: "Form") -> int:
    """Send the query, and print the reply or the error; returns the exit status."""
    from consuldns.wire import client

    started = time.perf_counter()
    try:
        packet, used = exchange(query, (server.host, server.port), transport=transport)
    except NoReply as error:
        click.echo(f"Error: {error}", err=True)
        return EXIT_NO_REPLY
    seconds = time.perf_counter() - started
    reply = client.read_reply(packet)
    shown = Shown(reply, f"{server}", used, seconds, len(packet))
    for line in form(shown):
        click.echo(line, color=color())
    return _exit_status(reply)


def _exit_status(reply: "Reply") -> int:
    if reply.rcode == "NOERROR":
        return EXIT_ANSWER if reply.answer else EXIT_NODATA
    return EXIT_OF_RCODE.get(reply.rcode, EXIT_OTHER)


@dataclass(frozen=True, slots=True)
class Shown:
    """A reply, and how it came."""

    reply: "Reply"
    server: str
    transport: str
    seconds: float
    size: int


def _long(shown: Shown) -> Iterator[str]:
    from consuldns.wire import client

    reply = shown.reply
    has_edns = reply.udp_size is not None
    counts = (
        f"QUERY: {len(reply.question)}, ANSWER: {len(reply.answer)}, "
        f"AUTHORITY: {len(reply.authority)}, ADDITIONAL: {len(reply.additional) + has_edns}"
    )
    status = click.style(reply.rcode, fg="green" if reply.rcode == "NOERROR" else "red", bold=True)
    yield f";; ->>HEADER<<- opcode: {reply.opcode}, status: {status}, id: {reply.id}"
    yield f";; flags: {' '.join(reply.flags)}; {counts}"
    yield ""
    if has_edns:
        yield ";; OPT PSEUDOSECTION:"
        yield f"; EDNS: version: 0, udp: {reply.udp_size}"
        for code, text in reply.extended_errors:
            error = (
                f"; EDE: {code} ({client.extended_error_name(code)}){f': ({text})' if text else ''}"
            )
            yield click.style(error, fg="yellow")
    yield ";; QUESTION SECTION:"
    yield from (f";{question}" for question in reply.question)
    yield ""
    for name in ("answer", "authority", "additional"):
        if records := getattr(reply, name):
            yield f";; {name.upper()} SECTION:"
            yield from map(str, records)
            yield ""
    yield f";; Query time: {shown.seconds * 1000:.1f} ms"
    yield f";; SERVER: {shown.server} ({shown.transport})"
    yield f";; MSG SIZE rcvd: {shown.size}"


def _short(shown: Shown) -> Iterator[str]:
    return (record.data for record in shown.reply.answer)


def _as_json(shown: Shown) -> Iterator[str]:
    from consuldns.wire import client

    reply = {name: getattr(shown.reply, name) for name in shown.reply.__slots__}
    for name in ("answer", "authority", "additional"):
        reply[name] = [
            {slot.rstrip("_"): getattr(record, slot) for slot in record.__slots__}
            for record in reply[name]
        ]
    reply["extended_errors"] = [
        {"code": code, "name": client.extended_error_name(code), "text": text}
        for code, text in shown.reply.extended_errors
    ]
    how = {
        "server": shown.server,
        "transport": shown.transport,
        "milliseconds": round(shown.seconds * 1000, 3),
        "size": shown.size,
    }
    yield json.dumps(reply | how, indent=2)


Form = Callable[[Shown], Iterator[str]]
_LONG: Form = _long
_SHORT: Form = _short
_JSON: Form = _as_json


def exchange(
    query: bytes,
    server: tuple[str, int],
    *,
    seconds: float = SECONDS,
    transport: Transport = Transport.UDP_THEN_TCP,
) -> tuple[bytes, str]:
    """The reply to a query, and "udp" or "tcp" (if truncated over UDP). Raises NoReply."""
    try:
        if transport is Transport.TCP:
            return _over_tcp(query, server, seconds), "tcp"
        reply = _over_udp(query, server, seconds)
        is_truncated = bool(reply[2] & 0x02)  # TC, RFC 1035 4.1.1
        if is_truncated and transport is Transport.UDP_THEN_TCP:
            return _over_tcp(query, server, seconds), "tcp"
    except OSError as error:
        reason = error.strerror or str(error)
        raise NoReply(
            f"no reply from {HostPort(*server)}: {reason} "
            "('consuldns dev' answers on 8600, 'consuldns serve' on 8653: see --server)"
        ) from error
    return reply, "udp"


def _over_udp(query: bytes, server: tuple[str, int], seconds: float) -> bytes:
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.connect(server)
        for _ in range(TRIES):
            udp.send(query)
            deadline = time.monotonic() + seconds
            while (left := deadline - time.monotonic()) > 0:
                udp.settimeout(left)
                try:
                    reply = udp.recv(65535)
                except TimeoutError:
                    break
                if reply[:2] == query[:2] and len(reply) > 2:
                    return reply
    raise TimeoutError("timed out")


def _over_tcp(query: bytes, server: tuple[str, int], seconds: float) -> bytes:
    with socket.create_connection(server, timeout=seconds) as tcp, tcp.makefile("rb") as stream:
        tcp.sendall(struct.pack("!H", len(query)) + query)
        (length,) = struct.unpack("!H", _exactly(stream, 2))
        return _exactly(stream, length)


def _exactly(stream: BinaryIO, count: int) -> bytes:
    octets = stream.read(count)
    if len(octets) < count:
        raise ConnectionError("connection closed")
    return octets
