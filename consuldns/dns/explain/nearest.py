"""The name that was probably meant: the nearest by edit distance among those that exist."""

from collections.abc import Iterable
from itertools import islice

MAX_NAMES = 20_000  # that are looked at: a catalog may have any number
MAX_DISTANCE = 2  # edits; a third of the name at most


def nearest(wanted: bytes, among: Iterable[bytes]) -> bytes | None:
    """The nearest of the folded names, the first in order of equals; None if none is near.

    An edit is a byte inserted, left out or replaced, or two neighbours swapped.
    """
    if len(wanted) < 2:
        return None  # everything is near
    best, limit = None, min(MAX_DISTANCE, max(1, len(wanted) // 3))
    for name in sorted(islice(among, MAX_NAMES)):
        if name == wanted or abs(len(name) - len(wanted)) > limit:
            continue
        distance = _distance(wanted, name)
        if distance <= limit:
            best, limit = name, distance - 1
        if limit == 0:
            break
    return best


def _distance(one: bytes, other: bytes) -> int:
    """The optimal string alignment distance."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        above, before_above = row, before
        row = [i]
        for j, right in enumerate(other, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (left != right))
            if i > 1 and j > 1 and left == other[j - 2] and one[i - 2] == right:
                cost = min(cost, before_above[j - 2] + 1)
            row.append(cost)
        before = above
    return row[-1]
