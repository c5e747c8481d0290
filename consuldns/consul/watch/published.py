"""What the workers have been sent: every view that they hold, and what they know about it.

All messages go to all workers, so they all hold the same views as this does.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from heapq import nsmallest
from operator import itemgetter
from typing import cast

import msgspec

from consuldns.views import updates
from consuldns.views.keys import Key, V, ViewKey
from consuldns.views.model import AnyView
from consuldns.views.store import MissingView
from consuldns.views.zone_records import ZoneRecords

_log = logging.getLogger(__name__)

KEYS_IN_A_MESSAGE = 500
CHANGE_SHARE = 4  # a zone of which less than this part has changed is not sent as a whole
MAX_REASON = 64  # bytes of updates.Unavailable
LOG_AFTER_SECONDS = 2.0
LOG_EVERY_SECONDS = 10.0  # at most one line in this time, however causes change


class Trust(Enum):
    """What the workers know about a view that they hold.

                        mark_outdated
              CURRENT ----------------> OUTDATED
              |     ^                    ^    |
         keep |     | replace, confirm   |    | keep
              v     | (from any state)   |    v
              STALE ------------------------> DOUBTED
                        mark_outdated

    OUTDATED is asked for (`Need`) before it is used. STALE is used, and the answers are marked.
    DOUBTED is used as STALE is, once the worker has asked for it.
    """

    CURRENT = "as Consul has it, as far as is known"
    OUTDATED = "something changed that may concern it"
    STALE = "it could not be renewed, and is served as it was"
    DOUBTED = "it could not be renewed, and something changed"

    @property
    def is_stale(self) -> bool:
        """Whether the last attempt to renew the view has failed."""
        return self in (Trust.STALE, Trust.DOUBTED)

    @property
    def is_outdated(self) -> bool:
        """Whether the workers were told to ask before they use it."""
        return self in (Trust.OUTDATED, Trust.DOUBTED)


@dataclass(slots=True)
class _Held:
    """A view as the workers have it. While it is stale: why, since when, who logs that."""

    view: AnyView
    trust: Trust = Trust.CURRENT
    reason: str = ""
    since: float = 0.0
    is_logged: bool = False


@dataclass(frozen=True, slots=True)
class StaleView:
    """A view that could not be renewed, in words; for how long, and why."""

    label: str
    seconds: float
    reason: str


class Published:
    """The views as published. Times are seconds of one monotonic clock."""

    def __init__(
        self,
        publish: Callable[[updates.ToWorker], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publish = publish
        self._clock = clock
        self._held: dict[ViewKey, _Held] = {}
        self._needed: set[ViewKey] = set()
        self._log = _StaleLog()
        self.in_contact = False
        self.changes = 0  # of all views together, so far

    def get(self, key: Key[V]) -> V | None:
        """The view that the workers hold, outdated or not."""
        held = self._held.get(key)
        return None if held is None else cast(V, held.view)  # what `replace` took for this key

    def read(self, key: Key[V]) -> V:
        """The same, or MissingView."""
        view = self.get(key)
        if view is None:
            raise MissingView(key)
        return view

    def trust(self, key: ViewKey) -> Trust | None:
        """What the workers know about a view, None if they do not hold it."""
        held = self._held.get(key)
        return None if held is None else held.trust

    def is_needed(self, key: ViewKey) -> bool:
        """Whether a worker has asked for the view and got no answer yet."""
        return key in self._needed

    def need(self, key: ViewKey) -> None:
        """A worker needs a view: the next message about it is the answer."""
        self._needed.add(key)

    def replace(self, key: ViewKey, view: AnyView, *, kept: str = "") -> bool:
        """Publish a view that was read just now; whether it differs from the one before.

        One that differs in nothing but its index is confirmed instead. `kept`: why parts of it are
        older than that, see `keep`; the caller logs it.
        """
        old = self._held.get(key)
        if old is not None and _is_same(old.view, view):
            if kept:
                self.keep(key, kept, is_logged=True)
            else:
                self.confirm(key)
            return False
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("read, and another one than before: %s, index %d", key.label, view.index)
        held = self._held[key] = _Held(view)
        self._needed.discard(key)
        self.changes += 1
        if kept:
            self._make_stale(held, kept, is_logged=True)
        self._publish(_news(key, None if old is None else old.view, view, _shortened(kept)))
        return True

    def confirm(self, key: ViewKey) -> None:
        """Say that the view is right, if anybody waits to hear that, or has heard otherwise."""
        held = self._held.get(key)
        is_news = held is not None and held.trust is not Trust.CURRENT
        if held is not None:
            held.trust, held.reason = Trust.CURRENT, ""
        if is_news or key in self._needed:
            self._needed.discard(key)
            self._publish(updates.Current(key))

    def keep(self, key: ViewKey, reason: str, *, is_logged: bool = False) -> None:
        """Say that the view cannot be renewed: what was made from it is marked stale from now on.

        It ends with `replace` or `confirm`. `is_logged`: the caller logs it.
        """
        held = self._held.get(key)
        is_news = held is not None and self._make_stale(held, reason, is_logged=is_logged)
        if is_news or key in self._needed:
            self.refuse(key, reason)

    def _make_stale(self, held: _Held, reason: str, *, is_logged: bool) -> bool:
        """Whether that, or the reason, is new."""
        if held.trust.is_stale and held.reason == reason:
            return False
        if not held.trust.is_stale:
            held.since = self._clock()
        held.trust = Trust.DOUBTED if held.trust.is_outdated else Trust.STALE
        held.reason, held.is_logged = reason, is_logged
        return True

    def settle(self, key: ViewKey) -> None:
        """Repeat what was said last about a view, to those who wait for it."""
        held = self._held.get(key)
        if held is not None and held.trust.is_stale:
            self.refuse(key, held.reason)
        else:
            self.confirm(key)

    def mark_outdated(self, keys: Iterable[ViewKey]) -> None:
        """Say that these views may be wrong; once."""
        news = []
        for key in keys:
            held = self._held.get(key)
            if held is not None and not held.trust.is_outdated:
                held.trust = Trust.DOUBTED if held.trust.is_stale else Trust.OUTDATED
                news.append(key)
        for message in _outdated(news):
            self._publish(message)

    def refuse(self, key: ViewKey, reason: str) -> None:
        """Say that the view is unavailable now."""
        self._needed.discard(key)
        self._publish(updates.Unavailable(key, _shortened(reason)))

    def refuse_all(self, reason: str) -> None:
        """Answer everybody who waits."""
        for key in tuple(self._needed):
            self.refuse(key, reason)

    def forget(self, key: ViewKey) -> None:
        """Drop a view, here and in the workers."""
        if self._held.pop(key, None) is not None:
            self._publish(updates.Forgotten(key))

    def set_contact(self, *, reachable: bool) -> None:
        """Say whether Consul answers, if that is news."""
        if reachable != self.in_contact:
            self.in_contact = reachable
            self._publish(updates.Contact(reachable))

    def known(self) -> Iterator[updates.ToWorker]:
        """The messages that bring a fresh worker up to date."""
        yield updates.Contact(self.in_contact)
        held = tuple(self._held.items())
        for key, each in held:
            yield updates.Replaced(key, each.view, _shortened(each.reason))
        yield from _outdated([key for key, each in held if each.trust.is_outdated])

    def stale_count(self) -> int:
        """How many views could not be renewed."""
        return sum(each.trust.is_stale for each in self._held.values())

    def views(self) -> list[updates.Replaced]:
        """Every view that there is."""
        return [updates.Replaced(key, held.view) for key, held in self._held.items()]

    def kinds(self) -> Counter[str]:
        """How many views of each kind there are, by the name of the kind's key."""
        return Counter(type(key).__name__ for key in self._held)

    def stale(self, most: int) -> list[StaleView]:
        """The views that could not be renewed, those that wait longest first."""
        found = ((each.since, key) for key, each in self._held.items() if each.trust.is_stale)
        oldest = nsmallest(most, found, key=itemgetter(0))
        now = self._clock()
        return [StaleView(key.label, now - since, self._held[key].reason) for since, key in oldest]

    def log_stale(self, now: float) -> None:
        """To be called each second: a line of log when views are stale for a new cause."""
        causes: dict[str, list[ViewKey]] = {}
        for key, each in self._held.items():
            if each.trust.is_stale and not each.is_logged and each.since <= now - LOG_AFTER_SECONDS:
                causes.setdefault(each.reason, []).append(key)
        self._log.write(causes, now)

    def __len__(self) -> int:
        return len(self._held)


