"""Keepalive: notices that a peer is gone although nobody said so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from broker.errors import PBConnectionLost
from broker.net.scheduler import Scheduler

__all__ = ["Keepalive"]


class Keepalive:
    """Asks after a peer that is silent, and gives it up if it stays so.

    Args:
        scheduler: the clock.
        silence: seconds without a byte after which the peer is asked.
        patience: seconds that it then has.
        ask: asks; any byte is an answer.
        give_up: called with PBConnectionLost.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        silence: float,
        patience: float,
        ask: Callable[[], object],
        give_up: Callable[[Exception], object],
    ):
        self._scheduler = scheduler
        self._silence = silence
        self._patience = patience
        self._ask = ask
        self._give_up = give_up
        self._has_asked = False
        self._last_heard = scheduler.now()
        self._timer: Any = scheduler.later(silence, self._look)

    def heard(self) -> None:
        """Something came from the peer."""
        self._last_heard = self._scheduler.now()
        self._has_asked = False

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        silent = self._scheduler.now() - self._last_heard
        whole = self._silence + self._patience
        if silent >= whole:
            self._give_up(PBConnectionLost(f"no data from peer for {whole:g} s"))
            return
        if silent >= self._silence and not self._has_asked:
            self._has_asked = True
            self._ask()
        due = whole if self._has_asked else self._silence
        self._timer = self._scheduler.later(due - silent, self._look)
