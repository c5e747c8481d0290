"""What the control process tells a worker about the views, and the other way round.

These messages are the only thing that the two share. A worker that loses its link goes on with what
it has: no message is needed for an answer from memory.
"""

import msgspec

from consuldns.views.keys import ViewKey
from consuldns.views.model import AnyView
from consuldns.views.zone_records import ZoneChange


class _Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A message between control and worker."""


class Replaced(_Message, frozen=True):
    """A view has come, or has changed: take it in place of the one you had.

    `kept` as the reason of `Unavailable`: parts of it are older than this reading.
    """

    key: ViewKey
    view: AnyView
    kept: str = ""


class ZoneChanged(_Message, frozen=True):
    """The same for a large zone of which little has changed: change the view that you have."""

    key: ViewKey
    change: ZoneChange
    kept: str = ""


class Current(_Message, frozen=True):
    """The view that you have is what Consul has now (ends `Outdated`, answers `Need`)."""

    key: ViewKey


class Outdated(_Message, frozen=True):
    """Something changed that may concern these views: ask with `Need` before using one."""

    keys: tuple[ViewKey, ...]


class Unavailable(_Message, frozen=True):
    """The view cannot be renewed now: mark what comes of the old one stale, or SERVFAIL.

    Answers `Need`, and comes by itself when Consul refuses a view that was right so far. Until
    `Replaced` or `Current`.
    """

    key: ViewKey
    reason: str  # at most 64 octets, for the extended error's text


class Forgotten(_Message, frozen=True):
    """Nobody has asked for this view in a long time (or its service is gone): drop it."""

    key: ViewKey


class Contact(_Message, frozen=True):
    """Whether Consul is reachable. While it is not, answers are marked stale (RFC 8914, 3)."""

    reachable: bool


class Need(_Message, frozen=True):
    """A query waits for this view. Answered by Replaced, Current or Unavailable."""

    key: ViewKey


class Asked(_Message, frozen=True):
    """Views that answers were given from since the last such message: keep them fresh."""

    keys: tuple[ViewKey, ...]


ToWorker = Replaced | ZoneChanged | Current | Outdated | Unavailable | Forgotten | Contact
ToControl = Need | Asked
