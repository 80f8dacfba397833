"""Subscription: the events for one subscriber, including those that wait while it is slow.

Theory of operation. The events for a subscriber are numbered. If a number is missing among the
written events, that event was lost: it was dropped, or replaced by a newer one of its key. So the
gap before each event is known when the event is written. The subscriber receives the number of lost
events first.
"""

from __future__ import annotations

import enum
import logging
from collections import deque
from collections.abc import Hashable
from typing import Any, TypeAlias

from msgspec import Struct

from broker.core.wire.broadcast import Broadcast
from broker.errors import PBConnectionLost
from broker.flavors.cacheable import RemoteCacheObserver
from broker.flavors.reference import RemoteReference
from broker.traces import log_error

__all__ = ["Delivery", "Slow", "Subscriber", "Subscription", "report"]

logger = logging.getLogger("broker.subscribers")

Subscriber: TypeAlias = RemoteReference | RemoteCacheObserver


class Slow(enum.Enum):
    """How to treat further events for a subscriber when too many are waiting.

    A subscriber that loses events can be told how many; see ``missed`` of ``Subscribers.add``.
    """

    DISCONNECT = "disconnect"
    """Close the subscriber's connection."""

    DROP_OLDEST = "drop oldest"
    """Drop the event that has waited longest, and keep the new one."""

    DROP_NEWEST = "drop newest"
    """Drop the new event."""

    CONFLATE = "conflate"
    """Keep only the newest waiting event of each key. At most one event of each key waits, so the
    number of keys is the limit, and ``most`` has no effect. ``Subscribers(key=…)`` returns the key
    of an event.
    """


class Delivery(Struct):
    """Counts of the events for one subscriber, or for all.

    Each event counts once, as long as the connection is open. A call of ``missed`` does not count.

    Attributes:
        sent: how many were written to the connection.
        dropped: how many were dropped.
        conflated: how many were replaced by a newer event of the same key.
        waiting: how many are waiting until the connection has caught up.
    """

    sent: int = 0
    dropped: int = 0
    conflated: int = 0
    waiting: int = 0

    def add(self, other: Delivery) -> None:
        """Add the counts of another."""
        self.sent += other.sent
        self.dropped += other.dropped
        self.conflated += other.conflated
        self.waiting += other.waiting


