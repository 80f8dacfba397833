"""The published interfaces of roots and perspectives."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from zope.interface import Interface

if TYPE_CHECKING:
    from broker.connection.broker import Broker
    from jelly.atoms import Expression

__all__ = ["IPBRoot", "IPerspective", "is_root"]


class IPBRoot(Interface):  # type: ignore[misc]
    """Makes the root object of each connection of a server."""

    def rootObject(broker: Broker) -> object:
        """Return the Referenceable that ``getRootObject`` of the peer returns a reference to."""


class IPerspective(Interface):  # type: ignore[misc]
    """The object that a realm returns for a peer, and that the peer's calls go to."""

    def perspectiveMessageReceived(
        broker: Broker, message: str, args: Expression, kwargs: Expression
    ) -> object:
        """Handle one call.

        Args:
            broker: the Broker of the connection, with ``serialize`` and ``unserialize``.
            message: the method's name, a str.
            args, kwargs: expressions.

        Returns:
            The expression of the result, or a Deferred of it.
        """


def is_root(target: object) -> bool:
    """Return whether an object provides IPBRoot, or Twisted's interface of the same methods."""
    flavors = sys.modules.get("twisted.spread.flavors")
    return bool(
        IPBRoot.providedBy(target) or (flavors is not None and flavors.IPBRoot.providedBy(target))
    )
