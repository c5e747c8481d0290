"""The log of what is wrong with services: each problem once, until it is another or gone."""

import logging
from collections.abc import Mapping, Sequence

from consuldns.sync import report
from consuldns.sync.kubernetes.objects import ServiceKey

log = logging.getLogger(__name__)

MOST_LINES = 50  # of one plan


class ProblemLog:
    """Remembers what has been logged."""

    def __init__(self) -> None:
        self._logged: dict[ServiceKey | None, frozenset[str]] = {}

    @property
    def services(self) -> int:
        """How many services have problems, the settings counted as one."""
        return len(self._logged)

    def note(self, found: Mapping[ServiceKey | None, Sequence[str]]) -> None:
        """Log what is new. `found` has all that was looked at; of the rest nothing has changed.

        Whoever looks at the settings (None) has looked at everything.
        """
        if None in found:
            self._logged = {key: known for key, known in self._logged.items() if key in found}
        new = {
            key: [each for each in problems if each not in self._logged.get(key, ())]
            for key, problems in found.items()
        }
        for key, problems in found.items():
            if problems:
                self._logged[key] = frozenset(problems)
            else:
                self._logged.pop(key, None)
        lines = list(report.problems(new))
        for key, problem in lines[:MOST_LINES]:
            log.warning("%s%s: %s", "service=" if key else "", report.place(key), problem)
        if len(lines) > MOST_LINES:
            more = len(lines) - MOST_LINES
            log.warning("and %d problems more: `consuldns sync diff` prints all of them", more)
