"""What can happen to the processes of `consuldns serve`, and what clients notice of it.

CONSULDNS_TEST_KILLS=20 makes the test of killed workers a whole minute (default: 4 kills).
"""

import contextlib
import os
import resource
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.end_to_end.conftest import register
from tests.support.ask import answers, ask, wait_for_answer
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import Serve, children_of

KILLS = int(os.environ.get("CONSULDNS_TEST_KILLS", "4"))
KILL_SECONDS = 3.0
QUERIES_PER_SECOND = 200
QUESTION = b"\1\0\0\1\0\0\0\0\0\0\6steady\7service\6consul\0\0\1\0\1"
ADDRESS = socket.inet_aton("10.9.9.9")


@pytest.fixture
def steady(consul: ConsulAgent, serve: Serve) -> Serve:
    """The server, answering for `steady` from every worker."""
    register(consul, "steady", "10.9.9.9")
    wait_for_answer(serve.port, "steady.service.consul", "A", "10.9.9.9")
    wait_until(lambda: serve.admin("/ready").status_code == 200, "ready")
    return serve


class Questions(threading.Thread):
    """Asks at a steady pace, each question once, from several ports: each worker gets some."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._clients = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(16)]
        for client in self._clients:
            client.connect(("127.0.0.1", port))
        self._enough = threading.Event()
        self.unanswered: dict[tuple[int, int], float] = {}
        self.wrong: list[bytes] = []
        self.asked = 0

    def run(self) -> None:
        """Ask until `finish`, then wait for what is still to come."""
        due = time.monotonic()
        for number in count():
            if self._enough.is_set():
                break
            client = self._clients[number % len(self._clients)]
            self.unanswered[client.fileno(), number % 65536] = due
            client.send(struct.pack("!H", number % 65536) + QUESTION)
            self.asked += 1
            due += 1 / QUERIES_PER_SECOND
            while (left := due - time.monotonic()) > 0:
                self._receive(left)
        deadline = time.monotonic() + 5
        while self.unanswered and (left := deadline - time.monotonic()) > 0:
            self._receive(left)

    def _receive(self, seconds: float) -> None:
        readable, _, _ = select.select(self._clients, [], [], seconds)
        for client in readable:
            reply = client.recv(512)
            self.unanswered.pop((client.fileno(), int.from_bytes(reply[:2], "big")), None)
            if reply[3] & 15 or not reply.endswith(ADDRESS):
                self.wrong.append(reply)

    def finish(self) -> int:
        """How many were never answered."""
        self._enough.set()
        self.join()
        for client in self._clients:
            client.close()
        return len(self.unanswered)


@pytest.mark.timeout(60 + 2 * KILLS * KILL_SECONDS)
def test_a_killed_worker_takes_at_most_the_query_that_it_held(steady: Serve) -> None:
    questions = Questions(steady.port)
    questions.start()
    killed = 0
    for _ in range(KILLS):
        before = questions.asked
        victims = children_of(steady.pid)
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        killed += len(victims)
        wait_until(
            lambda before=before: questions.asked - before >= KILL_SECONDS * QUERIES_PER_SECOND,  # type: ignore[misc]
            "the next kill",
        )
    lost = questions.finish()
    print(f"{killed} workers killed, {questions.asked} questions, {lost} not answered")
    assert questions.wrong == []
    assert lost <= killed


REPLACEMENTS = int(os.environ.get("CONSULDNS_TEST_REPLACEMENTS", "3"))


def test_no_query_is_lost_by_reloads_and_replaced_workers(steady: Serve) -> None:
    """CONSULDNS_TEST_REPLACEMENTS=30 for as many of each as a release ought to be tested with."""
    questions = Questions(steady.port)
    questions.start()
    restarts = steady.metric("consuldns_worker_restarts_total")
    for number in range(REPLACEMENTS):
        before = set(children_of(steady.pid))
        os.kill(steady.pid, signal.SIGHUP)
        os.kill(steady.pid, signal.SIGUSR2)
        wait_until(
            lambda n=number: (  # type: ignore[misc]
                steady.log.count("SIGUSR2: all workers have been replaced") > n
            ),
            "replaced",
        )
        assert not before & set(children_of(steady.pid))
    lost = questions.finish()
    print(f"{REPLACEMENTS} reloads and replacements, {questions.asked} questions, {lost} lost")
    assert questions.wrong == []
    assert lost == 0
    assert steady.metric("consuldns_worker_restarts_total") == restarts


def test_workers_that_are_killed_as_soon_as_they_serve(steady: Serve) -> None:
    """They are replaced each time, and the log does not tell of each."""
    lines, restarts = len(steady.lines), steady.metric("consuldns_worker_restarts_total")
    for _ in range(6):
        victims = set(children_of(steady.pid))
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        wait_until(lambda gone=victims: not gone & set(children_of(steady.pid)), "ended")  # type: ignore[misc]
        wait_until(lambda: steady.admin("/ready").status_code == 200, "ready again")
    assert steady.metric("consuldns_worker_restarts_total") == restarts + 12
    assert len(steady.lines) - lines < 12


@contextlib.contextmanager
def file_descriptors(pid: int, limit: int) -> Iterator[None]:
    """A process with so few file descriptors."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_a_worker_that_cannot_be_started_is_tried_again(steady: Serve) -> None:
    lines = len(steady.lines)
    victims = set(children_of(steady.pid))
    with file_descriptors(steady.pid, 3):
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        for number in (0, 1):
            text = f"worker {number}: cannot be started: Too many open files"
            wait_until(
                lambda text=text: any(text in line for line in steady.lines[lines:]),  # type: ignore[misc]
                f"why worker {number} is not started",
            )
        before = len(steady.lines)
        wait_until(
            lambda: len([s for s in steady.lines[lines:] if "cannot be started" in s]) == 2,
            "one line for each",
        )
        assert len(steady.lines) == before
    wait_until(lambda: answers(ask(steady.port, "steady.service.consul")) == {"10.9.9.9"}, "again")
    assert steady.status is None


