"""Caches: the peer holds the state of an object and receives each change.

Theory of operation. A Cacheable is sent with its state the first time, and as a number later. Its
owner gets an *observer* for each peer. Through the observer, the owner calls ``observe_`` methods
of the RemoteCache at the peer. When the peer has dropped all received references to the cache, or
the connection ends, ``stoppedObserving`` is called once. After that the observer sends nothing. The
peer keeps the RemoteCache's state for as long as the owner may refer to it; see
``core.objects.caches.RemoteCacheTable``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from broker.core.calls.dispatch import Route, engine_hook
from broker.core.host import Invoker
from broker.core.principal import split_view, view_of
from broker.errors import DeadReferenceError, ProtocolError
from broker.flavors.copyable import Copyable, RemoteCopy, take_state, to_tag
from broker.flavors.followed import (
    apply_change,
    apply_state,
    counting_route,
    earlier_of,
    place_in,
    set_place,
    stored,
)
from broker.flavors.referenceable import Serializable
from jelly.atoms import Expression
from jelly.bases import Unjellyable, getInstanceState
from jelly.bases import engine_hook as unjelly_engine_hook
from jelly.errors import CannotJelly, MalformedJelly
from jelly.fields import engine_class
from jelly.registry import defaults

if TYPE_CHECKING:
    from broker.core.wire.broadcast import Broadcast
    from broker.flavors.followed import Followed
    from broker.history import Position
    from jelly.jellier import Jellier
    from jelly.unjellier import Unjellier

__all__ = ["Cacheable", "RemoteCache", "RemoteCacheMethod", "RemoteCacheObserver"]


class Cacheable(Copyable):
    """An object whose state is cached by peers and updated there (published)."""

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: RemoteCacheObserver) -> Any:
        """Return the state to send; keep ``observer`` to notify the peer of changes."""
        return self.getStateToCopyFor(perspective)

    def stoppedObserving(self, perspective: Any, observer: RemoteCacheObserver) -> None:
        """Forget an observer: its peer dropped the cache or disconnected. Called once for each."""

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return ``[tag, id, state]`` the first time, ``[cached, id]`` after that."""
        broker: Invoker | None = jellier.invoker
        if broker is None:
            return super().jellyFor(jellier)
        cache_id, is_new = broker.publish_cache(self)
        if not is_new:
            return [b"cached", cache_id]
        perspective = broker.serializingPerspective
        observer = RemoteCacheObserver(broker, self, broker.serializing_view)
        observer.cache_id = cache_id
        expression = jellier.prepare(self)
        # Noted before the hook runs: if the hook raises, the observer must still be ended.
        broker.note_observer(cache_id, observer)
        tag = to_tag(self.getTypeToCopyFor(perspective))
        state = self.getStateToCacheAndObserveFor(perspective, observer)
        expression.extend([tag, cache_id, jellier.jelly(state)])
        return jellier.preserve(self, expression)


# The connection, id and place of a RemoteCache. A peer cannot set these attributes.
_OURS = ("broker", "luid", "followed_place", "followed_is_wrong")


