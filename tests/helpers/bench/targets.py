"""The targets: how many times as fast as Twisted's Perspective Broker each workload shall be.

Streams have targets of their own, since Twisted has no streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

__all__ = [
    "FORMS",
    "MEMORY",
    "OLDEST_PYTHON",
    "OWN",
    "PB_DIALECT",
    "PB_MIXED",
    "PB_PAIRINGS",
    "START_UP",
    "STREAMS",
    "TARGETS",
    "Goal",
]

FORMS = ("ours", "ours-uvloop", "ours-pure")
"""The pairings that have targets: compiled in asyncio's loop, in uvloop, and pure Python."""

TARGETS: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "W1 one core": (5.5, 7.5, 3.1),
        "W2": (35, 35, 13),
        "W2 async": (20, 20, 6),
        "W3": (120, 120, 80),
        "W4": (11, 11, 11),
        "W4 paging": (1.4, 1.4, 1.4),
        "W5 200k": (95, 95, 55),
        "W6": (6.5, 7, 4.6),
        "W6b": (20, 20, 14.5),
        "W7": (1.5, 1.8, 1.4),
        "W7 TLS": (1, 1, 1),
        "W8": (30, 30, 11),
    }
)
"""The ratio to Twisted by workload, for each of `FORMS`."""

OLDEST_PYTHON: Mapping[str, tuple[int, int]] = MappingProxyType({"W2 async": (3, 12)})
"""The first Python in which the target of a workload holds. An older one is not judged by it."""

PB_PAIRINGS = ("ours-pb", "ours-pb-pure")
"""The pairings of broker that have targets in the ``pb`` dialect: compiled, and pure Python."""

PB_DIALECT: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"W1 one core": (1.7, 1.7), "W2": (9, 7.7), "W3": (5, 3.3), "W5 200k": (12, 5.5)}
)
"""The ratio to Twisted in the ``pb`` dialect, for each of `PB_PAIRINGS`."""

PB_MIXED: Mapping[str, float] = MappingProxyType(
    {"W1 one core": 2, "W2": 2.5, "W3": 3, "W5 200k": 3}
)
"""The ratio to two of Twisted where one end is Twisted's."""

MEMORY: Mapping[str, float] = MappingProxyType({"W7 TLS": 40})
"""The KiB that an idle connection may take in the server, for each of `FORMS`."""


class Goal(NamedTuple):
    """The target of one figure of a workload, for each of `FORMS` that runs it.

    Attributes:
        label: the name of the row.
        workload: it has the figure.
        key: the key of the figure.
        goal: the target.
        is_most: whether the figure may be at most this; otherwise it must be at least this.
        against: the workload whose figure the figure is divided by; None for the figure itself.
        is_own: whether that workload is the pairing's own; otherwise it is Twisted's.
    """

    label: str
    workload: str
    key: str
    goal: float
    is_most: bool = False
    against: str | None = None
    is_own: bool = False


OWN = (Goal("W2 typed, to W2", "W2 typed", "rate", 0.95, against="W2", is_own=True),)
"""The targets of calls in relation to other calls of the same pairing."""

STREAMS = (
    Goal("S1, items/s", "S1", "rate", 500_000),
    Goal("S1, items to calls of W2", "S1", "rate", 3, against="W2", is_own=True),
    Goal("S2, MB/s", "S2", "mb_s", 400),
    Goal("S2, to W4 paging of Twisted", "S2", "rate", 1, against="W4 paging"),
    Goal("S3, 10 streams to 1", "S3", "to_one", 0.9),
    Goal("S4, 99 %, to a call alone", "S4", "to_alone", 3, is_most=True),
    Goal("S4 ints, 99 %, to a call alone", "S4 ints", "to_alone", 3, is_most=True),
)
"""The targets of streams."""

START_UP = 1.5
"""How many times as long as importing its requirements ``import broker`` may take."""
