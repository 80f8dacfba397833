"""Outgoing calls: the Deferred of each, until its answer comes or the connection ends."""

from __future__ import annotations

import asyncio
from asyncio import _get_running_loop
from collections.abc import Callable, Mapping
from contextvars import Context
from functools import partial
from typing import Any, Protocol, cast

from broker.connection import log
from broker.connection.lane import CallsBase
from broker.connection.log import Logged
from broker.connection.open_call import OpenCall
from broker.connection.promises.called import OutgoingPromises
from broker.connection.promises.lines import HeldTarget
from broker.connection.senders import Interception, Sender
from broker.core.calls.attached import ATTACHED, LOGIN, NO_REFERENCE, ONCE, Attached, is_login_call
from broker.core.calls.deadline import DEADLINE, deadline_at
from broker.core.calls.incoming import DRAINING
from broker.core.calls.promised import MustWait
from broker.core.objects.whereabouts import name_argument
from broker.core.policy import STRICT, Policy
from broker.core.session import Session
from broker.core.wire.broadcast import Broadcast
from broker.core.wire.commands import Feature, number_of
from broker.core.wire.messages import (
    ObjectId,
    PlainSend,
    PlainSendToCache,
    RequestId,
    Target,
)
from broker.defer import Deferred
from broker.defer.foreign import failure_of
from broker.defer.unhandled import Together
from broker.errors import (
    ConfigError,
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
from jelly.atoms import text_of

__all__ = ["PendingCalls"]


class Writes(Protocol):
    """Writes what waits to be sent."""

    def soon_flush(self) -> object:
        """Write it now, or at the end of this turn of the loop."""

    def flush_later(self) -> None:
        """Write it at the end of this turn of the loop."""


class PendingCalls(CallsBase):
    """The calls of one connection that have no answer yet.

    Args:
        owner: the connection, as `broker.connection.log` logs it.
        session: sends the calls.
        writes: sends what the session has written.
        policy: chooses between Twisted's texts of errors and our own.

    Attributes:
        is_refused: whether the peer has said that it drains: it would refuse any call.
        is_ending: whether the connection has ended.
        refusal: the fields of the ServerDraining with which calls fail then.
        is_inherited: whether this is a copy in a forked child process, which cannot make calls.
        now: the clock of deadlines.
        interception: runs the interceptors of calls, or None.
        passes: whether the next call is one that has passed them.
        sender: sends calls in place of ``OutgoingCalls.call``, or None.

    `CallsBase` has further attributes, and the method ``call``.
    """

    __slots__ = (
        "_lost_reason",
        "_owner",
        "_policy",
        "_promises",
        "_scheduler",
        "_session",
        "_together",
        "_was_meta_dropped",
        "_writes",
        "interception",
        "is_ending",
        "is_inherited",
        "is_refused",
        "now",
        "passes",
        "refusal",
        "sender",
    )

    def __init__(
        self,
        owner: Logged,
        session: Session,
        writes: Writes,
        policy: Policy = STRICT,
    ):
        self.is_open = self.is_batched = False
        self.lane = None
        self.is_inherited = False
        self.is_refused = False
        self.is_ending = False
        self._lost_reason: object = None
        # Collects the failures of calls while the connection ends.
        self._together: Together | None = None
        self._promises: OutgoingPromises | None = None
        self.refusal: dict[str, object] = {}
        self.now: Callable[[], float] = _unset
        self.has_stepped = False
        self.stepped_loop = None
        self._loop = None
        self._was_meta_dropped = False
        self.interception: Interception | None = None
        self.passes = False
        self.sender: Sender | None = None
        self._scheduler: Scheduler | None = None
        self._owner = owner
        self._session = session
        self._policy = policy
        self._flush = writes.soon_flush
        self._writes = writes
        self.waiting = {}

    def begin(self, scheduler: Scheduler) -> None:
        """Take clock and loop from the scheduler of the connection."""
        self.now = scheduler.now
        self._loop = scheduler.loop
        self._scheduler = scheduler

    @property
    def begin_task(self) -> Callable[..., asyncio.Task[Any]] | None:
        """Begins the task of a method that the lane in C has called; see `Scheduler.begin_task`."""
        begin = None if self._scheduler is None else self._scheduler.begin_task
        return None if begin is None else partial(self._begin, begin)

    def _begin(
        self,
        begin: Callable[..., asyncio.Task[Any]],
        coroutine: object,
        *,
        context: Context,
    ) -> asyncio.Task[Any]:
        last = self._session.incoming.runner.last
        if last is not None:
            name, kind, wants_answer = last
            context.run(self._session.host.describe, name, wants_answer, kind)
        return begin(coroutine, context=context)

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
        meta: Mapping[str, str] | None = None,
    ) -> Deferred[Any] | None:
        """Call a method of the peer; return a Deferred, or None with ``pbanswer=False``.

        A call that cannot be sent fails the Deferred, or is logged if there is no Deferred.

        Args:
            perspective, object_id: how the values are serialized, and the object.
            name, args, kw: the method and its arguments.
            to_cache: whether the object is a cache that the peer holds.
            kind: the class of the Deferred.
            meta: joins the metadata that the running code attaches to its calls.

        Raises:
            ConfigError: the call is made in ``broker.once``, and has no key of it in ``meta``.
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
                again = partial(
                    self.make_call, perspective, object_id, name, args, kw, to_cache, kind, meta
                )
                return post(loop, text, cast("Callable[[], Deferred[Any]]", again))
            self.check_loop(f"callRemote('{text}')")
        if self.interception is not None and not to_cache and self._is_intercepted():
            made = perspective, object_id, text, args, kw
            return self.interception.call(*made, kind, meta, wants_answer)
        deadline, credit = None, None
        attached = ATTACHED.get()
        is_plain = attached is None or attached is LOGIN
        if meta is not None or not is_plain or DEADLINE.get() is not None:
            deadline, credit, meta = self._options(meta, wants_answer)
        if self._promises is not None and object_id in self._promises.held:
            held = self._promises.held[object_id]
            return held.add(kind, text, args, kw, wants_answer, meta)
        outgoing = self._session.outgoing
        send = outgoing.call if self.sender is None else partial(self.sender.call, kind)
        head = object_id, text, args, kw, perspective, wants_answer
        try:
            request_id = send(*head, deadline, to_cache, credit, meta)
        except (KeyboardInterrupt, SystemExit):
            raise
        except MustWait:
            held = HeldTarget.of(self, perspective, object_id, to_cache)
            return held.add(kind, text, args, kw, wants_answer, meta)
        except BaseException as exc:  # noqa: BLE001 - fails the Deferred, not the caller
            if wants_answer:
                return failed(kind, text)
            self.note_unsent(text, exc)
            return None
        deferred = None
        if wants_answer:
            deferred = kind(OpenCall(self, request_id))
            deferred.label = text
            self.waiting[request_id] = deferred
        if outgoing.passed:
            self.note_passed(request_id, deferred)
        self._flush()
        return deferred

    def begin_call(
        self,
        perspective: object,
        target: Target,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        wants_answer: bool,
        to_cache: bool,
        meta: Mapping[str, str] | None,
        kind: type[Deferred[Any]] = Promise,
    ) -> RequestId:
        """Send a call, with what the running code attaches to it; see ``OutgoingCalls.call``.

        Raises:
            MustWait: a promise among its arguments cannot be sent yet.
            EncodeError: an argument cannot be sent. An error of a hook is passed on.
        """
        deadline, credit, meta = self._options(meta, wants_answer)
        head = target, name, args, kw, perspective, wants_answer
        outgoing = self._session.outgoing
        send = outgoing.call if self.sender is None else partial(self.sender.call, kind)
        return send(*head, deadline, to_cache, credit, meta)

    def _is_intercepted(self) -> bool:
        """Return whether the call that is being made has yet to pass the interceptors."""
        if self.passes:
            self.passes = False
            return False
        return not is_login_call()

    def _options(
        self, meta: Mapping[str, str] | None, wants_answer: bool
    ) -> tuple[int | None, tuple[int, int] | None, Mapping[str, str] | None]:
        """Return the deadline in milliseconds, the first credit and the metadata of a call."""
        # A call without an answer has no deadline: no caller waits, and it must not be lost.
        ends = deadline_at(self.now()) if wants_answer else None
        deadline = None if ends is None else self._milliseconds_until(ends)
        attached = ATTACHED.get()
        if attached is None and meta is None:
            return deadline, None, None
        return deadline, *self._attached(attached or _NOTHING, meta, wants_answer)

    # Promises; see `broker.connection.promises`.

    @property
    def promises(self) -> OutgoingPromises:
        """The calls on promises; made when they are first needed."""
        if self._promises is None:
            self._promises = OutgoingPromises(self)
        return self._promises

    def note_passed(self, request_id: RequestId, deferred: Deferred[Any] | None) -> None:
        """Note the promises among the arguments of a call that was sent."""
        outgoing = self._session.outgoing
        passed, outgoing.passed = outgoing.passed, ()
        for promise in passed:
            promise.pass_to(request_id, deferred)

    def came_home(self, request_id: RequestId) -> None:
        """Make a call of this end here: its target has become an object of this end."""
        self.promises.came_home(request_id)

    @property
    def session(self) -> Session:
        """The session that sends the calls."""
        return self._session

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop of the connection."""
        return self._loop

    def flush(self) -> None:
        """Send soon what the session wrote."""
        self._flush()

    def draining_failure(self) -> Failure | None:
        """Return the failure of a call if the peer drains, else None."""
        return self._refusal() if self.is_refused else None

    def closed_failure(self) -> Failure:
        """Return the failure of a call that has waited here when no more calls can be sent."""
        refusal = self.draining_failure()
        if refusal is not None and not self.is_ending:
            return refusal
        failure = Failure(PBConnectionLost(self._lost_reason, may_have_run=False))
        failure.together = self._together
        return failure

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
        if self.interception is not None and not to_cache and self._is_intercepted():
            self.interception.call(perspective, object_id, name, args, kw, Promise, None, False)
            return
        meta = None
        if ATTACHED.get() is not None:
            _, _, meta = self._options(None, False)
        if self._promises is not None and object_id in self._promises.held:
            self._promises.held[object_id].add(Promise, name, args, kw, False, meta)
            return
        try:
            outgoing = self._session.outgoing
            send = outgoing.call if self.sender is None else partial(self.sender.call, Promise)
            request_id = send(
                object_id, name, args, kw, perspective, False, to_cache=to_cache, meta=meta
            )
        except (KeyboardInterrupt, SystemExit):
            raise
        except MustWait:
            held = HeldTarget.of(self, perspective, object_id, to_cache)
            held.add(Promise, name, args, kw, False, meta)
        except BaseException as exc:  # noqa: BLE001 - the caller waits for nothing
            self.note_unsent(name, exc)
        else:
            if outgoing.passed:
                self.note_passed(request_id, None)
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
        if self.interception is not None and not to_cache:
            self.interception.call(perspective, object_id, name, args, kw, Promise, None, False)
            return
        number = _SEND_TO_CACHE if to_cache else _SEND
        try:
            is_sent = (
                self.sender is None or not self.sender.has_metadata
            ) and session.outbox.broadcast(object_id, broadcast, number)
        except EncodeError as error:
            name_argument(error, name, args, kw)
            raise
        if is_sent:
            session.counters.calls_made += 1
            if session.outgoing.tracing is not None:
                session.outgoing.tracing.one_way(name)
        else:
            outgoing = session.outgoing
            send = outgoing.call if self.sender is None else partial(self.sender.call, Promise)
            send(object_id, name, args, kw, perspective, False, to_cache=to_cache)
        self._writes.flush_later()

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
        self.is_ending, self._lost_reason = True, reason
        has_drained = isinstance(reason, PBConnectionLost) and reason.goodbye == _DRAINED
        together = self._together = Together("calls without a handler: connection lost")
        for request_id, may in may_have_run.items():
            deferred = self.waiting.pop(request_id, None)
            if deferred is not None:
                failure = Failure(PBConnectionLost(reason, may_have_run=may and not has_drained))
                failure.together = together
                deferred.errback(failure)
                del deferred, failure
        if self._promises is not None:
            self._promises.lost()
        together.tell()
        self._together = None

    def _attached(
        self, attached: Attached, meta: Mapping[str, str] | None, wants_answer: bool
    ) -> tuple[tuple[int, int] | None, Mapping[str, str] | None]:
        """Return the first credit and the metadata of a call.

        Raises:
            ConfigError: see `make_call`.
        """
        if attached.is_once and wants_answer and ONCE not in (meta or ()):
            raise ConfigError(NO_REFERENCE)
        if attached.meta is not None:
            meta = {**attached.meta, **(meta or {})}
        if meta and not self.can_send_meta():
            meta = None
        return attached.credit if wants_answer else None, meta

    def can_send_meta(self) -> bool:
        """Return whether the dialect has metadata; log it once if it has not."""
        if Feature.META in self._session.outbox.features:
            return True
        if not self._was_meta_dropped:
            self._was_meta_dropped = True
            dialect = self._session.dialect
            log.meta_not_sent(self._owner, text_of(dialect.name) if dialect else "")
        return False

    def note_unsent(self, name: str, error: BaseException) -> None:
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
        return OpenCall(self, request_id)

    def abandon(self, request_id: RequestId) -> None:
        """Stop waiting for the answer to a call, and tell the peer."""
        self.waiting.pop(request_id, None)
        self._session.outgoing.abandon(request_id)
        self._flush()


_SEND, _SEND_TO_CACHE = number_of(PlainSend), number_of(PlainSendToCache)

# The code of the goodbye of a peer that has answered all calls.
_DRAINED = "draining"

# In seconds; a longer time, as with ``timeout(math.inf)``, is sent as no deadline.
_ENDLESS = 1e9
_NOTHING = Attached()
_ENDED = "the connection of this reference has ended"
# The same in Twisted's words.
_STALE = "Calling Stale Broker"


def _unset() -> float:
    return 0.0
