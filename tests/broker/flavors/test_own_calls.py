"""Calls of an object of this end, as the peer would make them."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

import broker
from broker import pb
from broker.defer import CancelledError, Deferred
from broker.errors import BrokenPromise
from broker.flavors.own_calls import call_own, is_own
from broker.flavors.promise import Promise


class Mine(pb.Referenceable):
    """Notes its calls."""

    def __init__(self) -> None:
        self.started: list[Any] = []

    def remote_plain(self, label: Any) -> Any:
        """Start at once."""
        self.started.append(label)
        return label

    async def remote_task(self, label: Any) -> Any:
        """Start as a task."""
        self.started.append(label)
        assert asyncio.current_task() is not None
        await asyncio.sleep(0)
        return label

    def remote_never(self) -> Deferred[Any]:
        """Return what does not come."""
        return Deferred()

    def remote_nested(self, label: Any) -> Any:
        """Call itself."""
        call_own(self, Promise, "plain", ("inner",), {})
        return self.remote_plain(label)


class Hooked(pb.Referenceable):
    """Has its own hook."""

    def remoteMessageReceived(self, *args: Any) -> Any:
        """Take all."""


def call(target: Any, name: str, *args: Any, **kw: Any) -> Any:
    """Call it."""
    return call_own(target, Promise, name, args, kw)


def test_what_is_own() -> None:
    """Objects that peers can call."""
    assert is_own(Mine())
    assert not is_own(5)


async def test_order() -> None:
    """Plain methods do not overtake those that start as tasks."""
    mine = Mine()
    calls = [call(mine, "task" if n % 3 else "plain", n) for n in range(9)]
    calls.append(call(mine, "nested", 9))
    assert await asyncio.gather(*calls) == list(range(10))
    assert mine.started == [*range(9), "inner", 9]
    assert type(calls[0]) is Promise


async def test_cancel() -> None:
    """A call is cancelled, also before it has started."""
    mine = Mine()
    first, second, third = call(mine, "task", 1), call(mine, "plain", 2), call(mine, "never")
    second.cancel()
    assert await first == 1
    third.cancel()
    for each in (second, third):
        with pytest.raises(CancelledError):
            await each
    assert mine.started == [1]


async def test_cancel_of_a_task(caplog: pytest.LogCaptureFixture) -> None:
    """A call whose method runs as a task ends once, though the task ends later."""
    mine = Mine()
    running = call(mine, "task", 1)
    await asyncio.sleep(0)
    assert mine.started == [1]
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    for _ in range(5):
        await asyncio.sleep(0)
    gc.collect()
    assert caplog.records == []


async def test_errors() -> None:
    """They are those of a call of the peer."""
    mine = Mine()
    with pytest.raises(broker.NoSuchMethod):
        await call(mine, "started")
    with pytest.raises(TypeError):
        await call(mine, "plain", 1, 2)


def test_without_a_loop() -> None:
    """A plain method needs none."""
    results: list[Any] = []
    call(Mine(), "plain", 1).addCallback(results.append)
    assert results == [1]


async def test_an_own_hook() -> None:
    """A class that receives messages itself is not called here."""
    with pytest.raises(BrokenPromise, match="has its own remoteMessageReceived"):
        await call(Hooked(), "plain")
