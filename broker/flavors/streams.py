"""Streams: a sequence of values that one end makes while the other end reads it.

Theory of operation. A `Stream` is sent, as an argument or in a result, and its receiver gets a
`RemoteStream`. A RemoteStream takes its items from a feed, a batch at a time: from the session, or,
in PB's dialects, from an object that is asked for them (`broker.flavors.pulled_streams`). A batch
is kept in reverse, so that an item is taken from its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from types import AsyncGeneratorType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from weakref import WeakSet

from broker.core.objects.unread import STREAM
from broker.defer import Deferred, fail, succeed
from broker.errors import EndOfStream, Error, PBConnectionLost, ProtocolError
from broker.flavors.failures import CopiedFailure
from broker.flavors.reference import RemoteReference
from jelly.atoms import Expression
from jelly.bases import Jellyable
from jelly.errors import CannotJelly
from jelly.registry import defaults

if TYPE_CHECKING:
    from broker.core.host import Invoker
    from broker.core.objects.streams import IncomingStream
    from jelly.jellier import Jellier

__all__ = ["Feed", "RemoteStream", "Stream", "received_stream", "stream_of"]

T = TypeVar("T")

# The iterators that were sent; each can be sent once.
_sent: WeakSet[object] = WeakSet()


class Stream(Jellyable, Generic[T]):
    """A stream to send, of the items of any async iterable.

    An async generator is sent as it is, without this class.

    Args:
        items: an async iterable, such as an async generator. Its ``aclose``, if it has one, is
            called at the end.
        size: the number of items, or of bytes where the items are bytes, for the progress of the
            reader; None if it is not known.

    Raises:
        TypeError: ``items`` is not an async iterable, or ``size`` is not an int.
        ValueError: ``size`` is negative.
    """

    def __init__(self, items: AsyncIterable[T], *, size: int | None = None):
        if not isinstance(items, AsyncIterable):
            raise TypeError(f"a Stream is made of an async iterable, not {type(items).__name__}")
        if size is not None:
            if type(size) is not int:
                raise TypeError(f"the size of a Stream is an int, not {type(size).__name__}")
            if size < 0:
                raise ValueError("the size of a Stream is not negative")
        self.items = items
        self.size = size
        self._source: object = items

    @classmethod
    def over(cls, source: object, items: AsyncIterable[T], size: int | None) -> Stream[T]:
        """Return a stream of what is made of another stream, which can be sent once."""
        stream = cls(items, size=size)
        stream._source = source
        return stream

    def __repr__(self) -> str:
        return f"<Stream of {self.items!r}>"

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Return ``[stream number]``, with the size if it is known; the items follow.

        Raises:
            CannotJelly: it was sent before.
            ServerBusy: too many streams are open.
        """
        invoker: Invoker | None = jellier.invoker
        translator = None if invoker is None else invoker.session.translator
        if translator is None:
            raise CannotJelly("a stream is only sent over a connection")
        items, source = self.items, self._source
        if isinstance(source, AsyncIterator) and type(source).__weakrefoffset__:
            if source in _sent:
                raise CannotJelly("this stream has been sent")
            _sent.add(source)
            if translator.transaction is not None:
                translator.transaction.on_rollback(lambda: _sent.discard(source))
        if not translator.has_streams:
            # Loaded at the first use: most programs do not send streams in PB's dialects.
            from broker.flavors.pulled_streams import PulledStream

            return PulledStream(items).jellyFor(jellier)
        number = translator.open_stream(items, self.size).number
        return [STREAM, number] if self.size is None else [STREAM, number, self.size]


defaults.declared.stand_ins[AsyncGeneratorType] = Stream


class Feed(Protocol):
    """Where the items of a RemoteStream come from."""

    @property
    def is_ended(self) -> bool:
        """Whether no more items come."""
        ...

    def take(self) -> list[Any] | None:
        """Return the next items, at least one; None if none is here now."""
        ...

    def failure(self) -> BaseException | None:
        """Return, once, the error that has ended the stream."""
        ...

    def stop(self) -> None:
        """Take no more items."""
        ...

    def drop(self) -> None:
        """Do the same for a reader that was collected, which may happen in any thread."""
        ...