class Subscription:
    """One subscriber, and the events that wait for it.

    Args:
        reference: the subscriber.
        slow: what happens to events beyond ``most``.
        most: how many may wait; no effect with ``Slow.CONFLATE``.
        missed: the method that is called with the number of lost events, or None.

    Attributes:
        reference: the subscriber.
    """

    __slots__ = (
        "_by_key",
        "_counts",
        "_is_watching",
        "_last",
        "_missed",
        "_most",
        "_number",
        "_slow",
        "_waiting",
        "reference",
    )

    def __init__(self, reference: Subscriber, slow: Slow, most: int, missed: str | None):
        self.reference = reference
        self._slow = slow
        self._most = most
        self._missed = missed
        self._counts = Delivery()
        # The number of the newest event, and of the last one that was written or reported as
        # missed.
        self._number = 0
        self._last = 0
        # Created when an event waits, which does not happen for most subscribers. In the order of
        # the numbers: in the dict if events are conflated, else in the deque.
        self._waiting: deque[tuple[int, Broadcast]] | None = None
        self._by_key: dict[Hashable, tuple[int, Broadcast]] | None = None
        self._is_watching = False

    @property
    def slow(self) -> Slow:
        """The fate of events when the subscriber is slow."""
        return self._slow

    def now(self) -> Delivery:
        """Return a copy of the counts."""
        counts = self._counts
        return Delivery(counts.sent, counts.dropped, counts.conflated, self._size)

    def tell(self, broadcast: Broadcast, key: Hashable) -> BaseException | None:
        """Send an event, or keep it waiting; return the error if it cannot be sent."""
        self._number += 1
        if not self._waiting and not self._by_key and not self.reference.broker.pump.is_slow():
            return self._write(self._number, broadcast)
        if self._slow is Slow.CONFLATE:
            self._conflate(broadcast, key)
        elif self._size < self._most:
            self._wait(broadcast)
        elif self._slow is Slow.DISCONNECT:
            self.reference.broker.abort(
                PBConnectionLost(f"subscriber is slow ({self._most} events waiting)")
            )
            return None
        else:
            self._counts.dropped += 1
            if self._slow is Slow.DROP_OLDEST and self._waiting:
                self._waiting.popleft()
                self._wait(broadcast)
        self._watch()
        return None

    @property
    def can_be_told(self) -> bool:
        """Whether its connection is open."""
        return self.reference.broker.calls.is_open

    @property
    def has_waiting(self) -> bool:
        """Whether events are waiting, so that the newest one has not been sent."""
        return bool(self._waiting or self._by_key)

    def withdraw(self, broadcast: Broadcast) -> None:
        """Drop the newest event if it is waiting."""
        if self._waiting and self._waiting[-1][1] is broadcast:
            self._waiting.pop()
        elif self._by_key:
            key = next(reversed(self._by_key))
            if self._by_key[key][1] is not broadcast:
                return
            del self._by_key[key]
        else:
            return
        self._counts.dropped += 1
        self._number -= 1

    def end(self) -> None:
        """Drop the waiting events."""
        self._counts.dropped += self._size
        self._waiting = self._by_key = None

    @property
    def _size(self) -> int:
        return len(self._waiting or ()) + len(self._by_key or ())

    def _wait(self, broadcast: Broadcast) -> None:
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append((self._number, broadcast))

    def _conflate(self, broadcast: Broadcast, key: Hashable) -> None:
        if self._by_key is None:
            self._by_key = {}
        # Removed and added again, so that the order is that of the remaining events.
        if self._by_key.pop(key, None) is not None:
            self._counts.conflated += 1
        self._by_key[key] = self._number, broadcast

    def _next(self) -> tuple[int, Broadcast]:
        if self._waiting:
            return self._waiting.popleft()
        by_key: Any = self._by_key
        return by_key.pop(next(iter(by_key)))  # type: ignore[no-any-return]

    def _watch(self) -> None:
        if not self._is_watching:
            self._is_watching = True
            self.reference.broker.pump.when_drained(self._go_on)

    def _go_on(self) -> None:
        """Send waiting events, until the connection is full again."""
        self._is_watching = False
        while self.has_waiting and not self.reference.broker.pump.is_slow():
            number, broadcast = self._next()
            error = self._write(number, broadcast)
            if error is not None:
                report(broadcast, error, " to a subscriber for whom it waited")
        if self.has_waiting:
            self._watch()
        elif self.can_be_told:
            # Events lost after the last sent one are reported now, since no other event may follow.
            self._tell_missed(self._number)

    def _write(self, number: int, broadcast: Broadcast) -> BaseException | None:
        reference = self.reference
        if not reference.broker.calls.is_open:
            return None
        try:
            if number - self._last > 1:
                self._tell_missed(number - 1)
            reference.notify(broadcast)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - handled once for all subscribers
            self._counts.dropped += 1
            # The event itself cannot be sent, and its sender gets the error: it does not count as
            # lost.
            self._last += 1
            return error
        self._last = number
        self._counts.sent += 1
        return None

    def _tell_missed(self, number: int) -> None:
        """Report how many events up to this one were lost, if any."""
        lost, self._last = number - self._last, number
        if lost > 0 and self._missed is not None:
            self.reference.notify(Broadcast(self._missed, (lost,), {}))


def report(broadcast: Broadcast, error: BaseException, to_whom: str) -> None:
    """Log why an event cannot be sent, once for each event."""
    if not broadcast.has_failed:
        broadcast.has_failed = True
        log_error(logger, f"event '{broadcast.name}' was not sent{to_whom}", error)
