"""Twisted's interfaces of objects that encode and decode themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Interface

if TYPE_CHECKING:
    from jelly.atoms import Expression
    from jelly.jellier import Jellier
    from jelly.unjellier import Unjellier

__all__ = ["IJellyable", "IUnjellyable"]


class IJellyable(Interface):  # type: ignore[misc]
    """An object that makes its own expression."""

    def jellyFor(jellier: Jellier) -> object:
        """Return the expression to send: a list whose first element is a registered tag.

        ``jellier.jelly(value)`` returns the expression of a part. ``jellier.prepare(self)`` and
        ``jellier.preserve(self, expression)`` make the object shareable within one message.
        """


class IUnjellyable(Interface):  # type: ignore[misc]
    """A blank instance that sets its state from an expression."""

    def unjellyFor(unjellier: Unjellier, jellyList: list[Expression]) -> object:
        """Return the object of the expression ``jellyList``, usually ``self``."""
