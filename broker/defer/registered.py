"""Registered: our Deferreds are told to Twisted as classes of its own Deferreds.

Where a Deferred of ours is yielded to a generator of Twisted's, returned to a callback of
Twisted's, and so on, Twisted asks whether it is one of its own. What is none counts as a plain
value, and nothing is said. So each of our classes is registered there, once
``twisted.internet.defer`` is loaded. Twisted's Deferred is an abstract base class, for which
``isinstance`` then holds; where being quick matters, Twisted looks into a list, to which its
``__init_subclass__`` adds. Objects that were made before count as well.

What Twisted's code then does with such a Deferred is in `broker.defer.twisted_view`. Why this way
was taken, and not another: docs/explanation/twisted-deferreds.md.
"""

from __future__ import annotations

import logging
import sys
from abc import ABCMeta
from collections.abc import Iterator
from types import ModuleType
from typing import Any, TypeVar

from broker.loading import when_loaded

__all__ = ["deferred_of_twisted", "known_to_twisted", "register_subclass"]

C = TypeVar("C", bound=type[Any])

_MODULE = "twisted.internet.defer"
_logger = logging.getLogger("broker.defer")


def deferred_of_twisted(cls: C) -> C:
    """Have Twisted take objects of `cls` and of its subclasses for its Deferreds: a decorator.

    Subclasses that are made later call `register_subclass`.
    """

    def register_all(module: ModuleType) -> None:
        for each in _with_subclasses(cls):
            _register(module, each)

    when_loaded(_MODULE, register_all)
    return cls


def known_to_twisted(cls: C) -> C:
    """Have ``isinstance`` hold for objects of `cls` and Twisted's class of that name: a decorator.

    It holds where Twisted's is an abstract base class, as those of locks and semaphores are.
    """

    def register(module: ModuleType) -> None:
        theirs = getattr(module, cls.__name__, None)
        if isinstance(theirs, ABCMeta):
            theirs.register(cls)

    when_loaded(_MODULE, register)
    return cls


def register_subclass(cls: C) -> C:
    """Tell Twisted of a new subclass if it is loaded; else that is done when it is: a decorator."""
    module = sys.modules.get(_MODULE)
    if module is not None:
        _register(module, cls)
    return cls


def _register(module: ModuleType, cls: type[Any]) -> None:
    theirs: Any = getattr(module, "Deferred", None)
    if theirs is None:
        # It is being loaded just now.
        return
    theirs.register(cls)
    # Versions that have no list have no such method either.
    add = vars(theirs).get("__init_subclass__")
    if add is not None:
        add.__func__(cls)
    blank = object.__new__(cls)
    if module.maybeDeferred(lambda: blank) is not blank:
        _logger.warning(
            "this version of Twisted takes %s for a plain value: give its functions d.asTwisted()",
            cls.__qualname__,
        )


def _with_subclasses(cls: type[Any]) -> Iterator[type[Any]]:
    yield cls
    for subclass in cls.__subclasses__():
        yield from _with_subclasses(subclass)
