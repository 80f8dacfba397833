"""Makes classes of this library subclasses of Twisted's classes when Twisted is loaded.

A program may move in part from Twisted's Perspective Broker to this library. Then Twisted's code
gets a Failure of this library, and would take an object of another class for a normal result. And
an ``except`` of the program names Twisted's class while the class of this library is raised.

So as soon as Twisted's module is loaded, a class of this library gets Twisted's class as its last
base. It keeps its own methods, since they come first; ``isinstance``, ``except`` and other checks
find Twisted's class. This is true for all its objects, also older ones, and for every subclass.
Without Twisted the classes have only their own bases, and nothing is slower. Deferreds are known to
Twisted in another way: see `broker.defer.registered`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from broker.loading import when_loaded

__all__ = ["subclass_of_twisted"]

E = TypeVar("E", bound=type[BaseException])


def subclass_of_twisted(published: str) -> Callable[[E], E]:
    """Return a decorator that makes an exception class a subclass of Twisted's of that name.

    The first base of the class must be a class written in Python. Python allows new bases of a
    class only if its objects have the same memory layout, and compares the first bases; all
    exceptions that are written in Python have the same layout. Classes with slots do not: a
    subclass of such a class, made later, would look for a dict that is not there.
    """
    module, _, name = published.rpartition(".")

    def decorate(cls: E) -> E:
        own = cls.__bases__

        def add_base(loaded: ModuleType) -> None:
            theirs: Any = getattr(loaded, name, None)
            # An old Twisted may not have the class.
            if theirs is not None:
                cls.__bases__ = (*own, theirs)

        when_loaded(module, add_base)
        return cls

    return decorate
