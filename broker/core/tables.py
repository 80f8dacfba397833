"""The tables of a connection: who owns an id, how long it lives, what happens when the peer goes.

- **Exports**: objects of ours that the peer can call. We choose the id; each time the object is
  sent counts one, each decref takes one off; at zero the peer cannot name it any more. Ids are
  never reused.
- **Imports**: objects of the peer's. The peer chooses the id. One reference stands for it here,
  held weakly, and counts how often it was received; when it is collected that many decrefs are due.
- **Published caches**: objects of ours whose state the peer holds and we keep up to date. We choose
  the id, from the same numbers as exports; counted like these.
- **Held caches**: state of the peer's objects, kept here. The state lives until the peer says
  uncache; the object around it, held weakly, counts how often it was received.
- **Questions**: calls of ours that have no answer yet. We choose the id.

When the connection goes, every table is emptied and what it held is let go.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from broker.core.messages import ObjectId, RequestId
from jelly.atoms import text_of
from jelly.bases import blank_of
from jelly.errors import LimitExceeded, MalformedJelly, ProtocolError

__all__ = ["ExportTable", "HeldCacheTable", "ImportTable", "PublishedCacheTable", "QuestionTable"]


def shown(object_id: object) -> str:
    """Return an id of the peer's as text that is fit for a message."""
    return str(object_id) if type(object_id) is int else f"'{text_of(object_id)}'"


class Numbers:
    """Hands out ids 1, 2, 3 …; never one twice."""

    def __init__(self) -> None:
        self.last = 0

    def next(self) -> int:
        """Return the next id."""
        self.last += 1
        return self.last


class Export:
    """One object that the peer can name."""

    __slots__ = ("count", "identity", "on_release", "value")

    def __init__(self, value: Any, identity: Any, count: int):
        self.value = value
        self.identity = identity
        self.count = count
        self.on_release: Callable[[], None] | None = None


class ExportTable:
    """Objects of ours that the peer can call."""

    def __init__(self, numbers: Numbers, max_refs: int):
        self._numbers = numbers
        self._max_refs = max_refs
        self._by_id: dict[ObjectId, Export] = {}
        self._ids: dict[Any, ObjectId] = {}
        self._due: dict[Any, Callable[[], None]] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def name(self, name: bytes, value: Any) -> None:
        """Let the peer call ``value`` by a name that it knows; it is not counted."""
        self._by_id[name] = Export(value, None, 0)

    def add(self, value: Any, identity: Any) -> ObjectId:
        """Count one sending of an object, and return the id that it has for the peer.

        Raises:
            LimitExceeded: the peer holds max_refs objects already.
        """
        object_id = self._ids.get(identity)
        if object_id is not None:
            self._by_id[object_id].count += 1
            return object_id
        if len(self._ids) >= self._max_refs:
            raise LimitExceeded(f"more than {self._max_refs} live references (max_refs)")
        object_id = self._ids[identity] = self._numbers.next()
        entry = self._by_id[object_id] = Export(value, identity, 1)
        entry.on_release = self._due.pop(identity, None)
        return object_id

    def when_released(self, identity: Any, callback: Callable[[], None]) -> None:
        """Have ``callback()`` called when the peer drops an object, sent already or about to be."""
        entry = self.entry_of(identity)
        if entry is not None:
            entry.on_release = callback
        else:
            self._due[identity] = callback

    def get(self, object_id: ObjectId) -> Export | None:
        """Return the entry of an id, or None."""
        return self._by_id.get(object_id)

    def entry_of(self, identity: Any) -> Export | None:
        """Return the entry of an object that was sent, or None."""
        object_id = self._ids.get(identity)
        return None if object_id is None else self._by_id[object_id]

    def names(self) -> dict[ObjectId, Any]:
        """Return what the peer can name, by id."""
        return {object_id: entry.value for object_id, entry in self._by_id.items()}

    def release(self, object_id: ObjectId) -> None:
        """Take one sending off; at zero the object is let go.

        Raises:
            ProtocolError: the peer holds none.
        """
        entry = self._by_id.get(object_id)
        if entry is None or entry.count < 1:
            raise ProtocolError(f"decref of object {shown(object_id)} by 1 (held 0)")
        entry.count -= 1
        if entry.count == 0:
            del self._by_id[object_id]
            del self._ids[entry.identity]
            if entry.on_release is not None:
                entry.on_release()

    def clear(self) -> None:
        """Let all objects go, without calling their ``on_release``."""
        self._by_id.clear()
        self._ids.clear()
        self._due.clear()


class _Import(weakref.ref[Any]):
    """The weak hold on a reference, with what is due when it is collected."""

    __slots__ = ("count", "key")

    key: tuple[ObjectId, int]
    count: int


