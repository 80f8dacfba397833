"""Registers this library's Deferreds with Twisted, as classes of Twisted's Deferreds.

When a Deferred is yielded to a Twisted generator, or returned to a Twisted callback, Twisted checks
whether it is one of its own. It treats any other object as a plain value, without a message. So
each Deferred class of this library is registered there as soon as ``twisted.internet.defer`` is
loaded. Twisted's Deferred is an abstract base class, so ``isinstance`` then holds. Where speed
matters, Twisted looks into a list, to which its ``__init_subclass__`` adds. Objects made before the
registration are recognised too.

How Twisted's code uses such a Deferred is in `broker.defer.twisted_view`. The reasons for this
design are in docs/explanation/twisted-deferreds.md.
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

C = TypeVar("C", bound=type)

_MODULE = "twisted.internet.defer"
_logger = logging.getLogger("broker.defer")


def deferred_of_twisted(cls: C) -> C:
    """Decorator: let Twisted treat objects of `cls` and of its subclasses as its Deferreds.

    Subclasses that are made later call `register_subclass`.
    """

    def register_all(module: ModuleType) -> None:
        for each in _with_subclasses(cls):
            _register(module, each)

    when_loaded(_MODULE, register_all)
    return cls


def known_to_twisted(cls: C) -> C:
    """Decorator: let ``isinstance`` hold for objects of `cls` and Twisted's class of that name.

    It holds if Twisted's class is an abstract base class, as for locks and semaphores.
    """

    def register(module: ModuleType) -> None:
        theirs = getattr(module, cls.__name__, None)
        if isinstance(theirs, ABCMeta):
            theirs.register(cls)

    when_loaded(_MODULE, register)
    return cls


def register_subclass(cls: C) -> C:
    """Decorator: register a new subclass with Twisted, now if it is loaded, else when it is."""
    module = sys.modules.get(_MODULE)
    if module is not None:
        _register(module, cls)
    return cls


def _register(module: ModuleType, cls: type[object]) -> None:
    theirs: Any = getattr(module, "Deferred", None)
    if theirs is None:
        # It is being loaded just now.
        return
    theirs.register(cls)
    # Versions without the list do not have this method either.
    add = vars(theirs).get("__init_subclass__")
    if add is not None:
        add.__func__(cls)
    blank = object.__new__(cls)
    if module.maybeDeferred(lambda: blank) is not blank:
        _logger.warning(
            "this version of Twisted takes %s for a plain value: give its functions d.asTwisted()",
            cls.__qualname__,
        )


def _with_subclasses(cls: type[object]) -> Iterator[type[object]]:
    yield cls
    for subclass in cls.__subclasses__():
        yield from _with_subclasses(subclass)
