"""What some texts end in, after a separator: the empty non-terminals of dotted names and tags."""

from bisect import bisect_left
from collections.abc import Iterable


class Endings:
    """Texts, sorted from their ends, so that an ending is looked up without a table of all.

    Such a table takes the square of a text's length: anybody who may register a service would fill
    the memory of every process with one tag of a megabyte of dots.
    """

    def __init__(self, separator: bytes, texts: Iterable[bytes]) -> None:
        self._separator = separator
        self._backwards = sorted(text[::-1] for text in texts if separator in text)

    def __contains__(self, ending: bytes) -> bool:
        """Whether a text ends in the separator and this."""
        wanted = (self._separator + ending)[::-1]
        position = bisect_left(self._backwards, wanted)
        found = self._backwards[position : position + 1]
        return bool(found) and found[0].startswith(wanted)

    def __len__(self) -> int:
        return len(self._backwards)
