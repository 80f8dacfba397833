"""The tables of a connection: who owns an id, how long it lives, what happens when the peer goes.

- **Exports**: objects of ours that the peer can call. We choose the id; each time the object is
  sent counts one, each decref takes one off; at zero the peer cannot name it any more. Ids are
  never reused.
- **Imports**: objects of the peer's. The peer chooses the id. One reference stands for it here,
  held weakly, and counts how often it was received; when it is collected that many decrefs are due.
- **Questions**: calls of ours that have no answer yet. We choose the id.

When the connection goes, every table is emptied and what it held is let go. The two tables of
caches are in ``core.objects.caches``.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

from broker.core.principal import Principal, split_view
from broker.core.wire.messages import ObjectId, RequestId
from jelly.atoms import text_of
from jelly.errors import LimitExceeded, ProtocolError

__all__ = ["ExportTable", "ImportTable", "OpenCalls"]


def shown(object_id: object) -> str:
    """Return an id of the peer's as text that is fit for a message."""
    return str(object_id) if type(object_id) is int else f"'{text_of(object_id)}'"


def key_of(identity: Any, principal: Principal | int | None) -> Any:
    """Return what tells an object of a principal's from others of this connection."""
    return identity if principal is None else (principal, identity)


def identity_of(key: Any) -> Any:
    """Return the identity that :func:`key_of` was given."""
    is_owned = type(key) is tuple and len(key) == 2 and type(key[0]) is Principal
    return key[1] if is_owned else key


class Numbers:
    """Hands out ids 1, 2, 3 …; never one twice."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = 0

    def next(self) -> int:
        """Return the next id."""
        self.last += 1
        return self.last


class Export:
    """One object that the peer can name.

    Attributes:
        value, identity, count: the object, what tells it from others, how often it was sent.
        principal: on whose behalf it is called; None for nobody.
        on_release: called when the peer has dropped it.
        enter, leading, methods: what runs a call in the context of the principal, and what
            ``dispatch.free_methods`` has found, once it has been called.
    """

    __slots__ = (
        "count",
        "enter",
        "identity",
        "leading",
        "methods",
        "on_release",
        "principal",
        "value",
    )

    def __init__(self, value: Any, identity: Any, count: int, principal: Principal | None = None):
        self.value = value
        self.identity = identity
        self.count = count
        self.principal = principal
        self.enter: Any = None
        self.on_release: Callable[[], object] | None = None
        self.leading: tuple[Any, ...] = ()
        self.methods: Mapping[str, Callable[..., Any]] | None = None


class ExportTable:
    """Objects of ours that the peer can call.

    Attributes:
        max_refs: how many it may hold at once.
    """

    __slots__ = ("_by_id", "_due", "_ids", "_numbers", "max_refs")

    def __init__(self, numbers: Numbers, max_refs: int):
        self._numbers = numbers
        self.max_refs = max_refs
        self._by_id: dict[ObjectId | str, Export] = {}
        self._ids: dict[Any, ObjectId] = {}
        self._due: dict[Any, Callable[[], object]] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def name(self, name: bytes, value: Any) -> None:
        """Let the peer call ``value`` by a name that it knows; it is not counted."""
        entry = self._by_id[name] = Export(value, None, 0)
        # msgpack/1 has text for names.
        self._by_id[name.decode("utf-8", "backslashreplace")] = entry

    def own_names(self, principal: Principal | None) -> None:
        """Have what has a name called on behalf of ``principal`` from now on."""
        for object_id, entry in self._by_id.items():
            if isinstance(object_id, bytes):
                entry.principal = principal
                entry.methods = None

    def add(self, value: Any, identity: Any, principal: Principal | None = None) -> ObjectId:
        """Count one sending of an object, and return the id that it has for the peer.

        An object has one id for each principal that it was sent by.

        Raises:
            LimitExceeded: the peer holds max_refs objects already.
        """
        identity = key_of(identity, principal)
        object_id = self._ids.get(identity)
        if object_id is not None:
            self._by_id[object_id].count += 1
            return object_id
        if len(self._ids) >= self.max_refs:
            raise LimitExceeded(f"more than {self.max_refs} live references (max_refs)")
        object_id = self._ids[identity] = self._numbers.next()
        entry = self._by_id[object_id] = Export(value, identity, 1, principal)
        entry.on_release = self._due.pop(identity, None)
        return object_id

    def when_released(
        self, identity: Any, callback: Callable[[], object], principal: Principal | None = None
    ) -> None:
        """Have ``callback()`` called when the peer drops an object, sent already or about to be."""
        entry = self.entry_of(identity, principal)
        if entry is not None:
            entry.on_release = callback
        else:
            self._due[key_of(identity, principal)] = callback

    def never_sent(self, identity: Any, principal: Principal | None = None) -> None:
        """Forget what :meth:`when_released` was told, if the object has not been sent."""
        self._due.pop(key_of(identity, principal), None)

    @property
    def get(self) -> Callable[[ObjectId | str], Export | None]:
        """Return the entry of an id, or None: ``get(object_id)``."""
        return self._by_id.get

    def entry_of(self, identity: Any, principal: Principal | None = None) -> Export | None:
        """Return the entry of an object that was sent, or None."""
        object_id = self._ids.get(key_of(identity, principal))
        return None if object_id is None else self._by_id[object_id]

    def names(self) -> dict[ObjectId, Any]:
        """Return what the peer can name, by id."""
        return {
            object_id: entry.value
            for object_id, entry in self._by_id.items()
            if not isinstance(object_id, str)
        }

    def ids(self) -> dict[Any, ObjectId]:
        """Return the ids of what was sent, by identity."""
        return {identity_of(key): object_id for key, object_id in self._ids.items()}

    def callbacks(self) -> dict[Any, Callable[[], object]]:
        """Return what is called when objects are dropped, sent already or not, by identity."""
        due: dict[Any, Callable[[], object]] = {
            identity_of(key): callback for key, callback in self._due.items()
        }
        for key, object_id in self._ids.items():
            callback = self._by_id[object_id].on_release
            if callback is not None:
                due[identity_of(key)] = callback
        return due

    def never_released(self, identity: Any) -> None:
        """Take every :meth:`when_released` of an object back."""
        for key in [key for key in self._due if identity_of(key) == identity]:
            del self._due[key]
        for key, object_id in self._ids.items():
            if identity_of(key) == identity:
                self._by_id[object_id].on_release = None

    def release(self, object_id: ObjectId, count: int = 1) -> None:
        """Take sendings off; at zero the object is let go.

        Raises:
            ProtocolError: the peer holds fewer.
        """
        entry = self._by_id.get(object_id)
        held = 0 if entry is None else entry.count
        if entry is None or not 1 <= count <= held:
            raise ProtocolError(f"decref of object {shown(object_id)} by {count} (held {held})")
        entry.count -= count
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


class WeakHold(weakref.ref[Any]):
    """The weak hold on a reference, with what is due when it is collected."""

    __slots__ = ("count", "key")

    key: tuple[Any, ...]
    count: int


class ImportTable:
    """Objects of the peer's, by id, perspective and principal.

    Args:
        on_collected: ``f(object_id, count)``, called at any moment and in any thread.
    """

    __slots__ = ("_entries", "_max_refs", "_on_collected")

    def __init__(self, on_collected: Callable[[ObjectId, int], None], max_refs: int):
        self._on_collected = on_collected
        self._max_refs = max_refs
        self._entries: dict[tuple[Any, ...], WeakHold] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def receive(
        self, object_id: ObjectId, perspective: Any, make: Callable[[Any, ObjectId], Any]
    ) -> Any:
        """Count one reception, and return the one reference to the object.

        Args:
            object_id: as the peer has sent it.
            perspective: through whose eyes it is seen; a ``principal.View`` where there is a
                principal.
            make: returns a new reference: ``make(perspective, object_id)``.

        Raises:
            LimitExceeded: max_refs objects of the peer are alive here already.
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

    def adopt(self, object_id: ObjectId, reference: Any) -> None:
        """Count one reception for a reference that stands for it alone; a second time does nothing.

        Raises:
            LimitExceeded: max_refs objects of the peer are alive here already.
        """
        key = (object_id, None, id(reference))
        if key in self._entries:
            return
        if len(self._entries) >= self._max_refs:
            raise self._too_many()
        self._hold(key, reference)

    def references(self) -> list[Any]:
        """Return the references that are alive."""
        return [found for entry in list(self._entries.values()) if (found := entry()) is not None]

    def clear(self) -> None:
        """Forget all; nothing more is due."""
        self._entries.clear()

    def _hold(self, key: tuple[Any, ...], reference: Any) -> None:
        entry = WeakHold(reference, self._collected)
        entry.key = key
        entry.count = 1
        self._entries[key] = entry

    def _too_many(self) -> LimitExceeded:
        return LimitExceeded(f"more than {self._max_refs} live references (max_refs)")

    def _collected(self, entry: WeakHold) -> None:
        # A finalizer: it may interrupt anything, so it only takes its entry out and leaves a note.
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
        self._on_collected(entry.key[0], entry.count)


