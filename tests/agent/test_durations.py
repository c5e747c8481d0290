import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("1m30s", 90),
        ("500ms", 0.5),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("-1s", -1),
        ("+2s", 2),
        ("0", 0),
        ("1h0m1s", 3601),
        ("1us", 1e-6),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "s", "1x", "1 s", "1s ", "--1s", "1,5s", "abc"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="time: invalid duration"):
        parse_duration(text)


@given(st.integers(min_value=1, max_value=100_000))
def test_what_is_formatted_is_parsed(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(("seconds", "text"), [(86_400, "24h0m0s"), (10, "10s"), (0.2, "200ms")])
def test_formats(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
