"""Outgoing calls: the Deferred of each, until its answer comes or the connection ends."""

from __future__ import annotations

import asyncio
from asyncio import _get_running_loop
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from broker.connection import log
from broker.connection.lane import CallsBase
from broker.connection.log import Logged
from broker.core.calls.deadline import DEADLINE
from broker.core.calls.incoming import DRAINING
from broker.core.objects.credit import FIRST_CREDIT
from broker.core.objects.whereabouts import name_argument
from broker.core.policy import STRICT, Policy
from broker.core.session import Session
from broker.core.wire.broadcast import Broadcast
from broker.core.wire.commands import number_of
from broker.core.wire.messages import ObjectId, PlainSend, PlainSendToCache, RequestId
from broker.defer import Deferred
from broker.defer.foreign import failure_of
from broker.defer.unhandled import Together
from broker.errors import (
    DeadReferenceError,
    EncodeError,
    Error,
    PBConnectionLost,
    ServerDraining,
)
from broker.failure import Failure, qual
from broker.flavors.failures import CopiedFailure
from broker.flavors.posted import OTHER_THREAD, do_in_loop, is_posted, post
from broker.flavors.promise import Promise, failed
from broker.net.forks import FORKED
from broker.net.scheduler import Scheduler

__all__ = ["PendingCalls"]


