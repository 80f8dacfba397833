"""The lease of a node: it is counted so that this node stops before another can begin."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from broker.cluster.membership import Membership, steady_seconds
from broker.topics.engines.memory_directory import MemoryDirectory, MemoryNames


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.time


class Slow(MemoryDirectory):
    """A directory each of whose answers takes some seconds of the clock."""

    def __init__(self, names: MemoryNames, clock: Clock):
        super().__init__(names)
        self.clock = clock
        self.seconds = 0.0

    async def join(self, node: str, address: str, seconds: float) -> float:
        """Begin a lease; the answer comes late."""
        done = await super().join(node, address, seconds)
        self.clock.time += self.seconds
        return done


@pytest.mark.parametrize("late", [0.0, 3.0, 9.5])
async def test_it_ends_before_the_directory(late: float) -> None:
    """This node counts its lease as over while the directory still has it, however late it is."""
    clock = Clock()
    names = MemoryNames(clock)
    directory = Slow(names, clock)
    directory.seconds = late
    told: list[str] = []
    made = Membership(
        directory, 10.0, lambda: told.append("joined"), lambda: told.append("ended"), clock
    )
    made.start("pbs://host:1")
    try:
        async with asyncio.timeout(5):
            while not told:
                await asyncio.sleep(0)
        assert made.holds == (late < 9.0)
        clock.time = 100.0 + 8.9
        assert made.holds
        clock.time = 100.0 + 9.1
        assert not made.holds and names.has_lease(made.node)
    finally:
        await made.stop()
    assert not made.holds
    assert told[-1] == "ended"


async def test_a_lease_that_the_directory_has_no_more() -> None:
    """A node whose lease has gone from the directory joins under another id."""
    names = MemoryNames(steady_seconds)
    joined: list[str] = []
    membership: Any = None
    membership = Membership(
        MemoryDirectory(names), 0.5, lambda: joined.append(membership.node), lambda: None
    )
    membership.start("pbs://host:1")
    try:
        await membership.ready()
        names.nodes.clear()
        async with asyncio.timeout(10):
            while len(joined) < 2:
                await asyncio.sleep(0.01)
            await membership.ready()
        assert len(set(joined)) == len(joined)
    finally:
        with suppress(Exception):
            await membership.stop()
