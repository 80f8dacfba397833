"""Time limits for calls."""

from __future__ import annotations

import asyncio
from contextvars import Token
from types import TracebackType

from broker.core.calls.deadline import DEADLINE, deadline_at
from broker.errors import CallTimeout, ConfigError

__all__ = ["checked_seconds", "timeout"]

# Seconds by which a peer may act early on a deadline that was sent to it.
_EARLY = 0.05


def checked_seconds(seconds: float) -> float:
    """Return the seconds of a time limit.

    Raises:
        ConfigError: it is not a number.
    """
    if type(seconds) not in (int, float) or seconds != seconds:
        raise ConfigError(f"timeout({seconds!r}): give a number of seconds")
    return seconds


class timeout:
    """``async with timeout(seconds):`` limits the time of the calls that are awaited inside.

    Calls in ``msgpack/1`` send the deadline, and the peer cancels its method then.

    Raises:
        CallTimeout: a call did not end in time; its method may have run.
        ConfigError: ``seconds`` is not a number. With 0 or less the time is over at once.
    """

    def __init__(self, seconds: float):
        self._seconds = checked_seconds(seconds)
        self._timeout = asyncio.timeout(seconds)
        self._token: Token[float | None] | None = None

    @classmethod
    def until(cls, end: float, seconds: float) -> timeout:
        """Return a limit of ``seconds`` that ends at ``end``, by the clock of the loop."""
        limit = cls(seconds)
        limit._timeout = asyncio.timeout_at(end)
        return limit

    async def __aenter__(self) -> timeout:
        await self._timeout.__aenter__()
        own = self._timeout.when()
        outer = deadline_at(asyncio.get_running_loop().time())
        if own is not None:
            self._token = DEADLINE.set(own if outer is None else min(own, outer))
        return self

    def _is_due(self) -> bool:
        end = self._timeout.when()
        return end is not None and end - asyncio.get_running_loop().time() < _EARLY

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._token is not None:
            DEADLINE.reset(self._token)
        try:
            await self._timeout.__aexit__(kind, error, traceback)
            if isinstance(error, CallTimeout) and self._is_due():
                # The peer has this deadline too, and acted on it first.
                raise TimeoutError
        except TimeoutError:
            raise CallTimeout(f"no answer in {self._seconds:g} s") from error
