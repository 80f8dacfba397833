"""The layer above a session: the interface that the session calls, and the one that hooks call.

The Broker fulfils both. A host of the session alone, as in tests, fulfils only ``Host``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from broker.core.events import Event
from broker.core.wire.messages import ObjectId, RequestId
from jelly.atoms import Expression

if TYPE_CHECKING:
    from broker.core.calls.dispatch import Route
    from broker.core.objects.caches import CacheObserver, Observed, ReceivedCache
    from broker.core.objects.streams import IncomingStream
    from broker.core.policy import Policy
    from broker.core.principal import Principal
    from broker.core.session import Session
    from broker.core.wire.broadcast import Broadcast
    from broker.defer import Deferred
    from jelly.unjellier import Row, Unjellier

__all__ = [
    "Backpressure",
    "CallSender",
    "HookedHost",
    "Host",
    "Identified",
    "Invoker",
    "PageProducer",
    "ReceivedReference",
    "has_hook",
    "takes_messages",
]


class Host(Protocol):
    """What a session calls in the layer above it."""

    def on_event(self, event: Event, /) -> None:
        """Handle an event. May call methods of the session."""
        ...

    def answered(self, request_id: RequestId, value: object, /) -> None:
        """Take the result of an outgoing call."""
        ...

    def refused(self, request_id: RequestId, failure: object, /) -> None:
        """Take the error of an outgoing call: an exception, a Failure, or what the peer sent."""
        ...

    @property
    def overridden(self) -> frozenset[str]:
        """Names of Twisted's methods that a subclass overrides; the session calls those instead.

        A host with such names is a `HookedHost`.
        """
        ...

    def came_home(self, request_id: RequestId, /) -> None:
        """Make a call of this end itself: its target, a promise, has become an own object."""
        ...

    def registerReference(self, object: Identified, /) -> ObjectId:
        """Count one sending of an object, and return its id (published)."""
        ...

    def on_released(self) -> None:
        """A reference was collected: flush soon, to tell the peer. Called from any thread."""
        ...

    def shown_error(self, error: object, /) -> tuple[object, str | None]:
        """Return the error to send to the peer, and the id that replaces its text, or None."""
        ...

    def drop_fields(self, shown: object, fault: BaseException, /) -> bool:
        """Remove the fields of an error of `shown_error`, which cannot be sent because of a fault.

        Returns:
            Whether it had fields.
        """
        ...

    def describe(
        self,
        name: str,
        wants_answer: bool,
        target: type | None,
        due: float | None = None,
        meta: Mapping[str, str] | None = None,
        /,
    ) -> object:
        """Put the record of a call of the peer into the current contextvars, and return it.

        Those are of this call alone.

        Args:
            name: the method.
            wants_answer: False for a one-way call.
            target: the class of the object, if it is known.
            due: the deadline, by the clock of the connection, or None.
            meta: the metadata, or None.
        """
        ...

    def make_stream(self, stream: IncomingStream, /) -> object:
        """Return the object by which the program reads a stream of the peer."""
        ...

    def make_reference(self, perspective: object, object_id: ObjectId, /) -> object:
        """Return a new reference to an object of the peer.

        ``perspective`` is a ``principal.View`` if there is a principal.
        """
        ...

    @property
    def rows(self) -> Mapping[bytes, Row]:
        """More tags that a connection can decode, such as the tag of a failure."""
        ...


class HookedHost(Host, Protocol):
    """The methods of Twisted that a host may override; each is called only if it does so.

    With one of the ``proto_`` methods, ``expressionReceived`` is called too.
    """

    def serialize(
        self, value: object, *, perspective: object, method: object, args: object, kw: object
    ) -> Expression:
        """Return the expression of a graph that is about to be sent."""
        ...

    def unserialize(self, sexp: Expression, perspective: object, /) -> object:
        """Return the graph of an expression of the peer."""
        ...

    def localObjectForID(self, luid: ObjectId | str, /) -> object:
        """Return the object that the peer calls by an id or a name, or None."""
        ...

    def sendCall(self, *exp: Expression) -> object:
        """Send one message, given as the elements of its expression."""
        ...

    def expressionReceived(self, sexp: Expression, /) -> object:
        """Handle one message of the peer."""
        ...


def has_hook(host: Host, name: str) -> TypeGuard[HookedHost]:
    """Return whether a host overrides a method of `HookedHost`."""
    return name in host.overridden


def takes_messages(host: Host) -> TypeGuard[HookedHost]:
    """Return whether a host handles the peer's messages itself, with ``expressionReceived``."""
    names = host.overridden
    if not names:
        return False
    return "expressionReceived" in names or any(name.startswith("proto_") for name in names)


class Identified(Protocol):
    """An object that can be sent as a reference or as a cache."""

    def processUniqueID(self) -> Hashable:
        """Return what identifies this object within this process."""
        ...


class ReceivedReference(Protocol):
    """A reference to an object of the peer, made by the application."""

    view: object

    @property
    def luid(self) -> ObjectId:
        """The peer's id of the object."""
        ...

    @property
    def perspective(self) -> object:
        """PB's perspective of the reference."""
        ...


class PageProducer(Protocol):
    """Sends a long value in pages: a Pager."""

    def sendNextPage(self) -> None:
        """Send one page."""
        ...

    def stillPaging(self) -> bool:
        """Return whether pages are left; the first False follows the last page."""
        ...


