"""From a packet to a reply: the life of a query that the response cache does not know.

Nothing here blocks. If the resolver lacks a view, the query is pending: the control process is
asked for the view, and the reply is sent when the view has come, is unavailable, or is too late.
"""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from time import perf_counter_ns, time

import msgspec
from msgspec.structs import replace

from consuldns.dns import resolver
from consuldns.dns.answer import Answer, ExtendedError, Outcome
from consuldns.dns.forwarded import Forwarded, ForwardedQuestion, Needs
from consuldns.dns.policy import Policy
from consuldns.dns.question import Question
from consuldns.incidents import UnexpectedErrors
from consuldns.names import format_name
from consuldns.server.clients import Clients
from consuldns.server.cookies import SECRET_SIZE, Cookies
from consuldns.server.durations import Durations
from consuldns.server.listen import TCP_IDLE_SECONDS, Transport
from consuldns.server.query_log import QueryLog
from consuldns.server.rate_limit import RateLimiter
from consuldns.views import updates
from consuldns.views.keys import ViewKey
from consuldns.views.store import Views, ViewStore
from consuldns.wire.cache import ResponseCache
from consuldns.wire.decode import KEEPALIVE, NSID, PADDING, Query, Rejection, read_query
from consuldns.wire.encode import encode_rejection, option, padding, with_options
from consuldns.wire.tally import Tally

Resolve = Callable[[Question, Views, Policy, Forwarded | None], Answer | Needs]
SendReply = Callable[[bytes], None]

# What a query can wait for: a view, or the reply of an upstream server.
Pending = ViewKey | ForwardedQuestion

PENDING_SECONDS = 2.0  # a stub resolver tries again after 5 s, most forwarders after 2 s
OUTDATED_SECONDS = 0.5  # a query waits for news of instances if there are some to answer with
MAX_PENDING = 1_000
RETRY_SECONDS = 1.0  # until a view that was unavailable is requested again
FORWARD_SECONDS = 6.0  # the forwarder gives up before
EXPIRY_SECONDS = 1.0  # of an answer whose TTLs run down
_KEEPALIVE_OPTION = option(KEEPALIVE, int(10 * TCP_IDLE_SECONDS).to_bytes(2))  # RFC 7828 3.1
_TIMED_OUT = "timed out waiting for Consul"
_NO_REPLY = "timed out waiting for an upstream server"

_log = logging.getLogger(__name__)


class Unanswered(Enum):
    """Why there is no reply now."""

    DROPPED = "dropped"  # and there will be none
    PENDING = "pending"  # it will be sent when what it waits for has come


@dataclass(slots=True)
class Counters:
    """What happened since the start; read at each scrape of the metrics.

    Queries that were not `misses` were answered from the response cache.
    """

    queries: dict[str, int] = field(default_factory=lambda: {each.value: 0 for each in Transport})
    misses: int = 0
    dropped: int = 0
    rejected: int = 0
    pending: int = 0  # had to wait
    timed_out: int = 0  # waited until the end
    overload: int = 0  # too many were pending already
    failures: int = 0  # unexpected exceptions
    send_errors: int = 0
    rate_limited: int = 0  # replies over UDP
    networks_held: int = 0  # by `overload`
    tcp_connections: int = 0
    tcp_refused: int = 0


class _Query(msgspec.Struct, frozen=True):
    """A query, how to reply to it, and until when. `deadline` in seconds of the handler's clock."""

    message: Query
    transport: Transport
    reply: SendReply
    deadline: float
    arrived: int  # nanoseconds of the clock that durations are measured by
    client: bytes  # packed address
    may_recurse: bool = True


@dataclass(slots=True)
class _Waiting:
    """The queries that wait for the same. `deadline` is that of the first, and of all."""

    deadline: float
    queries: list[_Query]


