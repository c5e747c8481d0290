"""Pauses after failures."""

from hypothesis import given
from hypothesis import strategies as st

from consuldns.backoff import Backoff

SECONDS = st.floats(0.01, 100)


@given(SECONDS, SECONDS, st.floats(0, 1), st.integers(1, 40))
def test_pauses_double_up_to_the_last_within_the_jitter(
    first: float, last: float, jitter: float, failures: int
) -> None:
    backoff = Backoff(first, last, jitter)
    for _ in range(2):
        nominal = first
        for _ in range(failures):
            pause = backoff.next()
            assert nominal * (1 - jitter) <= pause <= nominal
            nominal = min(2 * nominal, max(first, last))
        backoff.reset()


def test_jitter_spreads() -> None:
    pauses = [Backoff(1.0, 1.0, 0.5).next() for _ in range(200)]
    assert min(pauses) < 0.6
    assert max(pauses) > 0.9
    assert {Backoff(3.0, 9.0, 0.0).next() for _ in range(5)} == {3.0}


async def test_pause_waits() -> None:
    backoff = Backoff(0.001, 0.002)
    await backoff.pause()
    await backoff.pause()
    assert 0.001 <= backoff.next() <= 0.002
