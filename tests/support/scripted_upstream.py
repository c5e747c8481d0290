"""A DNS server that lies as it is told: by the first label of the name that it is asked for."""

import socket
import threading
from collections import Counter
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.support.consul_agent import free_ports

TTL = 300
FORGED = "203.0.113.66"
BIG = 60  # records of 70 octets


class ScriptedUpstream:
    """Answers every name with `address`, over UDP and TCP, unless its first label is a lie.

    `ports` are the source ports of the queries, `asked` counts them by name. While `held` is
    set, nothing is answered.
    """

    def __init__(self, address: str = "198.51.100.1", *, honest: bool = False) -> None:
        (self.port,) = free_ports(1)
        self.address = address
        self.honest = honest
        self.ports: list[int] = []
        self.asked: Counter[str] = Counter()
        self.held = threading.Event()
        self._udp = socket.socket(type=socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        self._tcp = socket.socket()
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._tcp.bind(("127.0.0.1", self.port))
        self._tcp.listen()

    def __enter__(self) -> Self:
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in (self._udp, self._tcp):
            each.close()

    def _serve_udp(self) -> None:
        while True:
            try:
                packet, client = self._udp.recvfrom(4096)
            except OSError:
                return
            self.ports.append(client[1])
            if self.held.is_set():
                self.asked[_name_of(packet)] += 1
                continue
            for reply in self._replies(packet, over_tcp=False):
                self._udp.sendto(reply, client)
            if _lie(packet) == "wrong-source":
                self._from_elsewhere(packet, client)

    def _from_elsewhere(self, packet: bytes, client: tuple[str, int]) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            other.sendto(_answer(packet, FORGED).to_wire(), client)

    def _serve_tcp(self) -> None:
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                length = int.from_bytes(stream.read(2), "big")
                packet = stream.read(length)
                if not packet:
                    continue
                for reply in self._replies(packet, over_tcp=True):
                    content = len(reply).to_bytes(2, "big") + reply
                    if _lie(packet) == "tcp-cut":
                        content = content[: len(content) // 2]
                    connection.sendall(content)

    def _replies(  # noqa: C901 - one case for each lie
        self, packet: bytes, *, over_tcp: bool
    ) -> list[bytes]:
        self.asked[_name_of(packet)] += 1
        good = _answer(packet, self.address)
        lie = "" if self.honest else _lie(packet)
        forged = _answer(packet, FORGED)
        match lie:
            case "wrong-id":
                forged.id ^= 1
                return [forged.to_wire()]
            case "wrong-question":
                other = dns.message.make_query("another.test.", "A", id=forged.id)
                return [_answer(other.to_wire(), FORGED).to_wire()]
            case "wrong-type":
                other = dns.message.make_query(forged.question[0].name, "MX", id=forged.id)
                return [dns.message.make_response(other).to_wire()]
            case "not-a-reply":
                forged.flags &= ~dns.flags.QR
                return [forged.to_wire()]
            case "rubbish":
                return [b"", b"\0" * 3, bytes(range(256)), packet[:2] + b"\x81\x80" + b"\xff" * 40]
            case "cut":
                return [forged.to_wire()[:-3]]
            case "loop":  # the owner's name is a pointer to itself
                wire = bytearray(forged.to_wire())
                end = 12 + len(forged.question[0].name.to_wire() or b"") + 4
                wire[end : end + 2] = (0xC000 | end).to_bytes(2, "big")
                return [bytes(wire)]
            case "counts":
                wire = bytearray(forged.to_wire())
                wire[6:8] = b"\xff\xff"
                return [bytes(wire)]
            case "wrong-source" | "silent":
                return []
            case "servfail" | "refused" | "formerr" | "notimp":
                return [_error(packet, lie)]
            case "truncated" | "tcp-cut" | "big" if not over_tcp:
                good.flags |= dns.flags.TC
                good.answer = []
                return [good.to_wire()]
            case "truncated-twice":
                good.flags |= dns.flags.TC
                return [good.to_wire()]
            case "poison":
                good.answer.append(dns.rrset.from_text("bank.test.", TTL, "IN", "A", FORGED))
                good.additional.append(dns.rrset.from_text("bank.test.", TTL, "IN", "A", FORGED))
                return [good.to_wire()]
            case "flood":
                forged.id ^= 1
                return [forged.to_wire()] * 5 + [good.to_wire()]
        return [good.to_wire(max_size=65535)]


def _lie(packet: bytes) -> str:
    return _name_of(packet).split(".")[0]


def _name_of(packet: bytes) -> str:
    return str(dns.message.from_wire(packet).question[0].name).lower()


def _error(packet: bytes, name: str) -> bytes:
    reply = dns.message.make_response(dns.message.from_wire(packet))
    reply.set_rcode(dns.rcode.from_text(name.upper()))
    return reply.to_wire()


def _answer(packet: bytes, address: str) -> dns.message.Message:
    """The reply to a query: an address, a text for each of `big`, an alias, or a denial."""
    query = dns.message.from_wire(packet)
    reply = dns.message.make_response(query, recursion_available=True)
    name, type_ = query.question[0].name, query.question[0].rdtype
    first = str(name).split(".")[0].lower()
    owner = str(name)
    if first in ("missing", "empty"):
        if first == "missing":
            reply.set_rcode(dns.rcode.NXDOMAIN)
        soa = "ns.test. admin.test. 1 2 3 4 60"
        reply.authority.append(dns.rrset.from_text("test.", TTL, "IN", "SOA", soa))
    elif first == "alias":
        reply.answer.append(dns.rrset.from_text(owner, TTL, "IN", "CNAME", "target.test."))
        if type_ == dns.rdatatype.A:
            reply.answer.append(dns.rrset.from_text("target.test.", 60, "IN", "A", address))
    elif type_ == dns.rdatatype.TXT:
        texts = [f'"{number:02}{"x" * 68}"' for number in range(BIG)]
        reply.answer.append(dns.rrset.from_text(owner, TTL, "IN", "TXT", *texts))
    elif type_ == dns.rdatatype.AAAA:
        reply.answer.append(dns.rrset.from_text(owner, TTL, "IN", "AAAA", "2001:db8::1"))
    elif type_ == dns.rdatatype.MX:
        reply.answer.append(dns.rrset.from_text(owner, TTL, "IN", "MX", "10 mail.test."))
    else:
        reply.answer.append(dns.rrset.from_text(owner, TTL, "IN", "A", address))
    return reply
