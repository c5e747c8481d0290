"""What systemd and a service say to each other: sd_notify, the watchdog, sockets that it opened.

Everything here does nothing where systemd does not ask for it.
"""

import asyncio
import contextlib
import os
import socket
import time

_FIRST_DESCRIPTOR = 3  # of the sockets that are handed over: sd_listen_fds(3)
_MICROSECONDS = 1e6


def notify(*states: str) -> None:
    """Send states such as `READY=1`.

    Source: sd_notify(3). NOTIFY_SOCKET may name an abstract socket with a leading `@`.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    # systemd is restarting or busy, or there is no file descriptor: not worth an answer less.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.setblocking(False)
        to.sendto("\n".join(states).encode(), address)


def notify_reloading() -> None:
    """Settings are being read again; `READY=1` has to follow (Type=notify-reload)."""
    microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notify("RELOADING=1", f"MONOTONIC_USEC={microseconds}")


async def feed_watchdog() -> None:
    """Tell systemd's watchdog that the event loop runs, at half of its time.

    Source: sd_watchdog_enabled(3).
    """
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    is_ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    if not (microseconds.isdecimal() and int(microseconds) and is_ours):
        return
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(int(microseconds) / _MICROSECONDS / 2)


def inherited_sockets() -> list[socket.socket]:
    """The sockets that systemd has opened for this process (socket activation). To be called once.

    Our own processes must not take them for theirs: the variables are removed.
    """
    given = os.environ.pop("LISTEN_FDS", ""), os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    count, pid = given
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    found = []
    for number in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(count)):
        os.set_inheritable(number, False)
        found.append(socket.socket(fileno=number))
    return found
