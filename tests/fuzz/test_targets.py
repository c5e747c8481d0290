"""Every target holds for its seeds, and for seeds with a few octets changed."""

from random import Random

import pytest

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

CHANGED = 60  # variants of each seed


def spoiled(seed: bytes, chance: Random) -> bytes:
    """The seed with some octets changed, removed or repeated."""
    content = bytearray(seed)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(content) + 1)
        match chance.randrange(3):
            case 0 if at < len(content):
                content[at] = chance.choice((0, 0xFF, 0xC0, chance.randrange(256)))
            case 1:
                del content[at : at + chance.randint(1, 8)]
            case _:
                content[at:at] = content[at : at + chance.randint(1, 16)]
    return bytes(content)


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found_near_the_seeds(target: str) -> None:
    chance = Random(1)
    found = list(seeds(target))
    assert len(found) >= 3
    for seed in found:
        TARGETS[target](seed)
        for _ in range(CHANGED):
            TARGETS[target](spoiled(seed, chance))
