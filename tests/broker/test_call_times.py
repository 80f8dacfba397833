"""The histogram of calls: each time is in its bucket, however many come between two looks."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from broker.call_times import BUCKETS, CallTimes

SECONDS = st.floats(0, 20) | st.sampled_from(BUCKETS)


@given(st.lists(st.lists(SECONDS, max_size=40), max_size=5))
def test_buckets(batches: list[list[float]]) -> None:
    """A time is in the first bucket whose bound is not below it; the sum is that of all."""
    calls, model = CallTimes(), [0] * (len(BUCKETS) + 1)
    for batch in batches:
        for seconds in batch:
            calls.times.append(seconds)
            model[bisect_left(BUCKETS, seconds)] += 1
        assert calls.below == list(accumulate(model))
        assert calls.times == []
    total = sum(sum(batch) for batch in batches)
    assert abs(calls.seconds - total) < 1e-6
