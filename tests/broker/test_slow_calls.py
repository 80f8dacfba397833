"""SlowCalls: which calls it tells of, and what its record says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

import broker
from broker.defer import Deferred

LOOPBACK = "pb://127.0.0.1:0"
DIALECTS = pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])


class Clock:
    """A clock that is set."""

    time = 0.0

    def now(self) -> float:
        """Return the time."""
        return self.time


class Office(broker.Root):
    """Methods that hold the loop, by the clock, and others that wait.

    Args:
        clock: of the observer.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.waiting: Deferred[int] = Deferred()

    def remote_crunch(self, seconds: float) -> str:
        """Hold the loop."""
        self.clock.time += seconds
        return "done"

    def remote_fail(self, seconds: float) -> None:
        """Hold the loop, and raise."""
        self.clock.time += seconds
        raise broker.Error("no")

    async def remote_wait(self, seconds: float) -> str:
        """Let others run meanwhile."""
        await asyncio.sleep(0)
        self.clock.time += seconds
        await asyncio.sleep(0)
        return "done"

    def remote_later(self) -> Deferred[int]:
        """Return what another call fires."""
        return self.waiting

    def remote_fire(self, seconds: float) -> None:
        """Fire it."""
        self.clock.time += seconds
        self.waiting.callback(1)


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[Any]]:
    """The records so far."""
    caplog.set_level(logging.WARNING, "broker.calls")
    return lambda: [each for each in caplog.records if each.name == "broker.calls"]


@DIALECTS
async def test_slow_calls(dialect: str, told: Callable[[], list[Any]]) -> None:
    """A plain method that held the loop for that time is told, also if it raised; no other is."""
    clock = Clock()
    policy = broker.STRICT.but(dialects=(dialect,))
    observers = [broker.SlowCalls(after=0.5, clock=clock.now)]
    async with (
        broker.serve(Office(clock), LOOPBACK, policy=policy, observers=observers) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        call = connection.root.callRemote
        await call("crunch", 0.25)
        await call("wait", 2.0)
        assert told() == []
        await call("crunch", 1.02)
        with pytest.raises(broker.Error):
            await call("fail", 0.5)
    first, second = told()
    assert first.levelname == "WARNING"
    assert first.getMessage() == (
        "remote method 'crunch' of Office held the loop for 1.02 s; make it async, or run it in a"
        " thread"
    )
    assert first.facts == {
        "event": "slow call",
        "method": "crunch",
        "target": "Office",
        "user": None,
        "milliseconds": 1020.0,
    }
    assert "'fail'" in second.getMessage()


async def test_a_call_that_waits_for_another(told: Callable[[], list[Any]]) -> None:
    """A method whose Deferred another call fires has not held the loop; the other one has."""
    clock = Clock()
    observers = [broker.SlowCalls(after=0.5, clock=clock.now)]
    async with (
        broker.serve(Office(clock), LOOPBACK, observers=observers) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        later = connection.root.callRemote("later")
        await connection.root.callRemote("crunch", 0.1)
        await connection.root.callRemote("fire", 1.0)
        assert await later == 1
    (record,) = told()
    assert record.facts["method"] == "fire"


class Slowpoke(broker.Referenceable):
    """Answers after some time, by the clock.

    Args:
        clock: of the observer.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def remote_answer(self) -> int:
        """Answer."""
        self.clock.time += 5.0
        return 1


class Asking(broker.Root):
    """Calls its caller back."""

    def remote_ask(self, other: broker.RemoteReference) -> Any:
        """Return what the other end will answer."""
        return other.callRemote("answer")


@DIALECTS
async def test_a_call_that_waits_for_an_answer(dialect: str, told: Callable[[], list[Any]]) -> None:
    """A method that returns the Deferred of a call to its client has not held the loop."""
    clock = Clock()
    policy = broker.STRICT.but(dialects=(dialect,))
    observers = [broker.SlowCalls(after=0.5, clock=clock.now)]
    async with (
        broker.serve(Asking(), LOOPBACK, policy=policy, observers=observers) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        assert await connection.root.callRemote("ask", Slowpoke(clock)) == 1
    assert told() == []


async def test_calls_of_the_server_are_not_told(told: Callable[[], list[Any]]) -> None:
    """An observer of a client tells of the methods of the client only."""
    clock = Clock()
    observers = [broker.SlowCalls(after=0.5, clock=clock.now)]
    async with (
        broker.serve(Office(clock), LOOPBACK) as server,
        broker.connect(server.addresses[0], observers=observers) as connection,
    ):
        await connection.root.callRemote("crunch", 5.0)
    assert told() == []


@pytest.mark.parametrize("after", [0, -1.0, float("nan"), "1", True, None])
def test_wrong_times(after: Any) -> None:
    """The time is a positive number."""
    with pytest.raises(broker.ConfigError, match="positive number of seconds"):
        broker.SlowCalls(after=after)
