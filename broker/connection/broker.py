"""One session on one transport: the published Broker.

Theory of operation. A Broker is a protocol object for any transport with Twisted's interface: one
of this library, of a Twisted reactor, or of a test. It passes received bytes to the session; its
pump handles the messages and writes the bytes to send. It is the host of the session: ``calls``
keeps the Deferreds of outgoing calls, ``_running_methods`` the awaitables of methods that run for
the peer. The published methods only call the session and its translator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from broker.connection import log
from broker.connection.connection import Connection
from broker.connection.ending import Ending, end_caches, forget_frames
from broker.connection.lane import Lane
from broker.connection.peer import CURRENT_CALL, Call, Peer, SharedCall
from broker.connection.pending_calls import PendingCalls
from broker.connection.pings import Pings
from broker.connection.published import PublishedBroker
from broker.connection.pump import Pump
from broker.connection.running_methods import RunningMethods
from broker.connection.snapshot import ConnectionSnapshot, snapshot_of
from broker.connection.stream_producers import StreamProducers
from broker.connection.tracers import tell_stream
from broker.connection.watchdogs.keepalive import Keepalive
from broker.connection.watchdogs.message import MessageTimeout
from broker.connection.watchdogs.setup import SetupTimeouts
from broker.core.calls.attached import ATTACHED
from broker.core.calls.deadline import DEADLINE
from broker.core.calls.dispatch import Route
from broker.core.events import (
    CallAnswered,
    CallBegan,
    CallCancelled,
    CallPending,
    CallRaised,
    Event,
    Misunderstood,
    PeerDrains,
    PeerLeaves,
    Ready,
    StreamOpened,
)
from broker.core.objects.streams import IncomingStream
from broker.core.objects.whereabouts import name_result
from broker.core.policy import Policy, published_policy
from broker.core.session import Session
from broker.core.wire.commands import Feature
from broker.core.wire.dialects import MSGPACK
from broker.core.wire.messages import (
    LONGEST_TEXT,
    Draining,
    Goodbye,
    ObjectId,
    Ping,
    RequestId,
)
from broker.defer import Deferred, maybeDeferred
from broker.errors import (
    WITH_LIMIT,
    EncodeError,
    LoginExpired,
    PBConnectionLost,
    ServerDraining,
)
from broker.failure import Failure
from broker.flavors.failures import CopiedFailure, CopyableFailure, shown_error
from broker.flavors.reference import RemoteReference
from broker.flavors.streams import received_stream
from broker.limit_errors import AT_SERVER
from broker.net import forks
from broker.net.log_throttle import OWN, LogThrottle
from broker.net.scheduler import ImmediateScheduler, Scheduler
from broker.net.transport_port import LINGER_SIZE
from broker.net.twisted_transport import port_of
from broker.stopping import NO_NOTICE, Notice
from jelly.atoms import Expression
from jelly.registry import defaults
from jelly.security import Security
from jelly.unjellier import Row, Unjellier

__all__ = ["Broker", "Connection"]


class Broker(PublishedBroker):
    """One side of one connection (published).

    Args:
        isClient: whether this is the client's side; the server's side offers dialects.
        security: types that the peer may send besides the registered ones.
        policy: what is allowed; default the published policy with ``security``.

    Attributes:
        transport, factory: as published, set by the code that makes the connection.
        disconnected: 1 once the connection has ended.
        peer: the other end; with several logins, the last that has not ended.
        policy: the policy.
        closed: a Deferred that fires when the connection has ended.
        reason: the exception that ended it; None while it lasts.
        draining: the notice of a peer that takes no more calls; None before.
        avatar: the reference that a login returned, or None.
        calls: the outgoing calls.
        pump: handles messages and writes bytes.
        setup_timeouts: end the connection if the offer or the login does not come in time.
    """

    version = 6
    username = None
    factory: Any = None
    transport: Any = None
    # Defaults that most connections keep are class attributes: an instance with more than 30
    # attributes would have a dict of its own, of 1.6 KiB.
    disconnected = 0
    avatar: RemoteReference | None = None
    _running_methods: RunningMethods | None = None
    _producers: StreamProducers | None = None
    _keepalive: Keepalive | None = None
    _pings: Pings | None = None
    _message_timeout: MessageTimeout | None = None
    _fault: Exception | None = None
    _idle: Deferred[None] | None = None
    _log_throttle: LogThrottle | None = None
    _is_aborted = False
    # The notices of this end and of the peer, if they drain.
    _notice: Notice | None = None
    draining: Notice | None = None
    _drain_waiters: list[Callable[[], object]] | None = None

    def __init__(
        self,
        isClient: bool | int = 1,
        security: Security | None = None,
        *,
        policy: Policy | None = None,
    ):
        self.policy = published_policy(security) if policy is None else policy
        self.security = self.policy.security
        self.isClient = isClient
        self.peer = Peer()
        self.closed: Deferred[None] = Deferred()
        self.session = Session(self, self.policy, is_client=bool(isClient))
        self.connection = Connection(self)
        context = self.session.incoming.context
        context.run(CURRENT_CALL.set, SharedCall(self.peer, self.connection))
        # The methods have nothing of the code that makes the connection.
        for variable in (DEADLINE, ATTACHED):
            if context.get(variable) is not None:
                context.run(variable.set, None)
        self.setup_timeouts = SetupTimeouts(self)
        self._scheduler: Scheduler = ImmediateScheduler()
        self.pump = Pump(self, self.session, self.policy)
        self.calls = PendingCalls(self, self.session, self.pump, self.policy)
        # A bound method: a method that calls it makes W1 take 1.003 times as many instructions.
        self.answered = self.calls.answered

    def __repr__(self) -> str:
        state = "closed" if self.disconnected else self.dialect or "connecting"
        return f"<Broker to {self.peer.address} ({state})>"

    @property
    def dialect(self) -> str:
        """The name of the dialect; empty before the handshake is complete."""
        dialect = self.session.dialect
        return "" if dialect is None else dialect.name.decode("ascii")

    @property
    def log_throttle(self) -> LogThrottle:
        """Limits the log records that this connection causes.

        Connections of a server share one until their peers have logged in; see
        `share_log_throttle`.
        """
        if self._log_throttle is None:
            self._log_throttle = LogThrottle(self._scheduler, OWN, OWN)
        return self._log_throttle

    def share_log_throttle(self, log_throttle: LogThrottle | None) -> None:
        """Use a log throttle that connections share; with None, one of its own from now on."""
        self._log_throttle = log_throttle

    # The transport's side.

    def makeConnection(self, transport: Any) -> None:
        """Begin on a transport with Twisted's interface (published)."""
        self.transport = transport
        self.port = port = port_of(transport)
        forks.watch(self)
        self._scheduler = port.scheduler
        self.calls.begin(self._scheduler)
        self.session.incoming.runner.now = self._scheduler.now
        if self._log_throttle is not None:
            self._log_throttle.begin(self._scheduler)
        address = port.peer_address
        if address is not None:
            self.peer.address = address
        self.peer.proxy = port.proxy_address
        port.on_drained = self.pump.drained
        port.reads_ahead = True
        self.pump.begin(port, self.calls)
        self.connectionMade()

    def connectionMade(self) -> None:
        """Send the offer of dialects, or wait for it (published)."""
        seconds = self.policy.offer_timeout
        what = "" if self.isClient else AT_SERVER
        self.setup_timeouts.begin(self._scheduler, "offer", seconds, what)
        # A client has nothing to say before the offer, which may depend on the peer's certificate,
        # and on the TLS connection.
        if not self.isClient:
            self.port.when_secured(self._begin_session)

    def _begin_session(self) -> None:
        self.session.start()
        self.pump.flush()

    def dataReceived(self, data: bytes) -> None:
        """Take received bytes and handle their messages (published)."""
        inbox, pump, keepalive = self.session.inbox, self.pump, self._keepalive
        if keepalive is None:
            began = self._scheduler.now()
        else:
            keepalive.last_heard = began = keepalive.now()
        inbox.arrived = began
        if pump.has_turn:
            # Messages wait for their turn already, so no decoding now.
            inbox.store(data)
        elif inbox.is_idle or (inbox.lane is None and not self.calls.is_batched):
            # Without a lane, all in one turn: so the choice of a dialect needs no flush of its own.
            pump.run(began, data)
            if inbox.is_idle:
                return
        else:
            inbox.receive(data)
            pump.run(began)
        if inbox.pending and self.transport is not None:
            self._watch_message()
            pump.weigh()

    def _watch_message(self) -> None:
        """Limit the time of a message whose first bytes have come."""
        if self._message_timeout is None:
            self._message_timeout = MessageTimeout(self._scheduler, self.policy, self.session, self)
        self._message_timeout.watch()

    def connectionLost(self, reason: Failure) -> None:
        """Handle messages received before the end, fail pending calls, clear tables (published).

        If answers to our calls wait to be handled, this takes several turns of the loop; it is
        complete when ``closed`` fires.
        """
        if self.disconnected:
            return
        self.disconnected = 1
        self.calls.is_open = self.calls.is_refused = False
        self.setup_timeouts.clear()
        self.pump.stop()
        for watcher in (self._keepalive, self._message_timeout):
            if watcher is not None:
                watcher.stop()
        end = partial(self._end, getattr(reason, "value", reason))
        Ending(self, self.session, self.policy, self._scheduler, end).take_turn()

    def _end(self, ended_by: object) -> None:
        was_connected = self.session.dialect is not None
        self.reason = ended_by if self._fault is None else self._fault
        if isinstance(ended_by, WITH_LIMIT) and ended_by.limit:
            self.session.stats.count(ended_by.limit)
        lost = self.session.end()
        self.pump.end()
        self.calls.lost(lost, self.reason)
        if self._pings is not None:
            self._pings.end(PBConnectionLost(self.reason))
        translator = self.session.translator
        end_caches(self, translator)
        if self._running_methods is not None and self.policy.cancel_on_disconnect:
            self._running_methods.cancel()
        if self._producers is not None:
            self._producers.stop()
        notifiers = self._disconnects if was_connected else self._failures
        self._connects = self._disconnects = self._failures = self._drain_waiters = None
        for notifier in notifiers or ():
            log.call_and_log(self, notifier)
        translator.exports.clear()
        translator.imports.clear()
        self._tell_idle()
        self.closed.callback(None)

    @property
    def now(self) -> float:
        """The time by the clock of this connection, in seconds."""
        return self._scheduler.now()

    def snapshot(self) -> ConnectionSnapshot:
        """Return what this connection shows now: names, numbers and sizes, never values."""
        keepalive, pings = self._keepalive, self._pings
        last_heard = None if keepalive is None else keepalive.last_heard
        return snapshot_of(self, last_heard, None if pings is None else pings.round_trip)

    def on_forked(self) -> None:
        """Note that this is a forked child process, which may not use the connection."""
        self.calls.is_open = False
        self.calls.is_inherited = True
        self.pump.stop()

    # Sending.

    def flush(self) -> None:
        """Write the bytes that wait to be sent."""
        self.pump.flush()

    def soon_flush(self) -> None:
        """Write the bytes that wait to be sent, now or at the end of this turn of the loop."""
        self.pump.soon_flush()

    def on_released(self) -> None:
        """Tell the peer about collected references soon; callable from any thread."""
        self.pump.flush_from_any_thread()

    def abort(self, error: Exception) -> None:
        """End the connection because of a fault of the peer; log one line, and read no more.

        Args:
            error: the fault; an exception that is not this library's is logged as a fault of the
                application. The limit of a PBConnectionLost is counted here; the session has
                counted those of other errors.
        """
        if self.disconnected or self._is_aborted:
            return
        if type(error) is PBConnectionLost and error.limit:
            self.session.stats.count(error.limit)
        is_told = log.closed(self, error)
        self.cut(error, str(error) if is_told else "internal error")

    def cut(self, error: Exception, text: str) -> None:
        """End the connection at once, without a line in the log; do nothing if it has ended.

        Args:
            error: the reason.
            text: the reason that is sent to the peer, if the dialect has a goodbye.
        """
        if self.disconnected or self._is_aborted or self.transport is None:
            return
        forget_frames(error)
        if self._fault is None:
            self._fault = error
        self.leave("error", text, at_once=True)

    def leave(self, code: str, text: str, *, at_once: bool = False) -> None:
        """Say goodbye, if the dialect has one, and close so that the peer can read it.

        Args:
            code: the code of the goodbye.
            text: the reason for the peer.
            at_once: do not send the pages that Pagers still have, and handle no more messages. If
                the dialect has no goodbye, or the peer has not read 64 KiB, cut the connection.
        """
        if self.disconnected or self._is_aborted:
            return
        port = self.port
        has_goodbye = Feature.GOODBYE in self.session.outbox.features
        if at_once:
            self._is_aborted = True
            self._say_goodbye(code, text)
            self.pump.stop()
            if has_goodbye and port.unsent <= LINGER_SIZE:
                port.leave(at_once=True)
            else:
                port.abortConnection()
        elif has_goodbye:
            if self._producers is not None:
                self._producers.stop(ServerDraining(text))
            self.when_paged(partial(self._say_goodbye, code, text))
            port.leave()
        else:
            port.loseConnection()

    def _say_goodbye(self, code: str, text: str) -> None:
        self.calls.is_open = False
        self.pump.flush_last(Goodbye(code, text[:LONGEST_TEXT]))

    def _say_draining(self, notice: Notice) -> None:
        self.session.outbox.say(Draining(round(notice.after * 1000), notice.elsewhere))
        self.flush()

    def drain(self, notice: Notice = NO_NOTICE) -> Deferred[None]:
        """Run no more calls of the peer; return a Deferred that fires when no call runs any more.

        The peer is told once a dialect is chosen, if the dialect has a message for that. It is told
        again if the notice has changed.

        Args:
            notice: when and where the peer may come again.
        """
        self.session.drain(notice.after, notice.elsewhere)
        if self._notice != notice:
            self._notice = notice
            self._say_draining(notice)
        if self._idle is None or self._idle.called:
            self._idle = Deferred()
        idle = self._idle
        self._tell_idle()
        return idle

    def _tell_idle(self) -> None:
        is_idle = self.disconnected or not self.session.running
        if self._idle is not None and is_idle and not self._idle.called:
            self._idle.callback(None)

    def _answered(self) -> None:
        self.soon_flush()
        if self.session.inbox.works or self.session.inbox.has_queued:
            self.pump.ask_for_turn()
        self._tell_idle()

    def _on_answered(self, event: CallAnswered) -> None:
        self._tell_idle()

    # The host of the session.

    def came_home(self, request_id: RequestId) -> None:
        """Make a call itself whose target is an object of this end."""
        self.calls.came_home(request_id)

    def refused(self, request_id: RequestId, failure: object) -> None:
        """Fail the Deferred of an outgoing call."""
        self.calls.refused(request_id, failure)

    @property
    def rows(self) -> Mapping[bytes, Row]:
        """The tag of failures, which every policy accepts."""
        return _FAILURE_ROW

    def make_reference(self, perspective: object, object_id: ObjectId) -> RemoteReference:
        """Return a new reference to an object of the peer."""
        # The import table, which calls this, has counted it.
        reference = RemoteReference(perspective, self, object_id, 0)
        reference.doRefCount = 1
        return reference

    def describe(
        self,
        name: str,
        wants_answer: bool,
        target: type | None,
        due: float | None = None,
        meta: Mapping[str, str] | None = None,
    ) -> Call:
        """Put the record of a call of the peer into the current contextvars, and return it."""
        peer = CURRENT_CALL.get().peer
        call = Call(peer, self.connection, name, True, wants_answer, target, due, meta)
        CURRENT_CALL.set(call)
        return call

    def make_stream(self, stream: IncomingStream) -> object:
        """Return the object by which the program reads a stream of the peer."""
        tell_stream(self.session, stream)
        return received_stream(self, stream)

    def shown_error(self, error: object) -> tuple[object, str | None]:
        """Return what the peer may see of an exception of this side."""
        tracebacks = bool(getattr(self.factory, "unsafeTracebacks", False))
        side = "client" if self.isClient else "server"
        dialect = self.session.dialect
        as_twisted = dialect is not None and dialect.has_twisted_errors
        is_brief = dialect is not None and not as_twisted
        return shown_error(
            error, self.policy, tracebacks, self._new_error_id, side, as_twisted, is_brief
        )

    def drop_fields(self, shown: object, fault: BaseException) -> bool:
        """Remove the fields of an error that cannot be sent; return whether it had fields."""
        return isinstance(shown, CopyableFailure) and shown.drop_fields(fault)

    def _new_error_id(self) -> str:
        return self.log_throttle.id_of_error(self.peer.address)

    def on_event(self, event: Event) -> None:
        """Handle an event of the session."""
        _EVENTS[type(event)](self, event)

    def _on_ready(self, event: Ready) -> None:
        self.calls.is_open = True
        self._use_lane()
        self.peer.certificate = self.port.peer_certificate
        self._watch_peer()
        if self._notice is not None:
            self._say_draining(self._notice)
        self.connectionReady()
        # Now, so that a login that has begun needs no timer of its own.
        self.setup_timeouts.done("offer")

    def _use_lane(self) -> None:
        session = self.session
        if self.calls.interception is not None:
            return
        if session.dialect is MSGPACK and not session.keeps_expressions:
            session.use_lane(self._new_lane)

    def _new_lane(self) -> Lane:
        return Lane(self.session, self.calls, self.policy.high_water)

    def _watch_peer(self) -> None:
        """Watch for a peer that is gone: by pings, or by TCP keepalive in a dialect without."""
        policy = self.policy
        silence, answer_time = policy.ping_after, policy.ping_timeout
        if Feature.PING in self.session.outbox.features:
            self._keepalive = Keepalive(
                self._scheduler, silence, answer_time, self, self.pump, self.session
            )
        else:
            self.port.watch_peer(silence, answer_time)

    @property
    def is_reading(self) -> bool:
        """Whether reading is on."""
        return self.pump.is_reading

    def allow(self, seconds: float) -> None:
        """Do not count ``seconds``, in which nothing was read, against the peer."""
        for watcher in (self._keepalive, self._message_timeout, self.setup_timeouts):
            if watcher is not None:
                watcher.allow(seconds)

    @property
    def pings(self) -> Pings | None:
        """The pings of this connection; None in a dialect without pings, and before it is chosen.

        Made when it is first needed.
        """
        if self._pings is None and Feature.PING in self.session.outbox.features:
            self._pings = Pings(self._scheduler.now, self._say_ping)
            self.session.on_pong = self._pings.answered
        return self._pings

    def keep_alive(self) -> None:
        """Ping the peer, if the dialect has pings, as a keepalive does."""
        if self.pings is not None:
            self.pings.keep_alive()

    def _say_ping(self, ping: Ping) -> None:
        self.session.outbox.say(ping)
        self.flush()

    def connectionReady(self) -> None:
        """Call the ``notifyOnConnect`` callbacks: the dialect is chosen (published)."""
        notifiers, self._connects = self._connects, None
        # Callbacks for a failure to connect are not needed any more; they would keep objects alive.
        self._failures = None
        for notifier in notifiers or ():
            log.call_and_log(self, notifier)
        if hasattr(self.factory, "clientConnectionMade"):
            self.factory.clientConnectionMade(self)

    def _on_pending(self, event: CallPending) -> None:
        self._methods().take(event.ticket, event.result)

    def _on_began(self, event: CallBegan) -> None:
        is_lost = bool(self.disconnected) and self.policy.cancel_on_disconnect
        self._methods().adopt(event.ticket, event.task, is_lost=is_lost)

    def _methods(self) -> RunningMethods:
        if self._running_methods is None:
            self._running_methods = RunningMethods(
                self.session, self._scheduler, self._answered, self.pump.resume
            )
        return self._running_methods

    def _on_stream(self, event: StreamOpened) -> None:
        if self._producers is None:
            self._producers = StreamProducers(
                self, self.session, self.pump, self.policy, self._scheduler
            )
        tell_stream(self.session, event.stream)
        self._producers.start(event.stream)

    def _on_cancelled(self, event: CallCancelled) -> None:
        if self._running_methods is not None:
            self._running_methods.cancel_call(event.ticket)

    def _on_peer_drains(self, event: PeerDrains) -> None:
        self.peer_drains(Notice(event.after / 1000, event.elsewhere))

    def peer_drains(self, notice: Notice) -> None:
        """Note that the peer takes no more calls: it has said so, or has refused one."""
        is_first = self.draining is None
        self.draining = notice
        self.calls.refuse(notice.after, notice.elsewhere)
        if is_first:
            log.peer_drains(self)
        waiters, self._drain_waiters = self._drain_waiters, None
        for waiter in waiters or ():
            log.call_and_log(self, waiter)

    def when_peer_drains(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` when the peer says that it drains; now if it has said so."""
        if self.draining is not None:
            callback()
            return
        self._drain_waiters = self._drain_waiters or []
        self._drain_waiters.append(callback)

    def _on_peer_leaves(self, event: PeerLeaves) -> None:
        log.peer_leaves(self, event)
        self.calls.is_open = False
        if self._fault is None:
            self._fault = (
                LoginExpired(event.text)
                if event.code == "expired"
                else PBConnectionLost(
                    f"the peer closed the connection: {event.text}", goodbye=event.code
                )
            )
        if not self.disconnected:
            self.port.loseConnection()

    def _on_raised(self, event: CallRaised) -> None:
        log.call_raised(self, event)

    def _on_misunderstood(self, event: Misunderstood) -> None:
        log.misunderstood(self, event.command)

    def handle_message(self, route: Route, name: str, args: Expression, kw: Expression) -> object:
        """Call a method with the peer's expressions, and return the expression of the result.

        The published ``…MessageReceived`` hooks do this unless they are overridden.
        """
        call, result = self.session.incoming.runner.run_hooked(route, name, args, kw)
        if not call.wants_answer:
            # The peer gets no answer, so nothing may be exported for it.
            result = _without_value(result)
        try:
            return self.serialize(result, route.perspective, name, call.args, call.kw)
        except EncodeError as error:
            name_result(error, name, result)
            raise


def _without_value(result: object) -> object:
    """Return None, or for an awaitable a Deferred that fires with None after it."""
    if getattr(type(result), "__await__", None) is None:
        return None
    return maybeDeferred(lambda: result).addCallback(lambda _: None)


def _read_failure(unjellier: Unjellier, expression: list[Expression]) -> CopiedFailure:
    state = unjellier.unjelly(expression[1]) if len(expression) == 2 else None
    return CopiedFailure.received(state, unjellier.invoker.policy)


_FAILURE_ROW: dict[bytes, Row] = {b"twisted.spread.pb.CopyableFailure": _read_failure}


def _load_table_view() -> type:
    """Load the class of received tables: most programs have none."""
    from broker.flavors.table_view import TableView

    return TableView


defaults.declared.loaders[b"broker.Table"] = _load_table_view

_EVENTS: dict[type, Callable[[Broker, Any], None]] = {
    Ready: Broker._on_ready,
    CallBegan: Broker._on_began,
    CallPending: Broker._on_pending,
    CallAnswered: Broker._on_answered,
    CallCancelled: Broker._on_cancelled,
    StreamOpened: Broker._on_stream,
    PeerDrains: Broker._on_peer_drains,
    PeerLeaves: Broker._on_peer_leaves,
    CallRaised: Broker._on_raised,
    Misunderstood: Broker._on_misunderstood,
}
