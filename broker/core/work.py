"""Work on one message that may take longer than a turn of the loop.

A handler handles most messages at once. If a message contains or needs a large graph, the handler
returns a generator with the rest of the work. Each step of it is one slice (``jelly.slices``).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Generator
from typing import Final, Literal, TypeAlias, TypeVar

__all__ = ["PUT_OFF", "Work", "WorkLeft", "begun", "call_hook", "finish", "raised_exit"]

Result = TypeVar("Result")

Work: TypeAlias = Generator[object, None, None]
"""The rest of the work for one message; each step does one slice."""


class _State(enum.Enum):
    PUT_OFF = "put off"


PUT_OFF: Final = _State.PUT_OFF
"""Returned by a handler that has done nothing: the message must wait, and is handled again."""

WorkLeft: TypeAlias = Work | Literal[_State.PUT_OFF] | None
"""What a handler returns: the rest of its work, PUT_OFF, or None if the message is handled."""

_DONE = object()


def begun(work: Work) -> Work | None:
    """Do the first slice; return the rest of the work, or None if that was all."""
    return None if next(work, _DONE) is _DONE else work


def call_hook(function: Callable[..., Result], *args: object) -> Result:
    """Call a function that runs application code, within work.

    A GeneratorExit of that code becomes a RuntimeError: a generator may end with a GeneratorExit
    only if it is closed.
    """
    try:
        return function(*args)
    except GeneratorExit as error:
        raise raised_exit() from error


def raised_exit() -> RuntimeError:
    """Return the error for a GeneratorExit of application code; see `call_hook`."""
    return RuntimeError("a method or hook raised GeneratorExit")


def finish(work: Work | None) -> None:
    """Do all of the rest of the work, if any."""
    for _ in work or ():
        pass
