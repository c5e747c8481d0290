"""What a worker cannot do at the moment, said once for each cause, and again while it lasts.

An API server that is away breaks a watch of every kind, each with a text of its own; for people it
is one thing. So troubles are collected for a moment and said by cause. What is over is said, too.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from consuldns.errors import ConsuldnsError, ConsulError, KubernetesError
from consuldns.sync.kubernetes import errors

_log = logging.getLogger(__name__)

SETTLE = 0.3  # seconds: what has the same cause comes within this time, and
OWN = 10  # times that for kinds that are withheld, which are found out one by one
REMINDERS = (300.0, 3600.0)  # seconds until the first, and at most; the time doubles

CONSEQUENCES = {
    "services": "its services are not synced",
    "endpointslices": "endpoints, headless and NodePort services are not synced, and the state of "
    "cluster IPs is unknown",
    "nodes": "NodePort services are not synced, and addresses of endpoints and load balancers get "
    "no reverse names",
    "namespaces": "namespaces without services are unknown",
    "pods": "addresses of endpoints get no reverse names",
    "ingresses": "services that an Ingress may expose keep their addresses",
}
"""What follows if a kind of object may not be listed."""


@dataclass
class Trouble:
    """Something that goes wrong, for one subject: a kind of object, perhaps in one namespace."""

    error: ConsuldnsError
    since: float  # monotonic


@dataclass
class _Said:
    """A cause that people know of, and how long they are not reminded of it."""

    since: float
    pause: float
    subjects: list[str]


def cause(error: ConsuldnsError, subject: str) -> str:
    """What tells one cause from another. Some come to every kind alike, others are its own."""
    if isinstance(error, ConsulError):
        return "consul"
    shared = (errors.Unreachable, errors.Unauthorized, errors.WrongCluster, errors.Throttled)
    if isinstance(error, shared) or not isinstance(error, KubernetesError):
        return type(error).__name__
    return f"{type(error).__name__} {subject}"


def is_withheld(error: ConsuldnsError) -> bool:
    """Whether a kind may not be listed, or is not served: it is to be done without."""
    return isinstance(error, errors.Forbidden | errors.UnknownResource)


@dataclass
class Troubles:
    """The troubles of one worker, by subject."""

    settle: float = SETTLE
    current: dict[str, Trouble] = field(default_factory=dict)
    _said: dict[str, _Said] = field(default_factory=dict)
    _due: dict[str, float] = field(default_factory=dict)  # monotonic: when a cause is to be said
    _timer: asyncio.TimerHandle | None = None

    def failed(self, subject: str, error: ConsuldnsError) -> None:
        """Something does not work; it may have been reported before."""
        known, each, now = self.current.get(subject), cause(error, subject), time.monotonic()
        self.current[subject] = Trouble(error, known.since if known else now)
        if each not in self._said:
            wait = self.settle * (OWN if is_withheld(error) else 1)
            self._due.setdefault(each, now + wait)
            self._look_in(wait)

    def recovered(self, subject: str) -> None:
        """It works again, or still does."""
        if self.current.pop(subject, None) is not None:
            self._look_in(self.settle)

    def _look_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is None or self._timer.when() > loop.time() + seconds:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_later(max(seconds, 0.0), self.say)

    def say(self, *, at_once: bool = False) -> None:
        """Say what is new, what is over, and remind of what lasts; `at_once`: wait for no more."""
        self._timer = None
        now = time.monotonic()
        by_cause: dict[str, list[str]] = {}
        for subject, trouble in self.current.items():
            by_cause.setdefault(cause(trouble.error, subject), []).append(subject)
        self._say_what_is_over(by_cause, now)
        self._due = {each: at for each, at in self._due.items() if each in by_cause}
        withheld = {e for e, of in by_cause.items() if is_withheld(self.current[of[0]].error)}
        due = {each for each, at in self._due.items() if at_once or now >= at}
        if due & withheld:
            due |= withheld & self._due.keys() - self._said.keys()  # in one line
        for each in due - withheld:
            self._say_one(by_cause[each], now, each)
        if due & withheld:
            self._say_withheld([s for each in due & withheld for s in by_cause[each]])
        for each in due:
            self._note_said(each, by_cause[each], now)
        for each in self._said:
            self._said[each].subjects = sorted({*self._said[each].subjects, *by_cause[each]})
        if self._due:
            self._look_in(min(self._due.values()) - now)

    def _say_what_is_over(self, by_cause: Mapping[str, list[str]], now: float) -> None:
        for each in self._said.keys() - by_cause.keys():
            over = self._said.pop(each)
            well = [subject for subject in over.subjects if subject not in self.current]
            if well:  # else they have another trouble now
                _log.info("watching %s again, after %.0f s", listed(well), now - over.since)

    def _note_said(self, each: str, subjects: list[str], now: float) -> None:
        first, longest = REMINDERS
        before = self._said.get(each)
        pause = min(2 * before.pause, longest) if before is not None else first
        since = min(self.current[subject].since for subject in subjects)
        self._said[each] = _Said(since, pause, subjects)
        self._due[each] = now + pause

    def _say_one(self, subjects: list[str], now: float, each: str) -> None:
        first = self.current[subjects[0]]
        lasting = f" for {now - first.since:.0f} s" if each in self._said else ""
        _log.warning(
            "cannot watch %s%s, keeping the last known state: %s",
            listed(subjects), lasting, first.error,
        )  # fmt: skip

    def _say_withheld(self, subjects: list[str]) -> None:
        first = self.current[subjects[0]]
        _log.warning(
            "cannot list %s, going on without (%s); removals that depend on it wait. %s",
            listed(subjects),
            "; ".join(consequences(subjects)),
            first.error,
        )


def consequences(subjects: Iterable[str]) -> list[str]:
    """What follows if these may not be listed, in words, each once."""
    kinds = dict.fromkeys(subject.partition(" ")[0] for subject in subjects)
    return [
        f"without {kind}, {CONSEQUENCES.get(kind, 'what depends on them is not synced')}"
        for kind in kinds
    ]


def listed(subjects: Iterable[str]) -> str:
    """Subjects for people: `nodes, namespaces`."""
    return ", ".join(sorted(subjects))
