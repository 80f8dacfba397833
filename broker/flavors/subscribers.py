"""Subscribers: the references and cache observers that an event goes to, also slow ones.

Theory of operation. An event is encoded once, whoever listens. It is written to each connection at
the end of the turn, with what else is due there. A connection that has more unsent than its
policy's ``high_water`` is slow: the events for its subscribers wait, each in its
``subscription.Subscription``, until it has caught up. How many may wait, and what happens to those
beyond, each subscriber's :class:`Slow` says.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any

from broker.core.wire.broadcast import Broadcast
from broker.errors import WrongType
from broker.flavors.cacheable import RemoteCacheObserver
from broker.flavors.reference import RemoteReference
from broker.flavors.subscription import Delivery, Slow, Subscriber, Subscription, report

__all__ = ["Delivery", "Slow", "Subscribers"]


class Subscribers:
    """References and cache observers that are told of events.

    A reference is forgotten when its connection ends, an observer also when its follower has
    dropped the cache, before ``stoppedObserving`` is called. ``len()`` tells how many subscribers
    there are, iteration which.

    Args:
        key: returns the key of an event, which is hashable, for ``Slow.CONFLATE``:
            ``key(name, args, kw)`` with the method, the tuple of its arguments and the dict of its
            keywords, such as ``lambda name, args, kw: args[0]``. It must change neither.

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
        """Tell ``reference`` of every event from now on, until it is forgotten.

        Nothing happens if it is told already, or if its connection has ended.

        Args:
            reference: whose ``remote_`` methods are called; with a cache observer, the ``observe_``
                methods of its follower's cache.
            slow: what becomes of events when it does not keep up.
            most: events that may wait for it, once its connection has more unsent than the
                policy's ``high_water``; without effect with ``Slow.CONFLATE``.
            missed: the method that tells it of events that it has lost: ``missed(number)`` is
                called one way, where they would have come: before the next event, or when nothing
                waits any more. None: it is not told.

        Raises:
            ValueError: ``most`` is not positive, or events have no key to conflate them by.
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
        if missed is not None and not isinstance(missed, str):
            raise WrongType(f"missed= is the name of a method, not {type(missed).__name__}")
        if most < 1:
            raise ValueError(f"most is {most}: at least one event must be able to wait")
        if slow is Slow.CONFLATE and self._key is None:
            raise ValueError("Slow.CONFLATE needs Subscribers(key=…)")
        if reference not in self._subscriptions and not reference.is_over:
            self._subscriptions[reference] = Subscription(reference, slow, most, missed)
            reference.when_over(self.discard)

    def discard(self, reference: Subscriber) -> None:
        """Tell ``reference`` nothing more, not even what waits, if it is a subscriber."""
        subscription = self._subscriptions.pop(reference, None)
        if subscription is None:
            return
        subscription.end()
        self._former.add(subscription.now())
        subscription.reference.forget_over(self.discard)

    def send(self, _name: str, /, *args: Any, **kw: Any) -> None:
        """Call a method of every subscriber one way; a peer that has gone is no error.

        What is passed must not be changed while it may wait for somebody. An event that can be sent
        to some subscribers only is logged once, with the first error. So is one that waited for all
        of them, and then could not be sent.

        Raises:
            EncodeError: the event cannot be sent to anybody, so it is dropped; what a hook of a
                value raises is raised, too.
            TypeError: the key of the event is not hashable; what ``key`` raises is raised, too.
            RuntimeError: this is not the event loop of the connections.
        """
        notice = Broadcast(_name, args, kw)
        key = None if self._key is None else self._key(_name, args, kw)
        hash(key)
        subscriptions = list(self._subscriptions.values())
        if subscriptions:
            subscriptions[0].reference.broker.calls.check_loop(f"Subscribers.send('{_name}')")
        fault: BaseException | None = None
        failed: set[Subscription] = set()
        for subscription in subscriptions:
            error = subscription.tell(notice, key)
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
        notice: Broadcast,
        fault: BaseException,
        failed: set[Subscription],
        subscriptions: list[Subscription],
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
        report(notice, fault, f" to {len(failed)} of {len(subscriptions)} subscribers")

    def delivery(self, reference: Subscriber | None = None) -> Delivery:
        """Return what has become of the events for one subscriber, or for all that ever were.

        Raises:
            KeyError: ``reference`` is no subscriber.
        """
        if reference is not None:
            return self._subscriptions[reference].now()
        total = Delivery()
        total.add(self._former)
        for subscription in self._subscriptions.values():
            total.add(subscription.now())
        return total
