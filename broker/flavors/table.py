"""Table: a dict that followers see, by the last value of each key.

Theory of operation. A change goes out at once to each follower whose connection is fast, encoded
once for all. For any other follower only the keys that it must be told wait, without values. When
its connection has drained, it gets the current values of these keys. A key leaves them only once
its value is sent. With each of these keys goes whether the follower has it: a key that was added
and removed meanwhile needs no message. So the keys that wait are at most those that the follower
has, and those of the table.

To go on after a pause, a follower gets the keys that changed since: the table has the offset of the
last change of each key, and its history has removed keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Generic, NoReturn, TypeVar

from broker.core.wire.broadcast import Broadcast
from broker.flavors.cacheable import RemoteCacheObserver
from broker.flavors.followers import Followers, resumed_offset
from broker.flavors.naming import checked_name
from broker.flavors.resumable import Resumable
from broker.flavors.table_followers import (
    CHANGED,
    MOST_FIRST,
    MOST_NODES,
    PAIR,
    TableFollower,
)
from broker.flavors.table_types import ANYTHING, Types, arguments_of, types_of
from broker.flavors.table_values import check_key, check_size, is_data, size_of
from broker.history import Position, Recent
from jelly.leaves import ATOMS

__all__ = ["TAG", "Table"]

K = TypeVar("K")
V = TypeVar("V")

TAG = "broker.Table"
"""The name of a table without a name of its own."""


class Table(Resumable, MutableMapping[K, V], Generic[K, V]):
    """A replicated dict: a peer to which it is sent gets a ``broker.TableView``.

    ::

        class Book(broker.Table[str, float], name="feed.Book"): ...

        book = Book()
        book["ACME"] = 41.5
        with book.batch():
            book["ACME"] = 42.0
            del book["EMCA"]

    Each change is sent to the followers that keep up. A slow follower gets the last value of each
    key, and at most the keys wait for it. A table is compared and hashed by its identity.

    A subclass may name its types, ``Table[str, float]``, which are checked, and a ``name`` on the
    wire, which a subclass of ``TableView`` with the same name follows. Without a name any
    TableView follows it.

    Attributes:
        history: how many removed keys are remembered, for followers that come back; a subclass may
            set another ``broker.History``.

    Raises:
        WrongType: a TypeError, for ``table[key] = value``: the key is not a str, an int of at most
            64 bits, bytes or a tuple of these; the value is neither builtin data nor an instance of
            a registered class; or one of them does not have the type of the table.
        TooLarge: key and value take more than 65,280 bytes.
        RuntimeError: changed outside the followers' event loop.
    """

    _wire_name = TAG

    def __init_subclass__(cls, *, name: str | None = None, **options: object) -> None:
        super().__init_subclass__(**options)
        if name is not None:
            cls._wire_name = checked_name(cls, name)

    def __init__(self, items: Mapping[K, V] | None = None) -> None:
        self._items: dict[K, V] = {}
        # The offset of the last change of each key, the newest at the end.
        self._changed: dict[K, int] = {}
        self._removed: Recent[K] = Recent(self.history)
        self._followers: Followers[TableFollower] = Followers()
        # The keys that a batch has changed, with whether each was there before; None outside.
        self._batch: dict[K, bool] | None = None
        self._types: Types | None = None
        if items is not None:
            self.update(items)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._items)} keys>"

    # Compared by identity: the tables of caches find it by that.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __getitem__(self, key: K) -> V:
        return self._items[key]

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __setitem__(self, key: K, value: V) -> None:
        self._followers.check_loop("a change of a table")
        check_key(key)
        sent_key, sent_value = self._sent(key, value)
        is_data(sent_value)
        check_size(size_of(sent_key, sent_value))
        existed = key in self._items
        self._items[key] = value
        self._note(key, existed)

    def __delitem__(self, key: K) -> None:
        self._followers.check_loop("a change of a table")
        del self._items[key]
        self._note(key, True)

    def update(self, *args: Any, **kw: Any) -> None:
        """Change several keys as one batch; the arguments are those of ``dict.update``."""
        with self.batch():
            super().update(*args, **kw)

    def clear(self) -> None:
        """Remove all keys, as one batch."""
        with self.batch():
            for key in list(self._items):
                del self[key]

    @contextmanager
    def batch(self) -> Iterator[None]:
        """``with table.batch():`` sends the changes inside together, at its end.

        Followers that keep up apply them together, unless they take more than 1 MiB. The table
        itself changes at once. If the block raises, what it has changed is sent, too. A batch
        within a batch belongs to the outer one.
        """
        if self._batch is not None:
            yield
            return
        self._batch = {}
        try:
            yield
        finally:
            changes, self._batch = self._batch, None
            self._publish(changes)

    @property
    def position(self) -> Position:
        """The place of the last change."""
        return self._followers.position

    def __getstate__(self) -> dict[str, object]:
        return {"items": dict(self._items)}

    def __setstate__(self, state: dict[str, dict[K, V]]) -> None:
        Table.__init__(self, state["items"])

    def change(self, _name: str, /, *args: object) -> NoReturn:
        """Raise TypeError: a table has no changes but those of its keys."""
        raise TypeError("a table changes by its keys: table[key] = value")

    def getTypeToCopy(self) -> str:
        """Return the name of the table on the wire."""
        return self._wire_name

    def getStateToCopy(self) -> dict[str, object]:
        """Return the whole state."""
        return self._state(list(self._pairs()), True)

    def getStateToCacheAndObserveFor(
        self, perspective: object, observer: RemoteCacheObserver
    ) -> object:
        """Add a follower; return the state to send."""
        follower = TableFollower(observer, self)
        since = resumed_offset(observer, self._followers)
        removed = None if since is None else self._removed.since(since)
        if since is not None and removed is not None:
            state = self._state_since(follower, since, [key for _, key in removed])
        else:
            state = self._first_state(follower)
        self._followers.add(follower)
        follower.begin()
        return state

    # Messages to followers.

    def _note(self, key: K, existed: bool) -> None:
        """Note that a key has changed, and tell the followers at the end of a batch."""
        batch = self._batch
        if batch is None:
            self._publish({key: existed})
        elif batch.setdefault(key, existed) is False and key not in self._items:
            del batch[key]

    def _publish(self, changes: dict[K, bool]) -> None:
        """Tell the followers of changes, and of those that a value's hook makes meanwhile."""
        while changes:
            self._batch = {}
            try:
                self._tell(changes)
            finally:
                changes, self._batch = self._batch, None

    def _tell(self, changes: dict[K, bool]) -> None:
        """Number the changes of these keys, and tell the followers."""
        followers, items = self._followers, self._items
        followers.offset = offset = followers.offset + 1
        for key in changes:
            self._changed.pop(key, None)
            if key in items:
                self._changed[key] = offset
            else:
                self._removed.add(offset, key, size_of(key))
        is_one_message = len(followers) > 0 and len(changes) <= MOST_NODES // PAIR
        broadcast = self._message(changes, offset) if is_one_message else None
        for follower in followers:
            if broadcast is None or not follower.tell(broadcast):
                follower.must_tell(changes)
                follower.go_on()

    def _message(self, keys: Mapping[K, bool], offset: int) -> Broadcast | None:
        """Return the call that tells these keys, or None if it is too large."""
        pairs, gone, is_plain, size = [], [], True, 0
        for key in keys:
            if key not in self._items:
                gone.append(key)
                continue
            sent = self._sent(key, self._items[key])
            if len(keys) > 1:
                size += size_of(*sent)
                if size > MOST_FIRST:
                    return None
            is_plain = is_plain and is_data(sent[1])
            pairs.append(list(sent))
        return Broadcast(CHANGED, (pairs, gone, offset), {}, is_plain)

    def _first_state(self, follower: TableFollower) -> dict[str, object]:
        """Return the whole state, or the first part of it; the follower must be told the rest."""
        pairs: list[list[object]] = []
        most, most_nodes = follower.room
        size, nodes, rest = 0, 0, iter(list(self._items))
        for key in rest:
            pair = list(self._sent(key, self._items[key]))
            added = size_of(*pair)
            size += added
            nodes += PAIR if type(pair[1]) in ATOMS else PAIR + added
            if size > most or nodes > most_nodes:
                follower.must_tell(dict.fromkeys([key, *rest], False))
                return self._state(pairs, False)
            pairs.append(pair)
        return self._state(pairs, True)

    def _state_since(
        self, follower: TableFollower, since: int, removed: list[K]
    ) -> dict[str, object]:
        """Return the state of a follower that goes on; it must be told what has changed."""
        keys = []
        for key in reversed(self._changed):
            if self._changed[key] <= since:
                break
            keys.append(key)
        keys.reverse()
        # It may have each of them, or not.
        lacking = dict.fromkeys([*removed, *keys], True)
        if lacking or since < self._followers.offset:
            follower.must_tell(lacking)
        epoch = self._followers.epoch
        return {"epoch": epoch, "since": since, "changes": len(lacking)}

    def _state(self, pairs: list[list[object]], is_whole: bool) -> dict[str, object]:
        place = self._followers.position
        return {
            "epoch": place.epoch,
            "offset": place.offset,
            "items": pairs,
            "is_whole": is_whole,
        }

    def _pairs(self) -> Iterator[list[object]]:
        for key, value in self._items.items():
            yield list(self._sent(key, value))

    def _sent(self, key: object, value: object) -> tuple[object, object]:
        types = self._types
        if types is None:
            types = self._types = self._made_types()
        return (key, value) if types is ANYTHING else types.sent(key, value)

    def _made_types(self) -> Types:
        alias = getattr(self, "__orig_class__", None)
        given = getattr(alias, "__args__", ()) or arguments_of(type(self), Table)
        return types_of(type(self).__name__, given) if given else ANYTHING
