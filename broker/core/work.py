"""Work on one message that may take longer than a turn of the loop.

A handler does most messages at once. Where a message holds or needs a large graph, the handler
returns a generator instead: what is left to do. Each step of it is one slice (``jelly.slices``).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final, TypeAlias, TypeVar

__all__ = ["PUT_OFF", "Work", "begun", "call_hook", "finish"]

Result = TypeVar("Result")

Work: TypeAlias = Generator[object, None, None]
"""What is left to do for one message; each step does a slice of it."""

PUT_OFF: Final[Any] = object()
"""What a handler returns for a message that must wait: it has done nothing, and is asked again."""

_DONE = object()


def begun(work: Work) -> Work | None:
    """Do the first slice; return what is left, or None where that was all."""
    return None if next(work, _DONE) is _DONE else work


def call_hook(function: Callable[..., Result], *args: Any) -> Result:
    """Call what runs code of the application's, within work.

    A GeneratorExit that it raises becomes a RuntimeError: only a generator that is closed ends by
    one.
    """
    try:
        return function(*args)
    except GeneratorExit as error:
        raise RuntimeError("a method or hook raised GeneratorExit") from error


def finish(work: Work | None) -> None:
    """Do all that is left, if anything is."""
    for _ in work or ():
        pass
