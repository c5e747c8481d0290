"""The books on what to read next. Times are seconds of a made-up clock."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.consul.kinds import Area
from consuldns.consul.watch.schedule import (
    ASKED_SECONDS,
    FORGET_SECONDS,
    LATE_SECONDS,
    SWEEP_SECONDS,
    Reading,
    Schedule,
    State,
    Success,
)
from consuldns.views.keys import Key, ReverseZone, ServiceInstances, ServiceList, ViewKey

WEB = ServiceInstances("dc1", "web")
DB = ServiceInstances("dc1", "db")
ZONE = ReverseZone("10.in-addr.arpa")
REMOTE = ServiceList("dc2")


def read(books: Schedule, key: ViewKey, now: float) -> None:
    books.succeeded(key, now, now)


def started(books: Schedule, now: float) -> ViewKey | None:
    """The view whose reading begins."""
    reading = books.start_next(now)
    return None if reading is None else reading.key


@pytest.fixture
def books() -> Schedule:
    """The services web and db and a zone, needed and read at 10 s, in this order."""
    books = Schedule()
    for key, area in ((WEB, Area.SERVICES), (DB, Area.SERVICES), (ZONE, Area.KEYS)):
        books.need(key, area, 10.0)
    for key in (WEB, DB, ZONE):
        assert started(books, 10.0) == key
        read(books, key, 10.0)
    return books


def test_what_was_read_after_the_last_change_is_right(books: Schedule) -> None:
    assert books.is_right(WEB)
    assert started(books, 11.0) is None
    assert not books.is_behind
    assert not books.is_right(ServiceInstances("dc1", "other"))


def test_change_of_an_area_makes_all_its_asked_views_due_oldest_reading_first(
    books: Schedule,
) -> None:
    read(books, WEB, 11.0)
    assert books.moved(Area.SERVICES, 20.0) == []
    assert books.is_right(ZONE)
    order = []
    while (key := started(books, 20.0)) is not None:
        order.append(key)
        read(books, key, 20.1)
    assert order == [DB, WEB]
    assert books.is_right(WEB)


def test_hinted_view_is_read_first(books: Schedule) -> None:
    books.moved(Area.SERVICES, 20.0)
    assert not books.changed(DB, 20.0)
    assert started(books, 20.0) == DB


def test_needed_view_is_read_before_hinted_ones(books: Schedule) -> None:
    books.changed(DB, 20.0)
    books.need(ServiceInstances("dc1", "new"), Area.SERVICES, 20.0)
    assert started(books, 20.0) == ServiceInstances("dc1", "new")


def test_continuous_change_reads_each_view_once_a_period(books: Schedule) -> None:
    books.moved(Area.SERVICES, 20.0)
    read(books, WEB, 20.01)
    read(books, DB, 20.02)
    books.moved(Area.SERVICES, 20.05)
    assert started(books, 20.06) is None
    assert books.is_behind
    assert started(books, 20.02 + SWEEP_SECONDS) == WEB


def test_reading_that_began_before_the_change_does_not_make_right(books: Schedule) -> None:
    books.moved(Area.SERVICES, 20.0)
    assert started(books, 20.0) == WEB
    books.changed(WEB, 20.5)
    assert not books.succeeded(WEB, 20.1, 20.6).is_outdated
    assert not books.is_right(WEB)
    assert started(books, 20.6) == WEB


def test_view_that_nobody_asks_for_is_declared_outdated_once(books: Schedule) -> None:
    later = 10.0 + ASKED_SECONDS + 1
    assert books.tick(later) == []
    assert sorted(books.moved(Area.SERVICES, later), key=str) == [DB, WEB]
    assert books.moved(Area.SERVICES, later + 1) == []
    assert started(books, later + 1) is None, "and it is not read either"


def test_asking_again_brings_a_view_back(books: Schedule) -> None:
    later = 10.0 + ASKED_SECONDS + 1
    books.tick(later)
    books.moved(Area.SERVICES, later)
    books.need(WEB, Area.SERVICES, later + 5)
    assert started(books, later + 5) == WEB
    read(books, WEB, later + 5)
    assert books.is_right(WEB)


def test_due_view_that_is_asked_for_no_more_is_declared_outdated(books: Schedule) -> None:
    books.asked([ZONE], 30.0)
    books.moved(Area.KEYS, 31.0)
    books.failed(ZONE, 31.0, 100.0)
    assert ZONE in books.tick(30.0 + ASKED_SECONDS + 1)


def test_sweep_that_comes_too_late_declares_outdated(books: Schedule) -> None:
    books.moved(Area.SERVICES, 20.0)
    books.failed(WEB, 20.0, 1000.0)
    assert started(books, 20.0) == DB
    books.asked([WEB, DB], 24.0)
    assert books.tick(20.5) == []
    assert WEB in books.tick(20.1 + LATE_SECONDS)


def test_failed_reading_is_tried_again_later(books: Schedule) -> None:
    books.moved(Area.KEYS, 20.0)
    assert started(books, 20.0) == ZONE
    books.failed(ZONE, 20.0, 21.0)
    assert started(books, 20.5) is None
    assert started(books, 21.0) == ZONE


def test_followed_view_is_right_until_its_query_ends(books: Schedule) -> None:
    books.watch(WEB, 12.0)
    assert books.moved(Area.SERVICES, 20.0) == []
    assert books.is_right(WEB)
    assert not books.changed(WEB, 20.0)
    assert started(books, 20.0) == DB
    books.unwatch(WEB, 21.0)
    assert not books.is_right(WEB)
    assert started(books, 21.0 + SWEEP_SECONDS) in (WEB, DB)


def test_older_reading_does_not_supersede_a_newer_one(books: Schedule) -> None:
    assert not books.succeeded(WEB, 9.0, 11.0).is_newest
    assert books.succeeded(WEB, 11.0, 11.5).is_newest
    books.watch(WEB, 12.0)
    assert not books.succeeded(WEB, 13.0, 13.5).is_newest


def test_first_reading_of_a_session_is_known_as_such(books: Schedule) -> None:
    books.end_session(20.0)
    assert books.begin_session(21.0) == []
    reading = books.start_next(22.0)
    assert reading == Reading(WEB, 22.0, is_first=True)
    read(books, WEB, 22.0)
    books.changed(WEB, 23.0)
    assert books.start_next(23.0) == Reading(WEB, 23.0, is_first=False)


def test_view_of_another_datacenter_ages() -> None:
    books = Schedule()
    books.need(REMOTE, Area.AGE, 10.0)
    read(books, REMOTE, 10.0)
    books.tick(11.0)
    assert books.is_right(REMOTE)
    books.tick(14.0)
    assert not books.is_right(REMOTE)
    assert started(books, 14.0) == REMOTE
    read(books, REMOTE, 14.0)
    assert REMOTE in books.tick(15.0 + ASKED_SECONDS)


def test_those_asked_for_most_are_chosen_and_followed_ones_stay(books: Schedule) -> None:
    for second in range(5):
        books.asked([DB], 11.0 + second)
    assert books.most_asked(1, 16.0) == {DB}
    books.watch(DB, 16.0)
    for second in range(7):
        books.asked([WEB], 16.0 + second)
    assert books.most_asked(1, 23.0) == {DB}, "a little more is not enough to change places"
    assert books.most_asked(5, 23.0) == {WEB, DB, ZONE}
    assert books.most_asked(5, 24.0 + ASKED_SECONDS) == set()


def test_views_are_forgotten_when_nobody_asks(books: Schedule) -> None:
    books.asked([WEB], 500.0)
    books.need(REMOTE, Area.AGE, 11.0)
    assert started(books, 11.0) == REMOTE
    read(books, REMOTE, 11.0)
    books.asked([REMOTE], 500.0)
    assert books.forgettable(12.0 + FORGET_SECONDS) == [ZONE], "the index reads services anyway"
    books.forget(ZONE)
    assert len(books) == 3
    assert started(books, 600.0) is None


def test_view_that_is_read_anyway_is_kept_for_the_first_query(
    books: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = ServiceInstances("dc1", "warm")
    books.keep(warm, Area.SERVICES)
    assert not books.is_right(warm)
    assert started(books, 20.0) is None, "nobody asks for it"
    assert books.succeeded(warm, 20.0, 20.0) == Success()
    assert books.is_right(warm)
    assert not books.is_kept_right(warm), "nothing but the index reads it again"
    assert warm in books.moved(Area.SERVICES, 30.0)
    assert books.succeeded(warm, 29.0, 31.0) == Success(is_outdated=True)
    monkeypatch.setattr("consuldns.consul.watch.schedule.MAX_WARM_VIEWS", 4)
    books.keep(ServiceInstances("dc1", "too many"), Area.SERVICES)
    assert len(books) == 4


def test_too_many_views_are_forgotten_oldest_asked_first(
    books: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consuldns.consul.watch.schedule.MAX_VIEWS", 1)
    books.asked([DB], 12.0)
    books.asked([WEB], 11.0)
    assert books.forgettable(13.0) == [ZONE, WEB]


def test_end_of_a_session_leaves_nothing_under_way(books: Schedule) -> None:
    books.watch(WEB, 12.0)
    books.changed(DB, 19.0)
    assert started(books, 19.0) == DB
    books.end_session(20.0)
    books.moved(Area.SERVICES, 21.0)
    first = started(books, 30.0)
    assert first is not None
    read(books, first, 30.0)
    assert {first, started(books, 30.0)} == {WEB, DB}


STEP = st.one_of(
    st.tuples(st.just("need"), st.sampled_from([WEB, DB, ZONE, REMOTE])),
    st.tuples(st.just("asked"), st.sampled_from([WEB, DB, ZONE, REMOTE])),
    st.tuples(st.just("changed"), st.sampled_from([WEB, DB, ZONE, REMOTE])),
    st.tuples(st.just("moved"), st.sampled_from(Area)),
    st.tuples(st.just("start"), st.none()),
    st.tuples(st.just("finish"), st.booleans()),
    st.tuples(st.just("watch"), st.sampled_from([WEB, DB, ZONE, REMOTE])),
    st.tuples(st.just("unwatch"), st.sampled_from([WEB, DB, ZONE, REMOTE])),
    st.tuples(st.just("forget"), st.sampled_from([WEB, DB, ZONE, REMOTE])),
    st.tuples(st.just("end session"), st.none()),
    st.tuples(st.just("pass"), st.sampled_from([0.01, 1.0, LATE_SECONDS, ASKED_SECONDS + 1])),
)
AREAS = {WEB: Area.SERVICES, DB: Area.SERVICES, ZONE: Area.KEYS, REMOTE: Area.AGE}


class Books:
    """A schedule, and by itself what it must know: when something changed, and was read."""

    def __init__(self) -> None:
        self.schedule = Schedule()
        self.now = 100.0
        self.changed_at: dict[ViewKey, float] = {}
        self.right_since: dict[ViewKey, float] = {}
        self.readings: list[tuple[ViewKey, float]] = []
        self.outdated: set[ViewKey] = set()  # as the workers were told
        self.kept: set[ViewKey] = set()  # because reading it failed

    def do(self, step: str, what: object) -> None:  # noqa: C901 - one case for each step
        """A step; time passes a little with each."""
        self.now += 0.001
        schedule, now = self.schedule, self.now
        match step, what:
            case "need", Key() as key:
                schedule.need(key, AREAS[key], now)
            case "asked", Key() as key:
                schedule.asked([key], now)
            case "changed", Key() as key:
                self.changed_at[key] = now
                self.outdated |= {key} if schedule.changed(key, now) else set()
            case "moved", Area() as area:
                self.changed_at |= {key: now for key in AREAS if AREAS[key] is area}
                self.outdated.update(schedule.moved(area, now))
            case "start", _:
                reading = schedule.start_next(now)
                if reading is not None:
                    self.readings.append((reading.key, reading.began))
            case "finish", is_success if self.readings:
                self.finish(*self.readings.pop(0), is_success=bool(is_success))
            case "watch", Key() as key:
                schedule.watch(key, now)
                self.outdated.discard(key)
                self.kept.discard(key)
            case "unwatch", Key() as key:
                schedule.unwatch(key, now)
            case "forget", Key() as key:
                schedule.forget(key)
                self.right_since.pop(key, None)
                self.kept.discard(key)
                self.outdated.discard(key)
            case "end session", _:
                schedule.end_session(now)
                self.readings.clear()
            case "pass", float() as seconds:
                self.now += seconds
                self.outdated.update(schedule.tick(self.now))

    def finish(self, key: ViewKey, began: float, *, is_success: bool) -> None:
        """A reading has ended."""
        if not is_success:
            self.schedule.failed(key, self.now, self.now + 0.5)
            self.kept.add(key)
            return
        self.outdated.discard(key)
        self.kept.discard(key)
        self.right_since[key] = max(began, self.right_since.get(key, began))
        if self.schedule.succeeded(key, began, self.now).is_outdated:
            self.outdated.add(key)


@given(st.lists(STEP, max_size=60))
def test_a_view_is_right_only_if_it_was_read_after_its_last_change(
    steps: list[tuple[str, object]],
) -> None:
    books = Books()
    for step, what in steps:
        books.do(step, what)
        for key in AREAS:
            state = books.schedule.state(key)
            if state in (State.CURRENT, State.IDLE):
                assert books.right_since[key] > books.changed_at.get(key, 0.0)
            if state is State.OUTDATED and key in books.right_since:
                assert key in books.outdated | books.kept, "the workers must know"
            assert (state is not None) == (key in books.schedule)
        assert len(books.schedule) == sum(key in books.schedule for key in AREAS)


@given(st.lists(STEP, max_size=60))
def test_whatever_happened_all_that_is_asked_for_is_right_in_the_end(
    steps: list[tuple[str, object]],
) -> None:
    books = Books()
    for step, what in steps:
        books.do(step, what)
    books.do("end session", None)
    present = [key for key in AREAS if key in books.schedule]
    for _ in range(200):
        for key in present:
            books.do("asked", key)
        books.now += SWEEP_SECONDS
        books.do("start", None)
        books.do("finish", True)
    assert all(books.schedule.is_right(key) for key in present)
    assert books.schedule.start_next(books.now) is None
    assert not books.schedule.is_behind


def test_states_in_the_life_of_a_view() -> None:
    """The transitions that `State` draws."""
    books = Schedule()
    area, later = Area.SERVICES, 11.0 + ASKED_SECONDS
    life: list[tuple[Callable[[], object], State]] = [
        (lambda: books.need(WEB, area, 10.0), State.WANTED),
        (lambda: books.start_next(10.0), State.READING),
        (lambda: books.changed(WEB, 10.1), State.READING),
        (lambda: books.succeeded(WEB, 10.0, 10.2), State.HINTED),
        (lambda: books.start_next(10.2), State.READING),
        (lambda: books.succeeded(WEB, 10.2, 10.3), State.CURRENT),
        (lambda: books.moved(area, 10.4), State.DUE),
        (lambda: books.start_next(10.5), State.READING),
        (lambda: books.failed(WEB, 10.6, 11.0), State.DUE),
        (lambda: books.changed(WEB, 10.7), State.HINTED),
        (lambda: books.watch(WEB, 10.8), State.WATCHED),
        (lambda: books.changed(WEB, 10.9), State.WATCHED),
        (lambda: books.unwatch(WEB, 11.0), State.DUE),
        (lambda: books.start_next(11.1), State.READING),
        (lambda: books.succeeded(WEB, 11.1, 11.2), State.CURRENT),
        (lambda: books.tick(later), State.IDLE),
        (lambda: books.asked([WEB], later), State.CURRENT),
        (lambda: books.tick(2 * later), State.IDLE),
        (lambda: books.changed(WEB, 2 * later), State.OUTDATED),
        (lambda: books.asked([WEB], 2 * later), State.DUE),
        (lambda: books.tick(3 * later), State.OUTDATED),
        (lambda: books.need(WEB, area, 3 * later), State.WANTED),
        (lambda: books.hold(WEB, area, 3 * later + 1), State.CURRENT),
    ]
    for step, state in life:
        step()
        assert books.state(WEB) is state
    books.forget(WEB)
    assert books.state(WEB) is None
