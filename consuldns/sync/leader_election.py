"""One worker writes: the one whose Consul session holds the cluster's lock.

The session ends by itself when its worker is dead for 15 to 30 s, and the key vanishes with it. No
lock delay is needed, because every transaction checks the lock first: a leader that was paused and
comes back cannot write. For the same reason a worker may end the session of another that provably
is dead, a process of the same machine that does not exist any more, and need not wait.
"""

import asyncio
import contextlib
import dataclasses
import logging
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Never

import msgspec

from consuldns.backoff import Backoff
from consuldns.consul.catalog import Catalog
from consuldns.consul.operations import Lock, SetNode, StoredKey
from consuldns.descriptor import ClusterRecord
from consuldns.errors import ConsuldnsError, ConsulError, TransactionRefused
from consuldns.sync.kubernetes.troubles import Troubles
from consuldns.sync.ownership import CLUSTER_UID, Identity, former_uids, is_of_consul_k8s
from consuldns.untrusted import Unreadable, read_as

_log = logging.getLogger(__name__)

TTL = 15  # seconds; Consul takes 10 at least
RENEWAL = 5.0
RETRY = 1.0  # after Consul could not be reached
PATIENCE = 3.0  # of one blocking query for the lock; also how soon a dead holder is noticed


LOCK = "the lock in Consul"  # for people


class ForeignCluster(ConsuldnsError):
    """Another cluster has the name, or somebody else has the node."""


class WorkerName(msgspec.Struct, frozen=True):
    """Who a worker is: enough to tell, on the same machine, whether its process still runs.

    The process id means something within one PID namespace of one boot only, and is used again; the
    start time, in clock ticks since boot, tells one use from the next.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    started: int

    def __str__(self) -> str:
        """As it is shown to people."""
        return f"process {self.pid} on {self.host}"

    def is_dead(self) -> bool:
        """Whether it ran where we run, and does not any more."""
        us = this_worker()
        if (self.host, self.boot, self.namespace) != (us.host, us.boot, us.namespace):
            return False
        return bool(us.boot) and _start_time(self.pid) != self.started


def this_worker() -> WorkerName:
    """The name of this process."""
    boot = namespace = ""
    with contextlib.suppress(OSError):  # not Linux: then no worker ever is provably dead
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").stat().st_ino)
    pid = os.getpid()
    return WorkerName(socket.gethostname(), boot, namespace, pid, _start_time(pid))


def _start_time(pid: int) -> int:
    """When a process was started, 0 if there is none or it is but a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])


async def claim_node(catalog: Catalog, identity: Identity, *, adopt: bool) -> Identity:
    """Make sure that the cluster has its node; our identity, with the UIDs of former clusters.

    Raises ForeignCluster if it belongs to another cluster, unless that is to be adopted.
    """
    claimed = await recognised(catalog, identity, adopt=adopt)
    if await catalog.node(identity.node) is None:
        with contextlib.suppress(TransactionRefused):  # another worker of this cluster was faster
            await catalog.apply([SetNode(claimed.node_registration(), is_new=True)], None)
        claimed = await recognised(catalog, identity, adopt=adopt)
    if adopt and claimed.former:
        _log.warning("taking over what clusters %s have at %s", claimed.former, claimed.node)
    return claimed


async def recognised(catalog: Catalog, identity: Identity, *, adopt: bool) -> Identity:
    """Our identity, with the UIDs of former clusters of its name. Raises ForeignCluster.

    The node has them; if somebody removed it, the cluster's record has the latest.
    """
    node = await catalog.node(identity.node)
    former: tuple[str, ...] = ()
    if node is None:
        uid = await recorded_uid(catalog, identity)
        where = f"what is below {identity.root} in Consul"
    elif is_of_consul_k8s(node):
        raise ForeignCluster(
            f"node {node.name!r} in Consul belongs to consul-k8s, which would remove what is "
            "written there. Give this cluster another name with --cluster"
        )
    else:
        uid, former = node.meta.get(CLUSTER_UID, ""), former_uids(node)
        where = f"node {node.name!r} in Consul"
    if uid == identity.uid or (node is None and not uid):
        return dataclasses.replace(identity, former=former)
    if not adopt:
        owner = (
            f"belongs to another cluster (its UID is {uid})"
            if uid
            else "was not written by consuldns"
        )
        raise ForeignCluster(
            f"{where} {owner}; the UID of this cluster is {identity.uid}. If this cluster has "
            f"replaced that one, 'consuldns sync diff --adopt' shows what taking over would "
            f"change, and --adopt does it. If both exist, give this one another name with "
            f"--cluster. If that one is gone for good, 'consuldns sync purge --cluster "
            f"{identity.cluster}' removes what it left"
        )
    return dataclasses.replace(identity, former=tuple(filter(None, (uid, *former))))


async def recorded_uid(catalog: Catalog, identity: Identity) -> str:
    """The UID in the record of the cluster of this name, empty if there is none."""
    record, _ = await catalog.key(identity.record_key)
    if record is not None:
        with contextlib.suppress(Unreadable):
            return read_as(record.key.value, ClusterRecord).cluster_uid
    return ""


