"""Whether something grows: from cycle to cycle, or by the slope of a line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from soak.gauge import Sample

__all__ = ["MOST_SLOPE", "WARM_UP", "Slope", "faults", "grows", "slope", "slope_of", "warm"]

WARM_UP = 0.2
"""The part of the cycles that is not looked at: until caches are full and pools have their size."""
MOST_SLOPE = 1e6
"""Bytes an hour."""
_STAIRS = 4


@dataclass(frozen=True)
class Slope:
    """The slope of a line through points, an hour.

    Attributes:
        value: the slope.
        least, most: between these it lies with 95 % confidence.
    """

    value: float
    least: float
    most: float


def warm(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Return the samples after warm-up."""
    return samples[math.ceil(len(samples) * WARM_UP) :]


def grows(values: Sequence[float]) -> bool:
    """Return whether values grow all the time: cut into four parts, each lies above the one before.

    One step, such as a module that is loaded late, is no growth, and neither is noise.
    """
    size = len(values) // _STAIRS
    if not size:
        raise ValueError(f"{len(values)} cycles after warm-up, of at least {_STAIRS}")
    start = len(values) - _STAIRS * size
    parts = [values[start + size * i : start + size * (i + 1)] for i in range(_STAIRS)]
    return all(max(one) < min(next_) for one, next_ in pairwise(parts))


def slope(points: Sequence[tuple[float, float]]) -> Slope:
    """Fit a line to (seconds, value) by least squares.

    What deviates from the line lasts from one cycle to the next: the points count for as many as
    would be independent, by the correlation of one deviation with the next.
    """
    n = len(points)
    mean_x = sum(x for x, _ in points) / n
    mean_y = sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    value = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    rest = [y - mean_y - value * (x - mean_x) for x, y in points]
    squares = sum(r * r for r in rest)
    follow = sum(a * b for a, b in pairwise(rest))
    correlation = max(0.0, min(0.99, follow / squares)) if squares else 0.0
    count = n * (1 - correlation) / (1 + correlation)
    if count <= 3:
        return Slope(value * 3600, -math.inf, math.inf)
    error = math.sqrt(squares / (n * (count - 2) / count) / spread * n / count)
    margin = _t(count - 2) * error
    return Slope(value * 3600, (value - margin) * 3600, (value + margin) * 3600)


def slope_of(samples: Sequence[Sample], attribute: str) -> Slope:
    """Return the slope of one attribute of the samples."""
    return slope([(sample.seconds, getattr(sample, attribute)) for sample in samples])


def faults(samples: Sequence[Sample]) -> list[str]:
    """Return what is wrong with a soak, one sentence each."""
    late = warm(samples)
    found = [
        f"{name} grow from cycle to cycle: {getattr(late[0], attribute):,} at first,"
        f" {getattr(late[-1], attribute):,} at the end"
        for attribute, name in _NAMES.items()
        if grows([getattr(sample, attribute) for sample in late])
    ]
    for name, attribute in (("resident memory", "resident"), ("memory in use", "in_use")):
        line = slope_of(late, attribute)
        if line.least > MOST_SLOPE:
            found.append(
                f"{name} grows by {line.value / 1e6:.2f} MB an hour, and by more than"
                f" {MOST_SLOPE / 1e6:.0f} with 95 % confidence ({line.least / 1e6:.2f} to"
                f" {line.most / 1e6:.2f})"
            )
    return found


_NAMES = {"objects": "live objects", "tables": "tables", "traced": "traced bytes"}


def _t(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's distribution, by Cornish and Fisher's expansion."""
    z = 1.959964
    first = (z**3 + z) / (4 * freedom)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    return z + first + second + third
