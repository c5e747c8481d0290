"""The views that could not be renewed, and are served as they were: which, why, since when.

A view that Consul refuses, or gives in a way that cannot be believed or read, stays as it is. How
many there are is a metric; the log says it once for each cause, when it has lasted a little: an
instance that is deregistered is missing in one reply a moment before another says that it is gone.
"""

import logging
from dataclasses import dataclass

from consuldns.views.keys import ViewKey

log = logging.getLogger("consuldns.consul")

LOG_AFTER_SECONDS = 2.0
LOG_EVERY_SECONDS = 10.0  # at most one line in so long, however causes change


@dataclass(frozen=True, slots=True)
class _Kept:
    reason: str
    since: float
    is_logged: bool


class KeptViews:
    """Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._views: dict[ViewKey, _Kept] = {}
        self._logged: set[str] = set()
        self._quiet_until = float("-inf")

    def __len__(self) -> int:
        return len(self._views)

    def __contains__(self, key: ViewKey) -> bool:
        return key in self._views

    def reason(self, key: ViewKey) -> str:
        """Why the view was kept, empty if it was not."""
        kept = self._views.get(key)
        return kept.reason if kept is not None else ""

    def add(self, key: ViewKey, reason: str, now: float, *, is_logged: bool) -> bool:
        """The view was kept; whether that, or the reason, is new.

        `is_logged`: somebody else tells the log.
        """
        before = self._views.get(key)
        if before is not None and before.reason == reason:
            return False
        self._views[key] = _Kept(reason, before.since if before is not None else now, is_logged)
        return True

    def discard(self, key: ViewKey) -> bool:
        """The view is as it should be, or forgotten; whether it was not before."""
        return self._views.pop(key, None) is not None

    def log(self, now: float) -> None:
        """To be called each second: a line when views are kept for a new cause, one at the end."""
        causes: dict[str, list[ViewKey]] = {}
        for key, kept in self._views.items():
            if kept.since <= now - LOG_AFTER_SECONDS and not kept.is_logged:
                causes.setdefault(kept.reason, []).append(key)
        if not causes and self._logged:
            log.info("all views of Consul are renewed again")
        self._logged &= causes.keys()
        fresh = [reason for reason in causes if reason not in self._logged]
        if fresh and now >= self._quiet_until:
            self._quiet_until = now + LOG_EVERY_SECONDS
            self._logged.update(fresh)
            keys = causes[fresh[0]]
            log.warning(
                "%d views of Consul are kept as they were, and answers from them marked stale "
                "(%s first): %s",
                len(keys),
                _described(keys[0]),
                fresh[0],
            )


def _described(key: ViewKey) -> str:
    name = type(key).__name__
    given = ", ".join(repr(getattr(key, each)) for each in key.__struct_fields__)
    return f"{name}({given})"
