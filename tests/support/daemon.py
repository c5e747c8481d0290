"""Another DNS server of the machine's, such as unbound, as a process of its own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import dns.exception

from tests.support.ask import ask
from tests.support.consul_agent import wait_until


@contextmanager
def running(
    command: list[str], port: int, name: str, type_: str = "A"
) -> Iterator[subprocess.Popen[bytes]]:
    """It runs in the foreground, and answers a name at a port of 127.0.0.1."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def is_ready() -> bool:
        try:
            return bool(ask(port, name, type_, tcp=True, timeout=1).answer)
        except (dns.exception.DNSException, OSError):
            return False

    try:
        wait_until(is_ready, f"an answer by {command[0]}")
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)
