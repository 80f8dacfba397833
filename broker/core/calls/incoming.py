"""Incoming calls: from the peer's message to the answer.

An error of one call is sent as its answer and has no other effect. If a method returns an
awaitable, CallPending passes it to the host, which calls ``finish`` or ``fail`` later.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any, Protocol, TypeAlias

from broker.core.calls.deadline import call_until
from broker.core.calls.dispatch import (
    NO_METHODS,
    Method,
    Route,
    as_call_error,
    call_method,
    check_hooked,
    checked_arguments,
    note_raised,
    overrides_hook,
    quick_methods,
    resolve,
    was_raised,
)
from broker.core.calls.faults import FaultCounter
from broker.core.events import CallPending, CallRaised
from broker.core.host import Host, has_hook
from broker.core.inbox import Inbox
from broker.core.objects.tables import Export, shown
from broker.core.objects.transaction import Transaction
from broker.core.objects.translator import Translator, walk_of
from broker.core.objects.whereabouts import name_result
from broker.core.outbox import Outbox
from broker.core.policy import Policy
from broker.core.principal import OnBehalf, Principal
from broker.core.stats import Stats
from broker.core.tracer import Outcome, Tracing, outcome_of
from broker.core.wire.conversion import call_with_expressions
from broker.core.wire.messages import (
    CallMessage,
    GraphAnswer,
    GraphCall,
    GraphCallToCache,
    GraphError,
    ObjectId,
    PlainCall,
    PlainCallToCache,
    PlainSendToCache,
    RequestId,
)
from broker.core.work import PUT_OFF, Work, WorkLeft, begun, call_hook
from broker.errors import CallTimeout, NoSuchObject, ServerBusy, ServerDraining, WrongArguments
from broker.limit_errors import limit_error
from jelly.atoms import Expression, text_of
from jelly.errors import EncodeError, ProtocolError
from jelly.slices import UNFINISHED, Walk, finish

__all__ = ["DRAINING", "IncomingCall", "IncomingCalls"]

DRAINING = "not run: the server is shutting down"
"""The error text for a call that arrives after the server began to shut down."""


Enter: TypeAlias = Callable[..., Any]
"""Calls a function in the context of a principal: ``enter(function, *args)``."""

Interceptor: TypeAlias = Callable[[str, Callable[[], object]], object]
"""Gets the name of a method, and a function that calls it; returns or raises what the call does."""


class CallEntry(Protocol):
    """An object or a cache that the peer calls: an entry of a table.

    Attributes:
        principal: the user on whose behalf it is called, or None.
        enter: runs a call in the context of that principal; set with the methods.
        methods: the methods of the quick path, by name; None before the first call.
    """

    @property
    def principal(self) -> Principal | None: ...

    enter: Enter
    methods: Mapping[str, Method] | None

    @property
    def leading(self) -> tuple[object, ...]:
        """The arguments before those of the peer."""
        ...

    def current(self) -> object:
        """Return the object to call."""
        ...


class IncomingCall:
    """One incoming call that is in progress.

    Attributes:
        request_id, name, wants_answer: as the peer sent them.
        route: how the call is made; None if the class overrides ``remoteMessageReceived``, which
            answers in expressions.
        args, kw: the arguments of the method. They are emptied when it returns an awaitable, unless
            an overridden ``serialize`` needs them.
        due: the deadline of the call, by the clock of the connection, or None.
        principal: the user on whose behalf the call is made, or None.
        is_read: the arguments are decoded: later errors are not the peer's fault.
        kind: the class of the object; not set on the quick path.
        since: time at which the method returned an awaitable, by the clock of the connection.
        was_run: whether the method was called.
        watched: references in the arguments that an overridden hook has got as expressions.
    """

    __slots__ = (
        "args",
        "due",
        "is_read",
        "kind",
        "kw",
        "name",
        "principal",
        "request_id",
        "route",
        "since",
        "wants_answer",
        "was_run",
        "watched",
    )

    def __init__(
        self, request_id: RequestId, name: str, wants_answer: bool, due: float | None = None
    ):
        self.request_id = request_id
        self.name = name
        self.wants_answer = wants_answer
        self.due = due
        self.principal: Principal | None = None
        self.route: Route | None = None
        self.is_read = False
        self.kind: type | None = None
        self.since = 0.0
        self.was_run = False
        self.watched: list[list[Expression]] = []
        self.args: tuple[object, ...] = ()
        self.kw: dict[str, object] = {}


class IncomingCalls:
    """The incoming calls of one connection.

    Attributes:
        is_draining: refuse new calls.
        last_name: name of the last method that was called. The user of it sets it to an empty str
            before.
        refuses_sends: refuse one-way calls too.
        interceptor: runs around each call that passes all checks, or None. It is set before the
            first call.
        inbox: knows the time at which a call was received.
        now: the clock, in seconds.
        max_calls: most calls that may run at once.
        tracing: reports calls to a tracer, or None.
        running: running calls by request id, one-way calls by IncomingCall.
        answered: bytes of answers and errors since it was last set to 0.
        context: the contextvars of methods that are not async, for calls without a principal.
    """

    __slots__ = (
        "_cache",
        "_enter",
        "_entry",
        "_find",
        "_hooked",
        "_host",
        "_keeps_arguments",
        "_outbox",
        "_policy",
        "_stats",
        "_strikes",
        "_translator",
        "_unjelly_walk",
        "answered",
        "context",
        "inbox",
        "interceptor",
        "is_draining",
        "last_name",
        "max_calls",
        "now",
        "refuses_sends",
        "running",
        "tracing",
    )

    inbox: Inbox

    def __init__(
        self, host: Host, policy: Policy, translator: Translator, outbox: Outbox, stats: Stats
    ):
        self.is_draining = False
        self.refuses_sends = False
        self.interceptor: Interceptor | None = None
        self.tracing: Tracing | None = None
        # The call whose overridden hook runs.
        self._hooked: IncomingCall | None = None
        self.now: Callable[[], float] = _no_clock
        self.last_name = ""
        self.max_calls = policy.max_calls
        self.answered = 0
        self.context = contextvars.copy_context()
        self._strikes = FaultCounter(policy, stats)
        self.running: dict[RequestId | IncomingCall, IncomingCall] = {}
        self._host = host
        self._policy = policy
        self._translator = translator
        self._outbox = outbox
        self._stats = stats
        # An overridden ``serialize`` gets the arguments when the call is answered.
        self._keeps_arguments = has_hook(host, "serialize")
        self._unjelly_walk = walk_of(host, translator)
        self._find: Callable[[ObjectId | str], Any] = (
            host.localObjectForID if has_hook(host, "localObjectForID") else self._export
        )
        self._entry = translator.exports.get
        self._cache = translator.held.get
        self._enter = self.context.run

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
        find: Callable[[Any], CallEntry | None] = self._cache if to_cache else self._entry
        entry = find(message.object_id)
        running = self.running
        if (
            entry is None
            or self.is_draining
            or len(running) >= self.max_calls
            or message.request_id in running
            or message.deadline is not None
        ):
            return self.receive(message, wants_answer)
        methods = entry.methods
        if methods is None:
            methods = self._find_methods(entry)
        method = methods.get(message.name)
        if method is None:
            return self.receive(message, wants_answer)
        self._stats.calls_received += 1
        self.last_name = message.name
        outbox = self._outbox
        before = outbox.size
        # Means that the method has not returned.
        result: object = self
        tracing, token = self.tracing, None
        try:
            leading = entry.leading
            if tracing is not None:
                token = entry.enter(
                    tracing.tracer.call_started, message.name, True, wants_answer, type(leading[0])
                )
            result = entry.enter(method.function, *leading, *message.args, **message.kw)
            is_done = outbox.answer(message.request_id, result) if wants_answer else result is None
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a method raises is its answer
            call = self._incoming(message, wants_answer, entry.principal)
            if tracing is not None:
                tracing.adopt(call, token)
            if result is self:
                self._refuse_raised(call, error)
            else:
                # The method has returned a value that cannot be sent.
                call.was_run = True
                _name_result(error, message.name, result)
                self._refuse(call, error)
            return None
        if is_done:
            self.answered += outbox.size - before
            if tracing is not None:
                tracing.tracer.call_ended(token, Outcome.ANSWERED, None)
            return None
        call = self._incoming(message, wants_answer, entry.principal)
        if tracing is not None:
            tracing.adopt(call, token)
        return self._conclude_plain(call, self._target(message), message, result)

    def _find_methods(self, entry: CallEntry) -> Mapping[str, Method]:
        """Find the methods that the quick path may call, and store them in an entry of a table."""
        target = entry.current()
        leading, methods = quick_methods(target)
        if self.interceptor is not None:
            methods = NO_METHODS
        if isinstance(entry, Export):
            entry.leading = leading
        elif len(leading) != 1 or leading[0] is not target:
            # The entry passes the cache alone: it may be another object at the next call.
            methods = NO_METHODS
        entry.enter = self._enter_of(entry.principal)
        entry.methods = methods
        return methods

    def _refuse_raised(self, call: IncomingCall, error: BaseException) -> None:
        """Refuse a call with the error that calling its method has raised."""
        fault = as_call_error(error, call.name) if type(error) is TypeError else error
        if fault is error:
            note_raised(error)
            call.was_run = True
        self._refuse(call, fault)

    def _conclude_plain(
        self, call: IncomingCall, target: Any, message: PlainCall | PlainCallToCache, result: object
    ) -> Work | None:
        """Like :meth:`_conclude`, for a call whose method was found without a route."""
        call.route = target.route()
        call.was_run = True
        call.args, call.kw = message.args, message.kw
        return self._conclude(call, result)

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
        self._stats.calls_received += 1
        return begun(self._receive(self._incoming(message, wants_answer), message))

    def _receive(self, call: IncomingCall, message: CallMessage) -> Work:
        try:
            self._check_due(call)
            target = call_hook(self._admit, message, call.wants_answer)
            call.principal = self._principal_of(message)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - an overridden lookup may raise anything
            if self.tracing is not None:
                self._start(self.tracing, call, None)
            yield from self._discard(message)
            self._refuse(call, error)
            self._strikes.note(error)
            return
        if self.tracing is not None:
            self._start(self.tracing, call, type(target))
        run = self._run(call, target, message)
        # Large arguments are freed as soon as they are decoded.
        del message
        try:
            result = yield from run
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a method raises is its answer
            self._translator.let_go_unread(call.watched)
            self._refuse(call, error)
            if not call.is_read:
                self._strikes.note(error)
            return
        work = self._conclude(call, result)
        if work is not None:
            yield from work

    def _start(self, tracing: Tracing, call: IncomingCall, target: type | None) -> None:
        """Tell the tracer that a call starts, in the context in which its method runs."""
        enter = self._enter_of(call.principal)
        enter(tracing.start, call, call.name, True, call.wants_answer, target)

    def finish(self, call: IncomingCall, value: object) -> Work | None:
        """Answer a pending call; no effect if it has been answered.

        Returns:
            The rest of the work if the answer is large.
        """
        if self.running.pop(_key(call), None) is call:
            self._translator.let_go_unread(call.watched)
            return self._answer(call, value)
        return None

    def fail(self, call: IncomingCall, error: object) -> None:
        """Refuse a pending call with an exception or a Failure; see :meth:`finish`."""
        if self.running.pop(_key(call), None) is call:
            self._translator.let_go_unread(call.watched)
            self._refuse(call, error)

    def begins_at_once(self, message: CallMessage) -> bool:
        """Return whether a call would run a method now, instead of starting a task."""
        try:
            target = self._target(message)
            if overrides_hook(target, "remoteMessageReceived"):
                return True
            route = target.route()
            if not isinstance(route, Route):
                return True
            method = resolve(route, message.name, self._policy.dynamic_methods)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - the call fails, and its answer may be sent at once
            return False
        return not method.is_async

    def _incoming(
        self, message: CallMessage, wants_answer: bool, principal: Principal | None = None
    ) -> IncomingCall:
        # No caller waits for a one-way call, so it cannot be late.
        deadline = message.deadline if wants_answer else None
        due: float | None = deadline
        if type(deadline) is int:
            # Still milliseconds: the call did not wait. Else the inbox has set the deadline.
            due = self.inbox.arrived + deadline / 1000
        call = IncomingCall(message.request_id, message.name, wants_answer, due)
        call.principal = principal
        return call

    def context_of(self, call: IncomingCall) -> contextvars.Context:
        """Return the contextvars in which the method of a call runs; an async one gets a copy."""
        return self.context if call.principal is None else call.principal.context

    def _owner_of(self, call: IncomingCall) -> Principal | None:
        """Return the owner of the objects that the answer to a call exports."""
        return call.principal or self._translator.sole_principal

    def _enter_of(self, principal: Principal | None) -> Enter:
        return self._enter if principal is None else principal.enter

    def _conclude(self, call: IncomingCall, result: object) -> Work | None:
        """Answer a call with the result of its method, or pass an awaitable to the host."""
        if getattr(type(result), "__await__", None) is None:
            self._translator.let_go_unread(call.watched)
            return self._answer(call, result)
        if not self._keeps_arguments:
            # So an argument is collected as soon as the method drops it.
            call.args, call.kw = (), {}
        call.since = self.now()
        self.running[_key(call)] = call
        self._host.on_event(CallPending(call, result))
        return None

    @property
    def is_full(self) -> bool:
        """Whether ``max_calls`` calls are running."""
        return len(self.running) >= self.max_calls

    @property
    def must_wait(self) -> bool:
        """Whether a one-way call must wait until a running call has ended."""
        return self.is_full and bool(self.running) and not self.refuses_sends

    def _admit(self, message: CallMessage, wants_answer: bool) -> Any:
        """Return the called object; raise ServerDraining or ServerBusy if no calls are accepted."""
        if self.is_draining if wants_answer else self.refuses_sends:
            raise ServerDraining(DRAINING)
        if self.is_full:
            self._stats.count("max_calls")
            raise limit_error(ServerBusy, "max_calls", self.max_calls)
        return self._target(message)

    def _discard(self, message: CallMessage) -> Work:
        """Release the references in the arguments, which the peer has counted."""
        if isinstance(message, GraphCall):
            yield from self._translator.let_go(message.args, message.kw)

    def _read(
        self, expression: Expression, perspective: object, enter: Enter
    ) -> Generator[object, None, object]:
        """Return the value of an expression, for a perspective."""
        walk = self._unjelly_walk(expression, perspective)
        while (value := call_hook(enter, next, walk)) is UNFINISHED:
            yield UNFINISHED
        return value

    def _run(
        self, call: IncomingCall, target: Any, message: CallMessage
    ) -> Generator[object, None, object]:
        enter = self._enter_of(call.principal)
        call.kind = type(target)
        is_hooked = overrides_hook(target, "remoteMessageReceived")
        route = target.remoteMessageReceived if is_hooked else call_hook(target.route)
        if not isinstance(route, Route):
            # An overridden hook, which takes expressions.
            if isinstance(message, GraphCall):
                call.watched = self._translator.watch(message.args, message.kw)
            else:
                message = call_with_expressions(message)
            call.is_read = True
            self.last_name = call.name
            call_hook(enter, check_hooked, route, call.name)
            call.was_run = True
            if call.due is not None:
                enter = partial(enter, call_until, call.due)
            self._hooked = call
            try:
                return call_hook(enter, route, self._host, call.name, message.args, message.kw)
            finally:
                self._hooked = None
        call.route = route
        if route.principal is not None:
            call.principal = route.principal
            enter = route.principal.enter
        if call.due is not None:
            enter = partial(enter, call_until, call.due)
        # Before the lookup, so that their references are released even if there is no such method.
        args, kw = yield from self._arguments(message, route.perspective, enter)
        del message
        call.is_read = True
        self._check_due(call)
        method = call_hook(resolve, route, call.name, self._policy.dynamic_methods)
        if route.unanswered is not None and not call.wants_answer:
            raise route.unanswered()
        self.last_name = call.name
        try:
            return call_hook(enter, self.invoke, call, route, method, args, kw)
        except WrongArguments as error:
            call.was_run = call.was_run and (was_raised(error) or route.is_ours)
            raise

    def _arguments(
        self, message: CallMessage, perspective: object, enter: Enter
    ) -> Generator[object, None, tuple[object, object]]:
        """Return the values of the arguments and of the keywords of a call."""
        if not isinstance(message, GraphCall):
            return message.args, message.kw
        try:
            args = yield from self._read(message.args, perspective, enter)
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException:
            yield from self._translator.let_go(message.kw)
            raise
        kw = yield from self._read(message.kw, perspective, enter)
        return args, kw

    def call_hooked(
        self, route: Route, name: str, args: Expression, kw: Expression
    ) -> tuple[IncomingCall, object]:
        """Make a call for an overridden hook, which has the peer's expressions.

        The arguments are decoded before the lookup, so that their references are released even if
        there is no such method.

        Returns:
            The call, which has the decoded arguments, and the result of the method.
        """
        values = finish(self._unjelly_walk(args, route.perspective))
        keywords = finish(self._unjelly_walk(kw, route.perspective))
        method = resolve(route, name, self._policy.dynamic_methods)
        call = IncomingCall(0, name, self._hooked is None or self._hooked.wants_answer)
        return call, self.invoke(call, route, method, values, keywords)

    def invoke(
        self,
        call: IncomingCall,
        route: Route,
        method: Method,
        args: object,
        kw: object,
    ) -> object:
        """Check a call of a peer, and call the method.

        All calls are made here, except those of the quick path, whose methods need no check.

        Args:
            call: the call; it gets the arguments as the method gets them.
            route, method: the object and its method.
            args, kw: the decoded arguments and keywords, of any type.

        Raises:
            WrongArguments: the arguments are not a tuple and a dict with str keys, or do not fit
                the method. Errors of conditions, validator, interceptor and method are passed on.
        """
        name = call.name
        for check in method.conditions:
            check(name)
        args, kw = checked_arguments(args, kw)
        if method.validator is not None:
            args, kw = method.validator(args, kw)
        call.args, call.kw, call.was_run = args, kw, True
        if self.interceptor is not None:
            return self.interceptor(name, partial(call_method, route, method, name, args, kw))
        return call_method(route, method, name, args, kw)

    def _check_due(self, call: IncomingCall) -> None:
        """Raise CallTimeout if the deadline of a call has passed."""
        if call.due is not None and self.now() >= call.due:
            raise CallTimeout(f"'{text_of(call.name)}' was not run: its caller's time was up")

    def _target(self, message: CallMessage) -> Any:
        if type(message) in _TO_CACHES:
            return self._translator.held.observer_of(message.object_id)
        target = self._find(message.object_id)
        if target is None:
            raise NoSuchObject(
                f"object {shown(message.object_id)} is not exported to this connection"
            )
        return target

    def _principal_of(self, message: CallMessage) -> Principal | None:
        if type(message) in _TO_CACHES:
            return self._translator.held.principal_of(message.object_id)
        entry = self._entry(message.object_id)
        return None if entry is None else entry.principal

    def _export(self, object_id: ObjectId | str) -> object:
        entry = self._translator.exports.get(object_id)
        return None if entry is None else entry.value

    def _answer(self, call: IncomingCall, value: object) -> Work | None:
        outbox = self._outbox
        if not call.wants_answer or outbox.is_closed:
            if self.tracing is not None:
                self.tracing.end(call, Outcome.ANSWERED)
            return None
        before = outbox.size
        try:
            # An overridden hook (no route) has returned an expression already. An avatar needs a
            # jellier.
            is_done = (
                call.route is not None
                and type(value) is not OnBehalf
                and outbox.answer(call.request_id, value)
            )
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a value that cannot be sent fails this call
            _name_result(error, call.name, value)
            self._refuse(call, error)
            return None
        if not is_done:
            return begun(self._answer_with_graph(call, value))
        self.answered += outbox.size - before
        if self.tracing is not None:
            self.tracing.end(call, Outcome.ANSWERED)
        return None

    def _answer_with_graph(self, call: IncomingCall, value: object) -> Work:
        outbox, route = self._outbox, call.route
        perspective = None if route is None else route.perspective
        given = value if isinstance(value, OnBehalf) else None
        owner = self._owner_of(call) if given is None else given.principal
        scope = self._translator.open(perspective, call.name, call.args, call.kw, owner)
        if given is not None:
            scope.on_rollback(given.undo)
            value = given.value
            del given
        try:
            expression: Any = value
            if route is not None:
                expression = yield from self._sliced(outbox.jelly_walk(value), scope)
            # Free the result and the arguments: they are not needed any more.
            value = None
            call.args, call.kw, scope.args, scope.kw = (), {}, (), {}
            packing = outbox.pack_walk(GraphAnswer(call.request_id, expression))
            del expression
            packed = yield from self._sliced(packing, scope)
        except BaseException as error:
            outbox.roll_back(scope)
            if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
                raise
            _name_result(error, call.name, value)
            self._refuse(call, error)
            return
        before = outbox.size
        outbox.commit(scope, packed)
        self.answered += outbox.size - before
        if self.tracing is not None:
            self.tracing.end(call, Outcome.ANSWERED)

    def _sliced(self, walk: Walk[Any], scope: Transaction) -> Generator[object, None, Any]:
        """Return the last value of a walk, with its transaction open during each step."""
        while (result := call_hook(next, walk)) is UNFINISHED:
            if scope.can_pause:
                self._translator.close(scope)
                yield UNFINISHED
                self._translator.reopen(scope)
        return result

    def _refuse(self, call: IncomingCall, error: object) -> None:
        shown_error, error_id = self._host.shown_error(error)
        self._stats.count_limit(error)
        outbox = self._outbox
        if call.wants_answer and not outbox.is_closed:
            before = outbox.size
            try:
                self._send_error(call, shown_error)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as second:  # noqa: BLE001 - the peer is told that it cannot be sent
                told, told_id = self._send_plainer_error(call, shown_error, second)
                if told_id is not None:
                    # The peer was shown this id, so it must be in the log, with its cause.
                    told.__cause__ = error if isinstance(error, BaseException) else None
                    error, error_id = told, told_id
            self.answered += outbox.size - before
        one_way_to, refused = None, 0
        if not call.wants_answer:
            one_way_to = call.kind
            if not call.was_run:
                self._stats.sends_refused += 1
                refused = self._stats.sends_refused
        if self.tracing is not None:
            self.tracing.end(call, outcome_of(error, call.was_run), error)
        self._host.on_event(CallRaised(call.name, error, error_id, one_way_to, refused))

    def _send_plainer_error(
        self, call: IncomingCall, shown_error: object, fault: BaseException
    ) -> tuple[BaseException, str | None]:
        """Send an error without its fields; if that fails too, send a RuntimeError that says so.

        Returns:
            The error to log, and the id of it that the peer was shown, or None.
        """
        if self._host.drop_fields(shown_error, fault):
            try:
                self._send_error(call, shown_error)
                return fault, None
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as second:  # noqa: BLE001 - as at the first attempt
                fault = second
        told = RuntimeError(f"the error cannot be sent: {type(fault).__name__}")
        shown_error, error_id = self._host.shown_error(told)
        self._send_error(call, shown_error)
        return told, error_id

    def _send_error(self, call: IncomingCall, shown_error: object) -> None:
        outbox = self._outbox
        scope = self._translator.open(principal=self._owner_of(call))
        try:
            packed = outbox.pack(GraphError(call.request_id, outbox.jelly(shown_error)))
        except BaseException:
            outbox.roll_back(scope)
            raise
        outbox.commit(scope, packed)


def _no_clock() -> float:
    return float("-inf")


def _name_result(error: BaseException, name: str, value: object) -> None:
    if isinstance(error, EncodeError):
        name_result(error, name, value)


def _key(call: IncomingCall) -> RequestId | IncomingCall:
    return call.request_id if call.wants_answer else call


_TO_CACHES = frozenset({GraphCallToCache, PlainCallToCache, PlainSendToCache})
