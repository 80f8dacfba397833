"""A session: the protocol between two peers, without sockets, loops, clocks or promises.

Theory of operation. Bytes go in by ``receive``, which decodes all of them but runs no code of the
application. ``pump`` then handles messages, one after the other; that is where methods are called.
What the room above must know comes out as events, in order, through ``host.on_event``; bytes come
out of ``data_to_send``. Time comes in as an argument. A method that returns an awaitable is not
waited for here: the event CallPending hands it out, and ``finish`` or ``fail`` answers later.

Whatever the peer does wrong is raised as ProtocolError by ``pump``; the session is
over then, and the room above closes the connection. Faults of one call never are: they become its
answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import replace
from typing import Any, NamedTuple, cast

from broker.core import messages
from broker.core.callee import Callee, IncomingCall
from broker.core.caller import Caller
from broker.core.dialects import DIALECTS, PUBLISHED_DIALECTS, Dialect
from broker.core.dropped import Dropped
from broker.core.events import (
    CallCancelled,
    CallRaised,
    Misunderstood,
    PeerLeaves,
    Ready,
)
from broker.core.handshake import Handshake
from broker.core.host import Host
from broker.core.inbox import CALLS, Handlers, Inbox
from broker.core.messages import Message, RequestId
from broker.core.outbox import Outbox
from broker.core.policy import Policy
from broker.core.small import BASICS
from broker.core.stats import Stats
from broker.core.tables import QuestionTable
from broker.core.translator import Translator
from jelly.atoms import Expression
from jelly.codec import Reader
from jelly.errors import BananaError, ProtocolError
from jelly.vocabulary import NONE_VOCABULARY

__all__ = ["Session"]

# Of the handshake, whose lengths and counts are small: so that the text which other protocols begin
# with, all of it legal digits of a prefix, is refused at its fifth byte rather than waited out.
_SMALL_PREFIX = 4


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
        inbox: what has come in and is not handled.
        outbox: what is about to be sent.
        dialect: what was agreed on, or None yet.
        stats: what has been done so far.
        receive, pump: take in bytes and handle messages, as of the inbox.
        call: call a method of the peer's, as of ``caller.Caller``.
        data_to_send: return the bytes that are due, as of ``outbox.Outbox.take``.
    """

    def __init__(
        self,
        host: Host,
        policy: Policy,
        *,
        is_client: bool,
        offered: tuple[Dialect, ...] | None = None,
    ):
        self.dialect: Dialect | None = None
        self.stats = Stats()
        self._host = cast(Any, host)
        self._policy = policy
        if offered is None:
            known = PUBLISHED_DIALECTS if host.overridden else DIALECTS
            offered = tuple(d for d in known if d.name.decode("ascii") in policy.dialects)
        self._handshake = Handshake(is_client, offered)
        self._offer = Reader(replace(policy.limits, max_prefix=_SMALL_PREFIX), NONE_VOCABULARY)
        dropped, questions = Dropped(host.on_released), QuestionTable()
        self.translator = translator = Translator(policy, host, dropped)
        self.outbox = outbox = Outbox(host, policy, translator, questions, dropped, self.stats)
        self._caller = Caller(host, translator, outbox, questions, self.stats)
        self._callee = Callee(host, policy, translator, outbox, self.stats)
        self.inbox = Inbox(
            self,
            _BEFORE_VERSION,
            self._shake_hands,
            self._callee.begins_at_once,
            outbox,
            policy,
            self.stats,
        )
        self.receive = self.inbox.receive
        self.pump = self.inbox.pump
        self.data_to_send = outbox.take
        self.call = self._caller.call

    # Receiving.

    def start(self) -> None:
        """Begin; a server makes its offer."""
        opening = self._handshake.opening()
        if opening is not None:
            self.outbox.send_expression(opening)

    def handle(self, message: Message | Raw) -> None:
        """Handle one message now; for the room above where it has a part in that itself.

        Raises:
            ProtocolError: it is not legal.
        """
        self.inbox.handlers[type(message)](self, message)

    @property
    def answered(self) -> int:
        """Bytes of answers since :meth:`forget_answered`."""
        return self._callee.answered

    def forget_answered(self) -> None:
        """Count the bytes of answers from 0."""
        self._callee.answered = 0

    # Sending.

    @property
    def waiting(self) -> int:
        """Calls of ours that have no answer yet."""
        return len(self._caller.questions)

    def abandon(self, request_id: RequestId) -> None:
        """Stop waiting for the answer to a call of ours, and say so; if it comes, it is dropped."""
        self._caller.abandon(request_id)

    @property
    def can_ping(self) -> bool:
        """Whether the dialect has a way to ask whether the peer is there."""
        return self.outbox.can_say(b"ping")

    def ping(self, token: int) -> None:
        """Ask the peer whether it is there."""
        self.outbox.say(b"ping", token)

    def say_goodbye(self, code: str, text: str) -> None:
        """Tell the peer why the connection is about to end, where the dialect can."""
        self.outbox.say(b"goodbye", code, text[:1024])

    def serialize(self, value: Any, perspective: Any, method: Any, args: Any, kw: Any) -> Any:
        """Return the expression of a graph, for the application to send: PB's ``serialize``.

        Raises:
            EncodeError: something in it may not go out; what a hook raises passes.
        """
        return self.outbox.serialize(value, perspective, method, args, kw)

    def send_expression(self, expression: Expression) -> None:
        """Send one expression as it stands: PB's published ``sendEncoded``."""
        self.outbox.send_expression(expression)

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

    # The end.

    def end(self) -> dict[RequestId, bool]:
        """End the session: the connection is gone.

        Returns:
            For each call of ours without an answer, whether it may have run.
        """
        may_have_left = self.outbox.may_have_left
        lost = {each: may_have_left(each) for each in self._caller.questions.clear()}
        self.inbox.clear()
        self._callee.running.clear()
        self.outbox.clear()
        return lost

    # The handshake.

    def _shake_hands(self, data: bytes, inbox: deque[Any]) -> None:
        offer = self._offer
        offer.feed(data)
        try:
            expressions = offer.read(1)
        except BananaError as error:
            raise ProtocolError(f"the peer does not speak Perspective Broker ({error})") from error
        for expression in expressions:
            dialect, reply = self._handshake.receive(expression)
            if reply is not None:
                self.outbox.send_expression(reply)
            rest = offer.take_rest()
            self.inbox.read = self._reader_of(dialect)
            self.outbox.speak(dialect)
            self.dialect = dialect
            self.outbox.send(b"version", messages.PROTOCOL_VERSION)
            self._host.on_event(Ready(dialect.name.decode("ascii")))
            if rest:
                self.inbox.read(rest, inbox)

    def _reader_of(self, dialect: Dialect) -> Callable[[bytes, deque[Any]], None]:
        theirs, policy = self._host.overridden, self._policy
        allows_basics = all(map(policy.security.isTypeAllowed, BASICS))
        keeps_expressions = bool(theirs) or not allows_basics
        is_raw = any(name.startswith("proto_") for name in theirs) or "expressionReceived" in theirs
        if is_raw:
            return dialect.reader(policy.limits, keeps_expressions, Raw).receive
        return dialect.reader(policy.limits, keeps_expressions).receive

    def _on_version(self, message: messages.Version) -> None:
        if message.number != messages.PROTOCOL_VERSION:
            raise ProtocolError(
                f"the peer speaks version {message.number}, not {messages.PROTOCOL_VERSION}"
            )
        self.inbox.handlers = _HANDLERS

    def _on_early_call(self, message: Message) -> None:
        raise ProtocolError("a call before the version")

    # Messages.

    def _on_plain_call(self, message: messages.PlainCall) -> None:
        self._callee.receive_plain(message, True)

    def _on_plain_send(self, message: messages.PlainSend) -> None:
        self._callee.receive_plain(message, False)

    def _on_call(self, message: messages.Call | messages.CallToCache) -> None:
        self._callee.receive(message, message.wants_answer)

    def _on_plain_call_to_cache(self, message: messages.PlainCallToCache) -> None:
        self._callee.receive(message, True)

    def _on_plain_send_to_cache(self, message: messages.PlainSendToCache) -> None:
        self._callee.receive(message, False)

    def _on_plain_answer(self, message: messages.PlainAnswer | messages.PlainTuple) -> None:
        self._caller.on_plain_answer(message)

    def _on_answer(self, message: messages.Answer) -> None:
        self._caller.on_answer(message)

    def _on_failed(self, message: messages.Failed) -> None:
        self._caller.on_failed(message)

    def _on_did_not_understand(self, message: messages.DidNotUnderstand) -> None:
        self._host.on_event(Misunderstood(messages.describe_command(message.command)))

    def _on_raw(self, raw: Raw) -> None:
        self._host.expressionReceived(raw.expression)

    def _on_unknown_command(self, message: messages.UnknownCommand) -> None:
        self.outbox.send(b"didNotUnderstand", message.command)

    def _on_cancel(self, message: messages.Cancel) -> None:
        call = self._callee.running.get(message.request_id)
        if call is not None:
            self._host.on_event(CallCancelled(call))

    def _on_ping(self, message: messages.Ping) -> None:
        self.outbox.say(b"pong", message.token)

    def _on_pong(self, message: messages.Pong) -> None:
        """That it came is all that a pong says; whoever feeds the session has noticed."""

    def _on_goodbye(self, message: messages.Goodbye) -> None:
        self._host.on_event(PeerLeaves(message.code, message.text))

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
            self.outbox.send(b"uncache", message.cache_id)

    def _on_uncache(self, message: messages.Uncache) -> None:
        value = self.translator.held.remove(message.cache_id)
        if value is not None:
            value.broker = None


class Raw(NamedTuple):
    """An expression that the room above parses itself."""

    expression: Expression


_HANDLERS: Handlers = {
    messages.Version: Session._on_version,
    messages.DidNotUnderstand: Session._on_did_not_understand,
    messages.UnknownCommand: Session._on_unknown_command,
    messages.PlainCall: Session._on_plain_call,
    messages.PlainSend: Session._on_plain_send,
    messages.PlainCallToCache: Session._on_plain_call_to_cache,
    messages.PlainSendToCache: Session._on_plain_send_to_cache,
    messages.Call: Session._on_call,
    messages.CallToCache: Session._on_call,
    messages.PlainAnswer: Session._on_plain_answer,
    messages.PlainTuple: Session._on_plain_answer,
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
_BEFORE_VERSION: Handlers = {**_HANDLERS, **dict.fromkeys(CALLS, Session._on_early_call)}
