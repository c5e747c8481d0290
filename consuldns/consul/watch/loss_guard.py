"""Whether what is missing in a list is gone, or merely not shown.

A token that lost its rights makes Consul answer 200 with `{}` or `[]`, and 404 in the KV tree, as
if everything had been deleted; so does a server that lost its data. What vanished is therefore
doubted when it is much at once, when Consul's index has not moved, or when the token may not read
it any more; a doubted loss is believed when later readings agree and Consul itself confirms it as
far as it can. Names that come are never held back, and one service that goes is gone at once.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from consuldns.consul import kinds
from consuldns.consul.http import acl, blocking, unread
from consuldns.consul.http.acl import Verdict
from consuldns.consul.http.client import Client, Reply
from consuldns.consul.http.unread import UnreadRecord
from consuldns.consul.kinds import Place
from consuldns.consul.watch.published import Published
from consuldns.errors import BadResponse, Denied
from consuldns.views import keys
from consuldns.views.base import ListView
from consuldns.views.keys import ViewKey

_log = logging.getLogger(__name__)

# Every Consul server registers itself under this name: who cannot see it, sees nothing.
CANARY = "consul"
SETTLING_SECONDS = 2.0
MIN_VANISHED = 5
MAX_LOOKS = 8  # at folders that have vanished, before all are believed to be gone


def is_suspicious(old: frozenset[str], new: frozenset[str]) -> bool:
    """Whether too much has vanished: all, the canary, or five names that are more than half."""
    vanished = old - new
    if not vanished:
        return False
    if not new or CANARY in vanished:
        return True
    return len(vanished) >= MIN_VANISHED and 2 * len(vanished) > len(old)


def shows_itself(old: frozenset[str], new: frozenset[str]) -> bool:
    """Whether a list of services or nodes shows what every Consul has; an empty one is never true.

    Consul's own service need not be visible to a token that never saw it.
    """
    return bool(new) and (CANARY in new or CANARY not in old)


class Settling:
    """Tells when a loss has lasted: nothing more vanished for `SETTLING_SECONDS`."""

    def __init__(self, vanished: frozenset[str], now: float) -> None:
        self._vanished, self._since = vanished, now

    def agrees(self, vanished: frozenset[str], now: float) -> bool:
        """Whether this reading agrees with the first, long enough after it."""
        if not vanished <= self._vanished:
            self._vanished, self._since = vanished, now
        return now - self._since >= SETTLING_SECONDS


@dataclass(frozen=True, slots=True)
class _Origin:
    """The datacenter that a list is of."""

    datacenter: str
    is_local: bool


class LossGuard:
    """Knows of each list whether something has vanished in it that may still be there.

    One for all lists: those that are always watched, where `lists` looks again while a loss is
    doubted, and those of other datacenters, which stay as they were until one of the readings that
    their age brings about is believed.
    """

    def __init__(self, client: Client, published: Published) -> None:
        self._client = client
        self._published = published
        self._doubted: dict[ViewKey, Settling] = {}
        self.losses_accepted = 0

    @property
    def held(self) -> int:
        """Of how many lists a loss is doubted now."""
        return len(self._doubted)

    def completed(
        self, key: ViewKey, new: ListView, bad: Sequence[UnreadRecord]
    ) -> tuple[ListView, str]:
        """The list, with what was known of the records that cannot be read, and then why.

        Raises a ConsulError if it is the first one, and lists nothing although it must.
        """
        old = self._known(key)
        if old is None and not (new.names_listed or new.may_be_empty):
            if bad:
                raise BadResponse(f"no record can be decoded: {unread.describe(bad)}")
            raise Denied("Consul returns none: the token needs service:read and node:read")
        if not bad or old is None:
            return new, ""
        listed = unread.listed(bad)
        known = old if listed is None else old.restricted_to(listed)
        if not known.names_listed:
            return new, ""
        return new.merged_with(known), f"{len(bad)} records of this list cannot be decoded"

    def _known(self, key: ViewKey) -> ListView | None:
        view = self._published.get(key)
        return view if isinstance(view, ListView) else None

    async def doubt(
        self, key: ViewKey, old: ListView, new: ListView, reply: Reply, local: str
    ) -> str:
        """Why what has vanished since an old list is not believed to be gone; empty if it is."""
        now = asyncio.get_running_loop().time()
        vanished = old.names_listed - new.names_listed
        if not vanished:
            self.forget(key)
            return ""
        origin = _Origin(key.datacenter_or(local), key.is_in(local))
        reason = f"{len(vanished)} {new.noun} vanished at once; kept until confirmed"
        settling = self._doubted.get(key)
        if settling is None:
            if not await self._is_doubtful(old, new, reply, origin):
                return ""
            self._doubted[key] = Settling(vanished, now)
        elif settling.agrees(vanished, now) and await self._may_believe(
            key, old, new, reply, origin
        ):
            self.losses_accepted += 1
            _log.warning("%d %s are gone, confirmed by a second read", len(vanished), new.noun)
            self.forget(key)
            return ""
        return reason

    def forget(self, key: ViewKey) -> None:
        """Nothing has vanished, or it is gone, or was not looked at for a while: begin anew."""
        self._doubted.pop(key, None)

    async def _is_doubtful(
        self, old: ListView, new: ListView, reply: Reply, origin: _Origin
    ) -> bool:
        """Whether something has vanished that may still be there.

        A deletion moves the index; a right that was taken away does not.
        """
        before, now = old.names_listed, new.names_listed
        if is_suspicious(before, now) or not reply.has_moved:
            return True
        # Without a token, rights are those of the anonymous one; of a list that is watched, the
        # index shows that they changed.
        if origin.is_local and not self._client.has_token:
            return False
        verdict = await acl.may_read(self._client, origin.datacenter, new, before - now)
        return verdict is Verdict.MISSING

    async def _may_believe(
        self, key: ViewKey, old: ListView, new: ListView, reply: Reply, origin: _Origin
    ) -> bool:
        """Whether all that can be checked speaks for the loss."""
        before, now = old.names_listed, new.names_listed
        verdict = await acl.may_read(self._client, origin.datacenter, new, before - now)
        if verdict is Verdict.MISSING:
            return False
        if not new.may_be_empty:
            if verdict is Verdict.GRANTED and self._client.has_token:
                return bool(now)
            return shows_itself(before, now)
        if not await self._are_missing(key, new, reply, before - now, origin):
            return False
        if verdict is Verdict.GRANTED:
            return True
        if verdict is Verdict.UNKNOWN and self._client.has_token:
            return False
        # A server that lost its data lost the services as well.
        services = self._published.trust(keys.ServiceList(origin.datacenter))
        return not services.is_stale if services is not None else not origin.is_local

    async def _are_missing(
        self,
        key: ViewKey,
        new: ListView,
        reply: Reply,
        vanished: frozenset[str],
        origin: _Origin,
    ) -> bool:
        """Whether Consul says of what is lost, asked for by itself, that it does not exist.

        Its list of folders is `[]` when there is none, which anything else could say.
        """
        members = kinds.kind_of(key).members
        if members is None:
            return bool(new.names_listed) or reply.is_missing
        for name in sorted(vanished)[:MAX_LOOKS]:
            zone = kinds.source(members(origin.datacenter, name), Place(origin.datacenter))
            if not (await blocking.read(self._client, zone.request, "consistent")).is_missing:
                return False
        return True
