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

from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, cast

from broker.core import messages
from broker.core.callee import Callee, IncomingCall
from broker.core.dialects import DIALECTS, NONE, PUBLISHED_DIALECTS, Dialect
from broker.core.events import (
    Answered,
    CallCancelled,
    CallRaised,
    Event,
    Misunderstood,
    PeerLeaves,
    Ready,
    Refused,
)
from broker.core.handshake import Handshake
from broker.core.messages import Message, ObjectId, RequestId
from broker.core.outbox import Outbox
from broker.core.policy import Policy
from broker.core.stats import Stats
from broker.core.tables import QuestionTable
from broker.core.translator import Invoker, Translator
from jelly.atoms import Expression
from jelly.errors import BananaError, ProtocolError, TooLarge

__all__ = ["Host", "Session"]

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


class Session:
    """One side of one connection.

    Args:
        host: the room above.
        policy: what is allowed.
        is_client: which side of the handshake this is.
        offered: the dialects of this side, best first; those of the policy unless given, of which
            only PB's own where the room above has hooks that know expressions.

    Attributes:
        translator: graphs of objects in and out.
        dialect: what was agreed on, or None yet.
        stats: what has been done so far.
        has_unstarted_tasks: set by the room above while a method runs as a task that has not begun;
            no method that would begin at once is called meanwhile, so that methods begin in order.
    """

    def __init__(
        self,
        host: Host,
        policy: Policy,
        *,
        is_client: bool,
        offered: tuple[Dialect, ...] | None = None,
    ):
        self.translator = Translator(policy, host, self._drop_reference, self._drop_cache)
        self.dialect: Dialect | None = None
        self.stats = Stats()
        self.has_unstarted_tasks = False
        self._host = cast(Any, host)
        self._policy = policy
        theirs = host.overridden
        if offered is None:
            known = PUBLISHED_DIALECTS if theirs else DIALECTS
            offered = tuple(d for d in known if d.name.decode("ascii") in policy.dialects)
        self._handshake = Handshake(is_client, offered)
        self._reader = NONE.reader(replace(policy.limits, max_prefix=_SMALL_PREFIX))
        self._questions = QuestionTable()
        self._outbox = Outbox(host, policy, self.translator, self._questions, self.stats)
        self._callee = Callee(host, policy, self.translator, self._outbox, self.stats)
        self._inbox: deque[Message | Raw] = deque()
        self._held: deque[Message | Raw] = deque()
        self._holds_calls = False
        self._has_version = False
        self._fault: ProtocolError | None = None
        self._is_over = False
        self._backlog = 0
        by_host = "unserialize" in theirs
        self._unjelly = self._host.unserialize if by_host else self.translator.unjelly
        is_raw = any(name.startswith("proto_") for name in theirs) or "expressionReceived" in theirs
        self._raw = Raw if is_raw else None
        self._parse: Callable[[Any], Message | Raw] = messages.parse

    # Receiving.

    def start(self) -> None:
        """Begin; a server makes its offer."""
        opening = self._handshake.opening()
        if opening is not None:
            self._outbox.send_expression(opening)

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

        It ends early when the answers have grown beyond the high water mark: they are sent first.

        Returns:
            Whether messages are left that could be handled in the next turn.

        Raises:
            ProtocolError: one is not what the protocol allows; the session is over.
        """
        inbox, held, outbox = self._inbox, self._held, self._outbox
        high_water = self._policy.high_water
        while most and not self._is_over:
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
            if self.has_unstarted_tasks and self._must_wait(message):
                queue.appendleft(message)
                return True
            most -= 1
            try:
                self.handle(message)
            except ProtocolError as error:
                self._end(error)
                raise
            if outbox.size > high_water:
                break
        if self._is_over:
            return False
        if not inbox and not held:
            self._backlog = 0
        has_calls = bool(held) and not self._holds_calls
        return bool(inbox) or has_calls or self._fault is not None

    def handle(self, message: Message | Raw) -> None:
        """Handle one message now; for the room above where it has a part in that itself.

        Raises:
            ProtocolError: it is not legal.
        """
        _HANDLERS[type(message)](self, message)

    def hold_calls(self, hold: bool) -> None:
        """Let the peer's calls wait, or go on; :meth:`pump` next."""
        self._holds_calls = hold

    @property
    def answered(self) -> int:
        """Bytes of answers since :meth:`forget_answered`."""
        return self._callee.answered

    def forget_answered(self) -> None:
        """Count the bytes of answers from 0."""
        self._callee.answered = 0

    @property
    def wants_data(self) -> bool:
        """Whether what was received and not handled leaves room for more."""
        return self._backlog <= self._policy.max_backlog

    def _must_wait(self, message: Message | Raw) -> bool:
        if isinstance(message, messages.Call | messages.CallToCache):
            return self._callee.begins_at_once(message)
        return False

    # Sending.

    def data_to_send(self) -> bytes:
        """Return the bytes that are due, and take them as sent."""
        return b"" if self._is_over else self._outbox.take()

    @property
    def queued(self) -> int:
        """Messages that :meth:`data_to_send` would return."""
        return len(self._outbox)

    @property
    def waiting(self) -> int:
        """Calls of ours that have no answer yet."""
        return len(self._questions)

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
        deadline: int | None = None,
    ) -> RequestId:
        """Call a method of the peer's; :meth:`data_to_send` next.

        Args:
            command: ``b"message"``, or ``b"cachemessage"`` for a cache that the peer holds.
            object_id, name: which object, which method.
            args, kw: what to call it with.
            perspective: through whose eyes arguments and the result are seen.
            wants_answer: whether an answer is due.
            deadline: milliseconds that the caller will wait; told where the dialect can.

        Returns:
            The id that Answered or Refused will carry.

        Raises:
            EncodeError: an argument cannot be sent; nothing is written. A hook's error passes.
        """
        outbox = self._outbox
        scope = self.translator.open(perspective, name, args, kw)
        request_id: RequestId | None = None
        try:
            net_args = outbox.jelly(args)
            net_kw = outbox.jelly(kw)
            request_id = self._questions.ask(perspective, wants_answer)
            method = name.encode("utf-8")
            if len(method) > messages.LONGEST_NAME:
                raise TooLarge(f"method name of {len(method)} bytes, of {messages.LONGEST_NAME}")
            message = [command, request_id, object_id, method, int(wants_answer), net_args, net_kw]
            if deadline is not None and outbox.can_say(b"deadline"):
                message.append(deadline)
            packed = outbox.pack(message)
        except BaseException:
            outbox.roll_back(scope, request_id)
            raise
        outbox.commit(scope, packed, request_id)
        self.stats.calls_made += 1
        return request_id

    def abandon(self, request_id: RequestId) -> None:
        """Stop waiting for the answer to a call of ours, and say so; if it comes, it is dropped."""
        if self._questions.abandon(request_id):
            self._outbox.say(b"cancel", request_id)

    @property
    def can_ping(self) -> bool:
        """Whether the dialect has a way to ask whether the peer is there."""
        return self._outbox.can_say(b"ping")

    def ping(self, token: int) -> None:
        """Ask the peer whether it is there."""
        self._outbox.say(b"ping", token)

    def say_goodbye(self, code: str, text: str) -> None:
        """Tell the peer why the connection is about to end, where the dialect can."""
        self._outbox.say(b"goodbye", code, text[:1024])

    def serialize(self, value: Any, perspective: Any, method: Any, args: Any, kw: Any) -> Any:
        """Return the expression of a graph, for the application to send: PB's ``serialize``.

        Raises:
            EncodeError: something in it may not go out; what a hook raises passes.
        """
        return self._outbox.serialize(value, perspective, method, args, kw)

    def send_expression(self, expression: Expression) -> None:
        """Send one expression as it stands: PB's published ``sendEncoded``."""
        self._outbox.send_expression(expression)

    # Calls of the peer's.

    @property
    def context(self) -> Context:
        """The contextvars that plain methods run in."""
        return self._callee.context

    @property
    def running(self) -> int:
        """Calls of the peer's that have no answer yet."""
        return len(self._callee.running)

    def drain(self) -> None:
        """Refuse the peer's calls from now on, with ServerDraining."""
        self._callee.is_draining = True

    def finish(self, call: IncomingCall, value: Any) -> None:
        """Answer a call that was pending; :meth:`data_to_send` next."""
        self._callee.finish(call, value)

    def fail(self, call: IncomingCall, error: Any) -> None:
        """Refuse a call that was pending, by an exception or a Failure; see :meth:`finish`."""
        self._callee.fail(call, error)

    def _on_call(self, message: messages.Call | messages.CallToCache) -> None:
        if not self._has_version:
            raise ProtocolError("a call before the version")
        self._callee.receive(message)

    # The end.

    def end(self) -> dict[RequestId, bool]:
        """End the session: the connection is gone.

        Returns:
            For each call of ours without an answer, whether it may have run.
        """
        self._is_over = True
        unwritten = self._outbox.unwritten
        lost = {request_id: request_id not in unwritten for request_id in self._questions.clear()}
        self._inbox.clear()
        self._held.clear()
        self._callee.running.clear()
        self._outbox.clear()
        return lost

    def _end(self, error: ProtocolError) -> None:
        self._is_over = True
        self.stats.count_limit(error)

    # The handshake.

    def _shake_hands(self) -> None:
        try:
            expressions = self._reader.read(1)
        except BananaError as error:
            raise ProtocolError(f"the peer does not speak Perspective Broker ({error})") from error
        for expression in expressions:
            dialect, reply = self._handshake.receive(expression)
            if reply is not None:
                self._outbox.send_expression(reply)
            rest = self._reader.take_rest()
            self._reader = dialect.reader(self._policy.limits)
            self._parse = self._raw or dialect.parse
            self._outbox.speak(dialect)
            self.translator.speak(dialect)
            self._reader.feed(rest)
            self.dialect = dialect
            self._outbox.send(b"version", messages.PROTOCOL_VERSION)
            self._host.on_event(Ready(dialect.name.decode("ascii")))

    def _on_version(self, message: messages.Version) -> None:
        if message.number != messages.PROTOCOL_VERSION:
            raise ProtocolError(
                f"the peer speaks version {message.number}, not {messages.PROTOCOL_VERSION}"
            )
        self._has_version = True

    def _on_did_not_understand(self, message: messages.DidNotUnderstand) -> None:
        self._host.on_event(Misunderstood(messages.describe_command(message.command)))

    def _on_raw(self, raw: Raw) -> None:
        self._host.expressionReceived(raw.expression)

    def _on_unknown_command(self, message: messages.UnknownCommand) -> None:
        self._outbox.send(b"didNotUnderstand", message.command)

    def _on_cancel(self, message: messages.Cancel) -> None:
        call = self._callee.running.get(message.request_id)
        if call is not None:
            self._host.on_event(CallCancelled(call))

    def _on_ping(self, message: messages.Ping) -> None:
        self._outbox.say(b"pong", message.token)

    def _on_pong(self, message: messages.Pong) -> None:
        """That it came is all that a pong says; whoever feeds the session has noticed."""

    def _on_goodbye(self, message: messages.Goodbye) -> None:
        self._host.on_event(PeerLeaves(message.code, message.text))

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
        self.translator.exports.release(message.object_id, message.times)

    def _on_decache(self, message: messages.Decache) -> None:
        entry = self.translator.published.release(message.cache_id, message.times)
        if entry is not None:
            # Told first, as Twisted does: what the hook still sends comes before the number ends.
            try:
                entry.stop()
            except Exception as error:  # noqa: BLE001 - the hook is the application's, not the peer's
                self._host.on_event(CallRaised("stoppedObserving", error, None))
            self._outbox.send(b"uncache", message.cache_id)

    def _on_uncache(self, message: messages.Uncache) -> None:
        value = self.translator.held.remove(message.cache_id)
        if value is not None:
            value.broker = None

    def _drop_reference(self, object_id: ObjectId, count: int) -> None:
        self._drop(b"decref", object_id, count)

    def _drop_cache(self, cache_id: ObjectId, count: int) -> None:
        self._drop(b"decache", cache_id, count)

    def _drop(self, command: bytes, an_id: ObjectId, count: int) -> None:
        if not self._is_over:
            self._outbox.release(command, an_id, count)
            self._host.on_released()


class Raw(NamedTuple):
    """An expression that the room above parses itself."""

    expression: Expression


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
    messages.Cancel: Session._on_cancel,
    messages.Ping: Session._on_ping,
    messages.Pong: Session._on_pong,
    messages.Goodbye: Session._on_goodbye,
    Raw: Session._on_raw,
}
