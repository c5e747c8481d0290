"""`consuldns` as a standalone binary on a system that is not Linux, as far as Linux can play that.

Run as a program (see `binary`). What only Linux has is taken away before anything of consuldns is
imported, and the processes that it starts are this program again, since a binary has no interpreter
to call.
"""

import asyncio.unix_events  # the standard library stays as this system needs it
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

LINUX_ONLY = {
    os: ("sched_getaffinity", "pidfd_open", "eventfd", "pipe2", "memfd_create"),
    signal: ("sigtimedwait", "sigwaitinfo", "pidfd_send_signal"),
    select: ("epoll",),
    socket: (
        "SO_REUSEPORT",
        "SOCK_CLOEXEC",
        "SOCK_NONBLOCK",
        "MSG_NOSIGNAL",
        "IP_PKTINFO",
        "IPV6_PKTINFO",
        "IPV6_RECVPKTINFO",
        "TCP_KEEPIDLE",
        "TCP_USER_TIMEOUT",
        "TCP_QUICKACK",
    ),
}


def _no_proc(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and str(arguments[0]).startswith("/proc"):
        raise FileNotFoundError(2, "there is no /proc here", arguments[0])


def _leave_linux() -> None:
    for module, names in LINUX_ONLY.items():
        for name in names:
            with contextlib.suppress(AttributeError):  # of a newer Python
                delattr(module, name)
    sys.addaudithook(_no_proc)
    sys.platform = "elsewhere"


def binary(folder: Path) -> str:
    """The program as one executable file, made in a folder."""
    program = folder / "consuldns"
    program.write_text(f'#!/bin/sh\nBINARY=$0 exec {sys.executable} {__file__} "$@"\n')
    program.chmod(0o755)
    return str(program)


if __name__ == "__main__":
    assert asyncio.unix_events  # imported while this was Linux
    assert subprocess
    _leave_linux()
    sys.frozen = True  # type: ignore[attr-defined]
    sys.executable = os.environ["BINARY"]
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from consuldns.cli import main

    main(prog_name="consuldns")
