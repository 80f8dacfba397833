"""Objects that stay where they are: what crosses is a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from broker.core.calls.dispatch import Route, engine_hook
from broker.interfaces import IPBRoot
from jelly.atoms import Expression
from jelly.bases import Jellyable

if TYPE_CHECKING:
    from jelly.jellier import Jellier

__all__ = ["Referenceable", "Root", "Serializable"]


class Serializable(Jellyable):
    """Base of everything that can cross a connection (published)."""

    def processUniqueID(self) -> Any:
        """Return what tells this object from all others in this process, and is hashable."""
        return id(self)


class Referenceable(Serializable):
    """An object whose ``remote_`` methods a peer that was given it can call (published).

    Attributes:
        perspective: through whose eyes arguments and results are seen; None but for views.
    """

    perspective: Any = None

    def route(self) -> Route:
        """Return how calls to this object are made."""
        return Route(self, "remote_", (), self.perspective)

    @engine_hook
    def remoteMessageReceived(
        self, broker: Any, message: str, args: Expression, kw: Expression
    ) -> Any:
        """Handle one call; a class that overrides this gets and returns expressions (published)."""
        return broker.handle_message(self.route(), message, args, kw)

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return ``[remote id]``; the object can be called until the peer drops it."""
        return [b"remote", jellier.invoker.registerReference(self)]


@implementer(IPBRoot)
class Root(Referenceable):
    """A server without login: every peer gets this object (published)."""

    def rootObject(self, broker: Any) -> Any:
        """Return the object that a peer starts from; this one, unless overridden."""
        return self
