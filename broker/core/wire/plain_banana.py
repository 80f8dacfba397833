"""Reads calls and answers with plain values straight from the bytes of banana.

Most messages of PB's dialects are short: a call of a method with a few scalars, or its answer.
Their heads have a fixed form, which a regular expression recognises. Any other message, such as one
that is not complete, is malformed, or has a list among its values, is left to the reader of
expressions. That reader would make the same messages of what is read here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from msgspec import Struct

from broker.core.wire.commands import COMMANDS
from broker.core.wire.messages import (
    LONGEST_NAME,
    GraphAnswer,
    GraphCall,
    PlainAnswer,
    PlainCall,
    PlainSend,
)
from jelly import atoms
from jelly.codec import Writer, list_head
from jelly.codec.scalars import MOST_DIGITS, Forms, forms_of, read_scalars
from jelly.limits import Limits

__all__ = ["Shapes", "longest_string", "read_plain", "shapes_of"]

_MOST = 32
"""Most values of a tuple."""

# More than the elements of all lists of a message together, and than its strings; and its depth.
_MOST_NODES, _MOST_STRINGS, _DEPTH = 128, 64, 3

_Match: TypeAlias = Callable[[bytes, int], re.Match[bytes] | None]


class Shapes(Struct, frozen=True):
    """What the messages of a dialect look like.

    Attributes:
        call: matches a call up to its first argument. The groups are the digits of its request id;
            those of the object, or the length and the bytes of its name; the length and the bytes
            of the name of the method; whether an answer is wanted; the length of the tuple.
        answer: matches an answer up to its value, or up to the first value of a tuple. The groups
            are the digits of the request id, and the length of the tuple.
        no_keywords: the end of a call.
        forms: of the scalars.
    """

    call: _Match
    answer: _Match
    no_keywords: bytes
    forms: Forms


@lru_cache(4)
def _shapes_of(vocabulary: tuple[tuple[bytes, int], ...]) -> Shapes:
    word = Writer(Limits(), dict(vocabulary)).encode
    call, answer = COMMANDS[GraphCall], COMMANDS[GraphAnswer]
    number = rb"([\x00-\x7f]{1,%d})[\x81\x85]" % MOST_DIGITS
    # A string that is not ASCII, or has more than one digit of length, is left to the reader.
    size, text, values = rb"([\x00-\x7f])\x82", rb"([\x00-\x7f]{0,127})", rb"([\x01-\x21])\x80"
    head = {
        row: re.escape(list_head(len(row.checks) + 1) + word(row.name or b"")) + number
        for row in (call, answer)
    }
    of_tuple = values + re.escape(word(atoms.TUPLE))
    target = rb"(?:%s|%s%s)" % (number, size, text)
    return Shapes(
        re.compile(head[call] + target + size + text + rb"([\x00\x01])\x81" + of_tuple).match,
        re.compile(head[answer] + rb"(?:%s)?" % of_tuple).match,
        list_head(1) + word(atoms.DICTIONARY),
        forms_of(dict(vocabulary)),
    )


def shapes_of(vocabulary: Mapping[bytes, int]) -> Shapes:
    """Return what the messages of a dialect look like; made once for each vocabulary."""
    return _shapes_of(tuple(vocabulary.items()))


def longest_string(limits: Limits) -> int:
    """Return the most bytes of a string in a message that is read here; -1 to read none here.

    So no limit needs a check: no such message exceeds one.
    """
    is_roomy = (
        min(limits.max_list, limits.max_nodes) >= _MOST_NODES
        and limits.max_depth >= _DEPTH
        and limits.max_prefix >= MOST_DIGITS
    )
    longest = min(limits.max_string, limits.max_expression // _MOST_STRINGS - 64)
    return longest if is_roomy and longest >= LONGEST_NAME else -1


def read_plain(
    data: bytes, pos: int, shapes: Shapes, longest: int, most: int, found: list[Any]
) -> int:
    """Append the messages from a position on to a list, until one is not of a known shape.

    Args:
        data, pos: the bytes, and where a message begins.
        shapes: of the dialect.
        longest: see `longest_string`.
        most: how many messages there may be in the list; any number if negative.
        found: gets the messages.

    Returns:
        The position behind the last of them.
    """
    end = len(data)
    match_call, match_answer, forms = shapes.call, shapes.answer, shapes.forms
    while len(found) != most:
        match = match_call(data, pos)
        if match is not None:
            digits, object_id, size, named, length, name, flag, count = match.groups()
            values: list[Any] = []
            stop = read_scalars(data, match.end(), count[0] - 1, forms, longest, values)
            if stop < 0 or not data.startswith(shapes.no_keywords, stop) or len(name) != length[0]:
                break
            if object_id is None and len(named) != size[0]:
                break
            target = named if object_id is None else _number(object_id)
            make: Any = PlainCall if flag == b"\x01" else PlainSend
            found.append(make(_number(digits), target, name.decode(), tuple(values), {}))
            pos = stop + len(shapes.no_keywords)
            continue
        match = match_answer(data, pos)
        if match is None:
            break
        digits, count = match.groups()
        values = []
        many = 1 if count is None else count[0] - 1
        stop = read_scalars(data, match.end(), many, forms, longest, values)
        if stop < 0 or stop > end:
            break
        found.append(PlainAnswer(_number(digits), values[0] if count is None else tuple(values)))
        pos = stop
    return pos


def _number(digits: bytes) -> int:
    """Return the number of a prefix, whose digits begin with the least significant one."""
    number = 0
    for digit in reversed(digits):
        number = number << 7 | digit
    return number
