"""The published interfaces of objects that jelly and unjelly themselves."""

from __future__ import annotations

from typing import Any

from zope.interface import Interface

__all__ = ["IJellyable", "IUnjellyable"]


class IJellyable(Interface):  # type: ignore[misc]
    """An object that chooses the expression it is sent as."""

    def jellyFor(jellier: Any) -> Any:
        """Return the expression to send: a list whose first element is a registered tag.

        ``jellier.jelly(value)`` gives the expressions of parts, ``jellier.prepare(self)`` and
        ``jellier.preserve(self, expression)`` make the object shareable within one message.
        """


class IUnjellyable(Interface):  # type: ignore[misc]
    """A blank instance that fills itself from an expression."""

    def unjellyFor(unjellier: Any, jellyList: list[Any]) -> Any:
        """Return the object that ``jellyList`` stands for, usually ``self``."""
