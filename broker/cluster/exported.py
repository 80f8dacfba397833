"""One name that this node holds: its object, and the check of each call to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from broker.core.calls.dispatch import Route, routes_each_call
from broker.errors import NameLost
from broker.flavors.referenceable import Referenceable
from broker.topics.directory import Holder

__all__ = ["Exported", "Facet"]


class Exported:
    """A name that this node holds, or is about to claim.

    Attributes:
        name: the name.
        target: its object; None while it is being made.
        is_made: whether a factory makes it, so that another node may make it anew.
        holder: who holds the name; None while no claim of this node counts.
        is_over: whether the program has withdrawn it, or it was lost for good.
        settled: is done when the object can be called, or cannot be had. Its result is who holds
            the name.
    """

    def __init__(self, name: str, target: Referenceable | None, has_lease: Callable[[], bool]):
        self.name = name
        self.target = target
        self.is_made = target is None
        self.holder: Holder | None = None
        self.is_over = False
        self.settled: asyncio.Future[Holder] = asyncio.get_running_loop().create_future()
        # Without this, asyncio logs an exception that no task has waited for.
        self.settled.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._has_lease = has_lease
        self._facet: Facet | None = None

    def facet(self, number: int) -> Facet:
        """Return what other nodes call.

        Raises:
            NameLost: the claim of that number does not count any more.
        """
        self.check(self.holder)
        if self.holder is None or self.holder.number != number or self.target is None:
            raise lost(self.name)
        if self._facet is None or self._facet.holder is not self.holder:
            self._facet = Facet(self, self.target, self.holder)
        return self._facet

    def check(self, holder: Holder | None) -> None:
        """Check that a claim still counts.

        Raises:
            NameLost: it does not.
        """
        if holder is None or holder is not self.holder or self.is_over or not self._has_lease():
            raise lost(self.name)


@routes_each_call
class Facet(Referenceable):
    """An object as other nodes call it, under one claim of its name."""

    def __init__(self, exported: Exported, target: Referenceable, holder: Holder):
        self.holder = holder
        self._exported = exported
        self._target = target

    def route(self) -> Route:
        """Return the route of the object; it is asked for at each call.

        Raises:
            NameLost: the name was withdrawn or lost since.
        """
        self._exported.check(self.holder)
        return self._target.route()


def lost(name: str) -> NameLost:
    """Return the error of a call to an object whose name is not held here any more."""
    return NameLost(f"this node does not hold '{name}' any more")