class RemoteStream(Jellyable, AsyncIterator[T]):
    """A stream of the peer: an async iterator, and an async context manager that stops it.

    The peer makes items ahead of this end, as far as the limits ``stream_items`` and
    ``stream_window`` of the policy go. The stream is stopped at the end of the block of ``async
    with``, by :meth:`stop`, and when it is collected. The peer's generator is then closed.

    Attributes:
        size: the number of items, or of bytes where the items are bytes, if the peer has told it.
        convert: checks and converts each item, for a contract; or None.
    """

    convert: Callable[[object], Any] | None = None

    def __init__(self, feed: Feed, size: int | None = None):
        self.size = size
        self._feed = feed
        self._items: list[T] = []
        self._loaded = 0
        self._waiter: Deferred[None] | None = None
        self._is_reading = False

    def __repr__(self) -> str:
        state = "ended" if self.is_ended else "open"
        return f"<RemoteStream, {self.received} items received, {state}>"

    def __del__(self) -> None:
        self._feed.drop()

    @property
    def received(self) -> int:
        """The number of items that were taken."""
        return self._loaded - len(self._items)

    @property
    def is_ended(self) -> bool:
        """Whether all items were taken, or the stream was stopped."""
        return not self._items and self._feed.is_ended

    async def __anext__(self) -> T:
        """Return the next item.

        Raises:
            StopAsyncIteration: there are no more items. An error of the producer is raised before
                that, once.
            PBConnectionLost: the connection has ended before the stream.
            RuntimeError: another task is waiting for an item.
        """
        if self._items:
            return self._items.pop()
        self._begin()
        try:
            while not self._load():
                if self._feed.is_ended:
                    raise self._end() or StopAsyncIteration
                await self._changed()
        finally:
            self._is_reading = False
        return self._items.pop()

    def read(self) -> Deferred[T]:
        """Return a Deferred of the next item, for programs with callbacks.

        It fails with EndOfStream after the last item, or as ``async for`` does.
        """
        if not self._items:
            try:
                self._begin()
                if not self._load():
                    if self._feed.is_ended:
                        self._is_reading = False
                        return fail(self._end() or EndOfStream("the stream has ended"))
                    return self._changed().addBoth(self._read_again)
                self._is_reading = False
            except BaseException as error:  # noqa: BLE001 - fails the Deferred, not the caller
                self._is_reading = False
                return fail(error)
        return succeed(self._items.pop())

    def _read_again(self, result: Any) -> Any:
        self._is_reading = False
        return self.read() if result is None else result

    async def stop(self) -> None:
        """Take no more items, and close the peer's generator; no effect after the end."""
        self._items.clear()
        self._feed.stop()
        self.changed()

    async def aclose(self) -> None:
        """The same, by the name that async generators have."""
        await self.stop()

    async def __aenter__(self) -> RemoteStream[T]:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    def changed(self) -> None:
        """Look again: items, or the end, have come."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.callback(None)

    def jellyFor(self, jellier: Jellier) -> Expression:
        """Refuse: it is read here.

        Raises:
            CannotJelly: always.
        """
        raise CannotJelly(
            "a RemoteStream is read at this end: forward it with broker.Stream(stream)"
        )

    def _begin(self) -> None:
        if self._is_reading:
            raise RuntimeError("this stream is being read")
        self._is_reading = True

    def _load(self) -> bool:
        """Take the next items of the feed; return whether there were any."""
        try:
            items = self._feed.take()
        except BaseException:
            self._feed.stop()
            raise
        if not items:
            return False
        self._loaded += len(items)
        if self.convert is not None:
            try:
                items = list(map(self.convert, items))
            except BaseException:
                self._feed.stop()
                raise
        items.reverse()
        self._items = items
        return True

    def _end(self) -> BaseException | None:
        return self._feed.failure()

    def _changed(self) -> Deferred[None]:
        waiter = self._waiter = Deferred(lambda _: self._forget_waiter())
        return waiter

    def _forget_waiter(self) -> None:
        self._waiter = None


class _SessionFeed:
    """The items of a stream that the session receives."""

    __slots__ = ("_broker", "_stream")

    def __init__(self, broker: Invoker, stream: IncomingStream):
        self._broker = broker
        self._stream = stream

    @property
    def is_ended(self) -> bool:
        stream = self._stream
        return stream.is_stopped or (stream.is_ended and not stream.frames)

    def take(self) -> list[Any] | None:
        broker = self._broker
        if self._stream.is_stopped:
            return None
        try:
            return broker.session.streaming.take(self._stream)
        except ProtocolError as error:
            broker.abort(error)
            raise
        finally:
            broker.soon_flush()

    def failure(self) -> BaseException | None:
        broker, stream = self._broker, self._stream
        if stream.is_lost and not stream.is_stopped:
            stream.is_lost = False
            return PBConnectionLost(broker.reason, may_have_run=True)
        if stream.refusal is not None:
            refusal, stream.refusal = stream.refusal, None
            return refusal
        failure = broker.session.streaming.failure_of(stream)
        if failure is None or stream.is_stopped:
            return None
        if isinstance(failure, CopiedFailure):
            return failure.as_exception()
        return failure if isinstance(failure, BaseException) else Error(failure)

    def stop(self) -> None:
        self._broker.session.streaming.stop(self._stream)

    drop = stop


def received_stream(broker: Invoker, stream: IncomingStream) -> RemoteStream[Any]:
    """Return the object by which the program reads a stream."""
    made: RemoteStream[Any] = RemoteStream(_SessionFeed(broker, stream), stream.size)
    stream.reader = made
    return made


def stream_of(value: object) -> RemoteStream[Any]:
    """Return a stream that was received, in any dialect.

    In PB's dialects a stream arrives as a RemoteReference with the methods ``pull`` and ``close``.

    Args:
        value: a RemoteStream, which is returned, or such a reference.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(value, RemoteStream):
        return value
    if isinstance(value, RemoteReference):
        # Loaded at the first use, as above.
        from broker.flavors.pulled_streams import pulled

        return pulled(value)
    raise TypeError(f"stream_of() takes a stream, not {type(value).__name__}")
