"""How long ``import broker`` takes, beside its requirements."""

from __future__ import annotations

import os
import subprocess
import sys

__all__ = ["seconds"]

OURS = "import broker; broker.serve; broker.connect"
PLAIN = "import asyncio, OpenSSL.SSL, zope.interface, msgspec"

_TIMED = "import time; begun = time.perf_counter(); {}; print(time.perf_counter() - begun)"


def seconds(times: int, *, pure: bool = False) -> list[tuple[float, float]]:
    """Return the seconds of both imports, so many times, each in an interpreter of its own.

    The start of an interpreter is not counted. The first of each is left out: it may be the one
    that compiles.

    Args:
        times: how many pairs.
        pure: whether BROKER_PURE=1 is in the environment.
    """
    return [(_one(OURS, pure), _one(PLAIN, pure)) for _ in range(times + 1)][1:]


def _one(imports: str, pure: bool) -> float:
    command = [sys.executable, "-c", _TIMED.format(imports)]
    environment = {**os.environ, **({"BROKER_PURE": "1"} if pure else {})}
    # Otherwise each interpreter would compile what no installer has compiled, as in a checkout.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(ended.stdout)
