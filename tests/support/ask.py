"""Asking a server over real sockets, with dnspython as the independent decoder."""

import socket
import subprocess

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from tests.support.consul_agent import wait_until


def ask(
    port: int,
    name: str,
    type_: str = "A",
    *,
    tcp: bool = False,
    edns: int | None = 0,
    timeout: float = 3.0,
    host: str = "127.0.0.1",
) -> dns.message.Message:
    """One question, one reply; dns.exception.Timeout if none comes."""
    query = dns.message.make_query(
        name, type_, use_edns=edns is not None and edns >= 0, payload=1232
    )
    exchange = dns.query.tcp if tcp else dns.query.udp
    return exchange(query, host, port=port, timeout=timeout)


def rcode(message: dns.message.Message) -> str:
    """The rcode's name."""
    return dns.rcode.to_text(message.rcode())


def answers(message: dns.message.Message) -> set[str]:
    """The data of the answer section, as text."""
    return {rdata.to_text() for rrset in message.answer for rdata in rrset}


def wait_for_answer(port: int, name: str, type_: str, wanted: str) -> None:
    """Ask until the answer is this and nothing else, or the rcode is this."""

    def is_answered() -> bool:
        reply = ask(port, name, type_)
        return answers(reply) == {wanted} or rcode(reply) == wanted

    wait_until(is_answered, f"{name} {type_}: {wanted}")


def extended_errors(message: dns.message.Message) -> list[int]:
    """Codes of extended DNS errors (RFC 8914)."""
    return [option.code for option in message.options if isinstance(option, dns.edns.EDEOption)]


def dig(port: int, *arguments: str) -> str:
    """The output of dig."""
    command = ["dig", "@127.0.0.1", "-p", str(port), "+time=3", "+tries=1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def silent(port: int, packet: bytes, seconds: float = 0.3) -> bool:
    """Whether nothing comes back for a datagram."""
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(seconds)
        client.sendto(packet, ("127.0.0.1", port))
        try:
            client.recv(4096)
        except TimeoutError:
            return True
    return False
