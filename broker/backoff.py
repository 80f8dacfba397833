"""Delays between attempts: they grow, and they are random.

They are random so that the clients of a restarted server do not all connect at the same moment.
"""

from __future__ import annotations

import random
from typing import Final

__all__ = ["grown_delay", "jittered_delay", "longer_delay", "varied_delay"]

# Enough to exceed every maximum, without an overflow.
_MOST_FAILURES: Final = 100


def grown_delay(failures: int, *, first: float, factor: float, most: float) -> float:
    """Return ``first * factor ** failures`` seconds, at most ``most``.

    Args:
        failures: the number of failed attempts.
        first: the delay before the first failure, in seconds.
        factor: the growth for each failure.
        most: the longest delay, in seconds.
    """
    try:
        delay = first * factor ** min(_MOST_FAILURES, failures)
    except OverflowError:
        return most
    return min(delay, most)


def jittered_delay(attempt: int, *, first: float, factor: float, most: float) -> float:
    """Return a random delay before an attempt, in seconds; every value is as likely as another.

    Args:
        attempt: 1 for the first attempt that has a delay; its delay is at most ``first``.
        first, factor, most: as of `grown_delay`.
    """
    longest = grown_delay(attempt - 1, first=first, factor=factor, most=most)
    return random.uniform(0.0, longest)  # noqa: S311 - no secret


def longer_delay(delay: float, *, factor: float, most: float) -> float:
    """Return ``delay * factor`` seconds, at most ``most``."""
    return min(delay * factor, most)


def varied_delay(delay: float, deviation: float) -> float:
    """Return a random delay in seconds, normally distributed around ``delay``.

    Args:
        delay: the mean, in seconds.
        deviation: the standard deviation, as a fraction of ``delay``.
    """
    return abs(random.normalvariate(delay, delay * deviation))
