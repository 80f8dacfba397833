"""Forks: a child process gives back the connections that it has inherited, and may not use them.

Theory of operation. A child made by ``os.fork``, as ``multiprocessing`` makes some, has a copy of
each descriptor. The kernel ends a connection when the last copy is closed, so that without this
module a connection which the parent has aborted, or whose parent was killed, would last as long as
the child. Python calls `_in_child` in each such child. A descriptor is not closed there but
pointed to the null device: the objects that have its number may close it later, and must not close
another file then.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

__all__ = ["FORKED", "Inheritable", "check", "give_back", "is_inherited", "watch"]

FORKED = "this process was forked after the connection was made; connect in the child"


class Inheritable(Protocol):
    """What a child process has a useless copy of after a fork."""

    def on_forked(self) -> None:
        """This is the copy, in the child: give descriptors back, and take no work any more."""


_watched: WeakSet[Inheritable] = WeakSet()
_inherited: WeakSet[Inheritable] = WeakSet()


def watch(thing: Inheritable) -> None:
    """Have ``thing.on_forked()`` called in each child process, for as long as it lives."""
    _watched.add(thing)


def is_inherited(thing: Inheritable) -> bool:
    """Return whether this was made in a process of which this one was forked."""
    return thing in _inherited


def check(thing: Inheritable) -> None:
    """Raise RuntimeError if this was made in a process of which this one was forked."""
    if is_inherited(thing):
        raise RuntimeError(FORKED)


def give_back(descriptor: int) -> None:
    """Give up this process's copy of a descriptor; its number stays taken."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, descriptor)
    os.close(null)


def _in_child() -> None:
    for thing in list(_watched):
        _inherited.add(thing)
        _watched.discard(thing)
        thing.on_forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
