"""Finds the value in a message that cannot be sent, and describes its place as a program would.

The error of a jellier has a trail to the value; see ``CannotJelly.trail``. Simple values are sent
without a jellier: here they are searched for the value, up to a maximum number of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from jelly.atoms import text_of
from jelly.errors import CannotJelly, EncodeError
from jelly.leaves import WRITERS

__all__ = ["name_argument", "name_result", "path_to"]

# Most values to search, most characters of a key to show, and most characters of a path.
_MOST = 20_000
_LONGEST_KEY = 40
_LONGEST = 200
_HALF = _LONGEST // 2

_CONTAINERS = (list, tuple, dict, set, frozenset)
_NONE: Final = object()
# Text before a path.
_KEY = "a key of "
_ELEMENT = "an element of "


def name_argument(error: EncodeError, name: str, args: object, kw: object) -> None:
    """Add to the text of an error which argument of which call cannot be sent."""
    place = path_to(error, [("args", args), ("kw", kw)]) or "arguments"
    where = f" ({place} of '{text_of(name)}')"
    if error.place != where:
        error.args = (str(error) + where,)
        error.place = where


def name_result(error: EncodeError, name: str, value: object) -> None:
    """Add a note to an error: which part of the result of which method cannot be sent.

    The note is for the log of this side. The peer gets the text, which must not tell it more.
    """
    place = path_to(error, [("result", value)]) or "result"
    where = f"{place} of '{text_of(name)}'"
    if where not in getattr(error, "__notes__", ()):
        error.add_note(where)


def path_to(error: EncodeError, roots: list[tuple[str, object]]) -> str | None:
    """Return the path to the value that an error is about, or None if it is not found.

    Args:
        error: its ``culprit`` and ``trail``, if it has them, are deleted.
        roots: the values to send, each with its name in a program.
    """
    if not isinstance(error, CannotJelly):
        return None
    culprit, trail = error.culprit, error.trail
    error.culprit, error.trail = None, ()
    for path, root in roots:
        if trail and trail[0][0] is root:
            return _followed(path, root, trail)
        if not trail:
            found = path if root is culprit else _searched(path, root, culprit)
            if found is not None:
                return found
    return None


def _followed(path: str, value: object, trail: Iterable[tuple[object, int]]) -> str:
    """Return the path to the end of a trail.

    Args:
        path, value: the path to the start of the trail, and the value there.
        trail: see ``CannotJelly.trail``.
    """
    for holder, position in trail:
        # The holder is the state of an object: made for this message, or its attributes.
        is_state = holder is not value
        form, label, value = _part(holder, position)
        if is_state and isinstance(label, str) and label.isascii() and label.isidentifier():
            form = "."
        path = _joined(path, form, label)
    return path


def _part(holder: Any, position: int) -> tuple[str, object, object]:
    """Return one part of a container, like :func:`_inside`; no part of another object."""
    kind = type(holder)
    if (kind is list or kind is tuple) and position < len(holder):
        return "", position, holder[position]
    if kind is dict:
        for key, item in islice(holder.items(), position // 2, None):
            return ("", key, item) if position % 2 else (_KEY, _NONE, key)
    if kind is set or kind is frozenset:
        for item in islice(holder, position, None):
            return _ELEMENT, _NONE, item
    return "", _NONE, None


def _searched(path: str, value: object, culprit: object) -> str | None:
    """Return the path to the culprit in simple values, which have no trail; None if not found.

    Args:
        path, value: the path to begin with, and the value there.
        culprit: the value to find; None for any value that has no expression.
    """
    left = _MOST
    seen = {id(value)}
    levels = [(path, _inside(value))]
    while levels:
        path, parts = levels[-1]
        for form, label, part in parts:
            left -= 1
            if not left:
                return None
            if part is culprit if culprit is not None else _is_unsendable(part):
                return _joined(path, form, label)
            if type(part) in _CONTAINERS and id(part) not in seen:
                seen.add(id(part))
                levels.append((_joined(path, form, label), _inside(part)))
                break
        else:
            levels.pop()
    return None


def _joined(path: str, form: str, label: Any) -> str:
    """Return the path to a part of the value at ``path``; see :func:`_inside`."""
    if len(path) > _LONGEST:
        path = f"{path[:_HALF]}…{path[-_HALF:]}"
    if form == ".":
        return f"{path}.{label[:_LONGEST_KEY]}"
    if form:
        return f"{form}{path}"
    if label is _NONE:
        return path
    shown = ascii(label)[:_LONGEST_KEY] if isinstance(label, str | int) else "…"
    return f"{path}[{shown}]"


def _inside(value: Any) -> Iterator[tuple[str, object, object]]:
    """Yield the parts of a container: the text before its path, its index or key, the part."""
    kind = type(value)
    if kind is dict:
        for key, item in value.items():
            yield _KEY, _NONE, key
            yield "", key, item
    elif kind is list or kind is tuple:
        for number, item in enumerate(value):
            yield "", number, item
    elif kind is set or kind is frozenset:
        for item in value:
            yield _ELEMENT, _NONE, item


def _is_unsendable(value: object) -> bool:
    write = WRITERS.get(type(value))
    if write is None:
        return False
    try:
        write(value)
    except CannotJelly:
        return True
    return False
