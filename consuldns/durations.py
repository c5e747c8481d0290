"""Durations as Consul writes them: `10s`, `1m30s`, `500ms` (the syntax of Go)."""

import re

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(ns|us|µs|ms|s|m|h)")
NANOSECONDS = 1_000_000_000  # of a second
LONGEST_TEXT = 100  # characters; each unit once has some dozen
LONGEST_SECONDS = 2**63 / NANOSECONDS - 1  # nanoseconds in 64 bits, 292 years


def parse_duration(text: str) -> float:
    """Seconds. A number needs a unit, except 0. Raises ValueError in the words of Consul."""
    sign = -1.0 if text.startswith("-") else 1.0
    unsigned = text.removeprefix("-") if sign < 0 else text.removeprefix("+")
    if unsigned == "0":
        return 0.0
    parts = _PART.findall(unsigned) if len(text) <= LONGEST_TEXT else []
    if not parts or "".join(number + unit for number, unit in parts) != unsigned:
        raise ValueError(f'time: invalid duration "{text}"')
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if seconds > LONGEST_SECONDS:
        raise ValueError(f'time: invalid duration "{text}"')
    return sign * seconds


def format_duration(seconds: float) -> str:
    """As Consul prints a duration of whole hours, minutes and seconds (`24h0m0s`, `10s`)."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{text}{rest:g}s"
