"""The calls of a link that wait for a connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from broker.core.calls.deadline import held
from broker.defer.unhandled import Together
from broker.errors import PBConnectionLost
from broker.failure import Failure

if TYPE_CHECKING:
    from broker.link.calls import LinkedCall

__all__ = ["MOST_WAITING", "Waiting"]

_WITHOUT_HANDLER = "calls without a handler: not run, for want of a connection"

MOST_WAITING = 1_000
"""Calls of a link that may wait for a connection."""


class Waiting:
    """The calls of a link that wait for a connection.

    Args:
        patience: the most seconds that each waits.
    """

    def __init__(self, patience: float):
        self._patience = patience
        self._calls: dict[int, tuple[LinkedCall, asyncio.TimerHandle]] = {}
        # One record in the log for all that are refused while there is no connection.
        self._together = Together(_WITHOUT_HANDLER)

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: LinkedCall) -> None:
        """Let a call wait, or refuse it if too many wait, or its time is over."""
        if len(self._calls) >= MOST_WAITING:
            self._forget_ended()
        if len(self._calls) >= MOST_WAITING:
            self._refuse(call, f"{MOST_WAITING} calls wait for a connection")
            return
        loop = asyncio.get_running_loop()
        seconds = self._patience
        ends = held(call.ends, loop.time())
        if ends is not None:
            seconds = max(0.0, min(seconds, ends - loop.time()))
        timer = loop.call_later(seconds, self._too_late, call, seconds)
        self._calls[call.number] = call, timer

    def take(self) -> list[LinkedCall]:
        """Return the calls in their order; they do not wait any more."""
        calls, self._calls = self._calls, {}
        self._together.tell()
        self._together = Together(_WITHOUT_HANDLER)
        for _, timer in calls.values():
            timer.cancel()
        return [call for number, (call, _) in sorted(calls.items())]

    def _forget_ended(self) -> None:
        for number, (call, timer) in list(self._calls.items()):
            if call.is_over:
                timer.cancel()
                del self._calls[number]

    def _too_late(self, call: LinkedCall, seconds: float) -> None:
        del self._calls[call.number]
        self._refuse(call, f"no connection in {round(seconds, 2):g} s")

    def end(self, error: BaseException) -> None:
        """Refuse all calls that wait."""
        together = Together(_WITHOUT_HANDLER)
        for call in self.take():
            failure = Failure(error)
            failure.together = together
            call.refuse(failure)
            del failure, call
        together.tell()

    def _refuse(self, call: LinkedCall, why: str) -> None:
        may = call.may_have_run
        text = f"{'may have run' if may else 'not run'}: {why}"
        failure = Failure(PBConnectionLost(text, may_have_run=may))
        failure.together = self._together
        call.refuse(failure)
