"""Samples for the plots: what happened between two looks at the counters."""

import pytest

from consuldns.process.history import SAMPLES, History, Sample, quantile
from consuldns.server.durations import BUCKETS, Durations


def test_rates_and_durations() -> None:
    history = History()
    history.add(100.0, {"queries_udp": 10, "queries_tcp": 1, "misses": 5, "duration_3": 11})
    assert not history.samples
    after = {"queries_udp": 30, "queries_tcp": 6, "misses": 10, "duration_3": 11}
    history.add(105.0, after | {"duration_0": 20, "duration_4": 5})
    assert list(history.samples) == [Sample(5.0, 1.0, 0.000016, 0.000256)]


def test_counters_that_fell_count_nothing() -> None:
    """A worker may end before it has told what it counted last."""
    history = History()
    history.add(1.0, {"queries_udp": 10, "duration_2": 10})
    history.add(2.0, {"queries_udp": 4, "duration_2": 4})
    assert list(history.samples) == [Sample(0.0, 0.0, 0.0, 0.0)]


def test_only_the_last_minutes_are_kept() -> None:
    history = History()
    for second in range(SAMPLES + 10):
        history.add(float(second), {"queries_udp": second * second})
    assert len(history.samples) == SAMPLES
    assert history.samples[-1].queries == pytest.approx(2 * (SAMPLES + 9) - 1)


@pytest.mark.parametrize("nanoseconds", [1, 15_999, 16_000, 16_001, 32_000, 1_000_000, 10**12])
def test_a_quantile_is_the_upper_end_of_the_bucket(nanoseconds: int) -> None:
    durations = Durations()
    durations.observe(nanoseconds, 100, 7)
    counts = dict(durations)
    found = quantile([counts.get(f"duration_{n}", 0) for n in range(BUCKETS + 1)], 0.99)
    if nanoseconds < 10**12:
        assert nanoseconds / 1e9 <= found < max(2 * nanoseconds / 1e9, 0.000017)
    else:
        assert found > 8.4
