"""How long control waits before it starts another worker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.process.workers import _Life, _pause_after


@pytest.mark.parametrize(
    ("served", "last", "pause"),
    [
        (100.0, 5.0, 0.0),  # it had worked well: at once
        (2.0, 0.2, 0.0),
        (0.5, 0.0, 0.05),
        (0.5, 0.1, 0.2),
        (0.5, 5.0, 0.2),
        (0.0, 0.0, 0.05),
        (0.0, 0.2, 0.4),
        (0.0, 4.0, 5.0),
    ],
)
def test_pause(served: float, last: float, pause: float) -> None:
    assert _pause_after(_Life("ended", served), last) == pause


@given(st.lists(st.floats(0, 100), max_size=30))
def test_one_that_served_is_never_waited_for_longer_than_a_quarter_of_a_second(
    lives: list[float],
) -> None:
    pause = 0.0
    for served in lives:
        pause = _pause_after(_Life("ended", served), pause)
        assert pause <= (0.25 if served > 0 else 5.0)
