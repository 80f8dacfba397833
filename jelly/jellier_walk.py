"""The walk of a jellier over a graph of objects; see ``jelly.jellier`` for how it works.

This module has functions and no classes, so that it can be compiled (``jelly.acceleration``).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from jelly import atoms, leaves
from jelly.atoms import Expression
from jelly.code import writer_of
from jelly.errors import CannotJelly, TooLarge
from jelly.foreign import has_jelly_hook
from jelly.leaves import ATOMS, LEAVES, UNSHARED_WRITERS
from jelly.limit_errors import limit_error
from jelly.security import class_name
from jelly.slices import PARTS, UNFINISHED, VISITS, Walk
from jelly.visited import MOST_AT_ONCE, Pair, Seen, Stateful

if TYPE_CHECKING:
    from jelly.jellier import Jellier

__all__ = ["walk_graph"]

_TAGS: Final[dict[type, bytes]] = {
    list: atoms.LIST,
    tuple: atoms.TUPLE,
    dict: atoms.DICTIONARY,
    set: atoms.SET,
    frozenset: atoms.FROZENSET,
}

# An open container of a walk: the list to write to, the parts left to write, and the object.
_Level: TypeAlias = tuple[list[Expression], Iterator[Any], Seen | None]


def walk_graph(jellier: Jellier, root: object) -> Walk[Any]:
    """Make the expression of ``root``, as a walk of ``jelly.slices``.

    Raises:
        CannotJelly, TooLarge: see ``Jellier.jelly``.
    """
    holder: list[Expression] = []
    out = holder
    values: Iterator[Any] = iter((root,))
    seen: Seen | None = None
    # The state that is written next, if nothing else in the graph can refer to it.
    unshared: object = None
    outer: list[_Level] = []
    writers, base, most = jellier._writers, jellier._levels, jellier._most_levels
    visits = VISITS
    try:
        while True:
            visits -= 1
            if not visits:
                yield UNFINISHED
                visits = VISITS
            full = len(out) + PARTS
            for value in islice(values, PARTS):
                kind = type(value)
                if kind is int or kind is bytes or kind is float:
                    out.append(value)
                    continue
                write = writers.get(kind)
                if write is not None:
                    try:
                        leaf = write(value)
                    except CannotJelly as error:
                        other = _in_place_of(jellier, value, error, seen, outer)
                        if other is None:
                            raise
                        leaf = other
                    out.append(leaf)
                    continue
                known = jellier._seen.get(id(value))
                if known is not None:
                    out.append(_refer_to(jellier, known))
                    continue
                tag = _TAGS.get(kind)
                if tag is None:
                    if kind is Pair:
                        inside: list[Expression] = []
                        out.append(inside)
                        outer.append((out, values, seen))
                        out, values, seen = inside, iter(value), None
                        break
                    # The list that a hook returns is one level above its parts.
                    jellier._levels = base + len(outer) + 1
                    try:
                        made = jellier._other(value)
                    except CannotJelly as error:
                        other = _in_place_of(jellier, value, error, seen, outer)
                        if other is None:
                            raise
                        made = other
                    jellier._levels = base
                    if type(made) is not Stateful:
                        out.append(made)
                        # A hook counts as a visit.
                        break
                    out.append(made.expression)
                    outer.append((out, values, seen))
                    _check_level(jellier, base + len(outer))
                    out, seen = made.expression, jellier._seen[id(value)]
                    values = iter((made.state,))
                    unshared = made.state if made.is_unshared else None
                    break
                inside, parts = _opened(jellier, tag, value)
                entry = Seen(value, inside)
                if value is unshared:
                    # Nothing can refer to it. Without an entry, a list of small copies takes a
                    # third less memory.
                    unshared = None
                else:
                    jellier._seen[id(value)] = entry
                # The message itself is one more level.
                if most is not None and base + len(outer) + 1 >= most:
                    _check_level(jellier, base + len(outer) + 1)
                out.append(inside)
                outer.append((out, values, seen))
                out, values, seen = inside, parts, entry
                break
            else:
                if len(out) == full:
                    continue
                if seen is not None:
                    seen.complete()
                if not outer:
                    break
                out, values, seen = outer.pop()
    except CannotJelly as error:
        frames = [(part, entry) for part, _, entry in outer]
        error.trail = (*_trail([*frames, (out, seen)]), *error.trail)
        raise
    yield holder[0]


def _opened(jellier: Jellier, tag: bytes, value: Any) -> tuple[list[Expression], Iterator[object]]:
    """Return the expression of a container, and its parts that are not written there yet.

    If all parts are simple values, they are written at once, in a list without spare capacity.
    """
    if type(value) is not dict:
        if ATOMS.issuperset(map(type, value)):
            return [tag, *value], iter(())
        return [tag], iter(value if type(value) is tuple else tuple(value))
    simple = (
        len(value) <= MOST_AT_ONCE
        and LEAVES.issuperset(map(type, value))
        and LEAVES.issuperset(map(type, value.values()))
    )
    if not simple:
        # A copy, as above: the application may change the dict while the walk pauses.
        return [tag], map(Pair, tuple(value.items()))
    writers, names = jellier._writers, jellier._names
    try:
        # With this quick path, a hundred rows of a table take six tenths of the time.
        pairs: list[Expression] = [
            [
                names[key]
                if type(key) is str
                else key
                if type(key) in ATOMS
                else writers[type(key)](key),
                item if type(item) in ATOMS else writers[type(item)](item),
            ]
            for key, item in value.items()
        ]
    except CannotJelly as error:
        if jellier._sends_unpersistable:
            # One by one, so that the others are sent.
            return [tag], map(Pair, tuple(value.items()))
        parts = enumerate(chain.from_iterable(value.items()))
        error.trail = tuple((value, n) for n, part in parts if part is error.culprit)[:1]
        raise
    return [tag] + pairs, iter(())  # noqa: RUF005 - an unpacked list would get spare capacity


def _in_place_of(
    jellier: Jellier, value: object, error: CannotJelly, seen: Seen | None, outer: list[_Level]
) -> Expression | None:
    """Return the expression to write in place of a value that cannot be sent, or None.

    Args:
        value: the value.
        error: the reason.
        seen, outer: the position of the walk.
    """
    if not jellier._sends_unpersistable:
        return None
    # The value is part of a state if a hook writes it, or if the walk has entered an object.
    is_in_state = jellier._depth > 1 or any(
        each is not None and type(each.value) not in _TAGS
        for each in (seen, *(entry for _, _, entry in outer))
    )
    if error.culprit is not value or has_jelly_hook(value):
        return None
    kind = type(value)
    if not is_in_state:
        write = UNSHARED_WRITERS.get(kind)
        return None if write is None else write(value)
    if kind in leaves.WRITERS or writer_of(kind) is not None:
        return [atoms.UNPERSISTABLE, str(error).encode("utf-8")]
    reason = f"instance of class {class_name(kind)} deemed insecure"
    expression = jellier.prepare(value)
    expression += [atoms.UNPERSISTABLE, reason.encode("utf-8")]
    jellier._seen[id(value)].complete()
    return expression


def _check_level(jellier: Jellier, level: int) -> None:
    most = jellier._most_levels
    if most is not None and level >= most:
        raise limit_error(TooLarge, "max_depth", most)


def _refer_to(jellier: Jellier, seen: Seen) -> Expression:
    if not seen.number:
        jellier._numbered += 1
        seen.number = jellier._numbered
        if seen.is_complete:
            seen.complete()
    return [atoms.DEREFERENCE, seen.number]


def _trail(frames: list[tuple[list[Expression], Seen | None]]) -> Iterator[tuple[object, int]]:
    """Yield the position of a walk; see ``CannotJelly.trail``.

    Args:
        frames: the open expressions, each with its object. The outermost one has none, and the pair
            of a key and value of a dict has none.
    """
    last = len(frames) - 1
    for number, (out, seen) in enumerate(frames[1:], 1):
        if seen is None:
            continue
        # The first part of an expression is its tag. If the walk is inside a part, that part is in
        # the expression already.
        position = len(out) - (1 if number == last else 2)
        if type(seen.value) is dict and number < last:
            pair = frames[number + 1][0]
            position = 2 * position + len(pair) - (0 if number + 1 == last else 1)
        yield seen.value, position