class LeaderElection:
    """Tries to lead for as long as it runs; `lock` is there while it does.

    `identity` is ours with the UIDs of former clusters, as of the latest term; `since` is the
    monotonic time at which it began; `tried` is set when it is known whether we lead at first;
    `on_change` is called whenever `lock` changes.
    """

    def __init__(
        self,
        catalog: Catalog,
        identity: Identity,
        on_change: Callable[[], None],
        *,
        adopt: bool = False,
        troubles: Troubles | None = None,
    ) -> None:
        self._catalog, self._adopt = catalog, adopt
        self._troubles = troubles or Troubles()
        self._worker = msgspec.json.encode(this_worker())
        self._backoff = Backoff(RETRY, RETRY)
        self._session = ""
        self.identity = identity
        self.lock: Lock | None = None
        self.since = float("inf")
        self.tried = asyncio.Event()
        self._on_change = on_change
        self._lost = asyncio.Event()

    async def run(self) -> Never:
        """Campaign, lead, campaign again; give the lock back at the end.

        Raises ForeignCluster.
        """
        try:
            while True:
                await self._campaign()
                await self.keep()
        finally:
            await self.resign()

    async def once(self) -> bool:
        """Try once to lead, and do not wait; whether we do. Raises ForeignCluster, ConsulError."""
        holder, _ = await self._catalog.key(self.identity.leader_key)
        return await self._try(holder)

    def lose(self) -> None:
        """The lock is gone: a transaction or a renewal said so."""
        if self.lock is not None:
            _log.warning("lost the lock: cluster=%s", self.identity.cluster)
        self._set(None)

    def _set(self, lock: Lock | None) -> None:
        self.lock = lock
        if lock is None:
            self._lost.set()
        else:
            self._lost.clear()
        self._on_change()

    async def resign(self) -> None:
        """Release the lock, so that a standby need not wait for the session to end."""
        session, self._session = self._session, ""
        held = self.lock is not None
        self._set(None)
        if not session:
            return
        with contextlib.suppress(ConsulError, TimeoutError):
            async with asyncio.timeout(3):
                if held:
                    await self._catalog.release(self.identity.leader_key, session)
                await self._catalog.destroy_session(session)
                _log.info("released the lock: cluster=%s", self.identity.cluster)

    async def _campaign(self) -> None:
        """Wait until the lock is free, and take it."""
        index, announced = 0, False
        while self.lock is None:
            try:
                holder, index = await self._catalog.key(
                    self.identity.leader_key, after=index, wait=PATIENCE
                )
                if not await self._try(holder) and holder is not None and not announced:
                    announced = True
                    _log.info("another worker is the leader, standing by: %s", _holder(holder))
                if index == 0 and self.lock is None:
                    await asyncio.sleep(RETRY)  # Consul named no index that could be waited on
                self._troubles.recovered(LOCK)
                self.tried.set()
            except ConsulError as error:
                index = 0
                self.tried.set()
                await self._trouble(error)

    async def _try(self, holder: StoredKey | None) -> bool:
        """Take the lock, if it is free, ours already, or held by a worker that is dead."""
        if holder is not None and holder.session and holder.session != self._session:
            name = await self._catalog.session_name(holder.session)
            if name is None or not _is_dead(name):
                return False
            _log.info("ending the session of a worker that no longer runs: %s", _holder(holder))
            await self._catalog.destroy_session(holder.session)
        self.identity = await claim_node(self._catalog, self.identity, adopt=self._adopt)
        if not self._session or not await self._catalog.renew_session(self._session):
            self._session = await self._catalog.create_session(
                self.identity.node, self._worker.decode(), TTL
            )
        key = self.identity.leader_key
        if not await self._catalog.acquire(key, self._worker, self._session):
            return False
        self.since = time.monotonic()
        self._set(Lock(key, self._session))
        _log.info(
            "this worker is the leader: cluster=%s session=%s", self.identity.cluster, self._session
        )
        return True

    async def keep(self) -> None:
        """Keep the session until it is gone. While Consul is away, nobody can say that it is."""
        while self.lock is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RENEWAL):
                    await self._lost.wait()
            try:
                if self.lock is not None and not await self._catalog.renew_session(self._session):
                    self.lose()
                self._troubles.recovered(LOCK)
            except ConsulError as error:
                await self._trouble(error)

    async def _trouble(self, error: ConsulError) -> None:
        self._troubles.failed(LOCK, error)
        await self._backoff.pause()


def _is_dead(name: str) -> bool:
    try:
        return read_as(name.encode(), WorkerName).is_dead()
    except Unreadable:
        return False


def worker_of(key: StoredKey) -> WorkerName | None:
    """The worker that holds the lock, None if the key does not say so."""
    try:
        return read_as(key.key.value, WorkerName)
    except Unreadable:
        return None


def _holder(key: StoredKey) -> str:
    return str(worker_of(key) or "unknown")
