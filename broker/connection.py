"""A session on a transport: the one pump, and the handle that the asyncio face gives out for it.

Theory of operation. A Broker is a protocol object for any transport of Twisted's shape: ours, a
Twisted reactor's, or a test's. It feeds the session, pumps it, maps request ids to Deferreds and
sends what is due: one write for each turn of the loop, earlier when a batch grows long, at once
when nothing else is in flight. The published methods are doors onto session and translator.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from broker.core.dispatch import Route, call_method, checked_arguments, find_method
from broker.core.events import (
    Answered,
    CallPending,
    CallRaised,
    Event,
    Misunderstood,
    Ready,
    Refused,
)
from broker.core.messages import ObjectId, RequestId
from broker.core.policy import PUBLISHED, Policy
from broker.core.session import Session, Stats
from broker.defer import Deferred, fail, maybeDeferred
from broker.errors import (
    BananaError,
    DeadReferenceError,
    DecodeError,
    Error,
    NoSuchMethod,
    PBConnectionLost,
    ProtocolError,
)
from broker.failure import Failure
from broker.flavors.failures import CopiedFailure, CopyableFailure, shown_error
from broker.flavors.reference import RemoteReference
from broker.net.scheduler import Scheduler, scheduler_for
from broker.peer import CURRENT_CALL, Call, Peer
from broker.results import Results
from jelly.atoms import Expression
from jelly.limits import Limits
from jelly.registry import defaults
from jelly.security import Security
from jelly.unjellier import Row, Unjellier

__all__ = ["Broker", "Connection"]

logger = logging.getLogger("broker.connection")

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


class Broker:
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
        self._deferreds: dict[RequestId, Deferred[Any]] = {}
        self._on_connect: list[Callable[[], object]] = []
        self._on_disconnect: list[Callable[[], object]] = []
        self._on_fail: list[Callable[[], object]] = []
        self._timers: dict[str, Any] = {}
        self._due_later: list[tuple[str, float, str]] = []
        self._is_pumping = False
        self._has_flush = False
        self._has_pump = False
        self._fault: Exception | None = None
        self._idle: Deferred[None] | None = None
        self.pageProducers: list[Any] = []

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
        if hasattr(transport, "getPeer"):
            self.peer.address = transport.getPeer()
        if hasattr(transport, "on_drained"):
            transport.on_drained = self._on_drained
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
        self.session.receive(data)
        self.pump()

    def connectionLost(self, reason: Failure) -> None:
        """Fail what is pending and let everything go (published)."""
        if self.disconnected:
            return
        self.disconnected = 1
        for name in list(self._timers):
            self.expected(name)
        was_connected = self.session.dialect is not None
        self.reason = getattr(reason, "value", reason) if self._fault is None else self._fault
        self._fail_pending()
        translator = self.session.translator
        for entry in translator.published.clear():
            _guard(entry.stop)
        for cache in translator.held.clear():
            cache.broker = None
        if self._results is not None and self.policy.cancel_on_disconnect:
            self._results.cancel()
        notifiers = self._on_disconnect if was_connected else self._on_fail
        self._on_connect, self._on_disconnect, self._on_fail = [], [], []
        for notifier in notifiers:
            _guard(notifier)
        translator.exports.clear()
        translator.imports.clear()
        self._tell_idle()
        self.closed.callback(None)

    def _fail_pending(self) -> None:
        for request_id, may_have_run in self.session.end().items():
            deferred = self._deferreds.pop(request_id, None)
            if deferred is not None:
                deferred.errback(PBConnectionLost(self.reason, may_have_run=may_have_run))

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
        if more and not self._has_pump and not self.session.has_unstarted_tasks:
            self._has_pump = True
            self._scheduler.soon(self.pump)
        self._regulate()

    def flush(self) -> None:
        """Write what is due."""
        self._has_flush = False
        if self.disconnected or self.transport is None:
            return
        data = self.session.data_to_send()
        if data:
            self.transport.write(data)
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
        """Hold the peer's calls while it does not take our answers; stop reading at the cap."""
        unsent = getattr(self.transport, "unsent", 0)
        if unsent > self.policy.max_unsent:
            self.abort(PBConnectionLost(f"peer is not reading ({unsent} bytes unsent)"))
            return
        self.session.hold_calls(unsent > self.policy.high_water)
        if not self.session.wants_data and hasattr(self.transport, "pauseProducing"):
            self.transport.pauseProducing()

    def _on_drained(self) -> None:
        self.session.hold_calls(False)
        self.pump()
        if self.session.wants_data and not self.disconnected:
            self.transport.resumeProducing()

    def on_released(self) -> None:
        """Have the peer told of what was collected; from any thread."""
        if not self._has_flush and not self.disconnected:
            self._has_flush = True
            self._scheduler.soon_threadsafe(self.flush)

    def abort(self, error: Exception) -> None:
        """End the connection for a fault of the peer's: one log line, and no more is read."""
        if self.disconnected or self._fault is not None:
            return
        self._fault = error
        logger.warning("closed %s: %s", self.peer.address, str(error)[:300])
        getattr(self.transport, "abortConnection", self.transport.loseConnection)()

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
        self.session.is_draining = True
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
        self.connectionReady()

    def connectionReady(self) -> None:
        """The dialect is chosen; tell everyone who waits for that (published)."""
        notifiers, self._on_connect = self._on_connect, []
        for notifier in notifiers:
            _guard(notifier)
        if hasattr(self.factory, "clientConnectionMade"):
            self.factory.clientConnectionMade(self)

    def _on_answered(self, event: Answered) -> None:
        deferred = self._deferreds.pop(event.request_id, None)
        if deferred is not None:
            deferred.callback(event.value)

    def _on_refused(self, event: Refused) -> None:
        deferred = self._deferreds.pop(event.request_id, None)
        if deferred is not None:
            error = event.failure
            is_failure = isinstance(error, BaseException)
            deferred.errback(error if is_failure else Failure(Error(error)))

    def _on_pending(self, event: CallPending) -> None:
        if self._results is not None:
            self._results.take(event.ticket, event.result)

    def _on_raised(self, event: CallRaised) -> None:
        failure = Failure.of(event.error)
        error = failure.value
        name = event.name[:64]
        if isinstance(error, NoSuchMethod) and event.name == "mechanisms":
            # Clients of ours ask this before they log in; where there is no login, the next is
            # logged.
            logger.debug("%s asks for a login, and there is none", self.peer.address)
        elif _is_peers_fault(failure):
            kind = type(error).__name__
            logger.warning("%s: %s: %s", self.peer.address, kind, str(error)[:200])
        elif isinstance(failure, CopiedFailure | CopyableFailure) or isinstance(error, Error):
            logger.debug("remote method '%s' refused: %s", name, failure.type)
        else:
            suffix = f" (id {event.error_id})" if event.error_id else ""
            exc_info = (
                (type(error), error, failure.tb) if isinstance(error, BaseException) else None
            )
            logger.error("remote method '%s' raised%s", name, suffix, exc_info=exc_info)

    def _on_misunderstood(self, event: Misunderstood) -> None:
        logger.warning("%s did not understand '%s'", self.peer.address, event.command)

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
        """Call a method of the peer's; return a Deferred, or None with ``pbanswer=False``."""
        wants_answer = bool(kw.pop("pbanswer", True))
        if self.disconnected or self.session.dialect is None or self._fault is not None:
            raise DeadReferenceError("the connection of this reference has ended")
        text = name.decode("utf-8") if isinstance(name, bytes) else name
        try:
            request_id = self.session.call(
                command, object_id, text, args, kw,
                perspective=perspective, wants_answer=wants_answer,
            )  # fmt: skip
        except Exception:  # noqa: BLE001 - what cannot be sent fails the call, not the caller
            return fail(Failure()) if wants_answer else _log_unsent(text)
        if not wants_answer:
            self.soon_flush()
            return None
        deferred: Deferred[Any] = Deferred(partial(self._abandon, request_id))
        self._deferreds[request_id] = deferred
        self.soon_flush()
        return deferred

    def send_one_way(
        self, perspective: Any, object_id: ObjectId, name: str, args: Any, kw: dict[str, Any]
    ) -> None:
        """Call a method that sends no answer.

        Raises:
            DeadReferenceError, EncodeError: it was not sent.
        """
        if self.disconnected or self.session.dialect is None or self._fault is not None:
            raise DeadReferenceError("the connection of this reference has ended")
        self.session.call(
            b"message", object_id, name, args, kw, perspective=perspective, wants_answer=False
        )
        self.soon_flush()

    def _abandon(self, request_id: RequestId, deferred: Deferred[Any]) -> None:
        self._deferreds.pop(request_id, None)
        self.session.abandon(request_id)

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

    # Published doors.

    def serialize(
        self,
        object: Any,
        perspective: Any = None,
        method: Any = None,
        args: Any = None,
        kw: Any = None,
    ) -> Any:
        """Return the expression of a graph, or a Deferred of it for a Deferred (published)."""
        if getattr(type(object), "__await__", None) is not None:
            return maybeDeferred(lambda: object).addCallback(
                self.serialize, perspective, method, args, kw
            )
        translator = self.session.translator
        scope = translator.open(perspective, method, args, kw)
        try:
            expression = translator.jelly(object)
        except BaseException:
            translator.close(scope)
            scope.roll_back()
            raise
        translator.close(scope)
        return expression

    def unserialize(self, sexp: Expression, perspective: Any = None) -> Any:
        """Return the graph of an expression of the peer's (published)."""
        return self.session.translator.unjelly(sexp, perspective)

    @property
    def serializingPerspective(self) -> Any:
        """Through whose eyes the message that is being made will be seen (published)."""
        scope = self.session.translator.scope
        return None if scope is None else scope.perspective

    @property
    def unserializingPerspective(self) -> Any:
        """Through whose eyes the message that came in is seen (published)."""
        return self.session.translator.perspective

    def registerReference(self, object: Any) -> ObjectId:
        """Count one sending of an object, and return its id (published)."""
        return self.session.translator.export(object, object.processUniqueID())

    def setNameForLocal(self, name: str | bytes, object: Any) -> None:
        """Let the peer call an object by a name (published)."""
        key = name.encode("utf-8") if isinstance(name, str) else name
        self.session.translator.exports.name(key, object)

    def remoteForName(self, name: str | bytes) -> RemoteReference:
        """Return a reference to what the peer has named so, if it has (published)."""
        key = name.encode("utf-8") if isinstance(name, str) else name
        return RemoteReference(None, self, key, 0)

    def localObjectForID(self, luid: ObjectId | str) -> Any:
        """Return the object that the peer knows by an id or a name, or None (published)."""
        key = luid.encode("utf-8") if isinstance(luid, str) else luid
        entry = self.session.translator.exports.get(key)
        return None if entry is None else entry.value

    def when_released(self, object: Any, callback: Callable[[], None]) -> None:
        """Have ``callback()`` called when the peer drops an object that is sent to it."""
        self.session.translator.exports.when_released(object.processUniqueID(), callback)

    def publish_cache(self, instance: Any) -> tuple[int, bool]:
        """Count one sending of a Cacheable; return its id, and whether its state must go along."""
        return self.session.translator.publish(instance, instance.processUniqueID())

    def note_observer(self, cache_id: int, observer: Any) -> None:
        """Note whom ``stoppedObserving`` is due for."""
        self.session.translator.observe(cache_id, observer)

    def cachedRemotelyAs(self, instance: Any, incref: int = 0) -> int | None:
        """Return the id by which the peer holds a Cacheable, or None (published)."""
        cache_id = self.session.translator.published.id_of(instance.processUniqueID())
        if cache_id is not None and incref:
            self.publish_cache(instance)
        return cache_id

    def cacheLocally(self, cid: int, instance: Any) -> None:
        """Hold a cache whose state is on its way (published)."""
        self.session.translator.held.add(cid, instance)

    def refresh_cache(self, cache_id: int, instance: Any) -> None:
        """Follow a cache whose attributes were replaced as a whole."""
        self.session.translator.held.refresh(cache_id, instance)

    def cachedLocallyAs(self, cid: int) -> Any:
        """Return the cache that is held under an id (published)."""
        return self.session.translator.held.observer_of(cid)

    def sendCall(self, *exp: Expression) -> None:
        """Send one message as it stands (published)."""
        self.session.send_expression(list(exp))
        self.soon_flush()

    def registerPageProducer(self, pager: Any) -> None:
        """Send the pages of a Pager whenever the transport has room (published)."""
        self.pageProducers.append(pager)
        if len(self.pageProducers) == 1:
            self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """The transport has room: send a page of each Pager (published)."""
        for pager in list(self.pageProducers):
            pager.sendNextPage()
            if not pager.stillPaging():
                self.pageProducers.remove(pager)
        self.flush()
        if not self.pageProducers:
            self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        """The transport has no room; pages are sent only when it asks for them (published)."""

    def stopProducing(self) -> None:
        """The connection is gone, and with it all paging (published)."""
        self.pageProducers.clear()

    def notifyOnDisconnect(self, notifier: Callable[[], object]) -> None:
        """Have ``notifier()`` called when the connection has ended (published)."""
        self._on_disconnect.append(_callable(notifier))

    def dontNotifyOnDisconnect(self, notifier: Callable[[], object]) -> None:
        """Take one ``notifyOnDisconnect`` back (published)."""
        if notifier in self._on_disconnect:
            self._on_disconnect.remove(notifier)

    def notifyOnConnect(self, notifier: Callable[[], object]) -> None:
        """Have ``notifier()`` called when calls can be made; now, if they can (published)."""
        if self.session.dialect is not None:
            _guard(_callable(notifier))
        else:
            self._on_connect.append(_callable(notifier))

    def notifyOnFail(self, notifier: Callable[[], object]) -> None:
        """Have ``notifier()`` called when it ends before calls could be made (published)."""
        self._on_fail.append(_callable(notifier))


