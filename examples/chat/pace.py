"""The limit of how often a guest may say something: some at once, then so many a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from examples.chat.errors import TooMany

__all__ = ["USUAL_RATE", "Pace", "Rate"]


class Rate(NamedTuple):
    """So many lines in so many seconds."""

    lines: int = 20
    seconds: float = 10.0


USUAL_RATE = Rate()


class Pace:
    """Tells how long a line has to wait (a token bucket).

    Args:
        rate: so many lines may come at once; later ones at the rate.
        clock: returns the time in seconds.
    """

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic):
        self._interval = rate.seconds / rate.lines
        self._ahead = rate.seconds - self._interval
        self._clock = clock
        # When the next line is due if the guest had spoken at the rate all the time.
        self._due = clock() - self._ahead

    def wait(self, longest: float = math.inf) -> float:
        """Count a line, and return in how many seconds it may be handled.

        Raises:
            TooMany: these are more than ``longest``; the line is not counted.
        """
        now = self._clock()
        start = max(self._due, now - self._ahead)
        if start - now > longest:
            raise TooMany("too many lines; please write more slowly")
        self._due = start + self._interval
        return max(0.0, start - now)
