"""Forks: a child process gives up the connections that it inherited, and may not use them.

Theory of operation. A child made by ``os.fork``, as ``multiprocessing`` does on some systems, has a
copy of each descriptor. The kernel ends a connection when the last copy is closed. Without this
module, a connection that the parent has aborted, or whose parent was killed, would stay open as
long as the child runs. Python calls `_in_child` in each such child. A descriptor is not closed
there but redirected to the null device: the objects that have its number may close it later, and
must not close another file then.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet, ref

__all__ = ["FORKED", "Inheritable", "check", "give_back", "is_inherited", "watch"]

FORKED = "this process was forked after the connection was made; connect in the child"


class Inheritable(Protocol):
    """An object with descriptors that a child process does not need after a fork."""

    def on_forked(self) -> None:
        """Give the descriptors back and take no more work: this is the copy in the child."""


# Plain weak references: to add one to a WeakSet takes a call of Python, and so does its end.
_watched: set[ref[Inheritable]] = set()
_forget = _watched.discard
_inherited: WeakSet[Inheritable] = WeakSet()


def watch(thing: Inheritable) -> None:
    """Have ``thing.on_forked()`` called in each child process, as long as the object exists."""
    _watched.add(ref(thing, _forget))


def is_inherited(thing: Inheritable) -> bool:
    """Return whether the object was made in a process that this process was forked from."""
    return thing in _inherited


def check(thing: Inheritable) -> None:
    """Raise RuntimeError if the object was made in a process that this one was forked from."""
    if is_inherited(thing):
        raise RuntimeError(FORKED)


def give_back(descriptor: int) -> None:
    """Give up this process's copy of a descriptor; its number stays in use."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, descriptor)
    os.close(null)


def _in_child() -> None:
    watched = list(_watched)
    _watched.clear()
    for reference in watched:
        thing = reference()
        if thing is not None:
            _inherited.add(thing)
            thing.on_forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
