"""Compares two things of one name: what they are, their values, and how they are called."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from zope.interface.interface import InterfaceClass

__all__ = ["Difference", "compare", "fits", "is_plain", "signature_of", "written"]

_PLAIN = (int, float, str, bytes, bool, type(None))


class Difference(NamedTuple):
    """A name of Twisted's that is not the same here.

    ``theirs`` and ``ours`` say what it is; both are empty where the name is absent.
    """

    name: str
    theirs: str = ""
    ours: str = ""


def compare(dotted: str, theirs: Any, ours: Any, skip: int = 0) -> list[Difference]:
    """Return how ``ours`` differs, if it does; ``skip`` parameters are self or cls."""
    if isinstance(theirs, InterfaceClass):
        is_same = isinstance(ours, InterfaceClass)
        return [] if is_same else [Difference(dotted, "an interface", type(ours).__name__)]
    if is_plain(theirs):
        if (
            inspect.ismemberdescriptor(ours)
            or inspect.isgetsetdescriptor(ours)
            or (is_plain(ours) and theirs == ours)
        ):
            return []
        return [Difference(dotted, _shown(theirs), _shown(ours))]
    if not callable(theirs):
        return []
    if not callable(ours):
        return [Difference(dotted, "callable", type(ours).__name__)]
    if isinstance(theirs, type) and not isinstance(ours, type):
        return [Difference(dotted, "a class", f"a {type(ours).__name__}")]
    if isinstance(theirs, type) and not _has_constructor(theirs):
        return []
    there, here = signature_of(theirs, skip), signature_of(ours, skip)
    if there is None or here is None or fits(there, here):
        return []
    return [Difference(dotted, written(there), written(here))]


def is_plain(value: Any) -> bool:
    """Return whether a value can be compared and shown."""
    return isinstance(value, _PLAIN)


def _has_constructor(cls: type) -> bool:
    for base in cls.__mro__:
        if not base.__module__.startswith("twisted."):
            return False
        if "__init__" in vars(base):
            return True
    return False


def signature_of(value: Any, skip: int = 0) -> inspect.Signature | None:
    """Return the signature without its first ``skip`` parameters, or None if it has none."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return None
    return signature.replace(parameters=list(signature.parameters.values())[skip:])


def fits(there: inspect.Signature, here: inspect.Signature) -> bool:
    """Return whether names, order, kinds and defaults are the same.

    Here may have keyword-only parameters besides, if they can be left out.
    """
    wanted, found = _public(there), _public(here)
    names = {p.name for p in wanted}
    found = [
        p for p in found if p.name in names or p.kind is not p.KEYWORD_ONLY or p.default is p.empty
    ]
    return [_key(p) for p in wanted] == [_key(p) for p in found]


def _public(signature: inspect.Signature) -> list[inspect.Parameter]:
    return [p for p in signature.parameters.values() if not p.name.startswith("_")]


def _key(parameter: inspect.Parameter) -> tuple[Any, ...]:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        # Nobody can pass them by name, so what they are called says nothing.
        return (parameter.kind,)
    default = parameter.default
    shown = ("=", default) if is_plain(default) else "=" if default is not parameter.empty else ""
    return (parameter.name, parameter.kind, shown)


def written(signature: inspect.Signature | None) -> str:
    """Return a signature as it would be written, an object that is a default as ``...``."""
    if signature is None:
        return "(...)"
    parameters = [
        p.replace(
            annotation=p.empty,
            default=p.default if is_plain(p.default) or p.default is p.empty else ...,
        )
        for p in _public(signature)
    ]
    return str(inspect.Signature(parameters)).replace("Ellipsis", "...")


def _shown(value: Any) -> str:
    return repr(value) if is_plain(value) else f"a {type(value).__name__}"
