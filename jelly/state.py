"""Puts the state that a peer sent into an instance; no other module does.

Theory of operation. A class that was registered with its fields gets exactly these fields. A
missing field gets its default; without a default, the state is refused. Then ``__post_init__``
runs, if the class is a dataclass. Any other class, as in programs for Twisted, gets the received
attributes, except those that would hide more than a plain default of the class. No class gets a
name that starts with two underscores, a ClassVar, or an attribute that belongs to this library.
``__init__`` and ``__setattr__`` of the class do not run.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Collection, Iterable
from typing import Any

from jelly.atoms import text_of
from jelly.errors import InsecureJelly, JellyError, MalformedJelly
from jelly.fields import Shape, found_in, shape_of
from jelly.security import shown_name

__all__ = ["post_init_arguments", "put_plain_state", "put_state", "share_state"]

_MISSING = dataclasses.MISSING
_of_exceptions = getattr(BaseException, "__setstate__", None)
# Errors that code of the class raises for an invalid field.
_REFUSALS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def put_state(
    value: object,
    state: Any,
    declared: bool,
    *,
    also: Collection[str] = (),
    present: Collection[str] = (),
    is_part: bool = False,
    with_hook: bool = True,
) -> None:
    """Set the received state of an instance.

    Args:
        value: an instance whose ``__init__`` has not run.
        state: a dict of its attributes.
        declared: whether only the fields that its class declares are allowed.
        also: allowed fields besides the declared ones.
        present: fields that the instance has already.
        is_part: whether the other fields follow in a later call.
        with_hook: whether the ``__post_init__`` of a dataclass runs.

    Raises:
        InsecureJelly: a field is not declared, or would hide an attribute of the class.
        MalformedJelly: the state is not a dict with str keys, a field without a default is missing,
            or ``__post_init__`` or a descriptor of the class refuses a value.
    """
    cls = type(value)
    if not isinstance(state, dict):
        raise MalformedJelly(f"state of {cls.__name__} is not a dictionary")
    shape = shape_of(cls)
    _check_names(cls, shape, state, declared, also)
    if not is_part:
        state = {**_defaults(cls, shape, {*state, *present}, declared), **state}
    for key, item in state.items():
        try:
            # This works for a slot and for a frozen class, but not for a property without a setter.
            object.__setattr__(value, key, item)
        except AttributeError:
            raise InsecureJelly(
                f"field '{text_of(key)}' is not declared by {shown_name(cls)}"
            ) from None
        except JellyError:
            raise
        except _REFUSALS as error:
            raise MalformedJelly(
                f"field '{text_of(key)}' of {shown_name(cls)} is refused: {type(error).__name__}"
            ) from error
    if declared and not is_part and dataclasses.is_dataclass(cls):
        _complete(value, shape, with_hook)


def put_plain_state(value: object, state: Any, *, is_trusted: bool = False) -> None:
    """Set the received state of an ordinary instance, whose class the policy allows.

    If the class has a ``__setstate__``, that is called instead. The one of BaseException is not
    called, since it would set any attribute.

    Args:
        value: an instance whose ``__init__`` has not run.
        state: as returned by ``object.__getstate__``: a dict of its attributes, None without
            attributes, or a tuple of such a dict and a dict of its slots.
        is_trusted: whether the state comes from this program, not from a peer. Then any attribute
            is set.

    Raises:
        InsecureJelly, MalformedJelly: see :func:`put_state`.
    """
    setter = getattr(type(value), "__setstate__", None)
    if setter is not None and (is_trusted or setter is not _of_exceptions):
        setter(value, state)
        return
    attributes, slots = state if _has_slots(state) else (state, None)
    if is_trusted and isinstance(attributes, dict | None):
        if attributes:
            vars(value).update(attributes)
        for name, item in (slots or {}).items():
            # Works for a frozen class too.
            object.__setattr__(value, name, item)
    elif attributes is not None or slots:
        both = {**(attributes or {}), **slots} if slots else attributes
        put_state(value, both, declared=False)


def _has_slots(state: object) -> bool:
    return (
        type(state) is tuple
        and len(state) == 2
        and isinstance(state[0], dict | None)
        and isinstance(state[1], dict | None)
    )


def share_state(value: object, attributes: dict[str, object]) -> None:
    """Give an instance the ``__dict__`` of another instance of its class, which was checked."""
    object.__setattr__(value, "__dict__", attributes)


def post_init_arguments(cls: type, shape: Shape) -> list[object]:
    """Return the arguments for ``__post_init__`` of a dataclass: the defaults of its InitVars.

    Raises:
        TypeError: an InitVar has no default; InitVars are not sent.
    """
    every: dict[str, dataclasses.Field[Any]] = getattr(cls, "__dataclass_fields__", {})
    for name in shape.initvars:
        if every[name].default is _MISSING:
            raise TypeError(f"{shown_name(cls)} has the InitVar '{name}', which does not cross")
    return [every[name].default for name in shape.initvars]


def _check_names(
    cls: type, shape: Shape, state: dict[object, object], declared: bool, also: Collection[str]
) -> None:
    for key in state:
        if not isinstance(key, str):
            raise MalformedJelly(f"state of {cls.__name__} with a key of {type(key).__name__}")
        if declared and key not in shape.fields and key not in also:
            raise InsecureJelly(f"field '{text_of(key)}' is not declared by {shown_name(cls)}")
        if key.startswith("__") or key in shape.closed or _is_hiding(cls, key, declared):
            raise InsecureJelly(f"field '{text_of(key)}' hides what {shown_name(cls)} defines")


def _is_hiding(cls: type, key: str, declared: bool) -> bool:
    """Return whether an attribute of an instance would hide more than a default of the class."""
    found = found_in(cls, key)
    if found is _MISSING or isinstance(found, types.MemberDescriptorType):
        return False
    kind = type(found)
    if declared and hasattr(kind, "__set__"):
        # The field is also a descriptor, whose code gets the value.
        return isinstance(found, property) and found.fset is None
    return callable(found) or hasattr(kind, "__get__")


def _defaults(cls: type, shape: Shape, there: Collection[str], declared: bool) -> dict[str, object]:
    """Return the defaults of missing fields."""
    if not declared and not dataclasses.is_dataclass(cls):
        return {}
    required: Iterable[str] = shape.required
    if not declared:
        # The annotations of a class that was not registered are only for type checkers.
        fields = vars(cls).get("__dataclass_fields__", {})
        required = [name for name in required if name in fields]
    for name in required:
        if name not in there:
            raise MalformedJelly(f"field '{name}' of {shown_name(cls)} is missing")
    return {name: make() for name, make in shape.defaults.items() if name not in there}


def _complete(value: object, shape: Shape, with_hook: bool) -> None:
    """Run the ``__post_init__`` of a dataclass, as its constructor does."""
    cls = type(value)
    hook = getattr(cls, "__post_init__", None) if with_hook else None
    if hook is not None:
        try:
            hook(value, *post_init_arguments(cls, shape))
        except JellyError:
            raise
        except _REFUSALS as error:
            raise MalformedJelly(
                f"the fields of {shown_name(cls)} are refused: {type(error).__name__}"
            ) from error
    for name in shape.computed:
        if not hasattr(value, name):
            raise MalformedJelly(f"field '{name}' of {shown_name(cls)} is missing")
