"""The targets: how many times as fast as Twisted's Perspective Broker each workload shall be.

Streams have targets of their own, since Twisted has no streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["MEMORY", "PB_DIALECT", "START_UP", "STREAMS", "TARGETS", "Goal"]

TARGETS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "W1 one core": (3.5, 6),
        "W2": (14, 20),
        "W3": (70, 75),
        "W4": (6, 6),
        "W4 paging": (1.4, 1.4),
        "W5 200k": (60, 60),
        "W6": (5, 6),
        "W6b": (8, 12),
        "W7": (2.5, 3),
        "W7 TLS": (2, 2.2),
        "W8": (12, 18),
    }
)
"""The ratio to Twisted by workload: in asyncio's own loop, and in uvloop."""

PB_DIALECT: Mapping[str, float] = MappingProxyType(
    {"W1 one core": 2, "W2": 2.5, "W3": 3, "W5 200k": 3}
)
"""The ratio to Twisted in the ``pb`` dialect."""

MEMORY: Mapping[str, float] = MappingProxyType({"W7 TLS": 40})
"""The KiB that an idle connection may take in the server, in either loop."""


class Goal(NamedTuple):
    """The target of one figure of a workload, in either loop.

    Attributes:
        label: the name of the row.
        workload: it has the figure.
        key: the key of the figure.
        goal: the target.
        is_most: whether the figure may be at most this; otherwise it must be at least this.
        against: the workload of Twisted whose figure the figure is divided by; None for the figure
            itself.
    """

    label: str
    workload: str
    key: str
    goal: float
    is_most: bool = False
    against: str | None = None


STREAMS = (
    Goal("S1, items/s", "S1", "rate", 500_000),
    Goal("S2, MB/s", "S2", "mb_s", 400),
    Goal("S2, to W4 paging of Twisted", "S2", "rate", 1, against="W4 paging"),
    Goal("S3, 10 streams to 1", "S3", "to_one", 0.9),
    Goal("S4, 99 %, to a call alone", "S4", "to_alone", 3, is_most=True),
    Goal("S4 ints, 99 %, to a call alone", "S4 ints", "to_alone", 3, is_most=True),
)
"""The targets of streams."""

START_UP = 1.5
"""How many times as long as importing what it stands on ``import broker`` may take."""
