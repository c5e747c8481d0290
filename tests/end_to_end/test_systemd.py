"""The service as systemd runs it: sd_notify, the watchdog, sockets that systemd has opened."""

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.end_to_end.conftest import register
from tests.support.ask import answers, ask, rcode, wait_for_answer
from tests.support.consul_agent import ConsulAgent, free_ports, wait_until
from tests.support.consuldns_process import ConsuldnsProcess, Serve

# What systemd does before it starts the service: the sockets become descriptors 3 and 4.
LAUNCHER = """
import os, socket, sys
udp = socket.socket(type=socket.SOCK_DGRAM); udp.bind(("127.0.0.1", {port}))
tcp = socket.socket(); tcp.bind(("127.0.0.1", {port})); tcp.listen()
os.dup2(udp.fileno(), 13); os.dup2(tcp.fileno(), 14)
os.dup2(13, 3); os.dup2(14, 4)
os.environ.update(LISTEN_FDS="2", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="dns:dns")
os.execv(sys.executable, [sys.executable, "-m", "consuldns", *sys.argv[1:]])
"""


@contextmanager
def notified(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket that systemd listens on."""
    with (
        tempfile.TemporaryDirectory(prefix="systemd-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver,
    ):
        path = str(Path(folder) / "notify")
        receiver.bind(path)
        receiver.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        yield receiver


def until(receiver: socket.socket, text: str) -> str:
    """The first message that holds the text."""
    while True:
        message = receiver.recv(4096).decode()
        if text in message:
            return message


def test_what_systemd_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with notified(monkeypatch) as receiver, ConsulAgent() as consul, Serve(consul.url) as serve:
        assert until(receiver, "STATUS=ready").startswith("READY=1")
        os.kill(serve.pid, signal.SIGHUP)
        assert "MONOTONIC_USEC=" in until(receiver, "RELOADING=1")
        until(receiver, "READY=1")
        serve.stop()
        until(receiver, "STOPPING=1")


def test_a_consul_that_is_away_does_not_fail_the_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    (nowhere,) = free_ports(1)
    with (
        notified(monkeypatch) as receiver,
        Serve(f"http://127.0.0.1:{nowhere}", wait_ready=False) as serve,
    ):
        assert "STATUS=consul: no complete view yet" in until(receiver, "READY=1")
        assert rcode(ask(serve.port, "web.service.consul", "A")) == "SERVFAIL"


def test_the_watchdog_is_fed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    with notified(monkeypatch) as receiver, ConsulAgent() as consul, Serve(consul.url):
        for _ in range(3):
            until(receiver, "WATCHDOG=1")


def test_sockets_that_systemd_has_opened() -> None:
    (port,) = free_ports(1)
    program = (sys.executable, "-c", LAUNCHER.format(port=port))
    with ConsulAgent() as consul, Serve(consul.url, workers=2, program=program) as serve:
        register(consul, "web", "10.0.0.1")
        wait_for_answer(port, "web.service.consul", "A", "10.0.0.1")
        assert answers(ask(port, "web.service.consul", "A", tcp=True)) == {"10.0.0.1"}
        assert f"listening on 127.0.0.1:{port} (udp, tcp)" in serve.log
        os.kill(serve.pid, signal.SIGHUP)
        wait_until(lambda: answers(ask(port, "web.service.consul", "A")) == {"10.0.0.1"}, "HUP")


def test_sockets_of_one_kind_are_refused() -> None:
    port, admin = free_ports(2)
    launcher = LAUNCHER.format(port=port).replace('LISTEN_FDS="2"', 'LISTEN_FDS="1"')
    process = ConsuldnsProcess(
        ["serve", "--admin-addr", f"127.0.0.1:{admin}"], program=(sys.executable, "-c", launcher)
    )
    process.start()
    try:
        wait_until(lambda: process.status is not None, "the end")
        assert process.status == 3
        assert "not UDP and TCP both" in process.log
    finally:
        process.stop()
