"""The tables of caches: copies of an object's state that the owner keeps up to date.

- **Cacheables**: local objects whose state the peer has a copy of. This side chooses the id,
  from the same numbers as exports, and counts sendings in the same way.
- **Remote caches**: copies of the state of objects of the peer. The state is kept until the peer
  sends uncache. The local object with this state is referenced weakly, with a count of its
  receptions.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from broker.core.host import Identified
from broker.core.objects.tables import Numbers, WeakHold, directly, key_of, shown
from broker.core.principal import Principal
from broker.core.wire.messages import ObjectId
from broker.errors import NoSuchObject
from broker.limit_errors import CACHES, limit_error
from jelly.bases import blank_of
from jelly.errors import LimitExceeded, MalformedJelly, ProtocolError
from jelly.numbers import is_number
from jelly.state import share_state

if TYPE_CHECKING:
    from broker.core.calls.dispatch import Method
    from broker.core.host import Invoker

__all__ = ["CacheableEntry", "CacheableTable", "RemoteCacheTable"]


class CacheObserver(Protocol):
    """Tells the peer of changes to a cache: a RemoteCacheObserver."""

    def end(self) -> object:
        """Send nothing from now on."""


class Observed(Identified, Protocol):
    """A local object whose state a peer can have a copy of: a Cacheable."""

    def stoppedObserving(self, perspective: Any, observer: Any, /) -> object:
        """Forget an observer: its peer has dropped the cache, or disconnected."""


class ReceivedCache(Protocol):
    """A local object with a copy of the state of an object of the peer: a RemoteCache.

    Attributes:
        broker: the connection; None once it has ended, or the peer changes the copy no more.
    """

    broker: Invoker | None

    def _note_dropped(self, is_dropped: bool, /) -> object:
        """Note that the application has dropped the object, or has it again."""


class CacheableEntry:
    """One local object whose state the peer has a copy of."""

    __slots__ = ("count", "identity", "observer", "perspective", "value")

    def __init__(self, value: Observed, identity: Hashable, perspective: object):
        self.value = value
        self.identity = identity
        self.perspective = perspective
        self.observer: CacheObserver | None = None
        self.count = 1

    def stop(self) -> None:
        """Tell the object that its observer has gone; a second call has no effect."""
        observer, self.observer = self.observer, None
        if observer is not None:
            observer.end()
            self.value.stoppedObserving(self.perspective, observer)


class CacheableTable:
    """Local objects whose state the peer has a copy of."""

    __slots__ = ("_ids", "_max_refs", "_numbers", "by_id")

    def __init__(self, numbers: Numbers, max_refs: int):
        self._numbers = numbers
        self._max_refs = max_refs
        self.by_id: dict[int, CacheableEntry] = {}
        self._ids: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self.by_id)

    def id_of(self, identity: Hashable, principal: Principal | None = None) -> int | None:
        """Return the id of an object that the peer holds, or None."""
        return self._ids.get(key_of(identity, principal))

    def add(
        self,
        value: Observed,
        identity: Hashable,
        perspective: object,
        principal: Principal | None = None,
    ) -> int:
        """Add an object that is about to be sent, and return its id.

        An object has one id for each principal that has sent it.

        Raises:
            LimitExceeded: the peer holds max_refs caches already.
        """
        if len(self.by_id) >= self._max_refs:
            raise limit_error(LimitExceeded, "max_refs", self._max_refs, what=CACHES)
        identity = key_of(identity, principal)
        cache_id = self._ids[identity] = self._numbers.next()
        self.by_id[cache_id] = CacheableEntry(value, identity, perspective)
        return cache_id

    def get(self, cache_id: object) -> CacheableEntry | None:
        """Return the entry of an id, or None."""
        return self.by_id.get(cache_id) if is_number(cache_id) else None

    def release(self, cache_id: int, count: int = 1) -> CacheableEntry | None:
        """Subtract from the count of a cache; at zero, remove and return the entry, for ``stop``.

        Raises:
            ProtocolError: the count is smaller than that.
        """
        entry = self.by_id.get(cache_id)
        held = 0 if entry is None else entry.count
        if entry is None or not 1 <= count <= held:
            raise ProtocolError(f"decache of cache {shown(cache_id)} by {count} (held {held})")
        entry.count -= count
        if entry.count:
            return None
        del self.by_id[cache_id]
        del self._ids[entry.identity]
        return entry

    def clear(self) -> list[CacheableEntry]:
        """Remove all entries, and return them for ``stop``."""
        entries = list(self.by_id.values())
        self.by_id.clear()
        self._ids.clear()
        return entries


class RemoteCacheEntry:
    """A copy of the state of one object of the peer, and the local object that has this state.

    Attributes:
        weak: a weak reference to the local object.
        state: the attributes of that object.
        principal: the user who has sent it, or None.
        enter, methods: a function that runs a call in the context of the principal, and the methods
            of ``dispatch.quick_methods``; set at the first call.
    """

    __slots__ = ("_make", "enter", "methods", "principal", "state", "weak")

    def __init__(self, principal: Principal | None) -> None:
        self.weak: WeakHold[ReceivedCache] | None = None
        self.principal = principal
        self.state: dict[str, object] = {}
        self.enter: Callable[..., object] = directly
        self.methods: Mapping[str, Method] | None = None
        self._make: Callable[[], ReceivedCache] = _no_cache

    def hold(self, value: ReceivedCache, weak: WeakHold[ReceivedCache]) -> None:
        """Store the state of ``value``, and a weak reference to ``value``."""
        self.weak = weak
        self.state = vars(value)
        self._make = partial(blank_of, type(value))

    def value(self) -> ReceivedCache | None:
        """Return the object if it is alive, or None."""
        return None if self.weak is None else self.weak()

    def current(self) -> ReceivedCache:
        """Return the object to call for a change: the live one, or a temporary one."""
        value = self.value()
        return self._passing() if value is None else value

    @property
    def leading(self) -> tuple[object, ...]:
        """The arguments before those of the peer."""
        weak = self.weak
        value = None if weak is None else weak()
        return (self._passing() if value is None else value,)

    def revived(self) -> ReceivedCache:
        """Return a new object with the stored state."""
        value = self._make()
        share_state(value, self.state)
        return value

    def _passing(self) -> ReceivedCache:
        """Return an object for one change of a cache that the application has dropped."""
        value = self.revived()
        value._note_dropped(True)
        return value


class RemoteCacheTable:
    """Copies of the state of remote objects, by id.

    When the application drops the object, the state is kept until the peer answers the decache with
    uncache. Until then a message that is already on its way may bring the cache, or a change to it.

    Args:
        on_collected: ``f(cache_id, count)``, called at any time and in any thread.
    """

    __slots__ = ("_max_refs", "_on_collected", "by_id")

    def __init__(self, on_collected: Callable[[ObjectId, int], None], max_refs: int):
        self._on_collected = on_collected
        self._max_refs = max_refs
        self.by_id: dict[int, RemoteCacheEntry] = {}

    def __len__(self) -> int:
        return len(self.by_id)

    def open_caches(self) -> Iterator[ReceivedCache]:
        """Yield the objects that are alive."""
        for entry in list(self.by_id.values()):
            value = entry.value()
            if value is not None:
                yield value

    def add(
        self, cache_id: object, value: ReceivedCache, principal: Principal | None = None
    ) -> None:
        """Add a cache whose state is being received; ``principal`` has sent it.

        Raises:
            MalformedJelly: the id is not a number, or is in use.
            LimitExceeded: this side holds max_refs caches already.
        """
        if not is_number(cache_id):
            raise MalformedJelly("cache without a number from 0 to 2**63-1")
        if cache_id in self.by_id:
            raise MalformedJelly(f"cache {shown(cache_id)} defined twice")
        if len(self.by_id) >= self._max_refs:
            raise limit_error(LimitExceeded, "max_refs", self._max_refs, what=CACHES)
        entry = self.by_id[cache_id] = RemoteCacheEntry(principal)
        entry.hold(value, self._weak(cache_id, value))

    def let_go(self, cache_id: int) -> None:
        """Release one reception of a cache that was not decoded, and may not be in the table.

        Its number stays in the table until the peer sends uncache. For a new number, nothing
        happens if there are max_refs caches already.
        """
        if cache_id not in self.by_id:
            if len(self.by_id) >= self._max_refs:
                return
            self.by_id[cache_id] = RemoteCacheEntry(None)
        self._on_collected(cache_id, 1)

    def refresh(self, cache_id: int, value: object) -> None:
        """Store the new dict after a ``setCopyableState`` has replaced the object's dict."""
        entry = self.by_id.get(cache_id)
        if entry is not None:
            entry.state = vars(value)

    def receive(self, cache_id: int) -> ReceivedCache:
        """Count one reception of a cache, and return its object.

        Raises:
            MalformedJelly: the cache is not in the table.
        """
        entry = self._found(cache_id)
        if entry is None:
            raise MalformedJelly(_not_held(cache_id))
        value = entry.value()
        if value is None:
            value = entry.revived()
            value._note_dropped(False)
            entry.hold(value, self._weak(cache_id, value))
        elif entry.weak is not None:
            entry.weak.count += 1
        return value

    def replace(self, cache_id: int, value: ReceivedCache) -> None:
        """Let another object stand for a cache, with the receptions of the former one."""
        entry = self.get(cache_id)
        if entry is not None and entry.weak is not None:
            weak = self._weak(cache_id, value)
            weak.count = entry.weak.count
            entry.methods = None
            entry.hold(value, weak)

    def forget_methods(self) -> None:
        """Have the methods of all caches looked up again, at the next call of each."""
        for entry in self.by_id.values():
            entry.methods = None

    def get(self, cache_id: int) -> RemoteCacheEntry | None:
        """Return the entry of a cache, or None."""
        entry = self.by_id.get(cache_id)
        return None if entry is None or entry.weak is None else entry

    def principal_of(self, cache_id: object) -> Principal | None:
        """Return the principal of a cache, or None if it has none.

        Raises:
            NoSuchObject: the cache is not in the table.
        """
        return self._called(cache_id).principal

    def observer_of(self, cache_id: object) -> ReceivedCache:
        """Return the object to call for a change: the live one, or a temporary one.

        Raises:
            NoSuchObject: the cache is not in the table.
        """
        return self._called(cache_id).current()

    def remove(self, cache_id: int) -> ReceivedCache | None:
        """Remove a cache after an uncache; return its object if it is alive.

        Raises:
            ProtocolError: the cache is not in the table.
        """
        entry = self.by_id.pop(cache_id, None)
        if entry is None:
            raise ProtocolError(f"uncache of cache {shown(cache_id)} that is not held")
        return entry.value()

    def clear(self) -> Iterator[ReceivedCache]:
        """Remove all caches; yield the objects that are alive."""
        entries = list(self.by_id.values())
        self.by_id.clear()
        for entry in entries:
            value = entry.value()
            if value is not None:
                yield value

    def _called(self, cache_id: object) -> RemoteCacheEntry:
        entry = self._found(cache_id)
        if entry is None:
            raise NoSuchObject(_not_held(cache_id))
        return entry

    def _found(self, cache_id: object) -> RemoteCacheEntry | None:
        return self.get(cache_id) if is_number(cache_id) else None

    def _weak(self, cache_id: int, value: ReceivedCache) -> WeakHold[ReceivedCache]:
        weak = WeakHold(value, self._collected)
        weak.key = (cache_id, 0)
        weak.count = 1
        return weak

    def _collected(self, weak: WeakHold[ReceivedCache]) -> None:
        self._on_collected(weak.key[0], weak.count)


def _not_held(cache_id: object) -> str:
    return f"cache {shown(cache_id)} is not held"


def _no_cache() -> ReceivedCache:
    raise LookupError("the cache was never decoded")
