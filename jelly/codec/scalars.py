"""Reads the elements of short values straight to values: a quick path beside the reader.

A protocol whose messages have a fixed form reads their values with it: most arguments and results
are ints and short strs. What is not short, or not complete, is left to ``jelly.codec.reader``.

This module has functions and no classes, so that it can be compiled (``jelly.acceleration``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from jelly.atoms import NONE
from jelly.codec.elements import (
    DOUBLE,
    FLOAT,
    INT,
    LIST,
    LISTS,
    LONGINT,
    LONGNEG,
    NEG,
    STRING,
    TEXT,
    VOCAB,
    head,
    string_head,
)

__all__ = ["MOST_DIGITS", "Forms", "forms_of", "read_scalars"]

MOST_DIGITS: Final = 9
"""Most digits of a prefix that are read here: those of an int of 63 bits."""

Forms: TypeAlias = tuple[dict[bytes, Any], bytes]
"""The values of the elements of two bytes, and the bytes of the expression of None."""

_TEXT: Final = LISTS[2] + TEXT


def forms_of(vocabulary: Mapping[bytes, int]) -> Forms:
    """Return what `read_scalars` looks up for a vocabulary."""
    known: dict[bytes, Any] = {head(number, INT): number for number in range(128)}
    known |= {head(number, VOCAB): word for word, number in vocabulary.items() if number < 128}
    is_known = NONE in vocabulary
    none = head(vocabulary[NONE], VOCAB) if is_known else string_head(len(NONE)) + NONE
    return known, LISTS[1] + none


def read_scalars(
    data: bytes, pos: int, count: int, forms: Forms, longest: int, values: list[Any]
) -> int:
    """Append the values of so many expressions at a position to a list.

    Each is an int, a float, bytes, a str or None, as an unjellier would make it.

    Args:
        data, pos: the bytes, and where the first expression begins.
        count: how many there are.
        forms: of the vocabulary.
        longest: most bytes of a string, at least 127.
        values: gets the values.

    Returns:
        The position behind the last of them. It is behind the end of ``data`` if that one is not
        complete. -1 if one is something else, or if others are not complete.
    """
    known = forms[0]
    try:
        for _ in range(count):
            if data.startswith(_TEXT, pos):
                start = pos + len(_TEXT)
                number, code = data[start], data[start + 1]
                start += 2
                if code != STRING or number > 0x7F:
                    start, number = _long_string(data, start - 2, longest)
                    if start < 0:
                        return -1
                pos = start + number
                values.append(data[start:pos].decode())
                continue
            value = known.get(data[pos : pos + 2])
            if value is not None:
                values.append(value)
                pos += 2
                continue
            pos = _read_scalar(data, pos, forms, longest, values)
            if pos < 0:
                return -1
    except (IndexError, UnicodeDecodeError):
        return -1
    return pos


def _read_scalar(data: bytes, pos: int, forms: Forms, longest: int, values: list[Any]) -> int:
    """Append the value of any other scalar; see `read_scalars`."""
    begin = pos
    number, code, pos = _read_head(data, pos)
    if code == INT or code == LONGINT:  # noqa: SIM109 - a set costs each element
        values.append(number)
    elif code == STRING and number <= longest:
        values.append(data[pos : pos + number])
        pos += number
    elif code == NEG or code == LONGNEG:  # noqa: SIM109
        values.append(-number)
    elif code == FLOAT and pos + 8 <= len(data):
        values.append(DOUBLE.unpack_from(data, pos)[0])
        pos += 8
    elif code == LIST and data.startswith(forms[1], begin):
        values.append(None)
        pos = begin + len(forms[1])
    else:
        return -1
    return pos


def _read_head(data: bytes, pos: int) -> tuple[int, int, int]:
    """Return the number of an element, its type byte, and where its body begins.

    The type byte is 0 if the number is too long.

    Raises:
        IndexError: it is not complete.
    """
    number = shift = 0
    code = data[pos]
    pos += 1
    while code < 0x80:
        if shift == 7 * MOST_DIGITS:
            return 0, 0, pos
        number |= code << shift
        shift += 7
        code = data[pos]
        pos += 1
    return number, code, pos


def _long_string(data: bytes, pos: int, longest: int) -> tuple[int, int]:
    """Return where the body of a string begins, and its length; -1 if it is too long or no string.

    Raises:
        IndexError: its head is not complete.
    """
    number, code, pos = _read_head(data, pos)
    return (pos, number) if code == STRING and number <= longest else (-1, 0)
