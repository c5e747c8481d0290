"""`consuldns query`: query a DNS server, and print the reply as dig does."""

import secrets
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from consuldns.cli.options import config_option, setting_option
from consuldns.config.values import HOST_PORT
from consuldns.errors import ConsuldnsError
from consuldns.names import Labels, parse_address, parse_name, reverse_name
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


@click.command()
@click.argument("name")
@click.argument("type", required=False)
@click.option(
    "--server",
    metavar="ADDR:PORT",
    default=SERVER,
    help=f"Server to query.  [default: {SERVER}, the port of Consul and of 'consuldns dev']",
)
@click.option("-x", "reverse", is_flag=True, help="Reverse lookup: NAME is an IP address.")
@click.option(
    "--explain",
    "is_explained",
    is_flag=True,
    help="Explain how consuldns resolves the name, with Consul's data and these settings.",
)
@setting_option("consul.address", "URL")
@config_option
@click.pass_context
def command(
    context: click.Context,
    name: str,
    type: str | None,
    server: str,
    reverse: bool,
    is_explained: bool,
    consul_addr: str | None,
    file: Path | None,
) -> None:
    """Query a DNS server, and print the reply as dig does.

    TYPE is A, AAAA, SRV, TXT, PTR, ANY and so on. The default is A, or PTR if NAME is an IP
    address. The query is sent over UDP, and again over TCP if the reply is truncated.

    Exit status: 0 answer, 9 no reply, 10 the name exists but has no such records (NODATA), 11 the
    name does not exist (NXDOMAIN), 12 SERVFAIL, 13 REFUSED or any other error.

    With --explain, Consul is read as well (--consul-addr, --config), and every interpretation of
    the name is listed with its result and the reason why it is the answer (marked *) or not.

    Example, while 'consuldns dev' runs: consuldns query monitoring-heapster.service.consul SRV
    """
    from consuldns.wire import client

    address = _server(server)
    labels, number = _question(name, type, reverse=reverse)
    query = client.build_query(labels, number, id=secrets.randbelow(65536))
    status = _show_reply(query, address)
    if is_explained:
        from consuldns.cli import explanation

        click.echo()
        for line in explanation.lines(labels, number, consul_addr, file):
            click.echo(line)
    context.exit(status)


def _show_reply(query: bytes, server: HostPort) -> int:
    """Send the query, and print the reply or the error; returns the exit status."""
    from consuldns.wire import client

    started = time.perf_counter()
    try:
        packet, transport = exchange(query, (server.host, server.port))
    except NoReply as error:
        click.echo(f"Error: {error}", err=True)
        return EXIT_NO_REPLY
    seconds = time.perf_counter() - started
    reply = client.read_reply(packet)
    click.echo("\n".join(_as_dig_does(reply)))
    click.echo(f";; Query time: {seconds * 1000:.1f} ms")
    click.echo(f";; SERVER: {server} ({transport})")
    click.echo(f";; MSG SIZE rcvd: {len(packet)}")
    return _exit_status(reply)


def _server(text: str) -> HostPort:
    try:
        return HOST_PORT.read(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--server") from error


def _question(name: str, type: str | None, *, reverse: bool) -> tuple[Labels, int]:
    from consuldns.wire.client import type_number

    address = parse_address(name)
    try:
        if reverse and address is None:
            raise ValueError(f"not an IP address: {name!r}")
        if address is not None and (reverse or type is None):
            return reverse_name(address), type_number(type or "PTR")
        return parse_name(name), type_number(type or "A")
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _exit_status(reply: "Reply") -> int:
    if reply.rcode == "NOERROR":
        return EXIT_ANSWER if reply.answer else EXIT_NODATA
    return EXIT_OF_RCODE.get(reply.rcode, EXIT_OTHER)


def _as_dig_does(reply: "Reply") -> Iterator[str]:
    has_edns = reply.udp_size is not None
    counts = (
        f"QUERY: {len(reply.question)}, ANSWER: {len(reply.answer)}, "
        f"AUTHORITY: {len(reply.authority)}, ADDITIONAL: {len(reply.additional) + has_edns}"
    )
    yield f";; ->>HEADER<<- opcode: {reply.opcode}, status: {reply.rcode}, id: {reply.id}"
    yield f";; flags: {' '.join(reply.flags)}; {counts}"
    yield ""
    if has_edns:
        yield ";; OPT PSEUDOSECTION:"
        yield f"; EDNS: version: 0, udp: {reply.udp_size}"
        yield from (f"; EDE: {code} ({text})" for code, text in reply.extended_errors)
    yield ";; QUESTION SECTION:"
    yield from (f";{question}" for question in reply.question)
    yield ""
    for name in ("answer", "authority", "additional"):
        if records := getattr(reply, name):
            yield f";; {name.upper()} SECTION:"
            yield from map(str, records)
            yield ""


def exchange(
    query: bytes, server: tuple[str, int], *, seconds: float = SECONDS
) -> tuple[bytes, str]:
    """The reply to a query, and "udp" or "tcp" (if truncated over UDP). Raises NoReply."""
    try:
        reply = _over_udp(query, server, seconds)
        if reply[2] & 0x02:  # TC, RFC 1035 4.1.1
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
