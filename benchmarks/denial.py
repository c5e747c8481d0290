"""Random names and addresses must cost Consul nothing, and this server little.

Asks for random names of one to four labels under service.consul and svc.dc1.consul and for random
addresses under in-addr.arpa, and counts the requests that Consul served meanwhile.

    python -m benchmarks.denial [--queries N]
"""

import argparse
import random
import socket
import time

from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import Serve

WINDOW = 100  # queries in flight


def random_question(chance: random.Random) -> bytes:
    """A flat or nested name, or an address, that nobody has."""
    if chance.random() < 0.5:
        labels = [b"%016x" % chance.getrandbits(64) for _ in range(chance.randint(1, 4))]
        name = b"".join(bytes([len(label)]) + label for label in labels)
        kind = chance.choice((b"\7service\6consul\0", b"\3svc\3dc1\6consul\0"))
        return name + kind + b"\0\1\0\1"
    octets = [b"%d" % chance.randrange(256) for _ in range(3)] + [b"10"]
    address = b"".join(bytes([len(octet)]) + octet for octet in octets)
    return address + b"\7in-addr\4arpa\0\0\x0c\0\1"


def requests_served(consul: ConsulAgent) -> int:
    """HTTP requests that Consul has begun to serve since it started, by its log of them."""
    return consul.log().count("[DEBUG] agent.http: Request finished")


def main() -> None:
    """Ask, count, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=100_000)
    given = parser.parse_args()
    chance = random.Random(1)
    with ConsulAgent(config={"log_level": "DEBUG"}) as consul, Serve(consul.url) as serve:
        client = socket.socket(type=socket.SOCK_DGRAM)
        client.settimeout(2)
        client.connect(("127.0.0.1", serve.port))
        wait_until(lambda: serve.admin("/ready").status_code == 200, "ready")
        if requests_served(consul) == 0:
            raise SystemExit("Consul's log does not tell of requests: nothing can be counted")
        before, started = requests_served(consul), time.monotonic()
        codes: dict[int, int] = {}
        for first in range(0, given.queries, WINDOW):
            for number in range(first, first + WINDOW):
                header = (number & 0xFFFF).to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0\0"
                client.send(header + random_question(chance))
            for _ in range(WINDOW):
                code = client.recv(512)[3] & 15
                codes[code] = codes.get(code, 0) + 1
        seconds = time.monotonic() - started
        after = requests_served(consul)
        print(f"{given.queries} queries in {seconds:.1f} s, replies by rcode: {codes}")
        print(f"requests to Consul meanwhile: {after - before} (standing queries that came round)")


if __name__ == "__main__":
    main()
