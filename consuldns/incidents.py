"""What goes wrong, in a log that stays short: three mechanisms, each different in kind.

- `Incidents`: something is wrong now, and may be for long. A line when it begins or changes, a
  reminder now and then, a line when it is over.
- `FloodLog`: events that clients or an outage can cause by the thousand. At most one line of each
  kind in a while, with the number of those that were left out.
- `UnexpectedErrors`: exceptions that nobody raised on purpose. Each with its traceback, once.

What is a list of its own (records that cannot be read, problems of services) is compared with the
list before it where it is kept; see `consul.http.unread`.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

REMINDERS = (60.0, 3600.0)  # seconds until the first, and at most; the time doubles
MAX_TEXTS = 8  # of one incident between two reminders: a reason that flaps, or differs each time
MAX_INCIDENTS = 1_000  # at once; beyond, what begins is not logged
FLOOD_SECONDS = 1.0
MAX_TEXT = 200  # characters of an exception's text
MAX_UNEXPECTED = 100  # places in the code that are told apart

Clock = Callable[[], float]
"""Seconds that never go back."""


@dataclass(slots=True)
class _Incident:
    """`texts`: what has been logged since the last reminder."""

    due: float
    pause: float
    texts: set[str] = field(default_factory=set)
    left_out: int = 0


class Incidents:
    """What is wrong now, by the name of what it concerns."""

    def __init__(self, logger: logging.Logger, clock: Clock = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._current: dict[str, _Incident] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._current

    def began(self, name: str, text: object, consequence: str = "") -> bool:
        """It is so, or still is. Logs `name: text; consequence` if it is news or time to remind.

        Whether it is news. The consequence does not count: it may hold a figure.
        """
        now, said = self._clock(), str(text)
        known = self._current.get(name)
        if known is None:
            if len(self._current) >= MAX_INCIDENTS:
                return False
            known = self._current[name] = _Incident(now + REMINDERS[0], REMINDERS[0])
            known.texts.add(said)
            self._log(name, said, consequence)
            return True
        is_due = now >= known.due
        is_news = said not in known.texts and (is_due or len(known.texts) < MAX_TEXTS)
        if not is_due and not is_news:
            known.left_out += 1
            return False
        more = f" ({known.left_out} more like this before)" if known.left_out else ""
        known.left_out = 0
        if is_due:
            known.pause = min(2 * known.pause, REMINDERS[1])
            known.due = now + known.pause
            known.texts = {said}
        known.texts.add(said)
        self._log(name, said, consequence, more)
        return is_news

    def ended(self, name: str, text: str = "recovered") -> None:
        """It is over, if it was so at all. An empty text says nothing: what comes next is news."""
        if self._current.pop(name, None) is not None and text:
            self._logger.info("%s: %s", name, text)

    def _log(self, name: str, text: str, consequence: str, more: str = "") -> None:
        then = f"; {consequence}" if consequence else ""
        self._logger.warning("%s: %s%s%s", name, text, then, more)


class FloodLog:
    """A logger for events that can come in floods. Kinds are constants of the program, so few."""

    def __init__(
        self, logger: logging.Logger, clock: Clock = time.monotonic, seconds: float = FLOOD_SECONDS
    ) -> None:
        self._logger = logger
        self._clock = clock
        self._seconds = seconds
        self._quiet_until: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def hush(self, kind: str) -> None:
        """As if there had been a line of this kind just now."""
        self._quiet_until[kind] = self._clock() + self._seconds

    def warning(self, kind: str, message: str, *arguments: object) -> None:
        """Log a line, unless there was one of this kind a moment ago."""
        now = self._clock()
        if now < self._quiet_until.get(kind, now):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self.hush(kind)
        left_out = self._left_out.pop(kind, 0)
        if left_out:
            message += f" ({left_out} more like this before)"
        self._logger.warning(message, *arguments)


class UnexpectedErrors:
    """Exceptions that are bugs: the first of each kind and place with its traceback.

    Whatever it is, the process goes on; those that come again are a line a minute at most.
    """

    def __init__(self, logger: logging.Logger, clock: Clock = time.monotonic) -> None:
        self._logger = logger
        self._seen: set[str] = set()
        self._again = FloodLog(logger, clock, REMINDERS[0])

    def report(self, what: str, error: BaseException) -> None:
        """Log it. `what` was being done; the caller escapes what comes from a client in it."""
        kind = f"{type(error).__name__} at {place(error)}"
        text = f"{type(error).__name__}: {error}"[:MAX_TEXT]
        if kind not in self._seen and len(self._seen) < MAX_UNEXPECTED:
            self._seen.add(kind)
            self._again.hush(kind)
            self._logger.error(
                "%s: unexpected error, please report it: %s", what, text, exc_info=error
            )
        else:
            known = kind if kind in self._seen else ""
            self._again.warning(known, "%s: unexpected error, as before: %s", what, text)

    @contextmanager
    def contained(self, what: str) -> Iterator[None]:
        """Report an exception of the block, and go on after it."""
        try:
            yield
        except Exception as error:
            self.report(what, error)


def place(error: BaseException) -> str:
    """File and line where the exception was raised."""
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is None:
        return "an unknown place"
    return f"{innermost.tb_frame.f_code.co_filename}:{innermost.tb_lineno}"
