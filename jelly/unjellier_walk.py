"""The walk of an unjellier over an expression; see ``jelly.unjellier`` for how it works.

This module has functions and no classes, so that it can be compiled (``jelly.acceleration``).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from jelly import atoms, code, containers, instances, leaves
from jelly.arity import check_arity
from jelly.atoms import Expression
from jelly.bases import Unpersistable
from jelly.errors import InsecureJelly, LimitExceeded, MalformedJelly
from jelly.frames import Frame
from jelly.knots import Knot, tie
from jelly.leaves import ATOMS
from jelly.limit_errors import limit_error
from jelly.numbers import number_in
from jelly.refusals import not_registered
from jelly.registry import named_class
from jelly.slices import PARTS, UNFINISHED, VISITS, Walk

if TYPE_CHECKING:
    from jelly.unjellier import Unjellier

__all__ = ["OPENERS", "check_expanded", "walk_expression"]

# Bytes of a long string that count as one node.
_BYTES: Final = 256
# One more than the entries of a dict that is made in one visit.
_MOST_PAIRS: Final = 17


def _root(unjellier: Unjellier, parts: list[object], target: object) -> object:
    return parts[0]


def walk_expression(unjellier: Unjellier, root: Expression) -> Walk[Any]:
    """Make the value of ``root``, as a walk of ``jelly.slices``.

    Raises:
        InsecureJelly, MalformedJelly, LimitExceeded: see ``Unjellier.unjelly``.
    """
    since = unjellier.knots.mark()
    holder: list[object] = []
    opened_items: list[tuple[bytes | None, Expression]] = []
    frame = Frame(holder, iter((root,)), _root, None, None)
    outer: list[Frame] = []
    # The open containers with a number: their depth, their number, the count before them.
    weighed: list[tuple[int, int, int]] = []
    readers, limits, allowed, keys = (
        leaves.READERS,
        unjellier.limits,
        unjellier._allowed,
        unjellier.keys,
    )
    visits, hashed = VISITS, keys.total
    item: Any = root
    tag: Any = None
    try:
        while True:
            visits -= 1
            if visits <= 0:
                yield UNFINISHED
                visits = VISITS
            parts = frame.parts
            full = len(parts) + PARTS
            for item in islice(frame.rest, PARTS):
                if type(item) is not list:
                    if type(item) not in ATOMS:
                        raise MalformedJelly(f"{type(item).__name__} in an expression")
                    parts.append(item)
                    continue
                tag = item[0] if item else None
                if type(tag) is not bytes or tag not in allowed:
                    tag = _tag(unjellier, item)
                read = readers.get(tag)
                if read is not None:
                    parts.append(read(item, limits))
                    continue
                number = None
                if tag == atoms.REFERENCE:
                    number, item = _numbered(unjellier, item)  # noqa: PLW2901 - the referenced item
                    tag, value = _tag_of_numbered(unjellier, number, item)
                    if tag is None:
                        parts.append(value)
                        continue
                before = unjellier.expanded
                unjellier.expanded += len(item)
                if weighed or number is not None:
                    unjellier.expanded += _text_weight(tag, item)
                opened = _open(unjellier, tag, item, number)
                if type(opened) is Frame:
                    outer.append(frame)
                    opened_items.append((tag, item))
                    if number is not None:
                        weighed.append((len(outer), number, before))
                    frame = opened
                    break
                if type(opened) is dict:
                    # It was made at once, and counts as a visit.
                    visits -= 1
                if number is not None:
                    _resolve(unjellier, number, opened)
                    unjellier._weights[number] = unjellier.expanded - before
                parts.append(opened)
            else:
                if len(parts) == full:
                    continue
                value = frame.finish(unjellier, parts, frame.target)
                if keys.total != hashed:
                    # Hashing counts as visits, too.
                    visits -= (keys.total - hashed) // PARTS
                    hashed = keys.total
                if type(value) is Frame:
                    frame = value
                    continue
                if not outer:
                    break
                if frame.number is not None:
                    _resolve(unjellier, frame.number, value)
                if weighed and weighed[-1][0] == len(outer):
                    _, number, before = weighed.pop()
                    unjellier._weights[number] = unjellier.expanded - before
                frame = outer.pop()
                opened_items.pop()
                frame.parts.append(value)
    except GeneratorExit:
        raise
    except BaseException:
        _note_unread(unjellier, tag, item, opened_items, [*outer, frame])
        raise
    if unjellier.knots.are_used:
        settling = unjellier.knots.settle(since)
        while next(settling) is UNFINISHED:
            yield UNFINISHED
        tie(holder)
        value = holder[0]
    yield value


def _note_unread(
    unjellier: Unjellier,
    tag: object,
    item: Expression,
    opened: list[tuple[bytes | None, Expression]],
    frames: list[Frame],
) -> None:
    """Note the expressions that were not decoded when a walk failed at ``item``."""
    unjellier.unread += opened
    if not opened or item is not opened[-1][1]:
        unjellier.unread.append((tag if type(tag) is bytes else None, item))
    for frame in frames:
        # The parts may have been removed from their list. They get one entry together, since
        # there may be a million of them.
        unjellier.unread.append((None, [atoms.LIST, *frame.rest]))


def _tag(unjellier: Unjellier, expression: list[Expression]) -> bytes:
    tag: object = expression[0] if expression else None
    if isinstance(tag, str):
        # Only in an expression that the application wrote itself; the wire has bytes.
        tag = tag.encode("utf-8")
    if type(tag) is not bytes:
        raise MalformedJelly("a list that does not start with a tag")
    is_known = tag in unjellier._rows or unjellier.registry.knows(tag)
    if not is_known and not unjellier.taster.isTypeAllowed(tag):
        raise not_registered(tag)
    return tag


def _numbered(unjellier: Unjellier, expression: list[Expression]) -> tuple[int, Expression]:
    number = number_in(expression)
    check_arity(expression, 3)
    if number in unjellier._references:
        raise MalformedJelly(f"reference {number} defined twice")
    unjellier._references[number] = Knot()
    return number, expression[2]


def _tag_of_numbered(
    unjellier: Unjellier, number: int, item: Expression
) -> tuple[bytes | None, object]:
    """Return the tag of a referenced value that has parts; else None and the value."""
    if type(item) is list:
        tag = _tag(unjellier, item)
        if tag == atoms.REFERENCE:
            raise MalformedJelly(f"reference {number} is another reference")
        read = leaves.READERS.get(tag)
        if read is None:
            return tag, None
        value = read(item, unjellier.limits)
    elif type(item) in ATOMS:
        value = item
    else:
        raise MalformedJelly(f"{type(item).__name__} in an expression")
    unjellier._references[number] = value
    unjellier._weights[number] = 1 + _text_weight(b"", [item])
    return None, value


def _resolve(unjellier: Unjellier, number: int, value: object) -> None:
    """Set the value of a reference, also in the places that referred to it before."""
    known = unjellier._references[number]
    if type(known) is Knot:
        if type(value) is not Knot:
            known.value = value
            unjellier._references[number] = value
        elif value is not known:
            # The value is not known yet either: the earlier knot gets its value later.
            unjellier.knots.wait(lambda: _follow(known, value))
            unjellier._references[number] = value


def _dereference(unjellier: Unjellier, expression: list[Expression]) -> object:
    number = number_in(expression)
    check_arity(expression, 2)
    try:
        value = unjellier._references[number]
    except KeyError:
        raise MalformedJelly(f"reference {number} was never defined") from None
    if type(value) is Knot:
        unjellier.knots.are_used = True
    # An incomplete container counts as one node.
    unjellier._is_shared = True
    unjellier.expanded += unjellier._weights.get(number, 1)
    check_expanded(unjellier)
    return value


def check_expanded(unjellier: Unjellier) -> None:
    """Check the size of the graph as a tree.

    Raises:
        LimitExceeded: it is larger than max_expanded.
    """
    most = unjellier.limits.max_expanded
    if unjellier.expanded > most:
        raise limit_error(LimitExceeded, "max_expanded", most, unjellier.expanded)


def _open(
    unjellier: Unjellier, tag: bytes, expression: list[Expression], number: int | None
) -> object:
    """Return the value of an expression that is not a scalar, or the frame that makes it."""
    if tag == atoms.DEREFERENCE:
        return _dereference(unjellier, expression)
    if tag == atoms.DICTIONARY and len(expression) <= _MOST_PAIRS:
        made = _small_dictionary(unjellier, expression)
        if made is not None:
            # Keys and values, in addition to the pairs.
            unjellier.expanded += 2 * len(expression)
            return made
    opener = OPENERS.get(tag)
    if opener is not None:
        return opener(unjellier, expression, number)
    row = unjellier._rows.get(tag)
    if row is not None:
        return row(unjellier, expression)
    cls = unjellier.registry.class_for(tag)
    if cls is not None:
        return instances.registered(unjellier, cls, tag, expression, number)
    factory = unjellier.registry.factory_for(tag)
    if factory is not None:
        return instances.by_factory(unjellier, factory, expression, number)
    if tag == atoms.UUID:
        value = leaves.read_uuid(expression)
        if value is not None:
            return value
    reader = code.READERS.get(tag)
    if reader is not None:
        if not unjellier.allow_code:
            raise InsecureJelly(f"type '{atoms.text_of(tag)}' is not accepted by this policy")
        return reader(unjellier, expression)
    cls = named_class(atoms.text_of(tag), unjellier.taster)
    return instances.plain(unjellier, cls, expression, number)


def _small_dictionary(
    unjellier: Unjellier, expression: list[Expression]
) -> dict[object, object] | None:
    """Return the dict of an expression whose keys are strs and whose values are leaves; else None.

    Most dicts are such. Nothing can refer to their parts. With this quick path, a hundred rows of a
    table are decoded in half the visits, and without a frame for each.
    """
    allowed, limits = unjellier._allowed, unjellier.limits
    made: dict[object, object] = {}
    if len(expression) < 2 or atoms.UNICODE not in allowed:
        return None
    try:
        for pair in islice(expression, 1, None):
            if type(pair) is not list or len(pair) != 2:
                return None
            key: Any = pair[0]
            value: Any = pair[1]
            if type(key) is not list or not key or key[0] != atoms.UNICODE:
                return None
            if type(value) is list:
                tag = value[0] if value else None
                if type(tag) is not bytes or tag not in allowed:
                    return None
                read = leaves.READERS.get(tag)
                if read is None:
                    return None
                value = read(value, limits)
            elif type(value) not in ATOMS:
                return None
            made[leaves.read_str(key)] = value
    except (LimitExceeded, MalformedJelly):
        # It is raised again where the position of the walk is known.
        return None
    return made


def _persistent(unjellier: Unjellier, expression: list[Expression], number: int | None) -> object:
    check_arity(expression, 2)
    if unjellier.persistentLoad is None:
        return Unpersistable("Persistent callback not found")
    return unjellier.persistentLoad(expression[1], unjellier)


def _unpersistable(
    unjellier: Unjellier, expression: list[Expression], number: int | None
) -> Unpersistable:
    check_arity(expression, 2)
    return Unpersistable(f"Unpersistable data: {atoms.text_of(expression[1])}")


def _follow(known: Knot, value: Knot) -> None:
    known.value = value.value


def _text_weight(tag: bytes, expression: list[Expression]) -> int:
    """Return the nodes that the strings in an expression count in addition to one each."""
    items: Iterable[Expression] = expression
    if tag == atoms.DICTIONARY:
        items = chain.from_iterable(pair for pair in expression if type(pair) is list)
    total = 0
    for item in items:
        text = item[1] if type(item) is list and len(item) == 2 else item
        if type(text) is bytes:
            total += len(text) // _BYTES
    return total


OPENERS: Final[dict[bytes, containers.Opener]] = {
    **containers.OPENERS,
    atoms.PERSISTENT: _persistent,
    atoms.UNPERSISTABLE: _unpersistable,
}
"""By tag: the openers of containers, and of what stands for an object."""
