"""How a helper that is a program is run: its command line and its environment."""

from __future__ import annotations

import os
import sys

from support.folders import HELPERS

__all__ = ["command", "environment"]


def command(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs a helper, such as ``bench.run``, in this Python."""
    return [sys.executable, "-m", module, *arguments]


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of this process, in which Python imports the helpers.

    Args:
        variables: what to set besides. A given ``PYTHONPATH`` replaces that of this process.
    """
    made = {**os.environ, **variables}
    made["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HELPERS), made.get("PYTHONPATH"))))
    return made
