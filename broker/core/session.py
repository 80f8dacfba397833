"""A session: the protocol between two peers, without sockets, loops, clocks or promises.

Theory of operation. Bytes go in by ``receive``, which decodes all of them but runs no code of the
application. ``pump`` then handles messages, one after the other; that is where methods are called.
What the room above must know comes out as events, in order, through ``host.on_event``; bytes come
out of ``data_to_send``. Time comes in as an argument. A method that returns an awaitable is not
waited for here: the event CallPending hands it out, and ``finish`` or ``fail`` answers later.

Whatever the peer does wrong is raised as ProtocolError by ``pump``; the session is
over then, and the room above closes the connection. Faults of one call never are: they become its
answer.

While the peer does not read what we send it (``hold_calls``), its calls wait, and with them the
decrefs behind them, which may let go what those calls name. Answers to our own calls go on, so that
two ends which both wait for room cannot wait for each other.
"""

from __future__ import annotations

import contextvars
import inspect
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from broker.core import messages
from broker.core.dispatch import (
    Route,
    call_method,
    checked_arguments,
    find_method,
    overrides_hook,
)
from broker.core.events import (
    Answered,
    CallPending,
    CallRaised,
    Event,
    Misunderstood,
    Ready,
    Refused,
)
from broker.core.handshake import Handshake
from broker.core.messages import Message, ObjectId, RequestId
from broker.core.policy import Policy
from broker.core.scope import Scope
from broker.core.tables import QuestionTable, shown
from broker.core.translator import Invoker, Translator
from broker.errors import NoSuchObject, ServerBusy, ServerDraining
from jelly import dialects
from jelly.atoms import Expression
from jelly.dialects import Dialect
from jelly.errors import BananaError, LimitExceeded, ProtocolError

__all__ = ["Host", "IncomingCall", "Session", "Stats"]

# Of the handshake, whose lengths and counts are small: so that the text which other protocols begin
# with, all of it legal digits of a prefix, is refused at its fifth byte rather than waited out.
_SMALL_PREFIX = 4


class Host(Invoker, Protocol):
    """The room above: what a session asks of it."""

    def on_event(self, event: Event, /) -> None:
        """Take an event; may call back into the session."""
        ...

    @property
    def overridden(self) -> frozenset[str]:
        """The published methods of the room above that are not ours: they are called in our place.

        Of ``serialize``, ``unserialize``, ``localObjectForID``, ``sendCall``, ``sendEncoded``,
        ``expressionReceived`` and the ``proto_`` family.
        """
        ...

    def on_released(self) -> None:
        """Something was collected; from any thread. A flush, soon, would tell the peer."""
        ...

    def shown_error(self, error: BaseException | Any, /) -> tuple[Any, str | None]:
        """Return what the peer gets to see of an exception, and the id that stands for its text."""
        ...


@dataclass(slots=True)
class Stats:
    """What a connection has done.

    Attributes:
        calls_made, calls_received: calls of ours, and of the peer's.
        bytes_sent, bytes_received: of the protocol, before TLS.
        limits: how often each limit refused something.
    """

    calls_made: int = 0
    calls_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    limits: Counter[str] = field(default_factory=Counter)


class IncomingCall:
    """One call of the peer's that is being worked on.

    Attributes:
        request_id, name, wants_answer: as the peer sent them.
        route: how it is made; None where the class has a hook of its own, which answers in
            expressions.
        args, kw: what the method was called with.
    """

    __slots__ = ("args", "kw", "name", "request_id", "route", "wants_answer")

    def __init__(self, request_id: RequestId, name: str, wants_answer: bool):
        self.request_id = request_id
        self.name = name
        self.wants_answer = wants_answer
        self.route: Route | None = None
        self.args: tuple[Any, ...] = ()
        self.kw: dict[str, Any] = {}


