"""The base classes of objects that encode and decode themselves, and their state helpers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from zope.interface import implementer

from jelly.atoms import Expression
from jelly.errors import MalformedJelly
from jelly.interfaces import IJellyable, IUnjellyable
from jelly.security import class_name
from jelly.state import put_state

if TYPE_CHECKING:
    from jelly.jellier import Jellier
    from jelly.unjellier import Unjellier

__all__ = [
    "Jellyable",
    "Unjellyable",
    "Unpersistable",
    "getInstanceState",
    "setInstanceState",
]

Hook = TypeVar("Hook")


def blank_of(cls: Any) -> Any:
    """Return an instance of ``cls`` whose ``__init__`` has not run."""
    return cls.__new__(cls)


def engine_hook(hook: Hook) -> Hook:
    """Mark a default hook whose work the jellier or unjellier does itself, without recursion."""
    hook.is_engine_hook = True  # type: ignore[attr-defined]
    return hook


class Unpersistable:
    """Takes the place of a value that could not be sent (published).

    Attributes:
        reason: the reason, as sent by the peer.
    """

    def __init__(self, reason: object):
        self.reason = reason

    def __repr__(self) -> str:
        return f"Unpersistable({str(self.reason)[:200]!r})"


@implementer(IJellyable)
class Jellyable:
    """An object that is sent as the name of its class and its state (published)."""

    def getStateFor(self, jellier: Jellier) -> Any:
        """Return the state to send. Default: ``__dict__``."""
        return self.__dict__

    def tag_and_state(self, jellier: Jellier) -> tuple[bytes, object]:
        """Return the parts of this object's expression: the class name, and the state."""
        return class_name(type(self)).encode("utf-8"), self.getStateFor(jellier)

    def has_unshared_state(self, jellier: Jellier) -> bool:
        """Return whether its state is made for one message and has no other reference."""
        return False

    @engine_hook
    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return ``[class name, state]``."""
        return _expression(self, self.getStateFor(jellier), jellier)


@implementer(IUnjellyable)
class Unjellyable:
    """An object that takes its state from an expression (published)."""

    def setStateFor(self, unjellier: Unjellier, state: Any) -> None:
        """Set the state; see ``jelly.state`` for the fields that are allowed.

        Raises:
            InsecureJelly: a field would hide an attribute of the class.
            MalformedJelly: the state is not a dict, or has a key that is not a str.
        """
        put_state(self, state, unjellier.is_declared(type(self)))

    def unjellied_state(self, unjellier: Unjellier, jellyList: list[Expression]) -> Expression:
        """Return the expression of the state, which follows the tag.

        Raises:
            MalformedJelly: the state is missing, or more parts follow it.
        """
        if len(jellyList) != 2:
            raise MalformedJelly(f"{type(self).__name__} of {len(jellyList) - 1} fields")
        return jellyList[1]

    def set_unjellied_state(self, unjellier: Unjellier, state: Any) -> object:
        """Set the state with the setter that this kind of class has in Twisted.

        Returns:
            None, or the instance that is the value in place of this one.
        """
        self.setStateFor(unjellier, state)
        return None

    @engine_hook
    def unjellyFor(self, unjellier: Unjellier, jellyList: list[Expression]) -> Any:
        """Take the state from ``jellyList`` and return ``self``."""
        return setInstanceState(self, unjellier, jellyList)


def getInstanceState(inst: object, jellier: Jellier) -> Expression:
    """Return ``[class name, state]``; the state is what ``__getstate__`` returns (published)."""
    return _expression(inst, inst.__getstate__(), jellier)


def _expression(inst: object, state: object, jellier: Jellier) -> Expression:
    expression = jellier.prepare(inst)
    expression.extend([class_name(type(inst)).encode("utf-8"), jellier.jelly(state)])
    return jellier.preserve(inst, expression)


def setInstanceState(inst: Any, unjellier: Unjellier, jellyList: list[Expression]) -> Any:
    """Give an instance the state in ``jellyList``, and return the instance (published)."""
    if len(jellyList) != 2:
        raise MalformedJelly(f"{type(inst).__name__} of {len(jellyList) - 1} fields")
    state = unjellier.unjelly(jellyList[1])
    inst.setStateFor(unjellier, state)
    return inst
