"""Health: the states of a server, and the checks of the application."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

import broker
from broker.inspection import health as module
from broker.inspection.health import Checks, state_of_server


class Sampled:
    """What a sampler has found."""

    def __init__(self, **facts: Any) -> None:
        self.held_since: dict[Any, float] = facts.get("held", {})
        self.busy_at = facts.get("busy")
        self.lags = facts.get("lags", [])


def test_states() -> None:
    """Draining, overloaded, degraded, serving: in this order."""
    now = time.monotonic()
    quiet: Any = Sampled()
    assert state_of_server(False, quiet, ()) == "serving"
    assert state_of_server(False, quiet, ("database", "x")) == "degraded: database"
    for busy in ({"held": {1: now - 11}}, {"busy": now - 9}, {"lags": [0.0, 1.1]}):
        sampler: Any = Sampled(**busy)
        assert state_of_server(False, sampler, ("database",)) == "overloaded"
        assert state_of_server(True, sampler, ()) == "draining"
    for well in ({"held": {1: now - 9}}, {"busy": now - 11}, {"lags": [1.1, 0.0]}):
        calm: Any = Sampled(**well)
        assert state_of_server(False, calm, ()) == "serving"


async def test_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that raises, or takes too long, has failed; its text is not shown."""
    monkeypatch.setattr(module, "CHECK_TIME", 0.01)
    checks = Checks()

    async def good() -> None:
        pass

    async def bad() -> None:
        raise ValueError("the password is x")

    async def slow() -> None:
        await asyncio.Event().wait()

    checks.add("good", good)
    checks.add("bad", bad)
    checks.add("slow", slow)
    assert await checks.run() == {"good": "", "bad": "ValueError", "slow": "not done in 0.01 s"}
    assert checks.failed == ("bad", "slow")
    checks.add("bad", good)
    checks.remove("slow")
    assert checks.failed == ("bad",)
    assert await checks.run() == {"good": "", "bad": ""}
    assert checks.failed == ()
    with pytest.raises(KeyError):
        checks.remove("slow")


async def test_a_server() -> None:
    """The checks of a server are in its health."""
    async with broker.serve(broker.Root(), "pb://127.0.0.1:0") as server:

        async def bad() -> None:
            raise OSError

        server.health.add("disk", bad)
        broker.inspector(server)
        inspector: Any = server.inspector
        found = await inspector.health()
        assert (found.state, found.is_ready, found.checks) == (
            "degraded: disk",
            False,
            {"disk": "OSError"},
        )
