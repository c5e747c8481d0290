"""Telling systemd how we are: the sd_notify protocol, one datagram a message."""

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
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
        try:
            to.sendto(state.encode(), address)
        except OSError:
            return  # systemd is restarting: it asks again
