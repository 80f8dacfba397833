"""References and streams of a peer, for threads: calls and iterators that wait."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from broker.blocking.loop import Background, ClosedByBlock, started
from broker.blocking.timeouts import current_limit
from broker.errors import CallTimeout
from broker.flavors.contracts.proxy import Proxy, reference_of
from broker.flavors.exchanged import exchanged
from broker.flavors.reference import RemoteReference
from broker.flavors.streams import RemoteStream

__all__ = ["Reference", "Stream", "wrapped"]

C = TypeVar("C")
T = TypeVar("T")

_END: Any = object()


class Reference(Proxy):
    """A peer's object, whose methods are called from any thread.

    It equals its RemoteReference and has the same hash. It is sent as that, also where a contract
    asks for an object with methods.

    Args:
        reference: the RemoteReference; of a connection in the loop of ``broker.blocking``.
    """

    def __init__(self, reference: RemoteReference, own: Background | None = None):
        if not isinstance(reference, RemoteReference):
            raise TypeError(f"a Reference takes a RemoteReference, not {type(reference).__name__}")
        super().__init__(reference)
        self._background = own or started()

    def __repr__(self) -> str:
        return f"<blocking.Reference, {self.reference!r}>"

    @property
    def reference(self) -> RemoteReference:
        """The RemoteReference, for code in the loop."""
        return reference_of(self)

    def callRemote(self, _name: str, /, *args: object, **kw: object) -> Any:
        """Call a method of the object, and wait for its result.

        KeyboardInterrupt cancels the call, also at the peer if it speaks ``msgpack/1``.

        Args:
            _name: the method's name, without its prefix.
            args, kw: the arguments. Every keyword is passed to the remote method, except
                ``pbanswer=False``: the peer then sends no answer, and None is returned.

        Returns:
            The result. A RemoteReference in it, also in containers and copies, is a Reference
            there, and a stream is a `Stream`.

        Raises:
            DeadReferenceError: the connection has ended.
            CallTimeout: the time of ``blocking.timeout`` is over.
            RuntimeError: called in the loop's thread, or in a forked child process. The remote
                exception, EncodeError and PBConnectionLost are raised as by ``await``.
        """
        own = self._background
        own.check("callRemote", "reference.callRemote")
        return wrapped(own.wait(partial(self.reference.callRemote, _name, *args, **kw)), own)

    def send(self, _name: str, /, *args: object, **kw: object) -> None:
        """Call a method one way, without an answer: wait only until the call is written.

        Nothing is raised if the peer has disconnected. If an argument cannot be sent, the error is
        logged. May be called in any thread, also the loop's.

        Raises:
            RuntimeError: this is a forked child process.
        """
        self._background.check_process()
        self.reference.send(_name, *args, **kw)

    def of(self, contract: Callable[..., C]) -> C:
        """Return an object with the methods of a contract; see ``broker.RemoteReference.of``.

        Its methods may be called in any thread, and return at once. `Connection.run` waits for
        their results, and `Connection.iterate` reads their streams. The arguments of a call are
        encoded soon, in the loop: do not change them before `Connection.run` has returned.
        """
        return self.reference.of(contract)

    def __iter__(self) -> Stream[Any]:
        """Read the object as a stream: as such it arrives in PB's dialects."""
        return Stream(self.reference, self._background, is_wrapped=True)


class Stream(ClosedByBlock, Iterator[T]):
    """The items of an async iterable of the loop, as an iterator for threads.

    Several threads may take items, each of which goes to one of them. The stream is stopped by
    `close`, at the end of a ``with`` block, when the iterator is collected, and by
    KeyboardInterrupt in a thread that waits for an item. The peer's generator is then closed.
    """

    def __init__(self, items: AsyncIterable[T], own: Background, *, is_wrapped: bool = False):
        self._background = own
        self._items: AsyncIterable[T] | None = items
        self._iterator: AsyncIterator[T] | None = None
        self._is_wrapped = is_wrapped
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        state = "ended" if self._items is None else "open"
        return f"<blocking.Stream of {self._items!r}, {state}>"

    @property
    def size(self) -> int | None:
        """The number of items, or of bytes where the items are bytes, if the peer has told it."""
        items = self._items
        return items.size if isinstance(items, RemoteStream) else None

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        """Wait for the next item.

        Raises:
            StopIteration: the stream has ended. An error of the generator is raised once, before
                this.
            CallTimeout: the time of ``blocking.timeout`` is over; the stream stays open.
            PBConnectionLost: the connection has ended before the stream.
            RuntimeError: called in the loop's thread, or in a forked child process.
        """
        own = self._background
        own.check("iterate", "async for")
        self._take_lock()
        try:
            item = own.wait(self._step) if self._items is not None else _END
        except Exception:
            raise
        except BaseException:
            self._abandon()
            raise
        finally:
            self._lock.release()
        if item is _END:
            raise StopIteration
        taken: T = wrapped(item, own) if self._is_wrapped else item
        return taken

    def close(self) -> None:
        """Stop the stream; no effect after its end. A thread that waits gets StopIteration."""
        own = self._background
        own.check("Stream.close", "its async iterator")
        own.wait(self._stop)

    def __del__(self) -> None:
        # Absent if the constructor has raised.
        if getattr(self, "_items", None) is not None:
            self._abandon()

    def _take_lock(self) -> None:
        limit = current_limit()
        if limit is None:
            self._lock.acquire()
        elif not self._lock.acquire(timeout=limit.rest()):
            raise CallTimeout("no item in time: another thread waits for one")

    def _abandon(self) -> None:
        # The finalizers of what it holds run in the loop.
        self._background.begin(_stopped, self._iterator, self._items)
        self._iterator = self._items = None

    async def _step(self) -> Any:
        iterator, items = self._iterator, self._items
        if items is None:
            return _END
        if iterator is None:
            iterator = self._iterator = aiter(items)
        try:
            return await anext(iterator)
        except StopAsyncIteration:
            self._iterator = self._items = None
            return _END

    async def _stop(self) -> None:
        iterator, items = self._iterator, self._items
        self._iterator = self._items = None
        await _stopped(iterator, items)


async def _stopped(iterator: object, items: object) -> None:
    """Stop an async iterator, or what it would be made of."""
    stop = getattr(items if iterator is None else iterator, "aclose", None)
    if stop is not None:
        await stop()


def wrapped(value: Any, own: Background) -> Any:
    """Return a received value with References and Streams in place of those of the loop.

    Args:
        value: it has come for this use alone: containers and copies in it are changed.
        own: the loop.
    """

    def wrap(found: RemoteReference | RemoteStream[Any]) -> object:
        if isinstance(found, RemoteReference):
            return Reference(found, own)
        return Stream(found, own, is_wrapped=True)

    return exchanged(value, (RemoteReference, RemoteStream), wrap, {})
