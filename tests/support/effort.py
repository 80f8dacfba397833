"""How much work something is: its processor time in units of a fixed piece of work.

What else the machine does slows down both alike, through caches and clocks. So the quotient says
the same on a busy machine as on a quiet one. A unit is 10 ms where nothing else runs.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

UNIT = 0.010
"""Seconds that a unit takes on a quiet machine."""

# On a processor of 2024 they take 8 ms.
_TURNS = 150_000


def units(action: Callable[[], object], enough: float = 0.0, tries: int = 5) -> float:
    """Return the least units of work that an action has taken in this thread, of a few tries.

    Args:
        action: what is measured.
        enough: it is not tried again once it has taken no more than this.
        tries: at most so many.
    """
    return seconds(lambda _: action(), enough=enough * UNIT, tries=tries) / UNIT


def seconds(
    action: Callable[[Any], object],
    prepare: Callable[[], Any] = lambda: None,
    enough: float = 0.0,
    tries: int = 5,
) -> float:
    """Return the least seconds of a quiet machine that an action has taken in this thread.

    Args:
        action: is called with what `prepare` returned, once for each try.
        prepare: is not measured.
        enough, tries: as for `units`.
    """
    least = float("inf")
    gc.freeze()
    try:
        for _ in range(tries):
            prepared = prepare()
            begin = time.thread_time()
            action(prepared)
            taken = time.thread_time() - begin
            least = min(least, taken)
            if least > enough:
                least = min(least, taken / slowness())
            if least <= enough:
                break
    finally:
        gc.unfreeze()
    return least


def slowness() -> float:
    """Return how many times longer than on a quiet machine work takes now; at least 1."""
    begin = time.thread_time()
    table: dict[int, list[int]] = {}
    for n in range(_TURNS):
        table[n & 1023] = [n]
    return max(1.0, (time.thread_time() - begin) / UNIT)
