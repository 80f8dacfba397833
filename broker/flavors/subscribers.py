"""Subscribers: the references and cache observers that an event is sent to, even if slow.

Theory of operation. An event is encoded once for all subscribers. It is written to each connection
at the end of the event loop's turn, with the connection's other output. A connection is slow if it
has more unsent bytes than its policy's ``high_water``. The events for its subscribers then wait,
each in its ``subscription.Subscription``, until the connection has caught up. Each subscriber's
:class:`Slow` says how many events may wait, and what happens to further ones.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

from broker.core.wire.broadcast import Broadcast
from broker.errors import WrongType
from broker.flavors.cacheable import RemoteCacheObserver
from broker.flavors.reference import RemoteReference
from broker.flavors.subscription import Delivery, Slow, Subscriber, Subscription, report

__all__ = ["Delivery", "Slow", "Subscribers", "deliveries_to", "delivery_to"]


# The subscriptions of each connection, over all Subscribers.
_of_connection: WeakKeyDictionary[Any, dict[Subscription, None]] = WeakKeyDictionary()
# The counts of those that have ended.
_ended_of: WeakKeyDictionary[Any, Delivery] = WeakKeyDictionary()


def deliveries_to(broker: object) -> list[tuple[Slow, Delivery]]:
    """Return the fate of events and the counts of each subscription of a connection."""
    return [(each.slow, each.now()) for each in _of_connection.get(broker, ())]


def delivery_to(broker: object) -> Delivery:
    """Return the counts of all subscriptions that a connection has had."""
    total = Delivery()
    total.add(_ended_of.get(broker) or Delivery())
    for each in _of_connection.get(broker, ()):
        total.add(each.now())
    return total


class Subscribers:
    """References and cache observers that receive events.

    A reference is removed when its connection ends. An observer is also removed when its peer has
    dropped the cache, before ``stoppedObserving`` is called. ``len()`` returns the number of
    subscribers, iteration yields them.

    Args:
        key: returns the key of an event, which must be hashable, for ``Slow.CONFLATE``: ``key(name,
            args, kw)`` with the method, the tuple of its arguments and the dict of its keywords,
            such as ``lambda name, args, kw: args[0]``. It must not change the arguments or
            keywords.

    Raises:
        WrongType: a TypeError: ``key`` is not callable.
    """

    def __init__(
        self, key: Callable[[str, tuple[Any, ...], dict[str, Any]], Hashable] | None = None
    ) -> None:
        if key is not None and not callable(key):
            raise WrongType(f"key= is a function of an event, not {type(key).__name__}")
        self._key = key
        self._subscriptions: dict[Subscriber, Subscription] = {}
        self._former = Delivery()

    def __repr__(self) -> str:
        return f"<Subscribers, {len(self)}>"

    def __len__(self) -> int:
        return len(self._subscriptions)

    def __iter__(self) -> Iterator[Subscriber]:
        return iter(list(self._subscriptions))

    def add(
        self,
        reference: Subscriber,
        *,
        slow: Slow = Slow.DISCONNECT,
        most: int = 10_000,
        missed: str | None = "missed",
    ) -> None:
        """Send every event from now on to ``reference``, until it is removed.

        Does nothing if it is a subscriber already, or if its connection has ended.

        Args:
            reference: its ``remote_`` methods are called; for a cache observer, the ``observe_``
                methods of the cache at the peer.
            slow: what happens to events when the subscriber is slow.
            most: how many events may wait while the connection has more unsent bytes than the
                policy's ``high_water``; no effect with ``Slow.CONFLATE``.
            missed: the method that is called with the number of lost events: ``missed(number)`` is
                called one way in place of the lost events: before the next event, or when no more
                events wait. None: it is not called.

        Raises:
            ValueError: ``most`` is not positive, or ``Slow.CONFLATE`` is used without a ``key``.
            WrongType: a TypeError: it is neither a reference to a peer's object nor a cache
                observer.
        """
        if not isinstance(reference, RemoteReference | RemoteCacheObserver):
            raise WrongType(
                "a subscriber is a RemoteReference or a RemoteCacheObserver,"
                f" not {type(reference).__name__}"
            )
        if not isinstance(slow, Slow):
            raise WrongType(f"slow= is one of Slow, not {type(slow).__name__}")
        if missed is not None and not isinstance(missed, str):
            raise WrongType(f"missed= is the name of a method, not {type(missed).__name__}")
        if most < 1:
            raise ValueError(f"most is {most}: at least one event must be able to wait")
        if slow is Slow.CONFLATE and self._key is None:
            raise ValueError("Slow.CONFLATE needs Subscribers(key=…)")
        if reference not in self._subscriptions and not reference.is_over:
            subscription = Subscription(reference, slow, most, missed)
            self._subscriptions[reference] = subscription
            _of_connection.setdefault(reference.broker, {})[subscription] = None
            reference.when_over(self.discard)

    def discard(self, reference: Subscriber) -> None:
        """Remove ``reference`` if it is a subscriber, and drop its waiting events."""
        subscription = self._subscriptions.pop(reference, None)
        if subscription is None:
            return
        subscription.end()
        _of_connection.get(subscription.reference.broker, {}).pop(subscription, None)
        self._former.add(subscription.now())
        _ended_of.setdefault(subscription.reference.broker, Delivery()).add(subscription.now())
        subscription.reference.forget_over(self.discard)

    def send(self, _name: str, /, *args: object, **kw: object) -> None:
        """Call a method of every subscriber one way; a disconnected peer is not an error.

        The arguments must not be changed while the event may wait for a subscriber. If an event can
        be sent to only some subscribers, the first error is logged once. The same holds for an
        event that waited for all subscribers, and then could not be sent.

        Raises:
            EncodeError: the event cannot be sent to any subscriber, so it is dropped. An exception
                from a value's hook is raised too.
            TypeError: the key of the event is not hashable. An exception from ``key`` is raised
                too.
            RuntimeError: called outside the connections' event loop.
        """
        broadcast = Broadcast(_name, args, kw)
        key = None if self._key is None else self._key(_name, args, kw)
        hash(key)
        subscriptions = list(self._subscriptions.values())
        if subscriptions:
            subscriptions[0].reference.broker.calls.check_loop(f"Subscribers.send('{_name}')")
        fault: BaseException | None = None
        failed: set[Subscription] = set()
        for subscription in subscriptions:
            error = subscription.tell(broadcast, key)
            if error is not None:
                fault = fault or error
                failed.add(subscription)
        if fault is not None:
            try:
                self._raise_or_log(broadcast, fault, failed, subscriptions)
            finally:
                del fault, error

    def _raise_or_log(
        self,
        broadcast: Broadcast,
        fault: BaseException,
        failed: set[Subscription],
        subscriptions: list[Subscription],
    ) -> None:
        """Raise the error if the event could not be sent to any subscriber, else log it."""
        others = [one for one in subscriptions if one not in failed and one.can_be_told]
        if all(one.has_waiting for one in others):
            for one in others:
                one.withdraw(broadcast)
            try:
                raise fault
            finally:
                del fault
        report(broadcast, fault, f" to {len(failed)} of {len(subscriptions)} subscribers")

    def delivery(self, reference: Subscriber | None = None) -> Delivery:
        """Return the counts of events for one subscriber, or for all subscribers so far.

        Raises:
            KeyError: ``reference`` is not a subscriber.
        """
        if reference is not None:
            return self._subscriptions[reference].now()
        total = Delivery()
        total.add(self._former)
        for subscription in self._subscriptions.values():
            total.add(subscription.now())
        return total
