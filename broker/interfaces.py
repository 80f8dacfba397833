"""The published interfaces of the objects that a broker starts from."""

from __future__ import annotations

import sys
from typing import Any

from zope.interface import Interface

__all__ = ["IPBRoot", "IPerspective", "is_root"]


class IPBRoot(Interface):  # type: ignore[misc]
    """What a server is made for."""

    def rootObject(broker: Any) -> Any:
        """Return the Referenceable that ``getRootObject`` of this connection's peer gets."""


class IPerspective(Interface):  # type: ignore[misc]
    """What a realm returns for a peer: the object that the peer's calls go to."""

    def perspectiveMessageReceived(broker: Any, message: str, args: Any, kwargs: Any) -> Any:
        """Handle one call.

        Args:
            broker: the connection's Broker; its ``serialize`` and ``unserialize`` belong here.
            message: the method's name, a str.
            args, kwargs: expressions.

        Returns:
            The expression of the result, or a Deferred of it.
        """


def is_root(target: Any) -> bool:
    """Tell whether an object is an IPBRoot, of ours or of Twisted's, which asks for the same."""
    flavors = sys.modules.get("twisted.spread.flavors")
    return bool(
        IPBRoot.providedBy(target) or (flavors is not None and flavors.IPBRoot.providedBy(target))
    )
