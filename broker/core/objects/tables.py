"""The tables of a connection: which side chooses an id, and how long the id is valid.

- **Exports**: local objects that the peer can call. This side chooses the id. Each sending of the
  object adds one to its count, each decref takes one off. At zero the peer cannot name the object
  any more. Ids are never reused.
- **Imports**: objects of the peer. The peer chooses the id. The table has a weak reference to one
  local proxy, and counts how often the object was received. When the proxy is collected, this side
  sends that many decrefs.
- **Questions**: outgoing calls without an answer. This side chooses the id.

At the end of the connection, every table is emptied, and its objects are released. The two tables
of caches are in ``core.objects.caches``.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from broker.core.principal import Principal, split_view
from broker.core.wire.messages import ObjectId, RequestId, Target
from broker.limit_errors import limit_error
from jelly.atoms import text_of
from jelly.errors import LimitExceeded, ProtocolError

if TYPE_CHECKING:
    from broker.core.calls.dispatch import Method

__all__ = ["ExportTable", "ImportTable", "OpenCalls"]


Result = TypeVar("Result")


def shown(object_id: object) -> str:
    """Return an id that the peer sent as text for an error message."""
    return str(object_id) if type(object_id) is int else f"'{text_of(object_id)}'"


def key_of(identity: Hashable, principal: Principal | int | None) -> Hashable:
    """Return a key of an object that differs for each principal."""
    return identity if principal is None else (principal, identity)


def identity_of(key: Hashable) -> Hashable:
    """Return the identity that :func:`key_of` was given."""
    if type(key) is tuple and len(key) == 2 and type(key[0]) is Principal:
        identity: Hashable = key[1]
        return identity
    return key


def directly(function: Callable[..., Result], /, *args: object, **kw: object) -> Result:
    """Call a function in no context of its own."""
    return function(*args, **kw)


class Numbers(Struct, eq=False):
    """Returns the ids 1, 2, 3 …, each once."""

    last: int = 0

    def next(self) -> int:
        """Return the next id."""
        self.last += 1
        return self.last


class Export(Struct, eq=False):
    """One object that the peer can name.

    Attributes:
        value, identity, count: the object, its key in this table, and how often it was sent.
        principal: the user on whose behalf it is called, or None.
        on_release: called when the peer has released it.
        enter, leading, methods: a function that runs a call in the context of the principal, and
            the result of ``dispatch.quick_methods``; set at the first call.
    """

    value: object
    identity: Hashable
    count: int
    principal: Principal | None = None
    enter: Any = directly
    on_release: Callable[[], object] | None = None
    leading: tuple[object, ...] = ()
    methods: Mapping[str, Method] | None = None

    def current(self) -> object:
        """Return the object to call."""
        return self.value


class ExportTable:
    """Local objects that the peer can call.

    Attributes:
        by_id: the entries; a named object has two, one by its name as bytes and one as text.
        max_refs: most objects that the peer may hold at once.
        get: returns the entry of an id, or None: ``get(object_id)``.
    """

    __slots__ = ("_due", "_ids", "_numbers", "by_id", "get", "max_refs")

    def __init__(self, numbers: Numbers, max_refs: int):
        self._numbers = numbers
        self.max_refs = max_refs
        self.by_id: dict[Target, Export] = {}
        self.get: Callable[[Target], Export | None] = self.by_id.get
        self._ids: dict[Hashable, ObjectId] = {}
        self._due: dict[Hashable, Callable[[], object]] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def name(self, name: bytes, value: object) -> None:
        """Let the peer call ``value`` by a name. Named objects are not counted."""
        entry = self.by_id[name] = Export(value, None, 0)
        # In msgpack/1, names are text.
        self.by_id[name.decode("utf-8", "backslashreplace")] = entry

    def own_names(self, principal: Principal | None) -> None:
        """Call named objects on behalf of ``principal`` from now on."""
        for object_id, entry in self.by_id.items():
            if isinstance(object_id, bytes):
                entry.principal = principal
                entry.methods = None

    def forget_methods(self) -> None:
        """Have the methods of all objects looked up again, at the next call of each."""
        for entry in self.by_id.values():
            entry.methods = None

    def add(
        self, value: object, identity: Hashable, principal: Principal | None = None
    ) -> ObjectId:
        """Count one sending of an object, and return its id.

        An object has one id for each principal that has sent it.

        Raises:
            LimitExceeded: the peer holds max_refs objects already.
        """
        identity = key_of(identity, principal)
        object_id = self._ids.get(identity)
        if object_id is not None:
            self.by_id[object_id].count += 1
            return object_id
        if len(self._ids) >= self.max_refs:
            raise limit_error(LimitExceeded, "max_refs", self.max_refs)
        object_id = self._ids[identity] = self._numbers.next()
        entry = self.by_id[object_id] = Export(value, identity, 1, principal)
        entry.on_release = self._due.pop(identity, None)
        return object_id

    def when_released(
        self, identity: Hashable, callback: Callable[[], object], principal: Principal | None = None
    ) -> None:
        """Call ``callback()`` when the peer releases an object that was, or will be, sent."""
        entry = self.entry_of(identity, principal)
        if entry is not None:
            entry.on_release = callback
        else:
            self._due[key_of(identity, principal)] = callback

    def never_sent(self, identity: Hashable, principal: Principal | None = None) -> None:
        """Remove the callback of :meth:`when_released` if the object has not been sent."""
        self._due.pop(key_of(identity, principal), None)

    def entry_of(self, identity: Hashable, principal: Principal | None = None) -> Export | None:
        """Return the entry of an object that was sent, or None."""
        object_id = self._ids.get(key_of(identity, principal))
        return None if object_id is None else self.by_id[object_id]

    def names(self) -> dict[ObjectId, object]:
        """Return the objects that the peer can name, by id."""
        return {
            object_id: entry.value
            for object_id, entry in self.by_id.items()
            if isinstance(object_id, int | bytes)
        }

    def ids(self) -> dict[Hashable, ObjectId]:
        """Return the ids of the sent objects, by identity."""
        return {identity_of(key): object_id for key, object_id in self._ids.items()}

    def callbacks(self) -> dict[Hashable, Callable[[], object]]:
        """Return the callbacks for released objects, by identity; also of objects not yet sent."""
        due: dict[Hashable, Callable[[], object]] = {
            identity_of(key): callback for key, callback in self._due.items()
        }
        for key, object_id in self._ids.items():
            callback = self.by_id[object_id].on_release
            if callback is not None:
                due[identity_of(key)] = callback
        return due

    def never_released(self, identity: Hashable) -> None:
        """Remove all callbacks of :meth:`when_released` for an object."""
        for key in [key for key in self._due if identity_of(key) == identity]:
            del self._due[key]
        for key, object_id in self._ids.items():
            if identity_of(key) == identity:
                self.by_id[object_id].on_release = None

    def release(self, object_id: ObjectId, count: int = 1) -> None:
        """Subtract from the count of an object; at zero, remove the object.

        Raises:
            ProtocolError: the count is smaller than that.
        """
        entry = self.by_id.get(object_id)
        held = 0 if entry is None else entry.count
        if entry is None or not 1 <= count <= held:
            raise ProtocolError(f"decref of object {shown(object_id)} by {count} (held {held})")
        entry.count -= count
        if entry.count == 0:
            del self.by_id[object_id]
            del self._ids[entry.identity]
            if entry.on_release is not None:
                entry.on_release()

    def clear(self) -> None:
        """Remove all objects, without calling their ``on_release``."""
        self.by_id.clear()
        self._ids.clear()
        self._due.clear()


Held = TypeVar("Held")

Key: TypeAlias = tuple[ObjectId, Hashable] | tuple[ObjectId, None, int]
"""The key of a received object: its id, and what tells its references apart."""


class WeakHold(weakref.ref[Held]):
    """A weak reference to a proxy, with the key and the count to release when it is collected."""

    __slots__ = ("count", "key")

    key: Key
    count: int


class Dropped(Protocol):
    """The collected references of a connection."""

    def reference(self, object_id: ObjectId, count: int) -> None:
        """Add an object that was received ``count`` times."""


class ImportTable(Struct, eq=False):
    """Objects of the peer, by id, perspective and principal.

    Args:
        dropped: is told of collected references, at any time and in any thread.
        max_refs: most objects of the peer.
    """

    _dropped: Dropped
    _max_refs: int
    _entries: dict[Key, WeakHold[object]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def receive(
        self, object_id: ObjectId, perspective: object, make: Callable[[object, ObjectId], object]
    ) -> object:
        """Count one reception, and return the one reference to the object.

        Args:
            object_id: as the peer has sent it.
            perspective: PB's perspective; a ``principal.View`` if there is a principal.
            make: returns a new reference: ``make(perspective, object_id)``.

        Raises:
            LimitExceeded: this side holds max_refs objects of the peer already.
        """
        seen_by, principal = split_view(perspective)
        key = (object_id, key_of(id(seen_by), principal and id(principal)))
        entry = self._entries.get(key)
        if entry is not None:
            found = entry()
            if found is not None:
                entry.count += 1
                return found
        elif len(self._entries) >= self._max_refs:
            raise self._too_many()
        made = make(perspective, object_id)
        self._hold(key, made)
        return made

    def adopt(self, object_id: ObjectId, reference: object) -> None:
        """Count one reception for its own reference; a second call for it has no effect.

        Raises:
            LimitExceeded: this side holds max_refs objects of the peer already.
        """
        key = (object_id, None, id(reference))
        if key in self._entries:
            return
        if len(self._entries) >= self._max_refs:
            raise self._too_many()
        self._hold(key, reference)

    def references(self) -> list[object]:
        """Return the references that are alive."""
        return [found for entry in list(self._entries.values()) if (found := entry()) is not None]

    def clear(self) -> None:
        """Remove all entries, without calling ``on_collected``."""
        self._entries.clear()

    def _hold(self, key: Key, reference: object) -> None:
        entry = WeakHold(reference, self._collected)
        entry.key = key
        entry.count = 1
        self._entries[key] = entry

    def _too_many(self) -> LimitExceeded:
        return limit_error(LimitExceeded, "max_refs", self._max_refs)

    def _collected(self, entry: WeakHold[object]) -> None:
        # A finalizer may interrupt any code: it only removes its entry and adds a note.
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
        self._dropped.reference(entry.key[0], entry.count)


class OpenCalls:
    """Outgoing calls without an answer.

    Attributes:
        last: the id of the newest call.
        open: the perspective of each call whose caller waits, by request id.
    """

    __slots__ = ("_abandoned", "last", "open")

    def __init__(self) -> None:
        self.last = 0
        self.open: dict[RequestId, object] = {}
        # A dict, since an empty dict has a quarter of the size of an empty set.
        self._abandoned: dict[RequestId, None] = {}

    def __len__(self) -> int:
        return len(self.open)

    @property
    def size(self) -> int:
        """The number of calls without an answer, with those whose caller has stopped waiting."""
        return len(self.open) + len(self._abandoned)

    def is_pending(self, request_id: RequestId) -> bool:
        """Return whether an answer to a call can come, even if its caller has stopped waiting."""
        return request_id in self.open or request_id in self._abandoned

    def ask(self, perspective: object, wants_answer: bool) -> RequestId:
        """Return the id of a new call, whose answer is decoded for ``perspective``."""
        self.last += 1
        request_id = self.last
        if wants_answer:
            self.open[request_id] = perspective
        return request_id

    def forget(self, request_id: RequestId) -> None:
        """Remove a call that was never sent."""
        self.open.pop(request_id, None)

    def abandon(self, request_id: RequestId) -> bool:
        """Stop waiting for an answer, which is dropped if it comes; return whether it was open."""
        if request_id not in self.open:
            return False
        del self.open[request_id]
        self._abandoned[request_id] = None
        return True

    def perspective_of(self, request_id: RequestId) -> object:
        """Return the perspective of the answer to a call; None for an abandoned call.

        Raises:
            ProtocolError: no such call was made, or it has been answered.
        """
        if request_id not in self.open and request_id not in self._abandoned:
            raise ProtocolError(f"answer to unknown request {request_id}")
        return self.open.get(request_id)

    def take(self, request_id: RequestId) -> tuple[bool, object]:
        """Remove a call; return whether its caller still waits, and the perspective.

        Raises:
            ProtocolError: no such call was made, or it has been answered.
        """
        if request_id in self.open:
            return True, self.open.pop(request_id)
        if request_id in self._abandoned:
            del self._abandoned[request_id]
            return False, None
        raise ProtocolError(f"answer to unknown request {request_id}")

    def clear(self) -> list[RequestId]:
        """Remove all calls, and return those that were open."""
        waiting = list(self.open)
        self.open.clear()
        self._abandoned.clear()
        return waiting
