"""The published tables of a Broker: views of the tables of its session, with PB's names.

Programs read them to see which objects the peer holds, and set callbacks for when it drops them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, MutableMapping
from typing import Any

from broker.core.objects.tables import Export, ExportTable
from broker.core.objects.translator import Translator
from broker.core.wire.messages import ObjectId

__all__ = ["Local", "LocalCleanup", "LocalIds", "LocalObjects"]


class Local:
    """A local object that the peer can call, and its reference count (published).

    Attributes:
        object: the object.
        perspective: always None; a Referenceable belongs to no perspective.
        refcount: the number of its sendings that the peer has not dropped.
    """

    perspective: Any = None

    def __init__(self, object: Any, perspective: Any = None):
        self._entry = Export(object, None, 1)
        self.perspective = perspective

    @classmethod
    def of(cls, entry: Export) -> Local:
        """Return the view of an entry of the export table."""
        local = cls.__new__(cls)
        local._entry = entry
        return local

    def __repr__(self) -> str:
        return f"<pb.Local {self.object!r} ref:{self.refcount}>"

    @property
    def object(self) -> Any:
        """The object."""
        return self._entry.value

    @property
    def refcount(self) -> int:
        """The number of its sendings that the peer has not dropped."""
        return self._entry.count

    def incref(self) -> int:
        """Add one to the count and return it (published)."""
        self._entry.count += 1
        return self._entry.count

    def decref(self) -> int:
        """Subtract one from the count and return it (published)."""
        self._entry.count -= 1
        return self._entry.count


class LocalObjects(Mapping[ObjectId, Local]):
    """``Broker.localObjects``: objects that the peer can call, by id or name, bytes (published).

    It is read only: ``registerReference`` and ``setNameForLocal`` add objects.
    """

    def __init__(self, exports: ExportTable):
        self._exports = exports

    def __getitem__(self, luid: ObjectId) -> Local:
        entry = self._exports.get(luid)
        if entry is None:
            raise KeyError(luid)
        return Local.of(entry)

    def __iter__(self) -> Iterator[ObjectId]:
        return iter(self._exports.names())

    def __len__(self) -> int:
        return len(self._exports.names())


class LocalIds(Mapping[Hashable, ObjectId]):
    """``Broker.luids``: the ids of sent objects, by ``processUniqueID()`` (published).

    It is read only. An object that was sent by two users of one connection has two ids; one is
    here.
    """

    def __init__(self, exports: ExportTable):
        self._exports = exports

    def __getitem__(self, puid: Hashable) -> ObjectId:
        return self._exports.ids()[puid]

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._exports.ids())

    def __len__(self) -> int:
        return len(self._exports.ids())


class LocalCleanup(MutableMapping[Hashable, Callable[[], object]]):
    """``Broker._localCleanup``: callbacks for dropped objects, by ``processUniqueID()``.

    A callback is called once, without arguments, when the peer has dropped all sendings of the
    object, but not when the connection ends. It may be set before the object is sent.
    """

    def __init__(self, translator: Translator):
        self._translator = translator

    def __getitem__(self, puid: Hashable) -> Callable[[], object]:
        return self._all()[puid]

    def __setitem__(self, puid: Hashable, callback: Callable[[], object]) -> None:
        self._translator.exports.when_released(puid, callback, self._translator.principal)

    def __delitem__(self, puid: Hashable) -> None:
        if puid not in self._all():
            raise KeyError(puid)
        self._translator.exports.never_released(puid)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[Hashable, Callable[[], object]]:
        return self._translator.exports.callbacks()
