"""Where in the values of a message stands what cannot be sent, in words of a program.

The error of a jellier brings the trail along; see ``CannotJelly.trail``. Simple values are sent
without a jellier, and are searched for the culprit, up to a number of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from jelly.atoms import text_of
from jelly.errors import CannotJelly, EncodeError
from jelly.leaves import WRITERS

__all__ = ["name_argument", "name_result", "path_to"]

# So many values are looked at, so many characters of a key shown, and so many of a path.
_MOST = 20_000
_LONGEST_KEY = 40
_LONGEST = 200
_HALF = _LONGEST // 2

_CONTAINERS = (list, tuple, dict, set, frozenset)
_NONE: Any = object()
# What is said before a path.
_KEY = "a key of "
_ELEMENT = "an element of "


def name_argument(error: EncodeError, name: str, args: Any, kw: Any) -> None:
    """Have the text of an error say which argument of which call cannot be sent."""
    place = path_to(error, [("args", args), ("kw", kw)]) or "arguments"
    where = f" ({place} of '{text_of(name)}')"
    text = str(error)
    if not text.endswith(where):
        error.args = (text + where,)


def name_result(error: EncodeError, name: str, value: Any) -> None:
    """Have a note on an error say where in the result of a method stands what cannot be sent.

    A note is for the log of this side; the text goes to the peer, and must not tell it more.
    """
    place = path_to(error, [("result", value)]) or "result"
    where = f"{place} of '{text_of(name)}'"
    if where not in getattr(error, "__notes__", ()):
        error.add_note(where)


def path_to(error: EncodeError, roots: list[tuple[str, Any]]) -> str | None:
    """Return where the value that an error is about stands, or None if it is not found.

    Args:
        error: its ``culprit`` and ``trail``, if it has them, are forgotten.
        roots: what was to be sent, by how a program writes it.
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


def _followed(path: str, value: Any, trail: Iterable[tuple[Any, int]]) -> str:
    """Return the path where a trail ends.

    Args:
        path, value: where it begins, and what is there.
        trail: as of ``CannotJelly.trail``.
    """
    for holder, position in trail:
        # The state of an object is what it has made for this message, or its attributes.
        is_state = holder is not value
        form, label, value = _part(holder, position)
        if is_state and isinstance(label, str) and label.isascii() and label.isidentifier():
            form = "."
        path = _joined(path, form, label)
    return path


def _part(holder: Any, position: int) -> tuple[str, Any, Any]:
    """Return one part of a container, as :func:`_inside` does; nothing of an object."""
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


def _searched(path: str, value: Any, culprit: Any) -> str | None:
    """Return where in simple values, which have no trail, the culprit stands.

    Args:
        path, value: where to begin, and what is there.
        culprit: what is sought; None for any value that has no expression.
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
    """Return the path of a part of what a path leads to; see :func:`_inside`."""
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


def _inside(value: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the parts of a container: what to say before its path, its index or key, the part."""
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


def _is_unsendable(value: Any) -> bool:
    write = WRITERS.get(type(value))
    if write is None:
        return False
    try:
        write(value)
    except CannotJelly:
        return True
    return False
