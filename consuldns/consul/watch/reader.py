"""Reads a view of those that are read on demand; checks first that its name exists.

A name from a query gets no further than `source`, unless Consul itself has listed it.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator

from consuldns.consul import kinds
from consuldns.consul.http import blocking, unread
from consuldns.consul.http.acl import is_token_known
from consuldns.consul.http.client import Client, Reply
from consuldns.consul.http.unread import UnreadRecords
from consuldns.consul.kinds import Place, Source, kind_of
from consuldns.consul.watch.loss_guard import LossGuard
from consuldns.consul.watch.published import Published
from consuldns.errors import BadResponse, Denied, NotFound
from consuldns.incidents import Incidents
from consuldns.views import keys, model
from consuldns.views.base import ListView, TreeView
from consuldns.views.keys import Key, V, ViewKey
from consuldns.views.model import AnyView
from consuldns.views.sharing import SharedParts
from consuldns.views.store import MissingView

_log = logging.getLogger(__name__)

LARGE_BODY = 1 << 18  # bytes from which decoding (up to 6 s) does not hold up everything else
EMPTY = "listed, but empty: does the token lack node:read or key:read?"

ReadView = tuple[AnyView, str]
"""A view, and why parts of it are older than its reading (empty if none is)."""


class ViewReader:
    """Makes views of Consul's replies, and refuses those that cannot be true.

    `local` is the datacenter of the agent. Every method raises NotFound if the lists do not hold
    the view's name, and another ConsulError if the view cannot be read, or cannot be believed.
    """

    def __init__(
        self, client: Client, published: Published, guard: LossGuard, records: UnreadRecords
    ) -> None:
        self._client = client
        self._published = published
        self._guard = guard
        self._records = records
        self._parts = SharedParts()
        self._unsupported = Incidents(_log)
        self.local = ""

    def source(self, key: Key[V]) -> Source[V]:
        """How to read the view, which the lists hold."""
        try:
            spelling = kind_of(key).proof(key, self._published)
        except MissingView as missing:
            raise BadResponse(f"{missing.key.label} are not known yet") from missing
        return kinds.source(key, Place(self.local, spelling, self._client.is_sorted))

    def forget(self, key: ViewKey) -> None:
        """The view is gone, and its records with it."""
        self._records.forget(key.label)

    def is_guess(self, key: ViewKey) -> bool:
        """Whether no list names the view, which `source` has let through."""
        try:
            return kinds.is_guess(key, self._published)
        except MissingView:
            return True

    async def read(self, key: ViewKey, *, is_first: bool) -> ReadView:
        """One reading: quorum-checked if it is the first of a session, else the leader's word.

        Not `?stale`: a follower that lags would show the state before the change that caused this
        reading, and the next reading comes with the next change only.
        """
        source, nothing = self.source(key), kind_of(key).nothing
        mode = "consistent" if is_first else ""
        if not is_first and (held := await self._unchanged(key)) is not None:
            return held, ""
        try:
            reply = await blocking.read(self._client, source.request, mode)
        except Denied:
            if not (isinstance(nothing, ListView) and await self._is_left_out(key)):
                raise
            return nothing, ""
        except BadResponse as error:
            if nothing is None or not (kind_of(key).may_be_unsupported and error.status == 400):
                raise
            self._unsupported.began("namespaces, partitions and sameness groups", error)
            return nothing, ""
        found = await self._view(source, reply)
        if kind_of(key).is_empty(found[0], reply):
            # Deleted just now, as the list is about to say; or rights were lost.
            self.source(key)
            raise BadResponse(EMPTY)
        if isinstance(found[0], model.Instances) and not found[0].instances:
            await self._confirm_empty(key)
        return found

    async def _unchanged(self, key: ViewKey) -> AnyView | None:
        """The view that is held, if it takes long to read and a quicker request shows no change.

        Rights that were given or taken move no index. What is lost so is kept in any case, and a
        zone that can be seen only now is new in the list.
        """
        held, trust = self._published.get(key), self._published.trust(key)
        if held is None or trust is None or trust.is_stale or not held.index:
            return None
        request = kind_of(key).probe(key, Place(self.local), held)
        if request is None:
            return None
        reply = await blocking.read(self._client, request, "")
        return held if reply.index == held.index else None

    async def _confirm_empty(self, key: ViewKey) -> None:
        """Raises BadResponse if nothing is found any more, because rights to read it were lost.

        That is so if instances that were found are listed, but cannot be read by their own names.
        """
        held = self._published.get(key)
        if isinstance(key, keys.ServiceInstances) or not isinstance(held, model.Instances):
            return
        for instance in held.instances[:1]:
            own = keys.ServiceInstances(instance.node.datacenter, instance.service.lower())
            try:
                source = self.source(own)
            except (NotFound, BadResponse):
                return  # not listed, or not a datacenter whose lists are read
            view, _ = source.view_of(await blocking.read(self._client, source.request, ""))
            if not view.instances:
                raise BadResponse(EMPTY)

    async def _is_left_out(self, key: ViewKey) -> bool:
        """Whether keys that may not be listed are not served: see `WatchedLists`."""
        held = self._published.get(key)
        is_known = isinstance(held, ListView) and held.names_listed
        return not is_known and await is_token_known(self._client, key.datacenter_or(self.local))

    async def watch(self, key: ViewKey) -> AsyncGenerator[ReadView | None, None]:
        """The view now, and after each change; None when it is listed, but empty.

        Emptiness is left to the lists: they show that a service or a zone is gone, while an empty
        reply may as well come of lost rights. The query goes on, because what is asked for often
        and goes away mostly comes back.
        """
        source, is_empty = self.source(key), kind_of(key).is_empty
        async for reply in blocking.follow(self._client, source.request):
            found = await self._view(source, reply)
            if isinstance(found[0], model.Instances) and not found[0].instances:
                await self._confirm_empty(key)
            yield None if is_empty(found[0], reply) else found

    async def _view(self, source: Source[AnyView], reply: Reply) -> ReadView:
        key, kept = source.key, ""
        if len(reply.body) < LARGE_BODY:
            view, bad = source.view_of(reply)
        else:
            view, bad = await asyncio.to_thread(source.view_of, reply)
        self._records.note(key.label, bad)
        held = self._published.get(key)
        if isinstance(view, ListView):
            view, kept = self._guard.completed(key, view, bad)
            if isinstance(held, ListView):
                doubt = await self._guard.doubt(key, held, view, reply, self.local)
                if doubt:
                    raise BadResponse(doubt)
        elif bad and isinstance(view, model.Instances) and not view.instances:
            raise BadResponse(f"no instance can be decoded: {unread.describe(bad)}")
        elif bad and isinstance(view, TreeView) and isinstance(held, type(view)):
            completed = view.completed(held, unread.listed(bad))
            kept = f"{len(bad)} keys cannot be decoded" if completed is not view else ""
            view = completed
        return self._parts.share(view), kept
