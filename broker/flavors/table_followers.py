"""The followers of a table: which keys each must be told, and the messages that tell them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from broker.core.wire.broadcast import Broadcast
from broker.core.wire.commands import number_of
from broker.core.wire.messages import PlainSendToCache
from broker.errors import DeadReferenceError, TooLarge
from broker.flavors.cacheable import RemoteCacheObserver
from broker.flavors.followers import Follower
from broker.flavors.table_values import MOST_BYTES, ROOM, is_data, size_of

if TYPE_CHECKING:
    from broker.flavors.table import Table

__all__ = ["CHANGED", "MOST_FIRST", "MOST_NODES", "PAIR", "TableFollower"]

CHANGED = "changed"
"""The method of a view that is called with changes."""

MOST_FIRST = 1_048_576
"""Bytes of the values in the first state, and of a batch that is sent in one message."""

MOST_NODES = 250_000
PAIR = 5
"""Most elements of lists in these, and those of a pair, counted so that they suffice in PB's
dialects, too."""

_SEND = number_of(PlainSendToCache)


class TableFollower(Follower):
    """A follower of a table.

    Theory of operation. ``_dirty`` has the keys that it must be told, each with whether it has the
    key. It is None for a follower that is in step.
    """

    __slots__ = ("_dirty", "_table")

    def __init__(self, observer: RemoteCacheObserver, table: Table[Any, Any]):
        super().__init__(observer, type(table).__name__)
        self._table = table
        self._dirty: dict[object, bool] | None = None

    @property
    def is_behind(self) -> bool:
        """Whether it must be told something."""
        return self._dirty is not None

    @property
    def room(self) -> tuple[int, int]:
        """How many bytes and elements its first state may have."""
        broker = self.broker
        limits, terms = broker.policy.limits, broker.session.outbox.terms
        size = min(4 * MOST_FIRST, limits.max_expression, terms.frame)
        return size // 4, min(4 * MOST_NODES, limits.max_nodes, terms.nodes) // 4

    @property
    def waiting(self) -> int:
        """Number of keys that it must be told."""
        return len(self._dirty or ())

    def tell(self, broadcast: Broadcast) -> bool:
        """Send changes, if it is in step, and its connection takes a message now.

        Returns:
            Whether nothing is left to do. It is False too if the changes cannot be sent, such as
            too many for its peer.
        """
        broker = self.broker
        if self._dirty is not None or broker.pump.is_slow():
            return False
        if not broker.calls.is_open:
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

    def _some(self, dirty: Mapping[object, bool], most: int) -> tuple[Broadcast, list[object]]:
        """Return the call that tells some keys, of about ``most`` bytes, and the keys."""
        table = self._table
        items, told = table._items, list[object]()
        pairs: list[list[object]] = []
        gone: list[object] = []
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
