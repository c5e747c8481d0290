"""What a request to Consul costs us: CPU time of the client, without the decoding of its JSON.

    python -m benchmarks.requests [--requests N]

The server is a process of its own that answers with bytes made beforehand, eight instances of a
service as Consul 1.8.7 sends them. Figures are the smallest of several rounds; exits with 1 if a
request costs more than 0.3 ms.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time

from consuldns.config.schema import ConsulSettings
from consuldns.consul.http.client import Client

LIMIT_MS = 0.3
ROUNDS = 5
BODY = json.dumps(
    [
        {
            "Node": {"Node": f"node-{number}", "Address": f"10.0.0.{number}"},
            "Service": {"ID": f"web-{number}", "Service": "web", "Port": 80},
            "Checks": [{"Node": f"node-{number}", "CheckID": "serfHealth", "Status": "passing"}],
        }
        for number in range(8)
    ]
).encode()
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nVary: Accept-Encoding\r\n"
    b"X-Consul-Effective-Consistency: leader\r\nX-Consul-Index: 1234\r\n"
    b"X-Consul-Knownleader: true\r\nX-Consul-Lastcontact: 0\r\n"
    b"Date: Thu, 26 Nov 2026 00:00:00 GMT\r\nContent-Length: %d\r\n\r\n" % len(BODY)
)
SERVER = f"""
import asyncio

class Consul(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write({HEAD + BODY!r} * data.count(b"\\r\\n\\r\\n"))

async def main():
    server = await asyncio.get_running_loop().create_server(Consul, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


async def measure(port: int, requests: int) -> float:
    """Milliseconds of CPU a request."""
    client = Client(ConsulSettings(address=f"http://127.0.0.1:{port}"))
    path, query = ("v1", "health", "service", "web"), {"dc": "dc1", "stale": ""}
    smallest = float("inf")
    await client.get(*path, query=query)
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(requests):
            await client.get(*path, query=query)
        smallest = min(smallest, (time.process_time() - started) / requests * 1e3)
    await client.aclose()
    return smallest


def main() -> int:
    """Run the server and the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="of a round (default 2000)")
    arguments = parser.parse_args()
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        cost = asyncio.run(measure(int(server.stdout.readline()), arguments.requests))
    finally:
        server.terminate()
        server.wait()
    print(f"{cost:.3f} ms CPU a request (at most {LIMIT_MS})")
    return 0 if cost <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