class CallSender(Protocol):
    """Makes the calls of one connection.

    In each method ``perspective`` is a perspective, or a ``principal.View``. ``object_id`` is the
    peer's id of the object; ``to_cache`` says whether the object is a cache that the peer holds.
    """

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        ...

    def check_loop(self, what: str, /) -> None:
        """Raise RuntimeError, about ``what``, if the connection belongs to another event loop."""
        ...

    def call(
        self,
        perspective: object,
        object_id: ObjectId,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        to_cache: bool = ...,
        kind: type[Deferred[Any]] = ...,
        /,
    ) -> Deferred[Any] | None:
        """Call a method; return a Deferred of its result, or None with ``pbanswer=False``.

        ``kind`` is the class of the Deferred, or a subclass that checks the result.

        Raises:
            DeadReferenceError: the connection has ended, and an answer is wanted.
            RuntimeError: the connection belongs to another event loop.
        """
        ...

    def make_call(
        self,
        perspective: object,
        object_id: ObjectId,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        to_cache: bool = ...,
        kind: type[Deferred[Any]] = ...,
        meta: Mapping[str, str] | None = ...,
        /,
    ) -> Deferred[Any] | None:
        """Call a method with metadata, in the general way; see :meth:`call`.

        Raises:
            ConfigError: it is called in ``broker.once``, without a key of it in ``meta``.
        """
        ...

    def send(
        self,
        perspective: object,
        object_id: ObjectId,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        to_cache: bool = ...,
        /,
    ) -> None:
        """Call a method one way; do nothing if the connection has ended.

        Raises:
            RuntimeError: the connection belongs to another event loop.
        """
        ...

    def notify(
        self,
        perspective: object,
        object_id: ObjectId,
        broadcast: Broadcast,
        to_cache: bool = ...,
        /,
    ) -> None:
        """Call a method of one of the receivers of a broadcast.

        Raises:
            DeadReferenceError, EncodeError, RuntimeError: the call was not sent.
        """
        ...


class Backpressure(Protocol):
    """Tells how much of what a connection has written is unsent."""

    def is_slow(self) -> bool:
        """Return whether more bytes are unsent than the policy's high water mark.

        Messages that wait to be written are written first, if they are more than that.
        """
        ...

    def when_drained(self, callback: Callable[[], object], /) -> None:
        """Call ``callback()`` once, when few bytes are unsent again."""
        ...


class Invoker(Protocol):
    """What references, caches and the hooks of objects use of their connection.

    Hooks get it as ``jellier.invoker`` and ``unjellier.invoker``, or as the argument ``broker``.
    """

    @property
    def session(self) -> Session:
        """The session."""
        ...

    @property
    def policy(self) -> Policy:
        """What is allowed."""
        ...

    @property
    def transport(self) -> Any:
        """The transport, of this library or of Twisted; for programs (published)."""
        ...

    @property
    def factory(self) -> Any:
        """The factory that made the connection, or None; for programs (published)."""
        ...

    @property
    def disconnected(self) -> int:
        """1 once the connection has ended (published)."""
        ...

    # Calls to the peer.

    @property
    def calls(self) -> CallSender:
        """Makes calls to the peer."""
        ...

    @property
    def pump(self) -> Backpressure:
        """Tells how much is unsent."""
        ...

    def flush(self) -> None:
        """Write the bytes that wait to be sent."""
        ...

    def soon_flush(self) -> None:
        """Write the bytes that wait to be sent, now or at the end of this turn of the loop."""
        ...

    @property
    def reason(self) -> Any:
        """Why the connection has ended; None before."""
        ...

    def abort(self, error: Exception, /) -> None:
        """End the connection because of a fault of the peer."""
        ...

    def registerPageProducer(self, pager: PageProducer, /) -> None:
        """Send the pages of a Pager whenever the transport can take more (published)."""
        ...

    # Calls of the peer.

    def handle_message(
        self, route: Route, name: str, args: Expression, kw: Expression, /
    ) -> object:
        """Call a method with the peer's expressions, and return the expression of the result."""
        ...

    # Objects that are sent.

    @property
    def serializingPerspective(self) -> object:
        """The perspective of the message that is being serialized (published)."""
        ...

    @property
    def serializing_view(self) -> object:
        """``serializingPerspective`` with the owner of the message; see `broker.core.principal`."""
        ...

    def registerReference(self, object: Identified, /) -> ObjectId:
        """Count one sending of an object, and return its id (published)."""
        ...

    def publish_cache(self, instance: Observed, /) -> tuple[int, bool]:
        """Count one sending of a Cacheable; return its id, and whether to send its state."""
        ...

    def note_observer(self, cache_id: int, observer: CacheObserver, /) -> None:
        """Note the observer that ``stoppedObserving`` will be called for."""
        ...

    def cache_id_of(self, instance: Identified, principal: Principal | None, /) -> int | None:
        """Return the id by which the peer holds a Cacheable that a principal has sent, or None."""
        ...

    # Objects that are received.

    @property
    def unserializingPerspective(self) -> object:
        """The perspective of the message that is being decoded (published)."""
        ...

    def receive_reference(self, reference: ReceivedReference, /) -> None:
        """Count one reception for a reference that the application makes from data of the peer.

        Raises:
            MalformedJelly: its ``luid`` is not an id that a peer can send.
            LimitExceeded: too many references are alive here already.
        """
        ...

    def note_read(self, unjellier: Unjellier, expression: list[Expression], /) -> None:
        """Note that the reference of an expression has been received."""
        ...

    def cacheLocally(self, cid: int, instance: ReceivedCache, /) -> None:
        """Add a cache, whose state follows (published)."""
        ...

    def refresh_cache(self, cache_id: int, instance: object, /) -> None:
        """Note that all attributes of a cache were replaced."""
        ...

    # The end of the connection.

    def notifyOnDisconnect(self, notifier: Callable[[], object], /) -> None:
        """Call ``notifier()`` when the connection has ended (published)."""
        ...

    def dontNotifyOnDisconnect(self, notifier: Callable[[], object], /) -> None:
        """Undo one ``notifyOnDisconnect`` (published)."""
        ...
