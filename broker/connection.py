"""A session on a transport: the one pump, and the handle that the asyncio face gives out for it.

Theory of operation. A Broker is a protocol object for any transport of Twisted's shape: ours, a
Twisted reactor's, or a test's. It feeds the session, pumps it, maps request ids to Deferreds and
sends what is due: one write for each turn of the loop, earlier when a batch grows long, at once
when nothing else is in flight. The published methods are doors onto session and translator.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from broker import journal
from broker.calls import Calls
from broker.core.dispatch import Route, call_method, checked_arguments, find_method
from broker.core.events import (
    Answered,
    CallCancelled,
    CallPending,
    CallRaised,
    Event,
    Misunderstood,
    PeerLeaves,
    Ready,
    Refused,
)
from broker.core.messages import ObjectId
from broker.core.policy import PUBLISHED, Policy
from broker.core.session import Session
from broker.defer import Deferred
from broker.doors import Doors
from broker.errors import (
    DeadReferenceError,
    PBConnectionLost,
    ProtocolError,
)
from broker.failure import Failure
from broker.flavors.failures import CopiedFailure, shown_error
from broker.flavors.reference import RemoteReference
from broker.handle import Connection
from broker.keepalive import Keepalive
from broker.net.backlog import TwistedBacklog
from broker.net.scheduler import Scheduler, TwistedScheduler, scheduler_for
from broker.patience import Patience
from broker.peer import CURRENT_CALL, Call, Peer
from broker.results import Results
from broker.timeouts import DEADLINE
from jelly.atoms import Expression
from jelly.limits import Limits
from jelly.registry import defaults
from jelly.security import Security
from jelly.unjellier import Row, Unjellier

__all__ = ["Broker", "Connection"]

# Messages that wait for the end of the turn; beyond that the batch goes out, so that the peer can
# begin on it while the rest is made.
_BATCH = 32


def published_policy(security: Security | None = None, unsafe_tracebacks: bool = False) -> Policy:
    """Return the policy of the published names, with the module-level settings as they are now."""
    return PUBLISHED.but(
        security=defaults.security if security is None else security,
        unsafe_tracebacks=bool(unsafe_tracebacks),
        max_refs=defaults.max_broker_refs,
        limits=Limits(
            max_prefix=defaults.prefix_limit,
            max_string=defaults.size_limit,
            max_list=defaults.size_limit,
        ),
    )


class Broker(Doors):
    """One side of one connection (published).

    Args:
        isClient: which side; a server makes the offer of dialects.
        security: types that may come in besides the registered ones.
        policy: everything that is allowed; the published policy with ``security`` unless given.

    Attributes:
        transport, factory: as published, set by whoever made the connection.
        disconnected: 1 once the connection is gone.
        peer: who is at the other end.
        policy: as given.
        closed: a Deferred that fires when the connection has ended.
        reason: what ended it, an exception; None while it lasts.
        avatar: the reference that a login yielded, or None.
    """

    version = 6
    username = None
    factory: Any = None
    transport: Any = None

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
        self.disconnected = 0
        self.peer = Peer()
        self.closed: Deferred[None] = Deferred()
        self.reason: Any = None
        self.avatar: Any = None
        self.session = Session(self, self.policy, is_client=bool(isClient))
        self.connection = Connection(self)
        self.session.context.run(CURRENT_CALL.set, Call(self.peer, self.connection))
        self._scheduler: Scheduler = scheduler_for(None)
        self._results: Results | None = None
        self._calls = Calls(self.session, self.soon_flush)
        self._timers: dict[str, Any] = {}
        self._due_later: list[tuple[str, float, str]] = []
        self._is_pumping = False
        self._has_flush = False
        self._has_pump = False
        self._is_reading = True
        self._keepalive: Keepalive | None = None
        self._patience: Patience | None = None
        self._fault: Exception | None = None
        self._idle: Deferred[None] | None = None
        self.prepare_doors()

    def __repr__(self) -> str:
        state = "closed" if self.disconnected else self.dialect or "connecting"
        return f"<Broker to {self.peer.address} ({state})>"

    @property
    def dialect(self) -> str:
        """The name of the dialect, empty until one is agreed on."""
        dialect = self.session.dialect
        return "" if dialect is None else dialect.name.decode("ascii")

    # The transport's side.

    def makeConnection(self, transport: Any) -> None:
        """Begin on a transport of Twisted's shape (published)."""
        self.transport = transport
        self._scheduler = scheduler_for(transport)
        self._results = Results(self.session, self._scheduler, self._answered, self.pump)
        self._patience = Patience(
            self._scheduler,
            self.policy,
            self._unsent,
            lambda: self.session.stats.bytes_sent,
            self.abort,
        )
        if hasattr(transport, "getPeer"):
            self.peer.address = transport.getPeer()
        if hasattr(transport, "on_drained"):
            transport.on_drained = self._on_drained
        elif isinstance(self._scheduler, TwistedScheduler):
            self.backlog = TwistedBacklog(transport, self._scheduler, self._on_drained)
        self.connectionMade()

    def connectionMade(self) -> None:
        """Make the offer, or wait for it (published)."""
        seconds = self.policy.offer_timeout
        text = "no Perspective Broker offer in {:g} s; is this a TLS port?"
        if not self.isClient:
            text = "no choice of a dialect in {:g} s"
        self.expect("offer", seconds, text.format(seconds))
        for due in self._due_later:
            self.expect(*due)
        self.session.start()
        self.flush()

    def dataReceived(self, data: bytes) -> None:
        """Take in bytes and handle what they say (published)."""
        if self._keepalive is not None:
            self._keepalive.heard()
        self.session.receive(data)
        self.pump()

    def connectionLost(self, reason: Failure) -> None:
        """Fail what is pending and let everything go (published)."""
        if self.disconnected:
            return
        self.disconnected = 1
        for name in list(self._timers):
            self.expected(name)
        for watcher in (self._keepalive, self._patience):
            if watcher is not None:
                watcher.stop()
        was_connected = self.session.dialect is not None
        self.reason = getattr(reason, "value", reason) if self._fault is None else self._fault
        self._calls.lost(self.session.end(), self.reason)
        translator = self.session.translator
        for entry in translator.published.clear():
            journal.guard(entry.stop)
        for cache in translator.held.clear():
            # Guarded: its class may have a ``__setattr__`` of its own.
            journal.guard(partial(setattr, cache, "broker", None))
        if self._results is not None and self.policy.cancel_on_disconnect:
            self._results.cancel()
        notifiers = self._on_disconnect if was_connected else self._on_fail
        self._on_connect, self._on_disconnect, self._on_fail = [], [], []
        for notifier in notifiers:
            journal.guard(notifier)
        translator.exports.clear()
        translator.imports.clear()
        self._tell_idle()
        self.closed.callback(None)

    # Pumping and sending.

    def pump(self) -> None:
        """Handle what has come in, a slice at a time; the next slice in the next turn."""
        self._has_pump = False
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            more = self.session.pump(self.policy.turn_messages)
        except ProtocolError as error:
            self.abort(error)
            return
        finally:
            self._is_pumping = False
        self.flush()
        if more and not self.session.has_unstarted_tasks:
            self._soon_pump()
        self._regulate()

    def _soon_pump(self) -> None:
        if not self._has_pump and not self.disconnected:
            self._has_pump = True
            self._scheduler.soon(self.pump)

    def flush(self) -> None:
        """Write what is due."""
        self._has_flush = False
        if self.disconnected or self.transport is None:
            return
        data = self.session.data_to_send()
        if data:
            (self.backlog or self.transport).write(data)
            self._regulate()

    def soon_flush(self) -> None:
        """Write what is due, now or at the end of this turn of the loop."""
        session = self.session
        if self._is_pumping or session.translator.scope is not None:
            return
        if session.queued >= _BATCH or (session.waiting <= 1 and session.queued == 1):
            self.flush()
        elif not self._has_flush:
            self._has_flush = True
            self._scheduler.soon(self.flush)

    def _regulate(self) -> None:
        """Hold the peer's calls while it does not take our answers; stop reading at the cap.

        Where calls that wait fill their cap, they are made all the same, for as much as the answers
        may take: else two ends with more to say than the caps hold would wait for each other.
        """
        session, policy = self.session, self.policy
        is_full = self._unsent() > policy.high_water
        if not is_full:
            session.forget_answered()
        elif self._patience is not None:
            self._patience.watch()
        is_held = is_full and (session.wants_data or session.answered > policy.max_unsent)
        session.hold_calls(is_held)
        if is_full and not is_held:
            self._soon_pump()
        wants_data = session.wants_data
        if wants_data is self._is_reading or self.disconnected:
            return
        self._is_reading = wants_data
        if hasattr(self.transport, "pauseProducing"):
            (self.transport.resumeProducing if wants_data else self.transport.pauseProducing)()

    def _unsent(self) -> int:
        return getattr(self.backlog or self.transport, "unsent", 0)

    def _on_drained(self) -> None:
        self.session.hold_calls(False)
        self.pump()

    def on_released(self) -> None:
        """Have the peer told of what was collected; from any thread."""
        if not self._has_flush and not self.disconnected:
            self._has_flush = True
            # A loop that is closed tells nobody anything any more.
            with contextlib.suppress(RuntimeError):
                self._scheduler.soon_threadsafe(self.flush)

    def abort(self, error: Exception) -> None:
        """End the connection for a fault of the peer's: one log line, and no more is read."""
        if self.disconnected or self._fault is not None:
            return
        self._fault = error
        journal.closed(self.peer.address, error)
        self.say_goodbye("error", str(error))
        getattr(self.transport, "abortConnection", self.transport.loseConnection)()

    def say_goodbye(self, code: str, text: str) -> None:
        """Tell the peer why the connection is about to end, where the dialect can."""
        self.session.say_goodbye(code, text)
        self.flush()

    def expect(self, name: str, seconds: float, text: str) -> None:
        """End the connection with ``text`` unless ``expected(name)`` comes in time."""
        self._timers[name] = self._scheduler.later(
            seconds, lambda: self.abort(PBConnectionLost(text))
        )

    def expect_when_connected(self, name: str, seconds: float, text: str) -> None:
        """Do as ``expect``, from when there is a transport."""
        self._due_later.append((name, seconds, text))

    def expected(self, name: str) -> None:
        """What ``expect`` was waiting for has come, or does not matter any more."""
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def drain(self) -> Deferred[None]:
        """Run no further call of the peer's; return a Deferred that fires when none is left."""
        self.session.drain()
        self._idle = Deferred()
        self._tell_idle()
        return self._idle

    def _tell_idle(self) -> None:
        is_idle = self.disconnected or not self.session.running
        if self._idle is not None and is_idle and not self._idle.called:
            self._idle.callback(None)

    def _answered(self) -> None:
        self.soon_flush()
        self._tell_idle()

    # Events of the session.

    @property
    def rows(self) -> Mapping[bytes, Row]:
        """The tag of failures, which every policy accepts."""
        return _FAILURE_ROW

    def make_reference(self, perspective: Any, object_id: ObjectId) -> RemoteReference:
        """Return a new reference to an object of the peer's."""
        return RemoteReference(perspective, self, object_id)

    def shown_error(self, error: Any) -> tuple[Any, str | None]:
        """Return what the peer gets to see of an exception of ours."""
        tracebacks = bool(getattr(self.factory, "unsafeTracebacks", False))
        return shown_error(error, self.policy, tracebacks)

    def on_event(self, event: Event) -> None:
        """Take an event of the session's."""
        _EVENTS[type(event)](self, event)

    def _on_ready(self, event: Ready) -> None:
        self.expected("offer")
        self.peer.certificate = getattr(self.transport, "peer_certificate", None)
        self._watch_peer()
        self.connectionReady()

    def _watch_peer(self) -> None:
        """Notice a peer that is gone: by pings, or by TCP where the dialect has none."""
        policy = self.policy
        silence, patience = policy.ping_after, policy.ping_timeout
        if self.session.can_ping:
            self._keepalive = Keepalive(self._scheduler, silence, patience, self._ping, self.abort)
        elif hasattr(self.transport, "watch_peer"):
            self.transport.watch_peer(silence, patience)

    def _ping(self) -> None:
        self.session.ping(0)
        self.flush()

    def connectionReady(self) -> None:
        """The dialect is chosen; tell everyone who waits for that (published)."""
        notifiers, self._on_connect = self._on_connect, []
        for notifier in notifiers:
            journal.guard(notifier)
        if hasattr(self.factory, "clientConnectionMade"):
            self.factory.clientConnectionMade(self)

    def _on_answered(self, event: Answered) -> None:
        self._calls.answered(event.request_id, event.value)

    def _on_refused(self, event: Refused) -> None:
        self._calls.refused(event.request_id, event.failure)

    def _on_pending(self, event: CallPending) -> None:
        if self._results is not None:
            self._results.take(event.ticket, event.result)

    def _on_cancelled(self, event: CallCancelled) -> None:
        if self._results is not None:
            self._results.cancel_call(event.ticket)

    def _on_peer_leaves(self, event: PeerLeaves) -> None:
        journal.peer_leaves(self.peer.address, event)
        if self._fault is None:
            self._fault = PBConnectionLost(f"the peer closed the connection: {event.text}")

    def _on_raised(self, event: CallRaised) -> None:
        journal.call_raised(self.peer.address, event)

    def _on_misunderstood(self, event: Misunderstood) -> None:
        journal.misunderstood(self.peer.address, event.command)

    # Calls.

    def send_message(
        self,
        command: bytes,
        perspective: Any,
        object_id: ObjectId,
        name: str | bytes,
        args: tuple[Any, ...],
        kw: dict[str, Any],
    ) -> Any:
        """Call a method of the peer's; return a Deferred, or None with ``pbanswer=False``.

        Raises:
            DeadReferenceError: the connection has ended.
        """
        self._require_open()
        wants_answer = bool(kw.pop("pbanswer", True))
        text = name.decode("utf-8") if isinstance(name, bytes) else name
        ends = DEADLINE.get()
        # Rounded up: the caller's own clock is to strike first.
        deadline = None if ends is None else max(0, int((ends - self._scheduler.now()) * 1000) + 1)
        asked = self._calls.ask(
            command, perspective, object_id, text, args, kw, wants_answer, deadline
        )
        self.soon_flush()
        return asked

    def send_one_way(
        self, perspective: Any, object_id: ObjectId, name: str, args: Any, kw: dict[str, Any]
    ) -> None:
        """Call a method that sends no answer.

        Raises:
            DeadReferenceError, EncodeError: it was not sent.
        """
        self._require_open()
        self.session.call(
            b"message", object_id, name, args, kw, perspective=perspective, wants_answer=False
        )
        self.soon_flush()

    def _require_open(self) -> None:
        if self.disconnected or self.session.dialect is None or self._fault is not None:
            raise DeadReferenceError("the connection of this reference has ended")

    def handle_message(self, route: Route, name: str, args: Expression, kw: Expression) -> Any:
        """Call a method with a peer's expressions, and return the expression of the result.

        This is what the published ``…MessageReceived`` hooks do unless overridden.
        """
        method = find_method(route, name, self.policy.dynamic_methods)
        values = self.unserialize(args, route.perspective)
        keywords = self.unserialize(kw, route.perspective)
        values, keywords = checked_arguments(values, keywords)
        result = call_method(method, name, route.leading + values, keywords)
        return self.serialize(result, route.perspective, name, values, keywords)


def _read_failure(unjellier: Unjellier, expression: list[Any]) -> CopiedFailure:
    copied = CopiedFailure.__new__(CopiedFailure)
    copied.setCopyableState(unjellier.unjelly(expression[1]) if len(expression) == 2 else None)
    return copied


_FAILURE_ROW: dict[bytes, Row] = {b"twisted.spread.pb.CopyableFailure": _read_failure}

_EVENTS: dict[type, Callable[[Broker, Any], None]] = {
    Ready: Broker._on_ready,
    Answered: Broker._on_answered,
    Refused: Broker._on_refused,
    CallPending: Broker._on_pending,
    CallCancelled: Broker._on_cancelled,
    PeerLeaves: Broker._on_peer_leaves,
    CallRaised: Broker._on_raised,
    Misunderstood: Broker._on_misunderstood,
}
