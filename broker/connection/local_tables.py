"""The published tables of a Broker: views of what its session keeps, under the names of PB's own.

Programs read them to see what the peer holds, and write what is to happen when it lets go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from broker.core.objects.tables import Export, ExportTable
from broker.core.objects.translator import Translator
from broker.core.wire.messages import ObjectId

__all__ = ["Local", "LocalCleanup", "LocalIds", "LocalObjects"]


class Local:
    """An object of ours that a peer can name, and how often it was sent (published).

    Attributes:
        object: the object.
        perspective: always None; a Referenceable belongs to no perspective.
        refcount: how many sendings of it the peer has not dropped.
    """

    perspective: Any = None

    def __init__(self, object: Any, perspective: Any = None):
        self._entry = Export(object, None, 1)
        self.perspective = perspective

    @classmethod
    def of(cls, entry: Export) -> Local:
        """Return the view of an entry of the session's."""
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
        """How many sendings of it the peer has not dropped."""
        return self._entry.count

    def incref(self) -> int:
        """Count one sending more; return how many there are (published)."""
        self._entry.count += 1
        return self._entry.count

    def decref(self) -> int:
        """Count one sending less; return how many there are (published)."""
        self._entry.count -= 1
        return self._entry.count


class LocalObjects(Mapping[ObjectId, Local]):
    """``Broker.localObjects``: what the peer can name, by id, or by name, bytes (published).

    It is read only: objects come in by ``registerReference`` and ``setNameForLocal``.
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


class LocalIds(Mapping[Any, ObjectId]):
    """``Broker.luids``: the ids of what was sent, by ``processUniqueID()`` (published).

    It is read only. What two users of one connection have sent has one of its ids here.
    """

    def __init__(self, exports: ExportTable):
        self._exports = exports

    def __getitem__(self, puid: Any) -> ObjectId:
        return self._exports.ids()[puid]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._exports.ids())

    def __len__(self) -> int:
        return len(self._exports.ids())


class LocalCleanup(MutableMapping[Any, Callable[[], object]]):
    """``Broker._localCleanup``: what is called when the peer lets go, by ``processUniqueID()``.

    It is called once, without arguments, when the peer has dropped all sendings of that object; not
    when the connection ends. The object may be one that is about to be sent.
    """

    def __init__(self, translator: Translator):
        self._translator = translator

    def __getitem__(self, puid: Any) -> Callable[[], object]:
        return self._all()[puid]

    def __setitem__(self, puid: Any, callback: Callable[[], object]) -> None:
        self._translator.exports.when_released(puid, callback, self._translator.principal)

    def __delitem__(self, puid: Any) -> None:
        if puid not in self._all():
            raise KeyError(puid)
        self._translator.exports.never_released(puid)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[Any, Callable[[], object]]:
        return self._translator.exports.callbacks()
