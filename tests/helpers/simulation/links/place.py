"""The objects that links and servers call: each can return others, and so chains can be made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import broker
from broker.defer import Deferred
from simulation.history import History
from simulation.values import Refusal, fingerprint

__all__ = ["BARE", "Place", "PlaceAvatar"]

BARE = frozenset({"place", "place_later", "places", "table", "same", "back", "number"})
"""Methods whose result is the value alone, so that calls can be made on it."""


class Place(broker.Referenceable):
    """An object of one end of one connection.

    Args:
        name: of that end.
        history: is told of each call.
        meet: called with the object that the other side introduces itself with.
    """

    def __init__(
        self, name: str, history: History, meet: Callable[[Any], object] = lambda other: None
    ):
        self.name = name
        self.history = history
        self.meet = meet

    def _begin(self, call: int) -> None:
        self.history.record("start", self.name, call)

    def _end(self, call: int, how: str, what: str) -> None:
        self.history.record("finish", self.name, call, (how, what))

    def _bare(self, call: int, value: Any) -> Any:
        self._end(call, "returned", fingerprint(value))
        return value

    def _returned(self, call: int, value: Any) -> Any:
        return call, self._bare(call, value)

    async def _wait(self, call: int, delay: float) -> None:
        self._begin(call)
        try:
            await asyncio.sleep(delay)
        except asyncio.CancelledError:
            self._end(call, "cancelled", "")
            raise

    def _refuse(self, call: int) -> None:
        self._end(call, "raised", "simulation.values.Refusal")
        raise Refusal(f"call {call} is refused")

    def _other(self) -> Place:
        return Place(self.name, self.history)

    def remote_hello(self, call: int, other: Any) -> Any:
        """Take an object of the caller, and call it from now on."""
        self._begin(call)
        self.meet(other)
        return self._returned(call, None)

    def remote_echo(self, call: int, value: Any) -> Any:
        """Return a value at once."""
        self._begin(call)
        return self._returned(call, value)

    async def remote_later(self, call: int, delay: float, value: Any) -> Any:
        """Return a value after a while."""
        await self._wait(call, delay)
        return self._returned(call, value)

    def remote_deferred(self, call: int, delay: float, value: Any) -> Deferred[Any]:
        """Return a value after a while, by a Deferred of one's own."""
        self._begin(call)
        deferred: Deferred[Any] = Deferred()
        asyncio.get_running_loop().call_later(
            delay, lambda: deferred.callback(self._returned(call, value))
        )
        return deferred

    def remote_note(self, call: int, value: Any) -> None:
        """Take a value, one way."""
        self._begin(call)
        self._end(call, "returned", "None")

    def remote_fail(self, call: int) -> Any:
        """Raise at once."""
        self._begin(call)
        self._refuse(call)

    async def remote_fail_later(self, call: int, delay: float) -> Any:
        """Raise after a while."""
        await self._wait(call, delay)
        self._refuse(call)

    async def remote_buy(self, call: int, delay: float, thing: str) -> Any:
        """Do after a while what must not be done twice; return something small, large, or here."""
        await self._wait(call, delay)
        things = {"large": b"x" * 70_000, "here": self._other()}
        return self._returned(call, things.get(thing, thing))

    def remote_take(self, call: int, *others: Any) -> Any:
        """Take objects."""
        self._begin(call)
        return self._returned(call, list(others))

    # What calls are made on; see `BARE`.

    def remote_made(self, recipe: str) -> Place:
        """Return an object, for a recipe."""
        self.history.record("recipe", self.name, detail=recipe)
        return self._other()

    def remote_place(self, call: int) -> Any:
        """Return an object at once."""
        self._begin(call)
        return self._bare(call, self._other())

    async def remote_place_later(self, call: int, delay: float) -> Any:
        """Return an object after a while."""
        await self._wait(call, delay)
        return self._bare(call, self._other())

    async def remote_places(self, call: int, delay: float) -> Any:
        """Return objects among values."""
        await self._wait(call, delay)
        return self._bare(call, [7, self._other(), self])

    async def remote_table(self, call: int, delay: float) -> Any:
        """Return an object by its key."""
        await self._wait(call, delay)
        return self._bare(call, {"value": 7, "place": self._other()})

    def remote_same(self, call: int) -> Any:
        """Return this object."""
        self._begin(call)
        return self._bare(call, self)

    async def remote_back(self, call: int, delay: float, value: Any) -> Any:
        """Return an object of the caller."""
        await self._wait(call, delay)
        return self._bare(call, value)

    def remote_number(self, call: int) -> Any:
        """Return what cannot be called."""
        self._begin(call)
        return self._bare(call, 5)


class PlaceAvatar(broker.Avatar):
    """A place that one has to log in for."""

    def __init__(self, place: Place, number: int):
        self.place = place
        self.number = number
        place.history.record("login", place.name, detail=number)

    def logout(self) -> None:
        """Write down that the peer has dropped it."""
        self.place.history.record("logout", self.place.name, detail=self.number)


def _at_place(name: str) -> Any:
    def method(self: PlaceAvatar, *args: Any) -> Any:
        return getattr(self.place, f"remote_{name}")(*args)

    async def coroutine(self: PlaceAvatar, *args: Any) -> Any:
        return await getattr(self.place, f"remote_{name}")(*args)

    is_async = asyncio.iscoroutinefunction(getattr(Place, f"remote_{name}"))
    return coroutine if is_async else method


for _name in dir(Place):
    _short = _name.removeprefix("remote_")
    if _name.startswith("remote_") and _short != "MessageReceived":
        setattr(PlaceAvatar, f"perspective_{_short}", _at_place(_short))
