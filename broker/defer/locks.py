"""Locks, semaphores and queues that are acquired by Deferreds."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

from broker.defer.deferred import Deferred, invoke
from broker.defer.errors import QueueOverflow, QueueUnderflow
from broker.defer.registered import known_to_twisted

__all__ = ["DeferredLock", "DeferredQueue", "DeferredSemaphore"]

T = TypeVar("T")
P = ParamSpec("P")


@known_to_twisted
class DeferredSemaphore:
    """At most `tokens` holders at a time; others wait in the order of their calls (published).

    ``async with semaphore`` acquires and releases it.

    Attributes:
        limit: how many may hold it.
        tokens: how many more may acquire it now.
        waiting: the Deferreds of waiting callers.

    Raises:
        ValueError: `tokens` is less than 1.
    """

    def __init__(self, tokens: int):
        if tokens < 1:
            raise ValueError(f"a semaphore has at least 1 token, not {tokens}")
        self.tokens = tokens
        self.limit = tokens
        self.waiting: deque[Deferred[Self]] = deque()

    def acquire(self) -> Deferred[Self]:
        """Return a Deferred of this object, fired when acquired; cancel it to stop waiting."""
        turn: Deferred[Self] = Deferred(self.waiting.remove)
        if self.tokens:
            self.tokens -= 1
            turn.callback(self)
        else:
            self.waiting.append(turn)
        return turn

    def release(self) -> None:
        """Release it, and let the first waiting caller acquire it.

        Raises:
            AssertionError: it is not held.
        """
        if self.tokens >= self.limit:
            raise AssertionError(f"{type(self).__name__} released more often than acquired")
        if self.waiting:
            self.waiting.popleft().callback(self)
        else:
            self.tokens += 1

    @overload
    def run(
        self, f: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]: ...

    @overload
    def run(self, f: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]: ...

    def run(self, f: Callable[..., object], /, *args: object, **kwargs: object) -> Deferred[Any]:
        """Call `f` while holding this; return a Deferred of its result.

        `f` may return a Deferred or any awaitable; this is then held until that has its result.
        """

        def release(result: object) -> object:
            self.release()
            return result

        def held(_: object) -> Deferred[Any]:
            return invoke(f, *args, **kwargs).addBoth(release)

        return self.acquire().addCallback(held)

    def __aenter__(self) -> Deferred[Self]:
        return self.acquire()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.release()


@known_to_twisted
class DeferredLock(DeferredSemaphore):
    """One holder at a time; others wait in the order of their calls (published)."""

    def __init__(self) -> None:
        super().__init__(1)

    @property
    def locked(self) -> bool:
        """Whether it is held."""
        return not self.tokens


class DeferredQueue(Generic[T]):
    """A queue of objects, or of callers that wait for one (published).

    Attributes:
        size: how many objects it may hold; None for any number.
        backlog: how many callers may wait; None for any number.
        pending: the objects that have not been taken.
        waiting: the Deferreds of waiting callers.
    """

    def __init__(self, size: int | None = None, backlog: int | None = None):
        self.size = size
        self.backlog = backlog
        self.pending: deque[T] = deque()
        self.waiting: deque[Deferred[T]] = deque()

    def put(self, obj: T) -> None:
        """Give `obj` to the first waiting caller, or keep it.

        Raises:
            QueueOverflow: the queue is full.
        """
        if self.waiting:
            self.waiting.popleft().callback(obj)
        elif self.size is None or len(self.pending) < self.size:
            self.pending.append(obj)
        else:
            raise QueueOverflow(f"the queue holds {self.size} objects")

    def get(self) -> Deferred[T]:
        """Return a Deferred of the next object; cancel it to stop waiting.

        Raises:
            QueueUnderflow: too many callers are waiting.
        """
        if not self.pending and self.backlog is not None and len(self.waiting) >= self.backlog:
            raise QueueUnderflow(f"{self.backlog} are waiting already")
        turn: Deferred[T] = Deferred(self.waiting.remove)
        if self.pending:
            turn.callback(self.pending.popleft())
        else:
            self.waiting.append(turn)
        return turn
