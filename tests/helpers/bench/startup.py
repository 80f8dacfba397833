"""How long ``import broker`` takes, beside what it stands on."""

from __future__ import annotations

import subprocess
import sys

__all__ = ["seconds"]

OURS = "import broker; broker.serve; broker.connect"
PLAIN = "import asyncio, OpenSSL.SSL, zope.interface, msgspec"

_TIMED = "import time; begun = time.perf_counter(); {}; print(time.perf_counter() - begun)"


def seconds(times: int) -> list[tuple[float, float]]:
    """Return so many times what ours and the others take, each in an interpreter of its own.

    What an interpreter needs for its own start is not counted. The first of each is left out: it
    may be the one that compiles.
    """
    return [(_one(OURS), _one(PLAIN)) for _ in range(times + 1)][1:]


def _one(imports: str) -> float:
    command = [sys.executable, "-c", _TIMED.format(imports)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
