"""A real Consul for tests: `consul agent -dev` on free ports of 127.0.0.1, as its own process."""

import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = REPOSITORY / ".cache" / "consul" / "consul"


def binary() -> Path:
    """The Consul binary that `make consul` provides."""
    if not BINARY.exists():
        raise RuntimeError(f"{BINARY} is missing: run 'make consul'")
    return BINARY


@cache
def version() -> tuple[int, int, int]:
    """The binary's version: a newer one than that of `make consul` may be in its place."""
    line = subprocess.run([binary(), "version"], capture_output=True, text=True, check=True).stdout
    major, minor, patch = line.split()[1].removeprefix("v").partition("+")[0].split(".")
    return int(major), int(minor), int(patch.partition("-")[0])


# Below the ports that the kernel gives to outgoing connections (32768 and up): one of those may
# take a port between the moment that it is chosen here and the moment that a server binds it. Each
# of several processes that run tests has a part of its own.
FIRST_PORT, LAST_PORT = 12_000, 32_000
_ports = random.Random(os.urandom(8))


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that are free for UDP and TCP."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    taken: list[socket.socket] = []
    ports: list[int] = []
    while len(ports) < count:
        port = _ports.randrange(FIRST_PORT + number, LAST_PORT, processes)
        tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        taken += [tcp, udp]
        try:
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
        except OSError:
            continue
        ports.append(port)
    for each in taken:
        each.close()
    return ports


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    """Poll a condition of another process until it holds; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


class ConsulAgent:
    """A Consul server. Use as a context manager; `kill` and `start` again to test outages.

    `config` is merged into its configuration file. With `persistent` its state survives a kill
    (a single-server cluster with a data directory); otherwise it is `-dev`: state in memory.
    """

    def __init__(self, *, config: dict[str, Any] | None = None, persistent: bool = False) -> None:
        self.http_port, self.dns_port, server, serf = free_ports(4)
        self.url = f"http://127.0.0.1:{self.http_port}"
        self._folder = Path(tempfile.mkdtemp(prefix="consul-"))
        self._log = (self._folder / "log").open("wb")
        self._process: subprocess.Popen[bytes] | None = None
        settings: dict[str, Any] = {
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "node_name": "server-1",
            "disable_update_check": True,
            "ports": {
                "http": self.http_port,
                "dns": self.dns_port,
                "server": server,
                "serf_lan": serf,
                "serf_wan": -1,
                "grpc": -1,
            },
        }
        if version() >= (1, 14, 0):  # with -dev it would listen for gRPC over TLS, on a fixed port
            settings["ports"]["grpc_tls"] = -1
        for key, value in (config or {}).items():
            if isinstance(value, dict) and isinstance(settings.get(key), dict):
                settings[key] |= value
            else:
                settings[key] = value
        (self._folder / "config.json").write_text(json.dumps(settings))
        self._arguments = ["-config-file", str(self._folder / "config.json")]
        if persistent:
            data = str(self._folder / "data")
            self._arguments += ["-server", "-bootstrap-expect=1", "-data-dir", data]
        else:
            self._arguments += ["-dev"]
        self.client = httpx.Client(base_url=self.url, timeout=20)

    def start(self, *, wait: bool = True) -> None:
        """Start the process and wait until it has a leader and lists itself as a service."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CONSUL_")}
        self._process = subprocess.Popen(
            [str(binary()), "agent", *self._arguments],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        if wait:
            wait_until(self.is_ready, f"Consul at {self.url} ready")

    def is_ready(self) -> bool:
        """Whether the servers' own service is in the catalog."""
        try:
            reply = self.client.get("/v1/catalog/service/consul")
        except httpx.HTTPError:
            return False
        return reply.status_code == 200 and bool(reply.json())

    def kill(self) -> None:
        """SIGKILL, as an outage does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def log(self) -> str:
        """All that the agent has logged."""
        return (self._folder / "log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    def put(self, path: str, body: object = None) -> None:
        """PUT a body as JSON (text as it is), and insist on success."""
        content = body if isinstance(body, str) else json.dumps(body) if body is not None else ""
        reply = self.client.put(path, content=content)
        if reply.status_code != 200:
            raise AssertionError(f"PUT {path}: {reply.status_code} {reply.text}")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self.client.close()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)
