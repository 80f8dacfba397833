"""broker.reactor.task.cooperator: work in steps, and each way in which it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from broker.defer import Deferred
from broker.reactor.task.cooperator import (
    Cooperator,
    NotPaused,
    SchedulerStopped,
    TaskDone,
    TaskFailed,
    TaskStopped,
)


class Steps:
    """A scheduler whose turns a test makes; it also is the limit of a turn: one step."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.cooperator = Cooperator(
            terminationPredicateFactory=lambda: lambda: True, scheduler=self.schedule
        )

    def schedule(self, turn: Callable[[], None]) -> Any:
        """Take the next turn."""
        self.waiting.append(turn)
        return self

    def cancel(self) -> None:
        """Forget the turn."""
        self.waiting.clear()

    def turn(self, times: int = 1) -> None:
        """Make turns while there are any."""
        for _ in range(times):
            for each in [self.waiting.pop()] if self.waiting else []:
                each()


def counting(seen: list[int], upto: int = 3) -> Iterator[None]:
    """An iterator that notes its steps."""
    for number in range(upto):
        seen.append(number)
        yield


def failed_with(deferred: Deferred[Any]) -> Any:
    """The type of the error that a Deferred has failed with."""
    return deferred.addErrback(lambda failure: failure.type).result


def test_in_turns() -> None:
    """Two tasks go on step by step, and each ends with its iterator."""
    steps, one, other = Steps(), [], []
    iterator = counting(one)
    first, second = (
        steps.cooperator.cooperate(iterator),
        steps.cooperator.cooperate(counting(other)),
    )
    steps.turn(2)
    assert (one, other) == ([0], [0])
    done = first.whenDone()
    steps.turn(10)
    assert (one, other, done.result) == ([0, 1, 2], [0, 1, 2], iterator)
    assert second.whenDone().called
    for end in (first.stop, first.pause):
        with pytest.raises(TaskDone):
            end()


def test_paused_and_waiting() -> None:
    """A task makes no step while it is paused, or while the Deferred that it yielded waits."""
    steps, seen = Steps(), []
    gate: Deferred[None] = Deferred()

    def work() -> Iterator[Any]:
        seen.append("before")
        yield gate
        seen.append("after")

    task = steps.cooperator.cooperate(work())
    task.pause()
    steps.turn(3)
    assert seen == []
    task.resume()
    with pytest.raises(NotPaused):
        task.resume()
    steps.turn(3)
    assert seen == ["before"]
    gate.callback(None)
    steps.turn(3)
    assert seen == ["before", "after"]


def test_how_a_task_ends() -> None:
    """Each who waits for a task is told of what it raised, and of its stop."""
    steps = Steps()
    failing = steps.cooperator.cooperate(int(text) for text in ["1", "x"])
    stopped = steps.cooperator.cooperate(counting([]))
    seen = stopped.whenDone()
    stopped.stop()
    assert failed_with(seen) is TaskStopped
    steps.turn(5)
    assert failed_with(failing.whenDone()) is ValueError
    with pytest.raises(TaskFailed):
        failing.stop()


def test_a_cooperator_that_is_stopped() -> None:
    """Its tasks fail, and so does each that comes later."""
    steps = Steps()
    running = steps.cooperator.cooperate(counting([])).whenDone()
    steps.cooperator.stop()
    assert failed_with(running) is SchedulerStopped
    assert failed_with(steps.cooperator.cooperate(counting([])).whenDone()) is SchedulerStopped
    assert not steps.cooperator.running
