"""Containers: makes lists, tuples, sets and dicts of their expressions.

A list, a set and a dict exist before their parts, so a reference from inside is the object itself.
A tuple and a frozenset do not; see ``jelly.knots``. Sets and dicts are filled a few entries at a
time, since hashing many keys takes long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeAlias

from jelly import atoms
from jelly.atoms import Expression
from jelly.errors import MalformedJelly
from jelly.frames import Frame
from jelly.keys import is_compound
from jelly.knots import Knot, tie
from jelly.leaves import ATOMS

if TYPE_CHECKING:
    from jelly.unjellier import Unjellier

__all__ = ["OPENERS", "Opener", "later"]

Opener: TypeAlias = Callable[["Unjellier", list[Expression], int | None], object]
"""Returns the value of an expression, or the frame that makes it."""

_TEXT = frozenset({str, bytes})
# The type and the length of each part of a dictionary.
_LISTS, _TWOS = {list}, {2}
# Keys that are hashed in one visit. A compound key may have max_key_nodes parts.
_KEYS, _COMPOUND_KEYS = 256, 4


class _Filling:
    """A set, a frozenset or a dict that is being filled.

    Attributes:
        made: the set or dict; a frozenset is made of it at the end.
        items: the remaining expressions, of members or of pairs.
        width: the parts of one entry: 1 of a set, 2 of a dict.
        number: the number of the reference to a frozenset, if there is one.
        is_frozen: whether it is a frozenset.
        alike: the number of compound keys with each hash.
        is_late: whether entries wait for values that are not known yet. All later entries then wait
            too.
    """

    __slots__ = ("alike", "is_frozen", "is_late", "items", "made", "number", "width")

    def __init__(
        self,
        made: Any,
        items: Iterator[Expression],
        width: int,
        is_frozen: bool,
        number: int | None,
    ):
        self.made = made
        self.items = items
        self.width = width
        self.is_frozen = is_frozen
        self.number = number
        self.alike: Counter[int] = Counter()
        self.is_late = False


def _open_list(unjellier: Unjellier, expression: list[Expression], number: int | None) -> object:
    if ATOMS.issuperset(map(type, expression)):
        return expression[1:]
    made: list[object] = []
    unjellier.define(number, made)
    return Frame(made, unjellier.parts(expression), _finish_list, made, None)


def _finish_list(unjellier: Unjellier, parts: list[object], made: list[object]) -> list[object]:
    if unjellier.knots.are_used:
        unjellier.knots.wait(lambda: tie(made))
    return made


def _open_tuple(unjellier: Unjellier, expression: list[Expression], number: int | None) -> object:
    if ATOMS.issuperset(map(type, expression)):
        return tuple(expression[1:])
    return Frame([], unjellier.parts(expression), _finish_tuple, None, number)


def _finish_tuple(unjellier: Unjellier, parts: list[object], target: None) -> object:
    if unjellier.knots.are_used and Knot in map(type, parts):
        return later(unjellier, tuple, parts)
    return tuple(parts)


def later(
    unjellier: Unjellier, make: Callable[[list[object]], object], parts: list[object]
) -> Knot:
    """Return a Knot for ``make(parts)``, which is called when the parts are known."""
    knot = Knot()

    def work() -> None:
        tie(parts)
        knot.value = make(parts)

    unjellier.knots.wait(work)
    return knot


def _open_set(unjellier: Unjellier, expression: list[Expression], number: int | None) -> object:
    made: set[object] = set()
    unjellier.define(number, made)
    return _go_on(unjellier, _Filling(made, unjellier.parts(expression), 1, False, None))


def _open_frozenset(
    unjellier: Unjellier, expression: list[Expression], number: int | None
) -> object:
    return _go_on(unjellier, _Filling(set(), unjellier.parts(expression), 1, True, number))


def _open_dictionary(
    unjellier: Unjellier, expression: list[Expression], number: int | None
) -> object:
    made: dict[object, object] = {}
    unjellier.define(number, made)
    if len(expression) == 1:
        return made
    # Keys and values, in addition to the pairs.
    unjellier.expanded += 2 * len(expression)
    return _go_on(unjellier, _Filling(made, unjellier.parts(expression), 2, False, None))


def _go_on(unjellier: Unjellier, filling: _Filling) -> object:
    """Return the frame of the next entries, or the finished value after the last one."""
    items: list[Any] = list(islice(filling.items, _KEYS))
    if not items:
        return _filled(unjellier, filling)
    if filling.width == 2:
        if set(map(type, items)) != _LISTS or set(map(len, items)) != _TWOS:
            raise MalformedJelly("dictionary of something other than pairs")
        items = list(chain.from_iterable(items))
    if ATOMS.issuperset(map(type, items)):
        # No step for each item: 40,000 ints are decoded in six tenths of the time.
        return Frame(items, iter(()), _fill, filling, filling.number)
    return Frame([], iter(items), _fill, filling, filling.number)


def _filled(unjellier: Unjellier, filling: _Filling) -> object:
    if not filling.is_frozen:
        return filling.made
    if filling.is_late:
        return later(unjellier, lambda parts: frozenset(filling.made), [])
    return frozenset(filling.made)


def _fill(unjellier: Unjellier, parts: list[object], filling: _Filling) -> object:
    """Add the finished parts; return the frame of the remaining entries, or the value."""
    width = filling.width
    kinds = set(map(type, parts[::width]))
    are_compound = any(map(is_compound, kinds))
    if unjellier.knots.are_used:
        # Only compound keys must wait for other values: their hash depends on them.
        filling.is_late = filling.is_late or are_compound or Knot in map(type, parts)
    most = width * _COMPOUND_KEYS
    if filling.is_late:
        for begin in range(0, len(parts), most):
            some = parts[begin : begin + most]
            unjellier.knots.wait(partial(_enter, unjellier, some, filling))
    elif width == 2 and kinds <= _TEXT:
        filling.made.update(zip(parts[::2], parts[1::2], strict=True))
    elif are_compound and len(parts) > most:
        _enter(unjellier, parts[:most], filling)
        return Frame(parts[most:], iter(()), _fill, filling, filling.number)
    else:
        _enter(unjellier, parts, filling)
    return _go_on(unjellier, filling)


def _enter(unjellier: Unjellier, parts: list[object], filling: _Filling) -> None:
    made, width = filling.made, filling.width
    tie(parts)
    keys = parts[::width]
    what = "set member" if width == 1 else "dict key"
    unjellier.keys.check(keys, what, filling.alike)
    content: Any = keys if width == 1 else zip(keys, parts[1::2], strict=True)
    unjellier.keys.hashed(made.update, content, what)


OPENERS: dict[bytes, Opener] = {
    atoms.LIST: _open_list,
    atoms.TUPLE: _open_tuple,
    atoms.DICTIONARY: _open_dictionary,
    atoms.SET: _open_set,
    atoms.FROZENSET: _open_frozenset,
}
"""By tag: ``open(unjellier, expression, number)``."""
