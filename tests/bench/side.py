"""How a side of a measurement talks to whoever started it: JSON lines in and out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["orders", "say", "wait_for_end"]


def say(value: Any) -> None:
    """Print one value."""
    print(json.dumps(value), flush=True)


def orders() -> Iterator[tuple[str, float]]:
    """Yield what is asked for: the name of a workload, and for how many seconds.

    The loop stands still while it waits; nothing is measured then.
    """
    for line in sys.stdin:
        name, seconds = json.loads(line)
        yield name, seconds


def wait_for_end() -> None:
    """Return when the standard input ends, which it does with whoever started this process."""
    sys.stdin.read()
