"""Whether a list that was read is published: what has vanished in it must be gone, not hidden.

What vanished is held while it is doubtful: the list is published with it, and marked stale. A loss
is accepted when later readings agree and the token may read what was lost. See `guard` for what is
doubtful by itself, and `rights` for what Consul hides.
"""

import asyncio
import logging
from collections.abc import Callable

from consuldns.consul import kinds
from consuldns.consul.http import acl, blocking, unread
from consuldns.consul.http.acl import Verdict
from consuldns.consul.http.client import Client, Reply
from consuldns.consul.http.unread import UnreadRecords
from consuldns.consul.incidents import Incidents
from consuldns.consul.kinds import Source
from consuldns.consul.watch import loss_guard
from consuldns.consul.watch.loss_guard import List
from consuldns.consul.watch.on_demand import NeededViews
from consuldns.consul.watch.published import Publication
from consuldns.consul.watch.schedule import Area
from consuldns.errors import BadResponse, Denied
from consuldns.views import keys, model
from consuldns.views.clusters import Clusters
from consuldns.views.keys import ViewKey
from consuldns.views.model import AnyView

log = logging.getLogger("consuldns.consul")

HOLD_SECONDS = 1.0  # between two looks at a list that is held
MAX_LOOKS = 8  # at folders that have vanished, before all are believed to be gone

# Lists that may be empty: nobody need have written to the KV tree.
OF_THE_KV_TREE = (model.ReverseZones, Clusters)

NOUNS = {
    keys.ServiceList: "services",
    keys.NodeList: "nodes",
    keys.ReverseZoneList: "reverse zones",
    keys.ClusterList: "Kubernetes clusters and services",
}


class Acceptance:
    """Publishes the standing lists of the local datacenter, as far as they can be believed.

    `held` are the lists of which a loss is doubted now; `published` is called after each.
    """

    def __init__(
        self,
        client: Client,
        publication: Publication,
        needed: NeededViews,
        records: UnreadRecords,
        local: str,
        *,
        published: Callable[[ViewKey], None],
    ) -> None:
        self._client = client
        self._publication = publication
        self._needed = needed
        self._records = records
        self._local = local
        self._published = published
        self._incidents = Incidents()
        self.held: set[ViewKey] = set()
        self.losses_accepted = 0

    async def accept(self, key: ViewKey, source: Source, reply: Reply) -> None:
        """Publish a list that was read; takes as long as something in it is doubtful."""
        new, kept = self._decode(key, source, reply)
        old = self._publication.get(key)
        if old is None:
            if not loss_guard.names(new) and not isinstance(new, OF_THE_KV_TREE):
                raise Denied("Consul shows none: the token needs service:read and node:read")
        elif await self._is_doubtful(as_list(old), new, reply):
            new, kept = await self._hold(key, source, as_list(old), new)
        self.publish(key, new, kept)

    def publish(self, key: ViewKey, new: List, kept: str = "") -> None:
        """Publish a list, and say which of the needed views are gone with what it lacks."""
        old = self._publication.get(key)
        self._publication.replace(key, new, kept=kept)
        self._published(key)
        gone = (
            loss_guard.names(as_list(old)) - loss_guard.names(new)
            if old is not None
            else frozenset()
        )
        match new:
            case model.Services():
                self._needed.list_services(new)
                for name in gone:
                    self._needed.vanished(keys.ServiceInstances(self._local, name.lower()))
            case model.ReverseZones():
                for name in gone:
                    self._needed.vanished(keys.ReverseZone(name))

    def _decode(self, key: ViewKey, source: Source, reply: Reply) -> tuple[List, str]:
        """The list, with what was known of the records that cannot be read, and then why."""
        view, bad = source.view_of(reply)
        self._records.note(source.name, bad)
        new, old = as_list(view), self._publication.get(key)
        if not bad:
            return new, ""
        if old is None:
            if not loss_guard.names(new) and not isinstance(new, OF_THE_KV_TREE):
                raise BadResponse(f"not one record can be read: {unread.describe(bad)}")
            return new, ""
        listed = unread.listed(bad)
        known = as_list(old) if listed is None else loss_guard.restrict(as_list(old), listed)
        if not loss_guard.names(known):
            return new, ""
        return loss_guard.union(known, new), f"{len(bad)} records of this list cannot be read"

    async def _is_doubtful(self, old: List, new: List, reply: Reply) -> bool:
        """Whether something has vanished that may still be there.

        A deletion moves the index; a right that was taken away does not.
        """
        before, now = loss_guard.names(old), loss_guard.names(new)
        if not before - now:
            return False
        if loss_guard.is_suspicious(before, now) or not reply.has_moved:
            return True
        if not self._client.has_token:
            return False
        verdict = await acl.may_read(self._client, self._local, new, before - now)
        return verdict is Verdict.MISSING

    async def _hold(self, key: ViewKey, source: Source, old: List, new: List) -> tuple[List, str]:
        """Keep what has vanished until it is back, or known to be gone."""
        before, noun = loss_guard.names(old), NOUNS[type(key)]
        vanished = before - loss_guard.names(new)
        reason = f"{len(vanished)} {noun} vanished at once; kept until confirmed"
        self._incidents.began(noun, reason)
        self.held.add(key)
        settling = loss_guard.Settling(vanished, _now())
        while True:
            self.publish(key, loss_guard.union(old, new), reason)
            await asyncio.sleep(HOLD_SECONDS)
            reply = await blocking.read(self._client, source.request, "consistent")
            if reply.index != new.index:
                self._needed.moved(Area.SERVICES)
            new, kept = self._decode(key, source, reply)
            vanished = before - loss_guard.names(new)
            if not vanished:
                break
            if settling.agrees(vanished, _now()) and await self._may_believe(new, reply, before):
                self.losses_accepted += 1
                log.warning("%d %s are gone, confirmed by a second read", len(vanished), noun)
                break
        self.held.discard(key)
        self._incidents.ended(noun)
        return new, kept

    async def _may_believe(self, new: List, reply: Reply, before: frozenset[str]) -> bool:
        """Whether all that can be checked speaks for the loss."""
        now = loss_guard.names(new)
        verdict = await acl.may_read(self._client, self._local, new, before - now)
        if verdict is Verdict.MISSING:
            return False
        if not isinstance(new, OF_THE_KV_TREE):
            if verdict is Verdict.GRANTED and self._client.has_token:
                return bool(now)
            return loss_guard.shows_itself(before, now)
        if not await self._are_missing(new, reply, before - now):
            return False
        if verdict is Verdict.GRANTED:
            return True
        if verdict is Verdict.UNKNOWN and self._client.has_token:
            return False
        services, publication = keys.ServiceList(self._local), self._publication
        return publication.get(services) is not None and services not in publication.kept

    async def _are_missing(self, new: List, reply: Reply, vanished: frozenset[str]) -> bool:
        """Whether Consul says of what is lost, asked for by itself, that it does not exist.

        Its list of the root's folders is `[]` when there is none, which anything else could say.
        """
        if isinstance(new, Clusters):
            return bool(loss_guard.names(new)) or reply.is_missing
        for folder in sorted(vanished)[:MAX_LOOKS]:
            source = kinds.reverse_zone(self._local, folder)
            found = await blocking.read(self._client, source.request, "consistent")
            if not found.is_missing:
                return False
        return True


def as_list(view: AnyView) -> List:
    """The view, which is a list."""
    assert isinstance(view, List)
    return view


def _now() -> float:
    return asyncio.get_running_loop().time()
