"""The query log: a line for each query that was answered, in the common format of CoreDNS's log.

    127.0.0.1:40212 - 4242 "A IN web.consul. udp 54 false 1232" NOERROR qr,aa,rd 75 0.000021s

Client, port, id; type, class, name, protocol, size of the query, DO, its UDP size; rcode, flags,
size of the reply, duration. Off by default: each line costs as much as answering ten queries.
"""

import logging
from typing import Any

import msgspec

from consuldns.dns.question import Class, Type
from consuldns.logs import Logged
from consuldns.names import format_name
from consuldns.server.listen import Transport
from consuldns.wire.decode import Query, Rcode, read_query

_log = logging.getLogger("consuldns.queries")

_FLAGS = ((0x8000, "qr"), (0x0400, "aa"), (0x0200, "tc"), (0x0100, "rd"), (0x0080, "ra"))
_RCODES = {each.value: each.name for each in Rcode}
_PLAIN_SIZE = 512


class QueryLogPolicy(msgspec.Struct, frozen=True):
    """`kind` of queries, and of these each n-th one only (`sample`)."""

    kind: Logged = "off"
    sample: int = 1


class Exchange(msgspec.Struct, frozen=True):
    """A query, which may be malformed, and the reply that was sent."""

    query: bytes
    reply: bytes
    client: Any  # as the socket gives it: the address comes first, then the port
    transport: Transport
    nanoseconds: int  # how long it took


class QueryLog:
    """Writes the lines of one worker."""

    def __init__(self, policy: QueryLogPolicy) -> None:
        self._kind = policy.kind
        self._sample = policy.sample
        self._skipped = 0

    @classmethod
    def of(cls, policy: QueryLogPolicy) -> "QueryLog | None":
        """The log, None if it is off."""
        return None if policy.kind == "off" else cls(policy)

    def note(self, exchange: Exchange) -> None:
        """A reply was sent."""
        reply = exchange.reply
        rcode = reply[3] & 0xF
        if self._kind == "errors" and rcode in (Rcode.NOERROR, Rcode.NXDOMAIN):
            return
        is_denial = rcode == Rcode.NXDOMAIN or (rcode == Rcode.NOERROR and not any(reply[6:8]))
        if self._kind == "denials" and not is_denial:
            return
        self._skipped += 1
        if self._skipped < self._sample:
            return
        self._skipped = 0
        query = read_query(exchange.query)
        if isinstance(query, Query):
            _log.info("%s", _line(query, exchange))


def _line(query: Query, exchange: Exchange) -> str:
    flags = int.from_bytes(exchange.reply[2:4])
    address, port = exchange.client[:2]
    host = f"[{address}]" if ":" in address else address
    question, edns = query.question, query.edns
    asked = " ".join(
        (
            _name(Type, question.type, "TYPE"),
            _name(Class, question.class_, "CLASS"),
            format_name(question.name),
            exchange.transport.value,
            str(len(exchange.query)),
            "true" if edns is not None and edns.dnssec_ok else "false",
            str(edns.size if edns is not None else _PLAIN_SIZE),
        )
    )
    set_flags = ",".join(name for bit, name in _FLAGS if flags & bit)
    rcode = _RCODES.get(flags & 0xF, str(flags & 0xF))
    return (
        f'{host}:{port} - {int.from_bytes(query.id)} "{asked}" '
        f"{rcode} {set_flags} {len(exchange.reply)} {exchange.nanoseconds / 1e9:.6f}s"
    )


def _name(kind: type[Type] | type[Class], number: int, prefix: str) -> str:
    try:
        return kind(number).name
    except ValueError:
        return f"{prefix}{number}"
