"""Puts the state that a peer sent into an instance; nothing else does.

Theory of operation. A class that was registered with its fields gets these and no others, all of
them: what is missing gets its default, or the state is refused. Then its ``__post_init__`` runs, if
it is a dataclass. Another class, which published programs fill freely, gets what comes, except what
would hide more than a plain default of the class. No class gets a name that starts with two
underscores, a ClassVar, or an attribute that belongs to this library. ``__init__`` and
``__setattr__`` of the class do not run.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Collection, Iterable
from typing import Any

from jelly.atoms import text_of
from jelly.errors import InsecureJelly, JellyError, MalformedJelly
from jelly.fields import Shape, found_in, shape_of
from jelly.security import class_name

__all__ = ["post_init_arguments", "put_plain_state", "put_state", "share_state"]

_MISSING = dataclasses.MISSING
_of_exceptions = getattr(BaseException, "__setstate__", None)
# What code of the class raises when a field is not as it should be.
_REFUSALS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def put_state(
    value: Any,
    state: Any,
    declared: bool,
    *,
    also: Collection[str] = (),
    present: Collection[str] = (),
    is_part: bool = False,
    with_hook: bool = True,
) -> None:
    """Give an instance the state that came in for it.

    Args:
        value: an instance whose ``__init__`` has not run.
        state: a dict of its attributes.
        declared: whether the fields that its class declares are the only ones that may come.
        also: fields that may come besides the declared ones.
        present: fields that the instance has already.
        is_part: whether the other fields are still to come.
        with_hook: whether the ``__post_init__`` of a dataclass runs.

    Raises:
        InsecureJelly: a field is not declared, or would hide what the class defines.
        MalformedJelly: the state is no dict of str, a field without a default is missing, or
            ``__post_init__`` or a descriptor of the class refuses what came.
    """
    cls = type(value)
    if not isinstance(state, dict):
        raise MalformedJelly(f"state of {cls.__name__} is no dictionary")
    shape = shape_of(cls)
    _check_names(cls, shape, state, declared, also)
    if not is_part:
        state = {**_defaults(cls, shape, {*state, *present}, declared), **state}
    for key, item in state.items():
        try:
            # A slot takes it too, and a frozen class, but no property without a setter.
            object.__setattr__(value, key, item)
        except AttributeError:
            raise InsecureJelly(
                f"field '{text_of(key)}' is not declared by {class_name(cls)}"
            ) from None
        except JellyError:
            raise
        except _REFUSALS as error:
            raise MalformedJelly(
                f"field '{text_of(key)}' of {class_name(cls)} is refused: {type(error).__name__}"
            ) from error
    if declared and not is_part and dataclasses.is_dataclass(cls):
        _complete(value, shape, with_hook)


def put_plain_state(value: Any, state: Any, *, is_trusted: bool = False) -> None:
    """Give an ordinary instance, whose class the policy allows, the state that came in for it.

    A ``__setstate__`` of the class takes it instead. That of BaseException does not count, as it
    would set any attribute.

    Args:
        value: an instance whose ``__init__`` has not run.
        state: as ``object.__getstate__`` returns it: a dict of its attributes, None if there are
            none, or both of its attributes and its slots, as a tuple.
        is_trusted: whether it is of this program, and of no peer: any attribute is set then.

    Raises:
        InsecureJelly, MalformedJelly: as of :func:`put_state`.
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
            # Also of a class that is frozen.
            object.__setattr__(value, name, item)
    elif attributes is not None or slots:
        both = {**(attributes or {}), **slots} if slots else attributes
        put_state(value, both, declared=False)


def _has_slots(state: Any) -> bool:
    return (
        type(state) is tuple
        and len(state) == 2
        and isinstance(state[0], dict | None)
        and isinstance(state[1], dict | None)
    )


def share_state(value: Any, attributes: dict[str, Any]) -> None:
    """Let an instance stand on the attributes of another one of its class, which were checked."""
    object.__setattr__(value, "__dict__", attributes)


def post_init_arguments(cls: type, shape: Shape) -> list[Any]:
    """Return what the ``__post_init__`` of a dataclass gets: the defaults of its InitVars.

    Raises:
        TypeError: one has no default; an InitVar does not cross.
    """
    every: dict[str, dataclasses.Field[Any]] = getattr(cls, "__dataclass_fields__", {})
    for name in shape.initvars:
        if every[name].default is _MISSING:
            raise TypeError(f"{class_name(cls)} has the InitVar '{name}', which does not cross")
    return [every[name].default for name in shape.initvars]


def _check_names(
    cls: type, shape: Shape, state: dict[Any, Any], declared: bool, also: Collection[str]
) -> None:
    for key in state:
        if not isinstance(key, str):
            raise MalformedJelly(f"state of {cls.__name__} with a key of {type(key).__name__}")
        if declared and key not in shape.fields and key not in also:
            raise InsecureJelly(f"field '{text_of(key)}' is not declared by {class_name(cls)}")
        if key.startswith("__") or key in shape.closed or _is_hiding(cls, key, declared):
            raise InsecureJelly(f"field '{text_of(key)}' hides what {class_name(cls)} defines")


def _is_hiding(cls: type, key: str, declared: bool) -> bool:
    """Whether an attribute of an instance would hide more than a plain default of the class."""
    found = found_in(cls, key)
    if found is _MISSING or isinstance(found, types.MemberDescriptorType):
        return False
    kind = type(found)
    if declared and hasattr(kind, "__set__"):
        # A field that is also a descriptor: its own code takes the value.
        return isinstance(found, property) and found.fset is None
    return callable(found) or hasattr(kind, "__get__")


def _defaults(cls: type, shape: Shape, there: Collection[str], declared: bool) -> dict[str, Any]:
    """Return the defaults of fields that did not come."""
    if not declared and not dataclasses.is_dataclass(cls):
        return {}
    required: Iterable[str] = shape.required
    if not declared:
        # Annotations of classes that were not registered are for type checkers only.
        fields = vars(cls).get("__dataclass_fields__", {})
        required = [name for name in required if name in fields]
    for name in required:
        if name not in there:
            raise MalformedJelly(f"field '{name}' of {class_name(cls)} is missing")
    return {name: make() for name, make in shape.defaults.items() if name not in there}


def _complete(value: Any, shape: Shape, with_hook: bool) -> None:
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
                f"the fields of {class_name(cls)} are refused: {type(error).__name__}"
            ) from error
    for name in shape.computed:
        if not hasattr(value, name):
            raise MalformedJelly(f"field '{name}' of {class_name(cls)} is missing")
