"""One line of log when trouble begins, one when it is over, and none between."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("consuldns.consul")

MAX_BUGS = 100  # that are logged


class Incidents:
    """What is wrong now, by the name of what it concerns."""

    def __init__(self) -> None:
        self._current: set[str] = set()
        self._bugs: set[tuple[str, type[BaseException], int]] = set()

    def began(self, name: str, text: object) -> None:
        """Report trouble, unless it is known."""
        if name not in self._current:
            self._current.add(name)
            log.warning("%s: %s", name, text)

    def ended(self, name: str) -> None:
        """Report that trouble is over, if there was any."""
        if name in self._current:
            self._current.discard(name)
            log.info("%s: recovered", name)

    def unexpected(self, name: str, error: Exception) -> None:
        """Report an exception that nobody raised on purpose, with its traceback, once."""
        innermost = error.__traceback__
        while innermost is not None and innermost.tb_next is not None:
            innermost = innermost.tb_next
        bug = (name, type(error), innermost.tb_lineno if innermost is not None else 0)
        if bug not in self._bugs and len(self._bugs) < MAX_BUGS:
            self._bugs.add(bug)
            log.error("%s: a bug of consuldns, which goes on", name, exc_info=error)

    @contextmanager
    def contained(self, name: str) -> Iterator[None]:
        """Report an exception that nobody expected, and go on after the block."""
        try:
            yield
        except Exception as error:
            self.unexpected(name, error)
