"""Objects seen through a perspective: each of their methods is told who is looking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.core.calls.dispatch import Route
from broker.flavors.referenceable import Referenceable, Serializable
from jelly.atoms import Expression

if TYPE_CHECKING:
    from jelly.jellier import Jellier

__all__ = ["ViewPoint", "Viewable"]


class ViewPoint(Referenceable):
    """One object as one perspective sees it: its ``view_name(perspective, …)`` is called.

    A published name; made anew for each sending, and the same object to the peer each time.
    """

    def __init__(self, perspective: Any, object: Any):
        self.perspective = perspective
        self.object = object

    def processUniqueID(self) -> Any:
        """Return what is the same for every ViewPoint of the same two."""
        return id(self.perspective), id(self.object)

    def route(self) -> Route:
        """Return how calls to this view are made."""
        return Route(self.object, "view_", (self.perspective,), self.perspective)


class Viewable(Serializable):
    """An object of which each perspective gets a view of its own (published)."""

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return the reference to the ViewPoint of the perspective that this is sent to."""
        return ViewPoint(jellier.invoker.serializingPerspective, self).jellyFor(jellier)
