"""A log that stays short: what lasts, what comes in floods, what nobody expected."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.incidents import MAX_INCIDENTS, MAX_TEXTS, MAX_UNEXPECTED, FloodLog, Incidents
from consuldns.incidents import UnexpectedErrors as Errors

LOGGER = logging.getLogger("test.incidents")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Lines(logging.Handler):
    """What is logged while the context lasts."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def texts(self) -> list[str]:
        return [record.getMessage() for record in self.records]

    def __enter__(self) -> "Lines":
        LOGGER.setLevel(logging.INFO)
        LOGGER.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        LOGGER.removeHandler(self)


def test_a_line_when_it_begins_changes_lasts_and_ends() -> None:
    clock = Clock()
    incidents = Incidents(LOGGER, clock)
    with Lines() as lines:
        assert incidents.began("worker 1", "exit status 1", "starting another in 0.1 s")
        for clock.now in range(1, 200):
            assert not incidents.began("worker 1", "exit status 1", f"in {clock.now} s")
        assert incidents.began("worker 1", "signal 9", "in 5 s")
        assert "worker 1" in incidents
        incidents.ended("worker 1")
        incidents.ended("worker 1")
        assert "worker 1" not in incidents
        assert incidents.began("worker 1", "signal 9")
        incidents.ended("worker 1", "")
        assert incidents.began("worker 1", "signal 9")
    assert lines.texts == [
        "worker 1: exit status 1; starting another in 0.1 s",
        "worker 1: exit status 1; in 60 s (59 more like this before)",
        "worker 1: exit status 1; in 180 s (119 more like this before)",
        "worker 1: signal 9; in 5 s (19 more like this before)",
        "worker 1: recovered",
        "worker 1: signal 9",
        "worker 1: signal 9",
    ]


@given(st.lists(st.tuples(st.sampled_from("abcdefghijklmn"), st.floats(0, 5)), max_size=300))
def test_whatever_flaps_the_log_is_bounded(events: list[tuple[str, float]]) -> None:
    """At most `MAX_TEXTS` lines between two reminders; and nothing new goes unsaid if it lasts."""
    clock = Clock()
    incidents = Incidents(LOGGER, clock)
    with Lines() as lines:
        for text, seconds in events:
            clock.now += seconds
            incidents.began("list", text)
    reminders = 1 + int(clock.now // 60)
    assert len(lines.texts) <= MAX_TEXTS * reminders
    first = list(dict.fromkeys(text for text, _ in events))[:MAX_TEXTS]
    if clock.now < 60:
        assert [each[-1] for each in lines.texts if "before" not in each] == [
            each for each in first if f"list: {each}" in lines.texts
        ]
        assert {each.split(" (")[0] for each in lines.texts} == {f"list: {t}" for t in first}


def test_incidents_are_bounded_in_number() -> None:
    incidents = Incidents(LOGGER, Clock())
    with Lines() as lines:
        for number in range(MAX_INCIDENTS + 10):
            incidents.began(str(number), "x")
    assert len(lines.texts) == MAX_INCIDENTS


def test_a_flood_is_one_line_a_second_of_each_kind() -> None:
    clock = Clock()
    clock.now = 5.0
    log = FloodLog(LOGGER, clock)
    with Lines() as lines:
        for number in range(100):
            log.warning("a", "number %d", number)
        log.warning("b", "other")
        clock.now = 5.999
        log.warning("a", "still too soon")
        clock.now = 6.0
        log.warning("a", "later")
        log.warning("a", "too soon again")
        clock.now = 10.0
        log.warning("b", "other again")
    assert lines.texts == [
        "number 0",
        "other",
        "later (100 more like this before)",
        "other again",
    ]


def fail(where: int) -> Exception:
    try:
        if where == 0:
            raise ValueError(7)
        if where == 1:
            raise KeyError(7)
        raise ValueError(8)
    except Exception as error:
        return error


def test_an_unexpected_error_has_its_traceback_once_for_each_kind_and_place() -> None:
    clock = Clock()
    errors = Errors(LOGGER, clock)
    with Lines() as lines:
        for _ in range(50):
            for where in range(3):
                errors.report("answering", fail(where))
        clock.now = 60.0
        errors.report("answering", fail(0))
    traced = [record for record in lines.records if record.exc_info]
    assert len(traced) == 3
    assert all(record.levelno == logging.ERROR for record in traced)
    assert lines.texts[0] == "answering: unexpected error, please report it: ValueError: 7"
    again = [text for text in lines.texts if "as before" in text]
    assert again == [
        "answering: unexpected error, as before: ValueError: 7 (49 more like this before)"
    ]


def test_places_of_unexpected_errors_are_bounded() -> None:
    errors = Errors(LOGGER, Clock())
    with Lines() as lines:
        for number in range(MAX_UNEXPECTED + 20):
            code = compile("\n" * number + "raise ValueError", f"<{number}>", "exec")
            with errors.contained("part"):
                exec(code)
    assert sum(bool(record.exc_info) for record in lines.records) == MAX_UNEXPECTED
    assert len(lines.texts) == MAX_UNEXPECTED + 1


def test_what_is_contained_goes_on_and_what_ends_a_process_does_not() -> None:
    errors = Errors(LOGGER, Clock())
    with Lines(), errors.contained("part"):
        raise RuntimeError
    with pytest.raises(KeyboardInterrupt), errors.contained("part"):
        raise KeyboardInterrupt
