"""Twisted's classes as bases of ours, from the moment when Twisted is loaded.

A program may move a part of itself from Twisted's Perspective Broker to ours and leave the rest.
Then a Failure of ours is given to Twisted's code, which takes what is not of its own class for a
plain result; and an ``except`` of the program names a class of Twisted's where ours is raised.

So ours are its own. As soon as Twisted's module is loaded, a class of ours gets Twisted's as its
last base. It keeps its own methods, for they come first; ``isinstance``, ``except`` and whatever
else asks for a class find Twisted's. That holds for every object of ours, also for one that was
made before, and for every subclass. Without Twisted the classes are what they are written as, and
nothing is slower. Deferreds are told to Twisted in another way: see `broker.defer.registered`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from broker.loading import when_loaded

__all__ = ["subclass_of_twisted"]

E = TypeVar("E", bound=type[BaseException])


def subclass_of_twisted(published: str) -> Callable[[E], E]:
    """Return a decorator: an exception class becomes a subclass of Twisted's of that name.

    The first base of the class must be a class of ours. Python replaces the bases of a class only
    by others whose objects look alike in memory, and it compares the first; all exceptions that are
    written in Python look alike. Classes with slots do not: a subclass of such a class, that is
    made later, would look for a dict where there is none.
    """
    module, _, name = published.rpartition(".")

    def decorate(cls: E) -> E:
        own = cls.__bases__

        def add_base(loaded: ModuleType) -> None:
            theirs: Any = getattr(loaded, name, None)
            # A Twisted that is older than the class does without.
            if theirs is not None:
                cls.__bases__ = (*own, theirs)

        when_loaded(module, add_base)
        return cls

    return decorate