class ImportTable:
    """Objects of the peer's, by id and perspective.

    Args:
        on_collected: ``f(object_id, count)``, called at any moment and in any thread.
    """

    def __init__(self, on_collected: Callable[[ObjectId, int], None], max_refs: int):
        self._on_collected = on_collected
        self._max_refs = max_refs
        self._entries: dict[tuple[ObjectId, int], _Import] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def receive(
        self, object_id: ObjectId, perspective: Any, make: Callable[[Any, ObjectId], Any]
    ) -> Any:
        """Count one reception, and return the one reference to the object.

        Raises:
            LimitExceeded: max_refs objects of the peer are alive here already.
        """
        key = (object_id, id(perspective))
        entry = self._entries.get(key)
        if entry is not None:
            found = entry()
            if found is not None:
                entry.count += 1
                return found
        elif len(self._entries) >= self._max_refs:
            raise LimitExceeded(f"more than {self._max_refs} live references (max_refs)")
        made = make(perspective, object_id)
        entry = _Import(made, self._collected)
        entry.key = key
        entry.count = 1
        self._entries[key] = entry
        return made

    def references(self) -> list[Any]:
        """Return the references that are alive."""
        return [found for entry in list(self._entries.values()) if (found := entry()) is not None]

    def clear(self) -> None:
        """Forget all; nothing more is due."""
        self._entries.clear()

    def _collected(self, entry: _Import) -> None:
        # A finalizer: it may interrupt anything, so it only takes its entry out and leaves a note.
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
        self._on_collected(entry.key[0], entry.count)


class PublishedCache:
    """One object of ours whose state the peer holds."""

    __slots__ = ("count", "identity", "observer", "perspective", "value")

    def __init__(self, value: Any, identity: Any, perspective: Any):
        self.value = value
        self.identity = identity
        self.perspective = perspective
        self.observer: Any = None
        self.count = 1

    def stop(self) -> None:
        """Tell the object that its observer has gone; a second time does nothing."""
        observer, self.observer = self.observer, None
        if observer is not None:
            self.value.stoppedObserving(self.perspective, observer)


class PublishedCacheTable:
    """Objects of ours whose state the peer holds."""

    def __init__(self, numbers: Numbers, max_refs: int):
        self._numbers = numbers
        self._max_refs = max_refs
        self._by_id: dict[int, PublishedCache] = {}
        self._ids: dict[Any, int] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def id_of(self, identity: Any) -> int | None:
        """Return the id of an object that the peer holds, or None."""
        return self._ids.get(identity)

    def add(self, value: Any, identity: Any, perspective: Any) -> int:
        """Return the id of an object that the peer is about to hold.

        Raises:
            LimitExceeded: the peer holds max_refs caches already.
        """
        if len(self._by_id) >= self._max_refs:
            raise LimitExceeded(f"more than {self._max_refs} live caches (max_refs)")
        cache_id = self._ids[identity] = self._numbers.next()
        self._by_id[cache_id] = PublishedCache(value, identity, perspective)
        return cache_id

    def get(self, cache_id: object) -> PublishedCache | None:
        """Return the entry of an id, or None."""
        return self._by_id.get(cache_id) if type(cache_id) is int else None

    def release(self, cache_id: int) -> PublishedCache | None:
        """Take one sending off; return the entry when that was the last, for ``stop``.

        Raises:
            ProtocolError: the peer does not hold it.
        """
        entry = self._by_id.get(cache_id)
        if entry is None:
            raise ProtocolError(f"decache of cache {shown(cache_id)} that is not held")
        entry.count -= 1
        if entry.count:
            return None
        del self._by_id[cache_id]
        del self._ids[entry.identity]
        return entry

    def clear(self) -> list[PublishedCache]:
        """Forget all entries, and return them for ``stop``."""
        entries = list(self._by_id.values())
        self._by_id.clear()
        self._ids.clear()
        return entries


class HeldCache:
    """State of one object of the peer's, and the object that it is seen through."""

    __slots__ = ("_make", "handle", "state")

    def __init__(self) -> None:
        self.handle: _Import | None = None
        self.state: dict[str, Any] = {}
        self._make: Callable[[], Any] = object

    def hold(self, value: Any, handle: _Import) -> None:
        """Keep the state of ``value``, and ``value`` itself weakly."""
        self.handle = handle
        self.state = vars(value)
        self._make = partial(blank_of, type(value))

    def value(self) -> Any:
        """Return the object if it is alive, or None."""
        return None if self.handle is None else self.handle()

    def revived(self) -> Any:
        """Return a new object around the state that was kept."""
        value = self._make()
        value.__dict__ = self.state
        return value


