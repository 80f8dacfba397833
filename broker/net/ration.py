"""The ration: how many lines of the log one source may cause.

A peer that is refused costs a line, and may try again as fast as it likes. Beyond so many lines a
second from one source the rest is only counted, and told in one more.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from broker.net.addresses import source_of
from broker.net.scheduler import Cancellable, Scheduler

__all__ = ["Ration"]


class Ration:
    """The lines that the peers of one server, or one connection, cause.

    Args:
        most: lines a second from one source.
        scheduler: the clock; without one every line is logged, until :meth:`begin` brings it.
    """

    def __init__(self, most: int, scheduler: Scheduler | None = None):
        self._most = most
        self._scheduler = scheduler
        self._began = 0.0
        self._lines: Counter[str] = Counter()
        self._logger = logging.getLogger("broker")
        self._timer: Cancellable | None = None

    def begin(self, scheduler: Scheduler) -> None:
        """Take this clock, if there is none yet."""
        if self._scheduler is None:
            self._scheduler = scheduler

    def warn(self, logger: logging.Logger, address: Any, text: str, *args: Any) -> None:
        """Log a warning about what ``address`` did, or only count it."""
        if self._scheduler is not None:
            now = self._scheduler.now()
            if now - self._began >= 1.0:
                self.settle()
                self._began = now
            source = source_of(address) or str(address)
            self._lines[source] += 1
            if self._lines[source] > self._most:
                self._logger = logger
                if self._timer is None:
                    self._timer = self._scheduler.later(self._began + 1.0 - now, self.settle)
                return
        logger.warning(text, *args)

    def settle(self) -> None:
        """Tell what was only counted, and begin anew."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        for source, lines in self._lines.items():
            if lines > self._most:
                self._logger.warning("%s: … %d similar suppressed", source, lines - self._most)
        self._lines.clear()
