"""What the workers have been told: every view that they hold, and every message that says so.

All messages go to all workers, so they all hold the same views as this does.
"""

import time
from collections.abc import Callable, Iterator

import msgspec

from consuldns.consul.watch.kept import KeptViews
from consuldns.views import keys, model, updates
from consuldns.views.keys import ViewKey
from consuldns.views.model import AnyView

MAX_REASON = 64  # octets of updates.Unavailable


class Publication:
    """The views as published. `waiting` are those that a worker has asked for and got no answer."""

    def __init__(
        self,
        publish: Callable[[updates.ToWorker], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publish = publish
        self._clock = clock
        self._views: dict[ViewKey, AnyView] = {}
        self._outdated: set[ViewKey] = set()
        self.waiting: set[ViewKey] = set()
        self.kept = KeptViews()
        self.in_contact = False

    def get(self, key: ViewKey) -> AnyView | None:
        """The view that the workers hold, outdated or not."""
        return self._views.get(key)

    def services(self, datacenter: str) -> model.Services | None:
        """The list of services of a datacenter, if it is there."""
        view = self._views.get(keys.ServiceList(datacenter))
        return view if isinstance(view, model.Services) else None

    def is_outdated(self, key: ViewKey) -> bool:
        """Whether the workers were told not to use the view without asking."""
        return key in self._outdated

    def replace(self, key: ViewKey, view: AnyView, *, kept: str = "") -> bool:
        """Publish a view that was read just now; whether it differs from the one before.

        One that differs in nothing but its index is confirmed instead. `kept`: why parts of it are
        older than that, see `keep`; the caller tells the log.
        """
        old = self._views.get(key)
        if old is not None and _is_same(old, view):
            if kept:
                self.keep(key, kept, is_logged=True)
            else:
                self.confirm(key)
            return False
        self._views[key] = view
        self._outdated.discard(key)
        self.waiting.discard(key)
        self.kept.discard(key)
        if kept:
            self.kept.add(key, kept, self._clock(), is_logged=True)
        self._publish(updates.Replaced(key, view, _shortened(kept)))
        return True

    def confirm(self, key: ViewKey) -> None:
        """Say that the view is right, if anybody waits to hear that, or has heard otherwise."""
        if self.kept.discard(key) or key in self._outdated or key in self.waiting:
            self._outdated.discard(key)
            self.waiting.discard(key)
            self._publish(updates.Current(key))

    def keep(self, key: ViewKey, reason: str, *, is_logged: bool = False) -> None:
        """Say that the view cannot be renewed: what was made from it is marked stale from now on.

        It ends with `replace` or `confirm`. `is_logged`: the caller tells the log.
        """
        is_news = key in self._views and self.kept.add(
            key, reason, self._clock(), is_logged=is_logged
        )
        if is_news or key in self.waiting:
            self.refuse(key, reason)

    def settle(self, key: ViewKey) -> None:
        """Say again what was said last about a view that is not read by itself."""
        if key in self.kept:
            self.refuse(key, self.kept.reason(key))
        else:
            self.confirm(key)

    def mark_outdated(self, key: ViewKey) -> None:
        """Say that the view may be wrong; once."""
        if key in self._views and key not in self._outdated:
            self._outdated.add(key)
            self._publish(updates.Outdated(key))

    def refuse(self, key: ViewKey, reason: str) -> None:
        """Say that the view is unavailable now."""
        self.waiting.discard(key)
        self._publish(updates.Unavailable(key, _shortened(reason)))

    def refuse_all(self, reason: str) -> None:
        """Answer everybody who waits."""
        for key in tuple(self.waiting):
            self.refuse(key, reason)

    def forget(self, key: ViewKey) -> None:
        """Drop a view, here and in the workers."""
        if self._views.pop(key, None) is not None:
            self.kept.discard(key)
            self._outdated.discard(key)
            self._publish(updates.Forgotten(key))

    def set_contact(self, *, reachable: bool) -> None:
        """Say whether Consul answers, if that is news."""
        if reachable != self.in_contact:
            self.in_contact = reachable
            self._publish(updates.Contact(reachable))

    def known(self) -> Iterator[updates.ToWorker]:
        """The messages that tell a fresh worker all of it."""
        yield updates.Contact(self.in_contact)
        for key, view in tuple(self._views.items()):
            yield updates.Replaced(key, view, _shortened(self.kept.reason(key)))
        for key in tuple(self._outdated):
            yield updates.Outdated(key)

    def __len__(self) -> int:
        return len(self._views)


def _shortened(reason: str) -> str:
    return reason.encode(errors="replace")[:MAX_REASON].decode(errors="ignore")


def _is_same(old: AnyView, new: AnyView) -> bool:
    return type(old) is type(new) and msgspec.structs.replace(old, index=new.index) == new
