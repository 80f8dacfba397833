"""A session: the protocol between two peers, without sockets, event loops, clocks or Deferreds.

Theory of operation. ``receive`` takes in bytes and decodes one turn's worth of messages; it runs no
application code. ``pump`` handles the messages one after the other: it calls methods, and decodes
the rest. The session tells its host of events, in order, with ``host.on_event``. ``data_to_send``
returns the bytes to send. Time is passed in as an argument. The session does not wait for a method
that returns an awaitable: it passes the awaitable to the host in the event CallPending, and the
host calls ``finish`` or ``fail`` later.

``pump`` raises ProtocolError for a violation of the protocol by the peer. The session is then over,
and the host closes the connection. An error in one call is sent as the answer to that call.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context

from msgspec.structs import replace

from broker.core.calls.handlers import BEFORE_VERSION, GATED, GATED_BEFORE_VERSION, OPEN
from broker.core.calls.incoming import IncomingCalls
from broker.core.calls.incoming_call import IncomingCall
from broker.core.calls.login_gate import Gate
from broker.core.calls.outgoing import OutgoingCalls
from broker.core.events import CallAnswered, Ready
from broker.core.host import Host, takes_messages
from broker.core.inbox import Inbox
from broker.core.objects.releases import PendingReleases
from broker.core.objects.tables import OpenCalls
from broker.core.objects.translator import Translator, walk_of
from broker.core.objects.unopened import Unopened
from broker.core.outbox import Outbox
from broker.core.policy import Policy
from broker.core.principal import Principal
from broker.core.queued import Queued
from broker.core.snapshot import SessionSnapshot, snapshot_of
from broker.core.stats import Stats
from broker.core.tracer import Tracer, Tracing
from broker.core.wire.commands import Feature
from broker.core.wire.conversion import BASICS
from broker.core.wire.dialects import (
    DIALECTS,
    EXPRESSION_DIALECTS,
    Dialect,
    MessageReader,
    spoken,
)
from broker.core.wire.handshake import Handshake
from broker.core.wire.messages import (
    Goodbye,
    Message,
    Ping,
    Raw,
    RequestId,
)
from broker.limit_errors import limit_error
from jelly.atoms import Expression
from jelly.codec import Reader
from jelly.errors import BananaError, ProtocolError
from jelly.limits import Limits
from jelly.security import Security, SecurityOptions
from jelly.slices import finish
from jelly.vocabulary import NONE_VOCABULARY

__all__ = ["Session"]

# Digits of a length or count during the handshake. Text of another protocol consists of 7-bit
# bytes, which are valid digits: with this limit it is refused at byte 5.
_SMALL_PREFIX = 4
# Limits of what a peer may make us store before a dialect is chosen. An offer has about 100 bytes.
_SMALL_OFFER = 64 * 1024
_SMALL_LIST = 1024


def _allows_basics(security: Security) -> bool:
    if type(security) is SecurityOptions:
        return security.allows_all(BASICS)
    return all(map(security.isTypeAllowed, BASICS))


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
        host: the layer above, which the session calls. Also an attribute.
        policy: limits and permissions.
        is_client: whether this is the client's side of the handshake.
        offered: dialects to offer, best first. Default: ``policy.dialects``, but only ``pb`` and
            ``none`` if the host overrides a hook that takes expressions, or if ``max_depth`` is
            over 100.

    Attributes:
        translator: converts graphs of objects to expressions and back.
        inbox: messages received and not handled yet.
        outbox: messages to send.
        caller, callee: outgoing calls, and incoming calls.
        dialect: the agreed dialect, or None before the agreement.
        logins: names of the logins that the server accepts, from its offer. None before the offer,
            if the server has no login, and at the server itself.
        stats: counters.
        tracing: reports to a tracer, or None; see :meth:`trace`.
        receive, pump: take in bytes; handle messages. See ``Inbox``.
        call: call a method of the peer. See ``OutgoingCalls.call``.
        data_to_send: return the bytes to send. See ``Outbox.take``.
        gate: checks the peer's messages until it has logged in. None after that, and if no login
            is needed.
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
        "tracing",
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
        self.tracing: Tracing | None = None
        self.host = host
        self._policy = policy
        self.gate: Gate | None = None
        self._limits = policy.limits
        self._pings = 0
        self._reader: MessageReader | None = None
        if offered is None:
            among = EXPRESSION_DIALECTS if host.overridden else DIALECTS
            offered = spoken(policy.dialects, policy.limits, among)
        # The handshake and its reader; None once it is over.
        self._greeting: tuple[Handshake, Reader] | None = (
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
            self.callee.runner.begins_at_once,
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
        """List the logins of this server in its offer; no effect once the handshake is over.

        ``names()`` is called when the connection starts. It returns the names, strongest first.
        """
        if self._greeting is not None:
            self._greeting[0].name_logins = names

    # Receiving.

    def start(self) -> None:
        """Start the handshake: a server sends its offer."""
        opening = None if self._greeting is None else self._greeting[0].opening()
        if opening is not None:
            self.outbox.send_expression(opening)

    def handle(self, message: Message | Raw) -> None:
        """Handle one message now. A host that takes part in the handling itself calls this.

        Raises:
            ProtocolError: the message is not legal.
        """
        self.inbox.handle(message)

    @property
    def answered(self) -> int:
        """Bytes of answers and errors sent since :meth:`forget_answered`."""
        return self.callee.answers.size

    def forget_answered(self) -> None:
        """Reset :attr:`answered` to 0."""
        self.callee.answers.size = 0

    # Sending.

    @property
    def waiting(self) -> int:
        """Number of outgoing calls without an answer."""
        return len(self.caller.questions)

    def abandon(self, request_id: RequestId) -> None:
        """Stop waiting for the answer to an outgoing call, and tell the peer.

        An answer that still comes is dropped.
        """
        self.caller.abandon(request_id)

    @property
    def can_ping(self) -> bool:
        """Whether the dialect has a ping."""
        return Feature.PING in self.outbox.features

    def ping(self, token: int) -> None:
        """Send a ping, to learn whether the peer still answers."""
        self.outbox.say(Ping(token))

    def say_goodbye(self, code: str, text: str) -> None:
        """Tell the peer why the connection is about to end, if the dialect has a goodbye."""
        self.outbox.say(Goodbye(code, text[:1024]))

    def serialize(
        self, value: object, perspective: object, method: object, args: object, kw: object
    ) -> Expression:
        """Return the expression of a graph, which the application sends: PB's ``serialize``.

        Raises:
            EncodeError: a value in the graph may not be sent. An error of a hook is passed on.
        """
        return self.outbox.serialize(value, perspective, method, args, kw)

    def send_expression(self, expression: Expression) -> None:
        """Send one expression unchanged: Twisted's ``sendEncoded``."""
        self.outbox.send_expression(expression)

    @property
    def pending(self) -> int:
        """Number of bytes received that are not part of a decoded message."""
        return 0 if self._reader is None else self._reader.pending

    def count_ping(self) -> None:
        """Count a ping of the peer.

        Raises:
            ProtocolError: more than ``max_pings`` came since :meth:`forget_pings`.
        """
        self._pings += 1
        if self._pings > self._policy.max_pings:
            self.stats.count("max_pings")
            raise limit_error(ProtocolError, "max_pings", self._policy.max_pings, self._pings)

    def forget_pings(self) -> None:
        """Reset the count of pings to 0."""
        self._pings = 0

    # Incoming calls.

    @property
    def context(self) -> Context:
        """The contextvars of methods that are not async, for calls without a principal."""
        return self.callee.context

    def set_sole_principal(self, principal: Principal | None) -> None:
        """Set the owner of named objects, and of objects that are exported outside a call.

        Args:
            principal: the only user of this connection, or None if it has had several.
        """
        self.translator.sole_principal = principal
        self.translator.exports.own_names(principal)

    @property
    def running(self) -> int:
        """Number of incoming calls without an answer."""
        return len(self.callee.running) + len(self.inbox.works) + self.inbox.has_barrier

    def drain(self) -> None:
        """Refuse the peer's calls from now on, with ServerDraining.

        One-way calls that were received before still run, since their caller would not learn of a
        refusal.
        """
        self.callee.is_draining = True
        self.callee.refuses_sends = not self.inbox.add_barrier()

    def finish(self, call: IncomingCall, value: object) -> None:
        """Answer a pending call; then call :meth:`data_to_send`."""
        self.inbox.add_work(self.callee.finish(call, value))
        self.inbox.is_full = False

    def fail(self, call: IncomingCall, error: object) -> None:
        """Refuse a pending call with an exception or a Failure; see :meth:`finish`."""
        self.callee.fail(call, error)
        self.inbox.is_full = False

    # Observation.

    def trace(self, tracer: Tracer) -> None:
        """Report calls, bytes, limits, logins and the end of this session to a tracer.

        The calls of the peer are reported once it may send all messages.
        """
        self.tracing = tracing = Tracing(tracer)
        self.caller.tracing = self.inbox.tracing = self.outbox.tracing = tracing
        self.stats.on_limit = tracer.limit_hit
        if self.gate is None:
            self.callee.trace(tracing)
        if self.dialect is not None:
            tracer.opened(self.dialect.name.decode("ascii"))

    def snapshot(self) -> SessionSnapshot:
        """Return what this session shows now: names, numbers and sizes, never values."""
        return snapshot_of(self)

    # The end.

    def forget_received(self) -> None:
        """Ignore all further bytes, and drop the messages that are not handled yet."""
        self.inbox.clear()
        self._greeting = None
        if self._reader is not None:
            self._reader.forget()

    def end(self) -> dict[RequestId, bool]:
        """End the session after the connection was closed.

        Returns:
            For each outgoing call without an answer, whether the peer may have run it.
        """
        may_have_left = self.outbox.may_have_left
        lost = {each: may_have_left(each) for each in self.caller.questions.clear()}
        # Free the memory now: a reference to the session may live on.
        self.forget_received()
        if self.tracing is not None:
            self.tracing.close(lost)
        self.callee.running.clear()
        self.outbox.clear()
        return lost

    # The handshake.

    def _shake_hands(self, data: bytes, inbox: deque[Queued], most: int) -> bool:
        if self._greeting is None:
            return False
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
        """Use a dialect from now on, without a handshake.

        Raises:
            ProtocolError: this side does not offer the dialect, or a dialect is in use already.
        """
        if self.dialect is not None or self._greeting is None:
            raise ProtocolError("a dialect is spoken already")
        self._speak(self._greeting[0].named(name))

    def _speak(self, dialect: Dialect) -> None:
        self._greeting = None
        self._reader = self._reader_of(dialect)
        self.inbox.read, self.inbox.reader = self._reader.receive, self._reader
        self.outbox.speak(dialect)
        self.dialect = dialect
        self.outbox.send_version(dialect)
        name = dialect.name.decode("ascii")
        if self.tracing is not None:
            self.tracing.tracer.opened(name)
        self.host.on_event(Ready(name))

    def _reader_of(self, dialect: Dialect) -> MessageReader:
        keeps_expressions = bool(self.host.overridden) or not _allows_basics(self._policy.security)
        if takes_messages(self.host):
            return dialect.reader(self._limits, keeps_expressions, Raw)
        return dialect.reader(self._limits, keeps_expressions)

    # The gate.

    def shut_gate(self, minds: Mapping[str, int | None]) -> None:
        """Accept only the messages of a login from now on.

        Args:
            minds: the login methods, each with the index of its argument ``mind``, or None.
        """
        policy = self._policy
        self.gate = Gate(policy, minds, self._seal)
        self.callee.trace(None)
        self._limit(self.gate.limits)
        self.inbox.max_backlog = min(policy.max_backlog, policy.login_backlog)
        self.callee.max_calls = min(policy.max_calls, policy.login_calls)
        self.translator.exports.max_refs = min(policy.max_refs, policy.login_refs)
        inbox = self.inbox
        inbox.handlers = GATED if inbox.handlers is OPEN else GATED_BEFORE_VERSION

    def open_gate(self) -> None:
        """Accept all messages, up to the limits of the policy: the peer has logged in."""
        if self.gate is None:
            return
        policy, self.gate = self._policy, None
        self.callee.trace(self.tracing)
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

    def _unjelly(self, expression: Expression, perspective: object) -> object:
        return finish(walk_of(self.host, self.translator)(expression, perspective))

    def _seal(self, expression: Expression, limits: Limits, max_refs: int) -> Unopened:
        return Unopened(expression, self._unjelly, self._dropped, limits, max_refs)
