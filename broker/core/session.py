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

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from broker.core.calls.handlers import BEFORE_VERSION, GATED, GATED_BEFORE_VERSION, OPEN
from broker.core.calls.incoming import IncomingCalls
from broker.core.calls.incoming_call import IncomingCall
from broker.core.calls.login_gate import Gate
from broker.core.calls.outgoing import OutgoingCalls
from broker.core.calls.streaming import Streaming
from broker.core.events import CallAnswered, Ready
from broker.core.host import Host, takes_messages
from broker.core.inbox import Inbox
from broker.core.lane import Lane
from broker.core.objects.releases import PendingReleases
from broker.core.objects.tables import OpenCalls
from broker.core.objects.translator import Translator, reading
from broker.core.objects.unopened import Unopened
from broker.core.outbox import Outbox
from broker.core.policy import Policy
from broker.core.principal import Principal
from broker.core.queued import Queued
from broker.core.snapshot import SessionSnapshot, snapshot_of
from broker.core.stats import Stats
from broker.core.tracer import Begin, Timer, Tracer, Tracing
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
    Raw,
    RequestId,
)
from broker.limit_errors import limit_error
from jelly.atoms import Expression
from jelly.errors import ProtocolError
from jelly.limits import Limits
from jelly.security import Security, SecurityOptions
from jelly.slices import finish

