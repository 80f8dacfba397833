"""Followed: the place of a RemoteCache in the changes of a Resumable, kept over connections.

Theory of operation. The state of a Resumable has the epoch of its count and the offset of its last
change. So a RemoteCache knows its place. To go on with it on another connection, the call that
brought it is made again, with its place as metadata. While that call runs, the translator knows the
cache by its epoch. A state that arrives with this epoch belongs to that cache, not to a new one. It
is a whole state, or it says that the changes since the place follow as calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from broker.core.calls.attached import RESUME, attach
from broker.core.calls.dispatch import Method, Route, call_method, resolve
from broker.core.wire.commands import Feature
from broker.errors import NoSuchMethod, WrongArguments
from broker.history import LARGEST_OFFSET, Position
from jelly.errors import MalformedJelly
from jelly.fields import shape_of

if TYPE_CHECKING:
    from broker.core.host import Invoker
    from broker.defer import Deferred
    from jelly.unjellier import Unjellier

__all__ = [
    "CHANGE",
    "STATE",
    "Followed",
    "apply_change",
    "apply_state",
    "call_again",
    "counting_route",
    "earlier_of",
    "keep",
    "place_in",
    "set_place",
    "stored",
    "take_over",
]

CHANGE, STATE = "resumable_change", "resumable_state"
"""The methods of a RemoteCache by which a Resumable sends a change, and its whole state again."""

_is_epoch = re.compile(r"[A-Za-z0-9_-]{16}\Z").match
_RESUMED = frozenset({"epoch", "since", "changes"})
_OWN = ("epoch", "offset")


class Followed(Protocol):
    """What this module uses of a RemoteCache.

    Attributes:
        broker, luid: the connection, and the owner's id of the cache.
        followed_place: its place; None for the cache of an object that is no Resumable.
        followed_is_wrong: whether a change with a wrong offset was refused.
    """

    broker: Invoker | None
    luid: int
    followed_place: Position | None
    followed_is_wrong: bool

    def route(self) -> Route:
        """Return how the owner's calls are made."""
        ...

    def _take_state(self, state: object, declared: bool) -> None:
        """Set a whole state."""
        ...

    def _adopt(self, later: Followed) -> None:
        """Take the state of another cache of this class."""
        ...

    def _belong_to(self, broker: Invoker | None, luid: object) -> None:
        """Set the connection and the id."""
        ...

    def _resume(self, changes: int) -> None:
        """Note that changes follow."""
        ...

    def _stay(self, is_kept: bool) -> None:
        """Note whether this cache will go on after its connection has ended."""
        ...

    def _note_dropped(self, is_dropped: bool) -> None:
        """Note that the application has dropped the cache, or has it again."""
        ...


def place_in(state: object) -> Position | None:
    """Return the place in the state of a Resumable; None for any other state."""
    if type(state) is not dict:
        return None
    epoch, offset = state.get("epoch"), state.get("offset")
    # Strict, so that a state that has these names by chance is hardly taken for one.
    if type(epoch) is not str or not _is_epoch(epoch):
        return None
    return Position(epoch, offset) if is_offset(offset) else None


def is_offset(value: object) -> TypeGuard[int]:
    """Return whether a value of the peer can be an offset."""
    return type(value) is int and 0 <= value <= LARGEST_OFFSET


def stored(cls: type, state: dict[str, object], declared: bool) -> dict[str, object]:
    """Return a state with a place as the class takes it: a declared class may not have its names.

    Args:
        cls: the class of the cache.
        state: the state.
        declared: whether only declared fields are allowed.
    """
    if not declared:
        return state
    fields = shape_of(cls).fields
    return {name: item for name, item in state.items() if name not in _OWN or name in fields}


def set_place(cache: Followed, place: Position) -> None:
    """Set the place of a cache, and its attributes ``epoch`` and ``offset``.

    A class with attributes of these names keeps them.
    """
    cls = type(cache)
    # These also work for a frozen dataclass.
    object.__setattr__(cache, "followed_place", place)
    for name, value in zip(_OWN, (place.epoch, place.offset), strict=True):
        if name in shape_of(cls).fields or not hasattr(cls, name):
            object.__setattr__(cache, name, value)


def apply_change(cache: Followed, offset: object, name: object, args: tuple[object, ...]) -> object:
    """Call the method of a change; return its result.

    Raises:
        NoSuchMethod: it is not the cache of a Resumable, or has no such method.
        WrongArguments: the offset is not a later one. It may be more than one later, since a change
            that is not allowed here has been refused.
    """
    place = cache.followed_place
    if place is None or type(name) is not str or name in (CHANGE, STATE):
        raise NoSuchMethod(f"no remote method '{CHANGE}'")
    if not is_offset(offset) or offset <= place.offset:
        if cache.followed_is_wrong:
            # One record tells it.
            return None
        object.__setattr__(cache, "followed_is_wrong", True)
        raise WrongArguments(f"{CHANGE}: the offset does not follow {place.offset}")
    route = cache.route()
    method = resolve(route, name, _is_dynamic(cache))
    set_place(cache, Position(place.epoch, offset))
    for check in method.conditions:
        check(name)
    if method.validator is not None:
        args, kw = method.validator(args, {})
        return call_method(route, method, name, args, kw)
    return call_method(route, method, name, args, {})


def _is_dynamic(cache: Followed) -> bool:
    return cache.broker is not None and cache.broker.policy.dynamic_methods


