"""Objects that stay in their process: only a reference crosses the connection."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from broker.core.calls.dispatch import Route, engine_hook
from broker.interfaces import IPBRoot
from jelly.atoms import Expression
from jelly.bases import Jellyable

if TYPE_CHECKING:
    from broker.core.host import Invoker
    from jelly.jellier import Jellier

__all__ = ["Referenceable", "Root", "Serializable"]


class Serializable(Jellyable):
    """Base of every object that can cross a connection (published)."""

    def processUniqueID(self) -> Hashable:
        """Return a hashable value that identifies this object within this process."""
        return id(self)


class Referenceable(Serializable):
    """An object with ``remote_`` methods for each peer that has received it (published).

    Attributes:
        perspective: the perspective that arguments and results are serialized for; None except for
            views.
    """

    perspective: Any = None

    def route(self) -> Route:
        """Return how calls to this object are made."""
        return Route(self, "remote_", (), self.perspective)

    # In the hooks of all flavors, the broker and the perspective are Any. A program that overrides
    # a hook annotates them with the classes that it knows, such as pb.Broker.
    @engine_hook
    def remoteMessageReceived(
        self, broker: Any, message: str, args: Expression, kw: Expression
    ) -> object:
        """Handle one call; an override receives and returns expressions (published)."""
        return broker.handle_message(self.route(), message, args, kw)

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return ``[remote id]``; the object can be called until the peer drops it."""
        broker: Invoker = jellier.invoker
        return [b"remote", broker.registerReference(self)]


@implementer(IPBRoot)
class Root(Referenceable):
    """The root object of a server without login: every peer gets it (published)."""

    def rootObject(self, broker: Any) -> Any:
        """Return the object that a peer gets first; default: this object."""
        return self
