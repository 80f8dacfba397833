"""A session: the protocol between two peers, without sockets, loops, clocks or promises.

Theory of operation. Bytes go in by ``receive``, which decodes a turn's worth of them but runs no
code of the application. ``pump`` then handles messages, one after the other; that is where methods
are called, and where the rest is decoded. What the room above must know comes out as events, in
order, through ``host.on_event``; bytes come out of ``data_to_send``. Time comes in as an argument.
A method that returns an awaitable is not waited for here: the event CallPending hands it out, and
``finish`` or ``fail`` answers later.

Whatever the peer does wrong is raised as ProtocolError by ``pump``; the session is over then, and
the room above closes the connection. Faults of one call never are: they become its answer.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from typing import Any, cast

from msgspec.structs import replace

from broker.core.calls.handlers import BEFORE_VERSION, GATED, GATED_BEFORE_VERSION, OPEN
from broker.core.calls.incoming import IncomingCall, IncomingCalls
from broker.core.calls.login_gate import Gate
from broker.core.calls.outgoing import OutgoingCalls
from broker.core.events import CallAnswered, Ready
from broker.core.host import Host
from broker.core.inbox import Inbox
from broker.core.objects.releases import PendingReleases
from broker.core.objects.tables import OpenCalls
from broker.core.objects.translator import Translator, walk_of
from broker.core.objects.unopened import Unopened
from broker.core.outbox import Outbox
from broker.core.policy import Policy
from broker.core.principal import Principal
from broker.core.stats import Stats
from broker.core.wire import messages
from broker.core.wire.conversion import BASICS
from broker.core.wire.dialects import (
    DIALECTS,
    EXPRESSION_DIALECTS,
    Dialect,
    MessageReader,
    spoken,
)
from broker.core.wire.handshake import Handshake
from broker.core.wire.messages import Message, RequestId
from jelly.atoms import Expression
from jelly.codec import Reader
from jelly.errors import BananaError, ProtocolError
from jelly.limits import Limits
from jelly.slices import finish
from jelly.vocabulary import NONE_VOCABULARY

__all__ = ["Session"]

# Of the handshake, whose lengths and counts are small: so that the text which other protocols begin
# with, all of it legal digits of a prefix, is refused at its fifth byte rather than waited out.
_SMALL_PREFIX = 4
# What a stranger may have us keep before there is a dialect; an offer takes a hundred bytes.
_SMALL_OFFER = 64 * 1024
_SMALL_LIST = 1024


@functools.lru_cache(16)
def _of_handshake(limits: Limits) -> Limits:
    return replace(
        limits,
        max_prefix=_SMALL_PREFIX,
        max_expression=min(limits.max_expression, _SMALL_OFFER),
        max_string=min(limits.max_string, _SMALL_OFFER),
        max_list=min(limits.max_list, _SMALL_LIST),
    )


class Session:
    """One side of one connection.

    Args:
        host: the room above; an attribute, too.
        policy: what is allowed.
        is_client: which side of the handshake this is.
        offered: the dialects of this side, best first; those of the policy unless given, of which
            only PB's own where the room above has hooks that know expressions, or where the limits
            are deeper than another can read.

    Attributes:
        translator: graphs of objects in and out.
        inbox: what has come in and is not handled.
        outbox: what is about to be sent.
        caller, callee: calls of ours, and of the peer's.
        dialect: what was agreed on, or None yet.
        logins: the names of the logins that the server takes, as its offer has them; None where it
            has none, before the offer, and at the server itself.
        stats: what has been done so far.
        receive, pump: take in bytes and handle messages, as of the inbox.
        call: call a method of the peer's, as of ``caller.Caller``.
        data_to_send: return the bytes that are due, as of ``outbox.Outbox.take``.
        gate: what stands before the peer's messages until it has logged in; None once it has, and
            where there is no login.
    """

    __slots__ = (
        "_dropped",
        "_greeting",
        "_limits",
        "_pings",
        "_policy",
        "_reader",
        "call",
        "callee",
        "caller",
        "data_to_send",
        "dialect",
        "gate",
        "host",
        "inbox",
        "logins",
        "outbox",
        "pump",
        "receive",
        "stats",
        "translator",
    )

    def __init__(
        self,
        host: Host,
        policy: Policy,
        *,
        is_client: bool,
        offered: tuple[Dialect, ...] | None = None,
    ):
        self.dialect: Dialect | None = None
        self.logins: tuple[str, ...] | None = None
        self.stats = Stats()
        self.host = cast(Any, host)
        self._policy = policy
        self.gate: Gate | None = None
        self._limits = policy.limits
        self._pings = 0
        self._reader: MessageReader | None = None
        if offered is None:
            among = EXPRESSION_DIALECTS if host.overridden else DIALECTS
            offered = spoken(policy.dialects, policy.limits, among)
        # The handshake and the reader of it; nothing once it is over.
        self._greeting: Any = (
            Handshake(is_client, offered),
            Reader(_of_handshake(policy.limits), NONE_VOCABULARY),
        )
        self._dropped = dropped = PendingReleases(host.on_released)
        questions = OpenCalls()
        self.translator = translator = Translator(policy, host, dropped)
        self.outbox = outbox = Outbox(host, policy, translator, questions, dropped, self.stats)
        self.caller = OutgoingCalls(host, translator, outbox, questions, self.stats)
        self.callee = IncomingCalls(host, policy, translator, outbox, self.stats)
        self.inbox = Inbox(
            self,
            BEFORE_VERSION,
            self._shake_hands,
            self.callee.begins_at_once,
            self.callee.running,
            outbox,
            policy,
            self.stats,
            lambda: host.on_event(CallAnswered()),
        )
        self.callee.inbox = self.inbox
        self.receive = self.inbox.receive
        self.pump = self.inbox.pump
        self.data_to_send = outbox.take
        self.call = self.caller.call

    def name_logins(self, names: Callable[[], Sequence[str]]) -> None:
        """Have the offer name the logins of this server; nothing where it has been made.

        ``names()`` is called when the connection begins, and returns them, strongest first.
        """
        if self._greeting is not None:
            self._greeting[0].name_logins = names

    # Receiving.

    def start(self) -> None:
        """Begin; a server makes its offer."""
        opening = self._greeting[0].opening()
        if opening is not None:
            self.outbox.send_expression(opening)

    def handle(self, message: Message | messages.Raw) -> None:
        """Handle one message now; for the room above where it has a part in that itself.

        Raises:
            ProtocolError: it is not legal.
        """
        self.inbox.handle(message)

    @property
    def answered(self) -> int:
        """Bytes of answers and errors since :meth:`forget_answered`."""
        return self.callee.answered

    def forget_answered(self) -> None:
        """Count the bytes of answers from 0."""
        self.callee.answered = 0

    # Sending.

    @property
    def waiting(self) -> int:
        """Calls of ours that have no answer yet."""
        return len(self.caller.questions)

    def abandon(self, request_id: RequestId) -> None:
        """Stop waiting for the answer to a call of ours, and say so; if it comes, it is dropped."""
        self.caller.abandon(request_id)

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

    @property
    def pending(self) -> int:
        """Bytes that have come and are of no message that was decoded."""
        return 0 if self._reader is None else self._reader.pending

    def count_ping(self) -> None:
        """Note a ping of the peer's.

        Raises:
            ProtocolError: there were too many since :meth:`forget_pings`.
        """
        self._pings += 1
        if self._pings > self._policy.max_pings:
            self.stats.count("max_pings")
            raise ProtocolError("too many pings")

    def forget_pings(self) -> None:
        """Count the peer's pings from 0."""
        self._pings = 0

    # Calls of the peer's.

    @property
    def context(self) -> Context:
        """The contextvars of plain methods where there is no principal."""
        return self.callee.context

    def set_sole_principal(self, principal: Principal | None) -> None:
        """Name the owner of what is handed out by no call, and of what has a name.

        Args:
            principal: the only user that the connection has had; None where there were several.
        """
        self.translator.sole_principal = principal
        self.translator.exports.own_names(principal)

    @property
    def running(self) -> int:
        """Calls of the peer's that have no answer yet."""
        return len(self.callee.running) + len(self.inbox.works) + self.inbox.has_barrier

    def drain(self) -> None:
        """Refuse the peer's calls from now on, with ServerDraining.

        Calls without an answer that have come already are run: nobody would learn of the refusal.
        """
        self.callee.is_draining = True
        self.callee.refuses_sends = not self.inbox.add_barrier()

    def finish(self, call: IncomingCall, value: Any) -> None:
        """Answer a call that was pending; :meth:`data_to_send` next."""
        self.inbox.add_work(self.callee.finish(call, value))
        self.inbox.is_full = False

    def fail(self, call: IncomingCall, error: Any) -> None:
        """Refuse a call that was pending, by an exception or a Failure; see :meth:`finish`."""
        self.callee.fail(call, error)
        self.inbox.is_full = False

    # The end.

    def forget_received(self) -> None:
        """Take nothing more in, and let go of what has come and was not handled."""
        self.inbox.clear()
        self._greeting = None
        if self._reader is not None:
            self._reader.forget()

    def end(self) -> dict[RequestId, bool]:
        """End the session: the connection is gone.

        Returns:
            For each call of ours without an answer, whether it may have run.
        """
        may_have_left = self.outbox.may_have_left
        lost = {each: may_have_left(each) for each in self.caller.questions.clear()}
        # It goes now, whoever still holds the session.
        self.forget_received()
        self.callee.running.clear()
        self.outbox.clear()
        return lost

    # The handshake.

    def _shake_hands(self, data: bytes, inbox: deque[Any], most: int) -> bool:
        handshake, offer = self._greeting
        offer.feed(data)
        try:
            expressions = offer.read(1)
        except BananaError as error:
            raise ProtocolError(f"the peer does not speak Perspective Broker ({error})") from error
        for expression in expressions:
            dialect, reply = handshake.receive(expression)
            if reply is not None:
                self.outbox.send_expression(reply)
            rest = offer.take_rest()
            self.logins = handshake.logins
            self._speak(dialect)
            if rest:
                return self.inbox.read(rest, inbox, most)
        return False

    def select(self, name: bytes) -> None:
        """Speak a dialect from now on, without a handshake.

        Raises:
            ProtocolError: it is none of this side's, or a dialect is spoken already.
        """
        if self.dialect is not None:
            raise ProtocolError("a dialect is spoken already")
        self._speak(self._greeting[0].named(name))

    def _speak(self, dialect: Dialect) -> None:
        self._greeting = None
        self._reader = self._reader_of(dialect)
        self.inbox.read, self.inbox.reader = self._reader.receive, self._reader
        self.outbox.speak(dialect)
        self.dialect = dialect
        self.outbox.send(b"version", messages.PROTOCOL_VERSION)
        self.host.on_event(Ready(dialect.name.decode("ascii")))

    def _reader_of(self, dialect: Dialect) -> MessageReader:
        theirs, policy = self.host.overridden, self._policy
        allows_basics = all(map(policy.security.isTypeAllowed, BASICS))
        keeps_expressions = bool(theirs) or not allows_basics
        is_raw = any(name.startswith("proto_") for name in theirs) or "expressionReceived" in theirs
        if is_raw:
            return dialect.reader(self._limits, keeps_expressions, messages.Raw)
        return dialect.reader(self._limits, keeps_expressions)

    # The gate.

    def shut_gate(self, minds: Mapping[str, int | None]) -> None:
        """Take nothing but a login from now on.

        Args:
            minds: the methods of a login, and which of their arguments is the mind, if any.
        """
        policy = self._policy
        self.gate = Gate(policy, minds, self._seal)
        self._limit(self.gate.limits)
        self.inbox.max_backlog = min(policy.max_backlog, policy.login_backlog)
        self.callee.max_calls = min(policy.max_calls, policy.login_calls)
        self.translator.exports.max_refs = min(policy.max_refs, policy.login_refs)
        inbox = self.inbox
        inbox.handlers = GATED if inbox.handlers is OPEN else GATED_BEFORE_VERSION

    def open_gate(self) -> None:
        """The peer has been accepted: take all messages, up to the limits of the policy."""
        if self.gate is None:
            return
        policy, self.gate = self._policy, None
        self.inbox.max_backlog = policy.max_backlog
        self.callee.max_calls = policy.max_calls
        self.inbox.is_full = False
        self.translator.exports.max_refs = policy.max_refs
        self._limit(policy.limits)
        inbox = self.inbox
        inbox.handlers = OPEN if inbox.handlers is GATED else BEFORE_VERSION

    def _limit(self, limits: Limits) -> None:
        self._limits = limits
        if self._reader is not None:
            self._reader.set_limits(limits)

    def _unjelly(self, expression: Expression, perspective: Any) -> Any:
        return finish(walk_of(self.host, self.translator)(expression, perspective))

    def _seal(self, expression: Expression, limits: Limits, max_refs: int) -> Unopened:
        return Unopened(expression, self._unjelly, self._dropped, limits, max_refs)