class PendingCalls(CallsBase):
    """The calls of one connection that have no answer yet.

    Args:
        owner: the connection, as `broker.connection.log` logs it.
        session: sends the calls.
        flush: sends what the session wrote soon.
        flush_later: sends it at the end of this turn of the loop.
        policy: chooses between Twisted's texts of errors and our own.

    Attributes:
        is_refused: whether the peer has said that it drains: it would refuse any call.
        refusal: the fields of the ServerDraining with which calls fail then.
        is_inherited: whether this is a copy in a forked child process, which cannot make calls.
        now: the clock of deadlines.

    `CallsBase` has further attributes, and the method ``call``.
    """

    __slots__ = (
        "_flush_later",
        "_owner",
        "_policy",
        "_scheduler",
        "_session",
        "is_inherited",
        "is_refused",
        "now",
        "refusal",
    )

    def __init__(
        self,
        owner: Logged,
        session: Session,
        flush: Callable[[], object],
        flush_later: Callable[[], object],
        policy: Policy = STRICT,
    ):
        self.is_open = self.is_batched = False
        self.lane = None
        self.is_inherited = False
        self.is_refused = False
        self.refusal: dict[str, object] = {}
        self.now: Callable[[], float] = _unset
        self.has_stepped = False
        self.stepped_loop = None
        self._loop = None
        self._scheduler: Scheduler | None = None
        self._owner = owner
        self._session = session
        self._policy = policy
        self._flush = flush
        self._flush_later = flush_later
        self.waiting = {}

    def begin(self, scheduler: Scheduler) -> None:
        """Take clock and loop from the scheduler of the connection."""
        self.now = scheduler.now
        self._loop = scheduler.loop
        self._scheduler = scheduler

    @property
    def begin_task(self) -> Callable[..., asyncio.Task[Any]] | None:
        """See `Scheduler.begin_task`."""
        scheduler = self._scheduler
        return None if scheduler is None else scheduler.begin_task

    def refuse(self, after: float, elsewhere: tuple[str, ...]) -> None:
        """Refuse all calls from now on with ServerDraining, which has these fields."""
        self.is_open = False
        self.is_refused = True
        self.refusal = {"after": after, "elsewhere": elsewhere}

    def check_loop(self, what: str) -> None:
        """Raise if the current code does not run in the event loop of the connection.

        It does not raise if no loop runs in this thread and the connection's loop is stopped: the
        loop may be started again.

        Raises:
            RuntimeError: the loop is closed, or runs in another thread, or another runs here.
        """
        loop = self._loop
        running = _get_running_loop()
        if loop is None or running is loop:
            return
        if loop.is_closed():
            raise RuntimeError(
                f"Event loop is closed: {what} needs the loop in which the connection was made;"
                " connect again in the loop that runs now"
            )
        if loop.is_running():
            raise RuntimeError(OTHER_THREAD)
        if running is not None:
            raise RuntimeError(
                f"{what} in another event loop than that of the connection, which does not run;"
                " connect again in the loop that runs now"
            )

    def make_call(
        self,
        perspective: object,
        object_id: ObjectId,
        name: str | bytes,
        args: tuple[object, ...],
        kw: dict[str, object],
        to_cache: bool = False,
        kind: type[Deferred[Any]] = Promise,
    ) -> Deferred[Any] | None:
        """Call a method of the peer; return a Deferred, or None with ``pbanswer=False``.

        A call that cannot be sent fails the Deferred, or is logged if there is no Deferred.

        Args:
            perspective, object_id: how the values are serialized, and the object.
            name, args, kw: the method and its arguments.
            to_cache: whether the object is a cache that the peer holds.
            kind: the class of the Deferred.

        Raises:
            DeadReferenceError: the connection has ended, and an answer is wanted.
            RuntimeError: the connection belongs to another event loop, or this process was forked
                after the connection was made.
        """
        wants_answer = bool(kw.pop("pbanswer", True)) if kw else True
        text = name.decode("utf-8") if isinstance(name, bytes) else name
        if not self.is_open:
            if not wants_answer and not self.is_inherited:
                self._drop(name)
                return None
            if self.is_refused:
                return failed(kind, text, self._refusal())
            raise self._why_closed()
        if _get_running_loop() is not self._loop:
            loop = self._loop
            if loop is not None and is_posted(loop):
                if not wants_answer:
                    do_in_loop(loop, partial(self.send, perspective, object_id, text, args, kw))
                    return None
                again = partial(self.call, perspective, object_id, name, args, kw, to_cache, kind)
                return post(loop, text, cast("Callable[[], Deferred[Any]]", again))
            self.check_loop(f"callRemote('{text}')")
        # A call without an answer has no deadline: no caller waits, and it must not be lost.
        ends = DEADLINE.get() if wants_answer else None
        deadline = None if ends is None else self._milliseconds_until(ends)
        credit = FIRST_CREDIT.get() if wants_answer else None
        try:
            request_id = self._session.outgoing.call(
                object_id, text, args, kw, perspective, wants_answer, deadline, to_cache, credit
            )
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - fails the Deferred, not the caller
            if wants_answer:
                return failed(kind, text)
            self._note_unsent(text, exc)
            return None
        if not wants_answer:
            self._flush()
            return None
        deferred = kind(self.canceller_of(request_id))
        deferred.label = text
        self.waiting[request_id] = deferred
        self._flush()
        return deferred

    def send(
        self,
        perspective: object,
        object_id: ObjectId,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        to_cache: bool = False,
    ) -> None:
        """Call a method that sends no answer, unless the connection has ended.

        A call that cannot be sent is logged.

        Args:
            perspective, object_id, name, args, kw: as of :meth:`call`.
            to_cache: whether the object is a cache that the peer holds.

        Raises:
            RuntimeError: the connection belongs to another event loop, or this process was forked
                after the connection was made.
        """
        if not self.is_open:
            if self.is_inherited:
                raise self._why_closed()
            self._drop(name)
            return
        if _get_running_loop() is not self._loop:
            loop = self._loop
            if loop is not None and is_posted(loop):
                again = partial(self.send, perspective, object_id, name, args, kw, to_cache)
                do_in_loop(loop, again)
                return
            self.check_loop(f"send('{name}')")
        try:
            self._session.outgoing.call(
                object_id, name, args, kw, perspective, False, to_cache=to_cache
            )
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # noqa: BLE001 - the caller waits for nothing
            self._note_unsent(name, exc)
        else:
            self._flush()

    def notify(
        self,
        perspective: object,
        object_id: ObjectId,
        broadcast: Broadcast,
        to_cache: bool = False,
    ) -> None:
        """Call a method of one of the many receivers of a broadcast; it is sent in this turn.

        Args:
            perspective, object_id, to_cache: as of :meth:`send`.
            broadcast: the method's name and its arguments.

        Raises:
            DeadReferenceError, EncodeError, RuntimeError: the call was not sent.
        """
        if not self.is_open:
            raise self._why_closed()
        session = self._session
        name, args, kw = broadcast.name, broadcast.args, broadcast.kw
        number = _SEND_TO_CACHE if to_cache else _SEND
        try:
            is_sent = session.outbox.broadcast(object_id, broadcast, number)
        except EncodeError as error:
            name_argument(error, name, args, kw)
            raise
        if is_sent:
            session.stats.calls_made += 1
        else:
            session.outgoing.call(object_id, name, args, kw, perspective, False, to_cache=to_cache)
        self._flush_later()

    @property
    def names(self) -> tuple[str, ...]:
        """The methods of the calls without an answer, oldest first."""
        return tuple(str(deferred.label) for deferred in self.waiting.values())

    def answered(self, request_id: RequestId, value: object) -> None:
        """Fire the Deferred of a call that returned."""
        deferred = self.waiting.pop(request_id, None)
        if deferred is not None:
            self.has_stepped = True
            deferred.fire(value, self.stepped_loop)

    def refused(self, request_id: RequestId, error: object) -> None:
        """Fail the Deferred of a call, with an exception, a Failure, or a value of the peer."""
        deferred = self.waiting.pop(request_id, None)
        if deferred is not None:
            if isinstance(error, CopiedFailure):
                error.method = deferred.label
            is_failure = isinstance(error, BaseException)
            failure = failure_of(error if is_failure else Failure(Error(error)))
            self.has_stepped = True
            deferred.fire(failure, self.stepped_loop)

    def lost(self, may_have_run: dict[RequestId, bool], reason: object) -> None:
        """Fail the calls that will have no answer; ``may_have_run`` tells which may have run.

        None has run if the peer has drained: it has answered all that it ran, and refused the
        others. All failures that are not handled make one log record together.
        """
        has_drained = isinstance(reason, PBConnectionLost) and reason.goodbye == _DRAINED
        together = Together("calls without a handler: connection lost")
        for request_id, may in may_have_run.items():
            deferred = self.waiting.pop(request_id, None)
            if deferred is not None:
                failure = Failure(PBConnectionLost(reason, may_have_run=may and not has_drained))
                failure.together = together
                deferred.errback(failure)
                del deferred, failure
        together.tell()

    def _note_unsent(self, name: str, error: BaseException) -> None:
        """Count and log a call without an answer that cannot be sent."""
        self._session.stats.sends_dropped += 1
        log.unsent(self._owner, name, error)

    def _drop(self, name: str | bytes) -> None:
        """Count a call without an answer that cannot be made; log the first to a draining peer."""
        stats = self._session.stats
        stats.sends_dropped += 1
        if self.is_refused and stats.sends_dropped == 1:
            text = name.decode("utf-8") if isinstance(name, bytes) else name
            log.not_sent(self._owner, text)

    def _milliseconds_until(self, ends: float) -> int | None:
        left = ends - self.now()
        # Rounded up, so that the caller's own timeout comes first.
        return max(0, int(left * 1000) + 1) if left < _ENDLESS else None

    def _why_closed(self) -> Exception:
        if self.is_inherited:
            return RuntimeError(FORKED)
        return DeadReferenceError(_STALE if self._policy.published_errors else _ENDED)

    def _refusal(self) -> CopiedFailure:
        """Return the failure with which a draining peer would answer a call."""
        names = [qual(cls) for cls in ServerDraining.__mro__[:-1]]
        state = {"type": names[0], "value": DRAINING, "parents": names, "fields": self.refusal}
        return CopiedFailure.received(state, self._policy)

    def canceller_of(self, request_id: RequestId) -> Callable[[object], None]:
        """Return the canceller of the Deferred of a call."""
        return lambda _: self._abandon(request_id)

    def _abandon(self, request_id: RequestId) -> None:
        self.waiting.pop(request_id, None)
        self._session.outgoing.abandon(request_id)
        self._flush()


_SEND, _SEND_TO_CACHE = number_of(PlainSend), number_of(PlainSendToCache)

# The code of the goodbye of a peer that has answered all calls.
_DRAINED = "draining"

# In seconds; a longer time, as with ``timeout(math.inf)``, is sent as no deadline.
_ENDLESS = 1e9
_ENDED = "the connection of this reference has ended"
# The same in Twisted's words.
_STALE = "Calling Stale Broker"


def _unset() -> float:
    return 0.0
