"""What the server of the vectors of msgpack/1 serves: objects, copies, caches and errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any
from unittest.mock import patch

import broker
import cred
from broker import pb
from broker.core.policy import STRICT
from broker.defer import Deferred
from jelly.registry import defaults

__all__ = ["POLICY", "Desk", "portal", "surroundings"]

POLICY = STRICT.but(max_refs=20, max_calls=8, max_promised=4, max_streams=4)
"""That of the server: its limits are small, so that vectors beyond them are short."""


class Card(broker.Copyable, broker.RemoteCopy):
    """A copy."""

    owner: str = ""


class Colour(Enum):
    """An enumeration."""

    RED = "red"


class Price(pb.Cacheable):
    """A cache of the server."""

    def __init__(self) -> None:
        self.observers: list[Any] = []

    def getTypeToCopy(self) -> str:
        """Return the name on the wire."""
        return "vectors.Price"

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> dict[str, Any]:
        """Return the price."""
        self.observers.append(observer)
        return {"price": 1}

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        """Forget the observer."""
        self.observers.remove(observer)


class Held(broker.RemoteCache):
    """A cache of the client."""

    price: int = 0

    def observe_set(self, price: int) -> int:
        """Set the price."""
        self.price = price
        return price


class Missing(pb.Error):
    """An error of the application without fields."""


class Full(pb.Error):
    """An error of the application with a field."""

    seats: int


class Thing(broker.Referenceable):
    """An object of the server."""

    def remote_add_one(self, number: int) -> int:
        """Add one."""
        return number + 1


class Desk(broker.Root):
    """The root."""

    def __init__(self) -> None:
        self.things = [Thing()]
        self.price = Price()
        self.kept: Any = None
        self.waiting: dict[str, Deferred[Any]] = {}
        self.subscribers = broker.Subscribers()

    def remote_echo(self, value: Any) -> Any:
        """Return the value."""
        return value

    def remote_pair(self, first: Any, second: Any) -> list[Any]:
        """Return both."""
        return [first, second]

    def remote_keywords(self, /, *args: Any, **kw: Any) -> list[Any]:
        """Return the arguments and the keywords."""
        return [list(args), kw]

    def remote_tuple(self, *args: Any) -> tuple[Any, ...]:
        """Return the arguments."""
        return args

    def remote_same(self, first: Any, second: Any) -> bool:
        """Return whether both are one object."""
        return first is second

    def remote_is_root(self, value: Any) -> bool:
        """Return whether it is this object."""
        return value is self

    def remote_is_thing(self, value: Any) -> bool:
        """Return whether it is the first object."""
        return value is self.things[0]

    def remote_is_price(self, value: Any) -> bool:
        """Return whether it is the cache."""
        return value is self.price

    def remote_keep(self, value: Any) -> None:
        """Keep the value."""
        self.kept = value

    def remote_kept(self) -> Any:
        """Return what is kept."""
        return self.kept

    def remote_forget(self) -> None:
        """Keep nothing."""
        self.kept = None

    def remote_held(self) -> int:
        """Return the price of the cache that is kept."""
        return int(self.kept.price)

    def remote_wait(self, name: str) -> Deferred[Any]:
        """Return a result that comes with ``release``."""
        self.waiting[name] = Deferred()
        return self.waiting[name]

    def remote_release(self, name: str) -> None:
        """Give the waiting call its result."""
        self.waiting.pop(name).callback(name)

    def remote_later_thing(self, name: str) -> Deferred[Any]:
        """Return the first object after ``release``."""
        return self.remote_wait(name).addCallback(lambda _: self.things[0])

    def remote_later_back(self, name: str, value: Any) -> Deferred[Any]:
        """Return a value after ``release``."""
        return self.remote_wait(name).addCallback(lambda _: value)

    def remote_later_fail(self, name: str) -> Deferred[Any]:
        """Fail after ``release``."""

        def fail(result: Any) -> Any:
            raise Missing("not here")

        return self.remote_wait(name).addCallback(fail)

    def remote_keyed(self) -> dict[str, Any]:
        """Return the first object by a key."""
        return {"thing": self.things[0], "price": 5}

    def remote_thing(self) -> Thing:
        """Return the first object."""
        return self.things[0]

    def remote_thrice(self) -> list[Thing]:
        """Return one object three times."""
        return [self.things[0]] * 3

    def remote_waiter(self) -> Desk:
        """Return this object, as one that is not called by its name."""
        return self

    def remote_price(self) -> Price:
        """Return the cache."""
        return self.price

    def remote_prices(self) -> list[Price]:
        """Return the cache twice."""
        return [self.price, self.price]

    def remote_set_price(self, price: int) -> None:
        """Tell all who hold the cache."""
        for observer in self.price.observers:
            observer.callRemote("set", price)

    def remote_use(self, reference: Any) -> Any:
        """Call the object."""
        return reference.callRemote("add_one", 1)

    def remote_ask(self, reference: Any) -> Any:
        """Call the object, and keep it; return the type and the text of the error."""
        self.kept = reference
        return reference.callRemote("fail").addErrback(
            lambda failure: [failure.type, failure.getErrorMessage()]
        )

    def remote_subscribe(self, reference: Any) -> None:
        """Send events to the object."""
        self.subscribers.add(reference)

    def remote_publish(self, event: str) -> None:
        """Send an event."""
        self.subscribers.send("happened", event)

    async def remote_rows(self, *items: Any) -> AsyncIterator[Any]:
        """Make these items."""
        for item in items:
            yield item

    async def remote_count(self, most: int) -> AsyncIterator[int]:
        """Make numbers from 0."""
        for number in range(most):
            yield number

    def remote_sized(self) -> broker.Stream[int]:
        """Return a stream that tells its size."""
        return broker.Stream(self.remote_count(3), size=3)

    async def remote_total(self, numbers: Any) -> int:
        """Add the items of a stream."""
        return sum([number async for number in numbers])

    async def remote_length(self, items: Any) -> int:
        """Return the length of all items together."""
        return sum([len(item) async for item in items])

    async def remote_first(self, items: Any) -> Any:
        """Return the first item, and stop the stream."""
        async with items:
            return await anext(items)

    def remote_fail(self, kind: str) -> Any:
        """Raise an error."""
        if kind == "registered":
            raise Missing("no such book")
        if kind == "fields":
            raise Full("no seats", seats=0)
        raise ValueError("the password of the database is secret")


class Guest(broker.Avatar):
    """A guest."""

    def perspective_hello(self) -> str:
        """Greet."""
        return "hello"


def portal() -> cred.Portal:
    """Return a portal for guests."""
    realm = broker.realm(lambda avatar_id, mind: Guest())
    return cred.Portal(realm, [cred.AllowAnonymousAccess()])


_COPIES = {"vectors.Card": Card, "vectors.Held": Held}
_ERRORS = {"vectors.Missing": Missing, "vectors.Full": Full}


@contextmanager
def surroundings() -> Iterator[None]:
    """Register the classes, and give all errors one id; undo it afterwards."""
    for name, cls in (_COPIES | _ERRORS).items():
        broker.register(cls, name)
    broker.register(Colour, "vectors.Colour")
    try:
        with patch("secrets.token_hex", lambda size: "7f3a9c21"):
            yield
    finally:
        for name in _COPIES:
            del defaults.declared.classes[name.encode()]
        for name in _ERRORS:
            del defaults.declared.errors[name]
        del defaults.declared.factories[b"vectors.Colour"], defaults.declared.forms[Colour]
