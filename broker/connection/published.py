"""The published methods of a Broker, each of a few lines, which call its session and tables.

A subclass may override any of them. Its overrides are looked up once, when the class is made. The
session then calls these, and only these, instead of doing the work itself.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, ClassVar

from broker.connection import log
from broker.connection.local_tables import LocalCleanup, LocalIds, LocalObjects
from broker.connection.peer import Peer
from broker.connection.pending_calls import PendingCalls
from broker.core.host import Identified, PageProducer, ReceivedReference
from broker.core.objects.caches import CacheObserver, Observed, ReceivedCache
from broker.core.policy import Policy
from broker.core.principal import Principal, view_of
from broker.core.session import Session
from broker.core.wire import messages
from broker.core.wire.commands import COMMANDS
from broker.core.wire.expressions import parse
from broker.core.wire.messages import ObjectId
from broker.defer import Deferred, maybeDeferred
from broker.errors import DeadReferenceError
from broker.flavors.reference import RemoteReference
from broker.net.log_throttle import LogThrottle
from broker.net.transport_port import TransportPort
from jelly.atoms import Expression
from jelly.errors import ProtocolError
from jelly.unjellier import Unjellier

if TYPE_CHECKING:
    from broker.connection.pump import Pump
    from broker.core.calls.dispatch import Route

__all__ = ["PublishedBroker"]


class PublishedBroker:
    """The published methods of `broker.connection.broker.Broker`, its only subclass here.

    Attributes:
        session: the session that the methods call.
        port: the transport, as the connection uses it; not before there is a transport.
        overridden: of the class: the published methods that a subclass has overridden.
        missing, refusals_told: see `broker.connection.log.Logged`.
    """

    session: Session
    policy: Policy
    calls: PendingCalls
    pump: Pump
    transport: Any
    factory: Any
    disconnected: int
    closed: Deferred[None]
    peer: Peer
    port: TransportPort
    missing: set[tuple[type, str]] | None = None
    refusals_told: float | None = None
    reason: Any = None
    # Lists that are made when they are first needed; most connections need one of them.
    _page_producers: list[PageProducer] | None = None
    _connects: list[Callable[[], object]] | None = None
    _disconnects: list[Callable[[], object]] | None = None
    _failures: list[Callable[[], object]] | None = None
    _paged: Callable[[], object] | None = None
    overridden: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.overridden = frozenset(
            name for name in _HOOKS if getattr(cls, name) is not getattr(PublishedBroker, name)
        )

    @property
    def pageProducers(self) -> list[PageProducer]:
        """The Pagers that are sending (published)."""
        if self._page_producers is None:
            self._page_producers = []
        return self._page_producers

    @property
    def connects(self) -> list[Callable[[], object]]:
        """The callbacks of ``notifyOnConnect`` (published)."""
        if self._connects is None:
            self._connects = []
        return self._connects

    @property
    def disconnects(self) -> list[Callable[[], object]]:
        """The callbacks of ``notifyOnDisconnect`` (published)."""
        if self._disconnects is None:
            self._disconnects = []
        return self._disconnects

    @property
    def failures(self) -> list[Callable[[], object]]:
        """The callbacks of ``notifyOnFail`` (published)."""
        if self._failures is None:
            self._failures = []
        return self._failures

    @property
    def log_throttle(self) -> LogThrottle:
        """Limits the log records that this connection causes."""
        raise NotImplementedError

    @property
    def now(self) -> float:
        """The time by the clock of this connection, in seconds."""
        raise NotImplementedError

    def soon_flush(self) -> None:
        """Write the bytes that wait to be sent, now or at the end of this turn of the loop."""
        raise NotImplementedError

    def flush(self) -> None:
        """Write the bytes that wait to be sent."""
        raise NotImplementedError

    def abort(self, error: Exception) -> None:
        """End the connection because of a fault of the peer."""
        raise NotImplementedError

    def handle_message(self, route: Route, name: str, args: Expression, kw: Expression) -> object:
        """Call a method with the peer's expressions, and return the expression of the result."""
        raise NotImplementedError

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
            # The value is serialized in the context of this call, in whatever context the Deferred
            # fires.
            run = copy_context().run
            return maybeDeferred(lambda: object).addCallback(
                lambda value: run(self.serialize, value, perspective, method, args, kw)
            )
        return self.session.outbox.serialize(object, perspective, method, args, kw)

    def unserialize(self, sexp: Expression, perspective: Any = None) -> Any:
        """Return the graph of an expression that the peer sent (published)."""
        return self.session.translator.unjelly(sexp, perspective)

    @property
    def serializingPerspective(self) -> Any:
        """The perspective of the message that is being serialized (published)."""
        transaction = self.session.translator.transaction
        return None if transaction is None else transaction.perspective

    @property
    def serializing_view(self) -> object:
        """``serializingPerspective`` with the owner of the message; see `broker.core.principal`."""
        return view_of(self.serializingPerspective, self.session.translator.principal)

    @property
    def unserializingPerspective(self) -> Any:
        """The perspective of the message that is being decoded (published)."""
        return self.session.translator.perspective

    @property
    def localObjects(self) -> LocalObjects | None:
        """The objects that the peer can call, by id or name; None after the end (published)."""
        return None if self.closed.called else LocalObjects(self.session.translator.exports)

    @property
    def luids(self) -> LocalIds | None:
        """The ids of sent objects, by ``processUniqueID()``; None after the end (published)."""
        return None if self.disconnected else LocalIds(self.session.translator.exports)

    @property
    def _localCleanup(self) -> LocalCleanup:
        # It has an underscore, but programs with portals of their own write to it.
        return LocalCleanup(self.session.translator)

    def registerReference(self, object: Identified) -> ObjectId:
        """Count one sending of an object, and return its id (published)."""
        return self.session.translator.export(object, object.processUniqueID())

    def setNameForLocal(self, name: str | bytes, object: object) -> None:
        """Let the peer call an object by a name (published)."""
        key = name.encode("utf-8") if isinstance(name, str) else name
        self.session.translator.exports.name(key, object)

    def remoteForName(self, name: str | bytes) -> RemoteReference:
        """Return a reference to the peer's object of that name, if there is one (published)."""
        key = name.encode("utf-8") if isinstance(name, str) else name
        return RemoteReference(None, self, key, 0)

    def receive_reference(self, reference: ReceivedReference) -> None:
        """Count one reception for a reference that the application makes from data of the peer.

        Like all received references, it belongs to the principal of the current call.

        Raises:
            MalformedJelly: its ``luid`` is not an id that a peer can send.
            LimitExceeded: too many references are alive here already.
        """
        translator = self.session.translator
        translator.adopt(reference, reference.luid)
        reference.view = view_of(reference.perspective, translator.receiver)

    def note_read(self, unjellier: Unjellier, expression: list[Expression]) -> None:
        """Note that the reference of an expression has been received."""
        self.session.translator.note_read(unjellier, expression)

    def localObjectForID(self, luid: ObjectId | str) -> Any:
        """Return the object that the peer knows by an id or a name, or None (published)."""
        key = luid.encode("utf-8") if isinstance(luid, str) else luid
        entry = self.session.translator.exports.get(key)
        return None if entry is None else entry.value

    def publish_cache(self, instance: Observed) -> tuple[int, bool]:
        """Count one sending of a Cacheable; return its id, and whether to send its state."""
        return self.session.translator.publish(instance, instance.processUniqueID())

    def note_observer(self, cache_id: int, observer: CacheObserver) -> None:
        """Note the observer that ``stoppedObserving`` will be called for."""
        self.session.translator.observe(cache_id, observer)

    def cachedRemotelyAs(self, instance: Observed, incref: int = 0) -> int | None:
        """Return the id by which the peer holds a Cacheable, or None (published)."""
        cache_id = self.cache_id_of(instance, self.session.translator.principal)
        if cache_id is not None and incref:
            self.publish_cache(instance)
        return cache_id

    def cache_id_of(self, instance: Identified, principal: Principal | None) -> int | None:
        """Return the id by which the peer holds a Cacheable that a principal has sent, or None."""
        published = self.session.translator.cacheables
        return published.id_of(instance.processUniqueID(), principal)

    def cacheLocally(self, cid: int, instance: ReceivedCache) -> None:
        """Add a cache, whose state follows (published)."""
        translator = self.session.translator
        translator.remote_caches.add(cid, instance, translator.receiver)

    def refresh_cache(self, cache_id: int, instance: object) -> None:
        """Note that all attributes of a cache were replaced."""
        self.session.translator.remote_caches.refresh(cache_id, instance)

    def cachedLocallyAs(self, cid: int) -> Any:
        """Return the cache with an id (published)."""
        return self.session.translator.remote_caches.observer_of(cid)

    def _selectDialect(self, dialect: bytes) -> None:
        # It has an underscore, but programs call it before there is a peer, as on any Banana.
        self.session.select(dialect)
        self.flush()

    def sendCall(self, *exp: Expression) -> None:
        """Send one message (published)."""
        self.sendEncoded(list(exp))

    def sendEncoded(self, obj: Expression) -> None:
        """Send one expression unchanged (published)."""
        self.session.outbox.send_expression(obj)
        self.soon_flush()

    def expressionReceived(self, sexp: Expression) -> None:
        """Handle one expression that the peer sent (published).

        Raises:
            ProtocolError: it is not a message, or not allowed now.
        """
        if type(sexp) is list and sexp and type(sexp[0]) is bytes:
            handler = _PROTO.get(sexp[0])
            if handler in self.overridden:
                try:
                    getattr(self, handler)(*sexp[1:])
                except TypeError as error:
                    raise ProtocolError(f"malformed message: {handler}") from error
                return
        self.session.inbox.handle(parse(sexp))

    def proto_version(self, vnum: Any) -> None:
        """Handle the peer's version (published)."""
        self._handle(messages.Version, vnum)

    def proto_didNotUnderstand(self, command: Any) -> None:
        """Handle that the peer has no such command (published)."""
        self._handle(messages.DidNotUnderstand, command)

    def proto_message(self, *fields: Any) -> None:
        """Handle a call: request id, object id, name, answer required, args, kw (published)."""
        self._handle(messages.GraphCall, *fields)

    def proto_cachemessage(self, *fields: Any) -> None:
        """Handle a call to a RemoteCache here; see ``proto_message`` (published)."""
        self._handle(messages.GraphCallToCache, *fields)

    def proto_answer(self, requestID: Any, netResult: Any) -> None:
        """Handle the result of an outgoing call (published)."""
        self._handle(messages.GraphAnswer, requestID, netResult)

    def proto_error(self, requestID: Any, fail: Any) -> None:
        """Handle the failure of an outgoing call (published)."""
        self._handle(messages.GraphError, requestID, fail)

    def proto_decref(self, objectID: Any) -> None:
        """Handle that the peer dropped one reception of an object (published)."""
        self._handle(messages.Decref, objectID)

    def proto_decache(self, objectID: Any) -> None:
        """Handle that the peer dropped one reception of a cache (published)."""
        self._handle(messages.Decache, objectID)

    def proto_uncache(self, objectID: Any) -> None:
        """Handle that the peer updates a RemoteCache here no more (published)."""
        self._handle(messages.Uncache, objectID)

    def _handle(self, record: type[messages.Record], *fields: Expression) -> None:
        self.session.inbox.handle(parse([COMMANDS[record].name or b"", *fields]))

    def registerPageProducer(self, pager: PageProducer) -> None:
        """Send the pages of a Pager whenever the transport can take more (published)."""
        self.pageProducers.append(pager)
        if len(self.pageProducers) == 1:
            self.port.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Send a page of each Pager: the transport can take more (published)."""
        for pager in list(self.pageProducers):
            try:
                # False if the peer has said that it leaves, though the transport is still open.
                is_paging = self.calls.is_open
                if is_paging:
                    pager.sendNextPage()
                    is_paging = pager.stillPaging()
            except DeadReferenceError:
                is_paging = False
            if not is_paging:
                self.pageProducers.remove(pager)
        self.flush()
        if not self.pageProducers:
            if self._paged is not None:
                self._paged()
            self.port.unregisterProducer()

    def when_paged(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` when the last page of all Pagers is written, or now."""
        if self._page_producers:
            self._paged = callback
        else:
            callback()

    def pauseProducing(self) -> None:
        """Do nothing: pages are sent only when the transport asks for them (published)."""

    def stopProducing(self) -> None:
        """Stop all paging: the connection has ended (published)."""
        self.pageProducers.clear()

    def notifyOnDisconnect(self, notifier: Callable[[], object]) -> None:
        """Call ``notifier()`` when the connection has ended (published)."""
        self.disconnects.append(_callable(notifier))

    def dontNotifyOnDisconnect(self, notifier: Callable[[], object]) -> None:
        """Undo one ``notifyOnDisconnect`` (published)."""
        if self._disconnects and notifier in self._disconnects:
            self._disconnects.remove(notifier)

    def notifyOnConnect(self, notifier: Callable[[], object]) -> None:
        """Call ``notifier()`` when calls can be made; now, if they can (published)."""
        if self.session.dialect is not None:
            log.call_and_log(self, _callable(notifier))
        else:
            self.connects.append(_callable(notifier))

    def notifyOnFail(self, notifier: Callable[[], object]) -> None:
        """Call ``notifier()`` if the connection ends before calls could be made (published)."""
        notifier = _callable(notifier)
        # Kept after that, it would keep objects alive as long as the connection.
        if self.session.dialect is None:
            self.failures.append(notifier)


def _callable(notifier: Callable[[], object]) -> Callable[[], object]:
    if not callable(notifier):
        raise TypeError("a notifier is a callable without arguments")
    return notifier


_PROTO = {
    row.name: f"proto_{row.name.decode('ascii')}"
    for row in COMMANDS.values()
    if row.name is not None
}

_HOOKS = (
    "expressionReceived",
    "localObjectForID",
    "sendCall",
    "sendEncoded",
    "serialize",
    "unserialize",
    *_PROTO.values(),
)
