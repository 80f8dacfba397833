"""Incoming calls: from the peer's message to the answer.

An error of one call is sent as its answer and has no other effect. If a method returns an
awaitable, CallPending passes it to the host, which calls ``finish`` or ``fail`` later.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from functools import partial
from typing import Any

from broker.core.calls.answering import Answers
from broker.core.calls.attached import ONCE
from broker.core.calls.dispatch import class_of, is_of_login
from broker.core.calls.faults import FaultCounter
from broker.core.calls.incoming_call import IncomingCall
from broker.core.calls.method_runner import TO_CACHES, Enter, Interceptor, MethodRunner
from broker.core.calls.once import Replies, read_key
from broker.core.calls.plain_calls import CallEntry, PlainCalls
from broker.core.calls.promised_calls import PromisedCalls
from broker.core.events import CallAnswered, CallCancelled
from broker.core.host import Host
from broker.core.inbox import Inbox
from broker.core.objects.translator import Reading, Translator
from broker.core.outbox import Outbox
from broker.core.policy import Policy
from broker.core.queued import Queued, Released
from broker.core.stats import Stats
from broker.core.tracer import Tracing
from broker.core.wire.messages import (
    CallMessage,
    GraphCall,
    Promised,
    RequestId,
    Target,
)
from broker.core.wire.msgpack.replies import KeptReply
from broker.core.work import PUT_OFF, Work, WorkLeft, begun, call_hook
from broker.defer import Deferred
from broker.errors import ServerBusy, ServerDraining
from broker.limit_errors import limit_error
from jelly.errors import ProtocolError

__all__ = ["DRAINING", "CallEntry", "IncomingCalls"]

DRAINING = "not run: the server is shutting down"
"""The error text for a call that arrives after the server began to shut down."""


class IncomingCalls(PlainCalls):
    """The incoming calls of one connection.

    Attributes:
        is_draining: refuse new calls.
        come_again: the fields ``after`` and ``elsewhere`` of the ServerDraining.
        refuses_sends: refuse one-way calls too.
        beginning: id and name of the call whose coroutine method the lane in C begins, or None.
        highest: the highest request id of a call so far.
        highest_before: the highest one before the call that was received last.
        inbox: knows the time at which a call was received.
        max_calls: most calls that may run at once.
        max_promised: most of them that may wait for promises.
        tracing: reports calls to a tracer, or None; see :meth:`trace`.
        running: running calls by request id, one-way calls by IncomingCall.
        answers: sends the answers.
        replies: the replies to calls that run at most once, or None.
        runner: runs the methods.
        used_promises: the calls on promises, or None before the first.
        context: the contextvars of methods that are not async, for calls without a principal.
    """

    __slots__ = (
        "_enter",
        "_entry",
        "_faults",
        "_host",
        "_inherits_deadline",
        "_keeps_arguments",
        "_outbox",
        "_policy",
        "_stats",
        "_translator",
        "answers",
        "beginning",
        "come_again",
        "context",
        "highest_before",
        "inbox",
        "is_draining",
        "max_calls",
        "max_promised",
        "refuses_sends",
        "replies",
        "runner",
        "running",
        "tracing",
        "used_promises",
    )

    inbox: Inbox

    def __init__(
        self,
        host: Host,
        policy: Policy,
        translator: Translator,
        outbox: Outbox,
        stats: Stats,
        walks: Reading,
    ):
        self.is_draining = False
        self.come_again: tuple[float, tuple[str, ...]] = (0.0, ())
        self.refuses_sends = False
        self.replies: Replies | None = None
        self.tracing: Tracing | None = None
        self.highest = self.highest_before = 0
        self.beginning: tuple[RequestId, str] | None = None
        self.max_calls = policy.max_calls
        self.max_promised = policy.max_promised
        self._inherits_deadline = policy.inherit_deadline
        self.used_promises: PromisedCalls | None = None
        self.context = contextvars.copy_context()
        self.answers = Answers(host, translator, outbox, stats, self.context)
        self.runner = MethodRunner(host, policy, translator, walks)
        self._policy = policy
        # Made when it is first needed.
        self._faults: FaultCounter | None = None
        self.running: dict[RequestId | IncomingCall, IncomingCall] = {}
        self._host = host
        self._translator = translator
        self._outbox = outbox
        self._stats = stats
        # An overridden ``serialize`` gets the arguments when the call is answered.
        self._keeps_arguments = "serialize" in host.overridden
        # A bound method: without it, W1 takes 1.006 times as many instructions.
        self._entry = translator.exports.get
        # A bound method of 72 bytes, which the entries of all objects without a principal share.
        self._enter = self.context.run

    def receive(self, message: CallMessage, wants_answer: bool) -> WorkLeft:
        """Make a call, and answer it or pass its awaitable to the host.

        Args:
            message: a call to an object or to a cache, with values or with expressions.
            wants_answer: whether the peer waits for an answer.

        Returns:
            The rest of the work if the arguments or the answer are large. PUT_OFF for a one-way
            call that must wait until another call has ended.

        Raises:
            ProtocolError: the request id is in use.
        """
        if not wants_answer:
            if self.must_wait:
                return PUT_OFF
        elif message.request_id in self.running:
            raise ProtocolError(f"request id {message.request_id} already in use")
        is_promised = type(message.object_id) is tuple
        if is_promised:
            self._check_promise(message.object_id, wants_answer)  # type: ignore[arg-type]
        self.highest_before = self.highest
        if wants_answer and message.request_id > self.highest:
            self.highest = message.request_id
        self._stats.calls_received += 1
        if is_promised:
            return self.promised().receive(message)
        return self.proceed(message, wants_answer)

    def proceed(self, message: CallMessage, wants_answer: bool) -> WorkLeft:
        """Make a call whose target is known; see :meth:`receive`."""
        if self.used_promises is not None or (
            isinstance(message, GraphCall) and message.has_promises
        ):
            promised = self.promised()
            if promised.must_hold(message):
                return promised.hold(message, wants_answer)
        call = self.made(message, wants_answer)
        if message.meta is not None:
            return begun(self._receive_keyed(call, message))
        return begun(self._receive(call, message))

    def start(self, released: Released) -> WorkLeft:
        """Start a call that has waited for promises; see :meth:`receive`."""
        message, call, promised = released.message, released.call, self.promised()
        self.highest_before = self.highest
        if self.running.pop(call.key, None) is not call:
            # It was cancelled.
            promised.unpin(released.pins)
            return begun(self.discard(message))
        if not call.wants_answer and self.must_wait:
            self.running[call.key] = call
            return PUT_OFF
        call.is_waiting = False
        if not released.is_checked and promised.must_hold(message):
            promised.unpin(released.pins)
            return promised.hold(message, call.wants_answer, released.number)
        # It arrived before the drain, which has waited for it.
        return begun(self.run(released, is_admitted=self.is_draining))

    def run(self, released: Released, *, is_admitted: bool = False) -> Work:
        """Make a call whose promises are known; ``is_admitted`` if it cannot be refused."""
        call, message, entry = released.call, released.message, released.entry
        try:
            yield from self._receive_keyed(call, message, entry, is_admitted=is_admitted)
        finally:
            self.promised().unpin(released.pins)

    def promised(self) -> PromisedCalls:
        """Return the calls on promises; made at the first use."""
        if self.used_promises is None:
            remembered = self.answers.remembering()
            promised = PromisedCalls(self, self._translator, remembered, self.max_promised)
            self.used_promises = self._translator.promises = self.answers.promises = promised
        return self.used_promises

    def must_hold(self, entry: CallEntry) -> bool:
        """Return whether calls to an object wait for promises."""
        return self.used_promises is not None and entry in self.used_promises.held

    def keeps_behind(self, number: Target, message: Queued) -> bool:
        """Keep a message about a stream or cache that a waiting call opens; return whether."""
        promised = self.used_promises
        return promised is not None and promised.keep_behind(number, message)

    def _receive_keyed(
        self,
        call: IncomingCall,
        message: CallMessage,
        entry: CallEntry | None = None,
        *,
        is_admitted: bool = False,
    ) -> Work:
        """Like :meth:`_receive`, also for a call that may have the key of a call that runs once."""
        work = self._receive(call, message, entry, is_admitted=is_admitted)
        return work if call.meta is None or self.replies is None else _ending(call, work)

    def _outcome_of_first(
        self, call: IncomingCall, message: CallMessage, entry: CallEntry | None
    ) -> KeptReply | Deferred[KeptReply] | None:
        """Return the reply for a second call with a key, or a Deferred of it; else None.

        Raises:
            ResultLost, ServerBusy, WrongArguments: see `Replies.find`.
        """
        text = None if call.meta is None else call.meta.get(ONCE)
        if text is None or self.replies is None or not call.wants_answer:
            return None
        owner = self.runner.principal_of(message) if entry is None else entry.principal
        principal = owner or self._translator.sole_principal
        found = self.replies.find(principal, read_key(text), call.name, self.runner.now())
        if found is None:
            return None
        once, is_new = found
        if is_new:
            call.once = once
            once.cancel = partial(self._host.on_event, CallCancelled(call))
            return None
        if once.is_running and self.is_full:
            raise self._busy()
        call.repeats, outcome = once, once.outcome()
        if isinstance(outcome, Deferred):
            call.waits = outcome
        return outcome

    def cancel(self, request_id: RequestId) -> None:
        """Cancel a running call of the peer; the first call with its key, if it waits for that."""
        call = self.running.get(request_id)
        if call is None:
            return
        if call.is_waiting and self.used_promises is not None:
            self.used_promises.cancel(call)
            self._host.on_event(CallAnswered())
        elif call.repeats is not None:
            call.repeats.cancel()
        else:
            self._host.on_event(CallCancelled(call))

    def end(self) -> None:
        """Forget the running calls: the connection has ended."""
        calls = list(self.running.values())
        self.running.clear()
        for call in calls:
            if call.waits is not None:
                call.waits.cancel()
        if self.used_promises is not None:
            self.used_promises.clear()
        if self.answers.remembered is not None:
            self.answers.remembered.clear()

    def _check_promise(self, promise: Promised, wants_answer: bool) -> None:
        """Raise ProtocolError if the target of a call is not a promise of an earlier call."""
        request_id = promise[0] if 1 <= len(promise) <= 2 else None
        if type(request_id) is not int or not wants_answer:
            raise ProtocolError("malformed message: the target of a call")
        self.check_request(request_id, self.highest)

    def check_request(self, request_id: RequestId, highest: RequestId) -> None:
        """Raise ProtocolError if a promise names a call that the peer has not made.

        Args:
            request_id: the call.
            highest: the highest request of the calls that came before the promise.
        """
        if request_id > highest:
            raise ProtocolError(f"promise of request {request_id}, which has not been made")

    def _receive(
        self,
        call: IncomingCall,
        message: CallMessage,
        entry: CallEntry | None = None,
        *,
        is_admitted: bool = False,
    ) -> Work:
        outcome: KeptReply | Deferred[KeptReply] | None = None
        target: Any = None
        try:
            if call.due is not None:
                call.check_due(self.runner.now)
            if call.meta is not None:
                outcome = self._outcome_of_first(call, message, entry)
            if outcome is None:
                if not is_admitted:
                    self._admit(call.wants_answer)
                if entry is None:
                    target = call_hook(self.runner.target_of, message)
                    call.principal = self.runner.principal_of(message)
                else:
                    target, call.principal = call_hook(entry.current), entry.principal
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - an overridden lookup may raise anything
            if self.tracing is not None:
                self._start(self.tracing, call)
            yield from self.discard(message)
            self.answers.refuse(call, error)
            # The number of a cache is the peer's own: it is not a guess at an object of this side.
            if type(message) not in TO_CACHES:
                self._count_fault(error)
            return
        if outcome is None:
            call.kind = class_of(target)
        if self.tracing is not None:
            self._start(self.tracing, call)
        if outcome is not None:
            yield from self.discard(message)
            yield from self._conclude(call, outcome) or ()
            return
        run = self.runner.run(call, target, message, self.enter_of)
        # Large arguments are freed as soon as they are decoded.
        del message
        try:
            result = yield from run
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a method raises is its answer
            self._translator.let_go_unread(call.watched)
            self.answers.refuse(call, error)
            if not call.arguments_decoded:
                self._count_fault(error)
            return
        work = self._conclude(call, result)
        if work is not None:
            yield from work

    def _count_fault(self, error: BaseException) -> None:
        if self._faults is None:
            self._faults = FaultCounter(self._policy, self._stats)
        self._faults.count(error)

    def intercept(self, interceptor: Interceptor) -> None:
        """Run a function around each call from now on."""
        self.runner.interceptor = interceptor
        # So that they are not called on the quick path.
        self._forget_methods()

    def trace(self, tracing: Tracing | None) -> None:
        """Report calls from now on; with None, report no more."""
        self.tracing = self.answers.tracing = tracing
        # Those of a `Timer` have times to count in.
        self._forget_methods()

    def _forget_methods(self) -> None:
        """Have the methods of all objects looked up again, at the next call of each."""
        self._translator.exports.forget_methods()
        if self._translator.used_remote_caches is not None:
            self._translator.used_remote_caches.forget_methods()

    def _start(self, tracing: Tracing, call: IncomingCall) -> None:
        """Tell the tracer that a call starts, in the context in which its method runs."""
        if is_of_login(call.kind):
            return
        context = self.own_context(call)
        head = call.name, True, call.wants_answer, call.kind
        tracing.adopt(call, context.run(tracing.tracer.call_started, *head), context)

    def enter_of(self, call: IncomingCall) -> Enter:
        """Return what calls a function in the context of a call."""
        if call.context is None and call.meta is None and call.due is None:
            return self._enter_of(call.principal)
        return self.own_context(call).run

    def finish(self, call: IncomingCall, value: object) -> Work | None:
        """Answer a pending call; no effect if it has been answered.

        Returns:
            The rest of the work if the answer is large.
        """
        if self.running.pop(call.key, None) is call or call.once is not None:
            self._translator.let_go_unread(call.watched)
            return self.answers.send(call, value)
        return None

    def fail(self, call: IncomingCall, error: object) -> None:
        """Refuse a pending call with an exception or a Failure; see :meth:`finish`."""
        if self.running.pop(call.key, None) is call or call.once is not None:
            self._translator.let_go_unread(call.watched)
            self.answers.refuse(call, error)

    def forget(self, call: IncomingCall) -> None:
        """Drop a pending call without an answer: its method has raised what ends the program."""
        self.running.pop(call.key, None)
        if call.once is not None:
            call.once.end(None, call.was_run)

    @property
    def is_full(self) -> bool:
        """Whether ``max_calls`` calls are running."""
        return len(self.running) >= self.max_calls

    @property
    def must_wait(self) -> bool:
        """Whether a one-way call must wait until a running call has ended."""
        return self.is_full and bool(self.running) and not self.refuses_sends

    def _admit(self, wants_answer: bool) -> None:
        """Raise ServerDraining or ServerBusy if no calls are accepted."""
        refusal = self.refusal(wants_answer)
        if refusal is not None:
            raise refusal

    def refusal(self, wants_answer: bool) -> ServerDraining | ServerBusy | None:
        """Return the error of a call if no calls are accepted now, else None."""
        if self.is_draining if wants_answer else self.refuses_sends:
            after, elsewhere = self.come_again
            return ServerDraining(DRAINING, after=after, elsewhere=elsewhere)
        return self._busy() if self.is_full else None

    def _busy(self) -> ServerBusy:
        """Count and return the error of a call while ``max_calls`` calls are running."""
        self._stats.count("max_calls")
        return limit_error(ServerBusy, "max_calls", self.max_calls)

    def entry_of(self, message: CallMessage) -> CallEntry | None:
        """Return the entry of the called object or cache, or None."""
        table = self._translator.remote_caches if type(message) in TO_CACHES else None
        find: Callable[[Any], CallEntry | None] = self._entry if table is None else table.get
        return find(message.object_id)

    def discard(self, message: CallMessage) -> Work:
        """Release the references in the arguments, which the peer has counted."""
        if isinstance(message, GraphCall):
            yield from self._translator.let_go(message.args, message.kw)


def _ending(call: IncomingCall, work: Work) -> Work:
    """Do the work of a call, and end the record of its key if the work fails."""
    try:
        yield from work
    except BaseException:
        # The connection has ended while the arguments were decoded, or the program ends.
        if call.once is not None:
            call.once.end(None, call.was_run)
        raise
