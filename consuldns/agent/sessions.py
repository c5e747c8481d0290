"""Sessions: they hold locks, and end with their node, with their checks, or by their TTL."""

import uuid
from collections.abc import Callable

import msgspec

from consuldns.agent.catalog import Catalog
from consuldns.agent.kv import KeyValues
from consuldns.agent.records import CRITICAL, Refused, ServiceCheck, Session, consul_name, stamped
from consuldns.agent.tables import Database, Table, Topic
from consuldns.durations import NANOSECONDS, format_duration, parse_duration

SESSIONS: Topic = ("sessions",)
MIN_TTL, MAX_TTL = 10.0, 86_400.0
"""Seconds that a TTL may last (Consul's `session_ttl_min` is a setting there)."""
TTL_FACTOR = 2
"""Consul ends a session after twice its TTL without a renewal."""
DEFAULT_LOCK_DELAY = 15 * NANOSECONDS
DEFAULT_CHECK = "serfHealth"


class SessionRequest(msgspec.Struct, frozen=True, rename=consul_name, kw_only=True):
    """The body of `/v1/session/create`; unlike elsewhere, unknown fields are no error."""

    name: str = ""
    node: str = ""
    lock_delay: str | int | None = None
    behavior: str = ""
    ttl: str = ""
    checks: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    node_checks: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    service_checks: list[ServiceCheck] | None = None


class Sessions:
    """The sessions. Ids are UUIDs."""

    def __init__(
        self,
        database: Database,
        catalog: Catalog,
        kv: KeyValues,
        clock: Callable[[], float],
        ttl_min: float = MIN_TTL,
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._kv = kv
        self._clock = clock
        self._ttl_min = ttl_min
        self._sessions: Table[str, Session] = database.table()
        self._deadlines: dict[str, float] = {}

    def get(self, id_: str) -> Session | None:
        """A session by id. Raises Refused for what is no UUID."""
        if len(id_) != 36:
            raise Refused("failed session lookup: index error: UUID must be 36 characters")
        return self._sessions.get(id_)

    def require(self, id_: str) -> None:
        """Raises Refused unless there is such a session."""
        if not id_:
            raise Refused("missing session")
        if self.get(id_) is None:
            raise Refused(f'invalid session "{id_}"')

    def all(self) -> list[Session]:
        """All sessions, in the order of their ids."""
        return sorted(self._sessions.values(), key=lambda session: session.id)

    def create(self, wanted: SessionRequest, own_node: str) -> Session:
        """A new session on a node, by default on the agent's own. Raises Refused."""
        if wanted.behavior not in ("", "release", "delete"):
            raise Refused(f"Invalid Behavior setting '{wanted.behavior}'")
        ttl = self._checked_ttl(wanted.ttl)
        session = Session(
            id=str(uuid.uuid4()),
            name=wanted.name,
            node=wanted.node or own_node,
            lock_delay=_lock_delay(wanted.lock_delay),
            behavior=wanted.behavior or "release",
            ttl=wanted.ttl,
            node_checks=_node_checks(wanted),
            service_checks=wanted.service_checks,
        )
        if self._catalog.node(session.node) is None:
            raise Refused("Missing node registration")
        problem = self._broken_check(session)
        if problem:
            raise Refused(problem)
        session = stamped(session, None, self._database.next_index)
        self._sessions.put(session.id, session)
        self._database.touch(SESSIONS)
        if ttl:
            self._deadlines[session.id] = self._clock() + TTL_FACTOR * ttl
        return session

    def renew(self, id_: str) -> Session | None:
        """Let the TTL begin anew; None if there is no such session."""
        session = self.get(id_)
        if session is not None and id_ in self._deadlines:
            self._deadlines[id_] = self._clock() + TTL_FACTOR * parse_duration(session.ttl)
        return session

    def destroy(self, id_: str) -> None:
        """End a session, if there is one: its locks are released, or their keys deleted."""
        session = self.get(id_)
        if session is None:
            return
        self._sessions.remove(id_)
        self._deadlines.pop(id_, None)
        self._database.touch(SESSIONS)
        delay = session.lock_delay / NANOSECONDS
        self._kv.release_all(id_, delete=session.behavior == "delete", delay=delay)

    def end_broken(self) -> None:
        """End the sessions whose node is gone or one of whose checks is gone or critical."""
        for session in self.all():
            if self._catalog.node(session.node) is None or self._broken_check(session):
                self.destroy(session.id)

    def end_expired(self) -> None:
        """End the sessions whose time is up."""
        now = self._clock()
        for id_ in [id_ for id_, deadline in self._deadlines.items() if deadline <= now]:
            self.destroy(id_)

    def next_deadline(self) -> float | None:
        """When the next session ends unless it is renewed."""
        return min(self._deadlines.values(), default=None)

    def _broken_check(self, session: Session) -> str:
        """Why a check does not allow the session, "" if all do."""
        of_services = [check.id for check in session.service_checks or []]
        for id_ in [*(session.node_checks or []), *of_services]:
            check = self._catalog.check(session.node, id_)
            if check is None:
                return f"Missing check '{id_}' registration"
            if check.status == CRITICAL:
                return f"Check '{id_}' is in {CRITICAL} state"
        return ""

    def _checked_ttl(self, text: str) -> float:
        if not text:
            return 0.0
        try:
            ttl = parse_duration(text)
        except ValueError as error:
            raise Refused(f"Session TTL '{text}' invalid: {error}") from None
        if ttl and not self._ttl_min <= ttl <= MAX_TTL:
            bounds = f"[{format_duration(self._ttl_min)}={format_duration(MAX_TTL)}]"
            nanoseconds = round(ttl * NANOSECONDS)
            raise Refused(f"Invalid Session TTL '{nanoseconds}', must be between {bounds}")
        return ttl


def _lock_delay(wanted: str | int | None) -> int:
    """Nanoseconds. A number below 1000 is seconds, as in Consul."""
    if wanted is None:
        return DEFAULT_LOCK_DELAY
    if isinstance(wanted, int):
        return wanted * NANOSECONDS if wanted < 1000 else wanted
    try:
        return round(parse_duration(wanted) * NANOSECONDS)
    except ValueError as error:
        raise Refused(f"Request decode failed: {error}", 400) from None


def _node_checks(wanted: SessionRequest) -> list[str] | None:
    """The node checks; `Checks` is the name that the field had before Consul 1.7."""
    if wanted.node_checks is not msgspec.UNSET:
        return wanted.node_checks
    if wanted.checks is msgspec.UNSET:
        return [DEFAULT_CHECK]
    checks = wanted.checks or []
    return list(dict.fromkeys([DEFAULT_CHECK, *checks])) if checks else []
