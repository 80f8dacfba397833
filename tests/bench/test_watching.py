"""The measurement of a server that is watched."""

from __future__ import annotations

from bench.watching import measure


async def test_a_short_run() -> None:
    """It tells each of its parts, and the samples that came."""
    found = await measure(20, 10.0, 2.0)
    assert list(found) == ["idle", "watched", "samples", "listed"]
    assert all(value >= 0 for value in found.values())
    assert found["samples"] > 0
