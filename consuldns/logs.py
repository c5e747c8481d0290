"""Log lines: one event a line, on stderr, as `time level logger message`.

Under systemd the time and the level word are left out and the journal's priority prefix is given
instead (sd-daemon(3)). Texts are written by the code that logs; what came from a packet is escaped
there (`names.format_name`), and line breaks are escaped here once more, so that nobody from outside
can write a line of his own.

Whatever reads the log cannot stop the process: a line that stderr does not take at once (a pipe
whose reader is gone or stuck, a full disk, a terminal that is stopped or gone) is lost and counted,
and the number is told as soon as stderr takes lines again.
"""

import logging
import os
import select
from collections.abc import Callable

PRIORITIES = {logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
STDERR = 2
REMINDER_SECONDS = 60.0  # between lines of what goes on
PIECE = 4096  # octets (PIPE_BUF) that a pipe which is writable takes without blocking: pipe(7)


class OneLine(logging.Formatter):
    """A formatter whose records never span lines, but for a traceback."""

    def __init__(self, *, journal: bool) -> None:
        self._journal = journal
        plain = "%(asctime)s %(levelname)s %(name)s %(message)s"
        super().__init__("%(name)s %(message)s" if journal else plain)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The record's line."""
        line = super().formatMessage(record).replace("\n", "\\n").replace("\r", "\\r")
        return f"<{PRIORITIES.get(record.levelno, 6)}>{line}" if self._journal else line


class Stderr(logging.Handler):
    """Writes to stderr what it takes without waiting."""

    def __init__(self) -> None:
        super().__init__()
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            text = self.format(record)
        except Exception:  # a message that does not fit its arguments
            text = f"{record.levelname} {record.name} {record.msg!r} {record.args!r}"
        if self._lost and write(f"{self._lost} log lines were lost here: stderr did not take them"):
            self._lost = 0
        if not write(text):
            self._lost += 1


def write(text: str) -> bool:
    """Write a line to stderr; whether it took the whole of it."""
    data = (text + "\n").encode(errors="backslashreplace")
    poll = select.poll()
    poll.register(STDERR, select.POLLOUT)
    try:
        while data:
            if not any(event & select.POLLOUT for _, event in poll.poll(0)):
                return False
            data = data[os.write(STDERR, data[:PIECE]) :]
    except OSError:
        return False
    return True


class RepeatedLog:
    """Lines of something that may go on for ever: one when it begins or changes, then reminders.

    `clock` gives seconds that never go back.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float]) -> None:
        self._logger = logger
        self._clock = clock
        self._what = ""
        self._quiet_until = 0.0
        self._left_out = 0

    def warning(self, what: str, and_so: str, *, trace: bool = False) -> bool:
        """Log `what; and_so`, unless `what` was the last and that is not long ago.

        Whether `what` is new; if so and with `trace`, the traceback of the current exception goes
        with it.
        """
        now = self._clock()
        if what == self._what and now < self._quiet_until:
            self._left_out += 1
            return False
        left_out = f" ({self._left_out} lines like the last were left out)"
        more = left_out if self._left_out else ""
        is_new = what != self._what
        self._what, self._quiet_until, self._left_out = what, now + REMINDER_SECONDS, 0
        self._logger.warning("%s; %s%s", what, and_so, more, exc_info=trace and is_new)
        return is_new

    def forget(self) -> None:
        """It was over: what comes next is news."""
        self._what = ""


def configure() -> None:
    """Send the log of this process to stderr."""
    handler = Stderr()
    handler.setFormatter(OneLine(journal="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request at INFO
