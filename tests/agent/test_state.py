"""What happens as time goes by, on a clock of the test's own."""

import pytest

from consuldns.agent.local import CheckDefinition, ServiceDefinition
from consuldns.agent.records import Entry, Refused, Session
from consuldns.agent.sessions import SessionRequest
from consuldns.agent.state import State


class World:
    """A state whose clock stands still until `pass_time`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.state = State(datacenter="dc1", node="here", clock=lambda: self.now)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.state.expire()

    def session(self, **fields: str) -> Session:
        with self.state.change():
            return self.state.sessions.create(SessionRequest(**fields), "here")  # type: ignore[arg-type]

    def lock(self, session: Session) -> bool:
        if self.state.kv.is_delayed("k"):
            return False
        with self.state.change():
            return self.state.kv.lock(Entry(key="k", session=session.id)) is not None


def test_a_session_ends_after_twice_its_ttl_without_renewal() -> None:
    world = World()
    session = world.session(ttl="10s")
    world.pass_time(19)
    world.state.sessions.renew(session.id)
    world.pass_time(19)
    assert world.state.sessions.get(session.id)
    assert world.state.next_deadline() == world.now + 1
    world.pass_time(1)
    assert world.state.sessions.get(session.id) is None
    assert world.state.next_deadline() is None


@pytest.mark.parametrize("ttl", ["9s", "9999ms", "24h1s"])
def test_the_bounds_of_a_ttl_are_those_of_consul(ttl: str) -> None:
    with pytest.raises(Refused, match=r"must be between \[10s=24h0m0s\]"):
        World().session(ttl=ttl)


@pytest.mark.parametrize("behavior", ["release", "delete"])
def test_a_lock_delay_passes(behavior: str) -> None:
    world = World()
    one, two = world.session(ttl="10s", lock_delay="5s", behavior=behavior), world.session()
    assert world.lock(one)
    assert not world.lock(two)
    world.pass_time(20)
    assert (world.state.kv.get("k") is None) is (behavior == "delete")
    assert not world.lock(two)
    world.pass_time(4)
    assert not world.lock(two)
    world.pass_time(1)
    assert world.lock(two)


def test_a_ttl_check_fails_once_until_it_is_updated() -> None:
    world = World()
    local = world.state.local
    with world.state.change():
        check = CheckDefinition(check_id="c", ttl="30s", status="passing")
        local.register_service(ServiceDefinition(name="web", check=check))
    world.pass_time(29)
    with world.state.change():
        local.update_check("c", "passing", "well")
    world.pass_time(29)
    assert local.checks()[0].status == "passing"
    index = world.state.database.index
    world.pass_time(1)
    assert local.checks()[0].status == "critical"
    assert world.state.database.index == index + 1
    assert world.state.next_deadline() is None
    with world.state.change():
        local.update_check("c", "passing", "well again")
    assert world.state.next_deadline() == world.now + 30


def test_removing_a_check_removes_its_deadline() -> None:
    world = World()
    with world.state.change():
        world.state.local.register_check(CheckDefinition(name="c", ttl="30s"))
        world.state.local.deregister_check("c")
    assert world.state.next_deadline() is None


def test_expiring_nothing_changes_nothing() -> None:
    world = World()
    index = world.state.database.index
    world.pass_time(1_000_000)
    assert world.state.database.index == index
