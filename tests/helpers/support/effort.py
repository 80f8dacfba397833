"""Measures work: its processor time in units of a fixed piece of work.

Other load on the machine slows down both alike, through caches and clocks. So the quotient is the
same on a busy machine and on an idle one. A unit is 10 ms on an idle machine.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

UNIT = 0.010
"""The seconds of a unit on an idle machine."""

# On a processor of 2024 they take 8 ms.
_TURNS = 150_000


def units(action: Callable[[], object], enough: float = 0.0, tries: int = 5) -> float:
    """Return the least work of an action in this thread, in units, of a few tries.

    Args:
        action: the measured action.
        enough: no further try is made after a result of at most this.
        tries: the most tries.
    """
    return seconds(lambda _: action(), enough=enough * UNIT, tries=tries) / UNIT


def seconds(
    action: Callable[[Any], object],
    prepare: Callable[[], Any] = lambda: None,
    enough: float = 0.0,
    tries: int = 5,
) -> float:
    """Return the least seconds, as on an idle machine, that an action takes in this thread.

    Args:
        action: called with the result of `prepare`, once for each try.
        prepare: not measured.
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
    """Return how many times longer than on an idle machine work takes now; at least 1."""
    begin = time.thread_time()
    table: dict[int, list[int]] = {}
    for n in range(_TURNS):
        table[n & 1023] = [n]
    return max(1.0, (time.thread_time() - begin) / UNIT)
