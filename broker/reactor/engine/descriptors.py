"""Descriptors that a program watches itself, by the published `addReader` and `addWriter`.

A watched object has `fileno()`, `doRead()` or `doWrite()`, and `connectionLost(reason)`. If
`doRead` or `doWrite` returns or raises an exception, the object is not watched any more, and its
`connectionLost` is called.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from broker.failure import Failure
from broker.printable import repr_of
from broker.reactor.main import CONNECTION_LOST
from broker.reactor.typed import Reader, Writer
from broker.traces import log_error

__all__ = ["Descriptors"]

logger = logging.getLogger("broker.reactor")


class Holder(Protocol):
    """The owner of the loop that watches; a Mainloop."""

    def with_loop(self, f: Callable[[asyncio.AbstractEventLoop], object], /) -> None:
        """Call `f(loop)` now if there is a loop, else when there is one."""

    def hold(self, held: _Watch, /) -> None:
        """Keep an object with a descriptor until it is released or the reactor stops."""

    def release(self, held: _Watch, /) -> None:
        """Forget an object that has no descriptor any more."""


class Descriptors:
    """The objects that a program has a reactor watch.

    Args:
        reactor: the owner of the loop that watches.

    Attributes:
        readers, writers: the watched objects, by identity.
    """

    def __init__(self, reactor: Holder):
        self._reactor = reactor
        self.readers: dict[int, _Watch] = {}
        self.writers: dict[int, _Watch] = {}

    def add(self, selectable: Reader | Writer, watches: dict[int, _Watch]) -> None:
        """Watch an object as a reader or as a writer; does nothing if it is watched so already."""
        if id(selectable) not in watches:
            watch = _Watch(self, selectable, is_reader=watches is self.readers)
            watches[id(selectable)] = watch
            self._reactor.hold(watch)
            self._reactor.with_loop(watch.begin)

    def remove(self, selectable: Reader | Writer, watches: dict[int, _Watch]) -> None:
        """Stop watching an object; does nothing if it is not watched."""
        watch = watches.pop(id(selectable), None)
        if watch is not None:
            watch.end()
            self._reactor.release(watch)

    def remove_all(self) -> list[Any]:
        """Stop watching all objects; return each of them once."""
        watched = [*self.readers.values(), *self.writers.values()]
        found = {id(watch.selectable): watch.selectable for watch in watched}
        for selectable in found.values():
            self.forget(selectable)
        return list(found.values())

    def forget(self, selectable: Reader | Writer) -> None:
        """Stop watching an object, as a reader and as a writer."""
        self.remove(selectable, self.readers)
        self.remove(selectable, self.writers)

    def lost(self, selectable: Reader | Writer, why: BaseException) -> None:
        """Stop watching an object, and tell it why."""
        self.forget(selectable)
        try:
            selectable.connectionLost(Failure(why))
        except Exception as exc:  # noqa: BLE001 - logged, and ends nothing else
            log_error(logger, f"connectionLost of {repr_of(selectable, 200)} raised", exc)


class _Watch:
    """One descriptor that is watched for reading or for writing."""

    def __init__(self, descriptors: Descriptors, selectable: Any, *, is_reader: bool):
        self.selectable = selectable
        self._descriptors = descriptors
        self._is_reader = is_reader
        self._loop: asyncio.AbstractEventLoop | None = None
        self._number = -1
        self._has_ended = False

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start watching in that loop."""
        if self._has_ended:
            return
        self._number = self.selectable.fileno()
        if self._number < 0:
            self._descriptors.lost(self.selectable, CONNECTION_LOST)
            return
        self._loop = loop
        watch = loop.add_reader if self._is_reader else loop.add_writer
        watch(self._number, self._ready)

    def end(self) -> None:
        """Stop watching."""
        self._has_ended = True
        if self._loop is not None and not self._loop.is_closed():
            forget = self._loop.remove_reader if self._is_reader else self._loop.remove_writer
            forget(self._number)

    def abandon(self) -> None:
        """End the descriptor: the reactor stops."""
        if not self._has_ended:
            self._descriptors.lost(self.selectable, CONNECTION_LOST)

    def _ready(self) -> None:
        selectable = self.selectable
        try:
            why = selectable.doRead() if self._is_reader else selectable.doWrite()
        except Exception as exc:  # noqa: BLE001 - logged, and ends nothing else
            log_error(logger, f"{repr_of(selectable, 200)} raised", exc)
            why = exc
        if why:
            self._descriptors.lost(selectable, why)
