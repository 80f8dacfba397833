"""Counts the elements of a msgpack body before it is decoded, head by head.

A map counts as three elements, since a map of one entry takes as much memory as three lists. Each
of its entries counts as three elements too, as in PB's dialects.
"""

from __future__ import annotations

import functools

from jelly.errors import LimitExceeded
from jelly.limit_errors import limit_error
from jelly.limits import Limits
from jelly.slices import UNFINISHED, Walk

__all__ = ["checked", "is_within", "most_unchecked"]

# Heads in a slice of work, which takes about a millisecond.
_HEADS = 8 * 1024
# PB's limits of a string and a list: with these, msgpack/1 accepts any length that fits in a frame.
_PUBLISHED = Limits()
# The depth that the decoder's types check; the expression of a graph has two levels more.
_DEEPEST, _OF_GRAPH, _GRAPH_TAG = 100, 2, 7

_SIZES = bytearray(256)  # bytes of an element's head and fixed body, by its first byte
_FOLLOW = bytearray(256)  # bytes of the head that are a length; 0 if none
_STRINGS = bytearray(256)  # whether it is text or bytes
_MANY = bytearray(256)  # elements per unit of its length: 1 for a list, 2 for a map
for _byte, _size, _length in (
    (0xC4, 2, 1), (0xC5, 3, 2), (0xC6, 5, 4), (0xD9, 2, 1), (0xDA, 3, 2), (0xDB, 5, 4),
    (0xC7, 3, 1), (0xC8, 4, 2), (0xC9, 6, 4),
    (0xCA, 5, 0), (0xCB, 9, 0), (0xCC, 2, 0), (0xCD, 3, 0), (0xCE, 5, 0), (0xCF, 9, 0),
    (0xD0, 2, 0), (0xD1, 3, 0), (0xD2, 5, 0), (0xD3, 9, 0),
    (0xD4, 3, 0), (0xD5, 4, 0), (0xD6, 6, 0), (0xD7, 10, 0), (0xD8, 18, 0),
    (0xDC, 3, 2), (0xDD, 5, 4), (0xDE, 3, 2), (0xDF, 5, 4),
):  # fmt: skip
    _SIZES[_byte] = _size
    _FOLLOW[_byte] = _length
for _byte in (*range(0x80), *range(0x80, 0xA0), 0xC0, 0xC1, 0xC2, 0xC3, *range(0xE0, 0x100)):
    _SIZES[_byte] = 1
for _byte in range(0xA0, 0xC0):
    _SIZES[_byte] = 1 + (_byte & 0x1F)
for _byte in (*range(0xA0, 0xC0), 0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB):
    _STRINGS[_byte] = 1
for _byte in (*range(0x90, 0xA0), 0xDC, 0xDD):
    _MANY[_byte] = 1
for _byte in (*range(0x80, 0x90), 0xDE, 0xDF):
    _MANY[_byte] = 2


# The most entries of a container whose head is one byte, and bytes of a string whose head has one
# byte of length, with that head.
_SHORT, _SHORT_TEXT = 15, 257
_SHORT_CONTAINERS = bytes(range(0x80, 0xA0))
# The heads of single elements of a fixed length, and of short strings.
_LEAVES = bytes(
    (
        *range(0x80),
        *range(0xA0, 0xC1),
        0xC2,
        0xC3,
        0xC4,
        *range(0xCA, 0xD4),
        0xD9,
        *range(0xE0, 0x100),
    )
)


@functools.lru_cache(16)
def most_unchecked(limits: Limits) -> int:
    """Return the length up to which a body cannot exceed a limit."""
    most = min(limits.max_nodes, limits.max_expression)
    for limit, published in (
        (limits.max_string, _PUBLISHED.max_string),
        (limits.max_list, _PUBLISHED.max_list),
        (limits.max_depth, _DEEPEST),
    ):
        if limit < published:
            most = min(most, limit)
    return most


def is_within(body: bytes, limits: Limits) -> bool:
    """Return whether a body certainly is within the limits, without a look at each head.

    It is for the small frames of a login, whose limits are small too. All bytes are taken for
    heads. Those of short lists and maps are counted; another one that has elements or a long
    length makes the result False.
    """
    # A short container has at most 15 entries; a map counts as three elements more than a leaf.
    many = body.translate(None, _LEAVES)
    return (
        len(many) <= limits.max_depth
        and len(body) + (_SHORT + 2) * len(many) <= limits.max_nodes
        and len(body) <= limits.max_expression
        and limits.max_string >= _SHORT_TEXT
        and limits.max_list >= _SHORT
        and not many.translate(None, _SHORT_CONTAINERS)
    )


def checked(body: memoryview, limits: Limits) -> Walk[None]:
    """Check a body against the limits, as a walk of ``jelly.slices`` whose result is None.

    ``max_string`` and ``max_list`` are applied if they are smaller than PB's limits.

    Raises:
        LimitExceeded: the body has too many elements, or one of them is too long or too deep. At
            most ``max_nodes`` heads are read.
    """
    pos, end, nodes, left = 0, len(body), 0, _HEADS
    sizes, follow, many, strings = _SIZES, _FOLLOW, _MANY, _STRINGS
    most = limits.max_nodes
    longest = limits.max_string if limits.max_string < _PUBLISHED.max_string else end
    widest = limits.max_list if limits.max_list < _PUBLISHED.max_list else end
    deepest = limits.max_depth if limits.max_depth < _DEEPEST else 0
    is_graph = end > 1 and body[1] == _GRAPH_TAG
    # The number of elements left in each open container.
    still: list[int] = []
    while pos < end:
        head = body[pos]
        nodes += 1
        step = sizes[head]
        size = follow[head]
        length = int.from_bytes(body[pos + 1 : pos + 1 + size], "big") if size else 0
        kind = many[head]
        if kind:
            if not size:
                length = head & 0x0F
            if kind == 2:
                nodes += 2 + length
            if length > widest:
                raise limit_error(LimitExceeded, "max_list", limits.max_list, length)
            if deepest:
                still.append(length * kind + 1)
                if len(still) > deepest + _OF_GRAPH * is_graph:
                    raise limit_error(LimitExceeded, "max_depth", limits.max_depth)
        else:
            step += length
            if strings[head] and step > longest:
                _check_string(length or head & 0x1F, limits)
        if nodes > most:
            raise limit_error(LimitExceeded, "max_nodes", most)
        # One element is done, and each container whose last element it is.
        while still:
            still[-1] -= 1
            if still[-1]:
                break
            still.pop()
        pos += step
        left -= 1
        if not left:
            left = _HEADS
            yield UNFINISHED
    yield None


def _check_string(length: int, limits: Limits) -> None:
    # The caller has compared the length with the head included.
    if length > limits.max_string:
        raise limit_error(LimitExceeded, "max_string", limits.max_string, length)