@engine_class(*_OURS)
class RemoteCache(RemoteCopy, Serializable):
    """The state of a peer's Cacheable, kept up to date by its ``observe_`` methods (published).

    The cache of a ``Resumable`` has two more attributes, ``epoch`` and ``offset``; see there.

    Attributes:
        broker: the connection that it was received on; None after that connection has ended.
        luid: the owner's id of the cache.
        followed_place: the place in the changes of a Resumable; None for another Cacheable.
        followed_is_wrong: whether a change of a Resumable with a wrong offset was refused.
    """

    # What makes it again on the next connection. It is not in the dict, which outlives the cache.
    __slots__ = ("_maker",)

    broker: Invoker | None = None
    luid: Any = None
    followed_place: Position | None = None
    followed_is_wrong = False
    is_remote_cache = True

    def route(self) -> Route:
        """Return how the owner's calls are made."""
        route = Route(self, "observe_")
        return route if self.followed_place is None else counting_route(self, route)

    @engine_hook
    def remoteMessageReceived(
        self, broker: Any, message: str, args: Expression, kw: Expression
    ) -> object:
        """Handle a call of the owner; an override receives and returns expressions (published)."""
        return broker.handle_message(self.route(), message, args, kw)

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return ``[lcache, id]``: a cache can be sent only to its owner."""
        if jellier.invoker is None:
            return getInstanceState(self, jellier)
        if jellier.invoker is not self.broker:
            raise CannotJelly(
                f"{type(self).__name__} is a cache of another connection's object;"
                f" it can be sent only to its owner"
            )
        return [b"lcache", self.luid]

    def unjellied_state(self, unjellier: Unjellier, jellyList: list[Any]) -> Expression:
        """Return the expression of the state from ``[tag, id, state]``; hold the cache."""
        broker: Invoker | None = unjellier.invoker
        if broker is None:
            return super().unjellied_state(unjellier, jellyList)
        if len(jellyList) != 3:
            raise MalformedJelly(f"cache of {len(jellyList) - 1} fields")
        self._belong_to(broker, jellyList[1])
        broker.cacheLocally(jellyList[1], self)
        unjellier.note_read(jellyList)
        return jellyList[2]  # type: ignore[no-any-return]

    def set_unjellied_state(self, unjellier: Unjellier, state: object) -> object:
        """Pass the state to ``setCopyableState``, or set it as the attributes.

        Returns:
            None, or the earlier cache that goes on with this state.
        """
        if self.broker is None:
            return super().set_unjellied_state(unjellier, state)
        earlier: object = earlier_of(unjellier, self, state)
        if earlier is not None:
            return earlier
        if type(self).setStateFor is not Unjellyable.setStateFor:
            self._keep(lambda: self.setStateFor(unjellier, state))
        else:
            self._take_state(state, unjellier.is_declared(type(self)))
        return None

    def _take_state(self, state: object, declared: bool) -> None:
        """Set a received state.

        Args:
            state: the state.
            declared: whether only declared fields are allowed.
        """
        place = place_in(state)
        if place is not None and isinstance(state, dict):
            state = stored(type(self), state, declared)
        if isinstance(state, dict) and not declared:
            # If the peer's object is itself a cache, these names are among its attributes.
            state = {name: item for name, item in state.items() if name not in _OURS}
        self._keep(lambda: take_state(self, state, declared))
        if place is not None:
            set_place(self, place)

    def _keep(self, setter: Callable[[], object]) -> None:
        """Call what sets the state, which may replace ``__dict__``, and keep what is ours."""
        broker, luid, place = self.broker, self.luid, self.followed_place
        setter()
        self._belong_to(broker, luid)
        if place is not None:
            set_place(self, place)
        if broker is not None:
            broker.refresh_cache(luid, self)

    @unjelly_engine_hook
    def unjellyFor(self, unjellier: Unjellier, jellyList: list[Any]) -> object:
        """Take id and state from ``[tag, id, state]`` and return ``self``."""
        state = self.unjellied_state(unjellier, jellyList)
        earlier = self.set_unjellied_state(unjellier, unjellier.unjelly(state))
        return self if earlier is None else earlier

    def _belong_to(self, broker: Invoker | None, luid: object) -> None:
        """Set the connection and the owner's id of the cache."""
        # Also works for a frozen dataclass.
        object.__setattr__(self, "broker", broker)
        object.__setattr__(self, "luid", luid)

    # What a Resumable sends; see ``broker.flavors.followed``.

    def observe_resumable_change(self, offset: object, name: object, *args: object) -> object:
        """Take a change of a Resumable: call ``observe_<name>``."""
        return apply_change(self, offset, name, args)

    def observe_resumable_state(self, state: object) -> object:
        """Take the whole state of a Resumable again."""
        broker = self.broker
        declared = broker is not None and broker.policy.declared_state
        return apply_state(self, state, declared or type(self) in defaults.declared.with_fields)

    def _resume(self, changes: int) -> None:
        """Note that the last ``changes`` changes of the owner follow, on a new connection."""

    def _stay(self, is_kept: bool) -> None:
        """Note whether this cache will go on after its connection has ended."""

    def _note_dropped(self, is_dropped: bool) -> None:
        """Note that the application has dropped this cache, or has it again."""

    def _adopt(self, later: Followed) -> None:
        """Take the state of another cache of this class, which has come in place of this one."""
        for name, value in vars(later).items():
            if name not in ("broker", "luid"):
                object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RemoteCache):
            return NotImplemented
        return type(self) is type(other) and self.__dict__ is other.__dict__

    def __hash__(self) -> int:
        return hash((id(self.broker), self.luid))