class HeldCacheTable:
    """State of the peer's objects, by id.

    The state outlives the object that the application dropped, until the peer answers the decache
    with uncache: a message that was on its way meanwhile may still bring the cache, or a change to
    it.

    Args:
        on_collected: ``f(cache_id, count)``, called at any moment and in any thread.
    """

    def __init__(self, on_collected: Callable[[ObjectId, int], None], max_refs: int):
        self._on_collected = on_collected
        self._max_refs = max_refs
        self._by_id: dict[int, HeldCache] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, cache_id: object, value: Any) -> None:
        """Hold a cache whose state is on its way.

        Raises:
            MalformedJelly: the id is none, or is held already.
            LimitExceeded: max_refs caches are held already.
        """
        if type(cache_id) is not int or cache_id in self._by_id:
            raise MalformedJelly(f"cache {shown(cache_id)} defined twice")
        if len(self._by_id) >= self._max_refs:
            raise LimitExceeded(f"more than {self._max_refs} live caches (max_refs)")
        entry = self._by_id[cache_id] = HeldCache()
        entry.hold(value, self._handle(cache_id, value))

    def refresh(self, cache_id: int, value: Any) -> None:
        """Follow a ``setCopyableState`` that put another dict in the place of the first."""
        entry = self._by_id.get(cache_id)
        if entry is not None:
            entry.state = vars(value)

    def receive(self, cache_id: object) -> Any:
        """Count one reception of a cache that is held, and return its object.

        Raises:
            MalformedJelly: it is not held.
        """
        entry = self._entry(cache_id)
        value = entry.value()
        if value is None:
            value = entry.revived()
            entry.hold(value, self._handle(cache_id, value))
        elif entry.handle is not None:
            entry.handle.count += 1
        return value

    def observer_of(self, cache_id: int) -> Any:
        """Return the object to tell of a change: the one in use, or one made for the moment.

        Raises:
            MalformedJelly: the cache is not held.
        """
        entry = self._entry(cache_id)
        value = entry.value()
        return entry.revived() if value is None else value

    def remove(self, cache_id: int) -> Any:
        """Forget a cache that the peer has done with; return its object if it is alive."""
        entry = self._by_id.pop(cache_id, None)
        if entry is None:
            raise ProtocolError(f"uncache of cache {shown(cache_id)} that is not held")
        return entry.value()

    def clear(self) -> Iterator[Any]:
        """Forget all; yield the objects that are alive."""
        entries = list(self._by_id.values())
        self._by_id.clear()
        for entry in entries:
            value = entry.value()
            if value is not None:
                yield value

    def _entry(self, cache_id: object) -> HeldCache:
        entry = self._by_id.get(cache_id) if type(cache_id) is int else None
        if entry is None:
            raise MalformedJelly(f"cache {shown(cache_id)} is not held")
        return entry

    def _handle(self, cache_id: Any, value: Any) -> _Import:
        handle = _Import(value, self._collected)
        handle.key = (cache_id, 0)
        handle.count = 1
        return handle

    def _collected(self, handle: _Import) -> None:
        self._on_collected(handle.key[0], handle.count)


class QuestionTable:
    """Calls of ours that have no answer yet."""

    def __init__(self) -> None:
        self.last = 0
        self._open: dict[RequestId, Any] = {}
        self._abandoned: set[RequestId] = set()

    def __len__(self) -> int:
        return len(self._open)

    def ask(self, perspective: Any, wants_answer: bool) -> RequestId:
        """Return the id of a new call; the answer, if one is due, is for ``perspective``."""
        self.last += 1
        request_id = RequestId(self.last)
        if wants_answer:
            self._open[request_id] = perspective
        return request_id

    def forget(self, request_id: RequestId) -> None:
        """Take back a call that was never written."""
        self._open.pop(request_id, None)

    def abandon(self, request_id: RequestId) -> None:
        """Stop waiting; an answer that still comes is dropped."""
        if request_id in self._open:
            del self._open[request_id]
            self._abandoned.add(request_id)

    def take(self, request_id: RequestId) -> tuple[bool, Any]:
        """Return whether the answer is still waited for, and for which perspective.

        Raises:
            ProtocolError: no such call was made, or it has been answered.
        """
        if request_id in self._open:
            return True, self._open.pop(request_id)
        if request_id in self._abandoned:
            self._abandoned.remove(request_id)
            return False, None
        raise ProtocolError(f"answer to unknown request {request_id}")

    def clear(self) -> list[RequestId]:
        """Forget all, and return the calls that will have no answer."""
        waiting = list(self._open)
        self._open.clear()
        self._abandoned.clear()
        return waiting
