"""The health of a server: its own state, and the checks of the application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from broker.inspection.contract import Health
from broker.inspection.sampler import Sampler
from broker.printable import printable, text_of_error

__all__ = ["CHECK_TIME", "Checks", "health_of", "state_of_server"]

CHECK_TIME = 1.0
"""Seconds that a check of the application has."""

HELD, BUSY, LAG = 10.0, 10.0, 1.0
"""Overloaded: a connection is held for so many seconds, a limit has refused work in so many, or the
loop was late by so many."""

Check = Callable[[], Awaitable[object]]


class Checks:
    """The checks of an application.

    ::

        async def database():
            await pool.execute("select 1")

        server.health.add("database", database)
    """

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        # The names of those that failed the last time.
        self.failed: tuple[str, ...] = ()

    def add(self, name: str, check: Check) -> None:
        """Add a check, which replaces another one of that name.

        Args:
            name: for the operator.
            check: ``await check()`` returns if all is well, and raises if not. It has one second.
        """
        self._checks[name] = check

    def remove(self, name: str) -> None:
        """Remove a check.

        Raises:
            KeyError: there is no such check.
        """
        del self._checks[name]
        self.failed = tuple(each for each in self.failed if each != name)

    @property
    def are_there(self) -> bool:
        """Whether there are any."""
        return bool(self._checks)

    async def run(self) -> dict[str, str]:
        """Run all checks at once; return for each an empty text, or why it has failed."""
        names = list(self._checks)
        texts = await asyncio.gather(*(_run(self._checks[name]) for name in names))
        results = dict(zip(names, texts, strict=True))
        # One may have been removed meanwhile.
        self.failed = tuple(name for name, text in results.items() if text and name in self._checks)
        return results


def state_of_server(is_closing: bool, sampler: Sampler, failed: tuple[str, ...]) -> str:
    """Return the state in words."""
    if is_closing:
        return "draining"
    now = time.monotonic()
    is_held = any(now - since > HELD for since in sampler.held_since.values())
    is_busy = sampler.busy_at is not None and now - sampler.busy_at < BUSY
    is_late = bool(sampler.lags) and sampler.lags[-1] > LAG
    if is_held or is_busy or is_late:
        return "overloaded"
    return f"degraded: {failed[0]}" if failed else "serving"


async def health_of(is_closing: bool, sampler: Sampler, checks: Checks) -> Health:
    """Return the health, after all checks have run."""
    results = await checks.run()
    state = state_of_server(is_closing, sampler, checks.failed)
    return Health(state, state == "serving", results)


async def _run(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIME):
            await check()
    except TimeoutError:
        return f"not done in {CHECK_TIME:g} s"
    except Exception as exc:  # noqa: BLE001 - any error means that it failed
        # The text of an error may have secrets of the application.
        return printable(type(exc).__name__, 100) if text_of_error(exc, 10) else type(exc).__name__
    return ""