class OpenCalls:
    """Calls of ours that have no answer yet.

    Attributes:
        last: the id of the newest call.
        open: those that are waited for, and the perspective of each.
    """

    __slots__ = ("_abandoned", "last", "open")

    def __init__(self) -> None:
        self.last = 0
        self.open: dict[RequestId, Any] = {}
        # A dict, since an empty one is a quarter of a set.
        self._abandoned: dict[RequestId, None] = {}

    def __len__(self) -> int:
        return len(self.open)

    def ask(self, perspective: Any, wants_answer: bool) -> RequestId:
        """Return the id of a new call; the answer, if one is due, is for ``perspective``."""
        self.last += 1
        request_id = self.last
        if wants_answer:
            self.open[request_id] = perspective
        return request_id

    def forget(self, request_id: RequestId) -> None:
        """Take back a call that was never written."""
        self.open.pop(request_id, None)

    def abandon(self, request_id: RequestId) -> bool:
        """Stop waiting; an answer that still comes is dropped. Return whether it was waited for."""
        if request_id not in self.open:
            return False
        del self.open[request_id]
        self._abandoned[request_id] = None
        return True

    def perspective_of(self, request_id: RequestId) -> Any:
        """Return for which perspective the answer to a call is; None for one that was given up.

        Raises:
            ProtocolError: no such call was made, or it has been answered.
        """
        if request_id not in self.open and request_id not in self._abandoned:
            raise ProtocolError(f"answer to unknown request {request_id}")
        return self.open.get(request_id)

    def take(self, request_id: RequestId) -> tuple[bool, Any]:
        """Return whether the answer is still waited for, and for which perspective.

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
        """Forget all, and return the calls that will have no answer."""
        waiting = list(self.open)
        self.open.clear()
        self._abandoned.clear()
        return waiting
