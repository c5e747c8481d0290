"""Log lines: one event a line, on stderr, as `time level logger message`.

The time is RFC 3339's, with offset. Where stderr is the journal of systemd, the time and the level
are left out and each line gets the journal's priority prefix instead (sd-daemon(3)). Texts are
written by the code that logs; what came from a packet is escaped there (`names.format_name`), and
whatever is not printable is escaped here once more, also in tracebacks, so that nobody from outside
can write a line of his own or speak to a terminal.

Whatever reads the log cannot stop the process: a line that stderr does not take at once (a pipe
whose reader is gone or stuck, a full disk, a terminal that is stopped or gone) is lost and counted,
and the number is logged as soon as stderr takes lines again.
"""

import json
import logging
import os
import select
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

Level = Literal["debug", "info", "warning", "error"]
Form = Literal["text", "json"]
Logged = Literal["off", "all", "denials", "errors"]
"""Which queries the query log has: denials are NXDOMAIN and answers without records."""
PRIORITIES = {logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
STDERR = 2
PIECE = 4096  # bytes (PIPE_BUF) that a pipe which is writable takes without blocking: pipe(7)


class OneLine(logging.Formatter):
    """A formatter whose records never span lines, but for a traceback, which is indented."""

    def __init__(self, *, journal: bool) -> None:
        self._journal = journal
        plain = "%(asctime)s %(levelname)s %(name)s %(message)s"
        super().__init__("%(name)s %(message)s" if journal else plain)

    def format(self, record: logging.LogRecord) -> str:
        """The record's line, and those of its traceback."""
        text = super().format(record)
        if not self._journal:
            return text
        prefix = f"<{PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in text.split("\n"))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """RFC 3339, in the local zone."""
        return (
            datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        )

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The record's line."""
        return _printable(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        """A traceback. Its last part is the text of the exception, which may quote a client."""
        text = super().formatException(ei)  # type: ignore[arg-type]
        return "\n".join(f"    {_printable(line)}" for line in text.splitlines())


class JsonLine(OneLine):
    """A formatter whose records are one JSON object each, on one line, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """`time`, `level`, `logger`, `message`, and `exception` if there is one."""
        content = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            content["exception"] = logging.Formatter.formatException(self, record.exc_info)
        line = json.dumps(content)
        return f"<{PRIORITIES.get(record.levelno, 6)}>{line}" if self._journal else line


def _printable(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in line
    )


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
        if self._lost and write(f"{self._lost} log lines were lost here: stderr was not writable"):
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


def is_journal(environment: Mapping[str, str]) -> bool:
    """Whether stderr is the journal: a variable alone is inherited by whatever is started in there.

    systemd.exec(5): device and inode of the stream, to be compared with the descriptor's.
    """
    try:
        status = os.fstat(STDERR)
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def configure(level: Level = "info", form: Form = "text") -> None:
    """Send the log of this process to stderr. It may be called again, with another level.

    Our own lines have this level. Libraries stay at info, as they log requests with their headers
    at debug, and credentials are among those.
    """
    handler = Stderr()
    formatter = JsonLine if form == "json" else OneLine
    handler.setFormatter(formatter(journal=is_journal(os.environ)))
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(number, logging.INFO), handlers=[handler], force=True)
    logging.getLogger("consuldns").setLevel(number)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request at INFO
