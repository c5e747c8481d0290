"""Log lines: one event a line, on stderr, as `time level logger message`.

Under systemd the time and the level word are left out and the journal's priority prefix is given
instead (sd-daemon(3)). Texts are written by the code that logs; what came from a packet is escaped
there (`names.format_name`), and line breaks are escaped here once more, so that nobody from outside
can write a line of his own.
"""

import logging
import os
import sys

PRIORITIES = {logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}


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


def configure() -> None:
    """Send the log of this process to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(journal="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request at INFO
