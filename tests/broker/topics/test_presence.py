"""Presence: leases are renewed, shared by the subscriptions of a member, and end after it goes."""

from __future__ import annotations

import asyncio
from typing import Any

import broker
from broker.topics.items import Joined, Left, Members
from broker.topics.presence import Presence


class Failing(broker.MemoryEngine):
    """Fails once."""

    failures = 1

    async def present(self, leases: Any, seconds: float) -> None:
        """Fail, or note leases."""
        if self.failures:
            self.failures -= 1
            raise ConnectionError("away")
        await super().present(leases, seconds)


async def here(presence: Presence, topic: str, expected: Members) -> None:
    """Wait until these are the members."""
    while await presence.members(topic) != expected:
        await asyncio.sleep(0.005)


async def test_flapping() -> None:
    """One who goes and comes back within a lease has not left; a renewal keeps one who stays."""
    presence = Presence(broker.MemoryEngine(), 0.3)
    events = presence.watch("a")
    presence.enter("a", "ann")
    assert await anext(events) == Joined("a", "ann")
    next_event = asyncio.ensure_future(anext(events))
    for _ in range(20):
        presence.leave("a", "ann")
        presence.enter("a", "ann")
        await asyncio.sleep(0.03)
    assert not next_event.done()
    presence.leave("a", "ann")
    assert await next_event == Left("a", "ann")
    await events.aclose()
    await presence.close()


async def test_guests_are_counted() -> None:
    """Guests have no names, and no events."""
    presence = Presence(broker.MemoryEngine(), 10)
    presence.enter("a", None)
    presence.enter("a", None)
    await here(presence, "a", Members([], 2))
    presence.leave("a", None)
    await here(presence, "a", Members([], 1))
    presence.leave("a", None)
    await here(presence, "a", Members([], 0))
    assert await presence.members("a") == Members([], 0)
    await presence.close()


async def test_an_engine_that_fails(caplog: Any) -> None:
    """A failure is logged, and the next renewal notes what it should have."""
    presence = Presence(Failing(), 0.3)
    presence.enter("a", "ann")
    await here(presence, "a", Members(["ann"], 0))
    assert "takes no leases" in caplog.text
    await presence.close()
