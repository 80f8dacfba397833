"""Descriptors that a program watches itself: `addReader` and `addWriter` in the published words.

What is watched has `fileno()`, `doRead()` or `doWrite()`, and `connectionLost(reason)`. One that
returns an exception, or raises one, has ended: it is watched no more, and told so.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from broker.failure import Failure
from broker.printable import repr_of
from broker.reactor.main import CONNECTION_LOST
from broker.traces import log_error

__all__ = ["Descriptors"]

logger = logging.getLogger("broker.reactor")


class Holder(Protocol):
    """Whose loop watches; a Mainloop."""

    def with_loop(self, f: Any) -> None:
        """Call `f(loop)` now if there is a loop, else as soon as there is."""

    def hold(self, held: Any) -> None:
        """Keep what holds a descriptor, until it is released or the reactor stops."""

    def release(self, held: Any) -> None:
        """Forget what holds none any more."""


class Descriptors:
    """What a program has a reactor watch.

    Args:
        reactor: whose loop watches.

    Attributes:
        readers, writers: what is watched, by identity.
    """

    def __init__(self, reactor: Holder):
        self._reactor = reactor
        self.readers: dict[int, _Watch] = {}
        self.writers: dict[int, _Watch] = {}

    def add(self, selectable: Any, watches: dict[int, _Watch]) -> None:
        """Watch it, as a reader or as a writer; nothing happens where it is watched so."""
        if id(selectable) not in watches:
            watch = _Watch(self, selectable, is_reader=watches is self.readers)
            watches[id(selectable)] = watch
            self._reactor.hold(watch)
            self._reactor.with_loop(watch.begin)

    def remove(self, selectable: Any, watches: dict[int, _Watch]) -> None:
        """Watch it no more; nothing happens where it was not."""
        watch = watches.pop(id(selectable), None)
        if watch is not None:
            watch.end()
            self._reactor.release(watch)

    def remove_all(self) -> list[Any]:
        """Watch nothing any more; return what was watched, each once."""
        watched = [*self.readers.values(), *self.writers.values()]
        found = {id(watch.selectable): watch.selectable for watch in watched}
        for selectable in found.values():
            self.forget(selectable)
        return list(found.values())

    def forget(self, selectable: Any) -> None:
        """Watch it neither as a reader nor as a writer."""
        self.remove(selectable, self.readers)
        self.remove(selectable, self.writers)

    def lost(self, selectable: Any, why: BaseException) -> None:
        """Watch it no more, and tell it why."""
        self.forget(selectable)
        try:
            selectable.connectionLost(Failure(why))
        except Exception as exc:  # noqa: BLE001 - logged, and ends nothing else
            log_error(logger, f"connectionLost of {repr_of(selectable, 200)} raised", exc)


class _Watch:
    """One descriptor, watched in one way."""

    def __init__(self, descriptors: Descriptors, selectable: Any, *, is_reader: bool):
        self.selectable = selectable
        self._descriptors = descriptors
        self._is_reader = is_reader
        self._loop: asyncio.AbstractEventLoop | None = None
        self._number = -1
        self._has_ended = False

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch in that loop."""
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
        """Watch no more."""
        self._has_ended = True
        if self._loop is not None and not self._loop.is_closed():
            forget = self._loop.remove_reader if self._is_reader else self._loop.remove_writer
            forget(self._number)

    def abandon(self) -> None:
        """The reactor stops."""
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
