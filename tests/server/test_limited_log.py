"""Log lines in floods."""

import logging

import pytest

from consuldns.server.limited_log import LimitedLog


def test_one_line_a_second_of_each_kind(caplog: pytest.LogCaptureFixture) -> None:
    now = 5.0
    log = LimitedLog(logging.getLogger("flood"), lambda: now)
    for number in range(100):
        log.warning("a", "number %d", number)
    log.warning("b", "other")
    now = 5.999
    log.warning("a", "still too soon")
    now = 6.0
    log.warning("a", "later")
    log.warning("a", "too soon again")
    now = 10.0
    log.warning("b", "other again")
    assert [record.getMessage() for record in caplog.records] == [
        "number 0",
        "other",
        "later (100 more like this before)",
        "other again",
    ]
