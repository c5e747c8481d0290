"""The books on what to read next. Times are seconds of a made-up clock."""

import pytest

from consuldns.consul.kinds import Area
from consuldns.consul.watch.schedule import (
    ASKED_SECONDS,
    FORGET_SECONDS,
    LATE_SECONDS,
    SWEEP_SECONDS,
    Schedule,
)
from consuldns.views.keys import ReverseZone, ServiceInstances, ServiceList, ViewKey

WEB = ServiceInstances("dc1", "web")
DB = ServiceInstances("dc1", "db")
ZONE = ReverseZone("10.in-addr.arpa")
REMOTE = ServiceList("dc2")


def read(books: Schedule, key: ViewKey, now: float) -> None:
    books.succeeded(key, now, now)


@pytest.fixture
def books() -> Schedule:
    """The services web and db and a zone, needed and read at 10 s, in this order."""
    books = Schedule()
    for key, area in ((WEB, Area.SERVICES), (DB, Area.SERVICES), (ZONE, Area.KEYS)):
        books.need(key, area, 10.0)
    for key in (WEB, DB, ZONE):
        assert books.start_next(10.0) == key
        read(books, key, 10.0)
    return books


def test_what_was_read_after_the_last_change_is_right(books: Schedule) -> None:
    assert books.is_right(WEB)
    assert books.start_next(11.0) is None
    assert not books.is_behind
    assert not books.is_right(ServiceInstances("dc1", "other"))


def test_change_of_an_area_makes_all_its_asked_views_due_oldest_reading_first(
    books: Schedule,
) -> None:
    read(books, WEB, 11.0)
    assert books.moved(Area.SERVICES, 20.0) == []
    assert books.is_right(ZONE)
    order = []
    while (key := books.start_next(20.0)) is not None:
        order.append(key)
        read(books, key, 20.1)
    assert order == [DB, WEB]
    assert books.is_right(WEB)


def test_hinted_view_is_read_first(books: Schedule) -> None:
    books.moved(Area.SERVICES, 20.0)
    assert not books.changed(DB, 20.0)
    assert books.start_next(20.0) == DB


def test_needed_view_is_read_before_hinted_ones(books: Schedule) -> None:
    books.changed(DB, 20.0)
    books.need(ServiceInstances("dc1", "new"), Area.SERVICES, 20.0)
    assert books.start_next(20.0) == ServiceInstances("dc1", "new")


def test_continuous_change_reads_each_view_once_a_period(books: Schedule) -> None:
    books.moved(Area.SERVICES, 20.0)
    read(books, WEB, 20.01)
    read(books, DB, 20.02)
    books.moved(Area.SERVICES, 20.05)
    assert books.start_next(20.06) is None
    assert books.is_behind
    assert books.start_next(20.02 + SWEEP_SECONDS) == WEB


def test_reading_that_began_before_the_change_does_not_make_right(books: Schedule) -> None:
    books.moved(Area.SERVICES, 20.0)
    assert books.start_next(20.0) == WEB
    books.changed(WEB, 20.5)
    assert not books.succeeded(WEB, 20.1, 20.6)
    assert not books.is_right(WEB)
    assert books.start_next(20.6) == WEB


def test_view_that_nobody_asks_for_is_declared_outdated_once(books: Schedule) -> None:
    later = 10.0 + ASKED_SECONDS + 1
    assert books.tick(later) == []
    assert sorted(books.moved(Area.SERVICES, later), key=str) == [DB, WEB]
    assert books.moved(Area.SERVICES, later + 1) == []
    assert books.start_next(later + 1) is None, "and it is not read either"


def test_asking_again_brings_a_view_back(books: Schedule) -> None:
    later = 10.0 + ASKED_SECONDS + 1
    books.tick(later)
    books.moved(Area.SERVICES, later)
    books.need(WEB, Area.SERVICES, later + 5)
    assert books.start_next(later + 5) == WEB
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
    assert books.start_next(20.0) == DB
    books.asked([WEB, DB], 24.0)
    assert books.tick(20.5) == []
    assert WEB in books.tick(20.1 + LATE_SECONDS)


def test_failed_reading_is_tried_again_later(books: Schedule) -> None:
    books.moved(Area.KEYS, 20.0)
    assert books.start_next(20.0) == ZONE
    books.failed(ZONE, 20.0, 21.0)
    assert books.start_next(20.5) is None
    assert books.start_next(21.0) == ZONE


def test_followed_view_is_right_until_its_query_ends(books: Schedule) -> None:
    books.watch(WEB, 12.0)
    assert books.moved(Area.SERVICES, 20.0) == []
    assert books.is_right(WEB)
    assert not books.changed(WEB, 20.0)
    assert books.start_next(20.0) == DB
    books.unwatch(WEB, 21.0)
    assert not books.is_right(WEB)
    assert books.start_next(21.0 + SWEEP_SECONDS) in (WEB, DB)


def test_older_reading_does_not_supersede_a_newer_one(books: Schedule) -> None:
    assert books.is_superseded(WEB, 9.0)
    assert not books.is_superseded(WEB, 11.0)
    books.watch(WEB, 12.0)
    assert books.is_superseded(WEB, 13.0)


def test_view_of_another_datacenter_ages() -> None:
    books = Schedule()
    books.need(REMOTE, Area.AGE, 10.0)
    read(books, REMOTE, 10.0)
    books.tick(11.0)
    assert books.is_right(REMOTE)
    books.tick(14.0)
    assert not books.is_right(REMOTE)
    assert books.start_next(14.0) == REMOTE
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
    assert sorted(books.forgettable(11.0 + FORGET_SECONDS), key=str) == [ZONE, DB]
    for key in (DB, ZONE):
        books.forget(key)
    assert len(books) == 1
    assert books.start_next(2000.0) is None


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
    assert books.start_next(19.0) == DB
    books.end_session(20.0)
    books.moved(Area.SERVICES, 21.0)
    first = books.start_next(30.0)
    assert first is not None
    read(books, first, 30.0)
    assert {first, books.start_next(30.0)} == {WEB, DB}
