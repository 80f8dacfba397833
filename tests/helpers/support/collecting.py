"""Code of the application that runs where an object is made: a finalizer of garbage."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import TypeVar

__all__ = ["at_each_allocation"]

T = TypeVar("T")


class _Garbage:
    """Refers to itself; its finalizer calls a function when it is collected."""

    def __init__(self, finalizer: Callable[[], object]):
        self._itself = self
        self._finalizer = finalizer

    def __del__(self) -> None:
        self._finalizer()


def at_each_allocation(
    times: int, finalizer: Callable[[], object]
) -> Iterator[Callable[[Callable[[], T]], T]]:
    """Yield functions that call their argument and return its result, and run a finalizer in it.

    The first one runs ``finalizer()`` when the argument makes its first object that the garbage
    collector knows; the next one when there are two such objects, and so on. If there are never so
    many, it does not run. From Python 3.12 on the collector runs between the instructions of Python
    code instead.
    """
    for number in range(times):

        def run(function: Callable[[], T], number: int = number) -> T:
            thresholds = gc.get_threshold()
            gc.collect()
            gc.disable()
            is_over = False
            try:
                _Garbage(lambda: None if is_over else finalizer())
                gc.set_threshold(gc.get_count()[0] + number, 1000, 1000)
                gc.enable()
                return function()
            finally:
                is_over = True
                gc.set_threshold(*thresholds)
                gc.enable()

        yield run
