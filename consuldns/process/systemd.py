"""Telling systemd how we are: the sd_notify protocol, one datagram a message."""

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Send a state such as `READY=1`; nothing happens where systemd does not ask for it.

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
        to.sendto(state.encode(), address)
