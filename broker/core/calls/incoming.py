"""The callee: calls of the peer's, from the message to the answer.

Faults of one call become its answer and nothing else. A method that returns an awaitable is not
waited for here: CallPending hands it out, and ``finish`` or ``fail`` answers later.
"""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any

from broker.core.calls.dispatch import (
    Route,
    as_call_error,
    call_method,
    check_condition,
    check_hooked,
    checked_arguments,
    find_method,
    free_methods,
    note_raised,
    overrides_hook,
    was_raised,
)
from broker.core.calls.due import call_until
from broker.core.calls.faults import FaultCounter
from broker.core.events import CallPending, CallRaised
from broker.core.objects.tables import shown
from broker.core.objects.transaction import Transaction
from broker.core.objects.translator import Translator, walk_of
from broker.core.objects.whereabouts import name_result
from broker.core.outbox import Outbox
from broker.core.policy import Policy
from broker.core.principal import OnBehalf, Principal
from broker.core.stats import Stats
from broker.core.wire.conversion import PLAIN, with_expressions
from broker.core.wire.messages import (
    CallToCache,
    ObjectId,
    PlainCall,
    PlainCallToCache,
    PlainSendToCache,
    RequestId,
)
from broker.core.work import PUT_OFF, Work, begun, call_hook
from broker.errors import CallTimeout, NoSuchObject, ServerBusy, ServerDraining, WrongArguments
from jelly.atoms import Expression, text_of
from jelly.errors import EncodeError, ProtocolError
from jelly.slices import UNFINISHED

__all__ = ["DRAINING", "IncomingCall", "IncomingCalls"]

DRAINING = "not run: the server is shutting down"
"""What a call is told that comes too late."""