class RemoteCacheMethod:
    """One ``observe_`` method of a peer's cache; calling this calls the method (published)."""

    def __init__(self, name: str, broker: Invoker, cached: Cacheable, perspective: object):
        self.name = name
        self.broker = broker
        self.cached = cached
        self.perspective, self._principal = split_view(perspective)

    def _key(self) -> tuple[object, ...]:
        return self.name, self.broker, self.perspective, self.cached, self._principal

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteCacheMethod) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.name, id(self.broker), id(self.perspective), id(self.cached)))

    def __call__(self, *args: object, **kw: object) -> Any:
        """Call the method; return a Deferred of its result, or None with ``pbanswer=False``.

        Raises:
            DeadReferenceError: the connection has ended, and the caller expects an answer.
            ProtocolError: the peer has dropped the cache, and the caller expects an answer.
        """
        cache_id = self.broker.cache_id_of(self.cached, self._principal)
        if cache_id is None:
            if not kw.get("pbanswer", True):
                return None
            if self.broker.disconnected:
                raise DeadReferenceError("the connection of this observer has ended")
            raise ProtocolError("the peer does not hold this cache, so the call cannot be made")
        view = view_of(self.perspective, self._principal)
        return self.broker.calls.call(view, cache_id, self.name, args, kw, True)


class RemoteCacheObserver:
    """Calls one peer's cache of one Cacheable (published).

    Attributes:
        broker: the connection.
        cached: the Cacheable.
        perspective: the perspective that values are serialized for.
        cache_id: the peer's id of the cache; None if it must be looked up.
        is_over: whether ``stoppedObserving`` has been called, or is about to be: the peer has
            dropped the cache or disconnected.
    """

    def __init__(self, broker: Invoker, cached: Cacheable, perspective: object):
        self.broker = broker
        self.cached = cached
        self.perspective, self._principal = split_view(perspective)
        self.cache_id: int | None = None
        self.is_over = False
        self._when_over: list[Callable[[RemoteCacheObserver], object]] = []

    def __repr__(self) -> str:
        return f"<RemoteCacheObserver of {type(self.cached).__name__} at 0x{id(self):x}>"

    def _key(self) -> tuple[int, ...]:
        return id(self.broker), id(self.perspective), id(self.cached), id(self._principal)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteCacheObserver) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def callRemote(self, _name: str, /, *args: object, **kw: object) -> Any:
        """Call ``observe_<name>`` at the peer; return a Deferred of the result.

        If no code handles the Deferred's failure, it is logged. To notify of a change, use
        :meth:`send`, or ``broker.Subscribers`` for all observers at once.

        Raises:
            DeadReferenceError: the connection has ended; not raised with ``pbanswer=False``.
            ProtocolError: the peer has dropped the cache; not raised with ``pbanswer=False``.
            RuntimeError: called outside the connection's event loop.
        """
        return self.remoteMethod(_name)(*args, **kw)

    def send(self, _name: str, /, *args: object, **kw: object) -> None:
        """Call ``observe_<name>`` at the peer one way, without an answer.

        If the peer has dropped the cache or disconnected, nothing is sent and no error is raised.
        If an argument cannot be sent, the error is logged as a local error.

        Raises:
            RuntimeError: called outside the connection's event loop.
        """
        cache_id = self._cache_id()
        if cache_id is not None:
            view = view_of(self.perspective, self._principal)
            self.broker.calls.send(view, cache_id, _name, args, kw, True)

    def notify(self, broadcast: Broadcast) -> None:
        """Send a call that goes to many receivers; used by ``Subscribers``.

        Raises:
            DeadReferenceError, EncodeError, RuntimeError: it was not sent.
        """
        cache_id = self._cache_id()
        if cache_id is None:
            raise DeadReferenceError("the peer does not hold this cache any more")
        view = view_of(self.perspective, self._principal)
        self.broker.calls.notify(view, cache_id, broadcast, True)

    def when_over(self, callback: Callable[[RemoteCacheObserver], object]) -> None:
        """Call ``callback(self)`` before ``stoppedObserving``; used by ``Subscribers``."""
        self._when_over.append(callback)

    def forget_over(self, callback: Callable[[RemoteCacheObserver], object]) -> None:
        """Remove one :meth:`when_over` callback that has not been called."""
        if callback in self._when_over:
            self._when_over.remove(callback)

    def end(self) -> None:
        """Send nothing from now on; called once, before ``stoppedObserving``."""
        self.is_over = True
        callbacks, self._when_over = self._when_over, []
        for callback in callbacks:
            callback(self)

    def _cache_id(self) -> int | None:
        if self.is_over or self.cache_id is not None:
            return None if self.is_over else self.cache_id
        return self.broker.cache_id_of(self.cached, self._principal)

    def remoteMethod(self, key: str) -> RemoteCacheMethod:
        """Return a callable for one method of the cache."""
        view = view_of(self.perspective, self._principal)
        return RemoteCacheMethod(key, self.broker, self.cached, view)
