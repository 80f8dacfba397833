"""The lease of this node: begins it, renews it, and notices its end before the directory does.

Theory of operation. The lease is counted from before the request to renew it was sent, and a tenth
shorter than the directory counts it. So this node stops serving its names before another can claim
them, unless its clock runs slower by more than that, even if the directory cannot be reached. The
clock goes on while the machine sleeps, where the system has one that does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable

from broker.backoff import jittered_delay
from broker.cancelling import end_tasks
from broker.topics.directory import Directory
from broker.traces import log_error

__all__ = ["Membership", "steady_seconds"]

logger = logging.getLogger("broker.cluster")

_RENEWALS = 3
_SAFE = 0.9


def steady_seconds() -> float:
    """Return seconds of a clock that goes on while the machine sleeps, if there is one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Membership:
    """The lease of one node.

    Args:
        directory: keeps it.
        seconds: the length that is asked for.
        joined: is called when a lease has begun.
        ended: is called when it has ended.
        now: the clock, in seconds.

    Attributes:
        node: the id of this node under the present lease, or the last one.
    """

    def __init__(
        self,
        directory: Directory,
        seconds: float,
        joined: Callable[[], None],
        ended: Callable[[], None],
        now: Callable[[], float] = steady_seconds,
    ):
        self.node = ""
        self._directory = directory
        self._seconds = seconds
        self._joined = joined
        self._ended = ended
        self._now = now
        self._until = float("-inf")
        self._has_joined = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def holds(self) -> bool:
        """Whether the lease surely holds now."""
        return self._now() < self._until

    def start(self, address: str) -> None:
        """Begin to join; ``address`` is where other nodes reach this one."""
        self._task = asyncio.get_running_loop().create_task(self._run(address))

    async def ready(self) -> None:
        """Wait until the lease holds."""
        while not self.holds:
            await self._has_joined.wait()
            if not self.holds:
                # It has ended, and this is not noticed yet.
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Renew the lease no more, and count it as ended."""
        self._until = float("-inf")
        await end_tasks(self._task)

    async def _run(self, address: str) -> None:
        failures = 0
        while True:
            try:
                seconds = await self._join(address)
                failures = 0
                self._joined()
                await self._renew(seconds)
            except Exception as error:  # noqa: BLE001 - whatever it is, it joins again
                failures += 1
                if failures in (1, 10) or failures % 100 == 0:
                    text = "the directory of names cannot be used"
                    log_error(logger, text, error, level=logging.WARNING)
            finally:
                had_one = self._has_joined.is_set()
                self._until = float("-inf")
                self._has_joined.clear()
                if had_one:
                    self._ended()
            await asyncio.sleep(jittered_delay(failures + 1, first=0.1, factor=2.0, most=1.0))

    async def _join(self, address: str) -> float:
        began = self._now()
        self.node = secrets.token_hex(8)
        seconds = await self._directory.join(self.node, address, self._seconds)
        self._until = began + seconds * _SAFE
        self._has_joined.set()
        return seconds

    async def _renew(self, seconds: float) -> None:
        """Renew the lease until it has ended."""
        every = seconds / _RENEWALS
        delay = every
        while True:
            await asyncio.sleep(min(delay, max(0.0, self._until - self._now())))
            began = self._now()
            left = self._until - began
            if left <= 0:
                logger.warning("the lease of this node has ended: it could not be renewed in time")
                return
            renewed = None
            with contextlib.suppress(Exception):
                async with asyncio.timeout(left):
                    renewed = await self._directory.renew()
            if renewed is False:
                logger.warning("the lease of this node has ended: the directory has it no more")
                return
            if renewed and self.holds:
                self._until = began + seconds * _SAFE
            delay = every if renewed else min(every / 4, 1.0)
