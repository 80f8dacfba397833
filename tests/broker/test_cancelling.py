"""The end of tasks."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from broker import cancelling


async def test_tasks_end() -> None:
    """All have ended afterwards, also those that had ended before; None is left out."""
    over = asyncio.create_task(asyncio.sleep(0))
    await over
    tasks = [asyncio.create_task(asyncio.sleep(100)) for _ in range(3)]
    await cancelling.end_tasks(over, None, *tasks)
    assert [task.cancelled() for task in tasks] == [True] * 3
    assert not over.cancelled()


async def test_a_task_that_raises() -> None:
    """An error of a task is not raised here."""

    async def fail() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            raise ValueError("at the end")

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    await cancelling.end_tasks(task)
    assert isinstance(task.exception(), ValueError)


async def test_a_cancellation_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that goes on is cancelled again."""
    monkeypatch.setattr(cancelling, "_AGAIN", 0.01)
    seen = 0

    async def go_on() -> None:
        nonlocal seen
        while True:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                seen += 1
                if seen == 3:
                    raise

    task = asyncio.create_task(go_on())
    await asyncio.sleep(0)
    await cancelling.end_tasks(task)
    assert seen == 3


async def test_who_waits_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that is cancelled while it ends another one ends it first, and is cancelled then."""
    monkeypatch.setattr(cancelling, "_AGAIN", 0.01)
    first, second = asyncio.Event(), asyncio.Event()

    async def go_on() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            first.set()
            # As one that loses a cancellation: this wait takes the next ones.
            while not second.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await second.wait()
            raise

    inner = asyncio.create_task(go_on())
    await asyncio.sleep(0)
    outer = asyncio.create_task(cancelling.end_tasks(inner))
    await first.wait()
    outer.cancel()
    await asyncio.sleep(0)
    assert not outer.done()
    second.set()
    with pytest.raises(asyncio.CancelledError):
        await outer
    assert inner.cancelled()
