"""How long to wait before the next attempt: delays that grow, and differ by chance.

Chance is there for a server that comes back: its clients would otherwise all come at once.
"""

from __future__ import annotations

import random
from typing import Final

__all__ = ["grown_delay", "longer_delay", "varied_delay"]

# Enough to be beyond every maximum, and no overflow.
_MOST_FAILURES: Final = 100


def grown_delay(failures: int, *, first: float, factor: float, most: float) -> float:
    """Return the delay after so many failed attempts, by their number alone.

    Args:
        failures: how many attempts have failed.
        first: seconds, times ``factor`` for each of these.
        factor: see there.
        most: seconds; no delay is longer.
    """
    try:
        delay = first * factor ** min(_MOST_FAILURES, failures)
    except OverflowError:
        return most
    return min(delay, most)


def longer_delay(delay: float, *, factor: float, most: float) -> float:
    """Return the delay after one of ``delay`` seconds: ``factor`` times that, at most ``most``."""
    return min(delay * factor, most)


def varied_delay(delay: float, deviation: float) -> float:
    """Return a delay near ``delay`` seconds, by chance: with a normal distribution.

    Args:
        delay: the mean, in seconds.
        deviation: the standard deviation, as a part of ``delay``.
    """
    return abs(random.normalvariate(delay, delay * deviation))
