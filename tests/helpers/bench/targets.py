"""The targets: how many times as fast as Twisted's Perspective Broker each workload shall be."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["MEMORY", "PB_DIALECT", "START_UP", "TARGETS"]

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

START_UP = 1.5
"""How many times as long as importing what it stands on ``import broker`` may take."""
