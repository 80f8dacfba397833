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
from broker.core.wire.commands import number_of
from broker.core.wire.messages import PlainSendToCache
from broker.errors import DeadReferenceError, TooLarge
from broker.flavors.cacheable import RemoteCacheObserver
from broker.flavors.followers import Follower, Followers, resumed_offset
from broker.flavors.naming import checked_name
from broker.flavors.resumable import Resumable
from broker.flavors.slow_connections import is_slow
from broker.flavors.table_values import (
    ANYTHING,
    MOST_BYTES,
    ROOM,
    Types,
    arguments_of,
    check_key,
    check_size,
    is_data,
    size_of,
    types_of,
)
from broker.history import Position, Recent
from jelly.leaves import ATOMS

__all__ = ["CHANGED", "TAG", "Table"]

K = TypeVar("K")
V = TypeVar("V")

TAG = "broker.Table"
"""The name of a table without a name of its own."""

CHANGED = "changed"
"""The method of a view that is called with changes."""

_MOST_FIRST = 1_048_576
"""Bytes of the values in the first state, and of a batch that is sent in one message."""

_MOST_NODES = 250_000
_PAIR = 5
"""Most elements of lists in these, and those of a pair, counted so that they suffice in PB's
dialects, too."""

_SEND = number_of(PlainSendToCache)


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

    def __init_subclass__(cls, *, name: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if name is not None:
            cls._wire_name = checked_name(cls, name)

    def __init__(self, items: Mapping[K, V] | None = None) -> None:
        self._items: dict[K, V] = {}
        # The offset of the last change of each key, the newest at the end.
        self._changed: dict[K, int] = {}
        self._removed: Recent[K] = Recent(self.history)
        self._followers: Followers[_Follower] = Followers()
        # The keys that a batch has changed, with whether each was there before; None outside.
        self._batch: dict[Any, bool] | None = None
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

    def __getstate__(self) -> dict[str, Any]:
        return {"items": dict(self._items)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Table.__init__(self, state["items"])

    def change(self, _name: str, /, *args: Any) -> NoReturn:
        """Raise TypeError: a table has no changes but those of its keys."""
        raise TypeError("a table changes by its keys: table[key] = value")

    def getTypeToCopy(self) -> str:
        """Return the name of the table on the wire."""
        return self._wire_name

    def getStateToCopy(self) -> dict[str, Any]:
        """Return the whole state."""
        return self._state(list(self._pairs()), True)

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: RemoteCacheObserver) -> Any:
        """Add a follower; return the state to send."""
        follower = _Follower(observer, self)
        since = resumed_offset(observer, self._followers)
        removed = None if since is None else self._removed.since(since)
        if since is not None and removed is not None:
            state = self._state_since(follower, since, [key for _, key in removed])
        else:
            state = self._first_state(follower)
        self._followers.add(follower)
        follower.begin()
        return state

    # What followers are told.

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
        broadcast: Broadcast | None = None
        is_one_message = len(changes) <= _MOST_NODES // _PAIR
        for follower in followers:
            if is_one_message and follower.takes_now:
                if broadcast is None:
                    broadcast = self._message(changes, offset)
                    is_one_message = broadcast is not None
                if broadcast is not None and follower.tell(broadcast):
                    continue
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
                if size > _MOST_FIRST:
                    return None
            is_plain = is_plain and is_data(sent[1])
            pairs.append(list(sent))
        return Broadcast(CHANGED, (pairs, gone, offset), {}, is_plain)

    def _first_state(self, follower: _Follower) -> dict[str, Any]:
        """Return the whole state, or the first part of it; the follower must be told the rest."""
        pairs: list[list[Any]] = []
        most, most_nodes = follower.room
        size, nodes, rest = 0, 0, iter(list(self._items))
        for key in rest:
            pair = list(self._sent(key, self._items[key]))
            added = size_of(*pair)
            size += added
            nodes += _PAIR if type(pair[1]) in ATOMS else _PAIR + added
            if size > most or nodes > most_nodes:
                follower.must_tell(dict.fromkeys([key, *rest], False))
                return self._state(pairs, False)
            pairs.append(pair)
        return self._state(pairs, True)

    def _state_since(self, follower: _Follower, since: int, removed: list[K]) -> dict[str, Any]:
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

    def _state(self, pairs: list[list[Any]], is_whole: bool) -> dict[str, Any]:
        place = self._followers.position
        return {
            "epoch": place.epoch,
            "offset": place.offset,
            "items": pairs,
            "is_whole": is_whole,
        }

    def _pairs(self) -> Iterator[list[Any]]:
        for key, value in self._items.items():
            yield list(self._sent(key, value))

    def _sent(self, key: Any, value: Any) -> tuple[Any, Any]:
        types = self._types
        if types is None:
            types = self._types = self._made_types()
        return (key, value) if types is ANYTHING else types.sent(key, value)

    def _made_types(self) -> Types:
        alias = getattr(self, "__orig_class__", None)
        given = getattr(alias, "__args__", ()) or arguments_of(type(self), Table)
        return types_of(type(self).__name__, given) if given else ANYTHING


class _Follower(Follower):
    """A follower of a table.

    Theory of operation. ``_dirty`` has the keys that it must be told, each with whether it has the
    key. It is None for a follower that is in step.
    """

    __slots__ = ("_dirty", "_table")

    def __init__(self, observer: RemoteCacheObserver, table: Table[Any, Any]):
        super().__init__(observer, type(table).__name__)
        self._table = table
        self._dirty: dict[Any, bool] | None = None

    @property
    def is_behind(self) -> bool:
        return self._dirty is not None

    @property
    def room(self) -> tuple[int, int]:
        """How many bytes and elements its first state may have."""
        broker = self.broker
        limits, terms = broker.policy.limits, broker.session.outbox.terms
        size = min(4 * _MOST_FIRST, limits.max_expression, terms.frame)
        return size // 4, min(4 * _MOST_NODES, limits.max_nodes, terms.nodes) // 4

    @property
    def waiting(self) -> int:
        """Number of keys that it must be told."""
        return len(self._dirty or ())

    @property
    def takes_now(self) -> bool:
        """Whether it is in step, and its connection takes a message now."""
        return self._dirty is None and not is_slow(self.broker)

    def tell(self, broadcast: Broadcast) -> bool:
        """Send changes; return False if they cannot be sent, such as too many for its peer."""
        if not self.broker.calls.is_open:
            return True
        try:
            self.observer.notify(broadcast)
        except DeadReferenceError:
            return True
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - smaller messages are tried, and their error is logged
            return False
        return True

    def must_tell(self, keys: Mapping[Any, bool]) -> None:
        """Have it told the current values of keys, later.

        Args:
            keys: by key, whether the table had it before, and so the follower, if it was in step.
        """
        items, dirty = self._table._items, self._dirty
        if dirty is None:
            dirty = self._dirty = {}
        for key, existed in keys.items():
            if dirty.setdefault(key, existed) is False and key not in items:
                del dirty[key]

    def send_some(self) -> None:
        """Send the current values of some keys; those that are sent wait no more."""
        dirty = self._dirty
        if dirty is None:
            return
        most = MOST_BYTES - ROOM
        while True:
            broadcast, keys = self._some(dirty, most)
            if len(keys) <= 1 or self._fits(broadcast):
                break
            most //= 2
        self.observer.notify(broadcast)
        for key in keys:
            del dirty[key]
        if broadcast.args[2] is not None:
            self._dirty = None

    def _some(self, dirty: Mapping[Any, bool], most: int) -> tuple[Broadcast, list[Any]]:
        """Return the call that tells some keys, of about ``most`` bytes, and the keys."""
        table = self._table
        items, told = table._items, list[Any]()
        pairs: list[list[Any]] = []
        gone: list[Any] = []
        is_plain, size, offset = True, 0, table._followers.offset
        for key in dirty:
            pair = list(table._sent(key, items[key])) if key in items else [key]
            size += size_of(*pair)
            if told and size > most:
                return Broadcast(CHANGED, (pairs, gone, None), {}, is_plain), told
            told.append(key)
            if len(pair) == 1:
                gone.append(key)
            else:
                is_plain = is_plain and is_data(pair[1])
                pairs.append(pair)
        return Broadcast(CHANGED, (pairs, gone, offset), {}, is_plain), told

    def _fits(self, broadcast: Broadcast) -> bool:
        observer = self.observer
        outbox = self.broker.session.outbox
        try:
            return outbox.size_of(observer.cache_id or 0, broadcast, _SEND) <= MOST_BYTES
        except TooLarge:
            return False