class _StaleLog:
    """Logs why views are stale, once for each cause, when it has lasted a little.

    An instance that is deregistered is missing in one reply a moment before another says that it
    is gone.
    """

    def __init__(self) -> None:
        self._logged: set[str] = set()
        self._quiet_until = float("-inf")

    def write(self, causes: dict[str, list[ViewKey]], now: float) -> None:
        """The views that are stale now by their cause."""
        if not causes and self._logged:
            _log.info("recovered: all views of Consul are up to date")
        self._logged &= causes.keys()
        fresh = [reason for reason in causes if reason not in self._logged]
        if fresh and now >= self._quiet_until:
            self._quiet_until = now + LOG_EVERY_SECONDS
            self._logged.update(fresh)
            keys = causes[fresh[0]]
            _log.warning(
                "%d views of Consul could not be renewed; answers from them are marked stale "
                "(%s first): %s",
                len(keys),
                keys[0].label,
                fresh[0],
            )


def _outdated(keys: Sequence[ViewKey]) -> Iterator[updates.Outdated]:
    """A change of the catalog concerns thousands of views; one message, so many of them."""
    for start in range(0, len(keys), KEYS_IN_A_MESSAGE):
        yield updates.Outdated(tuple(keys[start : start + KEYS_IN_A_MESSAGE]))


def _shortened(reason: str) -> str:
    return reason.encode(errors="replace")[:MAX_REASON].decode(errors="ignore")


def _news(key: ViewKey, old: AnyView | None, new: AnyView, kept: str) -> updates.ToWorker:
    """The message with a new view, or with what is new in it."""
    if isinstance(old, ZoneRecords) and isinstance(new, ZoneRecords):
        change = new.change_from(old)
        if CHANGE_SHARE * change.size < len(new.names):
            return updates.ZoneChanged(key, change, kept)
    return updates.Replaced(key, new, kept)


def _is_same(old: AnyView, new: AnyView) -> bool:
    return type(old) is type(new) and msgspec.structs.replace(old, index=new.index) == new
