"""Subscribers: the references and cache observers that an event goes to, also slow ones.

Theory of operation. An event is encoded once, whoever listens. It is written to each connection at
the end of the turn, with what else is due there. A connection that has more unsent than its
policy's ``high_water`` is slow: the events for its subscribers wait here, until it has caught up.
How many may wait, and what happens to those beyond, each subscriber's :class:`Slow` says.
"""

from __future__ import annotations

import enum
import logging
from collections import deque
from collections.abc import Iterator
from typing import Any, TypeAlias

from msgspec import Struct

from broker.core.notice import Notice
from broker.errors import PBConnectionLost, WrongType
from broker.flavors.cacheable import RemoteCacheObserver
from broker.flavors.reference import RemoteReference
from broker.traces import log_error

__all__ = ["Delivery", "Slow", "Subscribers"]

logger = logging.getLogger("broker.subscribers")


class Slow(enum.Enum):
    """What becomes of events for a subscriber for whom too many wait already."""

    DISCONNECT = "disconnect"
    """Its connection is closed."""

    DROP_OLDEST = "drop oldest"
    """The one that has waited longest is dropped for the new one."""

    DROP_NEWEST = "drop newest"
    """The new one is dropped."""


class Delivery(Struct):
    """What has become of the events for one subscriber, or for all.

    Attributes:
        sent: how many were written to the connection.
        dropped: how many never will be.
        waiting: how many will be when the connection has caught up.
    """

    sent: int = 0
    dropped: int = 0
    waiting: int = 0


Subscriber: TypeAlias = RemoteReference | RemoteCacheObserver


class Subscribers:
    """References and cache observers that are told of events.

    A reference is forgotten when its connection ends, an observer also when its follower has
    dropped the cache, before ``stoppedObserving`` is called. ``len()`` tells how many subscribers
    there are, iteration which.
    """

    def __init__(self) -> None:
        self._subscriptions: dict[Subscriber, _Subscription] = {}
        self._former = Delivery()

    def __repr__(self) -> str:
        return f"<Subscribers, {len(self)}>"

    def __len__(self) -> int:
        return len(self._subscriptions)

    def __iter__(self) -> Iterator[Subscriber]:
        return iter(list(self._subscriptions))

    def add(
        self, reference: Subscriber, *, slow: Slow = Slow.DISCONNECT, most: int = 10_000
    ) -> None:
        """Tell ``reference`` of every event from now on, until it is forgotten.

        Nothing happens if it is told already, or if its connection has ended.

        Args:
            reference: whose ``remote_`` methods are called; with a cache observer, the ``observe_``
                methods of its follower's cache.
            slow: what becomes of events when it does not keep up.
            most: events that may wait for it, once its connection has more unsent than the
                policy's ``high_water``.

        Raises:
            ValueError: ``most`` is not positive.
            WrongType: a TypeError: it is neither a reference to an object of a peer's nor the
                observer of a cache.
        """
        if not isinstance(reference, RemoteReference | RemoteCacheObserver):
            raise WrongType(
                "a subscriber is a RemoteReference or a RemoteCacheObserver,"
                f" not {type(reference).__name__}"
            )
        if not isinstance(slow, Slow):
            raise WrongType(f"slow= is one of Slow, not {type(slow).__name__}")
        if most < 1:
            raise ValueError(f"most is {most}: at least one event must be able to wait")
        if reference not in self._subscriptions and not reference.is_over:
            self._subscriptions[reference] = _Subscription(reference, slow, most)
            reference.when_over(self.discard)

    def discard(self, reference: Subscriber) -> None:
        """Tell ``reference`` nothing more, not even what waits, if it is a subscriber."""
        subscription = self._subscriptions.pop(reference, None)
        if subscription is None:
            return
        subscription.end()
        self._former.sent += subscription.delivery.sent
        self._former.dropped += subscription.delivery.dropped
        subscription.reference.forget_over(self.discard)

    def send(self, _name: str, /, *args: Any, **kw: Any) -> None:
        """Call a method of every subscriber one way; a peer that has gone is no error.

        What is passed must not be changed while it may wait for somebody. An event that can be sent
        to some subscribers only is logged once, with the first error. So is one that waited for all
        of them, and then could not be sent.

        Raises:
            EncodeError: the event cannot be sent to anybody, so it is dropped; what a hook of a
                value raises is raised, too.
            RuntimeError: this is not the event loop of the connections.
        """
        notice = Notice(_name, args, kw)
        subscriptions = list(self._subscriptions.values())
        if subscriptions:
            subscriptions[0].reference.broker.calls.check_loop(f"Subscribers.send('{_name}')")
        fault: Exception | None = None
        failed: set[_Subscription] = set()
        for subscription in subscriptions:
            error = subscription.tell(notice)
            if error is not None:
                fault = fault or error
                failed.add(subscription)
        if fault is not None:
            try:
                self._judge(notice, fault, failed, subscriptions)
            finally:
                del fault, error

    def _judge(
        self,
        notice: Notice,
        fault: Exception,
        failed: set[_Subscription],
        subscriptions: list[_Subscription],
    ) -> None:
        """Raise the fault of an event that could be sent to nobody, else log it."""
        others = [one for one in subscriptions if one not in failed and one.can_be_told]
        if all(one.has_waiting for one in others):
            for one in others:
                one.withdraw(notice)
            try:
                raise fault
            finally:
                del fault
        _report(notice, fault, f" to {len(failed)} of {len(subscriptions)} subscribers")

    def delivery(self, reference: Subscriber | None = None) -> Delivery:
        """Return what has become of the events for one subscriber, or for all that ever were.

        Raises:
            KeyError: ``reference`` is no subscriber.
        """
        if reference is not None:
            return self._subscriptions[reference].now()
        total = Delivery(self._former.sent, self._former.dropped)
        for subscription in self._subscriptions.values():
            one = subscription.now()
            total.sent += one.sent
            total.dropped += one.dropped
            total.waiting += one.waiting
        return total