__all__ = ["Session"]


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
        outgoing, incoming: the calls of this side, and those of the peer.
        counters: the counters; those of a lane may be missing in them, and not in :attr:`stats`.
        dialect: the agreed dialect, or None before the agreement.
        logins: names of the logins that the server accepts, from its offer. None before the offer,
            if the server has no login, and at the server itself.
        tracing: reports to a tracer, or None; see :meth:`trace`.
        on_pong: called with the number of each ping that the peer has answered, or None.
        keeps_expressions: whether each received value is an expression, for hooks that need them.
        gate: checks the peer's messages until it has logged in. None after that, and if no login
            is needed.
    """

    __slots__ = (
        "_dropped",
        "_greeting",
        "_holds_lane",
        "_limits",
        "_make_lane",
        "_pings",
        "_policy",
        "_streaming",
        "_want_terms",
        "counters",
        "dialect",
        "gate",
        "host",
        "inbox",
        "incoming",
        "keeps_expressions",
        "logins",
        "on_pong",
        "outbox",
        "outgoing",
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
        self.counters = Stats()
        self._make_lane: Callable[[], Lane] | None = None
        self._holds_lane = False
        self.tracing: Tracing | None = None
        self.on_pong: Callable[[int], None] | None = None
        self.host = host
        self._policy = policy
        self.gate: Gate | None = None
        self._limits = policy.limits
        self._pings = 0
        self._want_terms: list[Callable[[], object]] | None = None
        if offered is None:
            among = EXPRESSION_DIALECTS if host.overridden else DIALECTS
            offered = spoken(policy.dialects, policy.limits, among)
        # None once it is over.
        self._greeting: Handshake | None = Handshake(is_client, offered, policy.limits)
        self._dropped = dropped = PendingReleases(host)
        open_calls = OpenCalls()
        self.translator = translator = Translator(policy, host, dropped)
        self.outbox = outbox = Outbox(host, policy, translator, open_calls, dropped, self.counters)
        self._streaming: Streaming | None = None
        self.keeps_expressions = False
        walks = reading(host, translator) if host.overridden else translator
        self.outgoing = OutgoingCalls(host, translator, outbox, open_calls, self.counters, walks)
        self.incoming = IncomingCalls(host, policy, translator, outbox, self.counters, walks)
        self.inbox = Inbox(
            self,
            BEFORE_VERSION,
            self._shake_hands,
            self.incoming.runner,
            self.incoming.running,
            translator,
            outbox,
            policy,
            self.counters,
        )
        self.incoming.inbox = self.inbox

    @property
    def stats(self) -> Stats:
        """The counters."""
        self.inbox.count()
        return self.counters

    @property
    def streaming(self) -> Streaming:
        """The streams, in both directions; made when it is first needed."""
        if self._streaming is None:
            self._streaming = Streaming(
                self.host, self.translator, self.outbox, self.counters, self.keeps_expressions
            )
        return self._streaming

    def name_logins(self, names: Callable[[], Sequence[str]]) -> None:
        """List the logins of this server in its offer; no effect once the handshake is over.

        ``names()`` is called when the connection starts. It returns the names, strongest first.
        """
        if self._greeting is not None:
            self._greeting.name_logins = names

    # The bytes of both directions, and the messages in them.

    def receive(self, data: bytes) -> None:
        """Take in bytes of the peer; then call :meth:`pump`. See ``Inbox.receive``."""
        self.inbox.receive(data)

    def pump(self, most: int = -1) -> bool:
        """Handle at most ``most`` messages, or all; return whether there are more.

        Raises:
            ProtocolError: a message violates the protocol.
        """
        return self.inbox.pump(most)

    def data_to_send(self) -> bytes:
        """Return the bytes to send, and count them as sent."""
        return self.outbox.take()

    def start(self) -> None:
        """Start the handshake: a server sends its offer."""
        opening = None if self._greeting is None else self._greeting.opening()
        if opening is not None:
            self.outbox.greet(opening)

    # Sending.

    def use_lane(self, make: Callable[[], Lane]) -> None:
        """Let a lane take frames whenever that is possible; see `broker.core.lane`.

        Args:
            make: makes the lane. It is called when bytes arrive for the first time after that.
        """
        self._make_lane = make
        self.allow_lane()

    def allow_lane(self) -> None:
        """Decide anew whether a lane may take frames."""
        make, inbox = self._make_lane, self.inbox
        if make is None:
            return
        if inbox.handlers is not OPEN or self.tracing is not None or self.incoming.is_draining:
            make = None
        if self._holds_lane:
            make = None
        if make is not None or inbox.make_lane is not None:
            inbox.allow_lane(make)

    def hold_lane(self, is_held: bool) -> None:
        """Have no lane make calls or take frames from now on, or let it do so again."""
        self._holds_lane = is_held
        self.allow_lane()

    def count_ping(self) -> None:
        """Count a ping of the peer.

        Raises:
            ProtocolError: more than ``max_pings`` came since :meth:`forget_pings`.
        """
        self._pings += 1
        if self._pings > self._policy.max_pings:
            self.counters.count("max_pings")
            raise limit_error(ProtocolError, "max_pings", self._policy.max_pings, self._pings)

    def forget_pings(self) -> None:
        """Reset the count of pings to 0."""
        self._pings = 0

    def when_terms(self, function: Callable[[], object]) -> None:
        """Call a function when the peer's version has come, whose terms then hold; or now."""
        if self.inbox.handlers is OPEN or self.inbox.handlers is GATED:
            function()
        else:
            self._want_terms = [*(self._want_terms or ()), function]

    def terms_came(self) -> None:
        """Call the functions that wait for the version."""
        functions, self._want_terms = self._want_terms, None
        for function in functions or ():
            function()

    # Incoming calls.

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
        incoming, inbox = self.incoming, self.inbox
        begins = incoming.beginning is not None
        return len(incoming.running) + len(inbox.works or ()) + inbox.has_barrier + begins

    def drain(self, after: float = 0.0, elsewhere: tuple[str, ...] = ()) -> None:
        """Refuse the peer's calls from now on, with ServerDraining.

        One-way calls that were received before still run, since their caller would not learn of a
        refusal.

        Args:
            after, elsewhere: the fields of the ServerDraining.
        """
        self.incoming.is_draining = True
        self.incoming.come_again = after, elsewhere
        self.incoming.refuses_sends = not self.inbox.add_barrier()
        self.allow_lane()

    def finish(self, call: IncomingCall, value: object) -> None:
        """Answer a pending call; then call :meth:`data_to_send`."""
        self.inbox.add_work(self.incoming.finish(call, value))
        self.inbox.is_full = False

    def fail(self, call: IncomingCall, error: object) -> None:
        """Refuse a pending call with an exception or a Failure; see :meth:`finish`."""
        self.incoming.fail(call, error)
        self.inbox.is_full = False

    def worked(self) -> None:
        """Tell the host that work of several turns is done."""
        self.host.on_event(CallAnswered())

    # Observation.

    def trace(self, tracer: Tracer | None) -> None:
        """Report calls, bytes, limits, logins and the end of this session to a tracer.

        The calls of the peer are reported once it may send all messages. With None, nothing is
        reported any more.
        """
        self.tracing = tracing = None if tracer is None else Tracing(tracer, self.host.describe)
        self.inbox.tracing = self.outbox.sizes = tracing
        self.counters.on_limit = None if tracer is None else tracer.limit_hit
        self.allow_lane()
        self._trace_calls()
        if tracer is not None and self.dialect is not None:
            tracer.opened(self.dialect.name.decode("ascii"))

    def ease_tracing(
        self, timer: Timer | None, begin: Begin | None, *, has_sizes: bool, has_calls: bool
    ) -> None:
        """Say what the tracer needs, so that it can be told at less cost.

        Args:
            timer, begin, has_calls: see `Tracing.ease`.
            has_sizes: whether the bytes that are received and sent are reported.
        """
        tracing = self.tracing
        if tracing is not None:
            tracing.ease(timer, begin, has_calls)
            self.inbox.tracing = self.outbox.sizes = tracing if has_sizes else None
            self._trace_calls()

    def _trace_calls(self) -> None:
        """Report calls if the tracer needs them; the peer's once it may send all messages."""
        tracing = self.tracing
        if tracing is not None and not tracing.has_calls:
            tracing = None
        self.outgoing.tracing = self.outbox.tracing = tracing
        if self.gate is None:
            self.incoming.trace(tracing)

    def snapshot(self) -> SessionSnapshot:
        """Return what this session shows now: names, numbers and sizes, never values."""
        return snapshot_of(self)

    # The end.

    def forget_received(self) -> None:
        """Ignore all further bytes, and drop the messages that are not handled yet."""
        self.inbox.clear()
        self._greeting = None
        if self.inbox.reader is not None:
            self.inbox.reader.forget()

    def end(self) -> dict[RequestId, bool]:
        """End the session after the connection was closed.

        Returns:
            For each outgoing call without an answer, whether the peer may have run it.
        """
        may_have_left = self.outbox.may_have_left
        lost = {each: may_have_left(each) for each in self.outgoing.end()}
        # Free the memory now: a reference to the session may live on.
        self.forget_received()
        if self.tracing is not None:
            self.tracing.close(lost)
        self.incoming.end()
        self.outbox.clear()
        if self.translator.used_streams is not None:
            self.streaming.lost()
        return lost

    # The handshake.

    def _shake_hands(self, data: bytes, inbox: deque[Queued], most: int) -> bool:
        handshake = self._greeting
        found = None if handshake is None else handshake.take(data)
        if handshake is None or found is None:
            return False
        dialect, reply, rest = found
        if reply is not None:
            self.outbox.greet(reply)
        self.logins = handshake.logins
        self._speak(dialect)
        return bool(rest) and self.inbox.read(rest, inbox, most)

    def select(self, name: bytes) -> None:
        """Use a dialect from now on, without a handshake.

        Raises:
            ProtocolError: this side does not offer the dialect, or a dialect is in use already.
        """
        if self.dialect is not None or self._greeting is None:
            raise ProtocolError("a dialect is spoken already")
        self._speak(self._greeting.named(name))

    def _speak(self, dialect: Dialect) -> None:
        self._greeting = None
        self.inbox.reader = reader = self._reader_of(dialect)
        self.inbox.read = reader.receive
        self.outbox.speak(dialect)
        self.dialect = dialect
        self.outbox.send_version(dialect)
        name = dialect.name.decode("ascii")
        if self.tracing is not None:
            self.tracing.tracer.opened(name)
        self.host.on_event(Ready(name))

    def _reader_of(self, dialect: Dialect) -> MessageReader:
        security: Security = self._policy.security
        if type(security) is SecurityOptions:
            allows_basics = security.allows_all(BASICS)
        else:
            allows_basics = all(map(security.isTypeAllowed, BASICS))
        self.keeps_expressions = keeps_expressions = bool(self.host.overridden) or not allows_basics
        if self.host.overridden and takes_messages(self.host):
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
        if self.tracing is not None:
            self.incoming.trace(None)
        self._limit(self.gate.limits)
        self.inbox.max_backlog = min(policy.max_backlog, policy.login_backlog)
        self.incoming.max_calls = min(policy.max_calls, policy.login_calls)
        self.translator.exports.max_refs = min(policy.max_refs, policy.login_refs)
        inbox = self.inbox
        inbox.handlers = GATED if inbox.handlers is OPEN else GATED_BEFORE_VERSION
        self.allow_lane()

    def open_gate(self) -> None:
        """Accept all messages, up to the limits of the policy: the peer has logged in."""
        if self.gate is None:
            return
        policy, self.gate = self._policy, None
        if self.tracing is not None:
            self._trace_calls()
        self.inbox.max_backlog = policy.max_backlog
        self.incoming.max_calls = policy.max_calls
        self.inbox.is_full = False
        self.translator.exports.max_refs = policy.max_refs
        self._limit(policy.limits)
        inbox = self.inbox
        inbox.handlers = OPEN if inbox.handlers is GATED else BEFORE_VERSION
        self.allow_lane()

    def _limit(self, limits: Limits) -> None:
        self._limits = limits
        if self.inbox.reader is not None:
            self.inbox.reader.set_limits(limits)

    def _unjelly(self, expression: Expression, perspective: object) -> object:
        return finish(reading(self.host, self.translator).unjelly_walk(expression, perspective))

    def _seal(self, expression: Expression, limits: Limits, max_refs: int) -> Unopened:
        return Unopened(expression, self._unjelly, self._dropped, limits, max_refs)
