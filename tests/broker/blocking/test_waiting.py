"""The wait of a thread for an awaitable of the loop; Ctrl-C is in test_interrupts.py."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from broker import blocking
from broker.blocking import waiting
from broker.blocking.waiting import Waiting
from broker.defer import Deferred, succeed

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("name")


def waited(make: Any) -> Any:
    """Wait for what ``make`` returns in the loop."""
    return Waiting(blocking.loop(), make).result()


async def returned(value: Any) -> Any:
    """Return it, after a turn of the loop."""
    await asyncio.sleep(0)
    return value


async def raised(error: BaseException) -> None:
    """Raise it."""
    raise error


def test_results() -> None:
    """The result of any awaitable is returned, and None where there is no awaitable."""
    assert waited(lambda: returned(3)) == 3
    assert waited(lambda: succeed(4)) == 4
    assert waited(lambda: None) is None


@pytest.mark.parametrize(
    "error", [KeyError("a"), TimeoutError(), SystemExit(3), KeyboardInterrupt(), StopIteration()]
)
def test_errors(error: BaseException) -> None:
    """Any exception of the awaitable is raised in the thread, and the loop runs on."""
    expected = RuntimeError if isinstance(error, StopIteration) else type(error)
    with pytest.raises(expected):
        waited(lambda: raised(error))
    assert waited(lambda: returned(3)) == 3

    def failing() -> Any:
        raise ValueError("no awaitable")

    with pytest.raises(ValueError, match="no awaitable"):
        waited(failing)


def test_the_context() -> None:
    """The awaitable runs in the context of the thread, and what it sets stays with it."""

    async def work() -> str:
        before = NAME.get()
        NAME.set("loop")
        return before

    token = NAME.set("thread")
    try:
        assert waited(work) == "thread"
        assert NAME.get() == "thread"
    finally:
        NAME.reset(token)


def test_a_cancelled_task() -> None:
    """A task that the loop cancels, also before its first step, ends the wait."""

    async def work() -> None:
        asyncio.current_task().cancel()  # type: ignore[union-attr]
        await asyncio.sleep(60)

    with pytest.raises(asyncio.CancelledError):
        waited(work)

    class CancelledAtOnce(Waiting[Any]):
        def _begin(self) -> None:
            super()._begin()
            assert self._task is not None
            self._task.cancel()

    with pytest.raises(asyncio.CancelledError):
        CancelledAtOnce(blocking.loop(), lambda: returned(1)).result()


class Interrupted:
    """A loop before which an interrupt comes: before or after its function is scheduled."""

    def __init__(self, is_scheduled: bool) -> None:
        self.is_scheduled = is_scheduled
        self.calls = 0

    def call_soon_threadsafe(self, function: Any) -> None:
        """Schedule it in the true loop."""
        self.calls += 1
        if self.calls > 1 or self.is_scheduled:
            blocking.loop().call_soon_threadsafe(function)
        if self.calls == 1:
            raise KeyboardInterrupt

    def create_task(self, coroutine: Any) -> Any:
        """Create it in the true loop."""
        return blocking.loop().create_task(coroutine)


@pytest.mark.parametrize("is_scheduled", [False, True])
def test_an_interrupt_while_it_is_scheduled(is_scheduled: bool) -> None:
    """An interrupt before the wait begins cancels the awaitable, or makes none."""
    made: list[Deferred[Any]] = []

    def make() -> Deferred[Any]:
        made.append(Deferred())
        return made[0]

    one: Waiting[Any] = Waiting(Interrupted(is_scheduled), make)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        one.result()
    assert len(made) <= is_scheduled
    assert all(deferred.called for deferred in made)


def test_a_system_whose_locks_are_not_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """There the thread looks for signals from time to time, and gets the same results."""
    monkeypatch.setattr(waiting, "_SLICE", 0.001)
    assert waited(lambda: asyncio.sleep(0.01, 5)) == 5
    with pytest.raises(TimeoutError):
        waited(lambda: raised(TimeoutError()))


def test_a_closed_loop() -> None:
    """A loop that is closed is a RuntimeError."""
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        Waiting(loop, lambda: returned(1)).result()


def test_many_threads() -> None:
    """Threads that wait at once get their own results."""
    results: dict[int, int] = {}

    async def numbers(count: int) -> AsyncIterator[int]:
        for number in range(count):
            await asyncio.sleep(0)
            yield number

    async def total(count: int) -> int:
        return sum([number async for number in numbers(count)])

    def work(count: int) -> None:
        results[count] = waited(lambda: total(count))

    threads = [threading.Thread(target=work, args=(count,)) for count in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {count: sum(range(count)) for count in range(30)}
