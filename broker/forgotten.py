"""Forgotten awaits: the warning for what was made to be awaited, and never was."""

from __future__ import annotations

import warnings

__all__ = ["warn_never_awaited"]


def warn_never_awaited(call: str, thing: str, source: object) -> None:
    """Warn that what a call returned was never awaited; for the finalizer of that.

    Args:
        call: the call, as it was written.
        thing: what awaiting it makes, such as ``"connection"``.
        source: the object; where tracemalloc runs, the warning says where it was made.
    """
    function = call.partition("(")[0]
    warnings.warn(
        f"{call} was never awaited, so there is no {thing}: write"
        f" 'await {function}(…)' or 'async with {function}(…)'",
        RuntimeWarning,
        stacklevel=3,
        source=source,
    )
