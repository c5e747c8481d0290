"""Reads one view of those that are read when needed; checks first that its name exists.

A name from a query gets no further than `source`, unless Consul itself has told it in a list.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from consuldns.consul.http import blocking, unread
from consuldns.consul.http.acl import Verdict, is_token_known, may_read
from consuldns.consul.http.client import Client, Reply
from consuldns.consul.http.unread import UnreadRecord, UnreadRecords
from consuldns.consul.kinds import Source, source_of
from consuldns.consul.watch import loss_guard
from consuldns.consul.watch.published import Publication
from consuldns.consul.watch.schedule import Area
from consuldns.errors import BadResponse, Denied, NotFound
from consuldns.views import keys, model
from consuldns.views.clusters import Clusters
from consuldns.views.keys import ViewKey
from consuldns.views.model import AnyView
from consuldns.views.sharing import SharedParts

EMPTY = "listed, but empty: does the token lack node:read or key:read?"


class ViewReader:
    """Makes views of Consul's replies, and refuses those that cannot be true.

    `local` is the datacenter of the agent. Every method raises NotFound if the lists do not hold
    the view's name, and another ConsulError if the view cannot be read, or cannot be believed.
    """

    def __init__(self, client: Client, publication: Publication, records: UnreadRecords) -> None:
        self._client = client
        self._publication = publication
        self._records = records
        self._parts = SharedParts()
        self._settling: dict[ViewKey, loss_guard.Settling] = {}
        self._partial: dict[ViewKey, str] = {}
        self.local = ""

    async def read(self, key: ViewKey, *, is_first: bool) -> AnyView:
        """One reading: quorum-checked if it is the first of a contact, else the leader's word.

        Not `?stale`: a follower that lags would show the state before the change that caused this
        reading, and the next reading comes with the next change only.
        """
        source = self.source(key)
        mode = "consistent" if is_first else ""
        try:
            reply = await blocking.read(self._client, source.request, mode)
        except Denied:
            if not (isinstance(key, keys.ClusterList) and await self._is_left_out(key)):
                raise
            return Clusters(0, ())
        view = await self._view(key, source, reply)
        if _is_empty(view, reply):
            # Deleted just now, as the list is about to say; or rights were lost.
            self.source(key)
            raise BadResponse(EMPTY)
        return view

    async def _is_left_out(self, key: keys.ClusterList) -> bool:
        """Whether clusters that may not be listed are not served: see `StandingLists`."""
        held = self._publication.get(key)
        is_known = isinstance(held, Clusters) and held.clusters
        return not is_known and await is_token_known(self._client, key.datacenter)

    async def follow(self, key: ViewKey) -> AsyncGenerator[AnyView | None, None]:
        """The view now, and after each change; None when it is listed, but empty.

        Emptiness is left to the lists: they tell that a service or a zone is gone, while an empty
        reply may as well come of lost rights. The query goes on, because what is asked for often
        and goes away mostly comes back.
        """
        source = self.source(key)
        async for reply in blocking.follow(self._client, source.request):
            view = await self._view(key, source, reply)
            yield None if _is_empty(view, reply) else view

    def partial(self, key: ViewKey) -> str:
        """Why parts of the view are older than its last reading, empty if none is."""
        return self._partial.get(key, "")

    def area(self, key: ViewKey) -> Area:
        """What tells that the view may have changed."""
        match key:
            case keys.ReverseZone():
                return Area.KEYS
            case keys.ServiceInstances(datacenter) if datacenter == self.local:
                return Area.SERVICES
        return Area.REMOTE

    def source(self, key: ViewKey) -> Source:
        """How to read the view."""
        match key:
            case keys.ServiceInstances(datacenter, service):
                return source_of(key, self.local, self._service_name(datacenter, service))
            case keys.ReverseZone(folder):
                self._require_reverse_zone(folder)
            case (
                keys.ServiceList(datacenter)
                | keys.NodeList(datacenter)
                | keys.ClusterList(datacenter)
            ):
                self._require_datacenter(datacenter)
            case _:
                raise BadResponse("this view is not read by itself")
        return source_of(key, self.local)

    def _service_name(self, datacenter: str, service: str) -> str:
        services = self._publication.services(datacenter)
        if services is None:
            raise BadResponse("the services of the datacenter are not known yet")
        name = services.by_name.get(service.encode())
        if name is None:
            raise NotFound(f"no service {service!r} in {datacenter}")
        return name

    def _require_reverse_zone(self, folder: str) -> None:
        zones = self._publication.get(keys.ReverseZoneList())
        if not isinstance(zones, model.ReverseZones):
            raise BadResponse("the reverse zones are not known yet")
        if folder not in zones.folders:
            raise NotFound(f"no reverse zone {folder!r}")

    def _require_datacenter(self, datacenter: str) -> None:
        known = self._publication.get(keys.DatacenterList())
        if not isinstance(known, model.Datacenters) or datacenter not in known.names:
            raise BadResponse("Consul knows no such datacenter")

    async def _view(self, key: ViewKey, source: Source, reply: Reply) -> AnyView:
        view, bad = source.view_of(reply)
        self._records.note(source.name, bad)
        if bad and isinstance(view, model.Instances) and not view.instances:
            raise BadResponse(f"not one instance can be read: {unread.describe(bad)}")
        match view:
            case model.ReverseEntries():
                view = self._with_unread(key, view, bad)
            case model.Services() | model.Nodes() | Clusters():
                await self._require_plausible(key, view, reply, bad)
        return self._parts.share(view)

    def _with_unread(
        self, key: ViewKey, view: model.ReverseEntries, bad: Sequence[UnreadRecord]
    ) -> AnyView:
        """The entries, with those that were known under keys that cannot be read now."""
        self._partial.pop(key, None)
        held, lost = self._publication.get(key), unread.listed(bad)
        if not (bad and isinstance(held, model.ReverseEntries)):
            return view
        present = {each.address for each in view.entries}
        kept = tuple(
            each
            for each in held.entries
            if each.address not in present and (lost is None or each.address in lost)
        )
        if kept:
            self._partial[key] = f"{len(bad)} keys of this reverse zone cannot be read"
        return model.ReverseEntries(view.index, (*view.entries, *kept))

    async def _require_plausible(
        self, key: ViewKey, view: loss_guard.List, reply: Reply, bad: Sequence[UnreadRecord]
    ) -> None:
        """Refuse a list of another datacenter that has lost more than can be believed at once."""
        held, new = self._publication.get(key), loss_guard.names(view)
        old = loss_guard.names(held) if isinstance(held, loss_guard.List) else frozenset()
        may_be_empty = isinstance(view, Clusters) and (reply.is_missing or not old)
        if not old - new and (new or may_be_empty):
            self._settling.pop(key, None)
            return
        if bad:
            raise BadResponse(f"records of this list cannot be read: {unread.describe(bad)}")
        verdict = await may_read(self._client, _datacenter(key), view, old - new)
        if verdict is Verdict.MISSING:
            raise BadResponse(f"{len(old - new)} names are hidden: the token may not read them")
        if not loss_guard.is_suspicious(old, new) and new:
            self._settling.pop(key, None)
            return
        now = asyncio.get_running_loop().time()
        settling = self._settling.setdefault(key, loss_guard.Settling(old - new, now))
        shows_itself = may_be_empty or loss_guard.shows_itself(old, new)
        if not (shows_itself and settling.agrees(old - new, now)):
            raise BadResponse("too much has vanished at once to be believed yet")
        del self._settling[key]


def _datacenter(key: ViewKey) -> str:
    assert isinstance(key, keys.ServiceList | keys.NodeList | keys.ClusterList)
    return key.datacenter


def _is_empty(view: AnyView, reply: Reply) -> bool:
    """Whether there is no instance or no key. Keys that name no address are keys all the same."""
    match view:
        case model.Instances(instances=found):
            return not found
        case model.ReverseEntries(entries=entries):
            return reply.is_missing or (not entries and reply.body.strip() in (b"[]", b"null"))
    return False
