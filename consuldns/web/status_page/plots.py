"""Small plots: lines over the last minutes, drawn as SVG by the page's template."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 320, 80  # units of the drawing
_MARGIN = 4  # above and below the lines


@dataclass(frozen=True, slots=True)
class Line:
    """Values, the oldest first; `now` is how the last one is written."""

    name: str
    values: Sequence[float]
    now: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines on one scale, which begins at 0; `top` is how its upper end is written."""

    title: str
    lines: Sequence[Line]
    most: float
    top: str
    samples: int  # as many fill the width

    def points(self, line: Line) -> str:
        """The corners of a line as SVG wants them; the newest value is at the right."""
        step = WIDTH / max(1, self.samples - 1)
        first = WIDTH - step * (len(line.values) - 1)
        scale = (HEIGHT - 2 * _MARGIN) / self.most if self.most else 0.0
        return " ".join(
            f"{first + n * step:.1f},{HEIGHT - _MARGIN - value * scale:.1f}"
            for n, value in enumerate(line.values)
        )

    @property
    def description(self) -> str:
        """The same in words."""
        return f"{self.title}: " + ", ".join(f"{each.name} {each.now}" for each in self.lines)
