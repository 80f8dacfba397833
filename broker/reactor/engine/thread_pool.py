"""A pool of threads for work that would block the event loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

from broker.defer import Deferred
from broker.failure import Failure
from broker.printable import repr_of
from broker.reactor.typed import ThreadReactor
from broker.traces import log_error

__all__ = ["ThreadPool", "deferToThreadPool"]

logger = logging.getLogger("broker.reactor")

P = ParamSpec("P")
T = TypeVar("T")
OnResult = Callable[[bool, Any], object]


class ThreadPool:
    """Threads that take calls from one queue (published).

    Threads are started when there are calls for them, and then kept. Calls before `start` wait for
    it.

    Args:
        minthreads: kept as an attribute only; no thread is started in advance.
        maxthreads: how many calls may run at once.
        name: the prefix of the names of the threads.
        at_end: called in each thread before it ends; an exception is logged.

    Attributes:
        min, max, name: as given.
        started: between `start` and `stop`.
        joined: from `stop` until the next `start`.

    Raises:
        ValueError: a size is negative, or `minthreads` is greater than `maxthreads`.
    """

    def __init__(
        self,
        minthreads: int = 5,
        maxthreads: int = 20,
        name: str | None = None,
        *,
        at_end: Callable[[], object] | None = None,
    ):
        self.min, self.max = _sizes(minthreads, maxthreads)
        self.name = name
        self._at_end = at_end
        self._mark = object()  # what a thread of this pool has in `_here`
        self.started = False
        self.joined = False
        # The last executor takes new calls; those before it finish their calls.
        self._executors: list[_Executor] = []
        self._early: list[Callable[[], None]] = []

    def start(self) -> None:
        """Start to make the calls, those that wait and later ones (published)."""
        self.started, self.joined = True, False
        self._add_executor()
        early, self._early = self._early, []
        for job in early:
            self._submit(job)

    def stop(self) -> None:
        """Wait until all calls have been made, and end the threads (published).

        Later calls wait for the next `start`.

        Raises:
            RuntimeError: the caller is a call in this pool, and would wait for itself.
        """
        self.end(wait=True)

    def end(self, wait: bool) -> None:
        """Do as `stop`; if `wait` is false, return at once."""
        if wait and getattr(_here, "mark", None) is self._mark:
            raise RuntimeError("a call in a thread of this pool cannot wait for the pool's end")
        executors, self._executors = self._executors, []
        self.started, self.joined = False, True
        for executor in executors:
            executor.retire()
        if wait:
            for executor in executors:
                executor.shutdown()

    def callInThread(self, func: Callable[..., object], *args: object, **kw: object) -> None:
        """Call in a thread; an exception is logged (published)."""
        self.callInThreadWithCallback(None, func, *args, **kw)

    def callInThreadWithCallback(
        self, onResult: OnResult | None, func: Callable[..., object], *args: object, **kw: object
    ) -> None:
        """Call in a thread, and there call `onResult(success, result)` (published).

        The result of a call that raises is a Failure; without `onResult` it is logged.
        """
        self._submit(partial(_work, onResult, func, args, kw))

    def adjustPoolsize(self, minthreads: int | None = None, maxthreads: int | None = None) -> None:
        """Change how many calls may run at once (published).

        Earlier calls keep their threads, in addition to the new ones, until they end.

        Raises:
            ValueError: a size is negative, or `minthreads` is greater than `maxthreads`.
        """
        self.min, self.max = _sizes(
            self.min if minthreads is None else minthreads,
            self.max if maxthreads is None else maxthreads,
        )
        if self.started:
            self._add_executor()
            self._executors[-2].retire()

    def _add_executor(self) -> None:
        name = self.name or "broker.reactor.engine.thread_pool"
        self._executors.append(_Executor(max(1, self.max), name, self._mark, self._at_end))

    def _submit(self, job: Callable[[], None]) -> None:
        if self.started:
            self._executors[-1].submit_job(job)
        else:
            self._early.append(job)


_here = threading.local()


class _Executor(ThreadPoolExecutor):
    """The threads of one size of a pool."""

    def __init__(
        self, size: int, name: str, mark: object, at_end: Callable[[], object] | None
    ) -> None:
        super().__init__(size, name, setattr, (_here, "mark", mark))
        self._size = size
        self._at_end = at_end
        self._is_used = False

    def submit_job(self, job: Callable[[], None]) -> None:
        """Do a job in a thread."""
        self._is_used = True
        self.submit(job)

    def retire(self) -> None:
        """End each thread after the jobs that are there, and after `at_end` in it."""
        if self._is_used and self._at_end is not None:
            self._is_used = False
            # A thread that has made its last call waits for the others: so each makes one.
            others = threading.Barrier(self._size)
            with suppress(RuntimeError):  # the interpreter ends, and takes no more jobs
                for _ in range(self._size):
                    self.submit(self._leave, self._at_end, others)
        self.shutdown(wait=False)

    @staticmethod
    def _leave(at_end: Callable[[], object], others: threading.Barrier) -> None:
        try:
            at_end()
        except Exception as exc:  # noqa: BLE001 - logged, and ends nothing else
            log_error(logger, f"the last call in a thread raised: {repr_of(at_end, 200)}", exc)
        others.wait()


def deferToThreadPool(
    reactor: ThreadReactor,
    threadpool: ThreadPool,
    f: Callable[P, T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Deferred[T]:
    """Call `f` in a thread of the pool; return a Deferred of its result (published).

    The Deferred fires in the reactor's thread. Cancelling it does not stop the call. In a running
    asyncio loop the reactor becomes its guest, and the Deferred fires there.
    """
    # `broker.reactor` is a module, whose functions are those of its default reactor.
    adopt: Callable[[], object] | None = getattr(
        getattr(reactor, "default", reactor), "adopt_running_loop", None
    )
    if adopt is not None:
        adopt()
    deferred: Deferred[T] = Deferred()

    def deliver(success: bool, result: object) -> None:
        # A cancelled Deferred has a result already, and ignores the late one.
        reactor.callFromThread(deferred.callback if success else deferred.errback, result)

    threadpool.callInThreadWithCallback(deliver, f, *args, **kwargs)
    return deferred


def _work(
    onResult: OnResult | None,
    func: Callable[..., object],
    args: tuple[object, ...],
    kw: dict[str, object],
) -> None:
    success = True
    result: object = None
    try:
        result = func(*args, **kw)
    except BaseException:  # noqa: BLE001 - an exception must not end the thread
        success, result = False, Failure()
    try:
        if onResult is not None:
            onResult(success, result)
        elif isinstance(result, Failure) and not success:
            log_error(logger, f"a call in a thread raised: {repr_of(func, 200)}", result.value)
    except Exception as exc:  # noqa: BLE001 - logged, and ends nothing else
        call = repr_of(onResult, 200)
        log_error(logger, f"the callback of a call in a thread raised: {call}", exc)
    finally:
        del result  # a Failure whose traceback has this frame: a reference cycle


def _sizes(least: int, most: int) -> tuple[int, int]:
    if not 0 <= least <= most:
        raise ValueError(f"a pool of {least} to {most} threads: the sizes are from 0 up")
    return least, most
