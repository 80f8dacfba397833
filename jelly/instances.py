"""Instances: makes objects of registered classes, of factories, and of classes that are named.

A class with a hook of its own, as in programs for Twisted, makes its value itself. Any other
instance is made blank. It gets its state when all parts of the state are made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jelly import containers
from jelly.arity import check_arity
from jelly.atoms import Expression, text_of
from jelly.bases import blank_of
from jelly.errors import InsecureJelly
from jelly.frames import Frame
from jelly.knots import tie
from jelly.registry import Factory
from jelly.state import put_plain_state

if TYPE_CHECKING:
    from jelly.unjellier import Unjellier

__all__ = ["by_factory", "plain", "registered"]


def registered(
    unjellier: Unjellier, cls: Any, tag: bytes, expression: list[Expression], number: int | None
) -> object:
    """Return the instance of a registered class, or the frame that makes it.

    Args:
        unjellier: makes the parts.
        cls: the class; or a function that makes the value.
        tag: the tag of the expression, which a hook may remove from it.
        expression: the expression.
        number: the number of the reference to the instance, if there is one.

    Raises:
        InsecureJelly: the class has no ``unjellyFor``.
    """
    if not isinstance(cls, type):
        unjellier.unread.append((tag, expression))
        return _then_post(unjellier, cls(unjellier, expression))
    blank = blank_of(cls)
    hook = getattr(cls, "unjellyFor", None)
    if hook is None:
        raise InsecureJelly(f"{cls.__name__} is registered but has no unjellyFor")
    if getattr(hook, "is_engine_hook", False):
        state = blank.unjellied_state(unjellier, expression)
        return _stateful(unjellier, blank, state, number, _set_unjellied)
    unjellier.define(number, blank)
    unjellier.unread.append((tag, expression))
    value = blank.unjellyFor(unjellier, expression)
    if value is not blank:
        unjellier.define(number, value)
    return _then_post(unjellier, value)


def by_factory(
    unjellier: Unjellier, factory: Factory, expression: list[Expression], number: int | None
) -> Frame:
    """Return the frame of the object that a factory makes of its state."""
    check_arity(expression, 2)
    unjellier.name_knot(number, text_of(expression[0]))
    return Frame([], iter((expression[1],)), _finish_made, factory, number)


def plain(
    unjellier: Unjellier, cls: type, expression: list[Expression], number: int | None
) -> Frame:
    """Return the frame of an ordinary instance, whose class the policy allows."""
    check_arity(expression, 2)
    return _stateful(unjellier, blank_of(cls), expression[1], number, _set_plain)


def _stateful(
    unjellier: Unjellier,
    blank: object,
    state: Expression,
    number: int | None,
    setter: Callable[[Unjellier, Any, object], object],
) -> Frame:
    if number is not None:
        unjellier.define(number, blank)
    return Frame([], iter((state,)), _finish_stateful, (blank, setter, number), None)


def _finish_stateful(unjellier: Unjellier, parts: list[object], target: Any) -> object:
    blank, setter, number = target

    def set_state() -> object:
        tie(parts)
        # An instance that the program has already may take the place of the blank one.
        value = setter(unjellier, blank, parts[0])
        if value is None:
            value = blank
        else:
            unjellier.define(number, value)
        return _then_post(unjellier, value)

    if unjellier.knots.are_used:
        unjellier.knots.wait(set_state)
        return blank
    return set_state()


def _finish_made(unjellier: Unjellier, parts: list[object], factory: Factory) -> object:
    if unjellier.knots.are_used:
        return containers.later(
            unjellier, lambda parts: _then_post(unjellier, factory(parts[0])), parts
        )
    return _then_post(unjellier, factory(parts[0]))


def _then_post(unjellier: Unjellier, value: object) -> object:
    # The hook of the class, never an attribute from the received state.
    hook = getattr(type(value), "postUnjelly", None)
    if hook is not None:
        unjellier.call_after(lambda: hook(value))
    return value


def _set_unjellied(unjellier: Unjellier, blank: Any, state: object) -> object:
    return blank.set_unjellied_state(unjellier, state)


def _set_plain(unjellier: Unjellier, blank: object, state: object) -> None:
    put_plain_state(blank, state, is_trusted=unjellier.is_trusted)
