"""The published interfaces of the objects that a broker starts from."""

from __future__ import annotations

from zope.interface import Interface

__all__ = ["IPBRoot", "IPerspective"]


class IPBRoot(Interface):
    """What a server is made for."""

    def rootObject(broker):
        """Return the Referenceable that ``getRootObject`` of this connection's peer gets."""


class IPerspective(Interface):
    """What a realm returns for a peer: the object that the peer's calls go to."""

    def perspectiveMessageReceived(broker, message, args, kwargs):
        """Handle one call.

        Args:
            broker: the connection's Broker; its ``serialize`` and ``unserialize`` belong here.
            message: the method's name, a str.
            args, kwargs: expressions.

        Returns:
            The expression of the result, or a Deferred of it.
        """
