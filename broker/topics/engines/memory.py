"""The engine of one process: messages are delivered at once, and a ring for each topic is kept."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from heapq import merge
from operator import itemgetter

from broker.errors import WrongType
from broker.history import History, Position, Recent
from broker.topics.engine import Entry, Lease, Outgoing, Page
from broker.topics.engines.life import StartedEngine
from broker.topics.engines.memory_directory import MemoryDirectory, MemoryNames
from broker.topics.names import matches, overlap

__all__ = ["MemoryEngine"]

_MOST_TOPICS = 10_000
_MOST_BYTES = 268_435_456
# Bytes that an entry counts besides its data.
_HEAD = 200


class _Kept:
    """What is kept of one topic."""

    __slots__ = ("last", "recent", "retained", "size")

    def __init__(self, history: History, now: Callable[[], float]):
        self.recent: Recent[Entry] = Recent(history, now)
        self.retained: Entry | None = None
        self.last = 0
        # As it was counted; the history may be smaller by now.
        self.size = 0


class MemoryEngine(StartedEngine):
    """The default engine: it serves one process, and forgets all when that ends.

    Of more than 10,000 topics, the one that was published least recently goes, with its retained
    value. So do histories of more than 256 MiB together.

    Args:
        history: how much of each topic is kept; ``History(most=0)`` keeps nothing.
        now: the clock, in seconds.

    Attributes:
        capabilities, is_up: see `broker.topics.engine.Engine`.
    """

    capabilities = frozenset({"history", "retained", "presence", "immediate"})
    is_up = True

    def __init__(
        self, *, history: History | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        if history is not None and not isinstance(history, History):
            raise WrongType(f"history= is a History, not {type(history).__name__}")
        super().__init__()
        self._history = History() if history is None else history
        self._now = now
        self._epoch = secrets.token_hex(8)
        self._offset = 0
        self._size = 0
        # The topic that was published least recently is the first.
        self._topics: dict[str, _Kept] = {}
        # The last offsets of topics that are gone; those of still older ones in one number.
        self._gone: dict[str, int] = {}
        self._forgotten = 0
        self._leases: dict[tuple[str, str], tuple[float, int]] = {}
        self._names = MemoryNames(now)

    def directory(self) -> MemoryDirectory:
        """Return the directory for one node; those of one engine share their names."""
        return MemoryDirectory(self._names)

    async def ready(self) -> None:
        """Return at once."""

    def publish(self, messages: list[Outgoing]) -> list[Position | None]:
        """Keep and deliver messages; return their positions."""
        return [self._publish(message) for message in messages]

    async def replay(self, pattern: str, since: Position | None) -> Page | None:
        """Return the messages after a position, or all; None if one of them is gone."""
        offset = 0
        if since is not None:
            if since.epoch != self._epoch or not 0 <= since.offset <= self._offset:
                return None
            offset = since.offset
            if offset < self._forgotten or any(
                offset < last for name, last in self._gone.items() if matches(pattern, name)
            ):
                return None
        found: list[list[tuple[int, Entry]]] = []
        for name, kept in self._topics.items():
            if not matches(pattern, name):
                continue
            recent = kept.recent
            entries = recent.since(max(offset, recent.forgotten) if since is None else offset)
            if entries is None:
                return None
            found.append(entries)
        ordered = merge(*found, key=itemgetter(0))
        return Page([entry for _, entry in ordered], self._position)

    async def retained(self, pattern: str) -> Page:
        """Return the retained values of the topics that a pattern matches."""
        kept = (one.retained for name, one in self._topics.items() if matches(pattern, name))
        entries = [entry for entry in kept if entry is not None]
        entries.sort(key=lambda entry: entry.position.offset if entry.position else 0)
        return Page(entries, self._position)

    async def present(self, leases: list[Lease], seconds: float) -> None:
        """Note or renew leases."""
        end = self._now() + seconds
        for lease in leases:
            self._leases[lease.topic, lease.member] = end, lease.count

    async def members(self, pattern: str) -> list[Lease]:
        """Return the leases that hold, and whose patterns overlap with a pattern."""
        now = self._now()
        self._leases = {key: value for key, value in self._leases.items() if value[0] > now}
        return [
            Lease(topic, member, count)
            for (topic, member), (_, count) in self._leases.items()
            if overlap(pattern, topic)
        ]

    @property
    def _position(self) -> Position:
        return Position(self._epoch, self._offset)

    def _publish(self, message: Outgoing) -> Position:
        self._offset += 1
        position = self._position
        entry = Entry(message.topic, message.data, message.by, position)
        kept = self._topics.pop(message.topic, None) or _Kept(self._history, self._now)
        self._topics[message.topic] = kept
        kept.recent.add(position.offset, entry, len(message.data) + _HEAD)
        self._size += kept.recent.size - kept.size
        kept.size = kept.recent.size
        kept.last = position.offset
        if message.keep:
            kept.retained = None if message.is_removal else entry
        while len(self._topics) > _MOST_TOPICS or (
            self._size > _MOST_BYTES and len(self._topics) > 1
        ):
            self._evict()
        self.deliver(entry)
        return position

    def _evict(self) -> None:
        name = next(iter(self._topics))
        kept = self._topics.pop(name)
        self._size -= kept.size
        self._gone[name] = kept.last
        if len(self._gone) > _MOST_TOPICS:
            self._forgotten = max(self._forgotten, self._gone.pop(next(iter(self._gone))))
