"""Asks upstream servers for what the resolver misses, and keeps their replies while they last.

Questions that are equal share one query. A server that has failed is asked last until its pause is
over. All servers failing, or too many questions under way, is a failure that is remembered for a
moment: an attacker's questions must not be able to hold up others.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from cachetools import TLRUCache
from msgspec.structs import replace

from consuldns.backoff import Backoff
from consuldns.dns.answer import Outcome, Record
from consuldns.dns.forwarded import ForwardedQuestion, ForwardedReply, MissingReply
from consuldns.dns.policy import ForwardPolicy
from consuldns.errors import WireError
from consuldns.forward.exchange import SourcePorts, exchange
from consuldns.incidents import UnexpectedErrors
from consuldns.names import Labels, Suffixes
from consuldns.sockets import HostPort

_log = logging.getLogger(__name__)

MAX_IN_FLIGHT = 256
TOTAL_SECONDS = 5.0  # a stub resolver waits for 5 s before it asks again
FAILURE_SECONDS = 1.0  # that a failure is remembered for (RFC 2308 section 7: at most 5 minutes)
SHORTEST_SECONDS = 1.0  # that any reply is kept for: those who wait for it are to find it
MAX_CACHE = 8 << 20  # octets of a worker's cache, by estimate
RECORD_OCTETS = 300  # of a record in memory, by estimate
FIRST_PAUSE, LAST_PAUSE = 1.0, 30.0  # seconds, after a server has failed


@dataclass(slots=True)
class ForwardCounters:
    """What happened since the start; read at each scrape of the metrics."""

    forwarded: int = 0  # questions that were sent to an upstream server
    forward_retries: int = 0  # further servers that were asked for the same question
    forward_failures: int = 0  # questions that no server has answered
    forward_overload: int = 0  # questions that were not sent, too many being under way


@dataclass(slots=True)
class _Upstream:
    """A server, and when it may be asked before others again."""

    address: HostPort
    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST_PAUSE, LAST_PAUSE))
    avoid_until: float = 0.0


@dataclass(frozen=True, slots=True)
class _Kept:
    reply: ForwardedReply
    since: float
    until: float

    def at(self, now: float) -> ForwardedReply:
        """The reply with the time that has passed taken from its TTLs."""
        passed = int(now - self.since)
        if not passed:
            return self.reply
        return replace(
            self.reply,
            records=tuple(_older(each, passed) for each in self.reply.records),
            authority=tuple(_older(each, passed) for each in self.reply.authority),
        )

    @property
    def size(self) -> int:
        """Octets, by estimate."""
        return RECORD_OCTETS * (1 + len(self.reply.records) + len(self.reply.authority))


class Forwarder:
    """The replies of upstream servers. `arrived` is called when one has come, or has failed."""

    def __init__(self, policy: ForwardPolicy, arrived: Callable[[ForwardedQuestion], None]) -> None:
        self._arrived = arrived
        self._ports = SourcePorts()
        self._clock = asyncio.get_running_loop().time
        self._in_flight: dict[ForwardedQuestion, asyncio.Task[None]] = {}
        self.counters = ForwardCounters()
        self._errors = UnexpectedErrors(_log)
        self.set_policy(policy)

    def set_policy(self, policy: ForwardPolicy) -> None:
        """Ask these servers from now on."""
        self._policy = policy
        self._zones = Suffixes(policy.upstreams)
        self._upstreams: dict[Labels, list[_Upstream]] = {
            zone: [_Upstream(address) for address in addresses]
            for zone, addresses in policy.upstreams.items()
        }
        self._cache: TLRUCache[ForwardedQuestion, _Kept] = TLRUCache(
            MAX_CACHE,
            ttu=lambda _, kept, __: kept.until,
            timer=self._clock,
            getsizeof=lambda kept: kept.size,
        )

    def read(self, question: ForwardedQuestion) -> ForwardedReply:
        """The reply, or MissingReply."""
        kept = self._cache.get(question)
        if kept is None:
            raise MissingReply(question)
        return kept.at(self._clock())

    def ask(self, question: ForwardedQuestion) -> None:
        """Ask for a reply, unless that is under way."""
        if question in self._in_flight:
            return
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            self.counters.forward_overload += 1
            self._fail(question, "too many questions are being forwarded")
            asyncio.get_running_loop().call_soon(self._arrived, question)
            return
        self.counters.forwarded += 1
        self._in_flight[question] = asyncio.create_task(self._ask(question))

    def statistics(self) -> dict[str, int]:
        """The counters by name."""
        return asdict(self.counters)

    async def _ask(self, question: ForwardedQuestion) -> None:
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                await self._ask_in_turn(question)
        except TimeoutError:
            self._fail(question, "no upstream server answered in time")
        except Exception as error:  # whatever it is, those who wait are to hear of it
            self._errors.report("forwarding", error)
            self._fail(question, f"unexpected error: {type(error).__name__}")
        finally:
            del self._in_flight[question]
        self._arrived(question)

    async def _ask_in_turn(self, question: ForwardedQuestion) -> None:
        zone = self._zones.longest_of(question.name)
        problem = "there is no upstream server"
        for number, upstream in enumerate(self._order(zone)):
            self.counters.forward_retries += number > 0
            found = await self._ask_one(upstream, question)
            if isinstance(found, str):
                problem = f"{upstream.address}: {found}"
                upstream.avoid_until = self._clock() + upstream.backoff.next()
                continue
            upstream.backoff.reset()
            upstream.avoid_until = 0.0
            self._keep(question, *found)
            return
        self._fail(question, problem)

    def _order(self, zone: Labels | None) -> list[_Upstream]:
        """The servers of a zone in the order in which they are asked."""
        if zone is None:
            return []
        servers = list(self._upstreams[zone])
        if self._policy.strategy == "random":
            random.shuffle(servers)
        now = self._clock()
        return sorted(servers, key=lambda each: each.avoid_until > now)

    async def _ask_one(
        self, upstream: _Upstream, question: ForwardedQuestion
    ) -> tuple[ForwardedReply, int] | str:
        """The reply and the seconds that it may be kept for, or what is wrong."""
        try:
            async with asyncio.timeout(self._policy.timeout):
                received = await exchange(upstream.address, question, self._ports)
        except TimeoutError:
            return "timed out"
        except OSError as error:
            return error.strerror or type(error).__name__
        except WireError as error:
            return str(error)
        if received.reply is None:
            return f"answered with rcode {received.rcode}"
        return received.reply, received.ttl

    def _keep(self, question: ForwardedQuestion, reply: ForwardedReply, ttl: int) -> None:
        now = self._clock()
        self._cache[question] = _Kept(reply, now, now + max(ttl, SHORTEST_SECONDS))

    def _fail(self, question: ForwardedQuestion, reason: str) -> None:
        self.counters.forward_failures += 1
        now = self._clock()
        reply = ForwardedReply(Outcome.SERVFAIL, failure=reason)
        self._cache[question] = _Kept(reply, now, now + FAILURE_SECONDS)


def _older(record: Record, seconds: int) -> Record:
    return replace(record, ttl=max(record.ttl - seconds, 0))
