"""The simulated loop: what asyncio promises holds, and time takes none."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any

import pytest

from broker.testing.loop import SimulatedLoop, Stuck


def run(scenario: Callable[[SimulatedLoop], Any], seed: int = 0, **options: Any) -> Any:
    """Run a coroutine function in a simulated loop."""
    with contextlib.closing(SimulatedLoop(random.Random(seed), **options)) as loop:
        return loop.run_until_complete(scenario(loop))


def test_time_jumps() -> None:
    """An hour of sleep passes at once, and the clock says so."""

    async def scenario(loop: SimulatedLoop) -> float:
        await asyncio.sleep(3600)
        return loop.time()

    assert run(scenario) == pytest.approx(3600, abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_what_asyncio_promises(seed: int) -> None:
    """Callbacks run in the order in which they were asked for, timers in that of their times."""

    async def scenario(loop: SimulatedLoop) -> list[str]:
        log: list[str] = []
        loop.call_later(0.2, log.append, "late")
        loop.call_later(0.1, log.append, "early")
        for name in "abc":
            loop.call_soon(log.append, name)
        await asyncio.sleep(1)
        return log

    assert run(scenario, seed, turn_cost=0.5) == ["a", "b", "c", "early", "late"]


def test_the_dice_decide_what_asyncio_leaves_open() -> None:
    """Arrivals of one moment are reported in any order, the same for the same seed."""

    async def scenario(loop: SimulatedLoop) -> str:
        log: list[str] = []
        for name in "abcd":
            loop.arrive(1.0, log.append, name)
        await asyncio.sleep(2)
        return "".join(log)

    orders = [run(scenario, seed) for seed in range(20)]
    assert orders == [run(scenario, seed) for seed in range(20)]
    assert len(set(orders)) > 5
    assert {"".join(sorted(order)) for order in orders} == {"abcd"}


def test_who_waits_for_ever() -> None:
    """A run in which nothing is due any more, or which takes too many turns, ends."""

    async def waits(loop: SimulatedLoop) -> None:
        await loop.create_future()

    async def spins(loop: SimulatedLoop) -> None:
        while True:
            await asyncio.sleep(0)

    for scenario, text in ((waits, "nothing is due"), (spins, "100 turns were not enough")):
        with contextlib.closing(SimulatedLoop(random.Random(0), most_turns=100)) as loop:
            task = loop.create_task(scenario(loop))
            with pytest.raises(Stuck, match=text):
                loop.run_until_complete(task)
            task.cancel()
            loop.turns = 0
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(task)


def test_timers_that_are_left() -> None:
    """The loop tells which timers are due, without those that were cancelled."""

    async def scenario(loop: SimulatedLoop) -> tuple[list[Any], asyncio.TimerHandle]:
        loop.call_later(5, print).cancel()
        kept = loop.call_later(6, print)
        return loop.timers(), kept

    timers, kept = run(scenario)
    assert timers == [kept]