def counting_route(cache: Followed, route: Route) -> Route:
    """Return the route of a cache, which counts the calls of the owner if they have no offset.

    That is so in the dialects without metadata, in which nothing can be resumed: each call of the
    owner is one change.
    """
    broker = cache.broker
    if broker is None or Feature.META in broker.session.outbox.features:
        return route

    def counted(name: str) -> Method:
        method = resolve(route, name, broker.policy.dynamic_methods)
        if name in (CHANGE, STATE):
            return method

        def count(*args: object, **kw: object) -> object:
            place = cache.followed_place
            if place is not None:
                set_place(cache, Position(place.epoch, place.offset + 1))
            return method.function(*args, **kw)

        return Method(count, method.conditions, method.is_async, method.validator)

    return route._replace(method_for=counted)


def apply_state(cache: Followed, state: object, declared: bool) -> object:
    """Set the whole state again, and call ``observe_resynced``; return its result.

    Raises:
        NoSuchMethod: it is not the cache of a Resumable.
        WrongArguments: it is not a state of the same object, or is older than that of the cache.
            Errors of setting the state are passed on.
    """
    place, new = cache.followed_place, place_in(state)
    if place is None:
        raise NoSuchMethod(f"no remote method '{STATE}'")
    if new is None or new.epoch != place.epoch or new.offset < place.offset:
        raise WrongArguments(f"{STATE}: not a later state of this object")
    cache._take_state(state, declared)
    return resynced(cache)


def resynced(cache: object) -> object:
    """Call the ``observe_resynced`` of a cache if it has one, and return the result."""
    hook = getattr(cache, "observe_resynced", None)
    return None if hook is None else hook()


def earlier_of(unjellier: Unjellier, blank: Followed, state: object) -> Followed | None:
    """Return the cache that a received state belongs to, bound to this connection; None for none.

    Args:
        unjellier: of the answer that has the state.
        blank: the new cache whose state it would be.
        state: the state.

    Raises:
        MalformedJelly: the peer goes on from another offset than that of the cache.
    """
    broker: Invoker = unjellier.invoker
    resuming = broker.session.translator.resuming
    if not resuming or type(state) is not dict:
        return None
    epoch = state.get("epoch")
    if type(epoch) is not str:
        return None
    found = resuming.get(epoch)
    if found is None or type(found) is not type(blank):
        return None
    earlier = found
    if state.keys() == _RESUMED:
        since, changes = state["since"], state["changes"]
        place = earlier.followed_place
        is_right = place is not None and is_offset(since) and since == place.offset
        if not is_right or not is_offset(changes):
            raise MalformedJelly("a cache that goes on from another offset than it has")
        del resuming[epoch]
        _move(earlier, broker, blank.luid)
        earlier._resume(changes)
        return earlier
    if place_in(state) is None:
        return None
    earlier._take_state(state, unjellier.is_declared(type(earlier)))
    del resuming[epoch]
    _move(earlier, broker, blank.luid)
    unjellier.call_after(lambda: resynced(earlier))
    return earlier


def _move(cache: Followed, broker: Invoker, luid: int) -> None:
    """Let a cache stand for the one with this id; at its former connection it is dropped."""
    former = cache.broker
    if former is not None:
        former.session.translator.remote_caches.replace(cache.luid, _Elsewhere())
    cache._belong_to(broker, luid)
    broker.session.translator.remote_caches.replace(luid, cache)


def take_over(earlier: Followed, later: Followed) -> None:
    """Let a cache stand for another one of its class, which has come in its place.

    The other one has a whole state, of another epoch. ``observe_resynced`` is called.
    """
    broker, luid = later.broker, later.luid
    earlier._adopt(later)
    if broker is not None:
        _move(earlier, broker, luid)
    resynced(earlier)


def call_again(
    cache: Followed, broker: Invoker, make: Callable[[], Deferred[Any]]
) -> Deferred[Any]:
    """Make the call again that brought a cache, on another connection, to go on with the cache.

    Where the answer has the state of the same object, or what changed since, it has this cache
    itself. If the answer is one cache of the same class, of an object with another epoch, this
    cache takes its state and its place. Otherwise nothing happens to this cache.

    Args:
        cache: the RemoteCache.
        broker: the connection.
        make: makes the call there, and returns its Deferred.

    Returns:
        The Deferred.
    """
    place: Position | None = cache.followed_place
    if place is None:
        return make()
    translator = broker.session.translator
    resuming = translator.resuming = translator.resuming or {}
    resuming[place.epoch] = cache
    former = cache.broker
    if former is not None and former is not broker and not former.disconnected:
        # It stays at the place that is sent.
        former.session.translator.remote_caches.replace(cache.luid, _Elsewhere())

    def over(result: object) -> object:
        if resuming.get(place.epoch) is cache:
            del resuming[place.epoch]
        if type(result) is type(cache) and result is not cache:
            take_over(cache, result)
            return cache
        return result

    try:
        with attach(meta={RESUME: str(place)}):
            deferred = make()
    except BaseException:
        over(None)
        raise
    return deferred.addBoth(over)


def keep(cache: Followed, is_kept: bool, maker: object = None) -> None:
    """Say whether a cache will go on with :func:`call_again` after its connection has ended.

    If not, readers of the ``changes()`` of a view get an error when it ends.

    Args:
        cache: the RemoteCache.
        is_kept: whether it will.
        maker: what makes the call again; it lives as long as the cache.
    """
    # In a slot: the dict outlives the cache.
    object.__setattr__(cache, "_maker", maker)
    cache._stay(is_kept)


def _nothing(*args: object, **kw: object) -> None:
    """Do nothing: the cache has gone on elsewhere."""


_NOTHING = Method(_nothing)


class _Elsewhere:
    """Stands for a cache that has gone on elsewhere, until its former owner knows."""

    broker: Invoker | None = None

    def _note_dropped(self, is_dropped: bool) -> None:
        """Do nothing."""

    def route(self) -> Route:
        """Accept each change, and do nothing."""
        return Route(self, "observe_", method_for=lambda name: _NOTHING)
