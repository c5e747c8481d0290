"""Which signals mean what, and how a process is started that none of them may kill in its youth.

| signal | control, `sync run` | workers | sync worker of `serve` |
| --- | --- | --- | --- |
| TERM | stop in order | stop | stop in order |
| INT (Ctrl-C reaches the whole group) | stop in order | ignored | stop in order |
| HUP | read settings and credentials again | ignored | read credentials again |
| USR1 | log figures | log figures | log figures |
| USR2 | replace the workers, one after the other (`sync run`: ignored) | ignored | ignored |

Python needs some tenths of a second until it can have handlers of its own, and until then HUP,
USR1 and USR2 would kill it, and INT would be a traceback. So a process is started with all of them
blocked: what comes meanwhile waits until `handle`.
"""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

_log = logging.getLogger(__name__)


def handle(handlers: Mapping[signal.Signals, Callable[[], object]]) -> None:
    """From now on these are called in the running loop; the others of ours are ignored."""
    loop = asyncio.get_running_loop()
    for number in HANDLED:
        if number in handlers:
            loop.add_signal_handler(number, _contained(handlers[number]))
        else:
            signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)


def _contained(handler: Callable[[], object]) -> Callable[[], None]:
    def call() -> None:
        try:
            handler()
        except Exception:
            _log.exception("a signal could not be handled: please report it")

    return call


def command_line(kind: str, link_end: socket.socket) -> list[str]:
    """How one of our processes is started (see `cli.worker`); it inherits one end of the link.

    A standalone binary has no interpreter that could be called: it is `consuldns` itself.
    """
    is_binary = getattr(sys, "frozen", False)
    program = [sys.executable] if is_binary else [sys.executable, "-m", "consuldns"]
    return [*program, "worker", kind, "--link", str(link_end.fileno())]


async def start_process(
    command: Sequence[str], *, pass_fds: Sequence[int]
) -> asyncio.subprocess.Process:
    """Start a program that will call `handle`. Raises OSError."""
    # asyncio starts it before it waits for the first time. Not "as it was before" afterwards: two
    # of these may overlap.
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        return await asyncio.create_subprocess_exec(
            *command, pass_fds=pass_fds, stdin=asyncio.subprocess.DEVNULL
        )
    except RuntimeError as error:  # asyncio's thread that waits for its end: no more threads
        raise OSError(str(error)) from error
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
