"""Finds the references in an expression that was not decoded completely.

A peer counts each sending of an object or a cache, and expects a decref or a decache for each. A
decoded reference is released when it is collected. References that were not decoded are found here,
so that they can be released too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from jelly.atoms import DICTIONARY
from jelly.numbers import is_number
from jelly.slices import PARTS, UNFINISHED, VISITS

__all__ = ["counted_in"]


def counted_in(
    entries: Iterable[tuple[bytes | None, Any]],
    is_cache: Callable[[bytes], bool],
    is_reference: Callable[[bytes], bool],
) -> Iterator[Any]:
    """Yield the expressions that the peer has counted: references to its objects, and caches.

    Args:
        entries: the expressions to search, each with its tag. That tag is used if the expression
            has lost its own, as after ``jelly.slices.consumed``. An expression that is part of
            another one is searched once.
        is_cache: whether ``[tag, number, state]`` is a cache.
        is_reference: whether ``[tag, number]`` is a reference to an object of the peer.

    Yields:
        An expression; or UNFINISHED, when a slice of work is done.
    """
    roots = [(tag, item) for tag, item in entries if type(item) is list]
    apart = {id(item) for _, item in roots}
    left = VISITS * PARTS
    for root_tag, root in roots:
        tag, stack = root_tag, [iter((root,))]
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
            own = type(item[0]) is bytes
            tag = item[0] if own else root_tag if item is root else None
            if tag == DICTIONARY:
                # Its pairs are lists, but not expressions.
                pairs = [pair for pair in item if type(pair) is list]
                stack.append(chain.from_iterable(pairs))
                continue
            if own and _is_counted(item, is_cache, is_reference):
                yield item
            stack.append(_lists(item))


def _lists(item: list[Any]) -> Iterator[Any]:
    return (part for part in item if type(part) is list)


def _is_counted(
    item: list[Any], is_cache: Callable[[bytes], bool], is_reference: Callable[[bytes], bool]
) -> bool:
    if len(item) == 2:
        return is_number(item[1]) and (item[0] == b"cached" or is_reference(item[0]))
    return len(item) == 3 and is_number(item[1]) and is_cache(item[0])
