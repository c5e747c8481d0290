"""One line of log when trouble begins, one when it is over, and none between."""

import logging

log = logging.getLogger("consuldns.consul")


class Incidents:
    """What is wrong now, by the name of what it concerns."""

    def __init__(self) -> None:
        self._current: set[str] = set()

    def began(self, name: str, text: object) -> None:
        """Report trouble, unless it is known."""
        if name not in self._current:
            self._current.add(name)
            log.warning("%s: %s", name, text)

    def ended(self, name: str) -> None:
        """Report that trouble is over, if there was any."""
        if name in self._current:
            self._current.discard(name)
            log.info("%s: in order again", name)