class Session:
    """One side of one connection.

    Args:
        host: the room above.
        policy: what is allowed.
        is_client: which side of the handshake this is.
        offered: the dialects of this side, best first.

    Attributes:
        translator: graphs of objects in and out.
        dialect: what was agreed on, or None yet.
        stats: what has been done so far.
        has_unstarted_tasks: set by the room above while a method runs as a task that has not begun;
            no method that would begin at once is called meanwhile, so that methods begin in order.
        is_draining: set by the room above when no further call of the peer's shall be run.
        context: the contextvars that plain methods run in.
    """

    def __init__(
        self,
        host: Host,
        policy: Policy,
        *,
        is_client: bool,
        offered: tuple[Dialect, ...] = dialects.DIALECTS,
    ):
        self.translator = Translator(policy, host, self._drop_reference, self._drop_cache)
        self.dialect: Dialect | None = None
        self.stats = Stats()
        self.has_unstarted_tasks = False
        self.is_draining = False
        self.context = contextvars.copy_context()
        self._host: Any = host
        self._policy = policy
        self._handshake = Handshake(is_client, offered)
        self._reader = dialects.NONE.reader(replace(policy.limits, max_prefix=_SMALL_PREFIX))
        self._writer = dialects.NONE.writer(policy.limits)
        self._questions = QuestionTable()
        self._running: dict[RequestId, IncomingCall] = {}
        self._inbox: deque[Message | _Raw] = deque()
        self._held: deque[Message | _Raw] = deque()
        self._holds_calls = False
        self._outbox: list[bytes] = []
        self._unwritten: set[RequestId] = set()
        self._released: deque[tuple[bytes, ObjectId, int]] = deque()
        self._has_version = False
        self._fault: ProtocolError | None = None
        self._is_over = False
        self._backlog = 0
        self._use_hooks(host)

    def _use_hooks(self, host: Any) -> None:
        """Put what the room above has overridden in the place of what is done here, once."""
        theirs = host.overridden
        self._jelly = self._jelly_by_host if "serialize" in theirs else self.translator.jelly
        self._unjelly = host.unserialize if "unserialize" in theirs else self.translator.unjelly
        self._find = host.localObjectForID if "localObjectForID" in theirs else self._find_export
        self._sends_by_host = "sendCall" in theirs or "sendEncoded" in theirs
        is_raw = any(name.startswith("proto_") for name in theirs) or "expressionReceived" in theirs
        self._parse: Callable[[Expression], Message | _Raw] = _Raw if is_raw else messages.parse

    # Receiving.

    def start(self) -> None:
        """Begin; a server makes its offer."""
        opening = self._handshake.opening()
        if opening is not None:
            self._outbox.append(self._writer.encode(opening))

    def receive(self, data: bytes) -> None:
        """Take in bytes; call :meth:`pump` and :meth:`data_to_send` next.

        Raises nothing: what is wrong with the bytes is raised by :meth:`pump`, after the messages
        before it, so that the pieces in which bytes arrive make no difference.
        """
        if self._is_over or self._fault is not None:
            return
        self.stats.bytes_received += len(data)
        self._backlog += len(data)
        try:
            self._reader.feed(data)
            if self.dialect is None:
                self._shake_hands()
            if self.dialect is not None:
                while expressions := self._reader.read():
                    self._inbox.extend(map(self._parse, expressions))
        except ProtocolError as error:
            self._fault = error

    def pump(self, most: int = -1) -> bool:
        """Handle messages, at most ``most`` of them unless it is negative.

        Returns:
            Whether messages are left that could be handled in the next turn.

        Raises:
            ProtocolError: one is not what the protocol allows; the session is over.
        """
        inbox, held = self._inbox, self._held
        while most:
            if held and not self._holds_calls:
                message = held.popleft()
                queue = held
            elif inbox:
                message = inbox.popleft()
                if (held or self._holds_calls) and type(message) in _WAIT_IN_ORDER:
                    held.append(message)
                    continue
                queue = inbox
            elif self._fault is not None:
                self._end(self._fault)
                raise self._fault
            else:
                break
            if self.has_unstarted_tasks and self._begins_at_once(message):
                queue.appendleft(message)
                return True
            most -= 1
            try:
                self.handle(message)
            except ProtocolError as error:
                self._end(error)
                raise
        if not inbox and not held:
            self._backlog = 0
        has_calls = bool(held) and not self._holds_calls
        return bool(inbox) or has_calls or self._fault is not None

    def handle(self, message: Message | _Raw) -> None:
        """Handle one message now; for the room above where it has a part in that itself.

        Raises:
            ProtocolError: it is not legal.
        """
        _HANDLERS[type(message)](self, message)

    def hold_calls(self, hold: bool) -> None:
        """Let the peer's calls wait, or go on; :meth:`pump` next."""
        self._holds_calls = hold

    @property
    def wants_data(self) -> bool:
        """Whether what was received and not handled leaves room for more."""
        return self._backlog <= self._policy.max_backlog

    # Sending.

    def data_to_send(self) -> bytes:
        """Return the bytes that are due, and take them as sent."""
        if self._released:
            self._send_releases()
        if not self._outbox:
            return b""
        data = b"".join(self._outbox)
        self._outbox.clear()
        self._unwritten.clear()
        self.stats.bytes_sent += len(data)
        return data

    @property
    def queued(self) -> int:
        """Messages that :meth:`data_to_send` would return."""
        return len(self._outbox)

    @property
    def waiting(self) -> int:
        """Calls of ours that have no answer yet."""
        return len(self._questions)

    @property
    def running(self) -> int:
        """Calls of the peer's that have no answer yet."""
        return len(self._running)

    def call(
        self,
        command: bytes,
        object_id: ObjectId,
        name: str,
        args: tuple[Any, ...],
        kw: dict[str, Any],
        *,
        perspective: Any = None,
        wants_answer: bool = True,
    ) -> RequestId:
        """Call a method of the peer's; :meth:`data_to_send` next.

        Args:
            command: ``b"message"``, or ``b"cachemessage"`` for a cache that the peer holds.
            object_id, name: which object, which method.
            args, kw: what to call it with.
            perspective: through whose eyes arguments and the result are seen.
            wants_answer: whether an answer is due.

        Returns:
            The id that Answered or Refused will carry.

        Raises:
            EncodeError: an argument cannot be sent; nothing is written. What a hook raises passes.
        """
        translator = self.translator
        scope = translator.open(perspective, name, args, kw)
        request_id: RequestId | None = None
        try:
            net_args = self._jelly(args)
            net_kw = self._jelly(kw)
            request_id = self._questions.ask(perspective, wants_answer)
            method = name.encode("utf-8")
            packed = self._pack(
                [command, request_id, object_id, method, int(wants_answer), net_args, net_kw]
            )
        except BaseException:
            self._roll_back(scope, request_id)
            raise
        translator.close(scope)
        self.stats.calls_made += 1
        self._commit(scope, packed, request_id)
        return request_id

    def abandon(self, request_id: RequestId) -> None:
        """Stop waiting for the answer to a call of ours; if it comes, it is dropped."""
        self._questions.abandon(request_id)

    def finish(self, call: IncomingCall, value: Any) -> None:
        """Answer a call that was pending; :meth:`data_to_send` next."""
        if self._is_over or self._running.pop(call.request_id, None) is None:
            return
        self._answer(call, value)

    def fail(self, call: IncomingCall, error: Any) -> None:
        """Refuse a call that was pending, by an exception or a Failure; see :meth:`finish`."""
        if self._is_over or self._running.pop(call.request_id, None) is None:
            return
        self._refuse(call, error)

    def send_expression(self, expression: Expression) -> None:
        """Send one expression as it stands: PB's published ``sendEncoded``."""
        self._outbox.append(self._writer.encode(expression))

    def end(self) -> dict[RequestId, bool]:
        """End the session: the connection is gone.

        Every observer of a cache of ours is told, once.

        Returns:
            For each call of ours without an answer, whether it may have run.
        """
        self._is_over = True
        unwritten = self._unwritten
        lost = {request_id: request_id not in unwritten for request_id in self._questions.clear()}
        self._inbox.clear()
        self._held.clear()
        self._running.clear()
        self._outbox.clear()
        return lost

    # The handshake.

    def _shake_hands(self) -> None:
        try:
            expressions = self._reader.read(1)
        except BananaError as error:
            raise ProtocolError(f"the peer does not speak Perspective Broker ({error})") from error
        for expression in expressions:
            dialect, reply = self._handshake.receive(expression)
            if reply is not None:
                self._outbox.append(self._writer.encode(reply))
            rest = self._reader.take_rest()
            self._reader = dialect.reader(self._policy.limits)
            self._writer = dialect.writer(self._policy.limits)
            self._reader.feed(rest)
            self.dialect = dialect
            self._send(b"version", messages.PROTOCOL_VERSION)
            self._host.on_event(Ready(dialect.name.decode("ascii")))

    def _on_version(self, message: messages.Version) -> None:
        if message.number != messages.PROTOCOL_VERSION:
            raise ProtocolError(
                f"the peer speaks version {message.number}, not {messages.PROTOCOL_VERSION}"
            )
        self._has_version = True

    def _on_did_not_understand(self, message: messages.DidNotUnderstand) -> None:
        self._host.on_event(Misunderstood(messages.describe_command(message.command)))

    def _on_raw(self, raw: _Raw) -> None:
        self._host.expressionReceived(raw.expression)

    def _on_unknown_command(self, message: messages.UnknownCommand) -> None:
        self._send(b"didNotUnderstand", message.command)

    # Calls of the peer's.

    def _on_call(self, message: messages.Call | messages.CallToCache) -> None:
        if not self._has_version:
            raise ProtocolError("a call before the version")
        if message.request_id in self._running:
            raise ProtocolError(f"request id {message.request_id} already in use")
        self.stats.calls_received += 1
        call = IncomingCall(message.request_id, message.name, message.wants_answer)
        try:
            if self.is_draining:
                raise ServerDraining("not run: the server is shutting down")
            if len(self._running) >= self._policy.max_calls:
                self.stats.limits["max_calls"] += 1
                raise ServerBusy(f"{self._policy.max_calls} calls in flight (max_calls)")
            result = self._run(call, message)
        except Exception as error:  # noqa: BLE001 - whatever a method raises is its answer
            self._refuse(call, error)
            return
        if getattr(type(result), "__await__", None) is None:
            self._answer(call, result)
        else:
            self._running[call.request_id] = call
            self._host.on_event(CallPending(call, result))

    def _run(self, call: IncomingCall, message: messages.Call | messages.CallToCache) -> Any:
        target = self._target(message)
        if overrides_hook(target, "remoteMessageReceived"):
            return self.context.run(
                target.remoteMessageReceived, self._host, call.name, message.args, message.kw
            )
        route = target.route()
        if not isinstance(route, Route):
            return self.context.run(route, self._host, call.name, message.args, message.kw)
        method = find_method(route, call.name, self._policy.dynamic_methods)
        unjelly = self._unjelly
        call.route = route
        args = unjelly(message.args, route.perspective)
        kw = unjelly(message.kw, route.perspective)
        call.args, call.kw = args, kw = checked_arguments(args, kw)
        return self.context.run(call_method, method, call.name, route.leading + args, kw)

    def _target(self, message: messages.Call | messages.CallToCache) -> Any:
        if type(message) is messages.CallToCache:
            return self.translator.held.observer_of(message.object_id)
        target = self._find(message.object_id)
        if target is None:
            raise NoSuchObject(
                f"object {shown(message.object_id)} is not exported to this connection"
            )
        return target

    def _find_export(self, object_id: ObjectId) -> Any:
        entry = self.translator.exports.get(object_id)
        return None if entry is None else entry.value

    def _begins_at_once(self, message: Message | _Raw) -> bool:
        """Whether handling a message would run a method now, rather than make a task of it."""
        if not isinstance(message, messages.Call | messages.CallToCache):
            return False
        try:
            route = self._target(message).route()
            method = find_method(route, message.name, self._policy.dynamic_methods)
        except Exception:  # noqa: BLE001 - it fails, and that is an answer which may come at once
            return False
        return not inspect.iscoroutinefunction(method)

    def _answer(self, call: IncomingCall, value: Any) -> None:
        if not call.wants_answer:
            return
        route = call.route
        if route is None:
            # A hook of the class's own answers in expressions already.
            try:
                self._send(b"answer", call.request_id, value)
            except Exception as error:  # noqa: BLE001 - a value that cannot be sent fails this call
                self._refuse(call, error)
            return
        scope = self.translator.open(route.perspective, call.name, call.args, call.kw)
        try:
            packed = self._pack([b"answer", call.request_id, self._jelly(value)])
        except Exception as error:  # noqa: BLE001 - a value that cannot be sent fails this call
            self._roll_back(scope, None)
            self._refuse(call, error)
            return
        self.translator.close(scope)
        self._commit(scope, packed, None)

    def _refuse(self, call: IncomingCall, error: Any) -> None:
        shown_error, error_id = self._host.shown_error(error)
        if isinstance(error, LimitExceeded):
            self.stats.limits[_limit_name(error)] += 1
        if call.wants_answer:
            scope = self.translator.open()
            try:
                packed = self._pack([b"error", call.request_id, self._jelly(shown_error)])
            except Exception as second:  # noqa: BLE001 - an error that cannot be sent is told as such
                self._roll_back(scope, None)
                self._refuse_plainly(call, second)
            else:
                self.translator.close(scope)
                self._commit(scope, packed, None)
        self._host.on_event(CallRaised(call.name, error, error_id))

    def _refuse_plainly(self, call: IncomingCall, error: Exception) -> None:
        fault = RuntimeError(f"the error cannot be sent: {type(error).__name__}")
        expression = self.translator.jelly(self._host.shown_error(fault)[0])
        self._send(b"error", call.request_id, expression)

    # Answers to ours.

    def _on_answer(self, message: messages.Answer) -> None:
        self._on_outcome(message.request_id, message.value, Answered)

    def _on_failed(self, message: messages.Failed) -> None:
        self._on_outcome(message.request_id, message.failure, Refused)

    def _on_outcome(
        self,
        request_id: RequestId,
        expression: Expression,
        event: Callable[[RequestId, Any], Event],
    ) -> None:
        is_waited_for, perspective = self._questions.take(request_id)
        # Made in any case: what it refers to has been counted by the peer, and must be released.
        try:
            outcome = self._unjelly(expression, perspective)
        except Exception as error:  # noqa: BLE001 - an answer that may not come in fails this call
            event, outcome = Refused, error
        if is_waited_for:
            self._host.on_event(event(request_id, outcome))

    # Lifetimes.

    def _on_decref(self, message: messages.Decref) -> None:
        self.translator.exports.release(message.object_id)

    def _on_decache(self, message: messages.Decache) -> None:
        entry = self.translator.published.release(message.cache_id)
        if entry is not None:
            # Told first, as Twisted does: what the hook still sends comes before the number ends.
            try:
                entry.stop()
            except Exception as error:  # noqa: BLE001 - the hook is the application's, not the peer's
                self._host.on_event(CallRaised("stoppedObserving", error, None))
            self._send(b"uncache", message.cache_id)

    def _on_uncache(self, message: messages.Uncache) -> None:
        value = self.translator.held.remove(message.cache_id)
        if value is not None:
            value.broker = None

    def _drop_reference(self, object_id: ObjectId, count: int) -> None:
        self._drop(b"decref", object_id, count)

    def _drop_cache(self, cache_id: ObjectId, count: int) -> None:
        self._drop(b"decache", cache_id, count)

    def _drop(self, command: bytes, an_id: ObjectId, count: int) -> None:
        # A finalizer, in any thread: deque.append is the one thing done here.
        if not self._is_over:
            self._released.append((command, an_id, count))
            self._host.on_released()

    def _send_releases(self) -> None:
        while self._released and not self._is_over:
            command, an_id, count = self._released.popleft()
            # This wire has no count: each reception is taken back by itself.
            for _ in range(count):
                self._send(command, an_id)

    # Messages out, whole or not at all.

    def _send(self, *message: Any) -> None:
        self._post(self._pack(list(message)))

    def _pack(self, message: Expression) -> Any:
        """Return what :meth:`_post` takes, once it is sure that it can be sent."""
        encoded = self._writer.encode(message)
        return message if self._sends_by_host else encoded

    def _post(self, packed: Any) -> None:
        if self._sends_by_host:
            self._host.sendCall(*packed)
        else:
            self._outbox.append(packed)

    def _jelly_by_host(self, value: Any) -> Expression:
        scope = self.translator.scope or Scope()
        return self._host.serialize(  # type: ignore[no-any-return]
            value,
            perspective=scope.perspective,
            method=scope.method,
            args=scope.args,
            kw=scope.kw,
        )

    def _commit(self, scope: Scope, packed: Any, request_id: RequestId | None) -> None:
        if scope.outer is not None:
            scope.join(packed, request_id)
            return
        self._post(packed)
        for behind in scope.behind:
            self._post(behind)
        if request_id is not None:
            self._unwritten.add(request_id)
        self._unwritten.update(scope.requests)

    def _roll_back(self, scope: Scope, request_id: RequestId | None) -> None:
        self.translator.close(scope)
        scope.roll_back()
        if request_id is not None:
            self._questions.forget(request_id)
        for inner in scope.requests:
            self._questions.forget(inner)
            self._host.on_event(Refused(inner, _NotRun()))

    def _end(self, error: ProtocolError) -> None:
        self._is_over = True
        if isinstance(error, LimitExceeded):
            self.stats.limits[_limit_name(error)] += 1


class _Raw(NamedTuple):
    """An expression that the room above parses itself."""

    expression: Expression


class _NotRun(Exception):
    """A call that was made while a message was built, which was not sent."""

    def __str__(self) -> str:
        return "not run: the message that it belonged to was not sent"


def _limit_name(error: LimitExceeded) -> str:
    """Return the name of the limit that an error's text ends with, in parentheses."""
    return str(error).rpartition("(")[2].split(" ")[0].rstrip(")")


_WAIT_IN_ORDER = frozenset(
    {messages.Call, messages.CallToCache, messages.Decref, messages.Decache, messages.Uncache}
)

_HANDLERS: dict[type, Callable[[Session, Any], None]] = {
    messages.Version: Session._on_version,
    messages.DidNotUnderstand: Session._on_did_not_understand,
    messages.UnknownCommand: Session._on_unknown_command,
    messages.Call: Session._on_call,
    messages.CallToCache: Session._on_call,
    messages.Answer: Session._on_answer,
    messages.Failed: Session._on_failed,
    messages.Decref: Session._on_decref,
    messages.Decache: Session._on_decache,
    messages.Uncache: Session._on_uncache,
    _Raw: Session._on_raw,
}
