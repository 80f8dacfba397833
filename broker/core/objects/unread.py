"""Finds the references in an expression that was not decoded completely.

A peer counts each sending of an object or a cache, and expects a decref or a decache for each. It
expects that a stream is read or stopped. A decoded reference is released when it is collected.
References that were not decoded are found here, so that they can be released too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from jelly.atoms import DICTIONARY, Expression
from jelly.numbers import is_number
from jelly.slices import PARTS, UNFINISHED, VISITS, Walk

__all__ = ["PROMISED", "STREAM", "counted_in"]

STREAM = b"stream"
"""The tag of a stream."""
PROMISED = b"promised"
"""The tag of a promise among the arguments of a call."""


def counted_in(
    entries: Iterable[tuple[bytes | None, Expression]],
    is_cache: Callable[[bytes], bool],
    is_reference: Callable[[bytes], bool],
) -> Walk[list[Expression]]:
    """Yield the expressions that the peer has counted: references to its objects, and caches.

    Args:
        entries: the expressions to search, each with its tag. That tag is used if the expression
            has lost its own, as after ``jelly.slices.consumed``. An expression that is part of
            another one is searched once.
        is_cache: whether ``[tag, number, state]`` is a cache.
        is_reference: whether ``[tag, number]`` is a reference to an object of the peer.

    Yields:
        An expression, or that of a stream; or UNFINISHED, when a slice of work is done.
    """
    roots = [(tag, item) for tag, item in entries if type(item) is list]
    apart = {id(item) for _, item in roots}
    left = VISITS * PARTS
    for root_tag, root in roots:
        tag = root_tag
        stack: list[Iterator[Expression]] = [iter((root,))]
        while stack:
            item = next(stack[-1], None)
            if item is None:
                stack.pop()
                continue
            left -= 1
            if left <= 0:
                yield UNFINISHED
                left = VISITS * PARTS
            if type(item) is not list or not item or (id(item) in apart and item is not root):
                continue
            head = item[0]
            tag = head if type(head) is bytes else root_tag if item is root else None
            if tag == DICTIONARY:
                # Its pairs are lists, but not expressions.
                pairs = [pair for pair in item if type(pair) is list]
                stack.append(chain.from_iterable(pairs))
                continue
            if type(head) is bytes and _is_counted(head, item, is_cache, is_reference):
                yield item
            stack.append(_lists(item))


def _lists(item: list[Expression]) -> Iterator[list[Expression]]:
    return (part for part in item if type(part) is list)


def _is_counted(
    tag: bytes,
    item: list[Expression],
    is_cache: Callable[[bytes], bool],
    is_reference: Callable[[bytes], bool],
) -> bool:
    if tag == STREAM and len(item) in (2, 3):
        return is_number(item[1])
    if len(item) == 2:
        return is_number(item[1]) and (tag == b"cached" or is_reference(tag))
    return len(item) == 3 and is_number(item[1]) and is_cache(tag)
