"""Calls with plain values whose methods were found before: the quick path of incoming calls.

The lanes and the handlers of the plain messages begin here. A call that needs more than its method
goes the general way, `IncomingCalls.receive`.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from broker.core.calls.answering import Answers
from broker.core.calls.deadline import DEADLINE
from broker.core.calls.dispatch import (
    NO_METHODS,
    Method,
    as_call_error,
    class_of,
    is_of_login,
    note_raised,
    quick_methods,
)
from broker.core.calls.incoming_call import IncomingCall
from broker.core.calls.method_runner import Enter, MethodRunner
from broker.core.events import CallBegan, CallPending
from broker.core.host import Host
from broker.core.inbox import Inbox
from broker.core.objects.credit import credit_in
from broker.core.objects.tables import Export
from broker.core.objects.translator import Translator
from broker.core.outbox import Outbox
from broker.core.principal import Principal
from broker.core.stats import Stats
from broker.core.tracer import ANSWERED, Times, Tracing
from broker.core.wire.messages import CallMessage, PlainCall, PlainCallToCache, RequestId
from broker.core.work import Work, WorkLeft

__all__ = ["CallEntry", "PlainCalls"]


class CallEntry(Protocol):
    """An object or a cache that the peer calls: an entry of a table.

    Attributes:
        enter: runs a call in the context of the principal; set with the methods.
        methods: the methods of the quick path, by name; None before the first call.
    """

    enter: Enter
    methods: Mapping[str, Method] | None

    @property
    def principal(self) -> Principal | None:
        """The user on whose behalf it is called, or None."""
        ...

    @property
    def leading(self) -> tuple[object, ...]:
        """The arguments before those of the peer."""
        ...

    def current(self) -> object:
        """Return the object to call."""
        ...


class PlainCalls:
    """The incoming calls of one connection: those that take the quick path.

    `broker.core.calls.incoming` has the others, and describes the attributes.
    """

    __slots__ = ("highest",)

    inbox: Inbox
    answers: Answers
    runner: MethodRunner
    running: dict[RequestId | IncomingCall, IncomingCall]
    context: contextvars.Context
    highest: int
    is_draining: bool
    max_calls: int
    tracing: Tracing | None
    _enter: Enter
    _entry: Callable[[Any], CallEntry | None]
    _host: Host
    _inherits_deadline: bool
    _keeps_arguments: bool
    _outbox: Outbox
    _stats: Stats
    _translator: Translator

    def receive(self, message: CallMessage, wants_answer: bool) -> WorkLeft:
        """Make a call in the general way; see `IncomingCalls.receive`."""
        raise NotImplementedError

    def must_hold(self, entry: CallEntry) -> bool:
        """Return whether calls to an object wait for promises."""
        raise NotImplementedError

    def receive_plain(
        self, message: PlainCall | PlainCallToCache, wants_answer: bool, to_cache: bool = False
    ) -> WorkLeft:
        """Make a call that contains plain values; the quick path of :meth:`receive`.

        Most calls take it. The Method was found at an earlier call. Without this path, with the
        records, transactions and lookups of :meth:`receive`, both sides take 1.2 times as long in
        W1, and 1.4 times in W2.

        Args:
            message: the call.
            wants_answer: whether the peer waits for an answer.
            to_cache: whether the object is a cache.

        Returns:
            The rest of the work; see :meth:`receive`.

        Raises:
            ProtocolError: the request id is in use.
        """
        find: Callable[[Any], CallEntry | None] = (
            self._translator.remote_caches.get if to_cache else self._entry
        )
        entry = find(message.object_id)
        running = self.running
        if (
            entry is None
            or self.is_draining
            or len(running) >= self.max_calls
            or message.request_id in running
            or message.deadline is not None
            or message.meta is not None
        ):
            return self.receive(message, wants_answer)
        methods = entry.methods
        if methods is None:
            methods = self._find_methods(entry)
        method = methods.get(message.name)
        if method is None:
            return self.receive(message, wants_answer)
        if wants_answer and message.request_id > self.highest:
            self.highest = message.request_id
        self._stats.calls_received += 1
        outbox = self._outbox
        before = outbox.unsent.size
        # Means that the method has not returned.
        result: object = self
        tracing, context, enter = self.tracing, None, entry.enter
        token: Any = None
        times: Times | None = None
        try:
            leading = entry.leading
            kind = type(leading[0])
            self.runner.last = message.name, kind, wants_answer
            if tracing is not None:
                times = method.times
                if times is not None:
                    token = times.clock()
                else:
                    principal = entry.principal
                    context = (self.context if principal is None else principal.context).copy()
                    enter = context.run
                    token = enter(tracing.begin, message.name, wants_answer, kind)
            result = enter(method.function, *leading, *message.args, **message.kw)
            is_done = outbox.answer(message.request_id, result) if wants_answer else result is None
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a method raises is its answer
            call = self.made(message, wants_answer, entry.principal)
            if tracing is not None:
                _adopt(tracing, call, context, token, None if times is None else kind)
            if result is self:
                self._refuse_raised(call, error)
            else:
                # The method has returned a value that cannot be sent.
                call.was_run = True
                self.answers.refuse_result(call, error, result)
            return None
        if is_done:
            self.answers.size += outbox.unsent.size - before
            if tracing is not None:
                if context is not None:
                    context.run(tracing.tracer.call_ended, token, ANSWERED, None)
                elif times is not None:
                    took = times.clock() - token
                    if took <= times.most_short:
                        times.short += 1
                        times.seconds += took
                    else:
                        times.add(took)
            return None
        call = self.made(message, wants_answer, entry.principal)
        if tracing is not None:
            _adopt(tracing, call, context, token, None if times is None else kind)
        # Not asked of the tables: the method may have ended the connection, which empties them.
        return self._conclude_plain(call, entry.current(), message.args, message.kw, result)

    def raised(
        self,
        request_id: RequestId,
        entry: Export,
        name: str,
        args: tuple[object, ...],
        wants_answer: bool,
        error: BaseException,
    ) -> None:
        """Answer a call that the lane in C has made, and whose method has raised an error.

        The lane has counted the call.
        """
        call = _made_by_lane(request_id, entry, name, wants_answer)
        try:
            # Its traceback then begins with this frame, as if the method were called here.
            raise error
        except BaseException as again:  # noqa: BLE001 - whatever a method raises is its answer
            self._refuse_raised(call, again)

    def began(
        self,
        request_id: RequestId,
        entry: Export,
        name: str,
        args: tuple[object, ...],
        wants_answer: bool,
        task: object,
    ) -> None:
        """Answer a call whose coroutine method the lane in C has begun, when its task has ended."""
        call = _made_by_lane(request_id, entry, name, wants_answer)
        target: Any = entry.current()
        call.route = target.route()
        call.kind = class_of(target)
        call.was_run = True
        call.args = args
        self._keep(call)
        self._host.on_event(CallBegan(call, task))

    def returned(
        self,
        request_id: RequestId,
        entry: Export,
        name: str,
        args: tuple[object, ...],
        wants_answer: bool,
        result: object,
    ) -> None:
        """Answer a call that the lane in C has made, and whose result it does not encode."""
        call = _made_by_lane(request_id, entry, name, wants_answer)
        self.inbox.add_work(self._conclude_plain(call, entry.current(), args, {}, result))

    def _find_methods(self, entry: CallEntry) -> Mapping[str, Method]:
        """Find the methods that the quick path may call, and store them in an entry of a table."""
        target = entry.current()
        leading, methods = quick_methods(target)
        if self.runner.interceptor is not None:
            methods = NO_METHODS
        if self.must_hold(entry) or (leading and is_of_login(type(leading[0]))):
            methods = NO_METHODS
        if isinstance(entry, Export):
            entry.leading = leading
        elif len(leading) != 1 or leading[0] is not target:
            # The entry passes the cache alone: it may be another object at the next call.
            methods = NO_METHODS
        timer = None if self.tracing is None else self.tracing.timer
        if timer is not None and methods:
            methods = timer.timed(type(leading[0]), methods)
        entry.enter = self._enter_of(entry.principal)
        entry.methods = methods
        return methods

    def _refuse_raised(self, call: IncomingCall, error: BaseException) -> None:
        """Refuse a call with the error that calling its method has raised."""
        fault = as_call_error(error, call.name) if isinstance(error, TypeError) else error
        if fault is error:
            note_raised(error)
            call.was_run = True
        self.answers.refuse(call, fault)

    def _conclude_plain(
        self,
        call: IncomingCall,
        target: Any,
        args: tuple[object, ...],
        kw: dict[str, object],
        result: object,
    ) -> Work | None:
        """Like :meth:`_conclude`, for a call whose method was found without a route."""
        call.route = target.route()
        call.kind = class_of(target)
        call.was_run = True
        call.args, call.kw = args, kw
        return self._conclude(call, result)

    def made(
        self, message: CallMessage, wants_answer: bool, principal: Principal | None = None
    ) -> IncomingCall:
        """Return the call of a message."""
        # No caller waits for a one-way call, so it cannot be late.
        deadline = message.deadline if wants_answer else None
        due: float | None = deadline
        if type(deadline) is int:
            # Still milliseconds: the call did not wait. Else the inbox has set the deadline.
            due = self.inbox.arrived + deadline / 1000
        call = IncomingCall(message.request_id, message.name, wants_answer, due)
        call.principal = principal
        if message.meta is not None:
            call.meta = message.meta
            call.first_credit = credit_in(message.meta)
        return call

    def _enter_of(self, principal: Principal | None) -> Enter:
        return self._enter if principal is None else principal.enter

    def own_context(self, call: IncomingCall) -> contextvars.Context:
        """Return the contextvars of a call alone, with its record and its deadline."""
        if call.context is None:
            call.context = self.described(
                call.principal, call.name, call.wants_answer, call.kind, call.due, call.meta
            )
        return call.context

    def described(
        self,
        principal: Principal | None,
        name: str,
        wants_answer: bool,
        kind: type | None,
        due: float | None = None,
        meta: Mapping[str, str] | None = None,
    ) -> contextvars.Context:
        """Return contextvars for one call, with its record and its deadline.

        Args:
            principal, name, wants_answer, kind, due, meta: see `IncomingCall`.
        """
        context = (self.context if principal is None else principal.context).copy()
        context.run(self._host.describe, name, wants_answer, kind, due, meta)
        if due is not None and self._inherits_deadline:
            context.run(DEADLINE.set, due)
        return context

    def _conclude(self, call: IncomingCall, result: object) -> Work | None:
        """Answer a call with the result of its method, or pass an awaitable to the host."""
        if getattr(type(result), "__await__", None) is None:
            self._translator.let_go_unread(call.watched)
            return self.answers.send(call, result)
        self._keep(call)
        self._host.on_event(CallPending(call, result))
        return None

    def _keep(self, call: IncomingCall) -> None:
        """Keep a call among the running ones, until it is answered."""
        if not self._keeps_arguments:
            # So an argument is collected as soon as the method drops it.
            call.args, call.kw = (), {}
        call.since = self.runner.now()
        self.running[call.key] = call


def _made_by_lane(
    request_id: RequestId, entry: Export, name: str, wants_answer: bool
) -> IncomingCall:
    call = IncomingCall(request_id, name, wants_answer)
    call.principal = entry.principal
    return call


def _adopt(
    tracing: Tracing,
    call: IncomingCall,
    context: contextvars.Context | None,
    token: object,
    timed: type | None,
) -> None:
    """Keep the token of a quick call that ends elsewhere.

    Args:
        tracing, call, context, token: see `Tracing.adopt`.
        timed: the class of the object if the tracer only takes times; the token is the start then.
    """
    call.context = context
    tracing.adopt(call, token if timed is None else (timed, call.name, token), context)