class Handler:
    """Answers the queries of one worker from its views.

    `need` requests what a query waits for: called once until `receive` gets the outcome, or
    `reply_arrived` is called. `forwarded` has the replies of upstream servers. `clock` gives
    seconds that never go back. `cookie_secret` is that of all workers (empty: one of its own). The
    worker calls `receive` with each message of control, `time_out` several times a second, and
    `rotate` every other second.
    """

    def __init__(
        self,
        store: ViewStore,
        policy: Policy,
        *,
        need: Callable[[Pending], None],
        randomness: Random,
        clock: Callable[[], float],
        forwarded: Forwarded | None = None,
        resolve: Resolve = resolver.resolve,
        cookie_secret: bytes = b"",
    ) -> None:
        self.counters = Counters()
        self._store = store
        self._policy = policy
        self._resolve = resolve
        self._forwarded = forwarded
        self._need = need
        self._clock = clock
        self.tally = Tally()
        self.durations = Durations()
        self.query_log: QueryLog | None = None
        self._cookie_secret = cookie_secret or os.urandom(SECRET_SIZE)
        self._set_limits(policy)
        self._cache = ResponseCache(randomness, self.tally, policy.messages)
        self._pending: dict[Pending, _Waiting] = {}
        self.pending_count = 0  # queries, whatever they wait for
        self._unavailable: dict[ViewKey, tuple[str, float]] = {}  # reason, when to ask again
        self._used_as_is: dict[ViewKey, str] = {}  # why the view is older than it should be
        self._errors = UnexpectedErrors(_log, clock)
        # The hot path, to be tried before `handle`: packet and whether it came over TCP.
        self.find = self._cache.find

    def find_from(self, packet: bytes, over_tcp: bool, client: bytes) -> bytes | None:
        """As `find`, for packets with a cookie as well. `client` is a packed address."""
        return self.find(packet, over_tcp) or self.cookies.find(self.find, packet, over_tcp, client)

    def handle(
        self,
        packet: bytes,
        transport: Transport,
        reply: SendReply,
        *,
        client: bytes,
        may_recurse: bool = True,
    ) -> bytes | Unanswered:
        """The reply to a packet that `find` does not know; `reply` is called if it comes later.

        `client` is a packed address. `may_recurse`: see `clients`; if not, `find` must not be
        asked.
        """
        self.counters.misses += 1
        query = read_query(packet)
        if query is None:
            self.counters.dropped += 1
            return Unanswered.DROPPED
        if isinstance(query, Rejection):
            self.counters.rejected += 1
            self.tally.counter("", 0, query.rcode)[transport.is_stream] += 1
            return encode_rejection(packet, query)
        arrived = perf_counter_ns()
        deadline = self._clock() + PENDING_SECONDS
        return self._measured(
            _Query(query, transport, reply, deadline, arrived, client, may_recurse)
        )

    def _measured(self, query: _Query) -> bytes | Unanswered:
        """The reply to a query, unless it has to wait; how long it took is noted."""
        outcome = self._answer(query)
        if isinstance(outcome, bytes):
            outcome = self._with_options(query, outcome)
            self.durations.observe(perf_counter_ns() - query.arrived, len(outcome))
        return outcome

    def _with_options(self, query: _Query, reply: bytes) -> bytes:
        """The reply, with the EDNS options that the query asks for."""
        edns = query.message.edns
        if edns is None or not (edns.cookie or edns.asks_for):
            return reply
        options, identity = b"", self._policy.messages.identity
        if edns.cookie:
            options += self.cookies.option(edns.cookie, query.client)
        if NSID in edns.asks_for and identity:
            options += option(NSID, identity)
        if KEEPALIVE in edns.asks_for and query.transport.is_stream:
            options += _KEEPALIVE_OPTION
        if PADDING in edns.asks_for and query.transport is Transport.TLS:
            options += padding(len(reply) + len(options))
        return with_options(reply, options)

    def receive(self, update: updates.ToWorker) -> None:
        """Take a message from control: views change, and pending queries may get their replies."""
        match update:
            case updates.Replaced(key, view, kept):
                self._store.replace(key, view)
                self._settle(key, kept)
            case updates.ZoneChanged(key, change, kept):
                self._store.change_zone(key, change)
                self._settle(key, kept)
            case updates.Current(key):
                self._store.use_as_is(key)
                self._settle(key)
            case updates.Outdated(outdated):
                for key in outdated:
                    self._store.mark_outdated(key)
                    self._unavailable.pop(key, None)
                    self._cache.drop(key)
            case updates.Unavailable(key, reason):
                self._unavailable[key] = (reason, self._clock() + RETRY_SECONDS)
                if self._use_as_is(key, reason):
                    self._cache.drop(key)  # they were fresh
                self._answer_pending(key)
            case updates.Forgotten(key):
                self._store.forget(key)
                self._settle(key)
            case updates.Contact(reachable):
                self._cache.mark_stale(not reachable)

    def reply_arrived(self, question: ForwardedQuestion) -> None:
        """There is a reply of an upstream server, or the reason why there is none."""
        self._answer_pending(question)

    def time_out(self) -> None:
        """Answer the queries that have waited for too long, from an old view or with SERVFAIL."""
        now = self._clock()
        self._cache.expire(now)
        for awaited, waiting in list(self._pending.items()):
            if waiting.deadline > now:
                continue
            reason = _NO_REPLY if isinstance(awaited, ForwardedQuestion) else _TIMED_OUT
            if not isinstance(awaited, ForwardedQuestion) and self._use_as_is(awaited, reason):
                self._answer_pending(awaited)
                continue
            del self._pending[awaited]  # the next query requests it again
            for query in waiting.queries:
                self.pending_count -= 1
                self.counters.timed_out += 1
                reply = self._fail(query, reason)
                query.reply(self._with_options(query, reply))
        for key, (_, until) in list(self._unavailable.items()):
            if until <= now:
                del self._unavailable[key]

    def rotate(self) -> tuple[ViewKey, ...]:
        """The views that answers were given from since the last call, for `updates.Asked`."""
        return self._cache.rotate()

    def entries(self) -> Iterator[tuple[str, int]]:
        """How many answers each part of the response cache holds."""
        return self._cache.sizes()

    def set_policy(self, policy: Policy) -> None:
        """Answer by other settings from now on."""
        self._policy = policy
        self._cache.set_messages(policy.messages)
        self._set_limits(policy)

    def _set_limits(self, policy: Policy) -> None:
        """What depends on who asks."""
        self.clients = Clients.of(policy.forward)  # None: all the same
        self.cookies = Cookies(self._cookie_secret, policy.messages.max_udp_size, time)
        self.limiter = RateLimiter.of(policy.rate_limit, self.cookies, self._clock)

    def _use_as_is(self, key: ViewKey, reason: str) -> bool:
        """Continue with the view that there is, marked stale; False if there is none."""
        if not self._store.use_as_is(key):
            return False
        self._used_as_is[key] = reason
        return True

    def _settle(self, key: ViewKey, kept: str = "") -> None:
        """A view has changed, or is known to be good, but for parts that are `kept`."""
        self._unavailable.pop(key, None)
        self._used_as_is.pop(key, None)
        if kept:
            self._used_as_is[key] = kept
        self._cache.drop(key)
        self._answer_pending(key)

    def _answer_pending(self, awaited: Pending) -> None:
        """Try the queries again that waited for this; they may come to wait for something else."""
        waiting = self._pending.pop(awaited, None)
        for query in waiting.queries if waiting is not None else ():
            self.pending_count -= 1
            outcome = self._measured(query)
            if isinstance(outcome, bytes):
                query.reply(outcome)

    def _answer(self, query: _Query) -> bytes | Unanswered:
        """The reply to a query, from the cache or the resolver, unless it has to wait."""
        try:
            over_tcp = query.transport.is_stream
            may_recurse = query.may_recurse
            found = self._cache.find_for(query.message, over_tcp, may_recurse=may_recurse)
            if found is not None:
                return found
            wants_recursion = query.message.recursion_desired and may_recurse
            forwarded = self._forwarded if wants_recursion else None
            answer = self._resolve(query.message.question, self._store, self._policy, forwarded)
            if isinstance(answer, Needs):
                return self._wait(query, answer.key)
            stale = self._used_as_is.keys() & answer.dependencies
            if stale:
                answer = _stale(answer, self._used_as_is[min(stale, key=repr)])
            if answer.is_recursive and not wants_recursion:
                return self._cache.reply(query.message, answer, over_tcp=over_tcp)
            expires_at = self._clock() + EXPIRY_SECONDS if answer.is_recursive else None
            return self._cache.add(query.message, answer, over_tcp=over_tcp, expires_at=expires_at)
        except Exception as error:  # whatever it is, this client gets an answer and others do too
            self.counters.failures += 1
            question = query.message.question
            self._errors.report(
                f"answering {format_name(question.name)} type {question.type}", error
            )
            return self._servfail(query, None, "")

    def _wait(self, query: _Query, awaited: Pending) -> bytes | Unanswered:
        """Let a query wait, and request what it waits for unless that has been done."""
        deadline = query.deadline
        if isinstance(awaited, ForwardedQuestion):
            deadline = self._clock() + FORWARD_SECONDS
        elif awaited in self._unavailable:
            return self._fail(query, self._unavailable[awaited][0])
        elif self._store.has_instances(awaited):
            deadline = min(deadline, self._clock() + OUTDATED_SECONDS)
        if self.pending_count >= MAX_PENDING:
            self.counters.overload += 1
            return self._fail(query, "too many queries are waiting for Consul")
        self.pending_count += 1
        self.counters.pending += 1
        if awaited in self._pending:
            self._pending[awaited].queries.append(query)
        else:
            self._pending[awaited] = _Waiting(deadline, [query])
            self._need(awaited)
        return Unanswered.PENDING

    def _fail(self, query: _Query, reason: str) -> bytes:
        """SERVFAIL because of Consul: never an empty answer, never NXDOMAIN."""
        error = ExtendedError.NETWORK_ERROR if len(self._store) else ExtendedError.NOT_READY
        return self._servfail(query, error, reason)

    def _servfail(self, query: _Query, error: ExtendedError | None, text: str) -> bytes:
        answer = Answer(
            Outcome.SERVFAIL, authoritative=False, extended_error=error, error_text=text
        )
        over_tcp = query.transport.is_stream
        return self._cache.reply(query.message, answer, over_tcp=over_tcp)


def _stale(answer: Answer, reason: str) -> Answer:
    """The answer, marked as made from old data."""
    if answer.extended_error is not None:
        return answer
    is_denial = answer.outcome is Outcome.NXDOMAIN
    error = ExtendedError.STALE_NXDOMAIN_ANSWER if is_denial else ExtendedError.STALE_ANSWER
    return replace(answer, extended_error=error, error_text=reason)