def test_silent_connections_to_the_admin_port_harm_nobody(steady: Serve) -> None:
    lines = len(steady.lines)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.socket()) for _ in range(800)]
        for client in silent:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", steady.admin_port))
        assert steady.admin("/ready").status_code == 200
        victims = set(children_of(steady.pid))
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        for _ in range(20):
            assert answers(ask(steady.port, "steady.service.consul")) == {"10.9.9.9"}
        wait_until(lambda: len(set(children_of(steady.pid)) - victims) == 2, "two new workers")
        assert len(list(Path(f"/proc/{steady.pid}/fd").iterdir())) < 300
    assert len(steady.lines) - lines <= 2


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_no_process_is_killed_by_a_signal_that_asks_for_something(
    steady: Serve, number: signal.Signals
) -> None:
    """Not even one that has just been forked: Python itself would die of it for some time."""
    restarts = steady.metric("consuldns_worker_restarts_total")
    before = set(children_of(steady.pid))
    steady_ones = {steady.pid, *before}
    for pid in steady_ones:
        os.kill(pid, number)
    steady.wait_for_line(f"{number.name}: ")
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(set(children_of(steady.pid)) - before) == 1, "a new worker")
    (young,) = set(children_of(steady.pid)) - before
    os.kill(young, number)
    wait_until(lambda: steady.admin("/ready").status_code == 200, "ready again")
    assert young in children_of(steady.pid)
    assert steady.status is None
    assert steady.metric("consuldns_worker_restarts_total") == restarts + 1