class Connection:
    """A handle on one connection; all that it says is the Broker's.

    Attributes:
        broker: the pump, with the published names.
    """

    __slots__ = ("broker",)

    def __init__(self, broker: Broker):
        self.broker = broker

    @property
    def root(self) -> RemoteReference:
        """The object that a server without login serves.

        Raises:
            AttributeError: this connection has logged in; use ``avatar``.
        """
        if self.broker.avatar is not None:
            raise AttributeError("this server has a login: use connection.avatar")
        return self.broker.remoteForName(b"root")

    @property
    def avatar(self) -> RemoteReference:
        """The perspective that the login yielded.

        Raises:
            AttributeError: there was no login; use ``root``.
        """
        if self.broker.avatar is None:
            raise AttributeError("there was no login: use connection.root, or pass credentials")
        return self.broker.avatar  # type: ignore[no-any-return]

    @property
    def peer(self) -> Peer:
        """Who is at the other end."""
        return self.broker.peer

    @property
    def dialect(self) -> str:
        """What is spoken: ``"pb"`` or ``"none"``; empty until that is agreed on."""
        return self.broker.dialect

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return bool(self.broker.disconnected)

    @property
    def stats(self) -> Stats:
        """What has been sent and received, and which limits were hit."""
        return self.broker.session.stats

    async def close(self) -> None:
        """Close once what was written has left, and wait for it; calls without an answer fail."""
        self.broker.flush()
        if not self.is_closed:
            self.broker.transport.loseConnection()
        await self.wait_closed()

    async def wait_closed(self) -> None:
        """Wait until the connection has ended, whoever ends it."""
        await self.broker.closed


def _callable(notifier: Callable[[], object]) -> Callable[[], object]:
    if not callable(notifier):
        raise TypeError("a notifier is a callable without arguments")
    return notifier


def _guard(function: Callable[[], object]) -> None:
    """Call the application's function; what it raises is logged, and ends nothing."""
    try:
        function()
    except Exception:
        logger.exception("a callback of the application raised")


def _log_unsent(name: str) -> None:
    logger.exception("call of '%s' without answer was not sent", name)


def _is_peers_fault(failure: Failure) -> bool:
    error = failure.value
    if isinstance(error, DecodeError | BananaError):
        return True
    if isinstance(error, Error):
        # Registered or not, the application raised it on purpose.
        return False
    return bool(failure.parents) and failure.parents[0] in defaults.declared.errors


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
    CallRaised: Broker._on_raised,
    Misunderstood: Broker._on_misunderstood,
}
