"""Time limits for calls."""

from __future__ import annotations

import asyncio
from types import TracebackType

from broker.errors import CallTimeout

__all__ = ["timeout"]


class timeout:
    """``async with timeout(seconds):`` the calls that are awaited inside end in time.

    Raises:
        CallTimeout: they did not; what was called may have run.
    """

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> timeout:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise CallTimeout(f"no answer in {self._seconds:g} s") from error
