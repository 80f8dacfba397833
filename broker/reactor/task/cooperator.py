"""Cooperator: runs long work in small steps, so that many tasks share one thread."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from broker.defer import Deferred, to_deferred
from broker.failure import Failure
from broker.reactor.engine.installed import default
from broker.reactor.typed import Cancellable

__all__ = [
    "CooperativeTask",
    "Cooperator",
    "NotPaused",
    "SchedulerError",
    "SchedulerStopped",
    "TaskDone",
    "TaskFailed",
    "TaskFinished",
    "TaskStopped",
    "coiterate",
    "cooperate",
]

# Seconds of steps before other events of the loop are handled.
SLICE = 0.01

Steps = TypeVar("Steps", bound=Iterator[object])


class SchedulerError(Exception):
    """The Cooperator or one of its tasks does not allow the operation (published)."""


class SchedulerStopped(SchedulerError):
    """The Cooperator was stopped before the work was done (published)."""


class TaskFinished(SchedulerError):
    """The task has ended, so the operation is not possible (published)."""


class TaskDone(TaskFinished):
    """The task has ended: its iterator is exhausted (published)."""


class TaskStopped(TaskFinished):
    """The task was stopped (published)."""


class TaskFailed(TaskFinished):
    """The task has ended: its iterator raised, or a yielded Deferred failed (published)."""


class NotPaused(SchedulerError):
    """The task was resumed more often than paused (published)."""


class CooperativeTask(Generic[Steps]):
    """One iterator that is run in steps, as `Cooperator.cooperate` returns it (published).

    Each step is one ``next()`` of the iterator. If it yields a Deferred or an awaitable, the next
    step waits for it.
    """

    def __init__(self, iterator: Steps, cooperator: Cooperator):
        self._iterator = iterator
        self._cooperator = cooperator
        self._waiters: list[Deferred[Steps]] = []
        self._pauses = 0
        self._finished: type[SchedulerError] | None = None
        self._outcome: Steps | Failure = iterator
        cooperator._add(self)

    def whenDone(self) -> Deferred[Steps]:
        """Return a Deferred that fires with the iterator when it is exhausted (published).

        It fails with the exception of the iterator, with TaskStopped, or with SchedulerStopped.
        """
        deferred: Deferred[Steps] = Deferred()
        if self._finished is None:
            self._waiters.append(deferred)
        else:
            deferred.callback(self._outcome)
        return deferred

    def pause(self) -> None:
        """Make no step until `resume`; pauses are counted (published).

        Raises:
            TaskFinished: it has ended.
        """
        self._check()
        self._pauses += 1
        if self._pauses == 1:
            self._cooperator._remove(self)

    def resume(self) -> None:
        """Undo one pause (published).

        Raises:
            NotPaused: it is not paused.
        """
        if self._pauses == 0:
            raise NotPaused("the task is not paused")
        self._pauses -= 1
        if self._pauses == 0 and self._finished is None:
            self._cooperator._add(self)

    def stop(self) -> None:
        """Make no more steps; `whenDone` fails with TaskStopped (published).

        Raises:
            TaskFinished: it has ended.
        """
        self._check()
        self._end(TaskStopped, Failure(TaskStopped()))

    def _check(self) -> None:
        if self._finished is not None:
            raise self._finished

    def _end(self, finished: type[SchedulerError], outcome: Steps | Failure) -> None:
        self._finished, self._outcome = finished, outcome
        if not self._pauses:
            self._cooperator._remove(self)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(outcome)

    def _step(self) -> None:
        try:
            result = next(self._iterator)
        except StopIteration:
            self._end(TaskDone, self._iterator)
        except Exception:  # noqa: BLE001 - the Deferreds of whenDone fail with it
            self._end(TaskFailed, Failure())
        else:
            if result is not None:
                self.pause()
                to_deferred(result).addCallbacks(lambda _: self.resume(), self._failed_later)

    def _failed_later(self, failure: Failure) -> None:
        if self._finished is None:
            self._end(TaskFailed, failure)


class Cooperator:
    """Makes the steps of its tasks in turn, a slice of them in each turn of the loop (published).

    Args:
        terminationPredicateFactory: called for each slice. Its result is called after each step,
            and returns whether the slice is over. By default a slice is 10 ms.
        scheduler: schedules a call soon, and returns an object with `cancel`; by default the
            reactor.
        started: begin at once; else with `start`.
    """

    def __init__(
        self,
        terminationPredicateFactory: Callable[[], Callable[[], bool]] | None = None,
        scheduler: Callable[[Callable[[], None]], Cancellable] | None = None,
        started: bool = True,
    ):
        self._new_slice = terminationPredicateFactory or _time_slice
        self._schedule = scheduler or _soon
        self._tasks: deque[CooperativeTask[Any]] = deque()
        self._delayed: Cancellable | None = None
        self._is_started = started
        self._is_stopped = False

    @property
    def running(self) -> bool:
        """Whether it has been started, and not stopped (published)."""
        return self._is_started and not self._is_stopped

    def coiterate(
        self, iterator: Steps, doneDeferred: Deferred[Steps] | None = None
    ) -> Deferred[Steps]:
        """Run the iterator; return `doneDeferred`, or another Deferred as of `whenDone`."""
        done: Deferred[Steps] = Deferred() if doneDeferred is None else doneDeferred
        CooperativeTask(iterator, self).whenDone().addBoth(done.callback)
        return done

    def cooperate(self, iterator: Steps) -> CooperativeTask[Steps]:
        """Run the iterator; return its task (published)."""
        return CooperativeTask(iterator, self)

    def start(self) -> None:
        """Begin, or begin again after `stop` (published)."""
        self._is_started, self._is_stopped = True, False
        self._reschedule()

    def stop(self) -> None:
        """End every task, and each later one, with SchedulerStopped (published)."""
        self._is_stopped = True
        for task in list(self._tasks):
            task._end(SchedulerStopped, Failure(SchedulerStopped()))
        self._reschedule()

    def _add(self, task: CooperativeTask[Steps]) -> None:
        self._tasks.append(task)
        if self._is_stopped:
            task._end(SchedulerStopped, Failure(SchedulerStopped()))
        self._reschedule()

    def _remove(self, task: CooperativeTask[Steps]) -> None:
        self._tasks.remove(task)
        self._reschedule()

    def _reschedule(self) -> None:
        if not self._is_started:
            return
        if self._delayed is None and self._tasks:
            self._delayed = self._schedule(self._run_slice)
        elif self._delayed is not None and not self._tasks:
            self._delayed.cancel()
            self._delayed = None

    def _run_slice(self) -> None:
        # During a slice, changes of the tasks must not schedule another one.
        self._delayed = _Running()
        is_over = self._new_slice()
        while self._tasks:
            task = self._tasks[0]
            self._tasks.rotate(-1)
            task._step()
            if is_over():
                break
        self._delayed = None
        self._reschedule()


class _Running:
    """Takes the place of the delayed call while it is being made."""

    def cancel(self) -> None:
        """Do nothing: the slice ends by itself."""


def _time_slice() -> Callable[[], bool]:
    end = time.monotonic() + SLICE
    return lambda: time.monotonic() >= end


def _soon(f: Callable[[], None]) -> Cancellable:
    return default.callLater(0, f)


_cooperator = Cooperator()


def coiterate(iterator: Steps) -> Deferred[Steps]:
    """Run the iterator in steps between the other work of the reactor (published)."""
    return _cooperator.coiterate(iterator)


def cooperate(iterator: Steps) -> CooperativeTask[Steps]:
    """Run the iterator in steps between other work, and return its task (published)."""
    return _cooperator.cooperate(iterator)
