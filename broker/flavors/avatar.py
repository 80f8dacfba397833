"""The avatar that a login returns: the peer can call its ``perspective_`` methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from broker.core.calls.dispatch import Route, engine_hook, overrides_hook, stands_for_object
from broker.flavors.referenceable import Referenceable
from broker.interfaces import IPerspective
from jelly.atoms import Expression

__all__ = ["AsReferenceable", "Avatar"]


@implementer(IPerspective)
class Avatar:
    """One user's view of the application (published).

    A subclass may define ``logout()``. ``broker.realm`` calls it once, when the peer has
    disconnected or has dropped the avatar.
    """

    @engine_hook
    def perspectiveMessageReceived(
        self, broker: Any, message: str, args: Expression, kw: Expression
    ) -> object:
        """Handle one call; an override receives and returns expressions (published)."""
        return broker.handle_message(Route(self, "perspective_", (), self), message, args, kw)


@stands_for_object
class AsReferenceable(Referenceable):
    """Makes an object with a ``<messageType>MessageReceived`` method callable (published).

    Args:
        object: the object that receives the calls.
        messageType: ``"perspective"`` for avatars.
    """

    __slots__ = ("messageType", "object")

    def __init__(self, object: object, messageType: str = "remote"):
        self.object = object
        self.messageType = messageType

    def route(self) -> Route | Callable[..., object]:  # type: ignore[override]
        """Return how calls are made: by the engine, or by a hook that its class defines."""
        target, kind = self.object, self.messageType
        hook = f"{kind}MessageReceived"
        if not hasattr(type(target), hook) or overrides_hook(target, hook):
            return getattr(target, hook)  # type: ignore[no-any-return]
        if isinstance(target, Referenceable):
            return target.route()
        return Route(target, f"{kind}_", (), target)
