"""Asking a server many questions at once, over UDP and TCP, with messages built by hand.

dnspython's own queries take one socket and one round trip each; tens of thousands of questions want
many in flight. The replies stay octets here; `replies` decodes them with dnspython.
"""

import itertools
import select
import socket
import struct
from collections.abc import Iterator, Sequence

from consuldns.names import to_wire
from tests.differential.questions import Question, Transport

Address = tuple[str, int]

IN_FLIGHT = 32
TCP_BATCH = 60  # Consul closes a connection after 128 queries
SECONDS_TO_WAIT = (
    0.5,
    1.0,
    4.0,
)  # for a reply, at each attempt: silence costs little if it is rare
EDNS_SIZE = 1232
IDENTITIES = 0x10000
RECURSION_DESIRED = 0x0100


def message(question: Question, identity: int) -> bytes:
    """The query as octets (RFC 1035 section 4)."""
    edns = question.transport is not Transport.UDP
    flags = question.opcode << 11 | RECURSION_DESIRED
    header = struct.pack(">6H", identity, flags, 1, 0, 0, int(edns))
    asked = to_wire(question.name) + struct.pack(">2H", question.type, question.class_)
    ttl = question.edns_version << 16
    opt = b"\0" + struct.pack(">2HIH", 41, EDNS_SIZE, ttl, 0) if edns else b""
    return header + asked + opt


def ask(server: Address, questions: Sequence[Question]) -> list[bytes | None]:
    """The reply to each question, None where none came at any attempt."""
    replies: list[bytes | None] = [None] * len(questions)
    for seconds in SECONDS_TO_WAIT:
        missing = [number for number, reply in enumerate(replies) if reply is None]
        over_tcp = [n for n in missing if questions[n].transport is Transport.TCP]
        over_udp = [n for n in missing if questions[n].transport is not Transport.TCP]
        for batch in batched(over_tcp, TCP_BATCH):
            for identity, reply in _ask_over_tcp(server, [questions[n] for n in batch], seconds):
                replies[batch[identity]] = reply
        for batch in batched(over_udp, IDENTITIES):
            for identity, reply in _ask_over_udp(server, [questions[n] for n in batch], seconds):
                replies[batch[identity]] = reply
    return replies


def batched(numbers: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Slices of at most `size`."""
    return (numbers[start : start + size] for start in range(0, len(numbers), size))


def _ask_over_udp(
    server: Address, questions: Sequence[Question], seconds: float
) -> Iterator[tuple[int, bytes]]:
    """Pairs of message id (the question's place) and reply."""
    waiting: set[int] = set()
    unsent = iter(enumerate(questions))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(server)
        while True:
            for identity, question in itertools.islice(unsent, IN_FLIGHT - len(waiting)):
                udp.send(message(question, identity))
                waiting.add(identity)
            if not waiting:
                return
            if not select.select([udp], [], [], seconds)[0]:
                waiting.clear()  # lost, or never answered: the next attempt asks again
                continue
            reply = udp.recv(65535)
            identity = int.from_bytes(reply[:2], "big")
            if identity in waiting:
                waiting.discard(identity)
                yield identity, reply


def _ask_over_tcp(
    server: Address, questions: Sequence[Question], seconds: float
) -> Iterator[tuple[int, bytes]]:
    """Pairs of message id (the question's place) and reply, all over one connection."""
    with socket.create_connection(server, timeout=seconds) as tcp:
        queries = [message(question, identity) for identity, question in enumerate(questions)]
        tcp.sendall(b"".join(struct.pack(">H", len(query)) + query for query in queries))
        with tcp.makefile("rb") as stream:
            for _ in questions:
                try:
                    reply = stream.read(int.from_bytes(stream.read(2), "big"))
                except TimeoutError:
                    return
                if len(reply) < 2:
                    return  # closed before all were answered
                yield int.from_bytes(reply[:2], "big"), reply
