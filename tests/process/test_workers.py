"""How long control waits before it starts another worker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.process.workers import _Life, _Pauses


@pytest.mark.parametrize(
    ("lives", "longest"),
    [
        ([100.0], 0.0),  # it had worked well: at once
        ([0.0, 0.0, 0.0, 2.0], 0.0),
        ([0.5], 0.05),
        ([0.5, 0.5, 0.5], 0.2),
        ([0.5] * 20, 0.2),
        ([0.0] * 9 + [0.5], 0.05),
        ([0.0], 0.05),
        ([0.0] * 3, 0.2),
        ([0.0] * 20, 5.0),
        ([0.0] * 20 + [2.0, 0.0], 0.05),
    ],
)
def test_pause(lives: list[float], longest: float) -> None:
    pauses = _Pauses()
    for served in lives:
        pause = pauses.after(_Life("ended", served))
    assert longest / 2 <= pause <= longest


@given(st.lists(st.floats(0, 100), max_size=30))
def test_one_that_served_is_never_waited_for_longer_than_a_quarter_of_a_second(
    lives: list[float],
) -> None:
    pauses = _Pauses()
    for served in lives:
        assert pauses.after(_Life("ended", served)) <= (0.25 if served > 0 else 5.0)
