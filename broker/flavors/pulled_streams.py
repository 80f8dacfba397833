"""Streams in PB's dialects: an object whose methods ``pull`` and ``close`` its reader calls.

Twisted programs can read such a stream, and send one. ``pull(most)`` returns a list of 1 to
``most`` items, or an empty list at the end, or raises the error of the generator. This library
makes two pulls ahead of its program.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Generator
from types import coroutine
from typing import TYPE_CHECKING, Any, cast

from broker.defer import DeferredLock, drive
from broker.errors import DeadReferenceError
from broker.failure import Failure
from broker.flavors.reference import RemoteReference
from broker.flavors.referenceable import Referenceable
from broker.flavors.streams import RemoteStream
from jelly.atoms import Expression

if TYPE_CHECKING:
    from jelly.jellier import Jellier

__all__ = ["PulledStream", "pulled"]

_MOST_ITEMS, _MOST_BYTES = 256, 64 * 1024
_AHEAD = 2


class PulledStream(Referenceable):
    """The object of a stream.

    Args:
        items: what the stream is made of.
    """

    def __init__(self, items: AsyncIterable[object]):
        self._items = items
        self._iterator: Any = None
        self._lock = DeferredLock()
        # The step that has not ended: it goes on at the next pull.
        self._step: _Step | None = None
        self._is_ended = False

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return ``[remote id]``; the stream is closed when the peer drops it."""
        expression = super().jellyFor(jellier)
        broker = jellier.invoker
        broker.session.translator.exports.when_released(self.processUniqueID(), self._let_go)
        broker.notifyOnDisconnect(self._let_go)
        return expression

    async def remote_pull(self, most: int) -> list[object]:
        """Return the next items, or an empty list after the last one."""
        most = max(1, min(int(most), _MOST_ITEMS))
        await self._lock.acquire()
        try:
            return await self._pull(most)
        finally:
            self._lock.release()

    async def _pull(self, most: int) -> list[object]:
        items: list[object] = []
        size = 0
        if self._iterator is None and not self._is_ended:
            self._iterator = aiter(self._items)
        while not self._is_ended and len(items) < most and size < _MOST_BYTES:
            step = self._step = self._step or _Step(anext(self._iterator))
            try:
                if not step.is_done and items:
                    # The generator waits: what there is goes out.
                    break
                item = await step.result()
            except StopAsyncIteration:
                self._is_ended = True
                break
            except BaseException:
                self._is_ended = True
                raise
            self._step = None
            items.append(item)
            size += len(item) if isinstance(item, bytes | str) else 1
        return items

    async def remote_close(self) -> None:
        """Close the generator."""
        self._is_ended = True
        step, self._step = self._step, None
        if step is not None:
            step.close()
        close = getattr(self._iterator or self._items, "aclose", None)
        if close is not None:
            await close()

    def _let_go(self) -> None:
        closing = self.remote_close()
        try:
            asyncio.get_running_loop().create_task(closing)
        except RuntimeError:
            drive(closing)


class _Step:
    """One step of an async iterator, which may be begun by one task and ended by another.

    Attributes:
        is_done: whether its result is there.
    """

    def __init__(self, awaitable: Awaitable[object]):
        self._rest: Any = awaitable.__await__()
        self._result: object = None
        self._error: BaseException | None = None
        self._waited: object = None
        self.is_done = False
        try:
            self._waited = self._rest.send(None)
        except StopIteration as done:
            self._result, self.is_done = done.value, True
        except BaseException as error:  # noqa: BLE001 - raised by ``result``
            self._error, self.is_done = error, True

    def result(self) -> Coroutine[Any, Any, object]:
        """Wait for the result."""
        return cast("Coroutine[Any, Any, object]", self._wait())

    @coroutine
    def _wait(self) -> Generator[object, object, object]:
        if self._error is not None:
            raise self._error
        waited = self._waited
        while not self.is_done:
            try:
                try:
                    sent = yield waited
                except BaseException as error:  # noqa: BLE001 - goes on in the iterator
                    waited = self._rest.throw(error)
                else:
                    waited = self._rest.send(sent)
            except StopIteration as done:
                self._result, self.is_done = done.value, True
        return self._result

    def close(self) -> None:
        """End it: nobody waits for the result."""
        if not self.is_done:
            self._rest.close()


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
        self._asked: deque[list[Any]] = deque()
        self._error: BaseException | None = None
        self.is_ended = False
        self.reader: Callable[[], RemoteStream[Any] | None] = _nobody

    def take(self) -> list[Any] | None:
        while len(self._asked) < _AHEAD and not self.is_ended:
            answer: list[Any] = []
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

    def _finish(self, error: BaseException | None) -> None:
        self.is_ended, self._error = True, error
        self._asked.clear()

    def _answered(self, result: object, answer: list[Any]) -> None:
        answer.append(result)
        reader = self.reader()
        if reader is not None:
            reader.changed()


def _nobody() -> None:
    """Return None."""


def pulled(reference: RemoteReference) -> RemoteStream[Any]:
    """Return the stream behind a reference."""
    feed = _PullFeed(reference)
    made: RemoteStream[Any] = RemoteStream(feed)
    feed.reader = weakref.ref(made)
    return made