class IncomingCall:
    """One call of the peer's that is being worked on.

    Attributes:
        request_id, name, wants_answer: as the peer sent them.
        route: how it is made; None where the class has a hook of its own, which answers in
            expressions.
        args, kw: what the method was called with. They are emptied when it returns an awaitable,
            unless an overridden ``serialize`` needs them.
        due: when the peer waits no longer, by the clock of the callee; or None.
        principal: on whose behalf it is made; None for nobody.
        is_read: whether what fails from now on is not the fault of what the peer sent.
        kind: the class of the object, once that is looked at in any but the quickest way.
        was_run: whether the method was called.
        watched: references in the arguments that a hook of the class's own has been given.
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
        self.was_run = False
        self.watched: list[list[Any]] = []
        self.args: tuple[Any, ...] = ()
        self.kw: dict[str, Any] = {}


class IncomingCalls:
    """The calls of the peer's on one connection.

    Attributes:
        is_draining: refuse what comes from now on.
        last_name: of the method that was called last, for whoever sets it to an empty str before.
        refuses_sends: refuse also what wants no answer.
        inbox: knows when what it hands out has come.
        now: the clock, in seconds.
        max_calls: how many may run at once.
        running: the calls that have not ended, by request id; those that want no answer, whose ids
            mean nothing, by themselves.
        answered: bytes of answers and errors since it was last set to 0.
        context: the contextvars of plain methods where there is no principal.
    """

    __slots__ = (
        "_enter",
        "_entry",
        "_find",
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
        "is_draining",
        "last_name",
        "max_calls",
        "now",
        "refuses_sends",
        "running",
    )

    def __init__(
        self, host: Any, policy: Policy, translator: Translator, outbox: Outbox, stats: Stats
    ):
        self.is_draining = False
        self.refuses_sends = False
        self.inbox: Any = None
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
        theirs = host.overridden
        # An overridden ``serialize`` gets them when the call is answered.
        self._keeps_arguments = "serialize" in theirs
        self._unjelly_walk = walk_of(host, translator)
        self._find = host.localObjectForID if "localObjectForID" in theirs else self._export
        self._entry = translator.exports.get
        self._enter = self.context.run

    def receive_plain(self, message: PlainCall, wants_answer: bool) -> Work | None:
        """Make a call whose values stand in it; by :meth:`receive` if that takes more.

        Most calls are such. With the records, scopes and lookups of the others both ends of W1 take
        1.2 times as long, of W2 1.4 times.

        Returns:
            What is left to do, as of :meth:`receive`.

        Raises:
            ProtocolError: the request id is in use.
        """
        entry, running = self._entry(message.object_id), self.running
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
            entry.leading, methods = free_methods(entry.value)
            entry.methods = methods
            entry.enter = self._enter_of(entry.principal)
        function = methods.get(message.name)
        if function is None:
            return self.receive(message, wants_answer)
        self._stats.calls_received += 1
        self.last_name = message.name
        outbox = self._outbox
        before = outbox.size
        # Stands for no result: the method has not returned.
        result: Any = self
        try:
            result = entry.enter(function, *entry.leading, *message.args, **message.kw)
            is_done = outbox.answer(message.request_id, result) if wants_answer else result is None
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a method raises is its answer
            call = self._incoming(message, wants_answer, entry.principal)
            if result is self:
                self._refuse_raised(call, error)
            else:
                # The method has returned what cannot be sent.
                call.was_run = True
                _name_result(error, message.name, result)
                self._refuse(call, error)
            return None
        if is_done:
            self.answered += outbox.size - before
            return None
        call = self._incoming(message, wants_answer, entry.principal)
        return self._conclude_plain(call, entry.value, message, result)

    def receive_change(self, message: PlainSendToCache) -> Work | None:
        """Make a one-way call to a cache, as :meth:`receive_plain` does to an object.

        Most calls to caches are such: changes of what they follow.

        Returns:
            What is left to do, as of :meth:`receive`.
        """
        entry = self._translator.held.get(message.object_id)
        if (
            entry is None
            or self.is_draining
            or len(self.running) >= self.max_calls
            or message.deadline is not None
        ):
            return self.receive(message, False)
        cache = entry.current()
        if entry.methods is None:
            leading, methods = free_methods(cache)
            entry.methods = methods if len(leading) == 1 and leading[0] is cache else {}
        function = entry.methods.get(message.name)
        if function is None:
            return self.receive(message, False)
        self._stats.calls_received += 1
        self.last_name = message.name
        try:
            result = self._enter_of(entry.principal)(function, cache, *message.args, **message.kw)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a method raises is its answer
            self._refuse_raised(self._incoming(message, False, entry.principal), error)
            return None
        if result is None:
            return None
        call = self._incoming(message, False, entry.principal)
        return self._conclude_plain(call, cache, message, result)

    def _refuse_raised(self, call: IncomingCall, error: BaseException) -> None:
        """Refuse a call by what came of calling its method."""
        fault = as_call_error(error, call.name) if type(error) is TypeError else error
        if fault is error:
            note_raised(error)
            call.was_run = True
        self._refuse(call, fault)

    def _conclude_plain(
        self, call: IncomingCall, target: Any, message: Any, result: Any
    ) -> Work | None:
        """Do as :meth:`_conclude` for a call whose method was found without a route."""
        call.route = target.route()
        call.was_run = True
        call.args, call.kw = message.args, message.kw
        return self._conclude(call, result)

    def receive(self, message: Any, wants_answer: bool) -> Work | None:
        """Make a call, and answer it or hand out what it waits for.

        Args:
            message: a call to an object or to a cache, of values or of expressions.
            wants_answer: whether the peer waits for one.

        Returns:
            What is left to do, where the arguments or the answer are large. PUT_OFF for a call
            that wants no answer and must wait until another has ended.

        Raises:
            ProtocolError: the request id is in use.
        """
        if not wants_answer:
            if self.must_wait:
                return PUT_OFF  # type: ignore[no-any-return]
        elif message.request_id in self.running:
            raise ProtocolError(f"request id {message.request_id} already in use")
        self._stats.calls_received += 1
        return begun(self._receive(self._incoming(message, wants_answer), message))

    def _receive(self, call: IncomingCall, message: Any) -> Work:
        try:
            self._check_due(call)
            target = call_hook(self._admit, message, call.wants_answer)
            call.principal = self._principal_of(message)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - an object's own lookup may raise anything
            yield from self._discard(message)
            self._refuse(call, error)
            self._strikes.note(error)
            return
        run = self._run(call, target, message)
        # Large arguments are freed as soon as they are read.
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

    def finish(self, call: IncomingCall, value: Any) -> Work | None:
        """Answer a call that was pending; nothing happens if it has been answered.

        Returns:
            What is left to do, where the answer is large.
        """
        if self.running.pop(_key(call), None) is call:
            self._translator.let_go_unread(call.watched)
            return self._answer(call, value)
        return None

    def fail(self, call: IncomingCall, error: Any) -> None:
        """Refuse a call that was pending, by an exception or a Failure; see :meth:`finish`."""
        if self.running.pop(_key(call), None) is call:
            self._translator.let_go_unread(call.watched)
            self._refuse(call, error)

    def begins_at_once(self, message: Any) -> bool:
        """Return whether a call would run a method now, rather than make a task of it."""
        try:
            target = self._target(message)
            if overrides_hook(target, "remoteMessageReceived"):
                return True
            route = target.route()
            if not isinstance(route, Route):
                return True
            method = find_method(route, message.name, self._policy.dynamic_methods)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - it fails, and that is an answer which may come at once
            return False
        return not inspect.iscoroutinefunction(method)

    def _incoming(
        self, message: Any, wants_answer: bool, principal: Principal | None = None
    ) -> IncomingCall:
        # A call that nobody waits for is not too late.
        due = message.deadline if wants_answer else None
        if type(due) is int:
            # Of a call that did not have to wait; else the inbox has noted it.
            due = self.inbox.arrived + due / 1000
        call = IncomingCall(message.request_id, message.name, wants_answer, due)
        call.principal = principal
        return call

    def context_of(self, call: IncomingCall) -> contextvars.Context:
        """Return the contextvars that the method of a call runs in; an async one in a copy."""
        return self.context if call.principal is None else call.principal.context

    def _owner_of(self, call: IncomingCall) -> Principal | None:
        """Return who owns what the answer to a call hands out."""
        return call.principal or self._translator.sole_principal

    def _enter_of(self, principal: Principal | None) -> Any:
        return self._enter if principal is None else principal.enter

    def _conclude(self, call: IncomingCall, result: Any) -> Work | None:
        """Answer a call with what its method returned, or hand that out if it is an awaitable."""
        if getattr(type(result), "__await__", None) is None:
            self._translator.let_go_unread(call.watched)
            return self._answer(call, result)
        if not self._keeps_arguments:
            # What the method drops while it waits is released then.
            call.args, call.kw = (), {}
        self.running[_key(call)] = call
        self._host.on_event(CallPending(call, result))
        return None

    @property
    def is_full(self) -> bool:
        """Whether as many calls run as may."""
        return len(self.running) >= self.max_calls

    @property
    def must_wait(self) -> bool:
        """Whether a call that wants no answer waits until one that runs has ended."""
        return self.is_full and bool(self.running) and not self.refuses_sends

    def _admit(self, message: Any, wants_answer: bool) -> Any:
        """Return the object that is called, if calls are taken at all."""
        if self.is_draining if wants_answer else self.refuses_sends:
            raise ServerDraining(DRAINING)
        if self.is_full:
            self._stats.count("max_calls")
            raise ServerBusy(f"{self.max_calls} calls in flight (max_calls)")
        return self._target(message)

    def _discard(self, message: Any) -> Work:
        """Let go of what the arguments refer to: the peer has counted it, and waits for that."""
        if type(message) not in PLAIN:
            yield from self._translator.let_go(message.args, message.kw)

    def _read(
        self, expression: Expression, perspective: Any, enter: Callable[..., Any]
    ) -> Generator[object, None, Any]:
        """Return the value of an expression, as seen through somebody's eyes."""
        walk = self._unjelly_walk(expression, perspective)
        while (value := call_hook(enter, next, walk)) is UNFINISHED:
            yield UNFINISHED
        return value

    def _run(self, call: IncomingCall, target: Any, message: Any) -> Generator[object, None, Any]:
        enter = self._enter_of(call.principal)
        call.kind = type(target)
        is_hooked = overrides_hook(target, "remoteMessageReceived")
        route = target.remoteMessageReceived if is_hooked else call_hook(target.route)
        if not isinstance(route, Route):
            # A hook of the class's own, which knows expressions.
            if type(message) in PLAIN:
                message = with_expressions(message)
            else:
                call.watched = self._translator.watch(message.args, message.kw)
            call.is_read = True
            self.last_name = call.name
            call_hook(enter, check_hooked, route, call.name)
            call.was_run = True
            if call.due is not None:
                enter = partial(enter, call_until, call.due)
            return call_hook(enter, route, self._host, call.name, message.args, message.kw)
        call.route = route
        if route.principal is not None:
            call.principal = route.principal
            enter = route.principal.enter
        if call.due is not None:
            enter = partial(enter, call_until, call.due)
        args, kw = message.args, message.kw
        if type(message) not in PLAIN:
            # Arguments first: what they refer to is released also where there is no such method.
            try:
                args = yield from self._read(args, route.perspective, enter)
            except (KeyboardInterrupt, SystemExit, GeneratorExit):
                raise
            except BaseException:
                yield from self._translator.let_go(kw)
                raise
            kw = yield from self._read(kw, route.perspective, enter)
        del message
        call.is_read = True
        self._check_due(call)
        method = call_hook(find_method, route, call.name, self._policy.dynamic_methods)
        if route.unanswered is not None and not call.wants_answer:
            raise route.unanswered()
        self.last_name = call.name
        call_hook(enter, check_condition, method, call.name)
        call.args, call.kw = args, kw = checked_arguments(args, kw)
        call.was_run = True
        try:
            args = route.leading + args
            return call_hook(enter, call_method, method, call.name, args, kw, route.is_ours)
        except WrongArguments as error:
            call.was_run = was_raised(error) or route.is_ours
            raise

    def _check_due(self, call: IncomingCall) -> None:
        """Raise CallTimeout where the caller of a call waits no longer."""
        if call.due is not None and self.now() >= call.due:
            raise CallTimeout(f"'{text_of(call.name)}' was not run: its caller's time was up")

    def _target(self, message: Any) -> Any:
        if type(message) in _TO_CACHES:
            return self._translator.held.observer_of(message.object_id)
        target = self._find(message.object_id)
        if target is None:
            raise NoSuchObject(
                f"object {shown(message.object_id)} is not exported to this connection"
            )
        return target

    def _principal_of(self, message: Any) -> Principal | None:
        if type(message) in _TO_CACHES:
            return self._translator.held.principal_of(message.object_id)
        entry = self._entry(message.object_id)
        return None if entry is None else entry.principal

    def _export(self, object_id: ObjectId) -> Any:
        entry = self._translator.exports.get(object_id)
        return None if entry is None else entry.value

    def _answer(self, call: IncomingCall, value: Any) -> Work | None:
        outbox = self._outbox
        if not call.wants_answer or outbox.is_closed:
            return None
        before = outbox.size
        try:
            # A hook of the class's own answers in expressions already.
            is_done = call.route is not None and outbox.answer(call.request_id, value)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a value that cannot be sent fails this call
            _name_result(error, call.name, value)
            self._refuse(call, error)
            return None
        if not is_done:
            return begun(self._answer_with_graph(call, value))
        self.answered += outbox.size - before
        return None

    def _answer_with_graph(self, call: IncomingCall, value: Any) -> Work:
        outbox, route = self._outbox, call.route
        perspective = None if route is None else route.perspective
        is_given = type(value) is OnBehalf
        owner = value.principal if is_given else self._owner_of(call)
        scope = self._translator.open(perspective, call.name, call.args, call.kw, owner)
        if is_given:
            scope.on_rollback(value.undo)
            value = value.value
        try:
            expression = value
            if route is not None:
                expression = yield from self._sliced(outbox.jelly_walk(value), scope)
            # What was jellied, and for whom, is not needed any more.
            value = None
            call.args, call.kw, scope.args, scope.kw = (), {}, (), {}
            packing = outbox.pack_walk([b"answer", call.request_id, expression])
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

    def _sliced(self, walk: Iterator[Any], scope: Transaction) -> Generator[object, None, Any]:
        """Return what a walk yields at last, which has its scope open at each step."""
        while (result := call_hook(next, walk)) is UNFINISHED:
            if scope.can_pause:
                self._translator.close(scope)
                yield UNFINISHED
                self._translator.reopen(scope)
        return result

    def _refuse(self, call: IncomingCall, error: Any) -> None:
        shown_error, error_id = self._host.shown_error(error)
        self._stats.count_limit(error)
        outbox = self._outbox
        if call.wants_answer and not outbox.is_closed:
            before = outbox.size
            try:
                self._send_error(call, shown_error)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as second:  # noqa: BLE001 - an error that cannot be sent is told as such
                told, told_id = self._send_plainer_error(call, shown_error, second)
                if told_id is not None:
                    # The peer was shown this id, so the log has it, with what led to it.
                    told.__cause__ = _exception_of(error)
                    error, error_id = told, told_id
            self.answered += outbox.size - before
        one_way_to, refused = None, 0
        if not call.wants_answer:
            one_way_to = call.kind
            if not call.was_run:
                self._stats.sends_refused += 1
                refused = self._stats.sends_refused
        self._host.on_event(CallRaised(call.name, error, error_id, one_way_to, refused))

    def _send_plainer_error(
        self, call: IncomingCall, shown_error: Any, fault: BaseException
    ) -> tuple[BaseException, str | None]:
        """Send an error without its fields; where it has none, or that fails, say so instead.

        Returns:
            What was said instead, and the id that the peer was shown for it, or None.
        """
        drop_fields = getattr(shown_error, "drop_fields", None)
        if drop_fields is not None and drop_fields(fault):
            try:
                self._send_error(call, shown_error)
                return fault, None
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as second:  # noqa: BLE001 - as where it was tried first
                fault = second
        told = RuntimeError(f"the error cannot be sent: {type(fault).__name__}")
        shown_error, error_id = self._host.shown_error(told)
        self._send_error(call, shown_error)
        return told, error_id

    def _send_error(self, call: IncomingCall, shown_error: Any) -> None:
        outbox = self._outbox
        scope = self._translator.open(principal=self._owner_of(call))
        try:
            packed = outbox.pack([b"error", call.request_id, outbox.jelly(shown_error)])
        except BaseException:
            outbox.roll_back(scope)
            raise
        outbox.commit(scope, packed)


def _no_clock() -> float:
    return float("-inf")


def _name_result(error: BaseException, name: str, value: Any) -> None:
    if isinstance(error, EncodeError):
        name_result(error, name, value)


def _exception_of(error: Any) -> BaseException | None:
    """Return an exception, or that of a Failure; None where it has none."""
    value = error if isinstance(error, BaseException) else getattr(error, "value", None)
    return value if isinstance(value, BaseException) else None


def _key(call: IncomingCall) -> RequestId | IncomingCall:
    return call.request_id if call.wants_answer else call


_TO_CACHES = frozenset({CallToCache, PlainCallToCache, PlainSendToCache})
