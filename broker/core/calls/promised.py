"""What an answer names: the references that a promise of its call stands for.

A promise names the result of a call that may not have been answered yet: ``(request id,)``, or one
element of it, ``(request id, step)``. Both ends read from the same answer, as it is on the wire,
what a promise has become. So a promise gives no authority that the answer did not give.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias, TypeGuard

from broker.core.wire.messages import ObjectId
from jelly.atoms import Expression
from jelly.errors import MalformedJelly
from jelly.leaves import read_str

__all__ = [
    "MOST_OPEN",
    "MOST_STEPS",
    "Followed",
    "Home",
    "MustWait",
    "Named",
    "Place",
    "Step",
    "named_in",
    "place_in",
]

MOST_OPEN = 1024
"""Answers whose references are remembered, and therefore the most open calls of an end that calls
promises. A constant of the protocol.
"""

MOST_STEPS = 64
"""Most references that the answering end remembers of one answer, the first ones. Calls on a place
from this number on wait at the caller.
"""

Step: TypeAlias = int | str | None
"""The place of an element in a list or tuple, the key of one in a dict, or None for the result."""


class Followed:
    """A call of this end, on whose result further calls are made.

    Attributes:
        named: what its answer names; None if that is nothing, and before the answer.
    """

    __slots__ = ("named",)

    def __init__(self) -> None:
        self.named: Named | None = None


class MustWait(Exception):
    """A promise among the arguments of a call cannot be sent yet: the call must wait at this end.

    Attributes:
        promise: the promise; the call can be tried again when it has its result.
    """

    def __init__(self, promise: object):
        super().__init__("a promise among the arguments has no result yet")
        self.promise = promise


class Home(NamedTuple):
    """An object of the end that has made the call.

    Attributes:
        object_id: its id, or its name, at that end. None if the caller has made the call itself,
            since the target of that call was a Home: then the result is known to the caller alone.
    """

    object_id: ObjectId | None


Place: TypeAlias = int | Home
"""An object that an answer names: the id of one of the answering end, or a Home."""

Named: TypeAlias = Place | dict[Step, Place]
"""What an answer is, or its elements by step."""


def named_in(answer: Expression, most: int | None = MOST_STEPS) -> Named | None:
    """Return what an answer names, from its expression; None if it has no reference.

    Only references that are the answer itself, or elements of the list, tuple or dict that it is.

    Args:
        answer: the expression.
        most: most elements that are references; the others are left out. None for all.
    """
    if type(answer) is not list or not answer:
        return None
    tag = answer[0]
    if tag == b"remote" and len(answer) == 2:
        # The usual answer that is not plain.
        return answer[1] if type(answer[1]) is int else None
    if tag == b"local":
        return _place(answer)
    items: Iterable[tuple[Any, Expression]] = ()
    if tag == b"tuple" or tag == b"list":
        items = enumerate(answer[1:])
    elif tag == b"dictionary":
        items = [(_key(pair[0]), pair[1]) for pair in answer[1:] if _is_pair(pair)]
    found: dict[Step, Place] = {}
    for step, item in items:
        place = _place(item)
        if place is not None and step is not None:
            found[step] = place
            if len(found) == most:
                break
    return found or None


def place_in(named: Named | None, step: Step) -> Place | None:
    """Return the object that a promise has become, or None if it is not a reference."""
    if isinstance(named, dict):
        return named.get(step)
    if isinstance(named, Home) and named.object_id is None:
        return named
    return named if step is None else None


def _is_pair(pair: Expression) -> TypeGuard[list[Expression]]:
    return type(pair) is list and len(pair) == 2


def _place(item: Expression) -> Place | None:
    if type(item) is not list or len(item) != 2:
        return None
    tag, object_id = item
    if tag == b"remote" and type(object_id) is int:
        return object_id
    if tag == b"local" and (type(object_id) is int or type(object_id) is bytes):
        return Home(object_id)
    return None


def _key(key: Expression) -> Step:
    """Return a key as a step, or None if it is neither an int nor text."""
    if type(key) is int:
        return key
    try:
        return read_str(key) if type(key) is list and key[:1] == [b"unicode"] else None
    except MalformedJelly:
        return None
