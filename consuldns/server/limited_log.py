"""Log lines that a client or an outage can cause: at most one a second of each kind."""

import logging
from collections.abc import Callable


class LimitedLog:
    """A logger for events that can come in floods. What is left out is counted and told later.

    `clock` gives seconds that never go back. Kinds are constants of the program, so few.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float]) -> None:
        self._logger = logger
        self._clock = clock
        self._quiet_until: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def warning(self, kind: str, message: str, *arguments: object, trace: bool = False) -> None:
        """Log a line, unless there was one of this kind within the last second.

        With `trace` and at level DEBUG, the traceback of the current exception goes with it.
        """
        now = self._clock()
        if now < self._quiet_until.get(kind, now):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self._quiet_until[kind] = now + 1.0
        left_out = self._left_out.pop(kind, 0)
        if left_out:
            message += f" ({left_out} more like this before)"
        with_trace = trace and self._logger.isEnabledFor(logging.DEBUG)
        self._logger.warning(message, *arguments, exc_info=with_trace)
