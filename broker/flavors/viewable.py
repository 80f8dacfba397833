"""Objects seen through a perspective: each of their methods receives the caller's perspective."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from broker.core.calls.dispatch import Route, stands_for_object
from broker.flavors.referenceable import Referenceable, Serializable
from jelly.atoms import Expression

if TYPE_CHECKING:
    from broker.core.host import Invoker
    from jelly.jellier import Jellier

__all__ = ["ViewPoint", "Viewable"]


@stands_for_object
class ViewPoint(Referenceable):
    """One object as one perspective sees it: its ``view_name(perspective, …)`` is called.

    A published name. A new ViewPoint is made for each sending; the peer sees the same object each
    time.
    """

    def __init__(self, perspective: object, object: object):
        self.perspective = perspective
        self.object = object

    def processUniqueID(self) -> Hashable:
        """Return a value that is equal for all ViewPoints of one perspective and one object."""
        return id(self.perspective), id(self.object)

    def route(self) -> Route:
        """Return how calls to this view are made."""
        return Route(self.object, "view_", (self.perspective,), self.perspective)


class Viewable(Serializable):
    """An object of which each perspective gets its own view (published)."""

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return a reference to the receiving perspective's ViewPoint of this object."""
        broker: Invoker = jellier.invoker
        return ViewPoint(broker.serializingPerspective, self).jellyFor(jellier)
