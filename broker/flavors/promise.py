"""Promise: what a remote call returns, a Deferred that can also be read as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from types import TracebackType
from typing import Any, ClassVar, TypeVar

from broker.defer import Deferred
from broker.failure import Failure
from broker.flavors.reference import RemoteReference
from broker.flavors.streams import RemoteStream, stream_of

__all__ = ["Promise", "PromisedItems", "failed"]

T = TypeVar("T")


class Promise(Deferred[T]):
    """The result of a remote call: a Deferred.

    ``async for`` over it waits for the call, and reads the stream that it returns. The stream is
    stopped when the loop is left.
    """

    __slots__ = ()
    plain_results: ClassVar[frozenset[type]] = frozenset()
    """For a subclass that overrides ``fire``: exact types of results that it does not check."""

    def __aiter__(self) -> AsyncIterator[Any]:
        """Return an iterator over the items of the stream.

        Its first step raises the error of the call, or a TypeError if the result is not a stream.
        """
        return PromisedItems(self)


class PromisedItems(AsyncIterator[Any]):
    """The items of the stream that a call returns.

    Args:
        promise: the call.
    """

    __slots__ = ("_promise", "_stream")

    def __init__(self, promise: Deferred[Any]):
        self._promise: Deferred[object] | None = promise
        self._stream: RemoteStream[object] | None = None

    def __anext__(self) -> Awaitable[Any]:
        """Return the step to the next item; the first one waits for the call."""
        stream = self._stream
        return self._first() if stream is None else stream.__anext__()

    async def _first(self) -> object:
        # Another task may have opened the stream before this one runs.
        stream = self._stream
        if stream is None:
            stream = await self._open()
        return await stream.__anext__()

    async def _open(self) -> RemoteStream[object]:
        promise = self._promise
        if promise is None:
            raise StopAsyncIteration
        result = await promise
        self._promise = None
        if not isinstance(result, RemoteStream | RemoteReference):
            name = getattr(promise, "label", "the call")
            raise TypeError(f"'{name}' returned {type(result).__name__}, not a stream")
        self._stream = stream = stream_of(result)
        # Else the result of the Deferred would keep the stream alive after the loop.
        promise.addCallback(_nothing)
        return stream

    async def aclose(self) -> None:
        """Stop the stream, or cancel the call."""
        if self._stream is not None:
            await self._stream.stop()
        elif self._promise is not None:
            self._promise.cancel()
            self._promise = None

    async def __aenter__(self) -> PromisedItems:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def failed(kind: type[Deferred[Any]], name: str, failure: Failure | None = None) -> Deferred[Any]:
    """Return the Deferred of a call that has failed before it was sent.

    Args:
        kind: its class: a program may read a failed call as a stream too.
        name: of the method.
        failure: why; None for the exception being handled.
    """
    # The caller, whose frame is in the traceback, has it in no variable: that would be a cycle.
    deferred = kind()
    deferred.label = name
    deferred.errback(failure)
    return deferred


def _nothing(result: object) -> None:
    """Return None."""
