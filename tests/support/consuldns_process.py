"""The real program as a process: `consuldns serve`, `consuldns dev`, on free ports of 127.0.0.1."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.support.consul_agent import REPOSITORY, free_ports, wait_until

# A standalone binary or an installed package can be put in the place of this source.
UNDER_TEST = os.environ.get("PROGRAM_UNDER_TEST")
PROGRAM = (UNDER_TEST,) if UNDER_TEST else (sys.executable, "-m", "consuldns")


class ConsuldnsProcess:
    """A command of consuldns that runs until it is stopped. Its stderr is kept, line by line."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environment: dict[str, str] | None = None,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self._program = program
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("CONSUL_", "CONSULDNS_"))}
        self._environment = clean | {"PYTHONPATH": str(REPOSITORY)} | (environment or {})
        self.arguments = list(arguments)
        self.lines: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Start the process; does not wait for anything."""
        self._start(subprocess.PIPE)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start_without_reader(self) -> None:
        """Start the process with a stderr that nobody reads."""
        reading, writing = os.pipe()
        os.close(reading)
        self._start(writing)
        os.close(writing)

    def _start(self, stderr: int) -> None:
        self._process = subprocess.Popen(
            [*self._program, *self.arguments],
            stderr=stderr,
            stdout=subprocess.DEVNULL,
            env=self._environment,
            cwd=REPOSITORY,
            text=True,
        )

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append(line.rstrip("\n"))

    @property
    def pid(self) -> int:
        """The process id of control."""
        assert self._process is not None
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status, None while it runs."""
        assert self._process is not None
        return self._process.poll()

    @property
    def log(self) -> str:
        """Everything that was written to stderr."""
        return "\n".join(self.lines)

    def wait_for_line(self, text: str, seconds: float = 20.0) -> None:
        """Wait until a line of stderr holds the text."""

        def seen() -> bool:
            if any(text in line for line in self.lines):
                return True
            if self.status is not None:
                raise AssertionError(f"ended with {self.status}:\n{self.log}")
            return False

        wait_until(seen, f"{text!r} on stderr; there is:\n{self.log}", seconds)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end; the exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise
        if self._reader is not None:
            self._reader.join(5)
        if self._process.stderr is not None:
            self._process.stderr.close()
        return self._process.returncode

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.stop()


class Serve(ConsuldnsProcess):
    """`consuldns serve` in front of a Consul. `with` waits until it is ready."""

    def __init__(
        self,
        consul_url: str,
        *,
        workers: int | None = 1,
        config: str = "",
        arguments: Sequence[str] = (),
        wait_ready: bool = True,
        host: str = "127.0.0.1",
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.port, self.admin_port = free_ports(2)
        self._wait_ready = wait_ready
        given = [
            "serve",
            "--listen",
            f"{host}:{self.port}",
            "--consul-addr",
            consul_url,
            "--admin-addr",
            f"127.0.0.1:{self.admin_port}",
            *(() if workers is None else ("--workers", str(workers))),
            *arguments,
        ]
        self._folder = tempfile.TemporaryDirectory(prefix="consuldns-")
        self.config_file = Path(self._folder.name) / "consuldns.toml"
        if config:
            self.config_file.write_text(config)
            given += ["--config", str(self.config_file)]
        super().__init__(given, program=program)

    def __enter__(self) -> Self:
        self.start()
        self.wait_for_line("ready" if self._wait_ready else "listening on")
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end; the exit status."""
        status = super().stop(number)
        self._folder.cleanup()
        return status

    def admin(self, path: str) -> httpx.Response:
        """GET from the admin endpoint."""
        return httpx.get(f"http://127.0.0.1:{self.admin_port}{path}", timeout=5)

    def is_ready(self) -> bool:
        """Whether `/ready` says so."""
        try:
            return self.admin("/ready").status_code == 200
        except httpx.TransportError:
            return False

    def metric(self, name: str) -> float:
        """A metric, summed over its labels; AssertionError if there is none of that name."""
        samples = [
            float(line.rsplit(" ", 1)[1])
            for line in self.admin("/metrics").text.splitlines()
            if re.match(rf"{name}[ {{]", line)
        ]
        assert samples, f"no metric {name}"
        return sum(samples)


def children_of(pid: int) -> list[int]:
    """Process ids of the children of a process."""
    tasks = Path(f"/proc/{pid}/task")
    found: list[int] = []
    for task in tasks.iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has ended meanwhile
            found += [int(child) for child in (task / "children").read_text().split()]
    return found
