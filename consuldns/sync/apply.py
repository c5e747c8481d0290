"""Doing a plan: transactions of at most 64 operations, each of which checks the lock first.

A transaction is done as a whole or not at all. If one operation of it is refused, what belongs to
the same service waits for another try, and the rest is sent again; nothing is removed of a service
whose additions failed.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from consuldns.consul.catalog import Catalog
from consuldns.consul.operations import (
    MAX_OPERATIONS,
    Lock,
    Operation,
    RemoveInstance,
    SetCheck,
    SetInstance,
    SetKey,
    SetNode,
)
from consuldns.errors import TransactionRefused
from consuldns.sync.existing.contents import Existing
from consuldns.sync.kubernetes.objects import ServiceKey
from consuldns.sync.planning.plan import Plan, Step

_log = logging.getLogger(__name__)

STEPS = MAX_OPERATIONS - 1  # the first operation is the check of the lock
MAX_OCTETS = 256 << 10  # Consul's limit for a transaction is 512 KiB
BURST = 2.0  # seconds' worth of transactions that may be sent at once


class Rate:
    """A token bucket: `per_second` transactions, and twice as many at once after a pause."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._tokens = per_second * BURST
        self._at = 0.0

    async def wait(self) -> None:
        """Wait until one more transaction may be sent."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._at:
            gained = (now - self._at) * self._per_second
            self._tokens = min(self._per_second * BURST, self._tokens + gained)
        self._at = now
        self._tokens -= 1
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / self._per_second)


@dataclass
class ApplyResult:
    """What became of a plan: operations done by kind; services that failed, with the reason.

    `index` is the latest that Consul gave to what was written.
    """

    done: Counter[str] = field(default_factory=Counter)
    transactions: int = 0
    index: int = 0
    failed: dict[ServiceKey | None, str] = field(default_factory=dict)


class Applier:
    """Applies plans under a lock, and keeps `existing` true to what was done."""

    def __init__(self, catalog: Catalog, rate: Rate) -> None:
        self._catalog, self._rate = catalog, rate

    async def apply(self, plan: Plan, existing: Existing, lock: Lock | None) -> ApplyResult:
        """Do the plan. Raises LockLost, and ConsulError if Consul cannot be reached.

        What was done until then is noted in `existing`; of the transaction that was on its way
        nobody knows, so read `existing` again after an error.
        """
        result = ApplyResult()
        for chunk in chunks(plan.steps):
            await self._send(chunk, existing, lock, result)
        return result

    async def _send(
        self, chunk: Sequence[Step], existing: Existing, lock: Lock | None, result: ApplyResult
    ) -> None:
        """Send a chunk; leave out what fails, until the rest is done."""
        while chunk := [step for step in chunk if step.service not in result.failed]:
            await self._rate.wait()
            result.transactions += 1
            try:
                indexes = await self._catalog.apply([step.operation for step in chunk], lock)
            except TransactionRefused as error:
                for position, reason in error.reasons:
                    step = chunk[position]
                    problem = f"{describe(step.operation)}: {reason}"
                    result.failed.setdefault(step.service, problem)
                if not error.reasons:
                    await self._bisect(chunk, error, existing, lock, result)
                    return
                continue
            for step, index in zip(chunk, indexes, strict=True):
                existing.apply(step.operation, step.service, index)
                result.done[type(step.operation).__name__] += 1
            result.index = max(result.index, *indexes)
            return

    async def _bisect(
        self,
        chunk: Sequence[Step],
        error: Exception,
        existing: Existing,
        lock: Lock | None,
        result: ApplyResult,
    ) -> None:
        """Consul does not say which operation it does not like: find it by halves."""
        if len(chunk) == 1:
            result.failed[chunk[0].service] = f"{describe(chunk[0].operation)}: {error}"
            return
        middle = len(chunk) // 2
        await self._send(chunk[:middle], existing, lock, result)
        await self._send(chunk[middle:], existing, lock, result)


def chunks(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """Steps in order, as many at a time as one transaction takes."""
    chunk: list[Step] = []
    octets = 0
    for step in steps:
        size = _size(step.operation)
        if chunk and (len(chunk) == STEPS or octets + size > MAX_OCTETS):
            yield chunk
            chunk, octets = [], 0
        chunk.append(step)
        octets += size
    if chunk:
        yield chunk


def _size(operation: Operation) -> int:
    """About how many bytes the operation takes in a transaction's body."""
    match operation:
        case SetKey(key=key):
            return 200 + len(key.path) + len(key.value) * 4 // 3
        case SetInstance(instance=instance):
            meta = sum(len(k) + len(v) + 6 for k, v in instance.meta.items())
            return 400 + len(instance.id) + meta + sum(len(tag) + 4 for tag in instance.tags)
        case SetNode():
            return 2000
        case _:
            return 600


def describe(operation: Operation) -> str:
    """The operation in words, for logs and for `sync diff`."""
    match operation:
        case SetNode(node=node):
            return f"set node {node.name}"
        case SetInstance(instance=each):
            return f"set instance {each.id} of {each.service} at {each.address}:{each.port}"
        case SetCheck(instance=each):
            return f"set check of {each.id} to {each.status}"
        case RemoveInstance(id=id_, service=service):
            return f"remove instance {id_} of {service}"
        case SetKey(key=key):
            return f"set key {key.path}"
        case _:
            name = operation.path if hasattr(operation, "path") else operation.node
            return f"remove {name}"
