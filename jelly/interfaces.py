"""The published interfaces of objects that jelly and unjelly themselves (twisted.spread.interfaces)."""

from __future__ import annotations

from zope.interface import Interface

__all__ = ["IJellyable", "IUnjellyable"]


class IJellyable(Interface):
    """An object that chooses the expression it is sent as."""

    def jellyFor(jellier):
        """Return the expression to send: a list whose first element is a registered tag.

        ``jellier.jelly(value)`` gives the expressions of parts, ``jellier.prepare(self)`` and
        ``jellier.preserve(self, expression)`` make the object shareable within one message.
        """


class IUnjellyable(Interface):
    """A blank instance that fills itself from an expression."""

    def unjellyFor(unjellier, jellyList):
        """Return the object that ``jellyList`` stands for, usually ``self`` once it has its state."""
