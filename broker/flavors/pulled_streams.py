"""Streams in PB's dialects: an object whose methods ``pull`` and ``close`` its reader calls.

Twisted programs can read such a stream, and send one. ``pull(most)`` returns a list of 1 to
``most`` items, or an empty list at the end, or raises the error of the generator. This library
makes two pulls ahead of its program.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from broker.defer import DeferredLock
from broker.errors import DeadReferenceError
from broker.failure import Failure
from broker.flavors.producing import Producer, Waiter
from broker.flavors.reference import RemoteReference
from broker.flavors.referenceable import Referenceable
from broker.flavors.streams import RemoteStream
from broker.traces import log_error
from jelly.atoms import Expression

if TYPE_CHECKING:
    from broker.core.host import Invoker
    from jelly.jellier import Jellier

__all__ = ["PulledStream", "pulled"]

logger = logging.getLogger("broker.connection")

_MOST_ITEMS, _MOST_BYTES = 256, 64 * 1024
_AHEAD = 2


class PulledStream(Referenceable):
    """The object of a stream; the generator begins with the first pull.

    Args:
        items: what the stream is made of.
    """

    def __init__(self, items: AsyncIterable[object]):
        self._items: AsyncIterable[object] | None = items
        self._broker: Invoker | None = None
        self._queue: deque[object] = deque()
        self._size = 0
        self._producer: Producer | None = None
        self._context = copy_context()
        self._is_ended = False
        self._error: BaseException | None = None
        self._pulls = DeferredLock()
        # The pull waits for items, the producer for room.
        self._has_items = Waiter()
        self._has_room = Waiter()

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return ``[remote id]``; the stream is closed when the peer drops it."""
        expression = super().jellyFor(jellier)
        self._broker = broker = jellier.invoker
        translator = broker.session.translator
        # An object has one entry for each principal.
        translator.exports.when_released(
            self.processUniqueID(), self.remote_close, translator.principal
        )
        broker.notifyOnDisconnect(self.remote_close)
        if translator.transaction is not None:
            # The items can then be sent again, so they are not closed.
            translator.transaction.on_rollback(self._let_go)
        return expression

    async def remote_pull(self, most: int) -> list[object]:
        """Return the next items, or an empty list after the last one."""
        most = max(1, min(int(most), _MOST_ITEMS))
        await self._pulls.acquire()
        try:
            if self._producer is None and self._items is not None:
                self._producer = Producer(self._items, self)
                self._start(self._producer)
            while not self._queue and not self._is_ended:
                await self._has_items.wait()
            return self._taken(most)
        finally:
            self._pulls.release()

    def remote_close(self) -> None:
        """Close the generator."""
        self._is_ended = True
        self._queue.clear()
        self._error = None
        self._has_items.wake()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stop()
        elif self._items is not None:
            # A source that was never pulled is closed, too.
            producer = Producer(self._items, self)
            producer.stop()
            self._start(producer)
        self._let_go()

    def _let_go(self) -> None:
        """Drop the source, and the notice of the end of the connection."""
        self._items = None
        broker, self._broker = self._broker, None
        if broker is not None:
            broker.dontNotifyOnDisconnect(self.remote_close)

    def _start(self, producer: Producer) -> None:
        try:
            create_task: Callable[..., Any] | None = asyncio.get_running_loop().create_task
        except RuntimeError:
            create_task = None
        producer.start(create_task, self._context)

    def _taken(self, most: int) -> list[object]:
        items: list[object] = []
        size = 0
        while self._queue and len(items) < most and size < _MOST_BYTES:
            item = self._queue.popleft()
            items.append(item)
            size += _size_of(item)
        self._size -= size
        self._has_room.wake()
        error, self._error = (None, self._error) if items else (self._error, None)
        if error is not None:
            raise error
        return items

    # Called by the producer.

    def ready(self) -> None:
        """Begin at once."""

    def put(self, item: object) -> Awaitable[None] | None:
        """Keep an item for the next pull."""
        self._queue.append(item)
        self._size += _size_of(item)
        self._has_items.wake()
        if len(self._queue) < _MOST_ITEMS and self._size < _MOST_BYTES:
            return None
        return self._has_room.wait()

    def wake(self) -> None:
        """Go on: the stream was closed."""
        self._has_room.wake()

    def end(self, error: BaseException | None) -> None:
        """Note the end, which is told when all items were taken."""
        self._producer = None
        if not self._is_ended:
            self._is_ended, self._error = True, error
        self._has_items.wake()
        self._let_go()

    def not_closed(self, error: Exception) -> None:
        """Log an error of closing the generator."""
        log_error(logger, "the generator of a stream raised when it was closed", error)


def _size_of(item: object) -> int:
    return len(item) if isinstance(item, bytes | str) else 1


class _PullFeed:
    """The items of a stream whose object is asked for them.

    Attributes:
        is_ended: whether no more items come.
        reader: a weak reference to the reader.
    """

    __slots__ = ("_asked", "_error", "_reference", "is_ended", "reader")

    def __init__(self, reference: RemoteReference):
        self._reference = reference
        # For each pull without a taken answer: the answer, once it is there.
        self._asked: deque[list[object]] = deque()
        self._error: BaseException | None = None
        self.is_ended = False
        self.reader: Callable[[], RemoteStream[Any] | None] = _no_reader

    def take(self) -> list[object] | None:
        while len(self._asked) < _AHEAD and not self.is_ended:
            answer: list[object] = []
            try:
                asked = self._reference.callRemote("pull", _MOST_ITEMS)
            except DeadReferenceError as error:
                self._finish(error)
                break
            self._asked.append(answer)
            asked.addBoth(self._answered, answer)
        if not self._asked or not self._asked[0]:
            return None
        (result,) = self._asked.popleft()
        if isinstance(result, list) and result:
            return result
        self._finish(result.as_exception() if isinstance(result, Failure) else None)
        return None

    def failure(self) -> BaseException | None:
        error, self._error = self._error, None
        return error

    def stop(self) -> None:
        if not self.is_ended:
            self._finish(None)
            self._reference.send("close")

    def drop(self) -> None:
        # The peer closes the stream when the reference is collected, which pulls would keep.
        self._finish(None)
        del self._reference

    def _finish(self, error: BaseException | None) -> None:
        self.is_ended, self._error = True, error
        self._asked.clear()

    def _answered(self, result: object, answer: list[object]) -> None:
        answer.append(result)
        reader = self.reader()
        if reader is not None:
            reader.changed()


def _no_reader() -> None:
    """Return None."""


def pulled(reference: RemoteReference) -> RemoteStream[Any]:
    """Return the stream behind a reference."""
    feed = _PullFeed(reference)
    made: RemoteStream[Any] = RemoteStream(feed)
    feed.reader = weakref.ref(made)
    return made