class _Subscription:
    """One subscriber, and the events that wait for it."""

    __slots__ = ("_is_watching", "_most", "_slow", "_waiting", "delivery", "reference")

    def __init__(self, reference: Subscriber, slow: Slow, most: int):
        self.reference = reference
        self.delivery = Delivery()
        self._slow = slow
        self._most = most
        self._waiting: deque[Notice] | None = None
        self._is_watching = False

    def now(self) -> Delivery:
        """Return a copy of the counts."""
        waiting = 0 if self._waiting is None else len(self._waiting)
        return Delivery(self.delivery.sent, self.delivery.dropped, waiting)

    def tell(self, notice: Notice) -> Exception | None:
        """Send an event, or let it wait; return what is wrong with it if it cannot be sent."""
        if not self._waiting and not self._is_slow():
            return self._write(notice)
        if self._waiting is None:
            self._waiting = deque()
        if len(self._waiting) < self._most:
            self._waiting.append(notice)
        elif self._slow is Slow.DISCONNECT:
            self.reference.broker.abort(
                PBConnectionLost(f"subscriber is slow ({self._most} events waiting)")
            )
            return None
        else:
            self.delivery.dropped += 1
            if self._slow is Slow.DROP_OLDEST:
                self._waiting.popleft()
                self._waiting.append(notice)
        self._watch()
        return None

    @property
    def can_be_told(self) -> bool:
        """Whether its connection is open."""
        is_open: bool = self.reference.broker.calls.is_open
        return is_open

    @property
    def has_waiting(self) -> bool:
        """Whether events wait for it, so that the last one has not been sent."""
        return bool(self._waiting)

    def withdraw(self, notice: Notice) -> None:
        """Drop an event, if it waits."""
        if self._waiting and self._waiting[-1] is notice:
            self._waiting.pop()
            self.delivery.dropped += 1

    def end(self) -> None:
        """Drop what waits."""
        if self._waiting:
            self.delivery.dropped += len(self._waiting)
            self._waiting.clear()

    def _watch(self) -> None:
        if not self._is_watching:
            self._is_watching = True
            self.reference.broker.pump.when_drained(self._go_on)

    def _go_on(self) -> None:
        """Send what waits, until the connection is full again."""
        self._is_watching = False
        waiting = self._waiting
        while waiting and not self._is_slow():
            notice = waiting.popleft()
            error = self._write(notice)
            if error is not None:
                _report(notice, error, " to a subscriber for whom it waited")
        if waiting:
            self._watch()

    def _is_slow(self) -> bool:
        """Return whether the connection has more unsent than the policy's high water mark."""
        broker = self.reference.broker
        session = broker.session
        if session.outbox.size > broker.policy.high_water and session.translator.scope is None:
            # What is told while a method of the subscriber's own runs, or in few large events,
            # would grow here, where nobody counts it as unsent.
            broker.flush()
        is_congested: bool = broker.pump.is_congested
        return is_congested

    def _write(self, notice: Notice) -> Exception | None:
        reference = self.reference
        if not reference.broker.calls.is_open:
            return None
        try:
            reference.notify(notice)
        except Exception as error:  # noqa: BLE001 - judged once for all subscribers
            self.delivery.dropped += 1
            return error
        self.delivery.sent += 1
        return None


def _report(notice: Notice, error: Exception, to_whom: str) -> None:
    """Log what is wrong with an event, once for each event."""
    if not notice.has_failed:
        notice.has_failed = True
        log_error(logger, f"event '{notice.name}' was not sent{to_whom}", error)
