"""Delays between attempts: how they grow, and how they differ."""

from __future__ import annotations

import random
import statistics
from typing import Any

import pytest

from broker.backoff import grown_delay, longer_delay, varied_delay


@pytest.mark.parametrize(
    ("settings", "delays"),
    [
        ({"first": 1.0, "factor": 1.5, "most": 60.0}, [1, 1.5, 2.25, 60, 60, 60]),
        ({"first": 2, "factor": 3, "most": 100}, [2, 6, 18, 100, 100, 100]),
        ({"first": 1, "factor": 1e300, "most": 10}, [1, 10, 10, 10, 10, 10]),
        ({"first": 5, "factor": 2, "most": 3}, [3, 3, 3, 3, 3, 3]),
        ({"first": 1, "factor": 1, "most": 3}, [1, 1, 1, 1, 1, 1]),
    ],
)
def test_a_delay_by_the_number_of_failures(settings: Any, delays: list[float]) -> None:
    """It grows by its factor with each failure, up to its maximum, however many there were."""
    numbers = (0, 1, 2, 100, 101, 10**6)
    assert [grown_delay(number, **settings) for number in numbers] == delays


def test_the_most_failures_that_count() -> None:
    """Beyond a hundred failures a delay grows no more, also one that has not reached the most."""
    delays = [grown_delay(number, first=1, factor=1.01, most=9) for number in (99, 100, 101)]
    assert delays == [1.01**99, 1.01**100, 1.01**100]


def test_a_delay_by_the_one_before() -> None:
    """It is longer by its factor, up to its maximum."""
    assert [longer_delay(delay, factor=2.5, most=10) for delay in (2, 4, 8)] == [5, 10, 10]


def test_chance() -> None:
    """Delays are spread around the mean, by that part of it, and none is negative."""
    random.seed(5)
    delays = [varied_delay(8.0, 0.25) for _ in range(2000)]
    assert statistics.mean(delays) == pytest.approx(8, rel=0.05)
    assert statistics.stdev(delays) == pytest.approx(2, rel=0.1)
    assert min(varied_delay(1.0, 4.0) for _ in range(200)) >= 0
    assert varied_delay(3.0, 0.0) == 3
