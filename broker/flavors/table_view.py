"""TableView: a table of a peer, as its follower sees it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from weakref import WeakSet

from broker.core.calls.dispatch import Route
from broker.errors import NoSuchMethod, PBConnectionLost, WrongArguments, WrongType
from broker.flavors.cacheable import RemoteCache
from broker.flavors.copyable import register
from broker.flavors.followed import is_offset, place_in
from broker.flavors.table_changes import Changes, Gone
from broker.flavors.table_types import ANYTHING, Types, arguments_of, types_of, view_plan
from broker.flavors.table_values import check_key, size_of
from broker.history import LARGEST_OFFSET, Position
from jelly.atoms import Expression
from jelly.errors import InsecureJelly, JellyError, MalformedJelly
from jelly.fields import engine_class
from jelly.keys import KeyGuard, is_compound
from jelly.limits import Limits

if TYPE_CHECKING:
    from broker.flavors.contracts.plans import Plan, Planner
    from broker.flavors.followed import Followed
    from jelly.unjellier import Unjellier

__all__ = ["TableView"]

K = TypeVar("K")
V = TypeVar("V")

_KEYS = frozenset({"epoch", "offset", "items", "is_whole"})
_TEXTS = frozenset({str, bytes})
# Most compound keys of a view that may have the same hash; see ``jelly.keys``.
_MOST_ALIKE = 16
_NONE: Any = object()
_MOST_DROPPED = 16_777_216
_PLAIN_TAG = b"broker.Table"


@engine_class(
    "_items", "_alike", "_is_complete", "_is_wrong", "_readers", "_types", "_is_kept", "_room"
)
class TableView(RemoteCache, Mapping[K, V], Generic[K, V]):
    """A table of a peer: a read-only Mapping that its owner keeps up to date.

    A client gets one where the server sends a ``broker.Table``. A server takes a table of a client
    only with a name, for which the program has a subclass. To have types checked and
    converted, declare the result as ``TableView[str, float]`` in a contract, or make a subclass
    with the name of the table, ``class BookView(broker.TableView[str, float], name="feed.Book")``.

    While the view catches up, after its connection was slow or new, it has old and new values, and
    :attr:`is_current` is False.
    """

    _items: Mapping[K, V] = MappingProxyType({})
    _alike: Counter[int] | None = None
    _is_complete = False
    _is_wrong = False
    _is_kept = False
    _readers: WeakSet[Changes[K, V]] | None = None
    _types: Types | None = None
    # Bytes of changes that are still taken after the application has dropped the view, since it may
    # come again before its owner knows; None while it is not dropped.
    _room: int | None = None

    def __init_subclass__(cls, *, name: str | None = None, **options: object) -> None:
        super().__init_subclass__(**options)
        if name is not None:
            register(cls, name, typed=False)

    def __repr__(self) -> str:
        state = "current" if self.is_current else "not current"
        return f"<{type(self).__name__} of {len(self._items)} keys, {state}>"

    def __getitem__(self, key: K) -> V:
        return self._items[key]

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def position(self) -> Position:
        """The place of the last change of the table up to which the view is complete.

        Raises:
            AttributeError: the view has no state yet.
        """
        if self.followed_place is None:
            raise AttributeError("the table has no state yet")
        return self.followed_place

    @property
    def is_current(self) -> bool:
        """Whether the view has all that its owner has sent.

        It is False while it catches up, after the connection has ended, and for good after the
        owner has sent a change that is not allowed.
        """
        return self.broker is not None and self._is_complete and not self._is_wrong

    def changes(self) -> AsyncIterator[tuple[K, V | Literal[Gone.GONE]]]:
        """Return an iterator over the changes from now on: ``async for key, value in …``.

        It yields each changed key once with its newest value, which is ``broker.GONE`` if the key
        was removed. A slow reader gets fewer values, never an old one.

        When the connection ends, the iterator yields what it has and raises PBConnectionLost. The
        view of a ``broker.Link`` goes on with the next connection.
        """
        reader: Changes[K, V] = Changes(lambda: self._items)
        if self._readers is None:
            object.__setattr__(self, "_readers", WeakSet())
        self._readers.add(reader)  # type: ignore[union-attr]
        if self.broker is None and not self._is_kept:
            reader.end(_ended())
        return reader

    # What the owner sends.

    def unjellied_state(self, unjellier: Unjellier, jellyList: list[Any]) -> Expression:
        """Return the expression of the state.

        Raises:
            InsecureJelly: this end is a server, whose program has registered no class for tables.
        """
        is_client = getattr(unjellier.invoker, "isClient", True)
        if not is_client and jellyList[0] == _PLAIN_TAG:
            raise InsecureJelly(
                "type 'broker.Table' is taken by clients; at a server, give the table a name, and"
                " a subclass of broker.TableView the same"
            )
        return super().unjellied_state(unjellier, jellyList)

    def route(self) -> Route:
        """Return how the owner's calls are made."""
        return Route(self, "observe_")

    def setCopyableState(self, state: Any) -> None:
        """Take the state of the table."""
        self._take_state(state, True)

    def observe_changed(self, pairs: object, gone: object, offset: object = None) -> None:
        """Take changes of the owner; see ``docs/reference/wire/msgpack.md``.

        Raises:
            WrongArguments: they are not allowed. Then none of them is applied.
        """
        place = self.followed_place
        # The usual change: without this, 200 views that follow 50 changes take 1.1 times as long.
        if (
            place is not None
            and self._readers is None
            and self._room is None
            and self._types is ANYTHING
            and type(pairs) is list
            and len(pairs) == 1
            and gone == []
            and type(offset) is int
            and place.offset < offset <= LARGEST_OFFSET
        ):
            pair = pairs[0]
            if type(pair) is list and len(pair) == 2 and type(pair[0]) is str:
                own = self.__dict__
                own["_items"][pair[0]] = pair[1]
                own["followed_place"] = Position(place.epoch, offset)
                own["_is_complete"] = True
                return
        try:
            if place is None:
                raise MalformedJelly("the table has no state yet")
            if offset is not None and not (is_offset(offset) and offset >= place.offset):
                raise MalformedJelly(f"an offset that does not follow {place.offset}")
            if type(gone) is not list:
                raise MalformedJelly("the removed keys are not a list")
            self._check_keys(gone)
            read = self._read(pairs)
        except JellyError as error:
            if self._is_wrong:
                # One record tells it.
                return
            self._put("_is_wrong", True)
            raise WrongArguments(f"changed: {error}") from None
        if self._room is not None and not self._has_room(read):
            return
        self._apply(read, gone)
        self._put("_is_complete", offset is not None)
        if offset is not None:
            self._put("followed_place", Position(place.epoch, offset))

    def observe_resumable_change(self, offset: object, name: object, *args: object) -> object:
        """Refuse the change of an object that is not a table."""
        raise NoSuchMethod("a table is changed by 'changed'")

    def observe_resumable_state(self, state: object) -> object:
        """Refuse the state of an object that is not a table."""
        raise NoSuchMethod("a table is changed by 'changed'")

    def _take_state(self, state: object, declared: bool) -> None:
        place = place_in(state)
        if place is None or not isinstance(state, dict) or not state.keys() >= _KEYS:
            raise MalformedJelly("a table without epoch, offset, items and is_whole")
        if type(state["is_whole"]) is not bool:
            raise MalformedJelly("a table whose is_whole is not a bool")
        self._put("_alike", None)
        read = self._read(state["items"], is_first=True)
        self._replace(read)
        self._put("followed_place", place)
        self._put("_is_complete", state["is_whole"])
        self._put("_is_wrong", False)

    def _resume(self, changes: int) -> None:
        if changes:
            self._put("_is_complete", False)

    def _stay(self, is_kept: bool) -> None:
        self._put("_is_kept", is_kept)
        if self.broker is None:
            self._tell_ended()

    def _adopt(self, later: Followed) -> None:
        if isinstance(later, TableView):
            self._replace(dict(later._items))
            for name in ("_alike", "_is_complete", "_is_wrong", "followed_place"):
                self._put(name, getattr(later, name))

    def _note_dropped(self, is_dropped: bool) -> None:
        """Note that the application has dropped the view, or has it again."""
        if not is_dropped:
            self._put("_room", None)
        elif self._room is None:
            self._put("_room", _MOST_DROPPED)

    def _has_room(self, read: dict[K, V]) -> bool:
        """Count changes of a dropped view; False if its owner sends them without an end."""
        room = max(0, (self._room or 0) - size_of(read))
        self._put("_room", room)
        if not room:
            self._put("_items", {})
            self._put("_is_wrong", True)
        return room > 0

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        if name == "broker" and value is None:
            # The connection has ended.
            self._tell_ended()

    def _tell_ended(self) -> None:
        for reader in () if self._is_kept else self._readers or ():
            reader.end(_ended())

    def _put(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    # Keys and values.

    def _check_keys(self, keys: list[K]) -> None:
        """Refuse keys that cannot be hashed, or not cheaply.

        Raises:
            MalformedJelly, InsecureJelly, LimitExceeded: some of them are refused.
        """
        if _TEXTS.issuperset(map(type, keys)):
            return
        try:
            for key in keys:
                check_key(key)
        except WrongType as error:
            raise MalformedJelly(str(error)) from None
        limits = Limits() if self.broker is None else self.broker.policy.limits
        KeyGuard(limits).check(keys, "key of a table", Counter())

    def _read(self, pairs: object, is_first: bool = False) -> dict[K, V]:
        """Return received keys and values, checked and converted.

        Raises:
            MalformedJelly, InsecureJelly, LimitExceeded: some of them are refused.
        """
        if type(pairs) is not list:
            raise MalformedJelly("the items of a table are not a list")
        for pair in pairs:
            if type(pair) not in (list, tuple) or len(pair) != 2:
                raise MalformedJelly("an item of a table is not a pair")
        self._check_keys([key for key, _ in pairs])
        types = self._known_types()
        if types is not ANYTHING:
            try:
                pairs = [types.received(key, value) for key, value in pairs]
            except WrongType as error:
                raise MalformedJelly(str(error)) from None
        read = dict(pairs)
        self._count_alike(read, is_first)
        return read

    def _count_alike(self, read: Iterable[K], is_first: bool) -> None:
        """Refuse more new keys with the same hash than chance explains."""
        new = [
            key for key in read if is_compound(type(key)) and (is_first or key not in self._items)
        ]
        if not new:
            return
        alike = self._alike
        if alike is None:
            alike = Counter()
            self._put("_alike", alike)
        hashes = list(map(hash, new))
        alike.update(hashes)
        if max(map(alike.__getitem__, hashes)) > _MOST_ALIKE:
            alike.subtract(hashes)
            raise MalformedJelly(f"more than {_MOST_ALIKE} keys with the same hash")

    def _apply(self, read: dict[K, V], gone: list[K]) -> None:
        items: Any = self._items
        readers = list(self._readers or ())
        for key, value in read.items():
            existed = key in items
            items[key] = value
            for reader in readers:
                reader.note(key, existed)
        for key in gone:
            if items.pop(key, _NONE) is _NONE:
                continue
            if self._alike is not None and is_compound(type(key)):
                self._alike[hash(key)] -= 1
                self._alike += Counter()
            for reader in readers:
                reader.note(key, True)

    def _replace(self, read: dict[K, V]) -> None:
        former = self._items
        self._put("_items", read)
        for reader in self._readers or ():
            for key in former:
                if key not in read:
                    reader.note(key, True)
            for key, value in read.items():
                if key not in former or former[key] != value:
                    reader.note(key, key in former)

    # Types.

    def _known_types(self) -> Types:
        types = self._types
        if types is None:
            given = arguments_of(type(self), TableView)
            types = types_of(type(self).__name__, given) if given else ANYTHING
            self._put("_types", types)
        return types

    def _give_types(self, types: Types) -> None:
        """Check and convert the values by types from now on.

        Raises:
            WrongType: a value does not have its type, or the view has other types.
        """
        known = self._known_types()
        if known is not ANYTHING:
            if known.text.partition("[")[2] != types.text.partition("[")[2]:
                raise WrongType(f"the view is a {known.text}, not a {types.text}")
            return
        self._put("_items", dict(types.received(*pair) for pair in self._items.items()))
        self._put("_types", types)

    @classmethod
    def _broker_plan(cls, hint: object, where: str, plan_of: Planner) -> Plan:
        """Return the plan of a view with types in a contract; see ``contracts.values``."""
        return view_plan(cls, hint)


def _ended() -> PBConnectionLost:
    return PBConnectionLost("the connection of this table has ended")
