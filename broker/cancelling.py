"""Ends tasks of this library: they are cancelled until they have ended."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["end_tasks"]

_AGAIN = 1.0


async def end_tasks(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks, and wait until they have ended; their errors are left to them.

    A task that still runs after a second is cancelled again: `asyncio.wait_for` before Python 3.12
    loses a cancellation that comes together with the result, and libraries use it. So this is not
    for tasks of applications, which may take their time to end.

    Args:
        tasks: the tasks; None is left out.

    Raises:
        CancelledError: the task that waits here was cancelled. It is raised after the tasks have
            ended, so that none of them outlives it.
    """
    pending = {task for task in tasks if task is not None and not task.done()}
    cancelled: asyncio.CancelledError | None = None
    while pending:
        for task in pending:
            task.cancel()
        try:
            await asyncio.wait(pending, timeout=_AGAIN)
        except asyncio.CancelledError as error:
            cancelled = error
        pending = {task for task in pending if not task.done()}
    if cancelled is not None:
        try:
            raise cancelled
        finally:
            del cancelled
