"""The ending: what had come on a connection before it ended is handled, then the rest goes.

Theory of operation. When the transport says that the connection has ended, answers to calls of ours
may lie in the inbox, behind whatever else the peer has sent. They are handled first, so that the
application learns of them before it learns of the end. That may take long: so it is done in turns
of the loop, like all handling, and only while calls of ours wait for an answer. One turn's worth is
looked at when none does, for the peer may have said why it leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from broker.connection import log
from broker.core.objects.translator import Translator
from broker.core.policy import Policy
from broker.core.session import Session
from broker.net.scheduler import Scheduler

__all__ = ["Ending", "end_caches", "forget_frames"]


class Ending:
    """Handles what came before the end of one connection.

    Args:
        owner: whose connection has ended, as ``journal`` logs it.
        session: of that connection.
        policy: how long a turn is.
        scheduler: turns and time.
        then: called without arguments when that is done.
    """

    __slots__ = ("_owner", "_policy", "_scheduler", "_session", "_then", "_words")

    def __init__(
        self,
        owner: Any,
        session: Session,
        policy: Policy,
        scheduler: Scheduler,
        then: Callable[[], object],
    ):
        self._owner = owner
        self._session = session
        self._policy = policy
        self._scheduler = scheduler
        self._then = then
        self._words = session.inbox.last_words()

    def take_turn(self) -> None:
        """Handle a turn's worth; the rest in the turns that follow."""
        has_more, waited = True, self._session.waiting > 0

        def hear() -> None:
            nonlocal has_more
            has_more = self._hear()

        # An exception of an application's hook ends this turn only.
        log.guard(self._owner, hear)
        if has_more and waited:
            self._scheduler.soon(self.take_turn)
            return
        # First release the messages that were not handled.
        self._words = iter(())
        self._then()

    def _hear(self) -> bool:
        """Handle a turn's worth; return whether there may be more."""
        policy, now = self._policy, self._scheduler.now
        ends = now() + policy.turn_time
        for heard, _ in enumerate(self._words, 1):
            if heard >= policy.turn_messages or now() >= ends:
                return True
        return False


def forget_frames(error: BaseException) -> None:
    """Have an error, and those that it came from, hold no frames: they hold what was received."""
    chain: list[BaseException | None] = [error]
    while chain:
        each = chain.pop()
        if each is not None and each.__traceback__ is not None:
            each.__traceback__ = None
            chain += (each.__cause__, each.__context__)


def end_caches(owner: Any, translator: Translator) -> None:
    """Tell the caches of both sides that their connection has ended."""
    for entry in translator.published.clear():
        log.guard(owner, entry.stop)
    for cache in translator.held.clear():
        # Guarded: its class may have a ``__setattr__`` of its own.
        log.guard(owner, partial(setattr, cache, "broker", None))
