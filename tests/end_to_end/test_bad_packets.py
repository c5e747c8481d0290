"""Whatever is sent, the server answers by the RFCs or stays silent, and its log stays short."""

import random
import socket

from tests.support.ask import answers, ask
from tests.support.consuldns_process import Serve

QUESTION = b"\6consul\7service\6consul\0\0\1\0\1"
HEADER = b"\x12\x34\1\0\0\1\0\0\0\0\0\0"


def mutated(chance: random.Random) -> bytes:
    """A query with some octets changed, cut off or added."""
    packet = bytearray(HEADER + QUESTION)
    for _ in range(chance.randrange(1, 6)):
        packet[chance.randrange(len(packet))] = chance.randrange(256)
    if chance.random() < 0.3:
        del packet[chance.randrange(len(packet)) :]
    if chance.random() < 0.3:
        packet += chance.randbytes(chance.randrange(60))
    return bytes(packet)


def test_a_thousand_bad_packets_leave_it_as_it_was(serve: Serve) -> None:
    chance = random.Random(7)
    lines = len(serve.lines)
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", serve.port))
        for _ in range(1000):
            client.send(mutated(chance))
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", serve.port)) as client:
            packet = mutated(chance)
            client.sendall(chance.choice([len(packet), 0, 5, 65535]).to_bytes(2, "big") + packet)
    assert answers(ask(serve.port, "consul.service.consul")) == {"127.0.0.1"}
    assert "Traceback" not in serve.log
    assert len(serve.lines) - lines <= 20
