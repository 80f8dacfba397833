"""Limits the bytes that all connections of one server hold together.

Theory of operation. A connection holds the bytes that it has received and not handled, including an
incomplete message, and the bytes that it has not sent. A connection that holds more than 64 KiB
reports its size here when it grows. Smaller ones are not counted. A connection does not always
report that it has shrunk. So when the sum exceeds the budget, all counted connections are measured
again. If the sum still exceeds it, reading from the largest is paused, until the others hold at
most half of the budget. A second later all are measured once more. Then the largest are closed
until the sum is within the budget, and reading from the others is resumed. If the sum exceeds the
budget by more than an eighth, connections are closed immediately; the answers of many connections
can cause this.
"""

from __future__ import annotations

from collections.abc import Callable

from broker.errors import PBConnectionLost
from broker.limit_errors import limit_error
from broker.net.scheduler import Scheduler

__all__ = ["SMALL", "Budget", "Share"]

SMALL = 64 * 1024
"""Bytes that a connection may hold without being counted."""

# Seconds for which reading from the largest is paused before they are closed.
_PERIOD = 1.0


class Share:
    """One connection's share of the budget.

    Args:
        budget: the budget of the server.
        scheduler: the clock of the connection.
        measure: returns the number of bytes that the connection holds.
        close: closes the connection and frees its buffers at once; called with PBConnectionLost,
            which has the attributes of the limit.

    Attributes:
        scheduler, measure, close: the arguments.
        is_held_back: whether reading is paused for the budget.
        on_change: called without arguments when ``is_held_back`` has changed.
    """

    __slots__ = ("_budget", "close", "is_held_back", "measure", "on_change", "scheduler")

    def __init__(
        self,
        budget: Budget,
        scheduler: Scheduler,
        measure: Callable[[], int],
        close: Callable[[Exception], object],
    ):
        self._budget = budget
        self.scheduler = scheduler
        self.measure = measure
        self.close = close
        self.is_held_back = False
        self.on_change: Callable[[], object] = _nothing

    def report(self) -> None:
        """Report the size now."""
        self._budget.note(self, self.measure())

    def hold_back(self, is_held_back: bool) -> None:
        """Pause or resume reading for the budget."""
        self.is_held_back = is_held_back
        self.on_change()

    def end(self) -> None:
        """Remove the connection: its buffers are empty."""
        self._budget.forget(self)


class Budget:
    """The bytes that the connections of one server hold.

    Args:
        most: the number of bytes that they may hold together.
    """

    __slots__ = ("_held_back", "_is_looking", "_is_waiting", "_most", "_sizes", "_total")

    def __init__(self, most: int):
        self._most = most
        self._total = 0
        self._sizes: dict[Share, int] = {}
        self._held_back: dict[Share, None] = {}
        self._is_waiting = False
        self._is_looking = False

    @property
    def total(self) -> int:
        """The number of held bytes, as far as they were reported."""
        return self._total

    def note(self, share: Share, size: int) -> None:
        """Take the report of a connection; measure all again if the budget is exceeded."""
        self._set(share, size)
        is_due = not self._is_waiting or self._total > self._last_mark
        if self._total > self._most and is_due and not self._is_looking:
            self._look()

    def forget(self, share: Share) -> None:
        """Remove a connection that has ended."""
        self._set(share, 0)
        self._held_back.pop(share, None)

    @property
    def _last_mark(self) -> int:
        return self._most + self._most // 8

    def _set(self, share: Share, size: int) -> None:
        before = self._sizes.pop(share, 0)
        if size > SMALL:
            self._sizes[share] = size
        else:
            size = 0
        self._total += size - before

    def _look(self) -> None:
        """Measure all, and pause reading from the largest if they hold too much."""
        self._guarded(self._relieve)

    def _look_again(self) -> None:
        """Measure all once more, and close the largest until the sum is within the budget."""
        self._is_waiting = False
        self._guarded(lambda: self._close_down_to(self._most))

    def _guarded(self, act: Callable[[], object]) -> None:
        # Pausing or closing a connection makes it report again.
        self._is_looking = True
        try:
            for share in list(self._sizes):
                self._set(share, share.measure())
            act()
            if self._total <= self._most:
                self._let_go_on()
        finally:
            self._is_looking = False

    def _relieve(self) -> None:
        if self._total > self._last_mark:
            self._close_down_to(self._last_mark)
        if self._total <= self._most:
            return
        left = self._total
        scheduler = None
        for share in self._largest():
            if left <= self._most // 2:
                break
            left -= self._sizes[share]
            scheduler = share.scheduler
            if share not in self._held_back:
                self._held_back[share] = None
                share.hold_back(True)
        if scheduler is not None and not self._is_waiting:
            self._is_waiting = True
            scheduler.later(_PERIOD, self._look_again)

    def _close_down_to(self, mark: int) -> None:
        for share in self._largest():
            if self._total <= mark:
                break
            size = self._sizes[share]
            self.forget(share)
            share.close(limit_error(PBConnectionLost, "max_buffered", self._most, size))

    def _let_go_on(self) -> None:
        held_back, self._held_back = self._held_back, {}
        for share in held_back:
            share.hold_back(False)

    def _largest(self) -> list[Share]:
        return sorted(self._sizes, key=self._sizes.__getitem__, reverse=True)


def _nothing() -> None:
    """Do nothing."""