def test_a_lame_duck_answers_but_is_not_ready(consul: ConsulAgent) -> None:
    """Until its time is over, or a second SIGTERM comes."""
    register(consul, "steady", "10.9.9.9")
    with Serve(consul.url, config='lameduck = "60s"\n') as serve:
        wait_for_answer(serve.port, "steady.service.consul", "A", "10.9.9.9")
        os.kill(serve.pid, signal.SIGTERM)
        wait_until(lambda: serve.admin("/ready").status_code == 503, "not ready any more")
        assert "stopping" in serve.admin("/ready").text
        for _ in range(20):
            assert answers(ask(serve.port, "steady.service.consul")) == {"10.9.9.9"}
        assert serve.status is None
        assert serve.stop() == 0
    with Serve(consul.url, config='lameduck = "100ms"\n') as serve:
        assert serve.stop() == 0
        assert "stopping in 0.1 s" in serve.log


def test_hup_reads_the_token_again(consul: ConsulAgent, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    with Serve(consul.url, config=f'[consul]\ntoken_file = "{token}"\n') as serve:
        # As it was in size and time: only SIGHUP says that it is another.
        stamp = token.stat()
        token.write_text("other")
        os.utime(token, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        os.kill(serve.pid, signal.SIGHUP)
        serve.wait_for_line("SIGHUP: the token for Consul has been read again: it has changed")
        token.unlink()
        os.kill(serve.pid, signal.SIGHUP)
        serve.wait_for_line("SIGHUP: everything stays as it was: ")
        assert f"consul.token_file {token} cannot be read" in serve.log
        assert serve.status is None


def test_hup_reads_the_settings_again(consul: ConsulAgent) -> None:
    """Those of [dns] take effect in every worker, and in those that are started later."""
    register(consul, "steady", "10.9.9.9")

    def config(ttl: int, workers: int = 2) -> str:
        return f'workers = {workers}\n[dns.service_ttl]\n"*" = "{ttl}s"\n'

    def ttls() -> set[int]:
        replies = (ask(serve.port, "steady.service.consul") for _ in range(16))
        return {rrset.ttl for reply in replies for rrset in reply.answer}

    with Serve(consul.url, workers=None, config=config(5)) as serve:
        wait_until(lambda: ttls() == {5}, "the TTL of the file")
        serve.config_file.write_text(config(7))
        os.kill(serve.pid, signal.SIGHUP)
        serve.wait_for_line("SIGHUP: the new settings of [dns] and of the log are in use")
        wait_until(lambda: ttls() == {7}, "the new TTL")
        serve.config_file.write_text("[dns\n")
        os.kill(serve.pid, signal.SIGHUP)
        serve.wait_for_line("SIGHUP: everything stays as it was:")
        serve.config_file.write_text(config(7, workers=3))
        os.kill(serve.pid, signal.SIGHUP)
        serve.wait_for_line("SIGHUP: changed, but only used at the next start: workers")
        before = set(children_of(serve.pid))
        for victim in before:
            os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(set(children_of(serve.pid)) - before) == 2, "two new workers")
        wait_until(serve.is_ready, "ready again")
        assert ttls() == {7}


def test_a_closed_log_ends_nothing(consul: ConsulAgent) -> None:
    """`consuldns serve 2>&1 | head -1`: the line `ready` has nowhere to go."""
    serve = Serve(consul.url, wait_ready=False)
    serve.start_without_reader()
    try:
        wait_until(serve.is_ready, "ready")
        os.kill(children_of(serve.pid)[0], signal.SIGKILL)
        assert answers(ask(serve.port, "consul.service.consul")) == {"127.0.0.1"}
        assert serve.stop() == 0
    finally:
        serve.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_order_at_any_time(consul: ConsulAgent, number: signal.Signals) -> None:
    for text in ("listening on", "ready"):
        serve = Serve(consul.url, wait_ready=False)
        serve.start()
        serve.wait_for_line(text)
        assert serve.stop(number) == 0
        lines = [line for line in serve.lines if line != "ready" and "consuldns." not in line]
        assert lines == []
