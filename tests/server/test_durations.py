"""Buckets: what is measured is where it belongs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.server.durations import BUCKETS, FIRST_NANOSECONDS, SIZES, Durations


@given(st.integers(0, 10**11), st.integers(12, 65_535), st.integers(1, 64))
def test_each_is_in_the_first_bucket_that_holds_it(nanoseconds: int, octets: int, n: int) -> None:
    durations = Durations()
    durations.observe(nanoseconds, octets, n)
    found = dict(durations)
    ends = [FIRST_NANOSECONDS * 2**number for number in range(BUCKETS)]
    bucket = next((k for k, end in enumerate(ends) if nanoseconds <= end), BUCKETS)
    size = next(k for k, end in enumerate(SIZES) if octets <= end)
    assert found[f"duration_{bucket}"] == found[f"size_{size}"] == n
    assert found["duration_nanoseconds"] == nanoseconds * n
    assert found["size_octets"] == octets * n
    assert len(found) == 4


@pytest.mark.parametrize(("nanoseconds", "bucket"), [(0, 0), (1, 0), (16_000, 0), (16_001, 1)])
def test_the_ends_of_buckets(nanoseconds: int, bucket: int) -> None:
    durations = Durations()
    durations.observe(nanoseconds, 100)
    assert dict(durations)[f"duration_{bucket}"] == 1
