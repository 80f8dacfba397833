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
        give_up: called with PBConnectionLost and the name of the limit.
        forget: called every ``silence`` seconds or later, though not as late as twice that: what
            is counted over such a time begins anew.

    Attributes:
        last_heard: when something came from the peer, by :attr:`now`; set by whoever hears it.
        now: the clock.
    """

    __slots__ = (
        "_ask",
        "_forget",
        "_forgot",
        "_give_up",
        "_last_asked",
        "_patience",
        "_scheduler",
        "_silence",
        "_timer",
        "last_heard",
        "now",
    )

    def __init__(
        self,
        scheduler: Scheduler,
        silence: float,
        patience: float,
        ask: Callable[[], object],
        give_up: Callable[[Exception, str], object],
        forget: Callable[[], object],
    ):
        self._scheduler = scheduler
        self._silence = silence
        self._patience = patience
        self._ask = ask
        self._give_up = give_up
        self._forget = forget
        self.now = scheduler.now
        self.last_heard = self._last_asked = self._forgot = self.now()
        self._timer: Any = scheduler.later(silence, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        now = self.now()
        silent = now - self.last_heard
        whole = self._silence + self._patience
        if silent >= whole:
            self._give_up(PBConnectionLost(f"no data from peer for {whole:g} s"), "ping_timeout")
            return
        if now - self._forgot >= self._silence:
            self._forgot = now
            self._forget()
        has_asked = self._last_asked > self.last_heard
        if silent >= self._silence and not has_asked:
            has_asked = True
            self._last_asked = now
            self._ask()
        due = whole if has_asked else self._silence
        self._timer = self._scheduler.later(due - silent, self._look)
