"""From a packet to a reply: the way of a query that the table of compiled answers does not know.

Nothing here waits. If the resolver lacks a view, the query is parked, the control process is asked
for the view, and the reply goes out when the view has come, or cannot be had, or is too late.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from random import Random

import msgspec
from msgspec.structs import replace

from consuldns.dns import resolver
from consuldns.dns.answer import Answer, ExtendedError, Needs, Outcome
from consuldns.dns.policy import Policy
from consuldns.dns.question import Question
from consuldns.names import format_name
from consuldns.server.limited_log import LimitedLog
from consuldns.server.listen import Transport
from consuldns.views import updates
from consuldns.views.keys import ViewKey
from consuldns.views.store import Views, ViewStore
from consuldns.wire.cache import Answers
from consuldns.wire.decode import Query, Rcode, Rejection, read_query
from consuldns.wire.encode import encode_rejection

Resolve = Callable[[Question, Views, Policy], Answer | Needs]
SendReply = Callable[[bytes], None]

PARKING_SECONDS = 2.0  # a stub resolver tries again after 5 s, most forwarders after 2 s
MAX_PARKED = 1_000
# After "cannot be had" a view is not asked for again for so long: one outage, few messages.
RETRY_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Unanswered(Enum):
    """Why there is no reply now."""

    DROPPED = "dropped"  # and there will be none
    PARKED = "parked"  # it will be sent when a view has come


@dataclass(slots=True)
class Counters:
    """What happened since the start; read at each scrape of the metrics.

    Queries that the table answered are those that no `misses` were counted for.
    """

    udp_queries: int = 0
    tcp_queries: int = 0
    misses: int = 0
    dropped: int = 0
    rejected: int = 0
    parked: int = 0
    expired: int = 0
    turned_away: int = 0  # too many were parked already
    failures: int = 0  # unexpected exceptions
    send_errors: int = 0
    tcp_connections: int = 0
    tcp_refused: int = 0
    replies: list[int] = field(default_factory=lambda: [0] * (max(Rcode) + 1))  # by rcode


class _Parked(msgspec.Struct, frozen=True):
    """A query that waits for a view. `deadline` in seconds of the handler's clock.

    The first query that waits for a view sets the time for all that do: it is control's to keep.
    """

    query: Query
    transport: Transport
    reply: SendReply
    deadline: float


class Handler:
    """Answers the queries of one worker from its views.

    `need` asks control for a view: called once for each view until `receive` gets the outcome.
    `clock` gives seconds that never go back. `receive`, `expire` and `rotate` are the worker's to
    call: when a message has come, several times a second, and every other second.
    """

    def __init__(
        self,
        store: ViewStore,
        policy: Policy,
        *,
        need: Callable[[ViewKey], None],
        randomness: Random,
        clock: Callable[[], float],
        resolve: Resolve = resolver.resolve,
    ) -> None:
        self.counters = Counters()
        self._store = store
        self._policy = policy
        self._resolve = resolve
        self._need = need
        self._clock = clock
        self._answers = Answers(randomness, self.counters.replies)
        self._parked: dict[ViewKey, list[_Parked]] = {}
        self._parked_count = 0
        self._unavailable: dict[ViewKey, tuple[str, float]] = {}  # reason, when to ask again
        self._used_as_is: dict[ViewKey, str] = {}  # why the view is older than it should be
        self._limited_log = LimitedLog(_log, clock)
        # The hot path, to be tried before `handle`: packet and whether it came over TCP.
        self.find = self._answers.find

    def handle(self, packet: bytes, transport: Transport, reply: SendReply) -> bytes | Unanswered:
        """The reply to a packet that `find` does not know; `reply` is called if it comes later."""
        self.counters.misses += 1
        query = read_query(packet)
        if query is None:
            self.counters.dropped += 1
            return Unanswered.DROPPED
        if isinstance(query, Rejection):
            self.counters.rejected += 1
            self.counters.replies[query.rcode] += 1
            return encode_rejection(packet, query)
        parked = _Parked(query, transport, reply, self._clock() + PARKING_SECONDS)
        return self._answer(parked)

    def receive(self, update: updates.ToWorker) -> None:
        """Take a message from control: views change, and parked queries may get their replies."""
        match update:
            case updates.Replaced(key, view, kept):
                self._store.replace(key, view)
                self._settle(key, kept)
            case updates.Current(key):
                self._store.use_as_is(key)
                self._settle(key)
            case updates.Outdated(key):
                self._store.mark_outdated(key)
                self._unavailable.pop(key, None)
                self._answers.drop(key)
            case updates.Unavailable(key, reason):
                self._unavailable[key] = (reason, self._clock() + RETRY_SECONDS)
                if self._use_as_is(key, reason):
                    self._answers.drop(key)  # they were fresh
                self._answer_parked(key)
            case updates.Forgotten(key):
                self._store.forget(key)
                self._settle(key)
            case updates.Contact(reachable):
                self._answers.mark_stale(not reachable)

    def expire(self) -> None:
        """End the waiting of queries whose time is up: with an old view, or with SERVFAIL."""
        now = self._clock()
        for key, waiting in list(self._parked.items()):
            if waiting[0].deadline > now:
                continue
            if self._use_as_is(key, "no data from Consul in time"):
                self._answer_parked(key)
                continue
            del self._parked[key]  # the next query asks control again
            for parked in waiting:
                self._parked_count -= 1
                self.counters.expired += 1
                parked.reply(self._fail(parked, "no data from Consul in time"))
        for key, (_, until) in list(self._unavailable.items()):
            if until <= now:
                del self._unavailable[key]

    def rotate(self) -> tuple[ViewKey, ...]:
        """The views that answers were given from since the last call, for `updates.Asked`."""
        return self._answers.rotate()

    def set_policy(self, policy: Policy) -> None:
        """Answer by other settings from now on."""
        self._policy = policy
        self._answers.clear()

    @property
    def parked_count(self) -> int:
        """Queries that wait for a view."""
        return self._parked_count

    def _use_as_is(self, key: ViewKey, reason: str) -> bool:
        """Go on with the view that there is, marked stale; False if there is none."""
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
        self._answers.drop(key)
        self._answer_parked(key)

    def _answer_parked(self, key: ViewKey) -> None:
        """Try the queries again that waited for a view; they may come to wait for another."""
        for parked in self._parked.pop(key, ()):
            self._parked_count -= 1
            outcome = self._answer(parked)
            if isinstance(outcome, bytes):
                parked.reply(outcome)

    def _answer(self, parked: _Parked) -> bytes | Unanswered:
        """The reply to a query, from the table or the resolver, or a place in the parking."""
        try:
            over_tcp = parked.transport is Transport.TCP
            found = self._answers.find_for(parked.query, over_tcp)
            if found is not None:
                return found
            answer = self._resolve(parked.query.question, self._store, self._policy)
            if isinstance(answer, Needs):
                return self._park(parked, answer.key)
            stale = self._used_as_is.keys() & answer.dependencies
            if stale:
                answer = _stale(answer, self._used_as_is[min(stale, key=repr)])
            return self._answers.add(parked.query, answer, over_tcp=over_tcp)
        except Exception as error:  # whatever it is, this client gets an answer and others do too
            self.counters.failures += 1
            self._limited_log.warning(
                "failure",
                "cannot answer %s type %d: %s: %s",
                format_name(parked.query.question.name),
                parked.query.question.type,
                type(error).__name__,
                error,
                trace=True,
            )
            return self._servfail(parked, None, "")

    def _park(self, parked: _Parked, key: ViewKey) -> bytes | Unanswered:
        """Let a query wait for a view, and ask for the view unless that has been done."""
        unavailable = self._unavailable.get(key)
        if unavailable is not None:
            return self._fail(parked, unavailable[0])
        if self._parked_count >= MAX_PARKED:
            self.counters.turned_away += 1
            return self._fail(parked, "too many queries wait for Consul")
        self._parked_count += 1
        self.counters.parked += 1
        if key in self._parked:
            self._parked[key].append(parked)
        else:
            self._parked[key] = [parked]
            self._need(key)
        return Unanswered.PARKED

    def _fail(self, parked: _Parked, reason: str) -> bytes:
        """SERVFAIL because of Consul: never an empty answer, never NXDOMAIN."""
        error = ExtendedError.NETWORK_ERROR if len(self._store) else ExtendedError.NOT_READY
        return self._servfail(parked, error, reason)

    def _servfail(self, parked: _Parked, error: ExtendedError | None, text: str) -> bytes:
        answer = Answer(
            Outcome.SERVFAIL, authoritative=False, extended_error=error, error_text=text
        )
        over_tcp = parked.transport is Transport.TCP
        return self._answers.add(parked.query, answer, over_tcp=over_tcp)


def _stale(answer: Answer, reason: str) -> Answer:
    """The answer, marked as made from old data."""
    if answer.extended_error is not None:
        return answer
    is_denial = answer.outcome is Outcome.NXDOMAIN
    error = ExtendedError.STALE_NXDOMAIN_ANSWER if is_denial else ExtendedError.STALE_ANSWER
    return replace(answer, extended_error=error, error_text=reason)
