"""Asks the directory, within a time, and tells what it cannot do by errors of this library."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

from broker.errors import Disconnected

__all__ = ["answer_of", "lease_within"]

T = TypeVar("T")

_SECONDS = 6.0


async def answer_of(asking: Awaitable[T]) -> T:
    """Return what the directory answers.

    Raises:
        Disconnected: it cannot be used.
    """
    try:
        async with asyncio.timeout(_SECONDS):
            return await asking
    except Exception as error:
        kind = type(error).__name__
        raise Disconnected(f"the directory of names cannot be used: {kind}") from error


@contextlib.asynccontextmanager
async def lease_within(seconds: float) -> AsyncIterator[None]:
    """Limit the time of what waits for a lease of this node.

    Raises:
        Disconnected: the time is over.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Disconnected(f"the directory of names gave no lease in {seconds:g} s") from None
