"""Durations as Consul writes them: `10s`, `1m30s`, `500ms` (the syntax of Go)."""

import re
from datetime import timedelta
from fractions import Fraction

# Exact, so that what was written is what is meant; the order is that of writing.
_SECONDS = {
    "h": Fraction(3600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 1_000),
    "us": Fraction(1, 1_000_000),
    "µs": Fraction(1, 1_000_000),
    "ns": Fraction(1, 1_000_000_000),
}
_PART = re.compile(r"([0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(ns|us|µs|ms|s|m|h)")
NANOSECONDS = 1_000_000_000  # of a second
LONGEST_TEXT = 100  # characters; each unit once has some dozen
LONGEST_SECONDS = 2**63 / NANOSECONDS - 1  # nanoseconds in 64 bits, 292 years


def exact_seconds(text: str) -> Fraction:
    """Seconds. A number needs a unit, except 0. Raises ValueError in the words of Consul."""
    sign = -1 if text.startswith("-") else 1
    unsigned = text.removeprefix("-") if sign < 0 else text.removeprefix("+")
    if unsigned == "0":
        return Fraction(0)
    parts = _PART.findall(unsigned) if len(text) <= LONGEST_TEXT else []
    if not parts or "".join(number + unit for number, unit in parts) != unsigned:
        raise ValueError(f'time: invalid duration "{text}"')
    seconds = sum((_number(number) * _SECONDS[unit] for number, unit in parts), Fraction(0))
    if seconds > LONGEST_SECONDS:
        raise ValueError(f'time: invalid duration "{text}"')
    return sign * seconds


def _number(text: str) -> Fraction:
    whole, _, decimals = text.partition(".")
    return Fraction(int(f"{whole}{decimals}"), 10 ** len(decimals))


def parse_duration(text: str) -> float:
    """The same as a float."""
    return float(exact_seconds(text))


def shortest(value: timedelta) -> str:
    """The shortest way to write whole milliseconds: `1h30m`, `10s`, `0s`."""
    rest = Fraction(value // timedelta(milliseconds=1), 1_000)
    text = ""
    for unit in ("h", "m", "s", "ms"):
        number, rest = divmod(rest, _SECONDS[unit])
        text += f"{number}{unit}" if number else ""
    return text or "0s"


def format_duration(seconds: float) -> str:
    """As Consul prints a duration of whole hours, minutes and seconds (`24h0m0s`, `10s`)."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{text}{rest:g}s"
