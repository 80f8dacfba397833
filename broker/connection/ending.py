"""Handles the messages that came before the end of a connection.

Theory of operation. When the transport reports the end of the connection, answers to our calls may
be in the inbox, behind other messages. They are handled first, so that the application gets them
before it learns of the end. This may take long, so it is done in turns of the loop, and only while
calls wait for an answer. If no call waits, one turn is handled, since the peer may have said why it
closes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from broker.connection import log
from broker.connection.log import Logged
from broker.core.objects.translator import Translator
from broker.core.policy import Policy
from broker.core.session import Session
from broker.net.scheduler import Scheduler

__all__ = ["Ending", "end_caches", "forget_frames"]


class Ending:
    """Handles the messages that came before the end of one connection.

    Args:
        owner: the connection, as `broker.connection.log` logs it.
        session: its session.
        policy: the length of a turn.
        scheduler: turns and time of the loop.
        then: called without arguments when the messages are handled.
    """

    __slots__ = ("_owner", "_policy", "_scheduler", "_session", "_then", "_words")

    def __init__(
        self,
        owner: Logged,
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
        """Handle the messages of one turn, and the rest in the turns that follow."""
        has_more, waited = True, len(self._session.outgoing.open_calls) > 0

        def hear() -> None:
            nonlocal has_more
            has_more = self._hear()

        # An exception of a hook of the application ends this turn only.
        log.call_and_log(self._owner, hear)
        if has_more and waited:
            self._scheduler.soon(self.take_turn)
            return
        # First release the messages that were not handled.
        self._words = iter(())
        self._then()

    def _hear(self) -> bool:
        """Handle the messages of one turn; return whether there may be more."""
        policy, now = self._policy, self._scheduler.now
        ends = now() + policy.turn_time
        for heard, _ in enumerate(self._words, 1):
            if heard >= policy.turn_messages or now() >= ends:
                return True
        return False


def forget_frames(error: BaseException) -> None:
    """Remove the tracebacks of an error and its causes, whose frames hold received data."""
    chain: list[BaseException | None] = [error]
    while chain:
        each = chain.pop()
        if each is not None and each.__traceback__ is not None:
            each.__traceback__ = None
            chain += (each.__cause__, each.__context__)


def end_caches(owner: Logged, translator: Translator) -> None:
    """Tell the caches of both sides that their connection has ended."""
    cacheables, remote_caches = translator.used_cacheables, translator.used_remote_caches
    for entry in () if cacheables is None else cacheables.clear():
        log.call_and_log(owner, entry.stop)
    for cache in () if remote_caches is None else remote_caches.clear():
        # Its class may have a ``__setattr__`` that raises.
        log.call_and_log(owner, partial(setattr, cache, "broker", None))
