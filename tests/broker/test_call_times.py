"""The histogram of calls: each time is in its bucket, however many come between two looks."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from time import perf_counter

from hypothesis import given
from hypothesis import strategies as st

from broker.call_times import BUCKETS, CallTimes

SECONDS = st.floats(0, 20) | st.sampled_from(BUCKETS)


@given(st.lists(st.tuples(SECONDS, st.booleans()), max_size=40))
def test_buckets(given: list[tuple[float, bool]]) -> None:
    """A time is in the first bucket whose bound is not below it; the sum is that of all.

    The quick path of a call adds some of the short ones.
    """
    calls, model = CallTimes(perf_counter), [0] * (len(BUCKETS) + 1)
    for seconds, is_quick in given:
        if is_quick and seconds <= calls.most_short:
            calls.short += 1
            calls.seconds += seconds
        else:
            calls.add(seconds)
        model[bisect_left(BUCKETS, seconds)] += 1
        assert calls.below == list(accumulate(model))
    assert abs(calls.seconds - sum(seconds for seconds, _ in given)) < 1e-6
